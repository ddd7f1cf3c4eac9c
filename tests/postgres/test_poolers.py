"""A resolver and a log behind PgBouncer: in transaction mode everybody shares the server's sessions, and finds them clean."""

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from core.calling.leases import Leases
from core.calling.log_writer import Writer
from core.calling.rates import Rates
from core.crypto import KeyRing
from core.errors import RateLimited
from core.resolve import UNTOLD_HEARTBEAT, Resolver
from tests.calling.test_leases import budget, period
from tests.calling.test_log_writer import CALL, settings
from tests.calling.test_rates import hours, limit, pass_
from tests.poolers import Pooler, pooler

pytestmark = pytest.mark.kill
NONE = KeyRing(None)


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """Replaces the fixture of the same name for all tests: these need no engine."""


@pytest.fixture
def owner(database: str) -> Iterator["psycopg.Connection[Any]"]:
    """A direct connection to the test's database, with one provider in it."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
            " VALUES ('openai', 'before', 'openai', '[\"m1\"]', 'm1')"
        )
        yield connection


@pytest.fixture
def shared(owner: "psycopg.Connection[Any]", database: str) -> Iterator[Pooler]:  # noqa: ARG001 - its provider is there first
    """PgBouncer as Debian installs it, in transaction mode, with one session of the server for all."""
    with pooler(database, "transaction", default_pool_size="1") as bouncer:
        yield bouncer


def change(owner: "psycopg.Connection[Any]", resolver: Resolver, words: str) -> float:
    """Commit a change; return the seconds until the resolver has it."""
    owner.execute("UPDATE llm_providers SET display_name = %s", [words])
    begun = time.monotonic()
    while resolver.resolve("openai").display_name != words:
        assert time.monotonic() - begun < 20
        time.sleep(0.005)
    return time.monotonic() - begun


def test_transaction_mode_reads_and_leaves_nothing_behind(owner: "psycopg.Connection[Any]", shared: Pooler) -> None:
    """Changes come by the heartbeat; no LISTEN, no SET that stays, nothing prepared, no notice to anybody else."""
    resolver = Resolver(shared.url, ring=NONE)
    try:
        assert resolver.resolve("openai").display_name == "before"
        assert not resolver.stale
        waits = [change(owner, resolver, f"turn {turn}") for turn in range(5)]
        with psycopg.connect(shared.url, autocommit=True, prepare_threshold=None) as other:
            assert other.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)
            assert other.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
            left = other.execute("SELECT name, setting FROM pg_settings WHERE source = 'session'").fetchall()
    finally:
        resolver.close()
    assert max(waits) < 3 * 2.0
    assert sum(waits) / len(waits) < UNTOLD_HEARTBEAT * 2
    assert {name for name, _ in left} <= {"application_name", "client_encoding", "DateStyle", "TimeZone"}
    assert "statement_timeout" not in {name for name, _ in left}
    assert "got packet 'A'" not in shared.log()  # a notice for nobody


def test_the_log_is_written_through_a_pooler(owner: "psycopg.Connection[Any]", shared: Pooler) -> None:
    """With the one session shared by the resolver, the log and others."""
    writer, resolver = Writer(shared.url), Resolver(shared.url, ring=NONE)
    try:
        for number in range(50):
            writer.put(settings(), CALL._replace(user_id=str(number)))
            resolver.resolve("openai")
        assert writer.flush(20)
        assert writer.dropped == 0
        assert owner.execute("SELECT count(*) FROM llm_logs").fetchone() == (50,)
        with psycopg.connect(shared.url, autocommit=True, prepare_threshold=None) as other:
            assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
    finally:
        writer.close()
        resolver.close()


def test_each_transaction_has_its_limits(owner: "psycopg.Connection[Any]", database: str) -> None:
    """What runs inside is limited to ten seconds; there is no LISTEN, nothing set for longer, and nothing prepared."""
    row = owner.execute("SELECT current_database()").fetchone()
    assert row is not None
    owner.execute(f"ALTER DATABASE {row[0]} SET log_statement = 'all'")
    with pooler(database, "transaction") as bouncer:
        seen = _watch(owner)
        resolver, writer = Resolver(bouncer.url, ring=NONE), Writer(bouncer.url)
        try:
            assert resolver.resolve("openai").display_name == "before"
            change(owner, resolver, "after")
            writer.put(settings(), CALL)
            assert writer.flush(20)
        finally:
            resolver.close()
            writer.close()
    statements = [line for line in seen() if re.search(r"statement: |execute ", line)]
    begun = [line for line in statements if "BEGIN" in line and "READ ONLY" in line]
    assert len(begun) >= 4
    assert all("SET LOCAL statement_timeout = '10s'" in line for line in begun)
    assert [line for line in statements if "COPY llm_logs" in line]
    own = "SET application_name="  # PgBouncer's, which gives each client its own
    assert not [
        line for line in statements if own not in line and re.search(r"LISTEN|\bSET (?!LOCAL)|PREPARE|execute ", line)
    ]


def _watch(owner: "psycopg.Connection[Any]") -> Any:
    row = owner.execute("SELECT current_database(), current_setting('data_directory')").fetchone()
    assert row is not None
    logs = [*Path(row[1]).rglob("*.log"), *Path(row[1]).glob("log"), *Path(row[1]).parent.glob("*log*")]
    assert logs, "the server's log is not there"
    ends = {path: path.stat().st_size for path in logs if path.is_file()}
    return lambda: [line for path, end in ends.items() for line in path.read_text(errors="replace")[end:].splitlines()]


def test_a_pooler_that_restarts_is_found_again(owner: "psycopg.Connection[Any]", database: str) -> None:
    """The resolver goes on from its snapshot, and reads again through the next one."""
    with pooler(database, "transaction") as first:
        resolver = Resolver(first.url, ring=NONE)
        assert resolver.resolve("openai").display_name == "before"
        port = first.port
    try:
        assert resolver.resolve("openai").display_name == "before"
        with pooler(database, "transaction", port=port):
            assert change(owner, resolver, "after") < 20
    finally:
        resolver.close()


def test_a_pooler_without_room_is_told_as_such(owner: "psycopg.Connection[Any]", database: str) -> None:  # noqa: ARG001
    """max_client_conn reached: the cure says so, and it goes on when there is room."""
    with pooler(database, "transaction", max_client_conn="1") as bouncer:
        taken = psycopg.connect(bouncer.url)
        resolver = Resolver(bouncer.url, ring=NONE)
        try:
            answer = resolver.resolve("openai")
            assert answer.status == "store_unavailable"
            assert "no free connection" in (answer.cure or "")
            taken.close()
            assert resolver.wait_for(0, 20)
        finally:
            taken.close()
            resolver.close()


def test_what_others_leave_on_the_shared_session_does_not_matter(
    owner: "psycopg.Connection[Any]", shared: Pooler
) -> None:
    """A search path, as what pg_dump writes leaves one, and limits: the next transaction of ours has its own."""
    resolver, writer = Resolver(shared.url, ring=NONE), Writer(shared.url)
    try:
        assert resolver.resolve("openai").display_name == "before"
        with psycopg.connect(shared.url, autocommit=True, prepare_threshold=None) as other:
            other.execute("SELECT set_config('search_path', '', false), set_config('statement_timeout', '200', false)")
            change(owner, resolver, "after")
            writer.put(settings(), CALL)
            assert writer.flush(20)
            assert other.execute("SHOW search_path").fetchone() == ("",)  # theirs is as they left it
        assert (resolver.stale, writer.dropped) == (False, 0)
    finally:
        resolver.close()
        writer.close()


def test_a_password_that_changes_is_read_again(
    owner: "psycopg.Connection[Any]", database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one in the URL it comes from the password file, at each connection: no service has to start again."""
    file = tmp_path / "pgpass"
    monkeypatch.setenv("PGPASSFILE", str(file))
    with pooler(database, "transaction") as first:
        port = first.port
        file.write_text(f"127.0.0.1:{port}:*:pooled:{urlsplit(first.url).password}\n")
        file.chmod(0o600)
        resolver = Resolver(first.url.replace(f":{urlsplit(first.url).password}@", "@"), ring=NONE)
        assert resolver.resolve("openai").display_name == "before"
    try:
        with pooler(database, "transaction", port=port, password="another-0123456789"):
            deadline = time.monotonic() + 30
            while "password" not in (resolver._reason or ""):
                assert time.monotonic() < deadline, resolver._reason
                time.sleep(0.02)
            assert resolver.resolve("openai").display_name == "before"
            file.write_text(f"127.0.0.1:{port}:*:pooled:another-0123456789\n")
            change(owner, resolver, "after")
    finally:
        resolver.close()


def test_budgets_are_lent_through_it(owner: "psycopg.Connection[Any]", shared: Pooler, database: str) -> None:
    """In transaction mode two processes share one session of the server: each holds its own, and all is counted."""
    one = budget(database, "10")
    first, second = Leases(shared.url, lives=2), Leases(shared.url, lives=2)
    for turn in range(20):
        for held in (first, second):
            held.settle(held.reserve([one], Decimal("0.2")), Decimal("0.1"))
        time.sleep(0.02 * (turn % 2))
    for held in (first, second):
        assert held.flush(10)
        held.close()
    assert period(database, one)[:2] == (Decimal(4), 0)
    assert owner.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


@pytest.mark.usefixtures("owner")
def test_rate_limits_hold_through_it(shared: Pooler, database: str) -> None:
    """Two processes, by one session of the server: a place is one of them's, and what went through is counted once."""
    one = limit(database, max_concurrent=1, requests_per_minute=6_000, max_wait_ms=20_000)
    first, other = Rates(shared.url), Rates(shared.url)
    held = pass_(first, one)
    with pytest.raises(RateLimited):
        other.enter([one], 0, None, patience=0.5)
    first.end(held, 0)
    for rates in (other, first, other):
        rates.end(pass_(rates, one), 0)
    assert first.flush(5)
    assert other.flush(5)
    assert hours(database, one)[:3] == (4, 0, 1)
    first.close()
    other.close()
