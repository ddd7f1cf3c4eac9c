"""The outbox of this process: a thread looks each second for what is to be told, and sends it.

Each receiver that something is sent to has a thread of its own meanwhile: one that hangs holds up nobody else, and nobody
waits for it when the process ends.
"""

import logging
import random
import threading
import time
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ..errors import CoreError
from ..postgres import threads
from ..redaction import scrub
from ..store import db
from ..store.notification_tables import TARGET_KINDS
from . import alert_events, outbox_events, outbox_sending

LOOK: Final = 1.0
"""Seconds between two looks, about: so long a change waits at most before it is sent, where nothing else does."""
TIRED: Final = 10.0
"""Seconds until the next look, where one failed."""
LAST: Final = 1.0
"""Seconds that what is being sent has left, in all, when the process ends."""
AT_ONCE: Final = 2
"""Transactions of senders at a time: pages and REST need the connections."""

_log = logging.getLogger(__name__)
_LOOK: Final = text("""
    SELECT t.id, t.generation < g.generation AS behind, EXISTS (
        SELECT 1 FROM notification_deliveries d WHERE d.target_id = t.id AND d.done_at IS NULL AND d.failed_at IS NULL
            AND d.next_at <= clock_timestamp()
    ) AS due
    FROM notification_targets t, settings_generation g WHERE t.is_active AND t.kind = ANY(:kinds) ORDER BY t.id
""").bindparams(kinds=list(TARGET_KINDS))


class Outbox:
    """The thread, and those that it starts.

    Args:
        look: Seconds between two looks, about.
    """

    def __init__(self, *, look: float = LOOK) -> None:
        self._every = look
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self._senders: dict[int, threading.Thread] = {}
        self._connections = threading.BoundedSemaphore(AT_ONCE)
        self._last_words = ""

    def start(self) -> None:
        """Start the thread. Where none can be started, that is logged: the other processes do it."""
        try:
            self._thread = threads.start(self._run, "llm-settings outbox")
        except threads.NoThread as error:
            _log.warning("Nobody is told by this process: %s.", error)

    def close(self) -> None:
        """End the thread, in some seconds at most. What is being sent now is left: it is noted in time, or sent again."""
        self._leaving.set()
        if self._thread is not None:
            self._thread.join(5.0)
        until = time.monotonic() + LAST
        for sender in list(self._senders.values()):
            sender.join(max(until - time.monotonic(), 0.0))

    def look(self) -> None:
        """Look once: write what is to be told, and have each receiver that something is due to sent it."""
        with db.transaction() as session:
            waiting = session.scalar(alert_events.WAITING)
        while waiting and not self._leaving.is_set() and db.retrying(_fan_out_alerts):
            pass
        with db.transaction() as session:
            found: list[Any] = list(session.execute(_LOOK))
        due = {row.id for row in found if row.due}
        if any(row.behind for row in found):
            while not self._leaving.is_set() and db.retrying(_fan_out):
                pass
            due |= {row.id for row in found if row.behind}
        for target_id in due:
            self._begin(target_id)

    def _begin(self, target_id: int) -> None:
        sender = self._senders.get(target_id)
        if (sender is None or not sender.is_alive()) and not self._leaving.is_set():
            self._senders[target_id] = threads.start(self._send, f"llm-settings receiver {target_id}", target_id)

    def _send(self, target_id: int) -> None:
        try:
            while not self._leaving.is_set() and outbox_sending.send_next(target_id, self._connections):
                pass
        except CoreError:  # the database is away: logged where that is found out
            pass
        except Exception as error:  # noqa: BLE001 - one bad message must not be the last one
            self._complain(error)

    def _run(self) -> None:
        pause = self._every
        while not self._leaving.wait(pause * random.uniform(0.8, 1.1)):  # noqa: S311 - processes started together spread
            pause = self._every
            try:
                self.look()
            except CoreError:  # as above
                pause = max(pause, TIRED)
            except threads.NoThread as error:
                self._complain(error)
            except Exception as error:  # noqa: BLE001 - one bad look must not be the last one
                pause = max(pause, TIRED)
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        words = scrub(f"{type(error).__name__}: {error}")
        if words != self._last_words:
            self._last_words = words
            _log.error("Receivers are not told: %s", words, exc_info=error)


def _fan_out(session: Session) -> int:
    db.set_actor(session, outbox_sending.ACTOR.name)
    db.require_writable(session)
    return outbox_events.fan_out(session)


def _fan_out_alerts(session: Session) -> int:
    db.set_actor(session, outbox_sending.ACTOR.name)
    db.require_writable(session)
    return alert_events.fan_out_alerts(session)
