"""What is known of the store, for a scrape: read now and then, by a thread of its own, so that a scrape waits for it once at most.

While the database is away a scrape answers at once with what was known before, and says so.
"""

import contextvars
import logging
import threading
import time
from typing import Final, NamedTuple

from api import readiness
from core.crypto import get_ring
from core.errors import CoreError
from core.govern import figures
from core.store import db, waits

EVERY: Final = 10.0
"""Seconds that what was read is good for."""
WAIT: Final = 2.0
"""Seconds that a scrape waits for a reading, if the one before it succeeded."""

_log = logging.getLogger(__name__)


class Known(NamedTuple):
    """What is known now."""

    figures: figures.Figures | None
    """None: nothing was read since this process began."""
    unreadable: int | None
    """Stored API keys that cannot be opened; None: not known."""
    fresh: bool
    """Whether the last reading succeeded."""
    age: float
    """Seconds since the last one that did."""


class Reader:
    """Reads, and remembers. One thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: figures.Figures | None = None
        self._unreadable: tuple[object, int] | None = None
        """Of which state of the store and of the key ring, and how many."""
        self._read_at = self._tried_at = float("-inf")
        self._fresh = True
        self._thread: threading.Thread | None = None

    def failed(self) -> None:
        """Note that the database was found to be away: nobody waits for the next reading."""
        self._fresh = False

    def look(self) -> Known:
        """Return what is known; first have it read again if it is old."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            if not running and time.monotonic() - self._tried_at >= EVERY:
                context = contextvars.copy_context()  # the lines of log of the reading have the scrape's id
                self._tried_at = time.monotonic()
                self._thread = threading.Thread(
                    target=context.run, args=(self._read,), name="store figures", daemon=True
                )
                self._thread.start()
            thread = self._thread
        if thread is not None and self._fresh:
            thread.join(WAIT)
            if thread.is_alive():
                self._fresh = False
        unreadable = None if self._unreadable is None else self._unreadable[1]
        return Known(self._found, unreadable, self._fresh, time.monotonic() - self._read_at)

    def _read(self) -> None:
        try:
            with waits.within(waits.REQUEST):
                if readiness.look().schema not in {"mismatch", "unknown"}:  # else what is read may not be there
                    self._read_all()
                    self._fresh, self._read_at = True, time.monotonic()
                    return
        except CoreError:
            pass  # an outage, which is logged once a minute
        except Exception:  # noqa: BLE001 - what was known before is known now
            _log.exception("The figures for Prometheus could not be read")
        self._fresh = False

    def _read_all(self) -> None:
        ring = get_ring()
        with db.transaction() as session:
            self._found = figures.read(session, ring)
            state = (self._found.generation, ring.ids)
            if (
                self._unreadable is None or self._unreadable[0] != state
            ):  # opening ten thousand keys takes a third of a second
                self._unreadable = (state, figures.unreadable(session, ring))


reader: Final = Reader()
"""Of this process."""
