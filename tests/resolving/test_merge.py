"""The merge of layers: what is in force, where it comes from, and what stands in its way."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.crypto import Place
from core.parameters import PARAMETERS, SENDABLE
from core.resolving.carried import carried_of
from core.resolving.effective import NOT_NEEDED
from core.resolving.explanation import BUILT_IN, LAYERS, Source
from core.resolving.layers import Layer
from core.resolving.merge import DEEPEST, ProviderFacts, build, is_deeper, layer_of, provider_of, read_json
from tests.parameters import RULES, another
from tests.resolving.facts import ADA, CANARY, RING, everyone_layer, own_layer, provider


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


def test_built_in_defaults() -> None:
    """Without any row the built-in defaults are in force, and say so."""
    answer = build(provider(), ())

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
    answer = build(provider(), [everyone_layer(temperature=0.1, top_p=0.2), own_layer(temperature=0.3)])

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
    answer = build(provider(), [everyone_layer(**below), own_layer(**{name: value})])

    assert getattr(answer, name) == value
    assert answer.source(name).layer == "provider"


def test_null_inherits() -> None:
    """A field that is None, and one that is missing, inherit alike."""
    answer = build(provider(), [everyone_layer(temperature=0.1), own_layer(temperature=None)])

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
    answer = build(provider(), [everyone_layer(**everyone), own_layer(**own)])
    why = next(e for e in answer.explain() if e.name == "temperature")

    assert ("temperature" in answer.omitted) == (by is not None)
    assert ("temperature" in answer.request_options()) == (by is None)
    assert (why.omitted_by and why.omitted_by.layer) == by
    assert answer.temperature == own.get("temperature", everyone.get("temperature", 0.7))


def test_what_is_not_sent_to_a_model_cannot_be_omitted() -> None:
    """Retries, timeouts and logging are ours: a row that lists them, or anything odd, as omitted changes nothing."""
    odd = ["max_retries", "enable_logging", "nope", 5, None, ["temperature"]]

    assert build(provider(), [own_layer(omitted_parameters=odd)]).omitted == ()
    for garbage in ("temperature", {"temperature": 1}, 5, True):
        assert build(provider(), [own_layer(omitted_parameters=garbage)]).omitted == ()


def test_omitted_names_stand_in_one_order() -> None:
    """However the rows list them, omitted names come in the order of the screen."""
    answer = build(
        provider(), [everyone_layer(omitted_parameters=["top_p"]), own_layer(omitted_parameters=["temperature"])]
    )

    assert answer.omitted == ("temperature", "top_p")


def test_model_is_the_preferred_one_else_the_default() -> None:
    """The provider's row may prefer a model; otherwise the provider's default model is used, and blamed on who set it."""
    default, preferred = build(provider(), ()), build(provider(), [own_layer(preferred_model="m2")])

    assert (default.model, preferred.model) == ("m1", "m2")
    assert default.source("model") == Source("provider_default", 7, 3, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "ada")
    assert preferred.source("model") == Source("provider", 2, 4)
    shadowed = next(e for e in preferred.explain() if e.name == "model").shadows
    assert [(source.layer, value) for source, value in shadowed] == [("provider_default", "m1")]


def test_row_of_all_providers_prefers_no_model() -> None:
    """A model on the row of all providers would be another vendor's: it is ignored."""
    assert build(provider(), [everyone_layer(preferred_model="m2")]).model == "m1"
    assert build(provider(default_model=None), [everyone_layer(preferred_model="m2")]).status == "no_model"
    assert build(provider(default_model=None), [own_layer(preferred_model="m2")]).status == "ok"


def test_custom_settings_merge_key_by_key() -> None:
    """Each key comes from the highest row that has it; a value is replaced whole, and null is a value."""
    below = {"a": 1, "b": {"x": 1}, "c": [1], "n": 1}
    answer = build(
        provider(),
        [everyone_layer(custom_settings=below), own_layer(custom_settings={"b": {"y": 2}, "d": 0, "n": None})],
    )

    assert answer.custom_settings == {"a": 1, "b": {"y": 2}, "c": [1], "d": 0, "n": None}
    assert answer.source("custom_settings.a").layer == "all_providers"
    assert answer.source("custom_settings.b").layer == "provider"
    shadowed = next(e for e in answer.explain() if e.name == "custom_settings.b").shadows
    assert [value for _, value in shadowed] == [{"x": 1}]


def test_garbage_in_custom_settings_is_ignored() -> None:
    """A row that holds no object there counts as empty."""
    for garbage in ([1], "x", 5, True):
        assert build(provider(), [own_layer(custom_settings=garbage)]).custom_settings == {}


def test_callers_share_nothing_that_can_change() -> None:
    """What one caller does to dictionaries and lists it was given, no other caller sees."""
    row = {"list": [1], "dict": {"a": 1}}
    answer = build(provider(), [own_layer(custom_settings=row, temperature=0.3, omitted_parameters=["top_p"])])
    before = json.dumps(answer.as_dict())

    answer.custom_settings["list"].append(2)
    answer.custom_settings["new"] = 1
    answer.request_options()["temperature"] = 9
    for kind, place in (("google", "config"), ("anthropic", "extra_body")):
        other = build(provider(kind=kind), [])
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
    answer = build(provider(), [layer])

    assert answer.source("temperature") == Source("provider", 2, 3, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "ada")
    assert (answer.source("top_p").changed_by, answer.source("top_p").version) == ("bob", 4)
    assert answer.source("max_tokens") == Source("provider", 2, 4)


@pytest.mark.parametrize("change", [None, 5, "ada", [], {}, {"at": "yesterday"}, {"at": 5, "by": None}])
def test_garbage_in_field_changes_is_no_error(change: object) -> None:
    """A change history that somebody damaged costs who and when, never the value."""
    for changes in ({"temperature": change}, change):
        layer = Layer("provider", 2, 4, {"temperature": 0.3}, changes)  # type: ignore[arg-type]  # that is the point
        source = build(provider(), [layer]).source("temperature")
        assert source == Source("provider", 2, 4)


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


NOT_OF_A_TYPE: dict[type, list[object]] = {
    str: ["Nonsense 1", "", 5, True, ["full"]],
    bool: ["true", 0, 1, 1.0, []],
    int: ["5", True, 5.5, [5], {}],
    float: ["0.5", True, False, [0.5], {}],
    list: ["END", 1, True, [], [1], {}, ["x"] * 17],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_value_that_no_parameter_may_have_counts_as_not_set(name: str) -> None:
    """Raw SQL may have stored anything: of another type, below the range and above it; the layer below is in force."""
    parameter = PARAMETERS[name]
    bounds = [parameter.minimum, parameter.maximum]
    beyond = [] if None in bounds else [bounds[0] - 1, bounds[1] + 1]  # type: ignore[operator]  # not None
    for value in [None, *NOT_OF_A_TYPE[parameter.value_type], *beyond]:
        answer = build(provider(), [everyone_layer(**{name: parameter.first}), own_layer(**{name: value})])
        assert (answer.as_dict()[name], answer.source(name).layer) == (parameter.first, "all_providers"), value
    for value in [parameter.first, *(bound for bound in bounds if bound is not None)]:
        answer = build(provider(), [own_layer(**{name: value})])
        assert (answer.as_dict()[name], answer.source(name).layer) == (value, "provider"), value


def test_facts_of_a_provider_show_nothing_that_is_stored_sealed() -> None:
    """Neither the blob nor a header stands in what is printed of it: a debugger's line, or a log's."""
    row = {
        "id": 7,
        "name": "openai",
        "display_name": "OpenAI",
        "kind": "openai",
        "api_base_url": None,
        "default_model": "m1",
        "is_active": True,
        "version": 5,
        "field_changes": {},
        "needs_key": True,
        "api_key_encrypted": "blob-of-the-key",
        "api_key_key_id": "k",
        "api_key_binding": "binding-of-the-key",
    }
    header = {"id": 1, "provider_id": 7, "use": "header", "name": "X", "plain_value": CANARY, "value_encrypted": None}

    printed = repr(provider_of(row, RING, open_carried=carried_of([header], RING, "https://api.openai.com:443")))

    assert "openai" in printed
    assert not [word for word in ("blob-of", "binding-of", CANARY) if word in printed]


def test_answer_without_a_provider_has_the_name_that_was_asked_for() -> None:
    """As its name and as what people read; nobody asked: both are empty. Without a store the generation is 0."""
    asked, nobody = build(None, (), name="acme"), build(None, ())

    assert [(each.provider, each.display_name) for each in (asked, nobody)] == [("acme", "acme"), ("", "")]
    assert (asked.provider_id, asked.status, asked.generation) == (None, "unknown_provider", 0)


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
    if parameter.pattern or parameter.most:
        return st.none() | st.sampled_from([parameter.first, another(name)])
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
    answer = build(provider(default_model=default_model), layers)
    empty = dict.fromkeys([*PARAMETERS, "preferred_model", "omitted_parameters", "custom_settings"])
    expected = _reference([everyone or empty, own or empty], default_model)

    assert {name: answer.as_dict()[name] for name in expected} == expected
    values = {layer.name: layer.values for layer in layers}
    for name in PARAMETERS:
        source = answer.source(name)
        assert answer.as_dict()[name] == (
            values[source.layer][name] if source.layer != "built_in" else PARAMETERS[name].default
        )
    for explained in answer.explain():
        assert [s for s, _ in explained.shadows] == sorted(
            (s for s, _ in explained.shadows), key=lambda s: list(LAYERS).index(s.layer), reverse=True
        )


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
