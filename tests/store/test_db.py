"""The connection: what is retried, what is refused, what it never shows."""

import threading
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from core.actors import COMMAND_LINE
from core.errors import SchemaMismatch, StoreUnavailable
from core.manage import providers
from core.store import db
from tests.conftest import named

SECRET = "sk-canary-0123456789abcdef"


def _two_providers() -> tuple[int, int]:
    with db.transaction() as session:
        pair = [
            providers.create(
                session,
                COMMAND_LINE,
                {"name": name, "display_name": name, "kind": "openai", "available_models": ["m"]},
            ).id
            for name in ("a", "b")
        ]
    return pair[0] or 0, pair[1] or 0


def test_deadlock_is_retried(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """CHECKS 61: two writers that lock two rows crosswise both succeed, because the one that lost tries again."""
    first, second = _two_providers()
    both_hold_one = threading.Barrier(2)
    tries: list[int] = []

    def write(mine: int, other: int) -> None:
        meet = True

        def work(session: object) -> None:
            nonlocal meet
            tries.append(mine)
            providers.update(session, COMMAND_LINE, mine, {"description": f"by {mine}"})  # type: ignore[arg-type]  # Session
            if meet:
                meet = False
                both_hold_one.wait(5)
            providers.update(session, COMMAND_LINE, other, {"display_name": f"by {mine}"})  # type: ignore[arg-type]  # Session

        db.retrying(work)

    threads = [threading.Thread(target=write, args=pair) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(tries) == 3
    with db.transaction() as session:
        assert {providers.get(session, i).description for i in (first, second)} == {f"by {first}", f"by {second}"}


def test_conflict_that_stays_is_given_up(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """CHECKS 61: a serialization failure is tried three times in all, then the store is unavailable; nothing is saved."""
    first, _ = _two_providers()
    tries = Mock()

    def work(session: object) -> None:
        tries()
        providers.update(session, COMMAND_LINE, first, {"description": "lost"})  # type: ignore[arg-type]  # Session
        session.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$"))  # type: ignore[attr-defined]

    with pytest.raises(StoreUnavailable, match="Try again"):
        db.retrying(work)
    with db.transaction() as session:
        assert providers.get(session, first).description is None
    assert tries.call_count == db.ATTEMPTS == 3


def test_other_errors_are_not_retried(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """An error that trying again would not mend is raised at once."""
    tries = Mock()

    def work(session: object) -> None:
        tries()
        session.execute(text("SELECT 1/0"))  # type: ignore[attr-defined]

    with pytest.raises(SQLAlchemyError):
        db.retrying(work)
    assert tries.call_count == 1


@pytest.mark.long
def test_lock_that_is_held_ends_in_a_sentence(committed: str) -> None:
    """A row that somebody keeps locked is an error within two seconds or so, not a page that hangs."""
    first, _ = _two_providers()
    with psycopg.connect(committed) as other:
        other.execute("UPDATE llm_providers SET description = 'kept'")
        with pytest.raises(StoreUnavailable, match="Nothing was saved"):
            db.retrying(lambda session: providers.update(session, COMMAND_LINE, first, {"description": "x"}))


@pytest.mark.long
def test_exhausted_pool_is_an_error_in_seconds(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 71: with every connection taken the next one is refused in words, and works again afterwards."""
    engine = db.make_engine(committed)
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    taken = [engine.connect() for _ in range(10)]
    with pytest.raises(StoreUnavailable), db.transaction() as session:
        session.execute(text("SELECT 1"))
    for connection in taken:
        connection.close()
    with db.transaction() as session:
        assert session.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_lost_connection_is_replaced(committed: str) -> None:
    """After the server dropped every connection the next transaction works: nobody has to restart the app."""
    with db.transaction() as session:
        session.execute(text("SELECT 1"))
    with psycopg.connect(named(committed, "postgres"), autocommit=True) as other:
        name = committed.partition("?")[0].rpartition("/")[2]
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    with db.transaction() as session:
        assert session.execute(text("SELECT 1")).scalar() == 1


def test_database_error_shows_no_parameter(worker_engine: Engine) -> None:
    """CHECKS 33: a database error with a key among its parameters does not print it."""
    with worker_engine.connect() as connection, pytest.raises(SQLAlchemyError) as caught:
        connection.execute(
            text("INSERT INTO llm_providers (name, api_key_encrypted) VALUES (:n, :k)"), {"n": "a", "k": SECRET}
        )

    assert SECRET not in str(caught.value).partition("[SQL")[2]
    assert "hide_parameters" in str(caught.value)


def test_old_server_is_refused_in_a_sentence() -> None:
    """A server older than PostgreSQL 15 is named, with what is needed; no stack trace of a failed statement."""
    with pytest.raises(SchemaMismatch, match=r"PostgreSQL 14; LLM Settings needs PostgreSQL 15"):
        db._check_server(Mock(info=Mock(server_version=140012)), None)


def test_unreachable_database_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is StoreUnavailable, without host, user or password."""
    engine = db.make_engine("postgresql://somebody:hunter2hunter2@127.0.0.1:1/x")
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    with pytest.raises(StoreUnavailable) as caught, db.transaction() as session:
        session.execute(text("SELECT 1"))

    assert "hunter2" not in str(caught.value)
    assert "cannot be reached" in str(caught.value)
