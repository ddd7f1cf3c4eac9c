"""The table of what calls have cost: who may tell, who may read, and what a migration leaves of it."""

import json
import uuid
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlmodel import Session

from core.store import db, grants, migrate

SAID: dict[str, Any] = {
    "at": "2026-11-20T10:59:59Z",
    "organization_id": 0,
    "feature": "",
    "provider": "acme",
    "model": "m1",
    "outcome": "answered",
    "cost_centre": "",
    "calls": 2,
    "input_tokens": 5,
    "output_tokens": 7,
    "unpriced": 1,
    "cost": "0.0000000001",
    "estimated": "0.0000000001",
}
TELL = "SELECT llm_tell_spend(%s, %s, 'web-1:17', %s)"


def tell(connection: psycopg.Connection[Any], *said: dict[str, Any]) -> Any:
    """Tell it as a new holder does."""
    return connection.execute(TELL, [uuid.uuid4(), 1, json.dumps(said)]).fetchone()


def test_what_is_told_is_added_up(database: str) -> None:
    """By the hour, also within what is told at once; an hour to come is this one."""
    with psycopg.connect(database) as connection:
        tell(connection, SAID, {**SAID, "at": "2026-11-20T11:00:00+01:00"}, {**SAID, "at": "2026-11-20T11:00:00Z"})
        tell(connection, SAID)
        tell(connection, {**SAID, "at": "2999-01-01T00:00:00Z", "model": "late"})
        rows = connection.execute(
            "SELECT slot, calls, input_tokens, output_tokens, cost * 10000000000, estimated * 10000000000, unpriced"
            " FROM llm_spend WHERE model = 'm1' ORDER BY slot"
        ).fetchall()
        late = connection.execute("SELECT slot <= now() FROM llm_spend WHERE model = 'late'").fetchone()
    assert [(row[0].hour, *row[1:]) for row in rows] == [(10, 6, 15, 21, 3, 3, 3), (11, 2, 5, 7, 1, 1, 1)]
    assert late == (True,)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: -1} for name in ("calls", "input_tokens", "output_tokens", "unpriced", "cost", "estimated")),
        *(
            {"calls": 0, "unpriced": 0},
            {"unpriced": 3},
            {"estimated": "1"},
            {"cost": None},
            {"cost": "NaN"},
            {"outcome": "free"},
        ),
    ],
)
def test_nothing_is_taken_back(database: str, changes: dict[str, Any]) -> None:
    """No telling makes a sum smaller, or one that cannot be; and none of it stands then, the number neither."""
    with psycopg.connect(database, autocommit=True) as connection:
        tell(connection, {**SAID, "calls": 10, "cost": "5"})
        with pytest.raises(psycopg.errors.IntegrityError):
            tell(connection, {**SAID, "model": "m2"}, {**SAID, **changes})
        counted = connection.execute(
            "SELECT sum(calls), (SELECT count(*) FROM llm_spend_holders) FROM llm_spend"
        ).fetchone()
    assert counted == (10, 1)


MAY = """
SELECT has_table_privilege(%(role)s, 'llm_spend', 'SELECT'), has_table_privilege(%(role)s, 'llm_spend', 'INSERT, UPDATE, DELETE'),
    has_table_privilege(%(role)s, 'llm_spend_holders', 'DELETE'),
    has_function_privilege(%(role)s, 'llm_tell_spend(uuid, bigint, text, jsonb)', 'EXECUTE')
"""
APP, CALLER, READER = (True, False, True, True), (False, False, False, True), (False, False, False, False)


def test_roles(database: str) -> None:
    """Who may add to the log may tell, who reads it reads; the migration gives that, and so do the commands."""
    engine = db.make_engine(database)
    names = {what: f"{what}_{uuid.uuid4().hex}" for what in ("app", "caller", "reader")}
    with psycopg.connect(database, autocommit=True) as owner:
        for name in names.values():
            owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        try:

            def rights() -> list[Any]:
                return [owner.execute(MAY, {"role": name}).fetchone() for name in names.values()]

            def grant() -> None:
                with Session(engine) as session:
                    grants.grant_app(session, names["app"])
                    grants.grant_reader(session, names["caller"], log=True)
                    grants.grant_reader(session, names["reader"])
                    session.commit()

            grant()
            assert rights() == [APP, CALLER, READER]
            tell(owner, SAID)
            migrate.downgrade(engine, "0027")
            assert owner.execute("SELECT to_regclass('llm_spend'), to_regclass('llm_spend_holders')").fetchone() == (
                None,
                None,
            )
            migrate.upgrade(engine)
            assert rights() == [APP, CALLER, READER]
            owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(names["caller"])))
            assert tell(owner, SAID) == (True,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute("SELECT * FROM llm_spend")
            owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(names["reader"])))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                tell(owner, SAID)
        finally:
            owner.execute("RESET ROLE")
            for name in names.values():
                owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
                owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
    engine.dispose()
