"""One decision says what is sent: what a model refuses never is, what nothing is known of always is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.kinds import KINDS
from core.models import adapt as module
from core.models import rules
from core.models.adapt import Adapted, adapt
from core.models.apis import APIS
from core.models.facts import ModelFacts
from core.models.verdict import Verdict
from core.parameters import PARAMETERS, SENDABLE
from tests.parameters import another

DEFAULTS = {name: PARAMETERS[name].default for name in SENDABLE if PARAMETERS[name].default is not None}
TYPED = {name: another(name) for name in SENDABLE}
ON, OFF = {"effort": "high"}, {"effort": "none"}
UNLESS = "effort=none"

refuse = Verdict("refuse", "it does not", "url")
ignore = Verdict("ignore", "it has no effect", "url")
only = Verdict("only", "it is 1", "url", values=(1,))
ranged = Verdict("range", "", "url", low=0.5, high=1)
LEFT, KEPT = "left_out", None


def decided(*said: Verdict, value: Any, explicit: bool, name: str = "temperature", **how: Any) -> Adapted:
    """What becomes of one parameter that the API says *said* of."""
    steps = module._steps({name: said})
    case = module._Case({name} if explicit else (), (), *_how(**how))
    return module._decide(steps, {name: value}, case)


def _how(
    custom: Mapping[str, Any] | None = None, beside: Mapping[str, Any] | None = None, unfit: Any = "leave_out"
) -> Any:
    return custom or {}, beside or {}, unfit


@pytest.mark.parametrize(
    ("said", "value", "explicit", "sent", "what"),
    [
        (Verdict("ok", "", "url"), 0.7, True, {"temperature": 0.7}, KEPT),
        (refuse, 0.7, False, {}, LEFT),
        (refuse, 0.7, True, {}, LEFT),
        (ignore, 0.7, False, {}, LEFT),
        (ignore, 0.7, True, {}, LEFT),
        (only, 0.7, False, {}, LEFT),
        (only, 0.7, True, {}, LEFT),
        (only, 1, False, {"temperature": 1}, KEPT),
        (only, 1.0, True, {"temperature": 1.0}, KEPT),
        (ranged, 0.7, True, {"temperature": 0.7}, KEPT),
        (ranged, 1.5, False, {}, LEFT),
        (ranged, 1.5, True, {"temperature": 1}, "clamped"),
        (ranged, 0.0, True, {"temperature": 0.5}, "clamped"),
        (Verdict("rename", "", "url", to="heat"), 0.7, False, {"heat": 0.7}, "renamed"),
        (Verdict("rename", "", "url", to="heat"), 0.7, True, {"heat": 0.7}, "renamed"),
        (Verdict("require", "", "url"), 0.7, False, {"temperature": 0.7}, KEPT),
        (Verdict("exclusive", "", "url", to="top_p"), 0.7, True, {"temperature": 0.7}, KEPT),
    ],
    ids=lambda value: getattr(value, "does", None),
)
def test_every_verdict(said: Verdict, value: float, explicit: bool, sent: dict[str, Any], what: str | None) -> None:
    """A value that somebody chose is brought into a range; all else that does not fit is left out."""
    found = decided(said, value=value, explicit=explicit)

    assert found.sent == sent
    assert [note.what for note in found.adjustments] == ([] if what is None else [what])
    assert all(note.asked_for is explicit for note in found.adjustments)


@pytest.mark.parametrize("said", [refuse, ignore, only, ranged], ids=lambda said: said.does)
@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize(
    ("by_default", "custom", "beside", "holds"),
    [
        (True, {}, {}, True),
        (False, {}, {}, False),
        (True, ON, {}, True),
        (False, ON, {}, True),
        (True, OFF, {}, True),  # nobody can tell whether a program sends it
        (False, OFF, {}, False),
        (True, {}, OFF, False),
        (False, {}, ON, True),
        (True, ON, OFF, False),
        (False, OFF, ON, True),
        (True, {"effort": None}, {"effort": 7}, True),
        (False, {"effort": {"none": 1}}, {}, True),
    ],
)
def test_conditions(
    said: Verdict, explicit: bool, by_default: bool, custom: dict[str, Any], beside: dict[str, Any], holds: bool
) -> None:
    """Unset, the rule's own default counts; what the request has counts more than what a program may add."""
    conditional = replace(said, unless=UNLESS, by_default=by_default)
    found = decided(conditional, value=1.5, explicit=explicit, custom=custom, beside=beside)

    assert (found.sent != {"temperature": 1.5}) is holds
    assert bool(found.adjustments) is holds


def test_a_condition_within_an_object_and_above_a_number() -> None:
    thinking = replace(refuse, unless="thinking.type=disabled")
    assert decided(thinking, value=1, explicit=True, beside={"thinking": {"type": "disabled"}}).sent
    for odd in ({"thinking": "disabled"}, {"thinking": {}}, {"thinking": {"type": "enabled"}}):
        assert not decided(thinking, value=1, explicit=True, beside=odd).sent

    greedy = {"top_p": (replace(only, unless="temperature>0", by_default=False),)}
    for temperature, sent in ((0, False), (0.2, True), (None, True)):
        steps, values = module._steps(greedy), {"temperature": temperature, "top_p": 0.5}
        assert ("top_p" in module._decide(steps, values, module._Case((), (), {}, {}, "leave_out")).sent) is sent


@pytest.mark.parametrize(
    ("explicit", "beside", "sent"),
    [
        ((), {}, {"temperature"}),
        (("temperature",), {}, {"temperature"}),
        (("top_p",), {}, {"top_p"}),
        (("temperature", "top_p"), {}, {"temperature"}),
        (("temperature",), {"top_p": 0.1}, set()),
        (("top_p",), {"temperature": 0.1}, set()),
        ((), {"temperature": 0.1, "top_p": 0.1}, set()),
    ],
)
def test_two_that_exclude_each_other(explicit: tuple[str, ...], beside: dict[str, Any], sent: set[str]) -> None:
    """The chosen one stays, else the temperature; what the options of a call name stays as it is."""
    steps = module._steps({"top_p": (Verdict("exclusive", "only one", "url", to="temperature"),)})
    values = {name: 0.5 for name in ("temperature", "top_p") if name not in beside}
    found = module._decide(steps, values, module._Case(explicit, (), {}, beside, "leave_out"))

    assert set(found.sent) == sent
    assert {note.parameter for note in found.adjustments} == set(values) - sent


def test_what_is_required_is_sent_though_omitted() -> None:
    found = adapt("anthropic", "m", DEFAULTS, (), SENDABLE)

    assert found.sent == {"max_tokens": 2000}
    assert [(note.parameter, note.what, note.to) for note in found.adjustments] == [("max_tokens", "added", 2000)]


def test_somebody_knows_better() -> None:
    """Then all that has a name is sent as it is, and by its name."""
    found = adapt("openai", "gpt-5", TYPED, SENDABLE, unfit="send")
    assert found.sent == {"max_completion_tokens" if n == "max_tokens" else n: value for n, value in TYPED.items()}
    assert [note.what for note in found.adjustments] == ["renamed"]

    found = adapt("anthropic", "claude-opus-5", TYPED, SENDABLE, unfit="send")
    theirs = filter(None, KINDS["anthropic"].names.values())
    assert set(found.sent) == {name.partition(".")[0] for name in theirs}


EVERY_API = st.sampled_from([*APIS, "unheard-of", ""])
KIND = st.sampled_from([*KINDS, "unheard-of", None])
NAMES = st.sets(st.sampled_from([*SENDABLE, "no such parameter"]))
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)
EXTRA = st.dictionaries(
    st.sampled_from(["reasoning_effort", "thinking", "temperature", "seed"]),
    st.one_of(
        st.sampled_from(
            [
                "none",
                "low",
                {"type": "disabled"},
                {"type": "enabled"},
                {"type": {}},
                {"budget_tokens": 4},
                {"budget_tokens": "4"},
            ]
        ),
        ANYTHING,
    ),
)
FACTS = st.builds(
    ModelFacts,
    name=st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["claude-opus-4-5", "claude-3-haiku", "grok-4", "grok-3", "kimi-k2.5", "gemini-2.0-flash", "gpt-9"]
        ),
    ),
    api=EVERY_API,
    max_output=st.one_of(st.none(), st.integers(1, 200_000)),
    reasoning=st.sampled_from([None, "none", "optional", "default", "always"]),
    efforts=st.sampled_from([(), ("none", "low"), ("low", "high")]),
    sampling=st.sampled_from([None, "yes", "no", "ignored"]),
    temperature_max=st.sampled_from([None, 1.0, 1.5, 2.0]),
    assumed_from=st.sampled_from([None, "gpt-8"]),
)


@pytest.mark.parametrize(
    ("api", "model", "parameter", "value", "what"),
    [
        # Bedrock's own protocol, whoever made the model; OpenAI's models have theirs there
        ("bedrock", "amazon.nova-pro-v1:0", "temperature", 1.5, "clamped"),
        ("bedrock", "us.anthropic.claude-sonnet-4-6", "temperature", 1.5, "clamped"),
        ("bedrock", "meta.llama3-3-70b-instruct-v1:0", "frequency_penalty", 0.5, "left_out"),
        ("bedrock", "openai.gpt-oss-120b-1:0", "temperature", 1.5, None),
        ("bedrock", "openai.gpt-oss-120b-1:0", "frequency_penalty", 0.5, None),
        # OpenAI's words in front of Gemini and Claude, and the model's own; of a gateway nobody knows
        ("vertex", "gemini-3-flash-preview", "reasoning_effort", "xhigh", "left_out"),
        ("vertex", "gemini-3-flash-preview", "reasoning_effort", "minimal", None),
        ("vertex", "gemini-2.5-flash", "reasoning_effort", "max", "left_out"),
        ("vertex", "gemini-2.5-flash", "reasoning_effort", "low", None),
        ("bedrock", "us.anthropic.claude-sonnet-4-6", "reasoning_effort", "xhigh", "left_out"),
        ("bedrock", "us.anthropic.claude-sonnet-4-6", "reasoning_effort", "max", None),
        ("compatible", "claude-sonnet-4-6", "reasoning_effort", "xhigh", None),
        # a level that the API maps to one that the model has
        ("deepseek", "deepseek-v4-flash", "reasoning_effort", "medium", None),
        ("deepseek", "deepseek-v4-flash", "reasoning_effort", "none", "left_out"),
        # a model's own levels are no relative's
        ("mistral", "mistral-medium-3-5", "reasoning_effort", "high", None),
        ("mistral", "mistral-medium-3-5", "reasoning_effort", "low", "left_out"),
        ("xai", "grok-4.20-multi-agent-0309", "reasoning_effort", "high", None),
        ("xai", "grok-4.20-0309-reasoning", "reasoning_effort", "high", "left_out"),
        # a name with "guard" in it that answers with text
        ("groq", "openai/gpt-oss-safeguard-20b", "reasoning_effort", "none", "left_out"),
        ("mistral", "codestral-2508", "temperature", 1.8, "clamped"),
        ("moonshot", "kimi-k2-0905-preview", "temperature", 1.3, "clamped"),
    ],
)
def test_what_hosts_make_of_a_value(api: str, model: str, parameter: str, value: Any, what: str | None) -> None:
    """As examiners found it at the vendors, by refusals and reference pages (tests/models/examined_3.json)."""
    notes = adapt(api, model, {parameter: value}, {parameter}).adjustments
    found = {note.what for note in notes if note.parameter == parameter}

    assert found - {"renamed"} == ({what} if what else set())


@pytest.mark.parametrize("api", sorted(APIS))
def test_a_model_of_an_empty_name_is_nobodys(api: str) -> None:
    """SQL may have it, and what is known of APIs is read by rules of names."""
    assert rules.verdicts(api, None, ModelFacts("", api)).keys() <= set(SENDABLE)


@given(EVERY_API, KIND, st.one_of(FACTS, st.none(), st.text()), st.dictionaries(st.sampled_from(SENDABLE), ANYTHING), NAMES, NAMES, EXTRA, EXTRA)  # fmt: skip
def test_it_never_raises(
    api: str, kind: Any, model: Any, values: Any, explicit: Any, omitted: Any, custom: Any, beside: Any
) -> None:
    """Whatever SQL, a catalogue or a caller has; and names nothing that was not given to it."""
    found = adapt(api, model, values, explicit, omitted, custom=custom, kind=kind, beside=beside)

    assert {note.parameter for note in found.adjustments} <= set(values)
    assert [note.as_dict()["asked_for"] for note in found.adjustments] == [
        note.parameter in explicit for note in found.adjustments
    ]


VALID = st.fixed_dictionaries(
    {
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(1, 1_000_000),
        "top_p": st.floats(0, 1),
        "frequency_penalty": st.floats(-2, 2),
        "presence_penalty": st.floats(-2, 2),
    }
)


@given(EVERY_API, KIND, FACTS, VALID, NAMES, NAMES, EXTRA)
def test_nothing_is_sent_that_is_refused(
    api: str, kind: Any, facts: ModelFacts, values: Any, explicit: Any, omitted: Any, beside: Any
) -> None:
    """Neither what the verdicts forbid, nor a second time another value: what was decided once is decided the same again."""
    beside = {name: value for name, value in beside.items() if name not in SENDABLE}
    found = adapt(api, facts, values, explicit, omitted, kind=kind, beside=beside)
    said = rules.verdicts(api, kind or module.KIND_OF.get(api, "openai_compatible"), facts)
    ours = {step.theirs: step.name for step in module._steps(said)}
    sent = {ours[theirs]: value for theirs, value in found.sent.items()}

    for name, value in sent.items():
        required = any(one.does == "require" for one in said.get(name, ()))
        assert name not in omitted or required
        for one in said.get(name, ()):
            if one.unless and not _is_on(one, beside, sent):
                continue
            assert one.does not in {"refuse", "ignore"}
            assert one.does != "only" or value in one.values
            assert one.does != "range" or one.low <= value <= one.high
            assert one.does != "exclusive" or one.to not in sent
            if one.does == "above" and (facts.max_output or 9) > 4:  # else no value fits
                budget = thinking.get("budget_tokens") if isinstance(thinking := beside.get("thinking"), dict) else None
                assert budget != 4 or value > 4
    again = adapt(api, facts, sent, explicit, (), kind=kind, beside=beside)
    assert again.sent == found.sent
    assert {note.what for note in again.adjustments} <= {"renamed"}


def _is_on(one: Verdict, beside: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    if one.unless == "temperature>0":
        return sent.get("temperature", 1) == 0
    name, _, value = one.unless.partition("=")
    name, _, inner = name.partition(".")
    found = beside.get(name)
    if inner:
        found = found.get(inner) if isinstance(found, dict) else None
    return one.by_default if found is None else found != value


@given(KIND, VALID, NAMES, EXTRA)
def test_of_an_unknown_model_everything_is_kept(kind: Any, values: Any, explicit: Any, custom: Any) -> None:
    """But for what the protocol has no name for, cannot do without, or limits itself."""
    facts = KINDS.get(kind, KINDS["openai_compatible"])
    found = adapt("compatible", "unheard-of", values, explicit, custom=custom, kind=kind)

    expected = {facts.names[n] or n: v for n, v in values.items() if facts.names[n] and n not in facts.ranges}
    assert {name: value for name, value in found.sent.items() if name not in facts.ranges} == expected
    assert module.standing("compatible", "unheard-of") == "unknown"
    assert module.standing("compatible", None) == "unknown"


SAID = [(name, one) for name in APIS for one in (*rules.OF_APIS.get(name, ()), *rules.OF_MODELS.get(name, ()))]


def test_each_rule_has_its_page() -> None:
    """Each verdict that a rule can give names the page or the report that says so."""
    shapes = [
        ModelFacts(name, api, reasoning=reasoning, sampling=sampling, temperature_max=1.5, max_output=5)
        for api in rules.OF_MODELS
        for name in ("claude-opus-4-5", "grok-4", "kimi-k3", "gemini-4")
        for reasoning in ("none", "optional", "default", "always")
        for sampling in ("yes", "no", "ignored")
    ]
    said = [one for _, rule in SAID for facts in shapes if (one := rule.of(facts))]

    assert {one.does for one in said} == {
        *("refuse", "ignore", "only", "visible", "above", "range", "rename", "exclusive")
    }
    assert all(one.url.startswith("https://") or one.url.startswith("the vendor's reference") for one in said)
    assert all(one.why for one in said if one.does != "range")


@pytest.mark.parametrize(
    ("api", "kind", "model", "effort", "sent"),
    [
        ("openai", "openai", "gpt-5.4", "low", {"reasoning_effort": "low"}),
        ("openai", "openai", "gpt-5.4", "minimal", {}),
        ("openai", "openai", "gpt-4o", "low", {}),
        ("openai", "openai", "o1-mini", "low", {}),
        ("openai", "openai", "o1-preview", "high", {}),
        ("openai", "openai", "o1", "low", {"reasoning_effort": "low"}),
        ("openai", "openai", "gpt-unheard-of", "odd", {"reasoning_effort": "odd"}),
        ("azure", "azure_openai", "gpt-5.4", "low", {"reasoning_effort": "low"}),
        ("anthropic", "anthropic", "claude-opus-4-6", "max", {"output_config": {"effort": "max"}}),
        ("anthropic", "anthropic", "claude-haiku-4-5", "low", {}),
        ("anthropic", "anthropic", "claude-opus-5", "none", {}),
        ("google", "google", "gemini-3.8-flash", "low", {"thinking_config": {"thinking_level": "low"}}),
        ("google", "google", "gemini-3.8-flash", "minimal", {}),
        ("google", "google", "gemini-2.5-pro", "low", {}),
        ("google", "openai_compatible", "gemini-2.5-pro", "low", {"reasoning_effort": "low"}),
        ("mistral", "openai_compatible", "mistral-large-4", "high", {"reasoning_effort": "high"}),
        ("mistral", "openai_compatible", "mistral-large-4", "low", {}),
        ("xai", "openai_compatible", "grok-4.6", "xhigh", {"reasoning_effort": "xhigh"}),
        ("xai", "openai_compatible", "grok-3", "low", {}),
        ("xai", "openai_compatible", "grok-3-mini", "low", {"reasoning_effort": "low"}),
        ("xai", "openai_compatible", "grok-4-0709", "low", {}),
        ("xai", "openai_compatible", "grok-4-latest", "low", {}),
        ("groq", "openai_compatible", "qwen/qwen3-32b", "high", {}),
        ("groq", "openai_compatible", "qwen/qwen3-32b", "none", {"reasoning_effort": "none"}),
        ("groq", "openai_compatible", "qwen/qwen3.8-27b", "high", {"reasoning_effort": "high"}),
        ("groq", "openai_compatible", "openai/gpt-oss-120b", "none", {}),
        ("openrouter", "openai_compatible", "openai/gpt-4o", "low", {"reasoning_effort": "low"}),
    ],
)
def test_an_effort_goes_where_the_model_has_it(
    api: str, kind: str, model: str, effort: str, sent: dict[str, Any]
) -> None:
    """By the vendor's own name and shape, and only where the model has that level; else it is said why not."""
    found = adapt(api, model, {"reasoning_effort": effort}, ["reasoning_effort"], kind=kind)

    assert found.sent == sent
    if not sent:
        (note,) = found.adjustments
        assert (note.parameter, note.what, note.asked_for) == ("reasoning_effort", "left_out", True)
        assert note.why


@pytest.mark.parametrize(
    ("api", "kind", "model", "stop", "sent"),
    [
        ("openai", "openai", "gpt-4o", list("abcde"), {"stop": list("abcd")}),
        ("openai", "openai", "gpt-5.1", ["a"], {}),
        ("openai", "openai", "o3", ["a"], {}),
        ("openai", "openai", "gpt-unheard-of", ["a"], {"stop": ["a"]}),
        ("anthropic", "anthropic", "claude-opus-5", ["\n", "a", " "], {"stop_sequences": ["a"]}),
        ("anthropic", "anthropic", "claude-opus-5", ["\n"], {}),
        ("google", "google", "gemini-3.8-flash", list("abcdef"), {"stop_sequences": list("abcde")}),
        ("xai", "openai_compatible", "grok-4.6", ["a"], {}),
        ("mistral", "openai_compatible", "mistral-large-4", ["a"], {"stop": ["a"]}),
    ],
)
def test_stop_is_sent_as_far_as_it_is_taken(
    api: str, kind: str, model: str, stop: list[str], sent: dict[str, Any]
) -> None:
    """So many as the API takes, none that it refuses, and none at all to a model that takes none."""
    found = adapt(api, model, {"stop": tuple(stop)}, ["stop"], kind=kind)

    assert found.sent == sent
    assert (sent.get("stop") or sent.get("stop_sequences")) == stop or found.adjustments[0].parameter == "stop"


@pytest.mark.parametrize(
    ("thinking", "max_tokens", "explicit", "sent"),
    [
        (None, 500, True, 500),
        ({"type": "enabled", "budget_tokens": 1024}, 16_384, True, 16_384),
        ({"type": "enabled", "budget_tokens": 1024}, 500, True, 1_524),
        ({"type": "enabled", "budget_tokens": 1024}, 1024, False, 2_048),
        ({"type": "enabled", "budget_tokens": 60_000}, 10_000, True, 64_000),
        ({"type": "enabled", "budget_tokens": "1024"}, 500, True, 500),
        ({"type": "enabled", "budget_tokens": True}, 500, True, 500),
        ("enabled", 500, True, 500),
    ],
)
def test_the_limit_holds_the_budget_of_thinking(thinking: Any, max_tokens: int, explicit: bool, sent: int) -> None:
    """The vendor counts it within the limit and refuses a limit that is no larger; what was set is left for the answer."""
    found = adapt(
        "anthropic",
        "claude-sonnet-4-5",
        {"max_tokens": max_tokens},
        ["max_tokens"] if explicit else [],
        beside={} if thinking is None else {"thinking": thinking},
    )

    assert found.sent == {"max_tokens": sent}
    assert [(note.what, note.to, note.asked_for) for note in found.adjustments] == (
        [] if sent == max_tokens else [("clamped", sent, explicit)]
    )


@pytest.mark.parametrize(("effort", "is_sent"), [(None, True), ("none", True), ("low", False)])
def test_temperature_follows_the_effort_that_is_set(effort: str | None, is_sent: bool) -> None:
    """A model that does not reason by default takes a temperature until an effort is set, of a settings row as of a call."""
    values = {"temperature": 0.5, "reasoning_effort": effort}
    found = adapt("openai", "gpt-5.4", values, ["temperature", "reasoning_effort"])
    on = adapt("openai", "gpt-5.5", values, ["temperature", "reasoning_effort"])

    assert ("temperature" in found.sent) == is_sent
    assert ("temperature" in on.sent) == (effort == "none")


def test_cohere_takes_temperature_and_penalties_from_0_to_1_and_top_p_below_1() -> None:
    """What somebody set is brought into the range; our built-in top_p of 1 goes in silence."""
    values = {"temperature": 1.5, "top_p": 1.0, "frequency_penalty": -0.5, "presence_penalty": 1.5, "stop": ["a"] * 6}
    found = adapt("cohere", "command-a-03-2025", values, values.keys() - {"top_p"})

    assert found.sent == {"temperature": 1, "frequency_penalty": 0, "presence_penalty": 1, "stop": ["a"] * 5}
    assert [note.parameter for note in found.adjustments if not note.asked_for] == ["top_p"]


def test_deepseek_reasoner_samples_by_nothing_of_ours() -> None:
    """It took them without an error and without an effect; of V4, whose thinking can be turned off, top_p counts."""
    values = {"temperature": 0.5, "top_p": 0.95, "frequency_penalty": 0.5, "presence_penalty": 0.5, "max_tokens": 9}
    reasoner = adapt("deepseek", "deepseek-reasoner", values, values)
    v4 = adapt("deepseek", "deepseek-v4-pro", values, values)

    assert (reasoner.sent, v4.sent) == ({"max_tokens": 9}, {"top_p": 0.95, "max_tokens": 9})
