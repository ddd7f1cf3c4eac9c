"""The merge of layers: what is in force, where it comes from, and what stands in its way."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.crypto import Box, KeyRing, Place
from core.errors import ApiKeyUnavailable, Invalid, KeyUnreadable
from core.kinds import KINDS
from core.parameters import PARAMETERS, SENDABLE
from core.resolving.effective import BUILT_IN, CURES, LAYERS, NOT_NEEDED, Source, Status
from core.resolving.merge import DEEPEST, Layer, ProviderFacts, build, is_deeper, layer_of, provider_of, read_json
from core.resolving.words import state_of
from tests.conftest import ENCRYPTION_KEY
from tests.parameters import RULES, SENT, another

CANARY = "sk-canary-0123456789abcdef"
RING = KeyRing(ENCRYPTION_KEY)
ADA = {"by": "ada", "at": "2026-01-02T03:04:05+00:00", "version": 3}


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


def _box() -> Box:
    place = Place("llm_providers", 7, "api_key", "https://api.openai.com:443")
    return RING.box(*RING.seal(CANARY, place), place)


def _unreadable() -> Box:
    raise KeyUnreadable("damaged", "The stored key is damaged. Enter the API key again.")


def _provider(**more: Any) -> ProviderFacts:
    facts = {
        "id": 7,
        "name": "openai",
        "display_name": "OpenAI",
        "kind": "openai",
        "base_url": None,
        "default_model": "m1",
        "is_active": True,
        "version": 5,
        "changes": {"default_model": ADA},
        "open_box": _box,
    }
    return ProviderFacts(**{**facts, **more})


def _everyone(**values: Any) -> Layer:
    return Layer("all_providers", 1, 9, values, {})


def _own(**values: Any) -> Layer:
    return Layer("provider", 2, 4, values, {})


def test_built_in_defaults() -> None:
    """Without any row the built-in defaults are in force, and say so."""
    answer = build(_provider(), ())

    for name, parameter in PARAMETERS.items():
        assert getattr(answer, name) == parameter.default
        assert answer.source(name) == BUILT_IN == Source("built_in", None, None, None, None)
    assert (answer.model, answer.omitted, answer.custom_settings) == ("m1", (), {})


def test_defaults_are_those_of_the_specification() -> None:
    """The built-in defaults are these, and no others."""
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items()}

    assert defaults == {name: default for name, (default, _) in RULES.items()}


def test_higher_layer_wins_field_by_field() -> None:
    """The provider's row beats the row of all providers, which beats the built-in default, each field for itself."""
    answer = build(_provider(), [_everyone(temperature=0.1, top_p=0.2), _own(temperature=0.3)])

    assert (answer.temperature, answer.top_p, answer.max_tokens) == (0.3, 0.2, 2000)
    layers = [answer.source(name).layer for name in ("temperature", "top_p", "max_tokens")]
    assert layers == ["provider", "all_providers", "built_in"]
    assert set(layers) < set(LAYERS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.0),
        ("temperature", 0),
        ("top_p", 0.0),
        ("max_retries", 0),
        ("enable_logging", False),
        ("log_request_data", False),
    ],
)
def test_zero_and_false_are_values(name: str, value: object) -> None:
    """An explicit 0 or False is a value like any other: it hides what is below, and is not taken for *inherit*."""
    below = {name: True if value is False else 1}
    answer = build(_provider(), [_everyone(**below), _own(**{name: value})])

    assert getattr(answer, name) == value
    assert answer.source(name).layer == "provider"


def test_null_inherits() -> None:
    """A field that is None, and one that is missing, inherit alike."""
    answer = build(_provider(), [_everyone(temperature=0.1), _own(temperature=None)])

    assert answer.temperature == 0.1
    assert answer.source("temperature").layer == "all_providers"


@pytest.mark.parametrize(
    ("everyone", "own", "by"),
    [
        ({"omitted_parameters": ["temperature"]}, {}, "all_providers"),
        ({}, {"omitted_parameters": ["temperature"]}, "provider"),
        ({"temperature": 0.1}, {"omitted_parameters": ["temperature"]}, "provider"),
        ({"omitted_parameters": ["temperature"]}, {"omitted_parameters": ["temperature"]}, "provider"),
        ({"omitted_parameters": ["temperature"]}, {"omitted_parameters": []}, "all_providers"),
        ({"omitted_parameters": ["temperature"]}, {"omitted_parameters": ["top_p"]}, "all_providers"),
        ({"omitted_parameters": ["temperature"]}, {"top_p": 0.5}, "all_providers"),
        ({}, {"temperature": 0.3, "omitted_parameters": ["temperature"]}, "provider"),
        ({"omitted_parameters": ["temperature"]}, {"temperature": 0.3}, None),
        ({"omitted_parameters": ["temperature"]}, {"temperature": 0.0}, None),
        ({"temperature": 0.1, "omitted_parameters": ["temperature"]}, {"temperature": 0.3}, None),
        ({"temperature": 0.1}, {"omitted_parameters": ["top_p"]}, None),
    ],
)
def test_highest_layer_that_speaks_decides_what_is_sent(
    everyone: dict[str, Any], own: dict[str, Any], by: str | None
) -> None:
    """An omission is inherited, a higher value undoes it, and in one row it wins over the value, which stays to be seen."""
    answer = build(_provider(), [_everyone(**everyone), _own(**own)])
    why = next(e for e in answer.explain() if e.name == "temperature")

    assert ("temperature" in answer.omitted) == (by is not None)
    assert ("temperature" in answer.request_options()) == (by is None)
    assert (why.omitted_by and why.omitted_by.layer) == by
    assert answer.temperature == own.get("temperature", everyone.get("temperature", 0.7))


def test_what_is_not_sent_to_a_model_cannot_be_omitted() -> None:
    """Retries, timeouts and logging are ours: a row that lists them, or anything odd, as omitted changes nothing."""
    odd = ["max_retries", "enable_logging", "nope", 5, None, ["temperature"]]

    assert build(_provider(), [_own(omitted_parameters=odd)]).omitted == ()
    for garbage in ("temperature", {"temperature": 1}, 5, True):
        assert build(_provider(), [_own(omitted_parameters=garbage)]).omitted == ()


def test_omitted_names_stand_in_one_order() -> None:
    """However the rows list them, omitted names come in the order of the screen."""
    answer = build(_provider(), [_everyone(omitted_parameters=["top_p"]), _own(omitted_parameters=["temperature"])])

    assert answer.omitted == ("temperature", "top_p")


def test_model_is_the_preferred_one_else_the_default() -> None:
    """The provider's row may prefer a model; otherwise the provider's default model is used, and blamed on who set it."""
    default, preferred = build(_provider(), ()), build(_provider(), [_own(preferred_model="m2")])

    assert (default.model, preferred.model) == ("m1", "m2")
    assert default.source("model") == Source("provider_default", 7, 3, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "ada")
    assert preferred.source("model") == Source("provider", 2, 4)
    shadowed = next(e for e in preferred.explain() if e.name == "model").shadows
    assert [(source.layer, value) for source, value in shadowed] == [("provider_default", "m1")]


def test_row_of_all_providers_prefers_no_model() -> None:
    """A model on the row of all providers would be another vendor's: it is ignored."""
    assert build(_provider(), [_everyone(preferred_model="m2")]).model == "m1"
    assert build(_provider(default_model=None), [_everyone(preferred_model="m2")]).status == "no_model"
    assert build(_provider(default_model=None), [_own(preferred_model="m2")]).status == "ok"


def test_custom_settings_merge_key_by_key() -> None:
    """Each key comes from the highest row that has it; a value is replaced whole, and null is a value."""
    below = {"a": 1, "b": {"x": 1}, "c": [1], "n": 1}
    answer = build(
        _provider(),
        [_everyone(custom_settings=below), _own(custom_settings={"b": {"y": 2}, "d": 0, "n": None})],
    )

    assert answer.custom_settings == {"a": 1, "b": {"y": 2}, "c": [1], "d": 0, "n": None}
    assert answer.source("custom_settings.a").layer == "all_providers"
    assert answer.source("custom_settings.b").layer == "provider"
    shadowed = next(e for e in answer.explain() if e.name == "custom_settings.b").shadows
    assert [value for _, value in shadowed] == [{"x": 1}]


def test_garbage_in_custom_settings_is_ignored() -> None:
    """A row that holds no object there counts as empty."""
    for garbage in ([1], "x", 5, True):
        assert build(_provider(), [_own(custom_settings=garbage)]).custom_settings == {}


def test_callers_share_nothing_that_can_change() -> None:
    """What one caller does to dictionaries and lists it was given, no other caller sees."""
    row = {"list": [1], "dict": {"a": 1}}
    answer = build(_provider(), [_own(custom_settings=row, temperature=0.3, omitted_parameters=["top_p"])])
    before = json.dumps(answer.as_dict())

    answer.custom_settings["list"].append(2)
    answer.custom_settings["new"] = 1
    answer.request_options()["temperature"] = 9
    for kind, place in (("google", "config"), ("anthropic", "extra_body")):
        other = build(_provider(kind=kind), [])
        other.request_options()[place]["temperature"] = 9
        assert other.request_options()[place]["temperature"] == 0.7
    answer.client_options()["api_key"] = "x"
    answer.as_dict()["custom_settings"]["dict"]["a"] = 9
    answer.as_dict()["omitted"].append("x")
    for explained in answer.explain():
        if isinstance(explained.value, dict | list):
            explained.value.clear()
    row["list"].append(3)

    assert json.dumps(answer.as_dict()) == before
    assert answer.custom_settings == {"list": [1], "dict": {"a": 1}}
    assert {e.name: e.value for e in answer.explain()}["custom_settings.dict"] == {"a": 1}
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.temperature = 1.0  # type: ignore[misc]  # that is the point
    with pytest.raises((AttributeError, TypeError)):
        answer.extra = 1  # type: ignore[attr-defined]  # that is the point


def test_source_says_who_and_when() -> None:
    """Each field knows who changed it, when and in which version: not the last change of the row."""
    changes = {"temperature": ADA, "top_p": {**ADA, "by": "bob", "version": 4}}
    layer = Layer("provider", 2, 4, {"temperature": 0.3, "top_p": 0.4, "max_tokens": 5}, changes)
    answer = build(_provider(), [layer])

    assert answer.source("temperature") == Source("provider", 2, 3, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "ada")
    assert (answer.source("top_p").changed_by, answer.source("top_p").version) == ("bob", 4)
    assert answer.source("max_tokens") == Source("provider", 2, 4)


@pytest.mark.parametrize("change", [None, 5, "ada", [], {}, {"at": "yesterday"}, {"at": 5, "by": None}])
def test_garbage_in_field_changes_is_no_error(change: object) -> None:
    """A change history that somebody damaged costs who and when, never the value."""
    for changes in ({"temperature": change}, change):
        layer = Layer("provider", 2, 4, {"temperature": 0.3}, changes)  # type: ignore[arg-type]  # that is the point
        source = build(_provider(), [layer]).source("temperature")
        assert source == Source("provider", 2, 4)


def test_source_of_an_unknown_name_is_refused() -> None:
    """A misspelt name is refused, and the names there are, are named."""
    answer = build(_provider(), [_own(custom_settings={"a": 1})])

    for name in ("temprature", "custom_settings", "custom_settings.b", "", "api_key"):
        with pytest.raises(Invalid, match=r"temperature.*custom_settings\.a"):
            answer.source(name)


def test_explain_names_what_is_hidden() -> None:
    """Explain has every value once, nearest shadow first, down to the built-in default."""
    answer = build(_provider(), [_everyone(temperature=0.1), _own(temperature=0.3)])
    explained = {e.name: e for e in answer.explain()}

    assert list(explained) == ["model", *PARAMETERS]
    assert explained["temperature"].value == 0.3
    assert explained["temperature"].shadows == ((Source("all_providers", 1, 9), 0.1), (BUILT_IN, 0.7))
    assert explained["top_p"].shadows == ()


STATUSES: list[tuple[Status, dict[str, Any] | None]] = [
    ("disabled", {"is_active": False, "default_model": None, "open_box": None}),
    ("disabled", {"is_active": False, "open_box": _unreadable}),
    ("disabled", {"is_active": False}),
    ("no_model", {"default_model": None, "open_box": None}),
    ("no_model", {"default_model": None, "open_box": _unreadable}),
    ("no_model", {"default_model": ""}),
    ("no_key", {"open_box": None}),
    ("key_unreadable", {"open_box": _unreadable}),
    ("ok", {}),
    ("disabled", {"is_active": False, "needs_key": False}),
    ("no_model", {"default_model": None, "needs_key": False}),
    ("unknown_provider", None),
    ("store_unavailable", None),
]


@pytest.mark.parametrize(("status", "facts"), STATUSES)
def test_status_is_the_first_that_holds(status: Status, facts: dict[str, Any] | None) -> None:
    """Of several things that stand in the way the first is named; no key comes with any but ok, and the cure is said."""
    if facts is None:
        answer = build(None, [_own(temperature=0.1)], name="openai", missing=status)
        assert (answer.temperature, answer.model, answer.base_url, answer.kind) == (0.7, None, None, None)
    else:
        answer = build(_provider(**facts), [_own(temperature=0.1)])
        assert answer.temperature == 0.1

    assert answer.status == status
    assert answer.provider == "openai"
    if status == "ok":
        assert answer.api_key() == answer.client_options()["api_key"] == CANARY
        assert answer.cure is None
        return
    cure = "Enter the API key again" if status == "key_unreadable" else CURES[status]
    for ask in (answer.api_key, answer.client_options):
        with pytest.raises(ApiKeyUnavailable) as caught:
            ask()
        assert (caught.value.provider, caught.value.status) == ("openai", status)
        assert "'openai'" in str(caught.value)
        assert cure in str(caught.value)
        assert cure in (answer.cure or "")


@pytest.mark.parametrize("open_box", [None, _unreadable])
def test_without_need_of_a_key_nothing_is_opened(open_box: Any) -> None:
    """A provider that needs no key is ok, and gives the word that stands for none, whatever is stored."""
    answer = build(_provider(needs_key=False, open_box=open_box), [])

    assert (answer.status, answer.cure, answer.key_problem) == ("ok", None, None)
    assert answer.api_key() == answer.client_options()["api_key"] == NOT_NEEDED == "not-needed"


def test_every_status_has_a_cure() -> None:
    """No status but ok is without a cure."""
    assert {status for status, _ in STATUSES} == {*CURES, "ok"}


@pytest.mark.parametrize(
    ("kind", "base_url", "expected"),
    [
        ("openai", None, "https://api.openai.com/v1"),
        ("openai", "", "https://api.openai.com/v1"),
        ("anthropic", None, "https://api.anthropic.com"),
        ("google", None, "https://generativelanguage.googleapis.com"),
        ("openai", "https://proxy.example/v1", "https://proxy.example/v1"),
        ("openai_compatible", "http://localhost:8000", "http://localhost:8000"),
        ("azure_openai", "https://x.openai.azure.com", "https://x.openai.azure.com"),
    ],
)
def test_client_options_name_the_address(kind: str, base_url: str | None, expected: str) -> None:
    """What the SDK is given always names the base URL, and the timeout in seconds."""
    answer = build(_provider(kind=kind, base_url=base_url), [_own(request_timeout_ms=1500, max_retries=0)])
    common = {"timeout": 1.5, "max_retries": 0}
    forms: dict[str, dict[str, Any]] = {
        "google": {
            "vertexai": False,
            "http_options": {"base_url": expected, "timeout": 1500, "retry_options": {"attempts": 1}},
        },
        "azure_openai": {"azure_endpoint": expected, "api_version": "2024-10-21", **common},
    }

    assert answer.client_options() == {"api_key": CANARY, **forms.get(kind, {"base_url": expected, **common})}


def test_request_options_are_what_is_sent() -> None:
    """The request has the model and every sendable parameter that is not omitted, and nothing of ours."""
    answer = build(_provider(), [_own(omitted_parameters=["top_p"], temperature=0.0, max_retries=1)])

    names = KINDS["openai"].names
    sent = {names[name]: RULES[name][0] for name in SENT if RULES[name][0] is not None and name != "top_p"}
    assert answer.request_options() == {"model": "m1", **sent, "temperature": 0.0}
    assert SENDABLE == SENT


@pytest.mark.parametrize("kind", KINDS)
def test_request_options_leave_out_what_the_vendor_never_accepts(kind: str) -> None:
    """Its SDK would raise a TypeError, whoever set the value; the reasons say the same, and nothing else is left out."""
    values = {name: another(name) for name in SENDABLE}
    answer = build(_provider(kind=kind, base_url="https://host.example"), [_own(**values)])
    expected = {name: value for name, value in values.items() if name not in KINDS[kind].never_accepted}
    named = {KINDS[kind].names[name]: value for name, value in expected.items()}
    beside = {name: named.pop(name) for name in KINDS[kind].beside}
    form = {"config": named} if kind == "google" else named | ({"extra_body": beside} if beside else {})
    states = {item.name: state_of(item) for item in answer.explain()}

    assert answer.request_options() == {"model": "m1", **form}
    assert {item.name for item in answer.explain() if item.sent} == {"model", *expected}
    assert {name: states[name] for name in SENDABLE} == {n: "sent" if n in expected else "not sent" for n in SENDABLE}


def test_plain_form_is_json_without_a_key() -> None:
    """The plain form holds every parameter and no key, sealed or open; it has no way back to one."""
    answer = build(_provider(), [_own(custom_settings={"a": [1]})], generation=12)
    text = json.dumps(answer.as_dict())

    assert CANARY not in text
    assert json.loads(text)["generation"] == 12
    assert set(PARAMETERS) < set(answer.as_dict())


def test_answers_are_equal_by_value() -> None:
    """Two answers with the same values are equal and hash alike; other values make another answer."""
    first, second = (build(_provider(), [_own(temperature=0.3)]) for _ in range(2))

    assert first == second
    assert hash(first) == hash(second)
    assert first != build(_provider(), [_own(temperature=0.4)])


def test_rows_of_the_database_are_read() -> None:
    """A row of either table, given as column -> value, is read; an inherited column is None."""
    place = Place("llm_providers", 7, "api_key", "https://proxy.example:443")
    blob, key_id, binding = RING.seal(CANARY, place)
    row = {
        "id": 7,
        "name": "openai",
        "display_name": "OpenAI",
        "kind": "openai",
        "api_base_url": "https://proxy.example",
        "default_model": "m1",
        "is_active": True,
        "version": 5,
        "field_changes": {},
        "needs_key": True,
        "api_key_encrypted": blob,
        "api_key_key_id": key_id,
        "api_key_binding": binding,
    }
    everyone = layer_of({"id": 1, "provider_id": None, "version": 1, "field_changes": {}, "temperature": 0.1})
    own = layer_of({"id": 2, "provider_id": 7, "version": 1, "field_changes": {}, "temperature": None})
    answer = build(provider_of(row, RING), [everyone, own])

    assert (everyone.name, own.name) == ("all_providers", "provider")
    assert (answer.temperature, answer.api_key()) == (0.1, CANARY)
    moved = build(provider_of({**row, "api_base_url": "https://evil.example"}, RING), ())
    assert moved.status == "key_unreadable"
    assert build(provider_of({**row, "api_key_encrypted": None}, RING), ()).status == "no_key"
    assert build(provider_of({**row, "api_key_encrypted": ""}, RING), ()).status == "no_key"
    assert build(provider_of({**row, "api_key_encrypted": "", "needs_key": None}, RING), ()).status == "no_key"
    assert build(provider_of({**row, "needs_key": False}, RING), ()).api_key() == NOT_NEEDED


def _reference(layers: list[Mapping[str, Any]], default_model: str | None) -> dict[str, Any]:
    """The rules once more, the slow and obvious way; *layers* are lowest first."""
    answer: dict[str, Any] = {name: parameter.default for name, parameter in PARAMETERS.items()}
    answer |= {"model": default_model, "custom_settings": {}, "omitted": []}
    for number, layer in enumerate(layers):
        for name in PARAMETERS:
            if layer[name] is not None:
                answer[name] = layer[name]
        for key, value in (layer["custom_settings"] or {}).items():
            answer["custom_settings"][key] = value
        if number == 1 and layer["preferred_model"] is not None:
            answer["model"] = layer["preferred_model"]
    answer["omitted"] = [name for name in SENDABLE if not _sent(layers, name)]
    return answer


def _sent(layers: list[Mapping[str, Any]], name: str) -> bool:
    sent = True
    for layer in layers:
        if layer[name] is not None:
            sent = True
        if name in (layer["omitted_parameters"] or []):
            sent = False
    return sent


def _value(name: str) -> st.SearchStrategy[Any]:
    parameter = PARAMETERS[name]
    if parameter.choices:
        return st.none() | st.sampled_from(parameter.choices)
    if parameter.value_type is bool:
        return st.none() | st.booleans()
    return st.none() | st.sampled_from(
        [parameter.minimum, parameter.maximum, parameter.first, max(0, parameter.minimum or 0)]
    )


ROW = st.fixed_dictionaries(
    {
        **{name: _value(name) for name in PARAMETERS},
        "preferred_model": st.none() | st.sampled_from(["m1", "m2"]),
        "omitted_parameters": st.none() | st.lists(st.sampled_from(SENDABLE), max_size=3),
        "custom_settings": st.none()
        | st.dictionaries(
            st.sampled_from("abc"), st.none() | st.integers() | st.lists(st.text(max_size=3), max_size=2)
        ),
    }
)


@given(everyone=st.none() | ROW, own=st.none() | ROW, default_model=st.none() | st.just("m1"))
@settings(max_examples=300, deadline=None)
def test_merge_agrees_with_the_obvious_one(
    everyone: dict[str, Any] | None, own: dict[str, Any] | None, default_model: str | None
) -> None:
    """For any two rows the answer is that of a slow, obvious implementation, and each source holds the value it names."""
    rows = [("all_providers", everyone), ("provider", own)]
    layers = [
        Layer(name, number, 1, row, {})  # type: ignore[arg-type]  # the names are layer names
        for number, (name, row) in enumerate(rows)
        if row is not None
    ]
    answer = build(_provider(default_model=default_model), layers)
    empty = dict.fromkeys([*PARAMETERS, "preferred_model", "omitted_parameters", "custom_settings"])
    expected = _reference([everyone or empty, own or empty], default_model)

    assert {name: answer.as_dict()[name] for name in expected} == expected
    values = {layer.name: layer.values for layer in layers}
    for name in PARAMETERS:
        source = answer.source(name)
        assert getattr(answer, name) == (
            values[source.layer][name] if source.layer != "built_in" else PARAMETERS[name].default
        )
    for explained in answer.explain():
        assert [s for s, _ in explained.shadows] == sorted(
            (s for s, _ in explained.shadows), key=lambda s: list(LAYERS).index(s.layer), reverse=True
        )


def test_box_is_opened_for_the_caller_only() -> None:
    """Building verifies the key once and keeps no plain text: each call opens it anew."""
    opened = []

    def open_box() -> Box:
        opened.append(1)
        return _box()

    answer = build(_provider(open_box=open_box), ())
    assert answer.api_key() == answer.api_key() == CANARY
    assert len(opened) == 1
    assert CANARY not in repr(answer)


@pytest.mark.parametrize("levels", [1, 2, DEEPEST])
@pytest.mark.parametrize("ends", ["[]", '{"a": 1}', '[1, {"a": []}]'])
def test_depth_is_counted_to_the_level(levels: int, ends: str) -> None:
    """A list in a list is two levels, whatever stands beside it; what a column may have is read, a level more is none."""
    inner = {"[]": 1, '{"a": 1}': 1}.get(ends, 3)
    nested = "[0, " * levels + ends + "]" * levels

    assert not is_deeper(json.loads(nested), levels + inner)
    assert is_deeper(json.loads(nested), levels + inner - 1)
    assert (read_json(nested) is None) == (levels + inner > DEEPEST)


def test_the_nearest_custom_setting_wins() -> None:
    """Key by key: what the provider's own row says hides what is said for all, and the rest is inherited."""
    facts = ProviderFacts(1, "a", "A", "openai", None, "m", is_active=True, version=1, changes={}, open_box=None)
    far = Layer("all_providers", 1, 1, {"custom_settings": {"x": 1, "y": 2}}, {})
    near = Layer("provider", 2, 1, {"custom_settings": {"x": 3}}, {})

    assert build(facts, [far, near]).custom_settings == {"x": 3, "y": 2}
