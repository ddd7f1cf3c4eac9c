"""What a program adds to a request is decided together with the settings, in the same way as what they have alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.kinds import KINDS
from core.resolving.decision import SPELLINGS, called_otherwise
from core.resolving.effective import EffectiveSettings
from core.resolving.layers import Layer
from core.resolving.merge import ProviderFacts, build

TERRA = "gpt-6.1-terra"


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


def _settings(kind: str, model: str, base_url: str | None = None, **values: Any) -> EffectiveSettings:
    facts = ProviderFacts(1, "acme", "Acme", kind, base_url, model, True, 1, {}, None)  # noqa: FBT003 - it is active
    return build(facts, [Layer("provider", 1, 1, values, {})])


@pytest.mark.parametrize(
    ("model", "more", "sent"),  # None: not even the effort, which the model does not have
    [
        (TERRA, {}, set()),
        (TERRA, {"reasoning_effort": "none"}, {"temperature", "top_p"}),
        (TERRA, {"reasoning_effort": "low"}, set()),
        (TERRA, {"temperature": 0.2}, set()),
        ("gpt-5.4", {}, {"temperature", "top_p"}),
        ("gpt-5.4", {"reasoning_effort": "low"}, set()),
        ("gpt-5.4", {"temperature": None}, {"top_p"}),
        ("gpt-5.4", {"model": TERRA}, set()),
        ("gpt-5.4", {"model": "gpt-4o"}, {"temperature", "top_p", "frequency_penalty", "presence_penalty"}),
        ("gpt-5", {"reasoning_effort": "minimal"}, set()),
        ("gpt-5", {"reasoning_effort": "none"}, None),
    ],
)
def test_what_a_program_adds(model: str, more: dict[str, Any], sent: set[str] | None) -> None:
    """What it says of reasoning decides what else is sent; it stands in the request itself."""
    options = _settings("openai", model).request_options(**more)

    others = {name: value for name, value in more.items() if name == "reasoning_effort" and sent is not None}
    assert options.pop("model") == more.get("model", model)
    assert {name: options.pop(name) for name in others} == others
    assert options.pop("max_completion_tokens") == 2000
    assert set(options) == (sent or set())


def test_by_our_names_and_by_theirs() -> None:
    """Ours count more than the settings' and are renamed; the vendor's name of one of ours takes its place."""
    settings = _settings("openai", "m", temperature=0.4, max_tokens=70)

    options = settings.request_options(temperature=0.2, max_tokens=50)
    assert (options["temperature"], options["max_completion_tokens"]) == (0.2, 50)
    assert settings.request_options(max_completion_tokens=60)["max_completion_tokens"] == 60
    assert "max_tokens" not in settings.request_options(max_completion_tokens=60)
    assert _settings("anthropic", "m").request_options(temperature=5)["extra_body"]["temperature"] == 1
    assert set(SPELLINGS.values()) == set(KINDS["openai"].names)


@pytest.mark.parametrize("kind", [*KINDS, "newest"])
def test_only_anthropics_sdk_lacks_what_its_api_has_none_of(kind: str) -> None:
    """Of the names that we know, each is an argument; of a kind of a newer version nothing can be said."""
    absent = set(KINDS[kind].never_accepted) if kind in KINDS else set()

    assert called_otherwise(_settings(kind, "m", "https://host.example").basis()) == absent
    assert (SPELLINGS["topP"], SPELLINGS["maxCompletionTokens"]) == ("top_p", "max_tokens")


def test_what_a_program_gives_is_sent_though_omitted() -> None:
    """The settings' omission holds for what the program does not name."""
    settings = _settings("openai", "m", omitted_parameters=["temperature", "top_p"])

    options = settings.request_options(temperature=0.2)
    assert options["temperature"] == 0.2
    assert "top_p" not in options
    assert not {"temperature", "top_p"} & set(settings.request_options(max_tokens=5))


def test_what_stands_beside_the_arguments() -> None:
    """It is joined with what a program has there, and read: DeepSeek thinks unless told otherwise; Google's stands in config."""
    thinks = _settings("openai_compatible", "deepseek-v4-pro", "https://api.deepseek.com/v1")
    off: dict[str, Any] = {"thinking": {"type": "disabled"}}
    assert "temperature" not in thinks.request_options()
    assert thinks.request_options(extra_body=off)["temperature"] == 0.7
    assert thinks.request_options(extra_body=off)["extra_body"] == off

    claude = _settings("anthropic", "claude-sonnet-4-5", temperature=0.5)
    assert claude.request_options(extra_body={"top_k": 5})["extra_body"] == {"temperature": 0.5, "top_k": 5}
    gemini = _settings("google", "m").request_options(seed=7)
    assert (set(gemini), gemini["config"]["seed"]) == ({"model", "config"}, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_callers_own(kind: str) -> None:
    """Who changes one changes no other, whether a program has added something or not."""
    settings = _settings(kind, "m", "https://host.example")
    for more in ({}, {"seed": 7}):
        before = repr(settings.request_options(**more))
        found = settings.request_options(**more)
        for inner in (found, *(value for value in found.values() if isinstance(value, dict))):
            inner["spoilt"] = True
        assert repr(settings.request_options(**more)) == before


def test_custom_settings_forbid_and_never_allow() -> None:
    """A program may send what stands there, or not: only what goes in both cases is sent."""
    assert "temperature" in _settings("openai", "gpt-5.4").request_options()
    assert (
        "temperature"
        not in _settings("openai", "gpt-5.4", custom_settings={"reasoning_effort": "low"}).request_options()
    )
    assert (
        "temperature" not in _settings("openai", TERRA, custom_settings={"reasoning_effort": "none"}).request_options()
    )


@pytest.mark.parametrize(
    ("model", "standing"), [("gpt-5", "known"), ("gpt-5-2030-01-01", "known"), ("unheard-of", "unknown")]
)
def test_what_is_known_of_a_model(model: str, standing: str) -> None:
    """A dated name is the model itself; of one that is not known everything is sent."""
    assert _settings("openai", model).model_is == standing


@pytest.mark.parametrize(
    ("for_all", "own", "sends"),
    [(None, None, False), ("send", None, True), ("send", "leave_out", False), ("leave_out", "send", True)],
)
def test_the_highest_row_says_what_becomes_of_what_does_not_fit(
    for_all: str | None, own: str | None, *, sends: bool
) -> None:
    """`send`: what somebody chose goes as it is, also with what a call adds; built-in defaults are left out as ever."""
    facts = ProviderFacts(1, "acme", "Acme", "openai", None, "gpt-5", True, 1, {}, None)  # noqa: FBT003 - it is active
    rows: list[dict[str, Any]] = [{"temperature": 0.4, "unfit_parameters": for_all}, {"unfit_parameters": own}]
    settings = build(facts, [Layer("all_providers", 1, 1, rows[0], {}), Layer("provider", 2, 1, rows[1], {})])
    explained = {each.name: each for each in settings.explain()}
    what = {each.parameter: each.what for each in settings.adjustments}

    for options in (settings.request_options(), settings.request_options(seed=7), settings.adapted().sent):
        assert (options.get("temperature") == 0.4) is sends
        assert "top_p" not in options
    assert what["top_p"] == "left_out"
    assert ("temperature" in what) is not sends
    assert explained["temperature"].sent is sends
    assert not explained["unfit_parameters"].sent
    assert explained["unfit_parameters"].value == ("send" if sends else "leave_out")


def test_of_two_that_exclude_each_other_both_go_where_both_are_chosen() -> None:
    """And with `send` one that is a built-in default goes still."""
    for chosen, sent in (({"temperature": 0.4, "top_p": 0.5}, True), ({"top_p": 0.5}, False)):
        options = _settings("anthropic", "claude-opus-4-1", unfit_parameters="send", **chosen).adapted().sent
        assert options["top_p"] == 0.5
        assert ("temperature" in options) is sent
