"""Sending what receivers are to be told: a message is taken, sent outside of any transaction, and noted.

Who takes a message puts off its next try by :data:`LEASE`: so no other process sends it meanwhile, and should this one be
killed before it notes what became of it, it is sent again with the same id. See docs/decisions/one-outbox.md.
"""

import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ..actors import WEBHOOKS
from ..audit.record import Target, record
from ..calling.webhook import Sent
from ..errors import KeyUnreadable
from ..manage import notification_secrets, notifications
from ..store import db
from ..store.notification_tables import NotificationTarget
from . import outbox_delivery
from .outbox_delivery import Taken

ACTOR: Final = WEBHOOKS
"""Who switches a receiver off, in the audit."""
PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600))
"""Between a try that failed and the next one; behind the last it is given up. Those of the specification."""
SPREAD: Final = 0.1
"""So much of a pause is left to chance: what failed together is not tried again together."""
LEASE: Final = timedelta(seconds=60)
"""So long a message is left alone by others once it is taken; sending it takes :data:`core.calling.mail.SECONDS` at most."""
OFF_AFTER: Final = timedelta(days=5)
"""A receiver that nothing could be sent to for so long is switched off."""
UNREADABLE: Final = timedelta(minutes=1)
"""Until the next try where this process cannot open the secret: another one may, and it is no fault of the receiver."""
NO_LIMIT: Final = nullcontext()
_SHOWN: Final = 500

_log = logging.getLogger(__name__)


_TAKE: Final = """
    UPDATE notification_deliveries SET tries = tries + 1, next_at = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = (
        SELECT id FROM notification_deliveries WHERE {which} AND done_at IS NULL AND failed_at IS NULL
        ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, target_id, event, webhook_id, payload, recipients, tries, extract(epoch FROM clock_timestamp())::bigint AS timestamp
"""
_NEXT: Final = text(_TAKE.format(which="target_id = :target AND next_at <= clock_timestamp()"))
_THIS: Final = text(_TAKE.format(which="id = :id"))
_NOTE: Final = """
    UPDATE notification_deliveries SET last_at = clock_timestamp(), last_status = :status, last_error = :error, {what}
    WHERE id = :id AND tries = :tries AND done_at IS NULL AND failed_at IS NULL RETURNING id
"""
_DONE: Final = text(_NOTE.format(what="done_at = clock_timestamp()"))
_FAILED: Final = text(_NOTE.format(what="failed_at = clock_timestamp()"))
_AGAIN: Final = text(
    _NOTE.format(
        what="recipients = coalesce(CAST(:left AS jsonb), recipients), next_at = clock_timestamp() + make_interval(secs => :pause * (1 + :spread * (2 * random() - 1)))"
    )
)
_LEAVE_ALONE: Final = text("""
    UPDATE notification_deliveries SET next_at = clock_timestamp() + make_interval(secs => :wait)
    WHERE id IN (
        SELECT id FROM notification_deliveries WHERE target_id = :target AND done_at IS NULL AND failed_at IS NULL
            AND next_at < clock_timestamp() + make_interval(secs => :wait) ORDER BY id FOR UPDATE SKIP LOCKED
    )
""")
_PUT_OFF: Final = text("""
    UPDATE notification_deliveries SET tries = tries - 1, last_error = :error,
        next_at = clock_timestamp() + make_interval(secs => :pause)
    WHERE id = :id AND tries = :tries AND done_at IS NULL AND failed_at IS NULL
""")
_WORKS: Final = text(
    "UPDATE notification_targets SET failing_since = NULL WHERE id = :id AND failing_since IS NOT NULL"
)
_FAILS: Final = text("""
    UPDATE notification_targets SET failing_since = coalesce(failing_since, clock_timestamp()) WHERE id = :id
    RETURNING failing_since < clock_timestamp() - make_interval(secs => :after)
""")


def send_next(target_id: int, slots: AbstractContextManager[Any] = NO_LIMIT) -> bool:
    """Send the next message that is due to a receiver; returns whether there was one.

    Args:
        target_id: The receiver.
        slots: Held during each of the two transactions, and not while the receiver is waited for.

    Raises:
        StoreUnavailable: As everywhere; what was sent and not noted is sent again.
    """
    return _send(lambda session: _take(session, _NEXT, {"target": target_id}), slots=slots)


def send_test(delivery_id: int) -> Sent | None:
    """Send the message of a test, and return what became of it; None: the receiver was deleted meanwhile.

    Raises:
        KeyUnreadable: If the secret cannot be opened.
        StoreUnavailable: As everywhere.
    """
    found: list[Sent] = []
    _send(lambda session: _take(session, _THIS, {"id": delivery_id}, strict=True), found.append)
    return found[0] if found else None


def _send(
    take: Callable[[Session], Taken | None],
    then: Callable[[Sent], object] = lambda _: None,
    *,
    slots: AbstractContextManager[Any] = NO_LIMIT,
) -> bool:
    with slots:
        taken = db.retrying(take)
    if taken is None:
        return False
    if taken.ready:
        sent = outbox_delivery.deliver(taken)
        with slots:
            db.retrying(lambda session: note(session, taken, sent))
        then(sent)
    return True


def _take(session: Session, which: Any, given: dict[str, Any], *, strict: bool = False) -> Taken | None:
    db.set_actor(session, ACTOR.name)
    db.require_writable(session)
    row = session.execute(which, {**given, "lease": LEASE.total_seconds()}).one_or_none()
    if row is None:
        return None
    target = session.get(NotificationTarget, row.target_id, populate_existing=True)
    if target is None or not (target.is_active or strict):
        return None  # its messages are given up by whoever switched it off
    taken = Taken(
        row.id,
        row.target_id,
        target.kind,
        target.name,
        row.event,
        row.webhook_id,
        row.payload,
        row.tries,
        row.timestamp,
        target.url or "",
        tuple(target.recipients or ()),
        tuple(row.recipients or target.recipients or ()),
    )
    try:
        return taken._replace(secrets=tuple(notification_secrets.open_secrets(session, target)))
    except KeyUnreadable as error:
        if strict:
            raise
        given = {"id": row.id, "tries": row.tries, "pause": UNREADABLE.total_seconds(), "error": str(error)[:_SHOWN]}
        session.execute(_PUT_OFF, given)
        return taken._replace(ready=False)


def note(session: Session, taken: Taken, sent: Sent) -> None:
    """Write down what became of a try; a message that somebody else has taken meanwhile, or ended, is left as it is."""
    db.set_actor(session, ACTOR.name)
    given = {"id": taken.id, "tries": taken.tries, "status": sent.status, "error": sent.error or None}
    of_target = {"id": taken.target_id, "after": OFF_AFTER.total_seconds()}
    if sent.ok:
        if session.execute(_DONE, given).one_or_none() is not None:
            session.execute(_WORKS, of_target)
        return
    is_test, is_over = taken.event == notifications.TEST, sent.final or bool(sent.gone)
    if taken.tries <= len(PAUSES) and not is_test and not is_over:
        left = json.dumps(sent.left) if sent.left else None
        pause = {"pause": PAUSES[taken.tries - 1].total_seconds(), "spread": SPREAD, "left": left}
        if session.execute(_AGAIN, {**given, **pause}).one_or_none() is not None:
            session.execute(_WORKS if sent.some else _FAILS, of_target)
            if sent.wait:  # this message and what else waits for the receiver
                session.execute(_LEAVE_ALONE, {"target": taken.target_id, "wait": sent.wait})
        return
    if session.execute(_FAILED, given).one_or_none() is None or is_test:
        return
    _log.warning("A message to %s is given up: %s", taken.name, sent.error)
    for_long = not sent.some and session.execute(_FAILS, of_target).scalar_one_or_none()
    if sent.gone:
        switch_off(session, taken.target_id, sent.gone)
    elif for_long:
        days = OFF_AFTER.days
        switch_off(session, taken.target_id, f"Nothing could be sent to it for {days} days; at last: {sent.error}")


def switch_off(session: Session, target_id: int, why: str) -> None:
    """Switch a receiver off, on record, and give up what waits for it."""
    row = session.get(NotificationTarget, target_id, with_for_update=True, populate_existing=True)
    if row is None or not row.is_active:
        return
    row.is_active, row.off_reason = False, why[:_SHOWN]
    row.off_at = session.scalars(text("SELECT clock_timestamp()")).one()
    session.flush()
    given_up = notifications.give_up(session, target_id, notifications.SWITCHED_OFF)
    changes = {"is_active": (True, False), "reason": (None, why), "given_up": (None, given_up)}
    record(session, ACTOR, "webhook.switch_off", Target("webhook", row.id, row.name), changes)
    _log.warning("The receiver %s is switched off: %s", row.name, why)
