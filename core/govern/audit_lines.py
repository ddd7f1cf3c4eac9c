"""The audit as lines of JSON on standard output, as it happens: each event at least once, in the order of ``seq``.

The place up to which it was written is a row of ``audit_lines``. One process at a time has the right to go on from there, for
:data:`LEASE` seconds; it writes outside of any transaction, and notes the place only then. Who is killed in between has its last
events written again by the next one.
"""

import json
import logging
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ..config import get_config, writes_audit_lines
from ..errors import CoreError
from ..postgres import threads
from ..redaction import scrub
from ..store import db

LOOK: Final = 1.0
"""Seconds between two looks, about."""
TIRED: Final = 10.0
"""Seconds until the next look, where one failed."""
LEASE: Final = 30.0
"""Seconds for which a process has its turn, by the database's clock: so long nobody else writes after a kill."""
AT_ONCE: Final = 200
"""Events that are read and written at a time; more wait in the database, never in memory."""
TYPE: Final = "audit"
"""What each line says of itself: it stands among the lines of the log."""
_WHERE: Final = "stdout"

_log = logging.getLogger(__name__)
_BEGIN: Final = text("""
    INSERT INTO audit_lines (target, seq) SELECT :target, seq FROM audit_head ON CONFLICT DO NOTHING
""")
_BEHIND: Final = text("""
    SELECT coalesce((SELECT l.seq < h.seq AND (l.run IS NULL OR l.run = :run OR l.run_until < clock_timestamp()
        OR l.run_until > clock_timestamp() + make_interval(secs => :lease))
        FROM audit_lines l WHERE l.target = :target), true) FROM audit_head h
""")
_CLAIM: Final = text("""
    UPDATE audit_lines SET run = :run, run_until = clock_timestamp() + make_interval(secs => :lease) WHERE target = (
        SELECT target FROM audit_lines WHERE target = :target AND (run IS NULL OR run = :run OR run_until < clock_timestamp()
            OR run_until > clock_timestamp() + make_interval(secs => :lease)) FOR UPDATE SKIP LOCKED
    ) RETURNING seq
""")
_EVENTS: Final = text("""
    SELECT seq, hash, at, actor, actor_id, address, action, target_type, target_id, target, changes
    FROM audit_events WHERE seq > :seq ORDER BY seq LIMIT :most
""")
_NOTE: Final = text("UPDATE audit_lines SET seq = :seq WHERE target = :target AND run = :run AND seq < :seq")
_LEAVE: Final = text("UPDATE audit_lines SET run = NULL, run_until = NULL WHERE target = :target AND run = :run")


def line_of(event: Any) -> str:
    """Return an event as one line: JSON in ASCII, so that nothing in it ends the line or moves a terminal's cursor."""
    said = {"type": TYPE, **event._asdict(), "at": event.at.isoformat()}
    return json.dumps(said, separators=(",", ":"), default=str) + "\n"


def to_stdout(lines: str) -> None:
    """Write *lines* to standard output, at once."""
    sys.stdout.write(lines)
    sys.stdout.flush()


class AuditLines:
    """The thread that writes; it does nothing unless ``LLM_AUDIT_LINES`` says so.

    Args:
        write: Takes some whole lines, and returns once they are written.
        look: Seconds between two looks, about.
        lease: As :data:`LEASE`.
    """

    def __init__(self, write: Callable[[str], object] = to_stdout, *, look: float = LOOK, lease: float = LEASE) -> None:
        self._write, self._every = write, look
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self._lease = lease
        self._given = {"target": _WHERE, "run": uuid.uuid4().hex, "lease": lease}
        self._last_words = ""

    def start(self) -> None:
        """Start the thread, if events are to be written. Where none can be started, that is logged."""
        if not writes_audit_lines(get_config()):
            return
        try:
            self._thread = threads.start(self._run, "llm-settings audit lines")
        except threads.NoThread as error:
            _log.warning("The audit is not written by this process: %s.", error)

    def close(self) -> None:
        """Write what is there, and end the thread, in some seconds at most; what is not written by then the next process writes."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def look(self) -> int:
        """Write what is new, and return how many events it was; none where another process has its turn.

        Raises:
            StoreUnavailable: As everywhere.
            OSError, ValueError: If nothing can be written: the place stays, and the events are written later.
        """
        with db.transaction() as session:
            if not session.scalar(_BEHIND, self._given):
                return 0
        written = 0
        until = time.monotonic() + self._lease / 2
        while events := db.retrying(self._take):
            self._write("".join(map(line_of, events)))
            last = events[-1].seq
            db.retrying(partial(self._note, seq=last))
            written += len(events)
            if len(events) < AT_ONCE or (self._leaving.is_set() and time.monotonic() > until):
                break
        return written

    def _take(self, session: Session) -> list[Any]:
        db.require_writable(session)
        session.execute(_BEGIN, self._given)
        found = session.execute(_CLAIM, self._given).one_or_none()
        if found is None:
            return []
        return list(session.execute(_EVENTS, {"seq": found.seq, "most": AT_ONCE}))

    def _note(self, session: Session, seq: int) -> None:
        db.require_writable(session)
        session.execute(_NOTE, {**self._given, "seq": seq})

    def _leave(self, session: Session) -> None:
        db.require_writable(session)
        session.execute(_LEAVE, self._given)

    def _run(self) -> None:
        pause = self._every
        while not self._leaving.wait(pause * random.uniform(0.8, 1.1)):  # noqa: S311 - processes started together spread
            pause = self._every if self._looked() else max(self._every, TIRED)
        if self._looked():
            try:
                db.retrying(self._leave)
            except CoreError as error:
                self._complain(error)

    def _looked(self) -> bool:
        try:
            self.look()
        except CoreError:  # the database is away: logged where that is found out
            return False
        except Exception as error:  # noqa: BLE001 - standard output may be closed or full for a while
            self._complain(error)
            return False
        return True

    def _complain(self, error: Exception) -> None:
        words = scrub(f"{type(error).__name__}: {error}")
        if words != self._last_words:
            self._last_words = words
            _log.error("The audit is not written to standard output: %s", words)
