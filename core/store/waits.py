"""How long the app waits for its database: a silent server is found out within 2 seconds, a busy one has its time.

Nothing but the client can bound these waits: a stopped server does not look at its own timeouts, and the kernel's
keepalives see no further than the next machine, and nothing at all on a Unix socket. Why so: docs/decisions/database-waits.md.
"""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import psycopg
from psycopg.errors import ConnectionTimeout
from sqlalchemy import Connection, Engine, QueuePool, event

from ..postgres import probe

LOOK_AFTER: Final = 1.0
"""Seconds without an answer after which the server is asked, on a line of its own, whether it is there."""
LOOK: Final = 0.7
"""Seconds that it has for that answer."""
PING: Final = 2.0
"""Longest wait on a line that is taken out of the pool, in seconds: then it is replaced."""
STATEMENT: Final = 5.0
"""Seconds that the server gives one statement, unless a unit of work asks for more."""
FREE: Final = 1.5
"""Longest wait for a free connection, in seconds."""
LOCK: Final = 1.5
"""Longest wait for a lock, in seconds."""
REQUEST: Final = 1.3
"""Seconds that one request may wait for both, however many transactions it makes."""
MARGIN: Final = 1.0
"""Seconds that a statement's end, told by the server, has to arrive."""
LONGEST: Final = 3600.0
"""Longest wait for a statement without a limit of the server's own, such as one of a migration, in seconds."""
AGAIN: Final = 0.2
"""Seconds between two looks at a server that was silent."""


class Silent(psycopg.OperationalError):
    """The server, or the line to it, did not answer in time; the line is closed."""


class _Silence:
    """What this process knows of its server's silence. While it lasts, one thread looks and the others are refused at once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._mutex = threading.Lock()
        self._silent = False
        self._looked = 0.0

    def begin(self) -> None:
        self._silent, self._looked = True, time.monotonic()

    def is_over(self) -> bool:
        """Return whether a new line is worth trying."""
        if not self._silent:
            return True
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            if time.monotonic() - self._looked >= AGAIN:
                self._silent = not probe.answers(self._url, LOOK)
                self._looked = time.monotonic()
            return not self._silent
        finally:
            self._mutex.release()


class Line(psycopg.Connection[Any]):
    """A connection on which no wait is without an end.

    Attributes:
        patience: Longest wait for one answer, in seconds, from a server that is there.
        silence: Of this line's server.
    """

    patience: float = PING
    silence: _Silence

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does; raise :class:`Silent`, and close the line, when no answer is to be expected."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        begun = time.monotonic()
        going = gen
        while True:
            try:
                return super().wait(going, interval, LOOK_AFTER)
            except psycopg.errors._WaitTimeout:  # noqa: SLF001 - its public parent is also what a refused statement raises
                pass
            waited = time.monotonic() - begun
            there = probe.answers_at(self.info.hostaddr or self.info.host, self.info.port, LOOK)
            if there and waited < self.patience:
                going = _again(gen)
                continue
            self.pgconn.finish()  # else ending what was begun would wait as long again
            if not there:
                self.silence.begin()
            raise Silent(f"no answer in {time.monotonic() - begun:.1f} seconds") from None


def _again(gen: Any) -> Generator[Any, Any, Any]:
    """Go on with a generator of psycopg's that was left waiting: it is told that nothing is ready yet."""
    try:
        state = gen.send(0)
        while True:
            state = gen.send((yield state))
    except StopIteration as done:
        return done.value


def opener(url: str, arguments: dict[str, Any], name: Callable[[], str]) -> Callable[[], Line]:
    """Return what opens a :class:`Line` to the server of *url*, by the *arguments* of :func:`psycopg.connect`.

    *name* is asked for each of them, and gives what the server's list of connections shows where *arguments* do not.

    ``tcp_user_timeout`` is set where they do not say it: for a line that is cut without a word, where the kernel sees it.
    """
    silence = _Silence(url)

    def connect() -> Line:
        if not silence.is_over():
            raise Silent("no answer: the server is silent")
        try:
            given = arguments if arguments.get("application_name") else {**arguments, "application_name": name()}
            line = Line.connect(**{"tcp_user_timeout": 2000, **given})
        except ConnectionTimeout:
            silence.begin()
            raise
        line.silence = silence
        return line

    os.register_at_fork(after_in_child=lambda: silence.__init__(url))  # type: ignore[misc]  # its lock is the parent's
    return connect


def bound(engine: Engine) -> None:
    """Have the lines of *engine* be waited for as long as is right, in the pool and out of it."""

    def taken(line: Line, _record: Any, _proxy: Any) -> None:
        line.patience = STATEMENT + MARGIN

    def given_back(line: Line | None, _record: Any) -> None:
        if line is not None:
            line.patience = PING

    event.listen(engine, "checkout", taken)
    event.listen(engine, "checkin", given_back)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have all waits of this context for free connections and for locks be over in *seconds*: one request makes several."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def left(longest: float, shortest: float) -> float:
    """Return how many seconds this context may still wait: *longest*, or what is left, but *shortest* at least."""
    deadline = _deadline.get()
    return longest if deadline is None else max(shortest, min(longest, deadline - time.monotonic()))


_deadline: Final[ContextVar[float | None]] = ContextVar("deadline", default=None)


class Pool(QueuePool):
    """A pool whose callers wait as long as is left for them."""

    @property
    def _timeout(self) -> float:
        return left(FREE, 0.1)

    @_timeout.setter
    def _timeout(self, _seconds: float) -> None:
        """SQLAlchemy sets what it was given, or read here."""


def shorten_locks(connection: Connection) -> None:
    """Have a transaction that begins wait for locks as long as is left; the server's own limit is :data:`LOCK`."""
    seconds = left(LOCK, 0.2)
    if seconds < LOCK - 0.1:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{round(seconds * 1000)}ms'")


def allow(connection: Connection, seconds: float | None) -> None:
    """Let statements take up to *seconds*, or without a limit of the server's, until *connection* goes back to the pool.

    A server that falls silent is found out as quickly as ever. The server's own ``statement_timeout`` is the caller's to set.
    """
    line = connection.connection.dbapi_connection
    if isinstance(line, Line):
        line.patience = LONGEST if seconds is None else seconds + MARGIN
