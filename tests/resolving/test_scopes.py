"""Settings of organisations and features: the truth tables of docs/organisations.md, and random states against a slow reference.

How many random states are tried is for `LLM_TEST_SCOPES` to say: 800, or 40,000 in the nightly run.
"""

import json
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import ApiKeyUnavailable
from core.parameters import PARAMETERS
from core.resolving.effective import CURES, EffectiveSettings
from core.resolving.explanation import LayerName, Source
from core.resolving.layers import Layer, layer_name, names_provider
from core.resolving.limits import Limit, limit_of
from core.resolving.merge import build, with_unknown
from core.resolving.tenant import Default, Tenant, default_provider, place_of_own_key
from tests.parameters import SENT
from tests.resolving import reference
from tests.resolving.facts import CANARY, RING, box, everyone_layer, own_layer, provider, unreadable
from tests.resolving.reference import LimitRow, Org, Row, Vendor

STATES = int(os.environ.get("LLM_TEST_SCOPES", "800"))


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


SAYS: dict[str, dict[str, Any]] = {
    "inherit": {},
    "value": {"value": True},
    "don't send": {"omits": True},
    "value + don't send": {"value": True, "omits": True},
}
COLUMNS: list[tuple[LayerName, LayerName]] = [
    ("all_providers", "provider"),
    ("provider", "organization"),
    ("provider", "organization+provider"),
    ("organization", "feature"),
]
TABLE = """
inherit            | inherit            | 0.7           | 0.7           | 0.7           | 0.7
inherit            | value              | 0.9           | 0.9           | 0.9           | 0.9
inherit            | don't send         | 0.7, not sent | 0.7, not sent | 0.7, not sent | 0.7, not sent
inherit            | value + don't send | 0.9, not sent | 0.9, not sent | 0.9, not sent | 0.9, not sent
value              | inherit            | 0.2           | 0.2           | 0.2           | 0.2
value              | value              | 0.9           | 0.9           | 0.9           | 0.9
value              | don't send         | 0.2, not sent | 0.2, not sent | 0.2, not sent | 0.2, not sent
value              | value + don't send | 0.9, not sent | 0.9, not sent | 0.9, not sent | 0.9, not sent
don't send         | inherit            | 0.7, not sent | 0.7, not sent | 0.7, not sent | 0.7, not sent
don't send         | value              | 0.9           | 0.9, not sent | 0.9           | 0.9
don't send         | don't send         | 0.7, not sent | 0.7, not sent | 0.7, not sent | 0.7, not sent
don't send         | value + don't send | 0.9, not sent | 0.9, not sent | 0.9, not sent | 0.9, not sent
value + don't send | inherit            | 0.2, not sent | 0.2, not sent | 0.2, not sent | 0.2, not sent
value + don't send | value              | 0.9           | 0.9, not sent | 0.9           | 0.9
value + don't send | don't send         | 0.2, not sent | 0.2, not sent | 0.2, not sent | 0.2, not sent
value + don't send | value + don't send | 0.9, not sent | 0.9, not sent | 0.9, not sent | 0.9, not sent
"""
CASES = [
    (low, high, lower, higher, outcome)
    for line in TABLE.strip().splitlines()
    for low, high, *outcomes in [[cell.strip() for cell in line.split("|")]]
    for (lower, higher), outcome in zip(COLUMNS, outcomes, strict=True)
]


def _says(what: str, value: float) -> dict[str, Any]:
    said = SAYS[what]
    return ({"temperature": value} if "value" in said else {}) | (
        {"omitted_parameters": ["temperature"]} if "omits" in said else {}
    )


@pytest.mark.parametrize(("low", "high", "lower", "higher", "outcome"), CASES)
def test_inherit_value_and_do_not_send(low: str, high: str, lower: LayerName, higher: LayerName, outcome: str) -> None:
    """Two layers, each with nothing, a value, *do not send* or both: what is in force, and whether it is sent."""
    answer = build(provider(), [Layer(lower, 1, 1, _says(low, 0.2), {}), Layer(higher, 2, 1, _says(high, 0.9), {})])
    value, not_sent = float(outcome.partition(",")[0]), outcome.endswith("not sent")

    assert (answer.temperature, answer.omitted) == (value, ("temperature",) * not_sent)
    assert ("temperature" in answer.request_options()) == (not not_sent)
    by = next(item for item in answer.explain() if item.name == "temperature").omitted_by
    assert (by and by.layer) == ((higher if "omits" in SAYS[high] else lower) if not_sent else None)


@pytest.mark.parametrize(
    ("layers", "by"),
    [
        ("provider-, organization+provider+, feature+", None),
        ("provider-, organization+, feature+provider+", None),
        ("provider-, organization+, feature+", "provider"),
        ("provider-, organization-, feature+", "provider"),
        ("all_providers-, provider-, organization+provider+, feature-", "feature"),
        ("provider+, organization+provider-, feature+", "organization+provider"),
        ("organization+provider-, feature+provider+, organization+feature-", "organization+feature"),
        ("organization+provider-, feature+provider+, organization+feature+", None),
        ("template+provider-, organization+, organization+feature+", "template+provider"),
        ("template+provider-, organization+, organization+feature+provider+", None),
        ("provider-, template+provider-, organization+", "template+provider"),
    ],
)
def test_what_names_the_provider_is_undone_by_what_names_it_too(layers: str, by: str | None) -> None:
    """Of three layers and more: the highest omission that still stands is named; ``-`` omits, ``+`` has a value."""
    rows = [
        Layer(name[:-1], number, 1, _says("value" if name[-1] == "+" else "don't send", 0.9), {})  # type: ignore[arg-type]  # layer names
        for number, name in enumerate(layers.split(", "))
    ]
    item = next(each for each in build(provider(), rows).explain() if each.name == "temperature")

    assert (item.omitted_by and item.omitted_by.layer) == by


STATUSES: list[tuple[str, str | None, dict[str, Any], dict[str, Any]]] = [
    ("organization_disabled", None, {"is_active": False, "is_allowed": False}, {"is_active": False}),
    ("disabled", None, {"is_allowed": False}, {"is_active": False, "default_model": None}),
    ("not_allowed", None, {"is_allowed": False, "allowed_models": frozenset()}, {"default_model": None}),
    ("no_model", None, {"allowed_models": frozenset(), "requires_own_key": True}, {}),
    ("no_key", None, {"requires_own_key": True}, {}),
    ("no_key", None, {"shares_keys": False}, {}),
    ("no_key", None, {}, {"open_box": None}),
    ("key_unreadable", "organization", {"open_own": unreadable}, {}),
    ("key_unreadable", "organization", {"open_own": unreadable, "shares_keys": False}, {"open_box": None}),
    ("key_unreadable", "installation", {}, {"open_box": unreadable}),
    ("ok", "organization", {"open_own": box, "requires_own_key": True}, {"open_box": None}),
    ("ok", "organization", {"open_own": box}, {"open_box": unreadable}),
    ("ok", "installation", {}, {}),
    ("ok", None, {"requires_own_key": True}, {"needs_key": False, "open_box": None}),
]


@pytest.mark.parametrize(("status", "owner", "terms", "facts"), STATUSES)
def test_first_status_that_holds(status: str, owner: str | None, terms: dict[str, Any], facts: dict[str, Any]) -> None:
    """Of several things that stand in an organisation's way the first is named, with its cure; its settings are there."""
    answer = build(provider(**facts), [own_layer(temperature=0.1)], tenant=Tenant(5, "acme", **terms))

    assert (answer.status, answer.key_owner, answer.temperature) == (status, owner, 0.1)
    assert (answer.organization, answer.organization_id, answer.organization_known) == ("acme", 5, True)
    if status == "ok":
        assert answer.api_key() in {CANARY, "not-needed"}
        return
    with pytest.raises(ApiKeyUnavailable, match=status) as caught:
        answer.api_key()
    assert str(answer.cure) in str(caught.value)
    assert type(caught.value) is not ApiKeyUnavailable


def test_own_key_is_missing_on_the_organisations_page() -> None:
    """Where the installation's key does not count, the cure is another one than where there is none."""
    own = build(provider(), [], tenant=Tenant(5, "acme", shares_keys=False))
    shared = build(provider(open_box=None), [], tenant=Tenant(5, "acme"))

    assert own.cure != shared.cure == CURES["no_key"]
    assert "organisation" in str(own.cure)


def test_own_key_is_of_one_organisation_provider_and_row() -> None:
    """A blob of an own key opens in its own place alone."""
    origin = "https://api.openai.com:443"
    blob, key_id, binding = RING.seal(CANARY, place_of_own_key(1, 5, 7, origin))

    assert RING.box(blob, key_id, binding, place_of_own_key(1, 5, 7, origin)).open() == CANARY
    moved = [(2, 5, 7, origin), (1, 6, 7, origin), (1, 5, 8, origin), (1, 5, 7, "https://evil.example:443")]
    for place in moved:
        answer = build(
            provider(),
            [],
            tenant=Tenant(5, "acme", open_own=lambda at=place: RING.box(blob, key_id, binding, place_of_own_key(*at))),  # type: ignore[misc]  # bound now
        )
        assert (answer.status, answer.key_owner) == ("key_unreadable", "organization"), place


@pytest.mark.parametrize(
    ("terms", "model", "passed_over"),
    [
        ({}, "m-org", []),
        ({"allowed_models": frozenset({"m1", "m-provider"})}, "m-provider", ["m-org"]),
        ({"allowed_models": frozenset({"m1"})}, "m1", ["m-org", "m-provider"]),
        ({"allowed_models": frozenset()}, None, ["m-org", "m-provider", "m1"]),
        ({"own_models": frozenset({"m-org"})}, "m-provider", ["m-org"]),
        ({"own_models": frozenset({"m-org"}), "open_own": box}, "m-org", []),
        ({"own_models": frozenset({"m-org"}), "open_own": unreadable}, "m-org", []),
        (
            {"own_models": frozenset({"m-org"}), "allowed_models": frozenset(), "open_own": box},
            "m-org",
            ["m-provider", "m1"],
        ),
        ({"own_models": frozenset({"m-org"}), "allowed_models": frozenset({"m-org"})}, "m-org", ["m-provider", "m1"]),
    ],
)
def test_model_that_is_not_allowed_is_passed_over(
    terms: dict[str, Any], model: str | None, passed_over: list[str]
) -> None:
    """Of the layers that name the provider the highest model that may be used; the others are shown as passed over."""
    layers = [
        own_layer(preferred_model="m-provider"),
        Layer("organization", 3, 1, {"preferred_model": "of no provider"}, {}),
        Layer("organization+provider", 4, 1, {"preferred_model": "m-org"}, {}, "acme"),
    ]
    answer = build(provider(), layers, tenant=Tenant(5, "acme", **terms))
    why = answer.explain()[0]

    assert (answer.model, why.value) == (model, model)
    assert [value for _, value in why.passed_over] == passed_over
    assert [each["value"] for each in why.as_dict()["passed_over"]] == passed_over
    assert answer.status == ("no_model" if model is None else answer.status)


def test_sources_name_the_scope() -> None:
    """Whose row it is, and of which feature; a row of nobody's has no scope."""
    rows = [
        own_layer(temperature=0.1),
        Layer("organization+feature", 3, 2, {"max_tokens": 9, "omitted_parameters": ["top_p"]}, {}, "acme · summarise"),
    ]
    answer = build(provider(), rows, tenant=Tenant(5, "acme"), feature="summarise")

    assert answer.source("max_tokens") == Source("organization+feature", 3, 2, scope="acme · summarise")
    assert answer.source("temperature").scope is None
    assert (answer.as_dict()["organization"], answer.as_dict()["feature"]) == ("acme", "summarise")
    json.dumps([item.as_dict() for item in answer.explain()])


def test_default_provider_is_that_of_the_highest_layer() -> None:
    """Of the layers that name no provider; one that cannot be used is passed over, and without any there is none."""
    layers = [
        everyone_layer(default_provider_id=1),
        own_layer(default_provider_id=9),
        Layer("organization", 3, 1, {"default_provider_id": 2}, {}, "acme"),
        Layer("feature+provider", 4, 1, {"default_provider_id": 9}, {}),
        Layer("feature", 5, 1, {"default_provider_id": 3}, {}, "classify"),
    ]

    assert default_provider(layers, lambda _: True)[:2] == (3, Source("feature", 5, 1, scope="classify"))
    assert default_provider(layers, lambda one: one != 3)[0] == 2
    assert default_provider(layers, lambda one: one == 1)[0] == 1
    assert default_provider(layers, lambda _: False) == Default()
    assert default_provider([everyone_layer(default_provider_id="1")], lambda _: True) == Default()


def test_unknown_names_have_the_settings_without_them() -> None:
    """An unknown organisation gets the settings as without one, and no key; an unknown feature changes no status."""
    known = build(provider(), [own_layer(temperature=0.1)])
    feature = with_unknown(known, None, "nope")
    both = with_unknown(known, "acmee", "nope")

    assert (feature.status, feature.feature, feature.feature_known, feature.api_key()) == ("ok", "nope", False, CANARY)
    assert (both.status, both.organization, both.organization_known) == ("unknown_organization", "acmee", False)
    assert (both.temperature, both.feature_known, both.key_owner, both.carried().headers) == (0.1, False, None, ())
    with pytest.raises(ApiKeyUnavailable, match="unknown_organization"):
        both.client_options()
    assert with_unknown(build(None, (), name="gone"), "acmee", None).status == "unknown_provider"
    unread = with_unknown(build(provider(open_box=unreadable), []), "acmee", None)
    assert (unread.status, unread.cure) == ("unknown_organization", CURES["unknown_organization"])


# Random states


def _values(name: str) -> list[Any]:
    """Return values of a parameter's type, in its range and out of it."""
    parameter = PARAMETERS[name]
    if parameter.minimum is not None and parameter.maximum is not None:
        return [
            None,
            parameter.first,
            parameter.minimum,
            parameter.maximum,
            parameter.minimum - 1,
            parameter.maximum + 1,
        ]
    rubbish: dict[type, list[Any]] = {bool: [True, False], str: ["", "Nonsense 1"], list: [[], ["x"] * 17]}
    return [None, parameter.first, *rubbish[parameter.value_type]]


def _row(dice: random.Random, number: int) -> Row:
    values: dict[str, Any] = {}
    for name in dice.sample(list(PARAMETERS), 4):
        values[name] = dice.choice(_values(name))
    values["omitted_parameters"] = dice.choice(
        [None, [], dice.sample(SENT, 2), dice.sample(SENT, 3), ["temperature", 5, None], "temperature"]
    )
    values["custom_settings"] = dice.choice([None, {}, {"a": number}, {"a": None, "b": [number]}, [1], "x"])
    values["preferred_model"] = dice.choice([None, "", "m1", "m2", "ft"])
    values["default_provider_id"] = dice.choice([None, 1, 2, 3])
    owner = dice.choice([None, "template", "organization"])
    return Row(number, owner, dice.random() < 0.5, dice.random() < 0.5, values, dice.random() < 0.9)


def _org(dice: random.Random) -> Org:
    return Org(
        is_active=dice.random() < 0.9,
        shares_keys=dice.random() < 0.7,
        is_allowed=dice.random() < 0.9,
        requires_own_key=dice.random() < 0.3,
        allowed_models=dice.choice([None, None, [], ["m1"], ["m2", "ft"]]),
        own_models=dice.choice([(), (), ("ft",)]),
        own_key=dice.choice(["none", "fine", "broken"]),
    )


_BOXES: dict[str, Any] = {"none": None, "fine": box, "broken": unreadable}


def _layer(row: Row) -> Layer:
    name = layer_name(row.owner or "nobody", feature=row.of_feature, provider=row.of_provider)  # type: ignore[arg-type]  # an owner
    return Layer(name, row.id, 1, row.values, {})


_BOUNDS: list[Any] = [None, True, False, 0, 1, 2, -1, 0.5, 100, 4000, 1_000_000, 10**400, "full", "low", "x y", [], {}]
_LISTS: list[Any] = [
    *(
        ["minimal", "errors_only"],
        ["full"],
        ["errors_only", "full", "loud"],
        [True],
        [False, True],
        ["send"],
        ["low", "high"],
    ),
    *([1, 3], [2], [3, 2, "1", None, 0], [], ["loud"], [None], "full", None, {"full": 1}),
]


def _limit(dice: random.Random, number: int) -> LimitRow:
    names = [*PARAMETERS, "preferred_model", "default_provider", "custom_settings", "custom_settings.a", "nonsense"]
    fields: Any = {}
    for name in dice.sample(names, 9):
        said: Any = {}
        if dice.random() < 0.4:
            said["lock"] = dice.choice([True, True, True, False, 1, None])
        if dice.random() < 0.4:
            said["send"] = dice.choice([True, False, True, False, 0, "true", None])
        if dice.random() < 0.6:
            said["in"] = dice.choice(_LISTS)
        for rule in ("min", "max"):
            if dice.random() < 0.5:
                said[rule] = dice.choice([*(_values(name) if name in PARAMETERS else []), *_BOUNDS])
        fields[name] = dice.choice([said] * 9 + [[said]])
    limits = dice.choice([fields] * 9 + [[fields], None, "x"])
    owner = dice.choice([None, "template", "organization"])
    set_by = dice.choice(["installation", "organization"]) if owner is not None else "installation"
    return LimitRow(number, set_by, owner, dice.random() < 0.4, dice.random() < 0.4, limits)


def _limits(rows: list[LimitRow]) -> tuple[Limit, ...]:
    found = []
    for row in rows:
        name = layer_name(row.owner or "nobody", feature=row.of_feature, provider=row.of_provider)  # type: ignore[arg-type]  # an owner
        stored = {"id": row.id, "version": 1, "owner": row.set_by, "limits": row.limits, "note": None}
        found.append(limit_of(stored | {"field_changes": {}, "provider_id": 7 if row.of_provider else None}, name))
    return tuple(each for each in found if each is not None)


def _answer(rows: list[Row], vendor: Vendor, org: Org | None, limits: tuple[Limit, ...] = ()) -> EffectiveSettings:
    tenant = None
    if org is not None:
        allowed = None if org.allowed_models is None else frozenset(org.allowed_models)
        own = (allowed, frozenset(org.own_models), _BOXES[org.own_key])
        tenant = Tenant(5, "acme", org.is_active, org.shares_keys, org.is_allowed, org.requires_own_key, *own)
    facts = provider(
        default_model=vendor.default_model,
        is_active=vendor.is_active,
        needs_key=vendor.needs_key,
        open_box=_BOXES[vendor.key],
    )
    return build(facts, [_layer(row) for row in rows if row.is_active], tenant=tenant, limits=limits)


@pytest.mark.long
def test_merge_agrees_with_the_reference_in_random_states() -> None:
    """Up to nine rows of any layers in any order, any terms of an organisation, up to five rows of limits or rubbish.

    Values, omissions, model, status, key, default provider; and which values limits change, with what they would be.
    """
    for number in range(STATES):
        dice = random.Random(number)
        rows = [_row(dice, place) for place in range(dice.randrange(10))]
        org = _org(dice) if dice.random() < 0.8 else None
        rows = [row for row in rows if org is not None or row.owner is None]
        vendor = Vendor(
            dice.choice(["m1", "m1", "m2", "", None]),
            is_active=dice.random() < 0.9,
            needs_key=dice.random() < 0.8,
            key=dice.choice(["none", "fine", "broken"]),
        )
        limits = [_limit(dice, place) for place in range(dice.choice([0, 1, 2, 3, 5]))]
        limits = [row for row in limits if org is not None or row.owner is None]
        expected = reference.expected(rows, vendor, org, limits)
        free = reference.expected(rows, vendor, org)
        dice.shuffle(rows)
        dice.shuffle(limits)
        bound = _limits(limits)
        answer = _answer(rows, vendor, org, bound)
        found = answer.as_dict() | {"key_owner": answer.key_owner}
        assert {name: found[name] for name in expected} == expected, number
        why = answer.explain() if bound else []
        shown = {item.name: item.wanted for item in why if item.limited_by is not None and item.wanted != item.value}
        names = ["model", *PARAMETERS, *(f"custom_settings.{key}" for key in free["custom_settings"])]
        before, after = (
            {**each, **{f"custom_settings.{k}": v for k, v in each["custom_settings"].items()}}
            for each in (free, expected)
        )
        assert shown == {name: before[name] for name in names if before[name] != after.get(name)}, number
        kept = [item.name for item in why if item.omission_limited_by is not None and item.must_not_be_sent]
        assert set(kept) == {name for name in expected["omitted"] if name in kept}, number
        usable = set(dice.sample([1, 2, 3], 2))
        of_none = tuple(each for each in bound if not names_provider(each.layer))
        chosen = default_provider([_layer(row) for row in rows if row.is_active], usable.__contains__, of_none)
        assert chosen.provider_id == reference.default_provider(rows, usable.__contains__, limits), number
