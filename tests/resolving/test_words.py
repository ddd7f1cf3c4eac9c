"""Effective settings in words: one sentence for each state, name and value, wherever people read it."""

from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

import pytest

from core.models.adapt import Adjustment
from core.parameters import PARAMETERS
from core.resolving import words
from core.resolving.effective import EffectiveSettings
from core.resolving.explanation import Explained, Source
from core.resolving.layers import Layer
from core.resolving.merge import ProviderFacts, build

EXPLAINED = Explained("temperature", 0.5, Source("built_in"), (), None)
LEFT = Adjustment("temperature", "left_out", None, "it always reasons", "catalogue", date(2026, 11, 26))


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "sent"),
        ({"omitted_by": Source("provider")}, "not sent"),
        ({"value": None}, "not set"),
        ({"name": "max_retries", "value": 3}, "for the program"),
        ({"adjusted": LEFT}, "not sent"),
        ({"adjusted": LEFT._replace(what="clamped", to=1.0)}, "sent"),
        ({"omitted_by": Source("provider"), "adjusted": LEFT._replace(what="added", to=0.5)}, "sent"),
    ],
)
def test_what_becomes_of_a_value(change: dict[str, Any], state: str) -> None:
    """Omitted wins; what is sent is sent; without a value nothing can be; the rest stays here, or the vendor has none such."""
    assert words.state_of(EXPLAINED._replace(**change)) == state


def test_labels() -> None:
    """A parameter has its label, the model its own, and a custom setting is called as it was typed."""
    assert {name: words.label_of(name) for name in PARAMETERS} == {n: p.label for n, p in PARAMETERS.items()}
    assert words.label_of("model") == "Model"
    assert words.label_of("custom_settings.region") == "custom_settings.region"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("model", None, "none chosen"),
        ("model", "m1", "m1"),
        ("temperature", None, "not set"),
        ("temperature", 0.1 + 0.2, "0.3"),
        ("max_tokens", 60000, "60,000"),
        ("enable_logging", True, "On"),
        ("enable_logging", False, "Off"),
        ("log_level", "full", "full"),
        ("custom_settings.region", "Zürich", '"Zürich"'),
        ("custom_settings.region", None, "null"),
        ("custom_settings.n", 60000, "60000"),
        ("extra_parameters.seed", 60000, "60000"),
        ("extra_parameters.user", None, "null"),
        ("stop", ["END", "\n"], '"END", "\\n"'),
        ("stop", ("Ü",), '"Ü"'),
        ("nobody's", 60000, "60000"),
        *[(name, 60000, "60000") for name, p in PARAMETERS.items() if not p.is_amount],
    ],
)
def test_values(name: str, value: Any, shown: str) -> None:
    """Amounts are read in thousands, floats without their noise, custom settings as JSON."""
    assert words.value_text(name, value) == shown


def _settings(kind: str, model: str = "m", omitted: Collection[str] = (), **more: Any) -> EffectiveSettings:
    facts = ProviderFacts(
        id=1,
        name="acme",
        display_name="Acme",
        kind=kind,
        base_url=None,
        default_model=model,
        is_active=True,
        version=1,
        changes={},
        open_box=None,
    )
    return build(facts, [Layer("provider", 1, 1, {**more, "omitted_parameters": list(omitted)}, {})])


def test_what_somebody_chose_and_the_vendor_takes_otherwise() -> None:
    """A chosen value that is left out, brought into the range, or sent though omitted; a built-in default is none."""
    [out] = words.warnings_of(_settings("anthropic", temperature=1.5))
    [added] = words.warnings_of(_settings("anthropic", omitted=["max_tokens"]))
    [never] = words.warnings_of(_settings("anthropic", presence_penalty=0.5))
    [refused] = words.warnings_of(_settings("openai", "gpt-5", temperature=0.2))

    assert out == "temperature 1.5 is sent to m as 1: it takes 0 to 1. Choose a value in that range."
    assert added == (
        "max_tokens is omitted, though Anthropic's API takes no request without it: 2,000 is sent. "
        "Take it off the omitted parameters."
    )
    assert never.startswith("presence_penalty 0.5 is not sent to m: Anthropic's API has none.")
    assert refused == (
        "temperature 0.2 is not sent to gpt-5: it always reasons. "
        "Choose another model to have it sent, or have it inherited."
    )
    for kind, model in (("anthropic", "m"), ("openai", "gpt-5"), ("anthropic", "claude-opus-5"), ("openai", "m")):
        assert words.warnings_of(_settings(kind, model)) == []


def test_what_is_omitted_for_nothing() -> None:
    """Of a known model, what it takes; neither what it refuses, nor what excludes another, nor anything of an unknown one."""
    assert words.warnings_of(_settings("openai", "gpt-5", ["temperature", "top_p", "presence_penalty"])) == []
    assert words.warnings_of(_settings("anthropic", "claude-sonnet-4-5", ["top_p"])) == []
    assert words.warnings_of(_settings("openai", "unheard-of", ["max_tokens", "top_p"])) == []
    for limit in (500, 1_000_000):  # sent all the same, the second one as what the model takes at most
        assert (
            words.omitted_for_nothing(_settings("anthropic", "claude-sonnet-4-5", ["max_tokens"], max_tokens=limit))
            == []
        )
    [one] = words.warnings_of(_settings("openai", "gpt-5", ["temperature", "max_tokens"]))
    [two] = words.warnings_of(_settings("openai", "gpt-4o", ["top_p", "max_tokens"]))

    assert one == ("max_tokens is omitted, though gpt-5 takes it. Take it off the omitted parameters to have it sent.")
    assert two.startswith("max_tokens and top_p are omitted, though gpt-4o takes them.")


@pytest.mark.parametrize(
    ("what", "to", "said"),
    [
        ("left_out", None, "not sent: it always reasons"),
        ("added", 0.5, "sent though omitted: it always reasons"),
        ("renamed", "heat", "sent as heat"),
        ("clamped", 1.0, "sent as 1: it always reasons"),
    ],
)
def test_what_becomes_of_a_chosen_value(what: Any, to: Any, said: str) -> None:
    """Each change has its words."""
    assert words.becomes(LEFT._replace(what=what, to=to)) == said


def test_what_is_changed_in_one_sentence() -> None:
    """For the connection test: names alone are no change."""
    assert words.changes_text(_settings("openai", "gpt-4o").adjustments) == ""
    said = words.changes_text(_settings("anthropic", "m", ["max_tokens"], temperature=1.5).adjustments)
    assert said == "frequency_penalty and presence_penalty left out; temperature is 1; max_tokens is 2,000"


@pytest.mark.parametrize("asked_for", [True, False])
@pytest.mark.parametrize(
    ("what", "to", "said"),
    [
        ("left_out", None, "0.7 · will be left out: it always reasons"),
        ("clamped", 1.0, "0.7 → 1: it always reasons"),
        ("added", 0.7, "0.7 is sent all the same: it always reasons"),
        ("renamed", "heat", "sent as heat"),
    ],
)
def test_a_note_on_a_value(what: Any, to: Any, said: str, *, asked_for: bool) -> None:
    """What becomes of it; another name alone is nothing that whoever chose the value has to look at."""
    note = words.note_of(LEFT._replace(what=what, to=to, asked_for=asked_for), 0.7)

    assert note == (said, asked_for and what != "renamed")


def test_notes_beside_the_values() -> None:
    """Of a known model also what is omitted for nothing; of an unknown one not, nor what has no value to be sent."""
    known = words.notes_of(_settings("openai", "gpt-4o", ["top_p", "stop", "reasoning_effort"], temperature=0.2))
    unknown = words.notes_of(_settings("openai", "unheard-of", ["top_p"]))

    assert unknown == {"max_tokens": ("sent as max_completion_tokens", False)}
    assert known == {**unknown, "top_p": ("left out by hand, though gpt-4o takes it", True)}
