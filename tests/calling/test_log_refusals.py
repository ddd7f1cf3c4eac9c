"""A log that can never be written: said once, with the cure; dropped and counted, and nobody waits for it."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from core.calling import log_writer
from core.calling.log_writer import Writer
from core.config import get_config
from core.store import grants
from core.store.db import transaction
from tests.calling.test_log_writer import CALL, put, rows, settings
from tests.processes import python

Connection = psycopg.Connection[Any]
LEAVING = """
import sys, time
from core import logs
from core.calling import log_writer
from tests.calling.test_log_writer import CALL, settings
log_writer.put(settings(), CALL)
begun = time.monotonic()
log_writer._leave()
print(time.monotonic() - begun < 1.0, logs.dropped())
"""


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    """A connection to the test's own database."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def reader(committed: str, owner: Connection) -> Iterator[str]:
    """The database's URL for a role that only resolves."""
    name = f"reader_{urlsplit(committed).path[1:]}"
    owner.execute(f"CREATE ROLE {name} LOGIN")
    try:
        with transaction() as session:
            grants.grant_reader(session, name, log=False)
        parts = urlsplit(committed)
        yield parts._replace(netloc=f"{name}:pa55-word-nobody-sees@{parts.netloc.rpartition('@')[2]}").geturl()
    finally:
        owner.execute(f"DROP OWNED BY {name}")
        owner.execute(f"DROP ROLE {name}")


def no_right(_owner: Connection, reader: str) -> str:
    """Return the URL of a role without the right to log."""
    return reader


def no_table(owner: Connection, reader: str) -> str:
    """Take the table away."""
    owner.execute("DROP TABLE llm_logs CASCADE")
    return reader


def no_database(_owner: Connection, reader: str) -> str:
    """Name another database."""
    return urlsplit(reader)._replace(path="/nowhere").geturl()


def no_user(_owner: Connection, reader: str) -> str:
    """Name another role."""
    return reader.replace("reader_", "nobody_")


REFUSALS: dict[str, tuple[Callable[[Connection, str], str], str]] = {
    "no right": (no_right, "grant-reader ROLE --log"),
    "no table": (no_table, "python -m core migrate"),
    "no database": (no_database, "no such database"),
    "no user": (no_user, "refuses the user or the password"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_can_never_be_written_is_dropped(
    owner: Connection, reader: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted, one line with the cure and without the URL; nothing waits, neither in memory nor at the end."""
    spoil, words = REFUSALS[what]
    url = spoil(owner, reader)
    writer = Writer(url)
    try:
        put(writer)
        assert writer.flush(20)
        assert writer.dropped == 1
        for _ in range(2000):
            put(writer, prompt="字" * 30_000)
        assert writer.dropped == 2001
        assert (len(writer._calls), writer._size) == (0, 0)
        assert writer.flush(0)
    finally:
        writer.close()
    said = [record.message for record in caplog.records if "cannot be written" in record.message]
    assert len(said) == 1
    assert words in said[0]
    assert "calls are not logged" in said[0]
    assert "pa55" not in caplog.text


def test_a_read_only_database_is_told_the_way_out(
    owner: Connection, database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica: LLM_WRITE_DATABASE_URL names the primary. Once the database may be written, calls are logged again."""
    name = urlsplit(database).path[1:]
    owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    monkeypatch.setattr(log_writer, "REFUSED", 0.2)
    writer = Writer(database)
    try:
        put(writer)
        assert writer.flush(20)
        assert writer.dropped == 1
        assert "LLM_WRITE_DATABASE_URL" in caplog.text
        owner.execute("SET default_transaction_read_only = off")
        owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        time.sleep(0.3)
        put(writer, user_id="promoted")
        assert writer.flush(20)
    finally:
        writer.close()
    assert [row["user_id"] for row in rows(database)] == ["promoted"]
    assert "is written again; not logged: 1 call." in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("grace", [30.0, 0.5])
def test_a_failover_is_no_refusal(
    owner: Connection, database: str, grace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was written before, calls wait for a while; if it goes on, they are dropped."""
    name = urlsplit(database).path[1:]
    monkeypatch.setattr(log_writer, "FAILOVER", grace)
    writer = Writer(database)
    try:
        put(writer, user_id="before")
        assert writer.flush(20)
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%log' AND datname = current_database()"
        )
        put(writer, user_id="during")
        assert writer.flush(3) is (grace < 1)
        assert writer.dropped == (1 if grace < 1 else 0)
        owner.execute("SET default_transaction_read_only = off")
        owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        assert writer.flush(30)
    finally:
        writer.close()
    assert [row["user_id"] for row in rows(database)] == ["before"] + ["during"] * (grace > 1)


def test_the_log_goes_where_it_can_be_written(database: str, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LLM_WRITE_DATABASE_URL the log alone goes there; DATABASE_URL may be a replica, or a role that only reads."""
    monkeypatch.setenv("DATABASE_URL", reader)
    monkeypatch.setenv("LLM_WRITE_DATABASE_URL", database)
    get_config.cache_clear()
    writer = Writer()
    try:
        put(writer)
        assert writer.flush(20)
    finally:
        writer.close()
        get_config.cache_clear()
    assert (writer.dropped, len(rows(database))) == (0, 1)


def test_a_process_that_may_not_log_ends_at_once(reader: str) -> None:
    """Nobody waits at exit for what will never be written."""
    ended = python(LEAVING, DATABASE_URL=reader)
    assert (ended.returncode, ended.stdout.split()) == (0, ["True", "1"])
    assert ended.stderr.count("cannot be written") == 1


@pytest.mark.long
def test_no_free_connection_waits(owner: Connection, database: str) -> None:
    """That passes: calls wait in memory, and are written when there is room."""
    parts = urlsplit(database)
    name = f"crowd_{parts.path[1:]}"
    owner.execute(f"CREATE ROLE {name} SUPERUSER LOGIN")
    owner.execute(f"ALTER ROLE {name} NOSUPERUSER CONNECTION LIMIT 0")
    owner.execute(f"GRANT INSERT ON llm_logs TO {name}")
    owner.execute(f"GRANT USAGE ON SEQUENCE llm_logs_id_seq TO {name}")
    writer = Writer(parts._replace(netloc=f"{name}@{parts.netloc.rpartition('@')[2]}").geturl())
    try:
        put(writer)
        assert not writer.flush(1)
        assert writer.dropped == 0
        owner.execute(f"ALTER ROLE {name} CONNECTION LIMIT -1")
        assert writer.flush(30)
        assert len(rows(database)) == 1
    finally:
        writer.close()
        owner.execute(f"DROP OWNED BY {name}")
        owner.execute(f"DROP ROLE {name}")


def test_the_connection_is_closed_when_idle(owner: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts among the server's few; the next call opens another."""
    monkeypatch.setattr(log_writer, "IDLE", 0.5)
    here = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'llm-settings%log' AND datname = current_database()"
    writer = Writer(database)
    try:
        for turn in range(2):
            put(writer, user_id=str(turn))
            assert writer.flush(20)
            deadline = time.monotonic() + 20
            while owner.execute(here).fetchone() != (0,):
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        writer.close()
    assert len(rows(database)) == 2


class Hostile:
    """A prompt whose text cannot be had."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def test_one_bad_call_stops_nothing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be turned into a row, or measured, is counted; the call's own thread and the writer's go on."""
    writer = Writer(database)
    monkeypatch.setattr(log_writer, "_writer", writer)
    circle: list[Any] = []
    circle.append(circle)
    try:
        log_writer.put(settings(), CALL._replace(prompt=[{"content": Hostile()}]))
        log_writer.put(settings(), CALL._replace(prompt={"a": circle}))
        log_writer.put(settings(), CALL._replace(prompt={"a": Hostile()}))
        log_writer.put(settings(), CALL._replace(latency_ms=2**70))
        log_writer.put(settings(), CALL._replace(attempts=object()))  # type: ignore[arg-type]  # the point
        log_writer.put(settings(), CALL)
        assert writer.flush(20)
    finally:
        writer.close()
    kept = [str(row["prompt"]) for row in rows(database)]
    assert (writer.dropped, len(kept)) == (3, 3)
    assert sum("(not kept: masking failed)" in prompt for prompt in kept) == 2  # what cannot be searched is not written
