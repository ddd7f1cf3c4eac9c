"""Organisations and features read from real tables: whole, what changed since, some of them, and whatever raw SQL has left there.

How many random states are tried is for `LLM_TEST_STATES` to say: a tenth of them.
"""

import gc
import json
import math
import os
import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, get_args

import psycopg
import pytest
from psycopg.types.json import Json

from core.crypto import KeyRing
from core.errors import ApiKeyUnavailable
from core.parameters import PARAMETERS
from core.resolve import Resolver
from core.resolving import organizations, reading
from core.resolving.effective import EffectiveSettings, Status
from core.resolving.snapshot import Snapshot
from core.resolving.tenant import place_of_own_key
from tests.conftest import ENCRYPTION_KEY

RING = KeyRing(ENCRYPTION_KEY)
STATES = int(os.environ.get("LLM_TEST_STATES", "400")) // 10
Connection = psycopg.Connection[Any]
OWN = "sk-own-0123456789abcdef"

SOME = """
INSERT INTO llm_providers (id, name, display_name, kind, available_models, default_model, needs_key) VALUES
    (1, 'openai', 'OpenAI', 'openai', '["m1", "m2"]', 'm1', false), (2, 'local', 'Local', 'anthropic', '["m1"]', 'm1', false);
INSERT INTO organizations (id, slug, name, kind) VALUES (3, 'plan-s', 'Plan S', 'template');
INSERT INTO organizations (id, slug, name, template_id) VALUES (1, 'acme', 'Acme', 3), (2, 'beta', 'Beta', NULL);
INSERT INTO organization_names (name, organization_id, kind) VALUES
    ('acme', 1, 'slug'), ('crm-42', 1, 'external'), ('beta', 2, 'slug'), ('plan-s', 3, 'slug');
INSERT INTO llm_features (id, name, display_name) VALUES (1, 'summarise', 'Summarise');
INSERT INTO llm_settings (id, max_tokens, default_provider_id) VALUES (1, 100, 1);
INSERT INTO llm_settings (id, organization_id, provider_id, max_tokens) VALUES (2, 1, 1, 104), (3, 3, NULL, 102);
INSERT INTO feature_llm_overrides (id, feature_id, max_tokens) VALUES (1, 1, 105);
INSERT INTO feature_llm_overrides (id, feature_id, organization_id, max_tokens, custom_settings)
    VALUES (2, 1, 1, 108, '{"a": "tab\\there, line\\nfeed, back\\\\slash"}');
SELECT setval(pg_get_serial_sequence(name, 'id'), 1000) FROM unnest(
    '{llm_settings,feature_llm_overrides,llm_features,organizations,organization_providers}'::text[]) AS name;
"""


@pytest.fixture
def owner(committed: str) -> Iterator[Connection]:
    """Whom the tables belong to; two providers, two organisations with a template, and a feature are there."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(SOME)  # type: ignore[arg-type]  # statements of ours
        yield connection


@pytest.fixture
def resolver(owner: Connection, committed: str) -> Iterator[Resolver]:
    """Of that database."""
    assert owner
    made = Resolver(committed, ring=RING)
    yield made
    made.close()


def _soon(fact: Callable[[], object], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.002)


def _tokens(resolver: Resolver, provider: str | None = "openai", organization: Any = None, feature: Any = None) -> int:
    return resolver.resolve(provider, organization, feature).max_tokens


@pytest.mark.long
def test_scopes_are_resolved_and_follow_changes(owner: Connection, resolver: Resolver) -> None:
    """Each scope has its own; a change of one organisation is there at once, and others' answers stay the same objects."""
    handle = resolver.for_organization("crm-42")
    assert (_tokens(resolver), _tokens(resolver, "openai", "acme"), _tokens(resolver, "local", "acme")) == (
        100,
        104,
        102,
    )
    assert (_tokens(resolver, None, "acme", "summarise"), _tokens(resolver, "openai", "beta", "summarise")) == (
        108,
        105,
    )
    assert handle.resolve("openai", "summarise").custom_settings == {"a": "tab\there, line\nfeed, back\\slash"}
    source = handle.resolve(feature="summarise").source("max_tokens")
    assert (source.layer, source.row_id, source.scope) == ("organization+feature", 2, "acme · summarise")
    by = handle.resolve(feature="summarise").default_by
    assert (by and by.layer, by and by.row_id) == ("all_providers", 1)
    assert handle.resolve("openai", "summarise").default_by is None
    others = [resolver.resolve("openai"), resolver.resolve("openai", "beta", "summarise")]

    owner.execute("UPDATE feature_llm_overrides SET max_tokens = 55 WHERE id = 2")
    _soon(lambda: handle.resolve("openai", "summarise").max_tokens == 55)
    assert all(
        a is b
        for a, b in zip(
            others, [resolver.resolve("openai"), resolver.resolve("openai", "beta", "summarise")], strict=True
        )
    )
    owner.execute("UPDATE llm_settings SET max_tokens = 56 WHERE organization_id = 3")
    _soon(lambda: _tokens(resolver, "local", "acme") == 56)
    owner.execute("UPDATE llm_features SET is_active = false")
    _soon(lambda: _tokens(resolver, "openai", "acme", "summarise") == 104)
    owner.execute("UPDATE organizations SET deleted_at = now() WHERE id = 1")
    _soon(lambda: handle.resolve("openai").status == "unknown_organization")
    owner.execute("UPDATE organizations SET deleted_at = NULL, is_active = false WHERE id = 1")
    _soon(lambda: handle.resolve("openai").status == "organization_disabled")
    owner.execute("UPDATE organization_names SET organization_id = 2 WHERE name = 'crm-42'")
    _soon(lambda: handle.resolve("openai").organization == "beta")
    owner.execute("UPDATE installation SET organizations = 'open'")
    _soon(lambda: resolver.resolve("openai", "who").status == "ok")
    owner.execute("DELETE FROM organizations WHERE id = 2")
    _soon(lambda: not resolver.resolve("openai", "beta").organization_known)


@pytest.mark.long
def test_some_organisations_only(owner: Connection, committed: str) -> None:
    """Those that are named, by any name, and their templates; who comes to have the name is read then, and with a new template."""
    only = Resolver(committed, ring=RING, organizations=["crm-42", "o'neill", "a\0b", "who"])
    try:
        assert (_tokens(only, "local", "acme"), only.resolve("openai", "beta").status) == (102, "unknown_organization")
        taken = only._snapshot
        assert taken is not None
        assert {one for one, _ in taken.organizations.items()} == {1, 3}
        owner.execute("UPDATE llm_settings SET max_tokens = 7 WHERE organization_id = 3")
        _soon(lambda: _tokens(only, "local", "acme") == 7)
        owner.execute("UPDATE organizations SET name = 'B' WHERE id = 2")
        owner.execute("INSERT INTO organization_names VALUES ('o''neill', 2, 'external')")
        _soon(lambda: only.resolve("openai", "beta").status == "ok")
        owner.execute(
            "INSERT INTO organizations (id, slug, name, kind) VALUES (4, 'plan-l', 'Plan L', 'template');"
            "INSERT INTO llm_settings (organization_id, max_tokens) VALUES (4, 8)"
        )
        owner.execute("UPDATE organizations SET template_id = 4 WHERE id = 2")
        _soon(lambda: _tokens(only, "local", "beta") == 8)
    finally:
        only.close()


STEPS = [
    "INSERT INTO organizations (id, slug, name, kind) VALUES ({n}0, 's{n}', 'S', 'organization') ON CONFLICT DO NOTHING",
    "INSERT INTO organization_names VALUES ('n{n}', {m}0, 'external') ON CONFLICT DO NOTHING",
    "UPDATE organization_names SET organization_id = {m}0 WHERE name = 'n{n}'",
    "UPDATE organizations SET template_id = 3, shares_keys = NOT shares_keys WHERE id = {n}0",
    "UPDATE organizations SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE id = {n}0",
    "DELETE FROM organizations WHERE id = {n}0",
    "INSERT INTO llm_settings (organization_id, provider_id, top_p) VALUES ({n}0, {m}, 0.{n}) ON CONFLICT DO NOTHING",
    "UPDATE llm_settings SET organization_id = {m}0 WHERE organization_id = {n}0",
    "UPDATE llm_settings SET organization_id = NULL, provider_id = 2 WHERE organization_id = {n}0",
    "UPDATE llm_settings SET temperature = 0.{n}, is_active = NOT is_active WHERE organization_id = {m}0",
    "INSERT INTO feature_llm_overrides (feature_id, organization_id, top_p) VALUES (1, NULLIF({m}0, 20), 0.{n}) ON CONFLICT DO NOTHING",
    "UPDATE feature_llm_overrides SET organization_id = NULLIF({n}0, 10), default_provider_id = {m} WHERE id % 3 = {m}",
    "DELETE FROM feature_llm_overrides WHERE id % 3 = {n}",
    "INSERT INTO llm_features (name, display_name) VALUES ('f{n}', 'F') ON CONFLICT DO NOTHING",
    "UPDATE llm_features SET is_active = NOT is_active, name = 'g{n}' WHERE name = 'f{n}' AND NOT EXISTS (SELECT 1 FROM llm_features WHERE name = 'g{n}')",
    "INSERT INTO organization_providers (organization_id, provider_id, is_allowed) VALUES ({n}0, {m}, false) ON CONFLICT DO NOTHING",
    "UPDATE organization_providers SET allowed_models = '[\"m{n}\"]' WHERE organization_id = {m}0",
    "UPDATE installation SET organizations = CASE organizations WHEN 'open' THEN 'closed' ELSE 'open' END",
    "UPDATE llm_settings SET max_tokens = 10{n} WHERE organization_id = 3",
]


def _ask(taken: Snapshot) -> list[dict[str, Any]]:
    return [
        taken.answer(name, RING, organization=organization, feature=feature).as_dict() | {"generation": 0}
        for name in ("openai", None)
        for organization in (None, "s1", "n1", "n2", "acme")
        for feature in (None, "summarise", "g1")
    ]


@pytest.mark.long
def test_what_changed_is_all_that_has_to_be_read(owner: Connection) -> None:
    """After any sequence of transactions the updated snapshot is, and answers, as one that is read afresh."""
    updated = reading.load(owner)
    for number in range(60):
        dice = random.Random(number)
        with suppress(psycopg.errors.IntegrityError), owner.transaction():
            for step in dice.choices(STEPS, k=dice.randrange(1, 4)):
                owner.execute(step.format(n=dice.choice([1, 2]), m=dice.choice([1, 2])))  # type: ignore[arg-type]  # of ours
        found = reading.update(owner, updated)
        afresh = reading.load(owner)
        assert found is not None
        assert found.is_like(afresh), number
        assert _ask(found) == _ask(afresh), number
        updated = found


MANY = """
INSERT INTO organizations (id, slug, name) SELECT n, 'many-' || n, 'Many' FROM generate_series({0} + 1, {1}) AS n;
INSERT INTO organization_names (name, organization_id, kind) SELECT slug, id, 'slug' FROM organizations WHERE id > {0};
INSERT INTO llm_settings (organization_id, provider_id, max_tokens)
    SELECT id, provider, 200 FROM organizations, generate_series(1, 2) AS provider WHERE id > {0};
INSERT INTO feature_llm_overrides (feature_id, organization_id, provider_id, max_tokens)
    SELECT 1, id, provider, 300 FROM organizations, generate_series(1, 2) AS provider WHERE id > {0};
ANALYZE;
"""


def _many(owner: Connection, number: int, above: int = 10) -> Snapshot:
    """Have *number* organisations more, of six lines each, with ids above *above*; return the snapshot."""
    owner.execute("SET session_replication_role = replica")  # no note of each: the question is what is read later
    owner.execute(MANY.format(above, above + number))  # type: ignore[arg-type]  # of ours
    owner.execute("SET session_replication_role = DEFAULT")
    return reading.load(owner)


@pytest.mark.parametrize("number", [20, 4_000])
def test_a_change_costs_what_has_changed(owner: Connection, number: int) -> None:
    """However many organisations there are: so many rows are sent, so many kilobytes are made anew, and the rest is shared."""
    before = _many(owner, number)
    kept = before.answer("openai", RING, organization="many-12", feature="summarise")
    reading.update(owner, before)  # what is imported on first use is
    owner.execute("UPDATE llm_settings SET max_tokens = 7 WHERE organization_id = 11")
    with tempfile.TemporaryFile() as trace:
        owner.pgconn.trace(trace.fileno())
        tracemalloc.start()
        after = reading.update(owner, before)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        owner.pgconn.untrace()
        trace.seek(0)
        sent = trace.read().count(b"\tDataRow\t")

    assert after is not None
    assert after.answer("openai", RING, organization="many-11").max_tokens == 7
    assert after.answer("openai", RING, organization="many-12", feature="summarise") is kept
    assert sent == 1 + 1 + 6  # the generation, the note, the organisation's lines
    assert most < 120 * 1024
    assert after.providers is before.providers
    assert after.settings is before.settings
    others = {one: lines for one, lines in before.organizations.items() if one != 11}
    assert len(others) == number + 2
    assert all(after.organizations.lines(one) is lines for one, lines in others.items())


def test_the_server_reads_no_more_than_has_changed(owner: Connection) -> None:
    """Of 4,000 organisations the rows of the three that have changed, by their indexes."""
    _many(owner, 4_000)
    read = 0
    for query in organizations.queries(owner, {11, 500, 3_000}, None):
        explained = owner.execute(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {query}".encode()).fetchone()
        assert explained is not None
        read += _rows_read(explained[0][0]["Plan"])
    assert read <= 3 * 6 * 4  # some nodes hand on what others have read


def _rows_read(node: dict[str, Any]) -> int:
    own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return int(own) + sum(map(_rows_read, node.get("Plans", ())))


def test_rows_are_nothing_to_the_garbage_collector(owner: Connection) -> None:
    """However many there are, it has nothing more to look at: it would stop the service for as long."""
    few = _many(owner, 20)
    gc.collect()
    before = len(gc.get_objects())
    loaded = _many(owner, 4_000, above=30)
    gc.collect()
    assert (len(few.organizations), len(loaded.organizations)) == (23, 4_023)
    assert len(gc.get_objects()) - before < 30  # 24,000 rows


def test_too_many_changed_organisations_are_read_as_a_whole(owner: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than named one by one."""
    monkeypatch.setattr("core.resolving.organizations.MOST_CHANGED", 1)
    taken = reading.load(owner)
    owner.execute("UPDATE organizations SET shares_keys = false WHERE id = 1")
    assert reading.update(owner, taken) is not None
    owner.execute("UPDATE organizations SET shares_keys = true")
    assert reading.update(owner, taken) is None


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_many_organisations_are_read_part_by_part(
    owner: Connection, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """So that no statement takes longer than the limit; all of it is one moment, and the same as read at once."""
    whole = reading.load(owner)
    assert {one for one, _ in whole.organizations.items()} == {1, 2, 3}
    monkeypatch.setattr("core.resolving.organizations.AT_ONCE", at_once)

    assert reading.load(owner).is_like(whole)
    assert len(reading.load(owner, ("acme",)).organizations) == 2


# Whatever is stored

TABLES = (
    "llm_settings",
    "llm_providers",
    "organizations",
    "organization_names",
    "organization_providers",
    "llm_features",
    "feature_llm_overrides",
    "installation",
    "llm_limits",
    "llm_pii_settings",
)


@pytest.fixture
def lawless(owner: Connection) -> Connection:
    """The same without triggers, checks, foreign keys and unique indexes: as raw SQL of somebody's could leave it."""
    owner.execute("SET session_replication_role = replica")
    for table in TABLES:
        for kind, name in owner.execute(
            "SELECT contype, conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f')",
            [table],
        ).fetchall():
            assert kind
            owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")  # type: ignore[arg-type]  # names of ours
        for (name,) in owner.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = %s AND indexname NOT LIKE '%%pkey'", [table]
        ).fetchall():
            owner.execute(f"DROP INDEX {name}")  # type: ignore[arg-type]  # names of ours
        for (name,) in owner.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_nullable = 'NO' AND column_name NOT IN ('id', 'name')",
            [table],
        ).fetchall():
            owner.execute(f"ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL")  # type: ignore[arg-type]  # as above
    return owner


TEXTS = (None, "", "acme", "tab\there", "line\nfeed", "back\\slash", "\\N", "\u00fc\U0001f511", "x" * 200)
IDS = (None, 0, -1, 1, 2, 3, 4, 99)
JSONS = (None, {}, [], "x", 5, ["m1"], ["m1", 5, None], {"a": {"b": [1]}}, [[["m1"]]], True)


LIMITS = (
    *({"lock": True}, {"send": False}, {"in": ["full", False, "low"]}, {"min": 1, "max": 0}, {"max": 0.1}),
    *({"max": "1"}, {"in": "full", "lock": 1}, {"min": None}),
)
MADE_OF_JSON = (
    "limits",
    "allowed_models",
    "own_models",
    "omitted_parameters",
    "custom_settings",
    "extra_parameters",
    "types",
    "countries",
    "patterns",
    "allow",
    "field_changes",
)
VALUES: dict[type, tuple[Any, ...]] = {
    float: (None, 0.3, math.nan, math.inf, -1.0),
    int: (None, 1, 0, 2**31 - 1),
    bool: (None, True),
    str: (None, "full", "loud"),
    list: (None, ["END"], 5),
}


def _insert(connection: Connection, table: str, **row: Any) -> None:
    values = [
        Json(value) if isinstance(value, dict | list) or name in MADE_OF_JSON else value for name, value in row.items()
    ]
    connection.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",  # type: ignore[arg-type]  # of ours
        values,
    )


def _spoil(connection: Connection, dice: random.Random) -> None:
    for table in TABLES[2:] + TABLES[:1]:
        connection.execute(f"DELETE FROM {table}")  # type: ignore[arg-type]  # a name of ours
    for row_id in range(1, 5):
        kind, template = dice.choice(["organization", "organization", "template", "", None]), dice.choice(IDS)
        row = {name: dice.choice([True, True, False, None]) for name in ("shares_keys", "is_active")}
        slug = dice.choice([f"o{row_id}", *TEXTS])
        _insert(connection, "organizations", id=row_id, slug=slug, name="N", kind=kind, template_id=template, **row)
    for name in {f"o{dice.randrange(1, 5)}", *dice.sample([t for t in TEXTS if t], 3)}:
        _insert(connection, "organization_names", name=name, organization_id=dice.choice(IDS), kind="slug")
    for row_id in range(1, 4):
        name, active = dice.choice(["summarise", *TEXTS[1:]]) or "", dice.choice([True, False, None])
        _insert(connection, "llm_features", id=row_id, name=name, is_active=active)
    _insert(connection, "installation", id=1, organizations=dice.choice(["open", "closed", "", None]))
    _spoil_terms(connection, dice)
    for table in ("llm_settings", "feature_llm_overrides"):
        for row_id in range(1, 8):
            _spoil_row(connection, dice, table, row_id)
    for row_id in range(1, 5):
        of = {name: dice.choice(IDS) for name in ("organization_id", "feature_id", "provider_id")}
        said = {dice.choice(list(PARAMETERS)): dice.choice([*JSONS, *LIMITS]) for _ in range(5)}
        row = {"limits": dice.choice([said, said, *JSONS]), "field_changes": dice.choice(JSONS)}
        row |= {"owner": dice.choice(["installation", "organization", *TEXTS]), "note": dice.choice(TEXTS)}
        _insert(connection, "llm_limits", id=row_id, **of, **row)
        row = {name: dice.choice([*JSONS, [{"name": "A", "pattern": "("}]]) for name in MADE_OF_JSON[6:]}
        row |= {name: dice.choice(["mask", *TEXTS]) for name in ("logs", "prompts", "answers", "engine", "on_failure")}
        _insert(connection, "llm_pii_settings", id=row_id, **of, **row, restore=dice.choice([True, False, None]))


def _spoil_terms(connection: Connection, dice: random.Random) -> None:
    for row_id in range(1, 5):
        organization, of = dice.choice(IDS), dice.choice([1, 2, None, 99])
        row: dict[str, Any] = {"api_key_encrypted": dice.choice([None, "", "ff:\t", "t"])}
        if dice.random() < 0.5 and organization and of:
            place = place_of_own_key(row_id + dice.randrange(2), organization, of, "https://api.openai.com:443")
            row = dict(
                zip(("api_key_encrypted", "api_key_key_id", "api_key_binding"), RING.seal(OWN, place), strict=True)
            )
        row |= {name: dice.choice(JSONS) for name in ("allowed_models", "own_models")}
        row |= {name: dice.choice([True, False, None]) for name in ("is_allowed", "requires_own_key")}
        _insert(connection, "organization_providers", id=row_id, organization_id=organization, provider_id=of, **row)


def _spoil_row(connection: Connection, dice: random.Random, table: str, row_id: int) -> None:
    row: dict[str, Any] = {"id": row_id, "organization_id": dice.choice(IDS), "provider_id": dice.choice(IDS)}
    row |= {"default_provider_id": dice.choice(IDS), "preferred_model": dice.choice(TEXTS)}
    row |= {name: dice.choice(JSONS) for name in (*MADE_OF_JSON[3:6], "field_changes")} | {
        "is_active": dice.choice([True, None])
    }
    for parameter in dice.sample(list(PARAMETERS.values()), 3):
        value = dice.choice(VALUES[parameter.value_type])
        row[parameter.name] = Json(value) if parameter.value_type is list else value
    _insert(connection, table, **row, **({"feature_id": dice.choice(IDS)} if table != "llm_settings" else {}))


def _check(answer: EffectiveSettings) -> None:
    assert answer.status in get_args(Status)
    json.dumps([item.as_dict() for item in answer.explain()])
    json.dumps(answer.as_dict())
    answer.request_options()
    if answer.status == "ok":
        assert answer.api_key()
        assert answer.key_owner in {"organization", "installation", None}
        return
    with pytest.raises(ApiKeyUnavailable):
        answer.api_key()


@pytest.mark.kill
def test_any_state_of_the_tables_gives_valid_settings(lawless: Connection) -> None:
    """Rubbish in every column, cyclic and foreign templates, rows of nobody, doubled names: a valid status, never an exception;
    from a file too, and of a key that is no organisation's own never OWN.
    """
    lawless.execute("UPDATE llm_providers SET needs_key = true WHERE id = 1")
    for number in range(STATES):
        dice = random.Random(number)
        with lawless.transaction():
            _spoil(lawless, dice)
        taken = reading.load(lawless)
        for found in (taken, taken.without_keys()):
            for name in ("openai", "local", None, "nobody"):
                for organization in (None, "acme", f"o{dice.randrange(1, 5)}", "x" * 200, "\\N", ["acme"]):
                    for feature in (None, "summarise", "", 5):
                        _check(found.answer(name, RING, organization=organization, feature=feature))


ROWS_OF_ONE = [
    ("llm_settings (organization_id, provider_id, top_p) VALUES (2, 1, 0.5)", "top_p = 0.25"),
    ("feature_llm_overrides (organization_id, feature_id, top_p) VALUES (2, 1, 0.5)", "top_p = 0.25"),
    ("organization_providers (organization_id, provider_id, is_allowed) VALUES (2, 1, false)", "is_allowed = true"),
    (
        """llm_limits (organization_id, owner, limits) VALUES (2, 'installation', '{"max_tokens": {"max": 9}}')""",
        """limits = '{"max_tokens": {"max": 8}}'""",
    ),
    ("llm_pii_settings (organization_id, logs) VALUES (2, 'off')", "logs = 'mask'"),
    (
        """org_llm_budgets (organization_id, name, amount, period, mode, unpriced, when_away)
            VALUES (2, 'b', 5, 'day', 'hard', 'count', 'open')""",
        "mode = 'soft'",
    ),
    ("llm_rate_limits (organization_id, name, max_concurrent) VALUES (2, 'r', 5)", "max_concurrent = 6"),
]


@pytest.mark.parametrize(("row", "change"), ROWS_OF_ONE, ids=[row.split(" ", 1)[0] for row, _ in ROWS_OF_ONE])
def test_what_an_organisation_has_of_its_own_is_followed(owner: Connection, row: str, change: str) -> None:
    """A row that names an organisation is heard of when it is made, changed and deleted, of each table that has such rows."""
    table = row.split(" ", 1)[0]
    taken = reading.load(owner)
    said = [_of_beta(taken)]
    for statement in (
        f"INSERT INTO {row}",
        f"UPDATE {table} SET {change} WHERE organization_id = 2",
        f"DELETE FROM {table} WHERE organization_id = 2",
    ):
        owner.execute(statement)
        after, afresh = reading.update(owner, taken), reading.load(owner)
        assert after is not None
        assert after.is_like(afresh)
        assert _of_beta(after) == _of_beta(afresh)
        taken = after
        said.append(_of_beta(after))
    assert said[0] == said[3]
    assert said[1] != said[0]
    assert said[1] != said[2]


def _of_beta(snapshot: Snapshot) -> tuple[Any, ...]:
    found = snapshot.answer("openai", RING, organization="beta", feature="summarise")
    return (
        {name: value for name, value in found.as_dict().items() if name != "generation"},
        *(found.budgets, found.rate_limits, found.personal_data),
    )


def test_each_table_of_an_organisation_is_tried(owner: Connection) -> None:
    """Each table with a column for an organisation whose changes are counted is above, but for names."""
    query = (
        "SELECT c.relname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE t.tgfoid = 'llm_count_change'::regproc AND t.tgdeferrable AND a.attname = 'organization_id'"
    )
    counted = {name for (name,) in owner.execute(query)}
    assert counted - {"organization_names"} - {row.split(" ", 1)[0] for row, _ in ROWS_OF_ONE} == set()
