"""Limits in the schema: raw SQL meets the rules, each rule has its own stamp, and a service hears of each change."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlmodel import Session

from core.crypto import get_ring
from core.postgres.lines import connect
from core.resolving import reading, snapshot_file
from core.store import db, grants, migrate

PROVIDER = (
    "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
    " VALUES ('openai', 'P', 'openai', '[\"m\"]', 'm')"
)


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """One that commits each statement, with two organisations, a template and a feature."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO organizations (slug, name, kind) VALUES ('plan-s', 'S', 'template')")
        connection.execute(
            "INSERT INTO organizations (slug, name, template_id) VALUES ('acme', 'A', 1), ('beta', 'B', NULL)"
        )
        connection.execute("INSERT INTO organization_names SELECT slug, id, 'slug' FROM organizations")
        connection.execute("INSERT INTO llm_features (name, display_name) VALUES ('classify', 'C')")
        yield connection


INSERT = "INSERT INTO llm_limits (owner, organization_id, feature_id, limits, note) VALUES "


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ("('nobody', 1, NULL, '{}', NULL)", "llm_limits_owner_check"),
        ("('organization', NULL, NULL, '{}', NULL)", "llm_limits_organization_id_check"),
        ("('installation', NULL, NULL, '[]', NULL)", "llm_limits_limits_check"),
        ("('installation', NULL, NULL, jsonb_build_object('a', repeat('x', 16400)), NULL)", "llm_limits_limits_check"),
        ("('installation', NULL, NULL, '{}', '')", "llm_limits_note_check"),
        ("('installation', NULL, NULL, '{}', repeat('x', 501))", "llm_limits_note_check"),
        ("('installation', NULL, 1, '{}', NULL), ('installation', NULL, 1, '{}', NULL)", "llm_limits_scope_key"),
        ("('installation', 99, NULL, '{}', NULL)", "llm_limits_organization_id_fkey"),
    ],
)
def test_raw_sql_meets_the_rules(connection: psycopg.Connection[Any], values: str, constraint: str) -> None:
    """Whose it is, one row a scope and owner, an object of at most 16 KiB, a note of at most 500 characters."""
    with pytest.raises(psycopg.errors.IntegrityError) as caught:
        connection.execute((INSERT + values).encode())
    assert caught.value.diag.constraint_name == constraint


def test_each_rule_has_its_own_stamp(connection: psycopg.Connection[Any]) -> None:
    """Who changes one field's rule is named for that alone; a rule that is gone says by whom."""

    def changes(who: str, limits: Any) -> dict[str, tuple[str, int]]:
        with connection.transaction():
            connection.execute("SELECT set_config('llm_settings.actor', %s, true)", [who])
            connection.execute(
                "INSERT INTO llm_limits (owner, limits) VALUES ('installation', %s)"
                " ON CONFLICT (owner, organization_id, feature_id, provider_id) DO UPDATE SET limits = excluded.limits",
                [Jsonb(limits)],
            )
        row = connection.execute("SELECT field_changes FROM llm_limits").fetchone()
        return {name: (each["by"], each["version"]) for name, each in row[0].items() if name != "owner"} if row else {}

    first = changes("ada", {"max_tokens": {"max": 1}, "top_p": {"max": 1}})
    second = changes("bob", {"max_tokens": {"max": 1}, "top_p": {"max": 0.5}})
    third = changes("eve", {"max_tokens": {"max": 1}})

    assert first == dict.fromkeys(("limits", "limits.max_tokens", "limits.top_p"), ("ada", 1))
    assert second == {"limits": ("bob", 2), "limits.max_tokens": ("ada", 1), "limits.top_p": ("bob", 2)}
    assert third == {"limits": ("eve", 3), "limits.max_tokens": ("ada", 1), "limits.top_p": ("eve", 3)}


def test_a_service_follows_limits(connection: psycopg.Connection[Any], database: str, tmp_path: Path) -> None:
    """Nobody's, an organisation's, a template's and a feature's: added, changed and deleted by raw SQL, each is in force at the next look; in the file too."""
    connection.execute(PROVIDER)
    with connect(database, "llm-settings test") as reader:
        seen = reading.load(reader)

        def tokens(statement: str) -> tuple[int, ...]:
            nonlocal seen
            connection.execute(statement.encode())
            untouched = seen.scoped.get(("openai", "beta", None))
            after = reading.update(reader, seen)
            assert after is not None
            if "organization_id" in statement and not statement.startswith("UPDATE"):
                assert untouched is None or after.scoped.get(("openai", "beta", None)) is untouched
            seen = after
            snapshot_file.write(tmp_path / "file", seen, 1.0)
            saved = snapshot_file.read(tmp_path / "file")
            assert saved is not None
            of = (None, None), ("acme", None), ("acme", "classify"), ("beta", None)
            answers = [
                each.answer("openai", get_ring(), organization=o, feature=f).max_tokens
                for each in (seen, saved.snapshot, reading.load(reader))
                for o, f in of
            ]
            assert answers[:4] == answers[4:8] == answers[8:]
            return tuple(answers[:4])

        def limit(number: int, owner: str, most: int, of: str = "") -> str:
            name, _, value = of.partition(" = ")
            more, values = (f", {name}", f", {value}") if name else ("", "")
            rule = json.dumps({"max_tokens": {"max": most}})
            return f"INSERT INTO llm_limits (id, owner, limits{more}) VALUES ({number}, '{owner}', '{rule}'{values})"

        assert tokens("SELECT 1") == (2000, 2000, 2000, 2000)
        assert tokens(limit(1, "installation", 1900)) == (1900, 1900, 1900, 1900)
        assert tokens(limit(2, "installation", 1800, "organization_id = 2")) == (1900, 1800, 1800, 1900)
        assert tokens(limit(3, "organization", 1700, "organization_id = 1")) == (1900, 1700, 1700, 1900)
        assert tokens(limit(4, "installation", 1600, "feature_id = 1")) == (1900, 1700, 1600, 1900)
        assert tokens("DELETE FROM llm_limits WHERE organization_id = 1") == (1900, 1800, 1600, 1900)
        assert tokens("UPDATE llm_limits SET organization_id = 3 WHERE id = 1") == (2000, 1800, 1600, 1900)
        assert tokens("DELETE FROM llm_features") == (2000, 1800, 1800, 1900)
        connection.execute("TRUNCATE llm_limits")
        assert reading.update(reader, seen) is None


def test_roles_of_a_version_before_read_and_write_limits(database: str) -> None:
    """Who could resolve, or change settings, before the migration may do so with limits after it."""
    engine = db.make_engine(database)
    migrate.downgrade(engine, "0024")
    with engine.begin() as connection:
        for role in ("limits_app", "limits_reader"):
            connection.execute(text(f"CREATE ROLE {role}"))
    try:
        with Session(engine) as session:
            there = set(session.scalars(text("SELECT relname::text FROM pg_class WHERE relkind = 'r'")))
            before = {
                **grants.RIGHTS,
                "llm_logs": "SELECT, DELETE, INSERT (at, provider, model, error)",
            }  # as far as it goes here
            for role, what in (("limits_app", before), ("limits_reader", grants.READER)):
                for table, right in what.items():
                    if table in there:
                        session.execute(text(f"GRANT {right} ON {table} TO {role}"))
            session.commit()
        migrate.upgrade(engine)
        with Session(engine) as session:
            session.execute(text("SET LOCAL ROLE limits_reader"))
            assert grants.lacking(session, {"llm_limits": grants.READER["llm_limits"]}) == []
            assert ("llm_limits", "INSERT") in grants.lacking(session, {"llm_limits": grants.RIGHTS["llm_limits"]})
            session.execute(text("SET LOCAL ROLE limits_app"))
            assert grants.lacking(session, {"llm_limits": grants.RIGHTS["llm_limits"]}) == []
            session.execute(text("INSERT INTO llm_limits (owner, limits) VALUES ('installation', '{}')"))
        assert migrate.differences(engine) == []
    finally:
        with engine.begin() as connection:
            for role in ("limits_app", "limits_reader"):
                connection.execute(text(f"DROP OWNED BY {role}"))
                connection.execute(text(f"DROP ROLE {role}"))
        engine.dispose()
