"""The resolver against real faults: servers that are killed, lines that break or fall silent, floods, garbage.

CHECKS 65 to 70 and 73. A server that a test kills is its own.
"""

import contextlib
import itertools
import json
import logging
import os
import random
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.types.json import Jsonb

from core.errors import ApiKeyUnavailable
from core.parameters import PARAMETERS, SENDABLE
from core.resolve import UNTOLD_HEARTBEAT, Resolver
from core.resolving.effective import EffectiveSettings
from core.store import grants
from tests.clusters import (
    KEY,
    LISTENERS,
    RING,
    Cluster,
    Connection,
    Sampler,
    add,
    by_proxy,
    connect,
    generation_of,
    hears,
    is_told,
    listeners,
    new_folder,
    resolving,
    said,
    say,
    socket_of,
    soon,
)
from tests.conftest import ROOT, named, require
from tests.parameters import another
from tests.processes import environment
from tests.proxy import MUTE, PASS, SWALLOW, Proxy, Way

STATUSES = {"unknown_provider", "disabled", "no_model", "no_key", "key_unreadable", "ok"}


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """Replaces the fixture of the same name for all tests: these need no engine."""


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """The folder of a stopped server with a migrated database, and two providers with keys."""
    require("postgresql", list(Path("/usr/lib/postgresql").glob("*/bin/postgres")))
    cluster = Cluster(new_folder())
    try:
        cluster.initdb()
        yield cluster.folder
    finally:
        cluster.remove()


@pytest.fixture
def make_cluster(template: Path) -> Iterator[Callable[[], Cluster]]:
    """Makes servers that are stopped; they are gone after the test."""
    made: list[Cluster] = []

    def make() -> Cluster:
        made.append(Cluster(new_folder()))
        subprocess.run(["cp", "-a", template / "data", made[-1].folder], check=True)
        return made[-1]

    yield make
    for cluster in made:
        cluster.remove()


@pytest.fixture
def cluster(make_cluster: Callable[[], Cluster]) -> Cluster:
    """A running server."""
    cluster = make_cluster()
    cluster.start()
    return cluster


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    """A connection to the test's database on the shared server, with the provider ``openai`` in it."""
    with connect(database) as connection:
        add(connection, "openai", "before", key=KEY)
        yield connection


@pytest.fixture
def resolver(owner: Connection, database: str) -> Iterator[Resolver]:  # noqa: ARG001 - its provider is there first
    """A resolver of the test's database that has its first snapshot."""
    with resolving(database) as resolver:
        assert said(resolver) == "before"
        yield resolver


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """A line to the shared server."""
    with Proxy(socket_of(database)) as proxy:
        yield proxy


def states(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the levels of what the resolver has logged: INFO for the database found, WARNING for lost."""
    return [record.levelname for record in caplog.records if record.name == "core.resolve"]


# The server goes away


@pytest.mark.kill
def test_killed_while_running(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """CHECKS 66: PostgreSQL killed: 100,000 calls answer as before, one line in the log, and it heals by itself."""
    caplog.set_level(logging.DEBUG, logger="core.resolve")
    with resolving(cluster.url) as resolver:
        before = resolver.resolve("openai")
        assert (before.status, before.api_key(), resolver.stale) == ("ok", KEY, False)
        cluster.kill()
        soon(lambda: resolver.stale)

        answers: set[int] = set()
        ages = []
        for _ in range(20):  # long enough for some attempts to connect
            answers.update(id(resolver.resolve("openai")) for _ in range(5000))
            asked = time.monotonic()
            assert resolver.resolve("nobody").status == "unknown_provider"
            assert time.monotonic() - asked < 0.5
            ages.append(resolver.age())
            time.sleep(0.15)
        assert answers == {id(before)}
        assert before.api_key() == KEY
        assert resolver.resolve("other").api_key() == KEY, "not asked for before the outage"
        assert ages == sorted(ages)
        assert ages[-1] - ages[0] > 2.5
        assert resolver.stale
        assert states(caplog) == ["INFO", "WARNING"]

        cluster.start()
        soon(lambda: not resolver.stale, 10)
        assert resolver.resolve("openai") is before, "nothing was changed"
        assert resolver.age() < ages[-1]
        with connect(cluster.url) as connection:
            is_told(resolver, connection)
        assert states(caplog) == ["INFO", "WARNING", "INFO"]
    assert KEY not in caplog.text


@pytest.mark.kill
@pytest.mark.parametrize("how", ["killed", "stopped", "backend killed"])
def test_restarted_while_listening(cluster: Cluster, how: str) -> None:
    """CHECKS 68: restarts, with a change right after each: it is seen within 3 seconds of the server being back."""
    with resolving(cluster.url) as resolver:
        assert said(resolver) == "before"
        for turn in range(3):
            if how == "backend killed":
                cluster.kill_a_backend()
                time.sleep(0.05)
            else:
                cluster.kill() if how == "killed" else cluster.stop()
                time.sleep(0.5 * turn)
            cluster.start()
            with connect(cluster.url) as connection:
                say(connection, "openai", f"after {turn}")
            hears(resolver, f"after {turn}", 3)
            soon(lambda: not resolver.stale)


@pytest.mark.kill
def test_listener_terminated_twenty_times(
    owner: Connection, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    """CHECKS 69: the listener's backend terminated 20 times: back each time, no thread, connection or file more."""
    caplog.set_level(logging.DEBUG, logger="core.resolve")
    soon(lambda: len(listeners(owner)) == 1)
    threads, files = set(threading.enumerate()), len(list(Path("/dev/fd").iterdir()))
    for turn in range(20):
        soon(lambda: len(listeners(owner)) == 1)
        [pid] = listeners(owner)
        owner.execute("SELECT pg_terminate_backend(%s)", [pid])
        say(owner, "openai", f"turn {turn}")
        hears(resolver, f"turn {turn}", 3)

    soon(lambda: not resolver.stale)
    is_told(resolver, owner)
    assert len(listeners(owner)) == 1
    assert set(threading.enumerate()) <= threads  # some that other tests have left may have ended meanwhile
    assert len(list(Path("/dev/fd").iterdir())) <= files
    assert states(caplog) == ["WARNING", "INFO"] * 20


def test_one_connection_each_and_none_when_closed(owner: Connection, database: str) -> None:
    """Each resolver has exactly one connection, however it is used; a closed one has none, and still answers."""
    resolvers = [Resolver(database, ring=RING) for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda turn: said(resolvers[turn % 3]), range(200))) == {"before"}
    assert len(listeners(owner)) == 3
    for each in resolvers:
        each.close()
    soon(lambda: listeners(owner) == [])
    say(owner, "openai", "after")
    assert {said(each) for each in resolvers} == {"before"}
    assert listeners(owner) == []


# The line


@pytest.mark.kill
@pytest.mark.usefixtures("owner")
def test_nobody_answers_at_start(database: str) -> None:
    """CHECKS 65, 67: whatever the line does from the first byte on, or in the middle of the first load, the first call
    takes at most 2.5 seconds, later ones no time; once the line is right, so are the answers."""
    ways = [
        *(Way(then, after) for then in ("swallow", "mute", "cut", "reset") for after in (0, 1, 100, 450, 600, 900)),
        Way(delay=0.7),
        PASS,  # if it were not refused
    ]
    with contextlib.ExitStack() as stack:
        proxies = [Proxy(socket_of(database)) for _ in ways]
        resolvers = [stack.enter_context(resolving(by_proxy(database, proxy))) for proxy in proxies]
        for proxy, way in zip(proxies, ways, strict=True):
            stack.enter_context(proxy).treat(way)
        proxies[-1].refuse()

        def first(resolver: Resolver) -> tuple[float, str]:
            begun = time.monotonic()
            status = resolver.resolve("openai").status
            return time.monotonic() - begun, status

        with ThreadPoolExecutor(2 * len(ways)) as pool:
            found = list(pool.map(first, [*resolvers, *resolvers]))  # two callers each
        assert max(seconds for seconds, _ in found) < 3 * 2
        assert {status for _, status in found} <= {"store_unavailable", "ok"}
        begun = time.monotonic()
        for resolver in resolvers:
            for _ in range(100):
                resolver.resolve("openai")
        assert time.monotonic() - begun < 1

        for proxy in proxies:
            proxy.treat_new(PASS)
        proxies[-1].admit()
        soon(lambda: not any(resolver.stale for resolver in resolvers), 15)
        assert {resolver.resolve("openai").api_key() for resolver in resolvers} == {KEY}


@pytest.mark.kill
def test_line_falls_silent(owner: Connection, database: str, caplog: pytest.LogCaptureFixture) -> None:
    """CHECKS 67: bytes are lost without FIN or RST, both ways, one way or from within a message on, by a line whose
    next hop is alive: noticed within 15 seconds, callers do not wait; new lines pass: what was changed meanwhile is
    there."""
    caplog.set_level(logging.DEBUG, logger="core.resolve")
    ways = (SWALLOW, MUTE, Way("mute", 30))
    with contextlib.ExitStack() as stack:
        proxies = [Proxy(socket_of(database)) for _ in ways]
        resolvers = [stack.enter_context(resolving(by_proxy(database, proxy))) for proxy in proxies]
        for proxy in proxies:
            stack.enter_context(proxy)
        before = [resolver.resolve("openai") for resolver in resolvers]
        assert {answer.display_name for answer in before} == {"before"}
        for proxy, way in zip(proxies, ways, strict=True):
            proxy.treat(way)
        say(owner, "openai", "meanwhile")
        begun, slowest = time.monotonic(), 0.0
        while not all(resolver.stale for resolver in resolvers):
            asked = time.monotonic()
            assert [resolver.resolve("openai") for resolver in resolvers] == before
            assert {said(resolver, "nobody") for resolver in resolvers} == {None}
            slowest = max(slowest, time.monotonic() - asked)
            assert time.monotonic() - begun < 3 * 15, "the silence was not noticed"
            time.sleep(0.001)
        assert slowest < 1
        assert min(resolver.age() for resolver in resolvers) > 1
        assert {answer.api_key() for answer in before} == {KEY}
        for proxy in proxies:
            proxy.treat_new(PASS)
        for resolver in resolvers:
            hears(resolver, "meanwhile")
            soon(lambda: not any(each.stale for each in resolvers))
        for resolver in resolvers:
            is_told(resolver, owner)
        assert states(caplog) == ["INFO"] * 3 + ["WARNING"] * 3 + ["INFO"] * 3


@pytest.mark.kill
def test_server_falls_silent(cluster: Cluster) -> None:
    """CHECKS 67: a server that is frozen, not dead: noticed within 15 seconds; it thaws, and changes are seen again."""
    with resolving(cluster.url) as resolver:
        before = resolver.resolve("openai")
        assert before.status == "ok"
        with cluster.frozen():
            soon(lambda: resolver.stale, 15)
            assert resolver.resolve("openai") is before
            assert before.api_key() == KEY
        with connect(cluster.url) as connection:
            say(connection, "openai", "after")
            soon(lambda: said(resolver) == "after" and not resolver.stale, 8)
            soon(lambda: len(listeners(connection)) == 1)


CUT_OFF = """
import subprocess, sys, time
from pathlib import Path
from tests.clusters import Cluster, connect, resolving, said, say, soon

def link(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)

link("up")
cluster = Cluster(Path(sys.argv[1]))
cluster.start(listen_addresses="127.0.0.1")
try:
    with resolving("postgresql://postgres@127.0.0.1:5432/llm") as resolver, connect(cluster.url) as beside:
        assert said(resolver) == "before"
        link("down")
        say(beside, "openai", "meanwhile")
        print("noticed after", soon(lambda: resolver.stale, 15))
        assert said(resolver) == "before"
        link("up")
        print("seen after", soon(lambda: said(resolver) == "meanwhile" and not resolver.stale))
finally:
    cluster.stop()
"""


@pytest.mark.kill
def test_network_is_unplugged(make_cluster: Callable[[], Cluster]) -> None:
    """CHECKS 67: the network itself drops every packet (a namespace of its own, whose only link goes down): noticed
    within 15 seconds, and well again when it is back."""
    alone = ["unshare", "--net", "--"]
    try:
        made = os.geteuid() == 0 and subprocess.run([*alone, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        made = False
    require("network namespaces", made)
    done = subprocess.run(
        [*alone, sys.executable, "-c", CUT_OFF, str(make_cluster().folder)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seen after" in done.stdout


@pytest.mark.kill
def test_line_breaks(owner: Connection, database: str, proxy: Proxy) -> None:
    """CHECKS 69: lines that are reset, cut off between messages or in the middle of one, refused, or slow: what was
    changed is seen, each time."""
    with resolving(by_proxy(database, proxy)) as resolver:
        assert said(resolver) == "before"
        turns = itertools.count()

        def change_is_seen(lines: int) -> None:
            words, before = f"turn {next(turns)}", proxy.accepted
            say(owner, "openai", words)
            hears(resolver, words)
            soon(lambda: proxy.accepted == before + lines)

        change_is_seen(0)
        proxy.end_lines("reset")
        change_is_seen(1)
        proxy.end_lines("cut")
        change_is_seen(1)
        for after in (1, 7, 60, 200):
            proxy.treat_old(Way("cut", after))
            change_is_seen(1)
            proxy.treat_old(Way("reset", after))
            change_is_seen(1)
        proxy.refuse()
        proxy.end_lines("reset")
        soon(lambda: resolver.stale)
        time.sleep(0.5)
        proxy.admit()
        change_is_seen(1)
        is_told(resolver, owner)
        proxy.treat(Way(delay=0.1))
        change_is_seen(0)
        assert not resolver.stale
        soon(lambda: len(listeners(owner)) == 1)


@pytest.mark.kill
def test_load_that_breaks_off_is_not_published(owner: Connection, database: str, proxy: Proxy) -> None:
    """CHECKS 69: a load of many rows that breaks off anywhere leaves the old snapshot whole."""
    for number in range(300):
        add(owner, f"a{number}")

    with resolving(by_proxy(database, proxy)) as resolver:
        assert len(resolver.names()) == 301
        with Sampler(lambda: len(resolver.names())) as sampler:
            proxy.refuse()
            proxy.end_lines("cut")
            soon(lambda: resolver.stale)
            owner.execute(
                "INSERT INTO llm_providers (name, display_name, kind, available_models)"
                " SELECT 'b' || n, 'B', 'openai', '[\"m\"]' FROM generate_series(1, 1000) AS n"
            )
            owner.execute("DELETE FROM llm_providers WHERE name LIKE 'a%'")
            proxy.treat_new(*(Way("cut", after) for after in (600, 2000, 20_000, 40_000)), PASS)
            proxy.admit()
            soon(lambda: sampler.seen[-1] == 1001, 15)
        assert sampler.seen == [301, 1001]
        assert proxy.accepted == 1 + 5


# Another server


@pytest.mark.kill
@pytest.mark.parametrize("case", ["another epoch", "lost the last commits", "went another way"])
def test_failover_to_another_address(make_cluster: Callable[[], Cluster], case: str) -> None:
    """CHECKS 68: of two addresses the first server dies, and the second has other data: what is gone there is unknown,
    what differs is the second's, and the generation is the second's even if it is lower, or by chance the same."""
    first, second = make_cluster(), make_cluster()
    first.start()
    second.start()
    with connect(first.url) as one, connect(second.url) as two:
        add(one, "gone")
        add(one, "stays", "one")
        add(two, "stays", "two")
        say(one, "openai", "one")
        say(two, "openai", "two")
        if case == "went another way":
            while generation_of(two) < generation_of(one):
                say(two, "openai", f"two {generation_of(two)}")
        else:
            for turn in range(5):
                say(one, "openai", f"one {turn}")
        if case == "another epoch":
            two.execute("UPDATE settings_generation SET epoch = 'another'")
        ends = generation_of(one), generation_of(two)
        expected = two.execute("SELECT name, display_name FROM llm_providers ORDER BY 1").fetchall()
    assert (ends[0] == ends[1]) == (case == "went another way")

    both = (
        f"postgresql://postgres@/llm?host={first.folder},{second.folder}&port=5432,5432&target_session_attrs=read-write"
    )
    with resolving(both) as resolver:
        assert said(resolver, "gone") == "as added"
        assert resolver.generation == ends[0]
        first.kill()
        soon(lambda: said(resolver, "gone") is None)
        assert resolver.resolve("gone").status == "unknown_provider"
        assert [(name, said(resolver, name)) for name in resolver.names()] == expected
        assert resolver.generation == ends[1]
        assert resolver.resolve("openai").api_key() == KEY
        soon(lambda: not resolver.stale)
        with connect(second.url) as two:
            is_told(resolver, two)


@pytest.mark.long
def test_address_leads_elsewhere(owner: Connection, database: str, cluster: Cluster) -> None:
    """CHECKS 68: the same address, another server behind it (a virtual one that moves): everything is the other's."""
    add(owner, "here")
    with Proxy(socket_of(database)) as proxy, contextlib.ExitStack() as stack:
        url = named(by_proxy(database, proxy), "llm")
        with pytest.raises(psycopg.OperationalError):  # the database is named alike only on the other server
            connect(url)
        name = urlsplit(database).path[1:]
        with connect(named(cluster.url, "postgres")) as other:
            other.execute(f"CREATE DATABASE {name} TEMPLATE llm")
        resolver = stack.enter_context(resolving(by_proxy(database, proxy)))
        assert said(resolver, "here") == "as added"
        proxy.lead_to(socket_of(cluster.url))
        proxy.end_lines("reset")
        soon(lambda: said(resolver, "here") is None)
        assert resolver.names() == ["openai", "other"]
        assert resolver.resolve("other").api_key() == KEY
        proxy.lead_to(socket_of(database))
        proxy.end_lines("cut")
        soon(lambda: said(resolver, "here") == "as added")


@pytest.mark.kill
def test_standby(make_cluster: Callable[[], Cluster]) -> None:
    """A resolver may read a hot standby, which cannot LISTEN: it follows, if by the heartbeat, and goes on when the
    standby is promoted."""
    primary, standby = make_cluster(), make_cluster()
    (standby.folder / "data" / "standby.signal").touch()
    primary.start()
    standby.start(primary_conninfo=f"host={primary.folder} user=postgres")
    with resolving(standby.url) as resolver:
        assert said(resolver) == "before"
        assert resolver.resolve("openai").api_key() == KEY
        with connect(primary.url) as connection:
            say(connection, "openai", "after")
        hears(resolver, "after", 10)
        soon(lambda: not resolver.stale)
        with connect(standby.url) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
            connection.execute("SELECT pg_promote()")
            say(connection, "openai", "promoted")
            hears(resolver, "promoted", 10)
            time.sleep(3 * UNTOLD_HEARTBEAT)
            is_told(resolver, connection)


# What the resolver does to the server


READER = f"GRANT SELECT ON {', '.join(grants.READER)} TO reader"


def looks_of(cluster: Cluster) -> list[str]:
    """Return what the server was asked by the role ``reader``, as its own log tells."""
    return re.findall(r"LOG:  statement:\s+(.*)", cluster.log.read_text(errors="replace"))


@pytest.fixture
def watched(cluster: Cluster) -> str:
    """URL of a database of one's own for a role that may only read, whose every statement is logged."""
    with connect(cluster.url) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("ALTER ROLE reader SET log_statement = 'all'")
        connection.execute(READER)
    return cluster.url.replace("postgres@", "reader@")


def test_reads_and_nothing_else(cluster: Cluster, watched: str) -> None:
    """A role that may only read is enough; each transaction says READ ONLY, none takes a number or is left open."""
    state = f"SELECT DISTINCT state, backend_xid IS NULL {LISTENERS}"
    with resolving(watched) as resolver, connect(cluster.url) as connection:
        assert resolver.resolve("openai").api_key() == KEY
        for turn in range(5):
            say(connection, "openai", f"turn {turn}")
            hears(resolver, f"turn {turn}")
            soon(lambda: resolver.generation == generation_of(connection))
            soon(lambda: connection.execute(state).fetchall() == [("idle", True)])
    statements = looks_of(cluster)
    assert len(statements) > 10
    writes = re.compile(r"\b(INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|TRUNCATE|GRANT|NOTIFY)\b", re.IGNORECASE)
    assert [each for each in statements if writes.search(each)] == []
    assert {each for each in statements if each.startswith("BEGIN") and "READ ONLY" not in each} == set()
    begun = {each.split()[0] for each in statements}
    assert begun <= {"LISTEN", "BEGIN", "COPY", "SELECT", "COMMIT", "ROLLBACK", "SET"}


def memory() -> int:
    """Return the memory that this process has now, in megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20


FLOOD = """
    DO $$ BEGIN
        FOR n IN 1..500 LOOP
            PERFORM pg_notify('llm_settings', CASE n %% 5
                WHEN 0 THEN rpad(n || '-%(turn)s ', 7999, 'x')
                WHEN 1 THEN ''
                WHEN 2 THEN n || '-%(turn)s ' || repeat('\u4e16\U0001f511', 900)
                WHEN 3 THEN '99999999999999999999999' || n || '%(turn)s'
                ELSE '{"generation": -' || n || '%(turn)s}' END);
        END LOOP;
    END $$
"""


@pytest.mark.kill
def test_flood_of_notices(cluster: Cluster, watched: str) -> None:
    """CHECKS 70: 10,000 notices that say nothing, of up to 7,999 bytes: read together, without memory or time to speak
    of; a change in the middle and one at the end are seen."""
    with resolving(watched) as resolver, connect(cluster.url) as connection, connect(cluster.url) as other:
        assert said(resolver) == "before"
        looks, used, begun = len(looks_of(cluster)), time.process_time(), time.monotonic()
        with Sampler(memory, every=0.01) as sampler:
            for turn in range(20):
                connection.execute((FLOOD % {"turn": turn}).encode())
                for _ in range(25):
                    other.execute("NOTIFY llm_settings")
                if turn == 10:
                    say(connection, "openai", "in the middle")
                    hears(resolver, "in the middle", 3)
            say(connection, "openai", "at the end")
            hears(resolver, "at the end", 3)
        seconds = time.monotonic() - begun
        assert not resolver.stale
    looks = sum(each.startswith("BEGIN") for each in looks_of(cluster)[looks:])
    assert looks <= 60 * seconds + 10, "one look at most in a fiftieth of a second"
    assert looks < 1000
    assert max(sampler.seen) - sampler.seen[0] < 48
    assert time.process_time() - used < 10


@pytest.mark.kill
def test_burst_of_changes(cluster: Cluster, watched: str) -> None:
    """CHECKS 70: 10,000 commits from four connections: read together, never backwards, and right within 3 seconds."""
    with connect(cluster.url) as connection:
        for number in range(4):
            add(connection, f"p{number}", "0")
        connection.execute(
            "CREATE PROCEDURE burst(who text, times int) LANGUAGE plpgsql AS $$ BEGIN FOR n IN 1..times LOOP"
            " UPDATE llm_providers SET display_name = n::text WHERE name = who; COMMIT; END LOOP; END $$"
        )
        first = generation_of(connection)

    def burst(number: int) -> None:
        with connect(cluster.url) as mine:
            mine.execute("CALL burst(%s, 2500)", [f"p{number}"])

    with resolving(watched) as resolver:
        assert said(resolver, "p0") == "0"
        looks, used, begun = len(looks_of(cluster)), time.process_time(), time.monotonic()
        with Sampler(lambda: resolver.generation) as sampler, Sampler(memory) as needed, ThreadPoolExecutor(4) as pool:
            list(pool.map(burst, range(4)))
            soon(lambda: [said(resolver, f"p{number}") for number in range(4)] == ["2500"] * 4, 3)
        seconds = time.monotonic() - begun
        assert sampler.seen == sorted(sampler.seen)
        assert sampler.seen[-1] == first + 10_000
        assert len(sampler.seen) <= min(60 * seconds + 10, 5_000), "several commits at a look"
        assert not resolver.stale
    looks = sum(each.startswith("BEGIN") for each in looks_of(cluster)[looks:])
    assert looks <= 60 * seconds + 10, "one look at most in a fiftieth of a second"
    assert max(needed.seen) - needed.seen[0] < 48
    assert time.process_time() - used < 20


def test_seen_while_the_process_is_busy(owner: Connection, resolver: Resolver) -> None:
    """A change is seen while eight threads do nothing but calculate."""
    leaving = threading.Event()

    def calculate() -> None:
        while not leaving.is_set():
            sum(range(2000))

    threads = [threading.Thread(target=calculate) for _ in range(8)]
    try:
        for thread in threads:
            thread.start()
        say(owner, "openai", "after")
        hears(resolver, "after", 10)
    finally:
        leaving.set()
        for thread in threads:
            thread.join()


@pytest.mark.kill
def test_tables_locked_by_a_migration(owner: Connection, database: str, resolver: Resolver) -> None:
    """Tables locked for 3 seconds, with reads of them cancelled as a timeout does it: callers do not wait, then all is
    seen; once more, with the resolver begun while they are locked."""
    before = resolver.resolve("openai")
    with connect(database) as migration, contextlib.ExitStack() as stack:
        with migration.transaction():
            migration.execute("LOCK llm_providers, llm_settings, settings_generation IN ACCESS EXCLUSIVE MODE")
            migration.execute("ALTER TABLE llm_providers ADD COLUMN newer text")
            say(migration, "openai", "after")
            late = stack.enter_context(resolving(database))
            begun = time.monotonic()
            assert late.resolve("openai").status == "store_unavailable"
            assert time.monotonic() - begun < 3 * 2
            while time.monotonic() - begun < 8:
                asked = time.monotonic()
                assert resolver.resolve("openai") is before
                assert time.monotonic() - asked < 1
                owner.execute(f"SELECT pg_cancel_backend(pid) {LISTENERS} AND random() < 0.05")
                time.sleep(0.02)
        for each in (resolver, late):
            hears(each, "after")
        say(owner, "openai", "later")
        for each in (resolver, late):
            hears(each, "later")
            assert not each.stale


# The order of commits


@pytest.fixture
def three(owner: Connection, database: str) -> Iterator[list[Connection]]:
    """Three connections that commit when they are told to, and a provider for each."""
    with contextlib.ExitStack() as stack:
        for name in "abc":
            add(owner, name, "before")
        yield [stack.enter_context(psycopg.connect(database)) for _ in "abc"]


def number_taken(connection: Connection) -> int:
    """Make the transaction take its number now, with the lock that goes with it; return it."""
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    row = connection.execute("SELECT current_setting('llm_settings.generation')").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("order", [*itertools.permutations(range(2)), *itertools.permutations(range(3))])
def test_commits_out_of_order(
    owner: Connection, resolver: Resolver, three: list[Connection], order: tuple[int, ...]
) -> None:
    """Transactions that write in one order and commit in another: after each commit all that was committed is there,
    and nothing else."""
    writers = three[: len(order)]
    for turn in ("first", "second"):
        for connection, name in zip(writers, "abc", strict=False):
            say(connection, name, turn)
        done: set[int] = set()
        others = "before" if turn == "first" else "first"
        for writer in order:
            writers[writer].commit()
            done.add(writer)
            assert resolver.wait_for(generation_of(owner), 5)
            known = [said(resolver, name) for name in "abc"[: len(order)]]
            assert known == [turn if number in done else others for number in range(len(order))]


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_number_taken_early(owner: Connection, resolver: Resolver, three: list[Connection], ending: str) -> None:
    """A transaction that takes its number long before it ends holds up the others: none passes it by, none is lost."""
    early, late, later = three
    say(early, "a", "after")
    number = number_taken(early)
    say(late, "b", "after")
    say(later, "c", "after")
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(late.commit), pool.submit(later.commit)]
        say_nothing = resolver.wait_for(number, 0.3)
        assert (say_nothing, generation_of(owner)) == (False, number - 1)
        assert [said(resolver, name) for name in "abc"] == ["before"] * 3
        if ending == "commit":
            early.commit()
        else:
            early.rollback()
        for each in waiting:
            each.result(10)
    last = number + 2 if ending == "commit" else number + 1
    assert generation_of(owner) == last
    assert resolver.wait_for(last, 5)
    assert [said(resolver, name) for name in "abc"] == ["after" if ending == "commit" else "before", "after", "after"]


def test_savepoints_and_rollbacks(owner: Connection, resolver: Resolver, three: list[Connection]) -> None:
    """What was rolled back, wholly or to a savepoint, with or without a number taken, is not there; the rest is."""
    writer, *_ = three
    before = generation_of(owner)
    say(writer, "a", "rolled back")
    number_taken(writer)
    writer.rollback()

    say(writer, "a", "kept")
    with writer.transaction(force_rollback=True):
        say(writer, "b", "rolled back")
        number_taken(writer)
    with writer.transaction():
        say(writer, "c", "kept")
        with writer.transaction(force_rollback=True):
            writer.execute("DELETE FROM llm_providers")
    writer.commit()

    assert generation_of(owner) == before + 1
    assert resolver.wait_for(before + 1, 5)
    assert [said(resolver, name) for name in ("a", "b", "c", "openai")] == ["kept", "before", "kept", "before"]


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in two"])
def test_deleted_and_made_again(owner: Connection, resolver: Resolver, together: bool) -> None:
    """A provider deleted and made again under its name is the new one: other id, no key, none of the old one's
    settings."""
    old = resolver.resolve("openai")
    owner.execute("INSERT INTO llm_settings (provider_id, temperature) VALUES (%s, 1.5)", [old.provider_id])
    soon(lambda: resolver.resolve("openai").temperature == 1.5)
    with owner.transaction() if together else contextlib.nullcontext():
        owner.execute("DELETE FROM llm_providers")
        if not together:
            soon(lambda: said(resolver) is None)
        new = add(owner, "openai", "again")
    assert resolver.wait_for(generation_of(owner), 5)

    answer = resolver.resolve("openai")
    assert (answer.provider_id, answer.display_name, answer.status, answer.temperature) == (new, "again", "no_key", 0.7)
    assert resolver.names() == ["openai"]
    owner.execute("DELETE FROM llm_providers")
    soon(lambda: said(resolver) is None)
    assert resolver.names() == []


def test_renamed(owner: Connection, resolver: Resolver) -> None:
    """A renamed provider is known by its new name alone, with its key; two may swap their names."""
    owner.execute("UPDATE llm_providers SET name = 'renamed'")
    assert resolver.wait_for(generation_of(owner), 5)
    assert resolver.resolve("openai").status == "unknown_provider"
    assert resolver.resolve("renamed").api_key() == KEY
    add(owner, "openai", "successor")
    with owner.transaction():
        for old, new in (("renamed", "between"), ("openai", "renamed"), ("between", "openai")):
            owner.execute("UPDATE llm_providers SET name = %s WHERE name = %s", [new, old])
    assert resolver.wait_for(generation_of(owner), 5)
    assert (said(resolver, "openai"), said(resolver, "renamed"), said(resolver, "between")) == (
        "before",
        "successor",
        None,
    )
    assert resolver.names() == ["openai", "renamed"]


def test_rows_that_move(owner: Connection, resolver: Resolver) -> None:
    """A settings row that is switched off and on, goes to another provider, to all, to an organisation or back applies
    where it is, and nowhere else."""
    other = add(owner, "other", key=KEY)
    here = resolver.resolve("openai").provider_id
    owner.execute("INSERT INTO llm_settings (provider_id, temperature) VALUES (%s, 1.5)", [here])
    owner.execute("INSERT INTO organizations (id, slug, name) VALUES (5, 'acme', 'Acme')")

    def temperatures_after(change: str) -> tuple[float, float]:
        owner.execute(f"UPDATE llm_settings SET {change}".encode())
        assert resolver.wait_for(generation_of(owner), 5)
        return resolver.resolve("openai").temperature, resolver.resolve("other").temperature

    assert temperatures_after("top_p = 0.5") == (1.5, 0.7)
    assert temperatures_after(f"provider_id = {other}") == (0.7, 1.5)
    assert temperatures_after("provider_id = NULL") == (1.5, 1.5)
    assert temperatures_after("is_active = false") == (0.7, 0.7)
    assert temperatures_after("temperature = 1.25") == (0.7, 0.7)
    assert temperatures_after("is_active = true") == (1.25, 1.25)
    assert temperatures_after("organization_id = 5") == (0.7, 0.7)
    assert temperatures_after(f"organization_id = NULL, provider_id = {here}") == (1.25, 0.7)
    owner.execute("DELETE FROM llm_settings")
    assert resolver.wait_for(generation_of(owner), 5)
    assert resolver.resolve("openai").temperature == 0.7


def test_row_gets_another_id(owner: Connection, resolver: Resolver) -> None:
    """By raw SQL a row may get another id: it applies once, under the new one, and is gone when it is deleted."""
    owner.execute("INSERT INTO llm_settings (provider_id, temperature) SELECT id, 1.5 FROM llm_providers")
    soon(lambda: resolver.resolve("openai").temperature == 1.5)
    owner.execute("UPDATE llm_settings SET id = id + 1000, temperature = NULL")
    assert resolver.wait_for(generation_of(owner), 5)
    assert resolver.resolve("openai").temperature == 0.7
    owner.execute("DELETE FROM llm_settings")
    owner.execute("UPDATE llm_providers SET id = id + 1000")
    assert resolver.wait_for(generation_of(owner), 5)
    assert resolver.resolve("openai").status == "key_unreadable", "the key was sealed for the other row"
    owner.execute("DELETE FROM llm_providers")
    assert resolver.wait_for(generation_of(owner), 5)
    assert said(resolver) is None


def test_truncated(owner: Connection, resolver: Resolver) -> None:
    """TRUNCATE, as scripts that restore a backup begin with, is a change like any other: alone, with rows made again in
    the same transaction, or rolled back."""
    add(owner, "other")
    here = resolver.resolve("openai").provider_id
    owner.execute("INSERT INTO llm_settings (provider_id, temperature) VALUES (%s, 1.5)", [here])
    soon(lambda: resolver.resolve("openai").temperature == 1.5)
    with owner.transaction(force_rollback=True):
        owner.execute("TRUNCATE llm_providers CASCADE")
    owner.execute("TRUNCATE llm_settings")
    soon(lambda: resolver.resolve("openai").temperature == 0.7)
    with owner.transaction():
        owner.execute("TRUNCATE llm_providers CASCADE")
        add(owner, "openai", "restored")
    hears(resolver, "restored")
    soon(lambda: resolver.names() == ["openai"])
    assert said(resolver, "other") is None
    owner.execute("TRUNCATE llm_providers CASCADE")
    soon(lambda: resolver.names() == [])
    add(owner, "openai", "at last")
    hears(resolver, "at last")


@pytest.mark.kill
def test_eight_writers(owner: Connection, database: str, resolver: Resolver) -> None:
    """CHECKS 70: eight writers, 50 commits each, which dawdle before they commit, some with their number taken: once a
    commit's generation has arrived, what it wrote is there, or what is newer; two rows of one transaction never come
    apart."""
    names = [f"p{number}" for number in range(12)]
    for name in names:
        row = add(owner, name, "0")
        owner.execute("INSERT INTO llm_settings (provider_id, max_tokens, top_p) VALUES (%s, 1, 0.0)", [row])
    owner.execute("INSERT INTO llm_settings (max_retries) VALUES (0)")
    assert resolver.wait_for(generation_of(owner), 5)
    torn: list[object] = []

    def pairs() -> int:
        for name in names:
            answer = resolver.resolve(name)
            if answer.status != "unknown_provider" and int(answer.display_name) != answer.max_tokens - 1:
                torn.append((name, answer.display_name, answer.max_tokens))
        return resolver.generation

    def write(seed: int) -> int:
        chance, late = random.Random(seed), 0
        with psycopg.connect(database) as mine:
            for _ in range(50):
                name = chance.choice(names)
                row = mine.execute(
                    "UPDATE llm_providers SET display_name = display_name::int + 1 WHERE name = %s"
                    " RETURNING id, display_name::int",
                    [name],
                ).fetchone()
                assert row is not None
                mine.execute("UPDATE llm_settings SET max_tokens = %s + 1 WHERE provider_id = %s", [row[1], row[0]])
                if chance.random() < 0.2:
                    with mine.transaction(force_rollback=True):
                        mine.execute("UPDATE llm_providers SET display_name = '-1' WHERE name = %s", [name])
                time.sleep(chance.random() * 0.02)
                if early := chance.random() < 0.3:
                    number = number_taken(mine)
                    time.sleep(chance.random() * 0.005)
                mine.commit()
                if not early:
                    number = generation_of(mine)
                    mine.commit()
                assert resolver.wait_for(number, 10)
                late += int(resolver.resolve(name).display_name) < row[1]
        return late

    before = generation_of(owner)
    with Sampler(pairs) as sampler, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(8))) == [0] * 8
    assert generation_of(owner) == before + 400
    assert resolver.wait_for(before + 400, 5)
    assert torn == []
    assert sampler.seen == sorted(sampler.seen)
    rows = owner.execute(
        "SELECT name, display_name, max_tokens FROM llm_providers p JOIN llm_settings s ON s.provider_id = p.id"
        " ORDER BY name"
    ).fetchall()
    known = [(n, resolver.resolve(n).display_name, resolver.resolve(n).max_tokens) for n in sorted(names)]
    assert known == rows
    assert sum(int(row[1]) for row in rows) == 400


# Garbage


TEXTS = [
    "",
    " ",
    "x" * 300,
    "ÜNI-\U0001f511",
    "tab\tline\nreturn\r",
    "\\N",
    "\\",
    "\\.",
    "\u202ertl",
    "\x01\x7f",
    "'; --",
]
URLS = [
    "http://",
    "no url",
    "http://[",
    "https://u:p@h/",
    "http://h:99999999/",
    "ftp://h",
    "http://\u2100.com",
    "http://h:x",
]
CHANGES = [
    [],
    3,
    "x",
    {"temperature": 5},
    {"temperature": {"by": {}, "at": 5, "version": []}, "default_model": {"at": "never"}},
    {"default_model": [], "top_p": {"at": "9999-99-99T00:00:00"}, "preferred_model": {"at": None, "by": 7}},
    {"omitted_parameters": "x", "custom_settings": {"at": "2026-01-01T00:00:00+99:99"}},
]
NUMBERS = ["NaN", "Infinity", "-Infinity", "1e308", "-0.0", "2.0000001", "0.5", "-1", "5e-324"]
FLAGS = [True, False]
WHOLE = [-(2**31), -1, 0, 1, 7, 2**31 - 1]
LISTS = [
    Jsonb(each) for each in (3, "x", {}, {"a": ["x"]}, [], [""], [1, None], [["x"]], ["x" * 5000], ["x"] * 5000, ["x"])
]
CUSTOM = [
    [],
    "x",
    5,
    True,
    {"": {}},
    {"é\U0001f511": [None, {"a": [[[]]]}], "__proto__": 1},
    {"x": 10**400},
    {"x": "\\\n\t\u2028"},
    {"x": [[]] * 3000},
]
OMITTED = [3, "x", {}, {"top_p": 1}, [1, None, [], {"a": 1}], ["temperature"] * 9, ["max_retries", "no"], [["top_p"]]]

GARBAGE: dict[str, dict[str, list[Any]]] = {
    "llm_providers": {
        "name": TEXTS,
        "display_name": TEXTS,
        "kind": [*TEXTS, "frob", "OPENAI", "openai", "google", "openai_compatible"],
        "api_base_url": [*URLS, *TEXTS],
        "available_models": [Jsonb([]), Jsonb(3), Jsonb({"m": 1})],
        "default_model": [*TEXTS, "m"],
        "is_active": [True, True, False],
        "version": WHOLE,
        "field_changes": [Jsonb(each) for each in CHANGES],
        "api_key_encrypted": [*TEXTS, "00:00:00", "0" * 32 + ":" + "0" * 32 + ":00", "moved"],
        "api_key_key_id": [*TEXTS, RING.primary_id, RING.primary_id],
        "api_key_binding": [*TEXTS, "0" * 64],
    },
    "llm_settings": {
        "organization_id": [None, None, None, 5, -1],
        "provider_id": [*range(1, 400), -5, 2**31 - 1],
        "preferred_model": [*TEXTS, "m"],
        **{
            name: {float: NUMBERS, int: WHOLE, bool: FLAGS, str: [*TEXTS, "FULL", "minimal"], list: LISTS}[p.value_type]
            for name, p in PARAMETERS.items()
        },
        "omitted_parameters": [Jsonb(each) for each in OMITTED],
        "custom_settings": [*(Jsonb(each) for each in CUSTOM), '{"x": %s}' % ("9" * 5000)],
        "is_active": [True, True, True, False],
        "version": WHOLE,
        "field_changes": [Jsonb(each) for each in CHANGES],
    },
}
GOOD = {name: another(name) for name in PARAMETERS}
SPOILT_AT_ONCE = 1 if "LLM_TEST_STATES" in os.environ else 15
"""So many times twenty rows come before all is looked at again."""


@pytest.fixture
def unguarded(owner: Connection) -> Connection:
    """The database without the CHECKs, NOT NULLs, unique indexes, foreign keys and triggers of its two tables."""
    for table, columns in GARBAGE.items():
        found = owner.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f')", [table]
        ).fetchall()
        for (name,) in found:
            owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
        for column in columns:
            owner.execute(f"ALTER TABLE {table} ALTER {column} DROP NOT NULL".encode())
    owner.execute("DROP INDEX llm_providers_name_idx, llm_settings_active_scope_key")
    return owner


def spoil(connection: Connection, seed: int, rows: int, sparing: list[int]) -> None:
    """Insert rows of garbage into both tables, past the triggers, and tell of them as the triggers would.

    None is of the providers *sparing*: it would rightly apply to them.
    """
    others = [number for number in range(1, 400) if number not in sparing] + [-5, 2**31 - 1]
    garbage = {**GARBAGE, "llm_settings": {**GARBAGE["llm_settings"], "provider_id": others}}
    chance = random.Random(seed)
    moved = connection.execute("SELECT api_key_encrypted FROM llm_providers WHERE name = 'openai'").fetchone()
    assert moved is not None
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE settings_generation SET generation = generation + 1")
        for table, columns in garbage.items():
            names = ", ".join(columns)
            marks = ", ".join(["%s"] * len(columns))
            for turn in range(rows):
                ids = "-(SELECT count(*) FROM " + table + ")" if turn % 5 == 0 else "DEFAULT"
                values = [None if chance.random() < 0.2 else chance.choice(each) for each in columns.values()]
                row = [moved[0] if value == "moved" else value for value in values]
                connection.execute(
                    f"WITH made AS (INSERT INTO {table} (id, {names}) VALUES ({ids}, {marks}) RETURNING id)"
                    " INSERT INTO settings_changes"
                    f" SELECT generation, '{table}', made.id FROM settings_generation, made",
                    row,
                )
        connection.execute("SELECT pg_notify('llm_settings', 'x')")


def check(answer: EffectiveSettings) -> None:
    """Assert that everything about an answer is as it may be."""
    assert answer.status in STATUSES
    for parameter in PARAMETERS.values():
        value = getattr(answer, parameter.name)
        assert parameter.fits(value) or (value is None and parameter.default is None), parameter.name
    assert answer.model is None or answer.model
    assert set(answer.omitted) <= set(SENDABLE)
    assert isinstance(answer.custom_settings, dict)
    json.dumps(answer.as_dict())
    answer.request_options()
    assert {each.name for each in answer.explain()} >= {"model", *PARAMETERS}
    for name in ("model", *PARAMETERS):
        answer.source(name)
    assert repr(answer)
    if answer.status != "ok":
        with pytest.raises(ApiKeyUnavailable):
            answer.client_options()
    else:
        assert answer.client_options()["api_key"] == KEY


def check_beside_garbage(resolver: Resolver) -> None:
    """Assert that every provider is answered validly, and the good ones with what they are."""
    for name in [*resolver.names(), *TEXTS]:
        check(resolver.resolve(name))
    for number in range(5):
        answer = resolver.resolve(f"good{number}")
        assert (answer.status, answer.display_name, answer.model) == ("ok", f"Good {number}", "m1")
        found = {name: getattr(answer, name) for name in GOOD}
        assert {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()} == GOOD
        assert answer.omitted == ()
        assert answer.custom_settings["own"] == [1]
        assert answer.api_key() == KEY


@pytest.mark.kill
def test_garbage_rows(unguarded: Connection, database: str) -> None:
    """CHECKS 73: hundreds of rows with garbage in every column, there at the first load or changed later: each provider
    resolves to something valid, the good ones to what they are, with their keys."""
    good = [add(unguarded, f"good{number}", f"Good {number}", key=KEY) for number in range(5)]
    for row_id in good:
        unguarded.execute(
            f"INSERT INTO llm_settings (provider_id, custom_settings, {', '.join(GOOD)})"
            f" VALUES (%s, '{{\"own\": [1]}}', {', '.join(['%s'] * len(GOOD))})",
            [row_id, *(Jsonb(value) if isinstance(value, list) else value for value in GOOD.values())],
        )
    unguarded.execute("SELECT setval('llm_settings_id_seq', 1000)")
    for seed in range(5):
        spoil(unguarded, seed, 20, good)
    with resolving(database) as resolver:
        resolver.resolve("good0")
        check_beside_garbage(resolver)
        for first in range(5, 20, SPOILT_AT_ONCE):
            for seed in range(first, first + SPOILT_AT_ONCE):
                spoil(unguarded, seed, 20, good)
            assert resolver.wait_for(generation_of(unguarded), 5)
            assert not resolver.stale
            check_beside_garbage(resolver)


def test_settings_nested_deep(unguarded: Connection, resolver: Resolver) -> None:
    """CHECKS 73: custom settings nested as deep as PostgreSQL takes them: ignored or answered, and no method raises."""
    for depth in (10, 200, *range(300, 1000, 20), *range(900, 1000), 3000):
        row_id = add(unguarded, f"deep{depth}")
        nested = '{"a": ' + '{"b": ' * depth + "1" + "}" * depth + "}"
        unguarded.execute("INSERT INTO llm_settings (provider_id, custom_settings) VALUES (%s, %s)", [row_id, nested])
    assert resolver.wait_for(generation_of(unguarded), 5)
    for name in resolver.names():
        check(resolver.resolve(name))
    assert resolver.resolve("deep10").custom_settings != {}
    assert resolver.resolve("openai").api_key() == KEY


def test_row_without_an_id(unguarded: Connection, database: str) -> None:
    """CHECKS 73: rows without an id, or with the same one twice, take nobody else down."""
    for table in GARBAGE:
        unguarded.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey CASCADE".encode())
        unguarded.execute(f"ALTER TABLE {table} ALTER id DROP NOT NULL".encode())
    with unguarded.transaction():
        unguarded.execute("SET LOCAL session_replication_role = replica")
        for row_id in (None, None, 77, 77):
            unguarded.execute(
                "INSERT INTO llm_providers (id, name, display_name, kind, available_models)"
                " VALUES (%s, 'twin', 'T', 'openai', '[]')",
                [row_id],
            )
            unguarded.execute("INSERT INTO llm_settings (id, provider_id, top_p) VALUES (%s, 77, 0.5)", [row_id])
    with resolving(database) as resolver:
        answer = resolver.resolve("openai")
        assert (answer.status, answer.display_name) == ("ok", "before")
        check(resolver.resolve("twin"))
