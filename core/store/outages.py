"""What keeps the database from doing its work: in words for people, and in the log, once a minute for each cause."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from psycopg.errors import ConnectionTimeout
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..errors import StoreUnavailable
from ..postgres import refusals
from ..redaction import scrub
from .waits import Silent

LOCKED: Final = "55P03"
TIMED_OUT: Final = "57014"
DISK_FULL: Final = "53100"
READ_ONLY: Final = "25006"
NO_RIGHT: Final = "42501"
NO_TABLE: Final = "42P01"
"""SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html."""

LOG_EVERY: Final = 60.0
"""Seconds in which one cause makes one line of log: whoever retries must not fill it."""
REMEMBERED: Final = 60.0
"""Seconds that a full disk counts as full, after the last write that it refused."""
_SHOWN: Final = 200
"""Characters of the server's own words in the log."""

_UNSAVED: Final = "Nothing was saved"
_REASONS: Final = {
    LOCKED: f"Somebody else is changing the same thing at this moment. {_UNSAVED}; try again in a moment.",
    TIMED_OUT: f"The database did not finish in time. {_UNSAVED}; try again, with less at once where that is possible.",
    DISK_FULL: f"The database's disk is full: nothing can be saved until somebody makes room there. {_UNSAVED}; reading works.",
    READ_ONLY: (
        "The database is read-only, as a replica is, or a primary in trouble. "
        f"{_UNSAVED}; it works again as soon as the database takes changes."
    ),
}
_STATE_OF_THE_STORE: Final = frozenset({NO_RIGHT, NO_TABLE})
"""Codes that SQLAlchemy takes for faults of a statement, and that tell what a restore or an operator did to the database."""
WORDS: Final = {
    NO_RIGHT: "no_rights",
    NO_TABLE: "no_tables",
    "3D000": "no_database",
    refusals.FULL: "no_connections",
    "28": "refused",
    READ_ONLY: "read_only",
    DISK_FULL: "disk_full",
}
"""What readiness calls them; a code, or its class."""
_GRANT: Final = "grant-app ROLE"
_POOL: Final = f"All connections of this process to the database are in use. {_UNSAVED}; try again in a moment."
_SILENT: Final = f"The database cannot be reached: it does not answer. {_UNSAVED}; try again in a moment."
_AWAY: Final = f"The database cannot be reached, or did not answer in time. {_UNSAVED}; try again in a moment."
_LOST: Final = f"The connection to the database was lost. {_UNSAVED}; try again."
_UNKNOWN: Final = (
    "The connection to the database was lost while it was saving: whether it has saved is not known. "
    "Reload, and look before you try again."
)

_log = logging.getLogger(__name__)


class Causes:
    """What has gone wrong lately: each cause is logged at once, and then once a minute with how often it came.

    Args:
        now: A clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._mutex = threading.Lock()
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}
        self._seen: dict[str, float] = {}

    def note(self, cause: str, words: str) -> None:
        """Note that *cause*, one of few, came up, in the server's or the driver's *words*."""
        now = self._now()
        with self._mutex:
            self._seen[cause] = now
            if now - self._logged.get(cause, -LOG_EVERY) < LOG_EVERY:
                self._unlogged[cause] = self._unlogged.get(cause, 0) + 1
                return
            more = self._unlogged.pop(cause, 0)
            self._logged[cause] = now
        again = f"; {more} more like it since this was last logged" if more else ""
        _log.error("A request was refused for want of the database: %s (%s)%s", words, cause, again)

    def is_recent(self, cause: str, within: float = REMEMBERED) -> bool:
        """Return whether *cause* came up in the last *within* seconds."""
        seen = self._seen.get(cause)
        return seen is not None and self._now() - seen < within


causes: Final = Causes()
"""Of this process."""


def outage_of(error: Exception, *, saving: bool = False) -> StoreUnavailable | None:
    """Return *error* in words for people, and note it; None for one that does not speak of the database's state.

    Args:
        error: What SQLAlchemy raised.
        saving: The commit had been sent.
    """
    if isinstance(error, PoolTimeout):
        causes.note("pool exhausted", "no connection became free")
        return StoreUnavailable(_POOL)
    if not isinstance(error, DBAPIError):
        return None
    cause = error.orig
    code = getattr(cause, "sqlstate", None) or ""
    known = _REASONS.get(code)
    of_the_store = known is not None or code in _STATE_OF_THE_STORE or error.connection_invalidated
    if not of_the_store and not isinstance(error, OperationalError | InterfaceError):
        return None
    refusal = refusals.read(error, grant=_GRANT)
    causes.note(code or (refusal.sqlstate if refusal else "") or type(cause).__name__, _words(cause, refusal))
    if saving and error.connection_invalidated and code != READ_ONLY:
        return StoreUnavailable(_UNKNOWN)
    if known is None and isinstance(cause, Silent | ConnectionTimeout):
        known = _SILENT
    if known is None and error.connection_invalidated:
        known = _LOST
    return StoreUnavailable(known or _refused(refusal))


def word_of(error: BaseException) -> str:
    """Return what readiness calls the state of a database that refuses so: one of :data:`WORDS`, else ``unreachable``."""
    refusal = refusals.read(error)
    code = refusal.sqlstate if refusal else ""
    return WORDS.get(code) or WORDS.get(code[:2]) or "unreachable"


def _refused(refusal: refusals.Refusal | None) -> str:
    """Return what people are told; the server's own words, which may name a role or a host, are for the log."""
    if refusal is None or refusal.reason.startswith("the server says"):
        return _AWAY
    cure = f"Whoever runs LLM Settings: {refusal.cure}."
    if refusal.lasting:
        return f"The database cannot be used: {refusal.reason}. {_UNSAVED}. {cure}"
    again = f"The database cannot be reached: {refusal.reason}. {_UNSAVED}; try again in a moment."
    return f"{again} {cure}" if refusal.sqlstate == refusals.FULL else again


def _words(cause: Any, refusal: refusals.Refusal | None) -> str:
    """Return the reason for the log, on one line: never DETAIL, which has values, nor a driver's text, which has the URL's."""
    message = getattr(getattr(cause, "diag", None), "message_primary", None)
    if message is None and isinstance(cause, Silent):
        message = str(cause)
    return scrub(" ".join((message or str(refusal or type(cause).__name__)).split()))[:_SHOWN]
