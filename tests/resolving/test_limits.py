"""Limits in the merge: the table of docs/organisations.md, each rule on its own, and rubbish, which counts as not there."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from core.parameters import PARAMETERS
from core.resolving.effective import EffectiveSettings
from core.resolving.explanation import Explained
from core.resolving.layers import Layer
from core.resolving.limits import Limit, limit_of, parse, rules_for
from core.resolving.merge import build
from core.resolving.tenant import Tenant, default_provider
from tests.resolving.facts import ADA, provider


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


def limit(layer: Any, fields: Any, owner: str = "installation", number: int = 1, **more: Any) -> Limit:
    row = {"id": number, "version": 3, "owner": owner, "limits": fields, "note": None, "field_changes": {}}
    row |= {"provider_id": 7 if "provider" in layer.split("+") else None} | more
    found = limit_of(row, layer)
    assert found is not None
    return found


def rows(said: str, field: str = "max_tokens") -> list[Layer]:
    """Return a row for each ``layer value``, ``layer -`` for one that says *do not send*."""
    found = []
    for number, each in enumerate(filter(None, said.split(", "))):
        name, value = each.split()
        values = {"omitted_parameters": [field]} if value == "-" else {field: json.loads(value)}
        found.append(Layer(name, number + 1, 1, values, {}))  # type: ignore[arg-type]  # a layer's name
    return found


def under(said: str, *limits: Limit, field: str = "max_tokens") -> EffectiveSettings:
    return build(provider(), rows(said, field), tenant=Tenant(5, "acme"), limits=limits)


def item(answer: EffectiveSettings, name: str = "max_tokens") -> Explained:
    return next(each for each in answer.explain() if each.name == name)


def most(value: int) -> dict[str, Any]:
    return {"max_tokens": {"max": value}}


def least(value: int) -> dict[str, Any]:
    return {"max_tokens": {"min": value}}


LOCK = {"max_tokens": {"lock": True}}
FEATURE_OF = "organization+feature"
TABLE: list[tuple[str, list[Limit], int, str | None, int]] = [
    ("provider 8000", [limit("organization", most(4000))], 4000, "installation", 8000),
    ("organization 8000", [limit("organization", most(4000))], 4000, "installation", 8000),
    ("", [limit("organization", least(3000))], 3000, "installation", 2000),
    ("organization 1000, feature 8000", [limit("organization", LOCK, "organization")], 1000, "organization", 8000),
    (
        "organization 1000, feature 8000",
        [limit("organization", LOCK, "organization"), limit("feature", LOCK)],
        8000,
        None,
        8000,
    ),
    (
        f"provider 2000, organization 500, feature 8000, {FEATURE_OF} 9000",
        [limit("provider", LOCK)],
        2000,
        "installation",
        9000,
    ),
    (f"all_providers 3000, {FEATURE_OF} 9000", [limit("organization", LOCK)], 3000, "installation", 9000),
    (
        "organization 6000",
        [limit("organization", least(5000), "organization"), limit("organization", most(4000))],
        4000,
        "installation",
        6000,
    ),
    ("", [limit("organization", {"max_tokens": {"min": 5000, "max": 4000}})], 4000, "installation", 2000),
    (
        f"{FEATURE_OF} 9000",
        [limit("organization", most(4000)), limit("feature", most(1000), number=2)],
        1000,
        "installation",
        9000,
    ),
]


TABLE += [
    (
        "provider 2000, organization 500, feature 8000",
        [limit("organization", LOCK, number=2), limit("provider", LOCK)],
        2000,
        "installation",
        8000,
    ),
    (
        "template 700, organization 500, feature 8000",
        [limit("organization", LOCK, "organization"), limit("template", LOCK, "organization", 2)],
        700,
        "organization",
        8000,
    ),
]
"""Of two locks of one owner the one on the lower layer binds."""


@pytest.mark.parametrize(("said", "limits", "in_force", "owner", "wanted"), TABLE)
def test_table_of_limits(said: str, limits: list[Limit], in_force: int, owner: str | None, wanted: int) -> None:
    """What is in force, who limits it, and what would be in force without limits; the order in which limits come does not matter."""
    for order in (limits, limits[::-1]):
        answer = under(said, *order)
        why = item(answer)

        assert (answer.max_tokens, why.value) == (in_force, in_force)
        assert (why.limited_by and why.limited_by.owner) == owner
        assert why.wanted == (wanted if owner else None)
    assert under(said).max_tokens == wanted


def test_ceiling_and_the_tighter_bound_are_named() -> None:
    """Of one owner that asks for at least 5000 and at most 4000 the ceiling holds; of two ceilings the lower one, wherever it stands."""
    both = item(under("", limit("organization", {"max_tokens": {"min": 5000, "max": 4000}})))
    tighter = item(
        under(f"{FEATURE_OF} 9000", limit("organization", most(4000)), limit("feature", most(1000), number=2))
    )

    assert (both.limited_by and (both.limited_by.rule, both.limited_by.bound)) == ("max", 4000)
    assert (tighter.limited_by and (tighter.limited_by.limit_id, tighter.limited_by.layer)) == (2, "feature")


def test_list_of_choices() -> None:
    """A value outside is passed over for the next one that fits; where none does, the built-in default or the first of the list."""
    listed = limit("organization", {"log_level": {"in": ["minimal", "errors_only"]}})

    def level(said: str, *limits: Limit) -> tuple[str, Any, str]:
        answer = under(said, *limits, field="log_level")
        why = item(answer, "log_level")
        return answer.log_level, why.wanted, why.source.layer

    assert level('organization "full"', listed) == ("minimal", "full", "built_in")
    assert level('provider "errors_only", organization "full"', listed) == ("errors_only", "full", "provider")
    assert level('organization "minimal"', limit("organization", {"log_level": {"in": ["full", "minimal"]}}))[1] is None
    assert level('organization "minimal"', limit("feature", {"log_level": {"in": ["full"]}})) == (
        "full",
        "minimal",
        "built_in",
    )
    both = [limit("organization", {"log_level": {"in": ["errors_only"]}}, "organization", 2), listed]
    assert level("", *both)[0] == "errors_only"
    apart = [limit("organization", {"log_level": {"in": ["full"]}}, "organization", 2), listed]
    assert level("", *apart)[0] == "minimal"  # the installation's holds
    off = build(provider(), [], limits=(limit("all_providers", {"log_request_data": {"in": [False]}}),))
    assert (off.log_request_data, item(off, "log_request_data").wanted) == (False, True)


def test_lock_comes_before_the_list_and_the_list_before_the_bounds() -> None:
    """The order of the steps decides: what a lock drops is not there for the list, and a bound sees what the two leave."""
    locked = limit("provider", {"log_level": {"lock": True, "in": ["errors_only", "minimal"]}})
    answer = under('provider "full", organization "minimal"', locked, field="log_level")
    assert answer.log_level == "errors_only"  # not the organisation's, though it fits the list

    bounded = limit("provider", {"max_tokens": {"lock": True, "max": 1000}})
    why = item(under("provider 3000, organization 500", bounded))
    assert (why.value, why.wanted, why.limited_by and why.limited_by.rule) == (1000, 500, "max")
    assert [value for _, value in why.put_out] == [500]


def test_what_is_and_is_not_sent() -> None:
    """``send`` comes last: it undoes an omission or keeps back a value; a lock drops omissions of the layers above it too."""
    must = limit("organization", {"temperature": {"send": True}})
    must_not = limit("organization", {"temperature": {"send": False}})

    sent = under("organization -", must, field="temperature")
    why = item(sent, "temperature")
    assert (sent.omitted, why.sent, why.omitted_by, why.omission_wanted and why.omission_wanted.layer) == (
        (),
        True,
        None,
        "organization",
    )
    assert why.omission_limited_by is not None
    assert why.omission_limited_by.bound is True
    kept = under("organization 0.5", must_not, field="temperature")
    why = item(kept, "temperature")
    assert (kept.omitted, kept.temperature, why.sent, why.omitted_by) == (("temperature",), 0.5, False, None)
    assert "temperature" not in kept.request_options()
    assert (why.omission_limited_by and why.omission_limited_by.bound) is False
    assert item(under("organization -", must_not, field="temperature"), "temperature").omission_limited_by is None

    dropped = under("feature -", limit("provider", {"temperature": {"lock": True}}), field="temperature")
    assert (dropped.omitted, item(dropped, "temperature").omission_limited_by is not None) == ((), True)
    below = under(
        "provider -, organization+provider 0.1", limit("provider", {"temperature": {"lock": True}}), field="temperature"
    )
    assert (below.omitted, below.temperature) == (("temperature",), 0.7)
    owners = (limit("organization", {"temperature": {"send": False}}, "organization"), must)
    assert under("", *owners, field="temperature").omitted == ()
    one_owner = (must, limit("feature", {"temperature": {"send": False}}, number=2))
    assert under("", *one_owner, field="temperature").omitted == ("temperature",)


def test_model_and_objects_are_locked() -> None:
    """A locked model is that of the layers below, or the provider's own; an object is locked whole or by its key."""
    layers = [
        Layer("provider", 1, 1, {"preferred_model": "m2", "custom_settings": {"a": 1}}, {}),
        Layer("organization+provider", 2, 1, {"preferred_model": "m3", "custom_settings": {"a": 2, "b": 2}}, {}),
        Layer("feature+provider", 3, 1, {"extra_parameters": {"top_k": 5, "seed": 1}}, {}),
    ]

    def found(layer: str, **fields: Any) -> EffectiveSettings:
        return build(provider(), layers, limits=(limit(layer, fields),))

    lock = {"lock": True}
    assert found("provider", preferred_model=lock).model == "m2"
    assert found("all_providers", preferred_model=lock).model == "m1"
    assert item(found("all_providers", preferred_model=lock), "model").wanted == "m3"
    assert item(found("feature", preferred_model=lock), "model").limited_by is None
    assert found("provider", **{"custom_settings.a": lock}).custom_settings == {"a": 1, "b": 2}
    whole = found("provider", custom_settings=lock)
    assert whole.custom_settings == {"a": 1}
    assert item(whole, "custom_settings.b").put_out[0][1] == 2
    assert found("organization", extra_parameters=lock).extra_parameters == {}
    assert found("organization", **{"extra_parameters.seed": lock}).extra_parameters == {"top_k": 5}


def test_extra_parameters_do_not_pass_a_limit() -> None:
    """A parameter of ours by a vendor's name, among the extra parameters, is bound as by its own."""
    layer = Layer("feature", 1, 1, {"extra_parameters": {"max_completion_tokens": 9000}}, {})
    answer = build(provider(), [layer], limits=(limit("organization", most(4000)),))

    assert (answer.max_tokens, item(answer).wanted) == (4000, 9000)


def test_limited_default_is_chosen_by_somebody() -> None:
    """A built-in default that a limit changes counts as chosen: it is sent where a default alone would be left out."""
    answer = build(provider(), [], limits=(limit("all_providers", {"temperature": {"max": 0.2}}),))

    assert (answer.temperature, "temperature" in answer.basis().explicit) == (0.2, True)
    assert "temperature" not in build(provider(), []).basis().explicit


def test_explain_says_who_when_and_why() -> None:
    """The limit's row, owner, scope, the rule, and of the field itself who set it and when; as JSON too."""
    row = {
        "id": 9,
        "version": 4,
        "owner": "installation",
        "provider_id": None,
        "note": "contract",
        "limits": most(4000) | {"temperature": {"max": 1}},
        "field_changes": {
            "limits.max_tokens": ADA,
            "limits": {"by": "eve", "at": "2026-03-03T00:00:00+00:00", "version": 4},
        },
    }
    found = limit_of(row, "organization", "acme")
    assert found is not None
    why = item(under("feature 9000", found))

    assert why.as_dict()["limited_by"] == {
        "limit_id": 9,
        "owner": "installation",
        "layer": "organization",
        "rule": "max",
        "bound": 4000,
        "note": "contract",
        "version": 3,
        "changed_at": "2026-01-02T03:04:05+00:00",
        "changed_by": "ada",
        "scope": "acme",
    }
    assert (why.as_dict()["wanted"], why.source.layer) == (9000, "feature")
    json.dumps([each.as_dict() for each in under("feature 9000", found).explain()])


def test_default_provider_under_limits() -> None:
    """A lock and a list bind the default provider too; a list of those that cannot be used chooses none."""
    layers = [
        Layer("all_providers", 1, 1, {"default_provider_id": 1}, {}),
        Layer("organization", 2, 1, {"default_provider_id": 2}, {}),
    ]

    def chosen(usable: set[int], *limits: Limit) -> tuple[int | None, str | None, str | None]:
        one, source, by = default_provider(layers, usable.__contains__, limits)
        return one, source and source.layer, by and by.rule

    lock = limit("all_providers", {"default_provider": {"lock": True}})
    among = limit("organization", {"default_provider": {"in": [3, 1]}})
    assert chosen({1, 2, 3}) == (2, "organization", None)
    assert chosen({1, 2, 3}, lock) == (1, "all_providers", "lock")
    assert chosen({1, 2, 3}, among) == (1, "all_providers", "in")
    assert chosen({2, 3}, among) == (3, None, "in")
    assert chosen({2}, among) == (None, None, "in")
    assert chosen({2, 3}, lock) == (None, None, "lock")
    assert chosen({2}, limit("organization", {"default_provider": {"in": [2]}})) == (2, "organization", None)
    assert parse({"default_provider": {"in": [1]}}, names_provider=True) == {}


RUBBISH: list[Any] = [
    *(
        None,
        True,
        0,
        1.5,
        "max",
        [],
        {},
        [1],
        {"max": 1},
        {"max_tokens": None},
        {"max_tokens": []},
        {"max_tokens": 4000},
    ),
    *({"max_tokens": {"max": bad}} for bad in (None, True, "4000", 0, -1, 1e9, 1.5, 10**400, [], {}, [4000])),
    *({"temperature": {"min": bad}} for bad in (None, False, "1", 2.5, -0.1, float("inf"), float("nan"), [[]])),
    *({"log_level": {"in": bad}} for bad in (None, "full", [], ["loud"], [None, 5, [], {}], {"full": 1}, True)),
    *({"enable_logging": {"in": bad}} for bad in ([0], [1], ["true"], [[True]])),
    *({"max_tokens": {"lock": bad}} for bad in (False, 1, "true", None, [True], {})),
    *({"temperature": {"send": bad}} for bad in (0, 1, "false", None, [])),
    *(
        {"max_retries": {"send": False}},
        {"log_level": {"max": "full"}},
        {"stop": {"in": [["x"]]}},
        {"max_tokens": {"in": [1]}},
    ),
    *(
        {"nonsense": {"lock": True}},
        {"": {"lock": True}},
        {"custom_settings.": {"lock": True}},
        {"custom_settings": {"max": 1}},
    ),
    *(
        {"extra_parameters.max_completion_tokens": {"lock": True}},
        {"model": {"lock": True}},
        {"preferred_model": {"in": ["m"]}},
    ),
    *({"default_provider": {"in": bad}} for bad in (["1"], [True], [0], [-1], [1.0], "1")),
]


@pytest.mark.parametrize("said", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_is_not_there(said: Any) -> None:
    """What makes no sense, as raw SQL may store it, is left out of the rules; what stands beside it counts."""
    assert parse(said) == {}
    beside = (said if isinstance(said, dict) else {}) | {"top_p": {"max": 0.5, "min": "x", "spin": 3}}
    assert parse(beside) == {"top_p": {"max": 0.5}}


def test_every_field_has_its_rules() -> None:
    """Numbers have bounds, choices and texts a list, what is sent to a model ``send``, and everything a lock."""
    for name, parameter in PARAMETERS.items():
        found = set(rules_for(name))
        assert found == {
            "lock",
            *(("min", "max") if parameter.minimum is not None else ()),
            *(("in",) if parameter.minimum is None and parameter.value_type is not list else ()),
            *(("send",) if parameter.sendable else ()),
        }
    assert rules_for("omitted_parameters") == rules_for("is_active") == ()


def test_random_rubbish_never_raises() -> None:
    """10,000 rows of limits of any JSON, on any layers: there is an answer, its values fit, and it can be explained."""
    dice = random.Random(22)
    values: list[Any] = [
        None,
        True,
        False,
        0,
        1,
        -5,
        4000,
        2.5,
        1e308,
        "full",
        "",
        "x" * 50,
        [],
        [1, "full"],
        {},
        {"max": 1},
    ]
    names = [*PARAMETERS, "custom_settings", "custom_settings.a", "default_provider", "preferred_model", "x.y", ""]
    layers = ["all_providers", "provider", "template", "organization", "feature", FEATURE_OF]
    said = rows(f"provider 2000, feature 8000, {FEATURE_OF} -")
    for _ in range(10_000):
        found = []
        for _ in range(dice.randrange(1, 4)):
            fields: Any = {
                dice.choice(names): {
                    rule: dice.choice(values) for rule in dice.sample(["lock", "in", "min", "max", "send", "x"], 3)
                }
                for _ in range(3)
            }
            row = {"id": 1, "version": 1, "owner": dice.choice(["installation", "organization", "", None, 5])}
            row |= {"limits": dice.choice([fields, fields, dice.choice(values)]), "provider_id": dice.choice([None, 7])}
            row |= {
                "note": None,
                "field_changes": dice.choice([{}, None, [], {"limits.max_tokens": dice.choice(values)}]),
            }
            found.append(limit_of(row, dice.choice(layers)))  # type: ignore[arg-type]  # layers' names
        limits = tuple(each for each in found if each is not None)
        answer = build(provider(), said, limits=limits)
        assert all(
            PARAMETERS[name].fits(value)
            for name, value in answer.as_dict().items()
            if name in PARAMETERS and value is not None
        )
        default_provider(said, lambda _: True, limits)
        for each in answer.explain() if limits else ():
            each.as_dict()
