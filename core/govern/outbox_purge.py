"""Old messages to webhooks, and secrets that ended, are deleted: periodic work."""

from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from ..manage import notifications
from ..store.db import Transact

DONE_DAYS: Final = 7
"""So long a message that was delivered stays listed."""
FAILED_DAYS: Final = 30
"""So long one that was given up does, and can be sent again."""
AT_ONCE: Final = 10_000
TEST_FOR: Final = timedelta(minutes=10)
"""A test that ended no sooner was left by a process that was killed."""

_OLD: Final = """
    DELETE FROM notification_deliveries WHERE id IN (
        SELECT id FROM notification_deliveries WHERE {ended} < clock_timestamp() - make_interval(days => :days)
        ORDER BY {ended} LIMIT :most
    )
"""
_ENDED: Final = (("done_at", DONE_DAYS), ("failed_at", FAILED_DAYS))
_TESTS: Final = text("""
    UPDATE notification_deliveries SET failed_at = clock_timestamp(), last_error = 'The process that sent it ended'
    WHERE event = :event AND done_at IS NULL AND failed_at IS NULL AND created_at < clock_timestamp() - make_interval(secs => :age)
""")
_SECRETS: Final = text("""
    UPDATE notification_targets SET former_encrypted = NULL, former_masked = NULL, former_key_id = NULL, former_binding = NULL,
        former_fingerprint = NULL, former_set_at = NULL, both_until = NULL
    WHERE both_until < clock_timestamp()
""")


def purge(transact: Transact) -> int:
    """Delete what is old, and return how many messages it was."""
    transact(_tidy)
    removed = 0
    for column, days in _ENDED:
        found = AT_ONCE
        while found == AT_ONCE:
            found = transact(partial(_delete, column=column, days=days))
            removed += found
    return removed


def _delete(session: Session, column: str, days: int) -> int:
    given = {"days": days, "most": AT_ONCE}
    return int(session.execute(text(_OLD.format(ended=column)), given).rowcount)  # type: ignore[attr-defined]  # a CursorResult


def _tidy(session: Session) -> None:
    session.execute(_TESTS, {"event": notifications.TEST, "age": TEST_FOR.total_seconds()})
    session.execute(_SECRETS)
