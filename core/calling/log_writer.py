"""The writer of the request log, which never holds a call up. What of a call is kept: :mod:`.log_rows`.

One thread writes, in batches by COPY, on a connection of its own, which is closed when there is nothing to write. What waits
is bounded in number and in size; when the database is away for long, the newest calls are not logged, are counted in
:func:`dropped`, and one line of the log says so. Where the database refuses this process (no right, read-only, a wrong
password), nothing waits at all.
"""

import atexit
import contextlib
import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..config import get_config
from ..errors import CoreError
from ..postgres import lines, refusals, threads
from ..resolving.effective import EffectiveSettings
from ..wording import counted
from . import log_rows
from .log_rows import CallToLog

if TYPE_CHECKING:
    from psycopg import Connection

QUEUED: Final = 10_000
"""So many calls wait to be written at most."""
QUEUED_BYTES: Final = 64 * 1024 * 1024
"""Characters of prompts and answers that wait at most."""
BATCH: Final = 1000
EVERY: Final = 0.25
"""Seconds between two batches: so long a call may be missing on the Usage page."""
BACKOFF: Final = (0.5, 30.0)
REFUSED: Final = 30.0
"""Seconds for which nothing is queued after the database has refused to write; then the next call tries again."""
FAILOVER: Final = 30.0
"""Seconds for which calls wait in memory though the database refuses to write, where it has written before: while a replica
takes over, or a password is changed, the same address refuses for a while."""
IDLE: Final = 10.0
"""Seconds without a call after which the connection is closed."""
AT_EXIT: Final = 2.0
"""Seconds that a process which ends waits for the last batch."""

_log = logging.getLogger(__name__)


def put(settings: EffectiveSettings, call: CallToLog) -> None:
    """Have *call* written, soon; never waits and never raises. Settings that came from no store leave no trace."""
    try:
        if settings.generation and log_rows.is_logged(settings, call):
            _writer.put(settings, call)
    except Exception as error:  # noqa: BLE001 - the call was answered, and is paid for
        _writer.dropped += 1
        _log.warning("A call is not logged (%s).", type(error).__name__)


def flush(timeout: float = AT_EXIT) -> bool:
    """Wait until nothing of what was put waits any more, at most *timeout* seconds; return whether that is so.

    What could not be written does not wait: see :func:`dropped`.
    """
    return _writer.flush(timeout)


def dropped() -> int:
    """Return how many calls of this process were not logged: for want of room, or because the database refused them or this process."""
    return _writer.dropped


class Writer:
    """A queue and its thread. The process has one: :func:`put`."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self.dropped = 0
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._calls: deque[tuple[EffectiveSettings, CallToLog, int]] = deque()
        self._size = 0
        self._writing = 0
        self._thread: threading.Thread | None = None
        self._ending = self._full = self._closed = False
        self._reason: str | None = None
        """Why nothing is written now, as the log was told."""
        self._refused_until = self._not_before = self._trusted_until = float("-inf")

    def put(self, settings: EffectiveSettings, call: CallToLog) -> None:
        """Queue a call, or count it as dropped."""
        with self._changed:
            if time.monotonic() < self._refused_until:
                self.dropped += 1
                return
            size = log_rows.size(call.prompt) + len(call.response or "")
            if len(self._calls) >= QUEUED or self._size + size > QUEUED_BYTES:
                self.dropped += 1
                if not self._full:
                    self._full = True
                    _log.warning("The request log is full (%d calls wait): calls are not logged.", len(self._calls))
                return
            self._calls.append((settings, call, size))
            self._size += size
            if self._thread is None:
                self._start()
            elif len(self._calls) == BATCH:
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until the queue is empty, at most *timeout* seconds; return whether it is."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if self._thread is None and self._calls:
                self._start()
            if self._thread is None:
                return not self._calls
            self._ending = True
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: not self._calls and not self._writing, max(0.0, deadline - time.monotonic())
            )
            self._ending = False
            return done

    def close(self) -> None:
        """End the thread; what still waits is not written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(BACKOFF[1])

    def _start(self) -> None:
        if time.monotonic() < self._not_before:
            return
        try:
            self._thread = threads.start(self._run, "llm-settings log")
        except threads.NoThread as error:
            self._not_before = time.monotonic() + threads.AGAIN
            if error.lasting:
                self._refuse(str(error), 0)
            else:
                self._say(f"{error}; calls wait in memory")

    def _run(self) -> None:
        connection: Connection[Any] | None = None
        used = time.monotonic()
        while not self._closed:
            taken = self._take()
            if taken:
                connection = self._written(connection, taken)
                used = time.monotonic()
            elif connection is not None and time.monotonic() - used > IDLE:
                connection.close()
                connection = None
        _close(connection)

    def _take(self) -> list[tuple[EffectiveSettings, CallToLog, int]]:
        """Wait for the next batch; it may be empty."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._calls) >= BATCH or (self._ending and self._calls), EVERY
            )
            taken = [self._calls.popleft() for _ in range(min(BATCH, len(self._calls)))]
            self._writing = len(taken)
        return taken

    def _written(
        self, connection: "Connection[Any] | None", taken: list[tuple[EffectiveSettings, CallToLog, int]]
    ) -> "Connection[Any] | None":
        """Write *taken*, however long it takes, or drop it; return the connection, where it still holds."""
        cells, lost = log_rows.cells_of(taken)
        wait, most = BACKOFF
        while not self._closed:
            try:
                connection = connection or lines.connect(self._url or lines.find_primary(), "llm-settings log")
                lost += log_rows.write(connection, cells)
                self._trusted_until = float("inf")
                if self._reason is not None:
                    missed = counted(self.dropped + lost, "call")
                    _log.warning("The request log is written again; not logged: %s.", missed)
                self._reason = None
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the calls of the host go on
                _close(connection)
                connection = None
                reason, lasts = _why(error)
                if lasts and self._is_for_good():
                    with self._changed:
                        self._refuse(reason, len(taken))
                    lost = 0
                    break
                self._say(f"{reason}; calls wait in memory")
            with self._changed:
                self._changed.wait_for(lambda: self._closed, wait)
            wait = min(wait * 2, most)
        with self._changed:
            self.dropped += lost
            self._size -= sum(size for _, _, size in taken)
            self._writing = 0
            self._full = False
            self._changed.notify_all()
        return connection

    def _is_for_good(self) -> bool:
        """Return whether a refusal is no failover: nothing was written before, or it has gone on for :data:`FAILOVER`."""
        self._trusted_until = min(self._trusted_until, time.monotonic() + FAILOVER)
        return time.monotonic() >= self._trusted_until

    def _refuse(self, reason: str, taken: int) -> None:
        """Drop what waits, and what comes soon: it would never be written."""
        self._refused_until = time.monotonic() + REFUSED
        self.dropped += taken + len(self._calls)
        self._size -= sum(size for _, _, size in self._calls)
        self._calls.clear()
        self._say(f"{reason}; calls are not logged", anew=True)

    def _say(self, reason: str, *, anew: bool = False) -> None:
        """Log *reason*, once an outage; where it is *anew*, whenever it is another one."""
        if self._reason is None or (anew and reason != self._reason):
            self._reason = reason
            _log.warning("The request log cannot be written: %s.", reason)


def _why(error: Exception) -> tuple[str, bool]:
    """Return why nothing can be written, and whether that lasts."""
    if isinstance(error, CoreError):
        return str(error).rstrip("."), False
    variable = "DATABASE_URL"
    with contextlib.suppress(CoreError):
        variable = "LLM_WRITE_DATABASE_URL" if get_config().write_database_url is not None else variable
    refusal = refusals.read(error, variable=variable, grant="grant-reader ROLE --log")
    return (type(error).__name__, False) if refusal is None else (str(refusal), refusal.lasting)


def _close(connection: "Connection[Any] | None") -> None:
    if connection is not None:
        connection.close()


_writer = Writer()


@atexit.register
def _leave() -> None:
    _writer.flush(AT_EXIT)


os.register_at_fork(after_in_child=_writer._reset)  # noqa: SLF001 - same module; what waits is the parent's to write
