"""core.testing: what a service's own unit tests use. None of these has a database."""

import threading

import pytest

from core import resolve as module
from core.errors import ApiKeyUnavailable
from core.parameters import PARAMETERS
from core.resolve import resolve
from core.testing import override


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """No database is needed here: replaces the fixture of that name for this module."""


def service() -> tuple[str, str | None, float]:
    """What a service does."""
    settings = resolve("openai")
    return settings.client_options()["api_key"], settings.model, settings.request_options()["temperature"]


def test_override_is_what_resolve_answers() -> None:
    """Inside the block the name has what was given, the rest the built-in defaults; other names are unknown."""
    before = module.resolver
    with override("openai", model="gpt-test", temperature=0.2, api_key="sk-mine") as answer:
        assert service() == ("sk-mine", "gpt-test", 0.2)
        assert resolve("openai") is answer
        assert answer.status == "ok"
        assert answer.max_tokens == PARAMETERS["max_tokens"].default
        assert answer.source("temperature").layer == "provider"
        assert answer.client_options()["base_url"] == "https://api.openai.com/v1"
        assert resolve("anthropic").status == "unknown_provider"
        assert resolve(None).status == "unknown_provider"  # type: ignore[arg-type]  # that is the point
        assert not module.resolver.stale
        assert module.resolver.start().wait(0.1)

    assert module.resolver is before
    assert before._thread is None


def test_override_nests_and_decorates() -> None:
    """Blocks add up, and what an inner one changes comes back; a decorator does the same."""

    @override("openai", model="outer")
    def decorated() -> str | None:
        return resolve("openai").model

    assert decorated() == decorated() == "outer"
    with override("openai", model="outer"), override("anthropic", model="claude"):
        with override("openai", model="inner", custom_settings={"a": 1}, omitted_parameters=["top_p"]):
            inner = resolve("openai")
            assert (inner.model, resolve("anthropic").model) == ("inner", "claude")
            assert (inner.custom_settings, inner.omitted) == ({"a": 1}, ("top_p",))
            assert "top_p" not in inner.request_options()
        assert resolve("openai").model == "outer"


@pytest.mark.parametrize(
    "status", ["unknown_provider", "store_unavailable", "disabled", "no_model", "no_key", "key_unreadable"]
)
def test_every_status_can_be_tried_out(status: module.Status) -> None:
    """A service's test sees what its code does without a key."""
    with override("openai", status=status):
        assert resolve("openai").status == status
        assert resolve("openai").cure
        with pytest.raises(ApiKeyUnavailable, match=status):
            service()


def test_missing_parts_have_their_status() -> None:
    """No key and no model are told as such."""
    with override("openai", api_key=None):
        assert resolve("openai").status == "no_key"
    with override("openai", model=None):
        assert resolve("openai").status == "no_model"


def test_mistakes_are_named() -> None:
    """A parameter that does not exist, or a value that could not be stored, is a mistake in the test."""
    with pytest.raises(TypeError, match=r"temprature.*temperature"), override("openai", temprature=1):
        pass
    with pytest.raises(ValueError, match="temperature"), override("openai", temperature=3):
        pass


def test_override_ends_with_an_exception() -> None:
    """A failing test leaves nothing behind, and threads see what the test sees."""
    seen = []

    @override("openai", model="gone")
    def failing() -> None:
        thread = threading.Thread(target=lambda: seen.append(resolve("openai").model))
        thread.start()
        thread.join()
        raise ZeroDivisionError

    before = module.resolver
    with pytest.raises(ZeroDivisionError):
        failing()
    assert seen == ["gone"]
    assert module.resolver is before
