"""The columns that the request log got later: rows before them, and roles that were granted before them."""

import uuid

import psycopg
from psycopg import sql

from core.calling.log_writer import Writer
from core.store import db, migrate
from tests.calling.test_log_writer import CALL, settings


def test_a_service_that_is_newer_than_its_database(database: str) -> None:
    """Services are upgraded first: until each migration they log what the table has, and after the last one everything."""
    engine = db.make_engine(database)
    migrate.downgrade(engine, "0009")
    writer = Writer(database)
    try:
        for revision in ("0009", "0010", "0038", "head"):
            migrate.upgrade(engine, revision)
            writer.put(settings(), CALL._replace(response="for anna@example.com"))
            assert writer.flush(10)
    finally:
        writer.close()
        engine.dispose()
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT operation, tags, correlation_id, adjusted, cost_centre, pii FROM llm_logs ORDER BY id"
        ).fetchall()
    assert (found, writer.dropped) == (
        [
            ("chat", None, None, 0, None, None),
            ("embed", ["night", "eu"], "job-1", 0, None, None),
            ("embed", ["night", "eu"], "job-1", 2, "K-17", None),
            ("embed", ["night", "eu"], "job-1", 2, "K-17", {"EMAIL": 1}),
        ],
        0,
    )


def test_a_role_that_logs_goes_on(database: str) -> None:
    """A role that could add to the log before the migration can add whole rows after it, and nothing more."""
    engine = db.make_engine(database)
    migrate.downgrade(engine, "0009")
    role = sql.Identifier(f"logs_{uuid.uuid4().hex}")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {}").format(role))
        try:
            columns = "at, provider, model, status, attempts, latency_ms, generation, error"
            owner.execute(sql.SQL(f"GRANT INSERT ({columns}) ON llm_logs TO {{}}").format(role))  # type: ignore[arg-type]  # names of ours
            owner.execute(
                "INSERT INTO llm_logs (provider, model, status, attempts, latency_ms, generation)"
                " VALUES ('acme', 'm1', 'ok', 1, 1, 1)"
            )
            assert migrate.upgrade(engine)
            (before,) = owner.execute("SELECT operation, tags, correlation_id FROM llm_logs").fetchall()
            assert before == ("chat", None, None)
            owner.execute(sql.SQL("SET ROLE {}").format(role))
            owner.execute(
                "INSERT INTO llm_logs (provider, model, status, attempts, latency_ms, generation, operation, tags,"
                " correlation_id, adjusted, cost_centre, pii) VALUES ('acme', 'm1', 'ok', 1, 1, 1, 'embed', '[]', 'x', 1, 'K', '{}')"
            )
            owner.execute("RESET ROLE")
            may = "SELECT has_column_privilege(%s, 'llm_logs', 'tags', 'SELECT')"
            assert owner.execute(may, [role.as_string(owner).strip('"')]).fetchone() == (False,)
        finally:
            owner.execute("RESET ROLE")
            owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
            owner.execute(sql.SQL("DROP ROLE {}").format(role))
    engine.dispose()
