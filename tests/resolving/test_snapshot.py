"""The snapshot, against real tables: whatever is stored there, and however it was changed.

How many random states are tried is for `LLM_TEST_STATES` to say: 400, or 100,000 in the nightly run.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json

from core.crypto import KeyRing, Place
from core.kinds import origin_of
from core.models import overlay
from core.parameters import PARAMETERS
from core.resolve import Resolver
from core.resolving import columns, reading
from core.resolving.snapshot import Snapshot
from tests.conftest import ENCRYPTION_KEY
from tests.parameters import RULES, SENT, another

RING = KeyRing(ENCRYPTION_KEY)
CANARY = "sk-canary-0123456789abcdef"
STATES = int(os.environ.get("LLM_TEST_STATES", "400"))
quickly = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def lawless(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A database without triggers, checks and unique indexes: as raw SQL of somebody's could leave one."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for table in ("llm_settings", "llm_providers"):
            for (name,) in connection.execute(
                "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f')", [table]
            ).fetchall():
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            for (name,) in connection.execute(
                "SELECT indexname FROM pg_indexes WHERE tablename = %s AND indexname NOT LIKE '%%pkey'", [table]
            ).fetchall():
                connection.execute(f"DROP INDEX {name}")
            for (name,) in connection.execute(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = %s AND is_nullable = 'NO' AND column_name <> 'id'",
                [table],
            ).fetchall():
                connection.execute(f"ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL")
        yield connection


def _maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


TEXT = (
    "m1",
    "",
    "tab\there",
    "line\nbreak",
    "back\\slash",
    "\\N",
    "\u00fc\U0001f511",
    "'; DROP TABLE llm_settings; --",
)
JSON = ({}, [], "x", 5, None, {"a": {"b": [1, None]}}, {"a": "\\t", "b": 1.5}, ["temperature", 5, "nope"], ["top_p"])
CHANGES = (
    {"temperature": {"by": "ada", "at": "2026-01-02T03:04:05+00:00", "version": 3}},
    {"default_model": 5, "temperature": {"by": 7, "at": "yesterday"}},
    *JSON,
)
NUMBERS = (0.0, -0.0, 0.3, 2, 1e308, -3.0, math.nan, math.inf)
WORDS = ("minimal", "loud", "")
LISTS = (["END", "tab\there"], ["x"] * 17, [], [1], {"END": 1}, "END", None)
INTEGERS = (0, 1, 5, 100, 2000, -1, 2**31 - 1)
MOSTLY = st.sampled_from([True, True, True, False, None])
PROVIDER = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["openai", "own", *TEXT]),
        "display_name": _maybe(*TEXT),
        "kind": _maybe("openai", "anthropic", "nobody's", ""),
        "api_base_url": _maybe("https://a.example/v1", "no url", "https://u:p@h/"),
        "default_model": _maybe("m1", "", "tab\there"),
        "is_active": MOSTLY,
        "version": _maybe(1, -5),
        "field_changes": st.sampled_from(CHANGES),
        "needs_key": MOSTLY,
        "key": st.sampled_from(["none", "ours", "ours", "moved", "garbage", "unbound"]),
    }
)
ROW = st.fixed_dictionaries(
    {
        "provider_id": _maybe(1, 2, 99),
        "organization_id": _maybe(7),
        "is_active": MOSTLY,
        "version": _maybe(1),
        "field_changes": st.sampled_from(CHANGES),
        "preferred_model": _maybe("m2", "", "line\nbreak"),
        "omitted_parameters": st.sampled_from(JSON),
        "custom_settings": st.sampled_from(JSON),
        "extra_parameters": st.sampled_from(JSON),
        **{
            name: _maybe(*{float: NUMBERS, int: INTEGERS, bool: (True, False), str: WORDS, list: LISTS}[p.value_type])
            for name, p in PARAMETERS.items()
        },
    }
)


def _insert(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> None:
    values = [
        Json(v) if n in {"field_changes", "omitted_parameters", "custom_settings", "extra_parameters", "stop"} else v
        for n, v in row.items()
    ]
    connection.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
        values,
    )


def _with_key(row_id: int, provider: dict[str, Any]) -> dict[str, Any]:
    row = {"id": row_id, "available_models": Json(["m1"]), **provider}
    how = row.pop("key")
    if how != "none":
        place = Place("llm_providers", row_id, "api_key", origin_of(row["kind"], row["api_base_url"]))
        blob, key_id, binding = RING.seal(CANARY, place if how == "ours" else place._replace(row_id=row_id + 1))
        key_id, binding = (None, None) if how == "unbound" else (key_id, binding)
        row |= {"api_key_encrypted": "ff:\\t" if how == "garbage" else blob}
        row |= {"api_key_key_id": key_id, "api_key_binding": binding}
    return row


def _expected(row_id: int, provider: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rules once more, the slow and obvious way."""
    live = [row for row in rows if row["is_active"] and row["organization_id"] is None]
    layers = [row for row in live if row["provider_id"] is None] + [row for row in live if row["provider_id"] == row_id]
    answer: dict[str, Any] = {name: default for name, (default, _) in RULES.items()}
    custom: dict[str, Any] = {}
    omitted: set[str] = set()
    model = provider["default_model"] or None
    for row in layers:
        for name, (_, legal) in RULES.items():
            if row[name] is not None and legal(row[name]):
                answer[name] = row[name]
                omitted.discard(name)
        if isinstance(row["omitted_parameters"], list):
            omitted |= {name for name in SENT if name in row["omitted_parameters"]}
        if isinstance(row["custom_settings"], dict):
            custom |= row["custom_settings"]
        if row["provider_id"] == row_id and row["preferred_model"]:
            model = row["preferred_model"]
    of_key = {"none": "no_key", "ours": "ok"}.get(provider["key"], "key_unreadable")
    if provider["needs_key"] is False:
        of_key = "ok"
    status = "disabled" if not provider["is_active"] else "no_model" if model is None else of_key
    told = {"model": model, "status": status, "omitted": [name for name in SENT if name in omitted]}
    return answer | told | {"custom_settings": custom}


@pytest.mark.kill
def test_any_state_of_the_tables_gives_valid_settings(lawless: psycopg.Connection[Any]) -> None:
    """CHECKS 73: of thousands of random states, lawless ones among them, every answer is that of a slow, obvious merge; from
    the snapshot, and from what a file keeps of it.
    """

    @given(found=st.lists(PROVIDER, max_size=2, unique_by=lambda row: row["name"]), rows=st.lists(ROW, max_size=3))
    @settings(quickly, max_examples=STATES)
    def check(found: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
        with lawless.transaction():
            lawless.execute("DELETE FROM llm_settings")
            lawless.execute("DELETE FROM llm_providers")
            for row_id, provider in enumerate(found, start=1):
                _insert(lawless, "llm_providers", _with_key(row_id, provider))
            for row_id, row in enumerate(rows, start=1):
                _insert(lawless, "llm_settings", {"id": row_id, **row})
        taken = reading.load(lawless)
        bare = taken.without_keys()

        assert taken.names() == sorted(provider["name"] for provider in found if provider["name"])
        assert CANARY.encode() not in b"".join(bare.providers.values())
        for row_id, provider in enumerate(found, start=1):
            expected = _expected(row_id, provider, rows)
            answer = taken.answer(provider["name"], RING)
            assert {name: answer.as_dict()[name] for name in expected} == expected
            assert answer.generation == taken.generation
            json.dumps([item.as_dict() for item in answer.explain()])
            if answer.status == "ok":
                assert answer.api_key() == ("not-needed" if provider["needs_key"] is False else CANARY)
            again = bare.answer(provider["name"], RING)
            keyless = "store_unavailable" if provider["key"] != "none" else "no_key"
            if provider["needs_key"] is not False and expected["status"] in {"ok", "key_unreadable"}:
                expected["status"] = keyless
            assert {name: again.as_dict()[name] for name in expected} == expected
        assert taken.answer("nobody", RING).status == "unknown_provider"

    check()


STEP = st.sampled_from(
    [
        (
            "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model, is_active)"
            " VALUES ('p{n}', 'P', 'openai', '[\"m\"]', 'm', true) ON CONFLICT DO NOTHING"
        ),
        (
            "INSERT INTO llm_settings (provider_id, temperature) SELECT id, 0.{n} FROM llm_providers WHERE name = 'p{n}'"
            " ON CONFLICT DO NOTHING"
        ),
        "INSERT INTO llm_settings (top_p) VALUES (0.{n}) ON CONFLICT DO NOTHING",
        'UPDATE llm_settings SET temperature = 0.{n}, custom_settings = \'{{"a": "tab\\\\there"}}\'',
        "UPDATE llm_settings SET is_active = NOT is_active WHERE id % 3 = {n}",
        "UPDATE llm_settings SET organization_id = {n} WHERE id % 4 = {n}",
        (
            "UPDATE llm_providers SET name = 'renamed-{n}' WHERE name = 'p{n}' AND"
            " NOT EXISTS (SELECT 1 FROM llm_providers WHERE name = 'renamed-{n}')"
        ),
        "UPDATE llm_providers SET default_model = NULL, is_active = false WHERE name = 'p{n}'",
        "DELETE FROM llm_providers WHERE name IN ('p{n}', 'renamed-{n}')",
        "DELETE FROM llm_settings WHERE id % 3 = {n}",
        (
            "INSERT INTO llm_provider_secrets (provider_id, use, name, plain_value)"
            " SELECT id, 'header', 'X-{n}', 'v' FROM llm_providers WHERE name LIKE 'p%' ON CONFLICT DO NOTHING"
        ),
        "UPDATE llm_provider_secrets SET plain_value = 'w{n}' WHERE name = 'X-{n}'",
        "DELETE FROM llm_provider_secrets WHERE name = 'X-{n}'",
        (
            "INSERT INTO llm_model_facts (pattern, origin, facts, why)"
            " VALUES ('m', 'operator', '{{\"temperature\": {{\"rename\": \"heat_{n}\"}}}}', 'x') ON CONFLICT DO NOTHING"
        ),
        "UPDATE llm_model_facts SET is_active = NOT is_active WHERE id % 2 = {n} % 2",
    ]
)


@pytest.mark.long
def test_what_changed_is_all_that_has_to_be_read(database: str) -> None:
    """After any sequence of transactions the updated snapshot answers as one that is read afresh."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO organizations (id, slug, name) SELECT n, 'o' || n, 'O' FROM generate_series(0, 3) AS n"
        )

        @given(st.lists(st.lists(st.tuples(STEP, st.integers(0, 3)), min_size=1, max_size=3), max_size=6))
        @settings(quickly, max_examples=150)
        def check(transactions: list[list[tuple[str, int]]]) -> None:
            updated = reading.load(connection)
            for steps in transactions:
                with suppress(psycopg.errors.IntegrityError), connection.transaction():
                    for statement, number in steps:
                        connection.execute(statement.format(n=number))
                found = reading.update(connection, updated)
                afresh = reading.load(connection)
                assert found is not None
                assert (found is updated) == (afresh.generation == updated.generation)
                assert found.facts == updated.facts or found.knowledge is not updated.knowledge
                updated = found
                assert updated.is_like(afresh)
                assert updated.names() == afresh.names()
                for name in afresh.names():
                    one, other = updated.answer(name, RING), afresh.answer(name, RING)
                    ours, theirs = one.as_dict(), other.as_dict()
                    assert ours.pop("generation") <= theirs.pop(
                        "generation"
                    )  # of organisations' changes it knows nothing
                    assert ours == theirs
                    assert one.request_options() == other.request_options()
                    assert one.carried() == other.carried()

        check()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM settings_changes",
        "UPDATE settings_generation SET generation = generation + 1",
        "UPDATE settings_generation SET generation = 0",
        "UPDATE settings_generation SET epoch = 'another'",
        "TRUNCATE llm_settings",
        (
            "WITH gone AS (DELETE FROM settings_changes RETURNING generation)"
            " INSERT INTO settings_changes SELECT max(generation), 'llm_settings', 1 FROM gone"
        ),
    ],
)
def test_what_is_not_known_is_read(database: str, statement: str) -> None:
    """A gap in the list of changes, a generation that went back, another epoch: everything has to be read."""
    with psycopg.connect(database, autocommit=True) as connection:
        before = reading.load(connection)
        connection.execute("INSERT INTO llm_settings (top_p) VALUES (0.5)")
        connection.execute("UPDATE llm_settings SET top_p = 0.25")
        assert reading.update(connection, before) is not None
        connection.execute(statement)  # type: ignore[arg-type]  # statements of ours

        assert reading.update(connection, before) is None


@pytest.mark.usefixtures("committed")
def test_a_change_costs_no_more_than_itself(committed: str) -> None:
    """Of 300 providers one is changed: that one row is read, and the others stay the same objects."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO llm_providers (name, display_name, kind, available_models)"
            " SELECT 'p' || n, 'P', 'openai', '[\"m\"]' FROM generate_series(1, 300) AS n"
        )
        resolver = Resolver(committed, ring=RING)
        try:
            resolver.resolve("p1")
            before = resolver._snapshot
            connection.execute("UPDATE llm_providers SET display_name = 'New' WHERE name = 'p7'")
            assert resolver.wait_for((before.generation if before else 0) + 1, 5)
            after = resolver._snapshot
        finally:
            resolver.close()

    assert before is not None
    assert after is not None
    changed = [row_id for row_id, line in after.providers.items() if line is not before.providers[row_id]]
    assert len(changed) == 1
    assert after.answer("p7", RING).display_name == "New"
    assert before.answer("p7", RING).display_name == "P"


def test_a_name_is_kept_only_if_there_is_a_provider() -> None:
    """The memo grows by known names alone, and is shared: two callers get one object."""
    line = b"1\tacme\tAcme\topenai\t\\N\tm\tt\t1\t\\N\tt\t\\N\t\\N\t\\N"
    taken = Snapshot(3, "here", {1: line}, {})

    assert taken.answer("acme", RING) is taken.answer("acme", RING)
    for number in range(1000):
        taken.answer(f"junk{number}", RING)
    assert list(taken.answers) == ["acme"]


WRITTEN = {"stop": r'["END", "\\n"]'}
"""How COPY writes a value that is not its own text."""


@pytest.mark.parametrize("is_on", [True, False])
def test_each_column_is_read_as_what_it_is(*, is_on: bool) -> None:
    """Numbers, lists, words, and both sides of what is true or false."""
    values = {name: is_on if p.value_type is bool else another(name) for name, p in PARAMETERS.items()}
    shown = {True: "t", False: "f"}
    row = {name: WRITTEN.get(name) or (shown[v] if isinstance(v, bool) else str(v)) for name, v in values.items()}
    row |= {"id": "5", "provider_id": "1", "version": "2", "field_changes": "{}"}
    facts = {"id": "1", "name": "acme", "display_name": "Acme", "kind": "openai", "default_model": "m", "version": "1"}
    facts |= {"is_active": "t", "needs_key": shown[is_on]}
    lines = [
        "\t".join(part.get(n, r"\N") for n in names)
        for names, part in ((columns.PROVIDERS, facts), (columns.SETTINGS, row))
    ]
    answer = Snapshot(3, "here", {1: lines[0].encode()}, {5: lines[1].encode()}).answer("acme", RING)

    assert {name: answer.as_dict()[name] for name in values} == values
    assert answer.status == ("no_key" if is_on else "ok")
    assert (
        Snapshot(3, "here", {1: lines[0].replace("\tt\t1", "\tf\t1").encode()}, {}).answer("acme", RING).status
        == "disabled"
    )


def test_the_file_says_why_it_is_asked() -> None:
    """The reason that is known, else what to look at."""
    line = b"1\tacme\tAcme\topenai\t\\N\tm\tt\t1\t\\N\tt\tt"
    for why, said in (("The server sleeps.", "The server sleeps."), (None, "Check DATABASE_URL")):
        answer = Snapshot(3, "here", {1: line}, {}, has_keys=False).answer("acme", RING, why)
        assert (answer.status, said in str(answer.cure)) == ("store_unavailable", True)
        assert ("Check" in str(answer.cure)) is (why is None)


@pytest.mark.long
def test_more_facts_than_are_read(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than counts is read, for saying so; those of admins before all others, also of a change."""
    many = overlay.MOST_ROWS + 5
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # a version of each is not what this is about
        connection.execute(
            "INSERT INTO llm_model_facts (pattern, origin, facts)"
            f" SELECT 'm' || n, 'observed', '{{\"context\": 1}}' FROM generate_series(1, {many}) n"
        )
        connection.execute(
            "INSERT INTO llm_model_facts (pattern, origin, facts, why) VALUES ('own', 'operator', '{\"context\": 7}', 'x')"
        )
        taken = reading.load(connection)
        assert len(taken.facts) == overlay.MOST_ROWS + 1
        assert sum(b"\town\t" in line for line in taken.facts.values()) == 1

        connection.execute("DELETE FROM llm_model_facts WHERE pattern NOT IN ('m1', 'm2', 'own')")
        connection.execute("SET session_replication_role = origin")
        monkeypatch.setattr(overlay, "MOST_ROWS", 4)
        before = reading.load(connection)
        connection.execute("UPDATE llm_model_facts SET facts = '{\"context\": 8}' WHERE pattern = 'own'")
        after = reading.update(connection, before)
        assert after is not None
        assert after.is_like(reading.load(connection))
        connection.execute("UPDATE llm_model_facts SET facts = '{\"context\": 9}'")
        assert reading.update(connection, after) is None

    monkeypatch.setattr(overlay, "MOST_ROWS", 1)
    facts = after.knowledge.facts("openai", "own")
    assert facts is not None
    assert facts.context == 8
