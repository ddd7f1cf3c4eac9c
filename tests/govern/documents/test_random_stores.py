"""Whatever is stored: applying what export writes changes nothing, and writes the same into an empty installation, keys aside."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.govern.documents import applying, emitting, schema, wording, writing
from core.parameters import PARAMETERS, SENDABLE, Parameter
from tests.govern.documents.test_parsing import TEXTS

LINES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
NAMES = st.sampled_from(["a", "no", "1", "on", "a-b_c", "null"])
MODELS = ["m1", "m 2", "1e3"]


def value(parameter: Parameter) -> st.SearchStrategy[Any]:
    """A value that the parameter may have."""
    if parameter.choices:
        return st.sampled_from(parameter.choices)
    if parameter.pattern:
        return st.from_regex(parameter.pattern, fullmatch=True)
    if parameter.most:
        return st.lists(LINES, min_size=1, max_size=3)
    if parameter.value_type is bool:
        return st.booleans()
    low, high = parameter.minimum or 0, parameter.maximum or 0
    return st.integers(int(low), int(high)) if parameter.value_type is int else st.floats(low, high)


def said(name: str) -> st.SearchStrategy[Any]:
    """How a document says a parameter."""
    plain = value(PARAMETERS[name])
    if name not in SENDABLE:
        return plain
    return plain | st.just({"omit": True}) | plain.map(lambda each: {"omit": True, "value": each})


PARTS = st.fixed_dictionaries(
    {},
    optional={name: said(name) for name in PARAMETERS}
    | {
        "custom_settings": st.dictionaries(
            TEXTS.filter(lambda key: 0 < len(key) < 30),
            st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
            max_size=3,
        )
    },
)
PREFERRING = st.builds(lambda part, model: {**part, "preferred_model": model}, PARTS, st.sampled_from(MODELS))


def of_features(providers: list[str], features: list[str]) -> st.SearchStrategy[Any]:
    """Settings of features."""
    inner = st.fixed_dictionaries(
        {},
        optional={
            "settings": PARTS,
            "providers": st.dictionaries(
                st.sampled_from(providers), st.fixed_dictionaries({"settings": PARTS | PREFERRING}), max_size=2
            ),
        },
    )
    return st.dictionaries(st.sampled_from(features), inner, max_size=2)


RULES = (
    {"max_tokens": {"max": 100}},
    {"temperature": {"min": 0.25, "max": 1.0}, "top_p": {"send": False}},
    {"log_level": {"in": ["minimal", "errors_only"]}},
    {"max_retries": {"lock": True}, "stop": {"lock": True}},
    {"custom_settings.no": {"lock": True}},
)


@st.composite
def limits(draw: st.DrawFn, providers: list[str], features: list[str], organizations: list[str]) -> list[Any]:
    """Limits, which may forbid what the settings of the same document say: that stays stored."""
    found: dict[Any, Any] = {}
    for _ in range(draw(st.integers(0, 3))):
        of = {
            name: draw(st.sampled_from(names))
            for name, names in (("organization", organizations), ("feature", features), ("provider", providers))
            if names and draw(st.booleans())
        }
        owner = draw(st.sampled_from(["installation", "organization"])) if "organization" in of else "installation"
        rules = dict(draw(st.sampled_from(RULES)))
        if "provider" not in of and draw(st.booleans()):
            rules["default_provider"] = {"in": draw(st.lists(st.sampled_from(providers), min_size=1, unique=True))}
        note = draw(st.sampled_from([{}, {"note": "contract 1: no"}]))
        found[owner, *sorted(of.items())] = {"owner": owner, **of, "limits": rules, **note}
    return list(found.values())


PRESETS = st.dictionaries(
    st.sampled_from(["a", "no", "1e3", "creative", "null"]),
    st.builds(
        lambda settings, description: {**description, "settings": settings},
        st.fixed_dictionaries(
            {},
            optional={
                name: value(PARAMETERS[name]) | (st.just({"omit": True}) if name in SENDABLE else st.nothing())
                for name in PARAMETERS
            }
            | {"custom_settings": st.dictionaries(st.sampled_from(["no", "a.b"]), TEXTS, min_size=1, max_size=2)},
        ).filter(bool),
        st.fixed_dictionaries({}, optional={"description": LINES}),
    ),
    max_size=3,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document, any that can be applied."""
    providers = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    features = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    found: dict[str, Any] = {"version": 1, "installation": {"organizations": draw(st.sampled_from(["open", "closed"]))}}
    found["providers"] = {
        name: draw(
            st.fixed_dictionaries(
                {
                    "display_name": LINES,
                    "kind": st.just("openai_compatible"),
                    "api_base_url": st.just("http://127.0.0.1:9/v1"),
                    "available_models": st.just(MODELS),
                },
                optional={
                    "description": LINES,
                    "default_model": st.sampled_from(MODELS),
                    "is_active": st.booleans(),
                    "needs_key": st.booleans(),
                    "headers": st.dictionaries(
                        st.sampled_from(["X-A", "X-B"]), st.sampled_from(["1", "no", "2024-10-21"]), max_size=2
                    ),
                    "settings": PARTS | PREFERRING,
                },
            )
        )
        for name in providers
    }
    active = [name for name, each in found["providers"].items() if each.get("is_active", True)]
    found["defaults"] = draw(PARTS) | ({"default_provider": draw(st.sampled_from(active))} if active else {})
    found["features"] = {
        name: {"display_name": name, **draw(of_features(providers, [name])).get(name, {})} for name in features
    }
    found["organizations"] = {
        "tier": {"name": draw(LINES), "kind": "template", "settings": draw(PARTS)},
        **{
            slug: {
                "name": draw(LINES),
                "settings": draw(PARTS),
                "features": draw(of_features(providers, features)),
                "shares_keys": draw(st.booleans()),
                "external_names": [f"{slug} {n}" for n in range(draw(st.integers(0, 2)))],
                "providers": draw(
                    st.dictionaries(
                        st.sampled_from(providers),
                        st.fixed_dictionaries(
                            {},
                            optional={
                                "is_allowed": st.booleans(),
                                "allowed_models": st.just(MODELS),
                                "own_models": st.just(["own"]),
                                "requires_own_key": st.booleans(),
                                "settings": PARTS,
                            },
                        ),
                        max_size=2,
                    )
                ),
                **draw(st.sampled_from([{}, {"template": "tier"}])),
            }
            for slug in draw(st.lists(st.sampled_from(["acme", "no", "42"]), max_size=2, unique=True))
        },
    }
    found["limits"] = draw(limits(providers, features, list(found["organizations"])))
    found["presets"] = draw(PRESETS)
    return found


def generation(session: Session) -> int:
    """The generation, with what has been changed in this transaction."""
    session.execute(sql("SET CONSTRAINTS ALL IMMEDIATE"))
    session.execute(sql("SET CONSTRAINTS ALL DEFERRED"))
    return writing.generation(session)


@pytest.mark.long
@given(documents())
@settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_export_and_apply_are_each_others_inverse(session: Session, data: dict[str, Any]) -> None:
    """apply(export(x)) changes nothing, twice is once, and export(apply(export(x))) is export(x) in an empty installation; a dry run does nothing."""
    empty = session.begin_nested()
    try:
        text = emitting.written(data)
        began, stored = generation(session), writing.write(session, COMMAND_LINE)
        assert applying.put(session, COMMAND_LINE, schema.read(text), dry_run=True).changes
        assert (generation(session), writing.write(session, COMMAND_LINE)) == (began, stored)
        applying.put(session, COMMAND_LINE, schema.read(text))
        first = writing.write(session, COMMAND_LINE)
        for again in (text, first):
            found = applying.put(session, COMMAND_LINE, schema.read(again), prune=again == first)
            assert wording.diff(found) == "Nothing to change."
    finally:
        empty.rollback()
    other = session.begin_nested()
    try:
        applying.put(session, COMMAND_LINE, schema.read(first))
        assert writing.write(session, COMMAND_LINE) == first
    finally:
        other.rollback()
