"""What was spent is told once, however the line breaks, and however often the process forks; nothing is forgotten."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlmodel import Session

from core.calling import teller as telling
from core.calling.teller import Of, Settled, Teller
from core.crypto import KeyRing
from core.manage import health, services
from core.manage.services import Untelling
from core.postgres import names
from core.store import db
from tests.calling.test_log_writer import line_to
from tests.conftest import fresh_database
from tests.processes import python
from tests.proxy import MUTE
from ui.health.untelling import untelling_lines

OF = Of(7, "summaries", "acme", "m1", "answered", "")
COST = Decimal("0.0000000001")


@pytest.fixture
def teller(database: str) -> Iterator[Teller]:
    """A teller to a database of the test's own."""
    teller = Teller(database)
    yield teller
    teller.close()


def put(teller: Teller, times: int = 1, **changes: Any) -> None:
    """Have that many calls told, a digit of the last place each."""
    for _ in range(times):
        teller.begin()
        teller.put(Settled(**{**Settled(OF, time.monotonic(), 3, 2, COST, estimated=False)._asdict(), **changes}))


def stands(url: str) -> tuple[int, Decimal]:
    """How many calls are counted, and what they cost."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(calls), 0)::int, coalesce(sum(cost), 0) FROM llm_spend"
        ).fetchone()
    assert row
    return row[0], row[1]


def test_a_number_counts_once(teller: Teller, database: str) -> None:
    """The confirmation is lost; what is told again under the same number changes nothing, and what came meanwhile is told."""
    put(teller)
    assert teller.tell(10)
    with psycopg.connect(database) as connection:
        for number, stood in ((1, False), (1, False), (2, True), (2, False), (1, False)):
            said = '[{"at": "2026-11-27T10:20:00Z", "organization_id": 7, "feature": "", "provider": "acme", "model": "m1",'
            said += '"outcome": "answered", "cost_centre": "", "calls": 1, "input_tokens": 1, "output_tokens": 1, "cost": "1",'
            said += '"estimated": "0", "unpriced": 0}]'
            found = connection.execute(
                "SELECT llm_tell_spend(%s, %s, '', %s)", [teller.holder, number, said]
            ).fetchone()
            assert found == (stood,)
    assert stands(database) == (2, 1 + COST)


def test_lines_that_break(teller: Teller, database: str) -> None:
    """The line is cut ten times, in the middle of a telling too: what is counted is what was spent, to the last digit."""
    done = threading.Event()

    def cut() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            for _ in range(10):
                time.sleep(0.15)
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'llm-settings spend%'"
                    " AND datname = current_database()"
                )
        done.set()

    cutter = threading.Thread(target=cut)
    cutter.start()
    spent = 0
    while not done.is_set():
        put(teller, 3)
        spent += 3
        teller._wake.set()
        time.sleep(0.002)
    cutter.join()

    assert teller.tell(20), teller.untold()
    assert stands(database) == (spent, spent * COST)


def test_the_answer_is_lost(database: str) -> None:
    """The server adds it, and its answer never arrives; it is told again on another line, and stands once."""
    proxy, url = line_to(database)
    teller = Teller(url)
    try:
        put(teller)
        assert teller.tell(10)
        proxy.treat_old(MUTE)
        put(teller)
        deadline = time.monotonic() + 10
        while stands(database)[0] < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not teller.tell(0.1)
        put(teller)
        proxy.end_lines("cut")
        assert teller.tell(20), teller.untold()
    finally:
        teller.close()
        proxy.close()
    assert stands(database) == (3, 3 * COST)


def test_sums_wait(server: str) -> None:
    """While there is no store: sums, not rows, whatever their number; then they stand in the hour in which they were spent."""
    teller = Teller("postgresql://nobody@127.0.0.1:1/none")
    now = time.monotonic()
    put(teller, 2000, at=now - 3 * 3600)
    put(teller, of=OF._replace(feature="other"), cost=None)
    teller.tell(0.3)

    untold = teller.untold()
    assert (untold.calls, untold.cost, len(teller._sums) + sum(map(len, teller._batches))) == (2001, 2000 * COST, 2)
    assert "nobody listens there" in (untold.reason or "")
    with fresh_database(server) as url:
        teller._url = url
        assert teller.tell(20)
        assert teller.untold()[:3] == (0, 0, None)
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT feature, calls, cost, unpriced, date_bin('1 hour', now() - interval '3 hours', 'epoch') - slot FROM llm_spend"
                " ORDER BY feature DESC"
            ).fetchall()
        teller.close()
    assert [row[:4] for row in rows] == [("summaries", 2000, 2000 * COST, 0), ("other", 1, 0, 1)]
    assert abs(rows[0][4].total_seconds()) <= 3600


def test_the_stores_clock_counts(teller: Teller, database: str) -> None:
    """This machine's may say what it likes."""
    put(teller)
    assert teller.tell(10)
    teller._ahead = (teller._ahead or 0) + 7200  # two hours fast: a moment to come is now
    put(teller)
    assert teller.tell(10)

    with psycopg.connect(database) as connection:
        slots = connection.execute("SELECT count(DISTINCT slot), max(slot) <= now() FROM llm_spend").fetchone()
    assert slots == (1, True) or datetime.now(UTC).minute == 0


def test_too_many_names(teller: Teller, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cost centre for each request: what goes beyond is added up without it, and no money is lost."""
    monkeypatch.setattr(telling, "MOST", 5)
    monkeypatch.setattr(telling, "BATCH", 2)
    teller._not_before = float("inf")  # no thread yet
    for number in range(20):
        put(teller, of=OF._replace(cost_centre=str(number)))
    assert len(teller.untold()) == 4
    assert len(teller._sums) == 6
    teller._not_before = 0

    assert teller.tell(10)
    assert stands(database) == (20, 20 * COST)


def test_a_sum_that_the_database_refuses(teller: Teller, database: str) -> None:
    """It takes no others with it, and is said to be lost."""
    teller._not_before = float("inf")
    put(teller, of=OF._replace(outcome="nonsense"))
    put(teller, 3)
    put(teller, 2, of=OF._replace(model="m2"))
    teller._not_before = 0

    assert teller.tell(10)
    assert (stands(database)[0], teller.untold().lost) == (5, 1)


def test_a_role_that_may_not(database: str) -> None:
    """Its calls go on, its sums wait, its line shows that it is there; once it may, all is told."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("CREATE ROLE spender LOGIN")
        try:
            teller = Teller(database.replace("postgres@", "spender@", 1))
            put(teller, 2)
            assert not teller.tell(1)
            assert "grant-reader ROLE --log" in (teller.untold().reason or "")
            engine = db.make_engine(database)
            with Session(engine) as session:
                assert services.untelling(session) == [Untelling("spender", names.place(), "refused")]
                (line,) = untelling_lines(health.look(session, KeyRing(None)).untelling)
                assert "One process may not tell what calls cost: role spender, on " in line.detail
            owner.execute("GRANT EXECUTE ON FUNCTION llm_tell_spend(uuid, bigint, text, jsonb) TO spender")
            assert teller.tell(10)
            with Session(engine) as session:
                assert services.untelling(session) == []
            engine.dispose()
            teller.close()
        finally:
            owner.execute("DROP OWNED BY spender")
            owner.execute("DROP ROLE spender")
    assert stands(database) == (2, 2 * COST)


FORKING = """
import os, sys, time
from decimal import Decimal
from core.calling import teller
from core.calling.teller import Of, Settled
def put():
    teller.teller.begin()
    teller.teller.put(Settled(Of(0, "", "acme", "m1", "answered", ""), time.monotonic(), 1, 1, Decimal(1), estimated=False))
put()
holder = teller.teller.holder
if (child := os.fork()) == 0:
    assert teller.teller.holder != holder and teller.teller.untold().calls == 0
    put()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
import multiprocessing
worker = multiprocessing.get_context("fork").Process(target=put)
worker.start()
worker.join()
put()
"""


def test_forks_and_ends(database: str) -> None:
    """Each process tells its own, at its end too, and a child nothing of its parent's."""
    done = python(FORKING, DATABASE_URL=database)

    assert (done.returncode, done.stderr) == (0, "")
    assert stands(database) == (4, 4)


def test_putting_takes_no_lock(teller: Teller) -> None:
    """A garbage collector ends a generator in the thread that has the lock."""
    with teller._folding, teller._starting:
        teller.put(Settled(OF, time.monotonic(), 1, 1, COST, estimated=False))
    assert teller.untold().calls == 1
