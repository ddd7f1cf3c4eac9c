"""Waits on the database: a silent server is found out within 2 seconds, a line that died is replaced, a busy one has its time."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from core.errors import StoreUnavailable
from core.store import db, waits
from tests.clusters import by_proxy, socket_of
from tests.proxy import MUTE, PASS, SWALLOW, Proxy, Way

BOUND = 3 * 2.0
"""Three times what is promised: two cores, many tests."""


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """A line to the tests' server."""
    with Proxy(socket_of(database)) as proxy:
        yield proxy


@pytest.fixture
def engine(database: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The process's engine, whose lines lead by way of the proxy, with three warm connections."""
    engine = db.make_engine(by_proxy(database, proxy))
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(engine.connect())
    yield engine
    proxy.treat(PASS)
    engine.dispose()


def ask() -> int:
    """One unit of work."""
    with db.transaction() as session:
        return int(session.execute(text("SELECT 1")).scalar_one())


def run(work: Callable[[Session], object]) -> None:
    """Run *work* as one unit."""
    with db.transaction() as session:
        work(session)


def sleep(session: Session, seconds: float, limit: str = "0") -> None:
    """Keep the server busy; *limit* is its own for the statement, 0 none."""
    session.execute(text(f"SET LOCAL statement_timeout = '{limit}'"))
    session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


def refused() -> float:
    """One unit of work that is refused; return the seconds that took."""
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"does not answer|are in use"):
        ask()
    return time.monotonic() - begun


@pytest.mark.long
@pytest.mark.parametrize("way", [SWALLOW, MUTE])
def test_silent_server_is_found_out(engine: Engine, proxy: Proxy, way: Way) -> None:  # noqa: ARG001 - the process's
    """CHECKS 67: the lines hold and the server takes new ones, but nobody answers: each unit of work ends, and all comes back."""
    assert ask() == 1
    proxy.treat(way)
    with ThreadPoolExecutor(20) as crew:
        begun = time.monotonic()
        took = list(crew.map(lambda _: refused(), range(20)))
        whole = time.monotonic() - begun
    assert max(took) < BOUND
    assert whole < BOUND, "they waited for one another"
    assert refused() < BOUND
    proxy.treat(PASS)
    time.sleep(waits.AGAIN)
    assert ask() == 1


@pytest.mark.long
def test_silence_in_the_middle_of_a_statement(engine: Engine, proxy: Proxy) -> None:
    """A server that falls silent while a statement runs, one that may take an hour too, is found out as quickly."""
    for allowed in (False, True):

        def work(session: Session, allowed: bool = allowed) -> None:
            if allowed:
                waits.allow(session.connection(), None)
            proxy.treat(SWALLOW)
            session.execute(text("SELECT 1"))

        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            run(work)
        assert time.monotonic() - begun < BOUND
        proxy.treat(PASS)
        time.sleep(waits.AGAIN)
        assert ask() == 1
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool


@pytest.mark.long
def test_line_that_died_is_replaced(engine: Engine, proxy: Proxy) -> None:  # noqa: ARG001 - the process's
    """Where the pool's lines alone have died, without FIN or RST, the unit of work gets a new one, and nobody notices."""
    proxy.treat_old(SWALLOW)
    begun = time.monotonic()
    assert ask() == 1
    assert time.monotonic() - begun < BOUND
    begun = time.monotonic()
    assert [ask() for _ in range(3)] == [1, 1, 1]
    assert time.monotonic() - begun < waits.PING, "each old line was waited for"


@pytest.mark.long
def test_busy_server_has_its_time(engine: Engine) -> None:  # noqa: ARG001 - the process's
    """A statement that takes longer than a silent server is given is answered; the server's own limit ends it, in words."""
    with db.transaction() as session:
        assert session.execute(text("SELECT 1 FROM pg_sleep(2.5)")).scalar() == 1
    with pytest.raises(StoreUnavailable, match="did not finish in time"):
        run(lambda session: sleep(session, 30, "1200ms"))


@pytest.mark.long
def test_statement_without_an_end_is_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - the process's
    """A server that is there, and does not answer on this line beyond its own limit, is not waited for."""
    monkeypatch.setattr(waits, "MARGIN", -4.0)
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        run(lambda session: sleep(session, 30))
    assert time.monotonic() - begun < BOUND
    with db.transaction() as session:
        waits.allow(session.connection(), None)
        sleep(session, 2.5)
    with db.transaction() as session:
        line = session.connection().connection.dbapi_connection
    assert isinstance(line, waits.Line)
    assert line.patience == waits.PING, "more time for one is no more time for the next"


@pytest.mark.long
def test_commit_that_is_not_answered(engine: Engine, proxy: Proxy) -> None:  # noqa: ARG001 - the process's
    """Where the line dies during the commit nobody says that nothing was saved: here it was."""
    with db.transaction() as session:
        session.execute(text("CREATE TABLE kept (value int)"))

    def save(session: Session) -> None:
        session.execute(text("INSERT INTO kept VALUES (1)"))
        proxy.treat(MUTE)

    with pytest.raises(StoreUnavailable, match="whether it has saved is not known"):
        run(save)
    proxy.treat(PASS)
    time.sleep(waits.AGAIN)
    with db.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM kept")).scalar() == 1


def test_one_looks_at_a_silent_server(database: str, proxy: Proxy) -> None:
    """While a server is silent one thread at a time asks for it; the others are refused without waiting."""
    silence = waits._Silence(by_proxy(database, proxy))
    assert silence.is_over()
    proxy.treat(SWALLOW)
    silence.begin()
    time.sleep(waits.AGAIN)
    before = proxy.accepted
    start = threading.Barrier(8)

    def look() -> bool:
        start.wait(5)
        return silence.is_over()

    with ThreadPoolExecutor(8) as crew:
        assert not any(crew.map(lambda _: look(), range(8)))
    assert proxy.accepted - before == 1
    proxy.treat(PASS)
    time.sleep(waits.AGAIN)
    assert silence.is_over()


@pytest.mark.long
def test_waits_of_one_request_are_added_up(engine: Engine) -> None:  # noqa: ARG001 - the process's
    """CHECKS 71: free connection and lock together end in 2 seconds, however many transactions a request makes."""
    with db.transaction() as session:
        session.execute(text("CREATE TABLE locked (value int)"))

    def wait_for_lock() -> None:
        with pytest.raises(StoreUnavailable, match="Somebody else"):
            run(lambda session: session.execute(text("INSERT INTO locked VALUES (1)")))

    with db.transaction() as other, contextlib.ExitStack() as stack:
        other.execute(text("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"))
        begun = time.monotonic()
        with waits.within(waits.REQUEST):
            for _ in range(4):
                wait_for_lock()
        assert time.monotonic() - begun < 3 * 2.0 - 1.5, "each waited for itself"
        begun = time.monotonic()
        wait_for_lock()
        assert time.monotonic() - begun > waits.LOCK - 0.1, "without a request a lock has its time"
        for _ in range(9):
            stack.enter_context(db.get_engine().connect())
        begun = time.monotonic()
        with waits.within(0.2):
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="are in use"):
                    ask()
        assert time.monotonic() - begun < waits.FREE
