"""A snapshot answers for organisations and features, and keeps what a change does not concern.

How many random states are tried is for `LLM_TEST_SCOPES` to say, as in test_scopes: here a twentieth of them.
"""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import ApiKeyUnavailable
from core.resolving import answering, organizations
from core.resolving.effective import EffectiveSettings
from core.resolving.snapshot import Snapshot
from tests.resolving import reference
from tests.resolving.reference import Org, Row, Vendor
from tests.resolving.stored import (
    ACME,
    BETA,
    OWN,
    PLAN,
    RING,
    STORE,
    Stored,
    organization,
    own_key,
    provider,
    settings,
    terms,
)

STATES = int(os.environ.get("LLM_TEST_SCOPES", "800")) // 20


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


def _without(*gone: int) -> Stored:
    return STORE._replace(settings=[row for row in STORE.settings if row["id"] not in gone])


LADDER = [
    ((), 109, "organization+feature+provider", "acme · summarise"),
    ((11,), 108, "organization+feature", "acme · summarise"),
    ((11, 10), 107, "template+feature", "plan-s · summarise"),
    ((11, 10, 9), 106, "feature+provider", "summarise"),
    ((11, 10, 9, 8), 105, "feature", "summarise"),
    ((11, 10, 9, 8, 7), 104, "organization+provider", "acme"),
    ((11, 10, 9, 8, 7, 5), 103, "organization", "acme"),
    ((11, 10, 9, 8, 7, 5, 4), 102, "template", "plan-s"),
    ((11, 10, 9, 8, 7, 5, 4, 3), 101, "provider", None),
    ((11, 10, 9, 8, 7, 5, 4, 3, 2), 100, "all_providers", None),
    ((11, 10, 9, 8, 7, 5, 4, 3, 2, 1), 2000, "built_in", None),
]


@pytest.mark.parametrize(("gone", "value", "layer", "scope"), LADDER)
def test_every_table_is_a_layer(gone: tuple[int, ...], value: int, layer: str, scope: str | None) -> None:
    """Row by row taken away from the top: the next one is in force, and the source names layer, row and whose it is."""
    answer = _without(*gone).snapshot().answer("openai", RING, organization="acme", feature="summarise")
    source = answer.source("max_tokens")

    assert (answer.max_tokens, source.layer, source.scope) == (value, layer, scope)
    assert (answer.organization, answer.organization_id, answer.feature) == ("acme", ACME, "summarise")


def test_other_scopes_see_nothing_of_it() -> None:
    """Another organisation, another provider, no feature, one that is not active: each gets its own layers alone."""
    taken = STORE.snapshot()

    def ask(name: str | None, organization: str | None = None, feature: str | None = None) -> int:
        return taken.answer(name, RING, organization=organization, feature=feature).max_tokens

    assert (ask("openai"), ask("local"), ask("openai", "acme"), ask("openai", "beta")) == (101, 100, 104, 101)
    assert (ask("openai", None, "summarise"), ask("openai", "beta", "summarise")) == (106, 106)
    assert (ask("openai", "acme", "asleep"), ask("openai", None, "asleep")) == (104, 101)


def test_template_that_is_not_active_does_not_count() -> None:
    """Nor does another organisation that raw SQL has named as template, one that builds on itself, or one that is gone."""
    acme, beta, plan = STORE.organizations
    cases = [
        [acme, beta, plan | {"is_active": False}],
        [acme | {"template_id": BETA}, beta, plan],
        [acme | {"template_id": ACME}, beta, plan],
        [acme | {"template_id": 99}, beta, plan],
        [acme, beta],
    ]
    for rows in cases:
        answer = STORE._replace(organizations=rows).snapshot().answer("local", RING, organization="acme")
        assert answer.temperature == 0.7, rows
    assert STORE.snapshot().answer("local", RING, organization="acme").temperature == 0.1


def test_organisation_answers_to_all_its_names() -> None:
    """To slug, external name and former slug with one and the same object; a template to none."""
    taken = STORE.snapshot()
    found = [taken.answer("openai", RING, organization=name) for name in ("crm-42", "acme", "old-acme")]

    assert found[0] is found[1] is found[2]
    assert found[0].organization == "acme"
    assert taken.answer("openai", RING, organization="plan-s").status == "unknown_organization"


@pytest.mark.parametrize("organization", ["acmee", "", "plan-s", 1, True, 1.5, b"acme", ["acme"], {"a": 1}, object()])
def test_unknown_organisation_has_the_settings_without_one(organization: Any) -> None:
    """A misspelt name, a number, what cannot be hashed: no key, the settings of the feature, and nothing is kept."""
    taken = STORE.snapshot()
    answer = taken.answer("openai", RING, organization=organization, feature="summarise")
    before = dict(taken.scoped)

    assert (answer.status, answer.organization_known, answer.max_tokens) == ("unknown_organization", False, 106)
    assert taken.answer("openai", RING, organization=organization).max_tokens == 101
    assert taken.answer("gone", RING, organization=organization).status == "unknown_provider"
    assert taken.scoped == before
    with pytest.raises(ApiKeyUnavailable, match="unknown_organization"):
        answer.api_key()


def test_open_installation_serves_unknown_organisations() -> None:
    """Where an admin has said so they are served as without one, and the answer says that nobody knows them."""
    taken = STORE._replace(is_open=True).snapshot()
    answer = taken.answer("openai", RING, organization="who", feature="summarise")

    assert (answer.status, answer.organization, answer.organization_known) == ("ok", "who", False)
    assert answer.max_tokens == 106
    assert list(taken.scoped) == [("openai", None, "summarise")]


@pytest.mark.parametrize("feature", ["summarize", "", 5, ["summarise"]])
def test_unknown_feature_changes_no_status(feature: Any) -> None:
    """As without it, but that the answer says so; nothing is kept of it."""
    taken = STORE.snapshot()
    answer = taken.answer("openai", RING, organization="acme", feature=feature)

    assert (answer.status, answer.max_tokens, answer.feature_known) == ("ok", 104, False)
    assert answer.feature == (feature if isinstance(feature, str) else f"<{type(feature).__name__}>")
    assert list(taken.scoped) == [("openai", "acme", None)]


def test_organisation_that_is_not_active_keeps_its_settings() -> None:
    """It has no key, whatever the provider says."""
    acme, *others = STORE.organizations
    taken = STORE._replace(organizations=[acme | {"is_active": False}, *others]).snapshot()

    assert (found := taken.answer("openai", RING, organization="acme")).status == "organization_disabled"
    assert found.max_tokens == 104
    assert taken.answer("openai", RING).status == "ok"


def test_default_provider_is_that_of_the_scope() -> None:
    """One that is not active, not allowed or gone is passed over; the answer is kept under what was asked."""
    taken = STORE.snapshot()

    def ask(taken: Snapshot, organization: str | None = None, feature: str | None = None) -> EffectiveSettings:
        return taken.answer(None, RING, organization=organization, feature=feature)

    assert (ask(taken).provider, ask(taken, "acme").provider, ask(taken, "acme", "summarise").provider) == (
        *("openai", "openai", "local"),  # acme's own default is not active
    )
    assert ask(taken) is taken.answers[None]
    assert ask(taken) == taken.answers["openai"]
    by = ask(taken).default_by
    assert (by and by.layer, taken.answers["openai"].default_by) == ("all_providers", None)
    assert ask(taken, "acme", "summarise") is taken.scoped[None, "acme", "summarise"]
    forbidden = STORE._replace(terms=[terms(1, PLAN, 3, is_allowed=False)]).snapshot()
    assert ask(forbidden, "acme", "summarise").provider == "openai"
    nobody = _without(1, 4, 9).snapshot()
    for answer in (ask(nobody), ask(nobody, "acme"), ask(nobody, "acme", "summarise")):
        assert (answer.status, answer.provider, answer.provider_id) == ("no_provider", "", None)
    assert ask(nobody, "who").status == "no_provider"
    with pytest.raises(ApiKeyUnavailable, match="no_provider"):
        ask(nobody, "acme").api_key()


KEYED = STORE._replace(providers=[provider(1, "openai", needs_key=True)], terms=[own_key(5, ACME, 1)])


def test_own_key_is_opened_in_its_own_place() -> None:
    """A blob that raw SQL has copied to another organisation, provider or row opens nowhere, and nothing stands in for it."""
    taken = KEYED.snapshot()
    answer = taken.answer("openai", RING, organization="acme")
    assert (answer.status, answer.key_owner, answer.api_key()) == ("ok", "organization", OWN)
    assert taken.answer("openai", RING, organization="beta").status == "no_key"

    blob = {name: value for name, value in own_key(5, ACME, 1).items() if name.startswith("api_key")}
    for moved, asked in (
        (terms(5, BETA, 1, **blob), ("openai", "beta")),
        (terms(6, ACME, 1, **blob), ("openai", "acme")),
        (terms(5, ACME, 3, **blob), ("local", "acme")),
    ):
        keyed = [provider(1, "openai", needs_key=True), provider(3, "local", needs_key=True)]
        found = KEYED._replace(providers=keyed, terms=[moved]).snapshot()
        answer = found.answer(asked[0], RING, organization=asked[1])
        assert (answer.status, answer.key_owner) == ("key_unreadable", "organization"), moved
    elsewhere = [provider(1, "openai", needs_key=True, api_base_url="https://evil.example/v1")]
    assert KEYED._replace(providers=elsewhere).snapshot().answer("openai", RING, organization="acme").status == (
        "key_unreadable"
    )


def test_keys_that_are_not_shared_serve_nobody_else() -> None:
    """An organisation with nothing of its own has the installation's key, unless it is not shared with it."""
    acme, beta, plan = STORE.organizations
    taken = KEYED._replace(organizations=[acme, beta | {"shares_keys": False}, plan]).snapshot()

    assert "organisation" in str(taken.answer("openai", RING, organization="beta").cure)
    assert "organisation" not in str(KEYED.snapshot().answer("openai", RING, organization="beta").cure)


def test_without_keys_the_file_says_whose_is_missing() -> None:
    """What is kept in a file has no blob of an organisation's, and still knows that there was one."""
    bare = KEYED.snapshot().without_keys()
    lines = bare.organizations.lines(ACME) or b""

    assert KEYED.terms[0]["api_key_encrypted"].encode() not in lines
    answer = bare.answer("openai", RING, "call ops", organization="acme", feature="summarise")
    assert (answer.status, answer.key_owner, answer.max_tokens) == ("store_unavailable", "organization", 109)
    assert "call ops" in (answer.cure or "")
    keyless = KEYED._replace(terms=[terms(5, ACME, 1, requires_own_key=True)]).snapshot().without_keys()
    assert keyless.answer("openai", RING, organization="acme").status == "no_key"
    assert bare.answer(None, RING, organization="acme").provider == "openai"


def test_template_speaks_where_the_organisation_says_nothing() -> None:
    """Of whether a provider is allowed and which models; that a key of one's own is needed it says for all."""
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([terms(1, PLAN, 1, is_allowed=False)], "not_allowed"),
        ([terms(1, PLAN, 1, is_allowed=False), terms(2, ACME, 1)], "not_allowed"),
        ([terms(1, PLAN, 1, is_allowed=False), terms(2, ACME, 1, is_allowed=True)], "ok"),
        ([terms(1, PLAN, 1, allowed_models=[])], "no_model"),
        ([terms(1, PLAN, 1, allowed_models=[]), terms(2, ACME, 1, allowed_models=["m1"])], "ok"),
        ([terms(1, PLAN, 1, allowed_models=["m1"]), terms(2, ACME, 1, allowed_models=[])], "no_model"),
        ([terms(1, PLAN, 1, allowed_models={"rubbish": 1})], "no_model"),
    ]
    for rows, status in cases:
        assert STORE._replace(terms=rows).snapshot().answer("openai", RING, organization="acme").status == status, rows
    needed = KEYED._replace(terms=[terms(1, PLAN, 1, requires_own_key=True)]).snapshot()
    assert "organisation" in str(needed.answer("openai", RING, organization="acme").cure)


def test_change_of_one_organisation_keeps_what_is_of_others() -> None:
    """Others' answers are the same objects; its own, under each of its names, and those of who builds on it are merged anew."""
    taken = STORE.snapshot()
    asked = [
        ("openai", "acme", None),
        ("openai", "crm-42", "summarise"),
        (None, "acme", None),
        ("openai", "beta", None),
    ]
    asked += [("openai", None, "summarise"), ("openai", None, None)]
    before = {each: taken.answer(each[0], RING, organization=each[1], feature=each[2]) for each in asked}
    beta = taken.organizations.lines(BETA)

    for changed, kept in ((ACME, asked[3:]), (PLAN, asked[3:]), (BETA, [*asked[:3], *asked[4:]])):
        after = taken.after(8, {}, organizations=taken.organizations.after({changed: beta}), changed={changed})
        found = [
            each for each in asked if each in after.scoped or (each[1:] == (None, None) and each[0] in after.answers)
        ]
        assert [each for each in asked if each in kept] == found, changed
        for each in kept:
            assert after.answer(each[0], RING, organization=each[1], feature=each[2]) is before[each]
    whole = taken.after(8, {"llm_settings": {1: None}})
    assert (whole.answers, whole.scoped) == ({}, {})


def test_late_answer_of_an_old_snapshot_stays_there() -> None:
    """A caller that still merges from the one before does not put an old value into the new one."""
    taken = STORE.snapshot()
    changed = STORE._replace(settings=[row | ({"max_tokens": 55} if row["id"] == 5 else {}) for row in STORE.settings])
    new = taken.after(8, {}, organizations=taken.organizations.after({ACME: changed.packed(ACME)}), changed={ACME})
    late = taken.answer("openai", RING, organization="acme")

    assert (late.max_tokens, new.answer("openai", RING, organization="acme").max_tokens) == (104, 55)
    assert new.answer("openai", RING, organization="acme").generation == 8


def test_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full it starts anew, and goes on with the same dict: callers look it up."""
    monkeypatch.setattr(answering, "MOST_ANSWERS", 5)
    many = [organization(n, f"o{n}") for n in range(10, 40)]
    taken = STORE._replace(organizations=many, names={f"o{n}": n for n in range(10, 40)}).snapshot()
    memo = taken.scoped
    for n in range(10, 40):
        taken.answer("openai", RING, organization=f"o{n}")
        assert len(taken.scoped) <= 5
        assert len(taken._answered) <= 5

    assert taken.scoped is memo


def test_organisations_that_changed_are_found_as_if_read_afresh() -> None:
    """Renamed, given another's name, gone and back."""
    dice, found, lines = random.Random(5), organizations.Organizations({}), dict[int, bytes]()
    for _ in range(300):
        changed: dict[int, bytes | None] = {}
        for one in dice.sample(range(1, 12), 2):
            names = dice.sample(["a", "b", "c", "d", "e"], dice.randrange(3))
            taken = {
                name
                for other in {**lines, **changed}
                if other != one
                for name in organizations._names({**lines, **changed}[other] or b"")
            }
            mine = Stored([], [organization(one, f"s{one}")], {n: one for n in names if n not in taken}, [], [], [])
            changed[one] = mine.packed(one) if dice.random() < 0.7 else None
        found = found.after(changed)
        lines = {one: each for one, each in {**lines, **changed}.items() if each is not None}
        afresh = organizations.Organizations(lines)
        assert found == afresh
        assert len(found) == len(afresh)
        assert [found.id_of(name) for name in "abcde"] == [afresh.id_of(name) for name in "abcde"]


# Random states


def _random(dice: random.Random) -> Stored:
    several = [(None, ACME, BETA, PLAN), (None, 1, 2), (None, 1, 3)]
    rows = []
    for number in range(1, dice.randrange(14)):
        owner, feature, of = (dice.choice(each) for each in several)
        values: dict[str, Any] = {
            "temperature": dice.choice([None, 0.1, 0.2, 9.0]),
            "log_level": dice.choice([None, "minimal"]),
        }
        values["omitted_parameters"] = dice.choice([None, ["temperature"], ["top_p"], "x"])
        values["custom_settings"] = dice.choice([None, {"a": number}, {"b": None}, [1]])
        values["preferred_model"] = dice.choice([None, None, "m2"])
        values["default_provider_id"] = dice.choice([None, None, 1, 3, 9])
        row = settings(number, organization_id=owner, provider_id=of, **values, is_live=dice.random() < 0.9)
        rows.append(row | ({} if feature is None else {"feature_id": feature}))
    own = [
        terms(
            number,
            one,
            of,
            is_allowed=dice.choice([None, True, False]),
            requires_own_key=dice.random() < 0.2,
            allowed_models=dice.choice([None, None, ["m1"], [], {"x": 1}]),
        )
        for number, (one, of) in enumerate([(ACME, 1), (PLAN, 1), (PLAN, 3)], start=1)
        if dice.random() < 0.4
    ]
    acme, beta, plan = STORE.organizations
    acme = acme | {
        "is_active": dice.random() < 0.9,
        "shares_keys": dice.random() < 0.8,
        "template_id": dice.choice([None, PLAN, BETA]),
    }
    return STORE._replace(
        providers=[provider(1, "openai", is_active=dice.random() < 0.9), provider(3, "local")],
        organizations=[acme, beta, plan | {"is_active": dice.random() < 0.8}],
        settings=rows,
        terms=own,
    )


def _expected(stored: Stored, name: str | None, slug: str | None, feature: str | None) -> dict[str, Any]:
    """The rules once more, on the rows of the tables."""
    mine = next((row for row in stored.organizations if row["slug"] == slug), None)
    plan = None if mine is None else next((r for r in stored.organizations if r["id"] == mine.get("template_id")), None)
    plan = plan if plan is not None and plan["kind"] == "template" else None
    asked = next((row for row in stored.features if row["name"] == feature and row["is_active"]), None)
    owners: dict[int | None, str | None] = {None: None}
    owners |= {} if mine is None else {mine["id"]: "organization"}
    owners |= {} if plan is None or not plan["is_active"] else {plan["id"]: "template"}
    rows = [
        (
            row["provider_id"],
            Row(
                row["id"],
                owners[row["organization_id"]],
                "feature_id" in row,
                row["provider_id"] is not None,
                row,
                row["is_live"],
            ),
        )
        for row in stored.settings
        if row["organization_id"] in owners
        and ("feature_id" not in row or (asked and row["feature_id"] == asked["id"]))
    ]

    def org_of(provider_id: int) -> Org | None:
        if mine is None:
            return None
        found = {row["organization_id"]: row for row in stored.terms if row["provider_id"] == provider_id}
        own, of_plan = found.get(mine["id"], {}), found.get(plan["id"], {}) if plan else {}
        allowed = next((a for each in (own, of_plan) if (a := each.get("allowed_models")) is not None), None)
        is_allowed = next((a for each in (own, of_plan) if (a := each.get("is_allowed")) is not None), True)
        needs = any(each.get("requires_own_key") for each in (own, of_plan))
        models = allowed if isinstance(allowed, list) or allowed is None else []
        return Org(mine["is_active"], mine["shares_keys"], is_allowed, needs, models)

    providers = {row["id"]: row for row in stored.providers}
    if name is None:
        usable = {p for p, row in providers.items() if row["is_active"] and ((o := org_of(p)) is None or o.is_allowed)}
        chosen = reference.default_provider([row for of, row in rows if of is None], usable.__contains__)
        if chosen is None:
            return {"provider": "", "status": "no_provider"}
        name = providers[chosen]["name"]
    row = next(row for row in stored.providers if row["name"] == name)
    layers = [each for of, each in rows if of in {None, row["id"]}]
    vendor = Vendor("m1", is_active=row["is_active"], needs_key=False)
    return reference.expected(layers, vendor, org_of(row["id"])) | {"provider": name}


@pytest.mark.long
def test_answers_agree_with_the_reference_in_random_states() -> None:
    """Any rows of any scope, asked in all ways, before and after changes of organisations: as the slow reference, and as afresh."""
    for number in range(STATES):
        dice = random.Random(number)
        stored = _random(dice)
        taken = stored.snapshot()
        for step in range(3):
            for name in ("openai", None, "local"):
                for slug in (None, "acme", "beta"):
                    for feature in (None, "summarise", "asleep"):
                        answer = taken.answer(name, RING, organization=slug, feature=feature)
                        expected = _expected(stored, name, slug, feature)
                        found = answer.as_dict() | {"key_owner": answer.key_owner}
                        assert {key: found[key] for key in expected} == expected, (number, step, name, slug, feature)
                        assert answer.organization == slug
            other = _random(dice)
            changed = set(dice.sample([ACME, BETA, PLAN], dice.randrange(1, 3)))
            stored = _mixed(stored, other, changed)
            after = taken.organizations.after({one: stored.packed(one) for one in changed})
            taken = taken.after(taken.generation + 1, {}, organizations=after, changed=changed)


def _mixed(stored: Stored, other: Stored, changed: set[int]) -> Stored:
    """Return *stored* with what *other* has of the organisations that changed."""
    return stored._replace(
        organizations=[
            b if b["id"] in changed else a for a, b in zip(stored.organizations, other.organizations, strict=True)
        ],
        settings=[
            *(row for row in stored.settings if row["organization_id"] not in changed),
            *(row | {"id": row["id"] + 100} for row in other.settings if row["organization_id"] in changed),
        ],
        terms=[
            *(row for row in stored.terms if row["organization_id"] not in changed),
            *(row for row in other.terms if row["organization_id"] in changed),
        ],
    )
