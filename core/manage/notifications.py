"""Webhooks: who is told of changes. Made, changed and deleted by admins, on record; what is sent: :mod:`core.govern.outbox`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, delete, func, select, update

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..calling import webhook
from ..config import get_config
from ..crypto import get_ring, mask
from ..errors import AlreadyExists, Invalid, NotFound
from ..store import sealed, violations
from ..store.notification_schemas import WebhookInput
from ..store.notification_tables import NotificationDelivery, NotificationTarget
from ..store.schemas import could_be_id, validate
from ..store.sealed import SealedColumn
from ..store.table import id_of
from ..store.versions import refuse_stale
from . import keys

FIELDS: Final = tuple(WebhookInput.model_fields)
MOST: Final = 20
"""Webhooks of a store: each has a thread of its own while something is sent to it, so that none waits for another."""
BOTH_SIGN: Final = timedelta(hours=24)
"""So long the secret before signs beside the new one."""
TEST: Final = "webhook.test"
"""The type of the message that a test sends; it is tried once."""
WEBHOOK: Final = "webhook"
MOST_LISTED: Final = 100
_NOW: Any = func.clock_timestamp()
SWITCHED_OFF: Final = "The webhook was switched off"


class ListedWebhook(NamedTuple):
    """A webhook, and how it goes."""

    row: NotificationTarget
    waiting: int
    oldest: datetime | None
    """Since when the oldest message waits."""
    last: NotificationDelivery | None
    """The one that was tried last."""


def list_all(session: Session, actor: Actor) -> list[ListedWebhook]:
    """Return every webhook, by name.

    Raises:
        Forbidden: Unless *actor* is an admin: a URL may have a token in it.
    """
    require(session, actor, "webhook.list")
    delivery = NotificationDelivery
    waits = (col(delivery.done_at).is_(None), col(delivery.failed_at).is_(None), col(delivery.event) != TEST)
    counted: Any = select(delivery.target_id, func.count(), func.min(delivery.created_at)).where(*waits)
    waiting = {
        target: (number, oldest) for target, number, oldest in session.exec(counted.group_by(delivery.target_id))
    }
    rows = session.exec(select(NotificationTarget).where(NotificationTarget.kind == WEBHOOK))
    return [
        ListedWebhook(row, *waiting.get(id_of(row), (0, None)), _last(session, id_of(row)))
        for row in sorted(rows, key=lambda row: (row.name.lower(), id_of(row)))
    ]


def _last(session: Session, target_id: int) -> NotificationDelivery | None:
    """Return what was tried last, of the newest hundred: an index leads there, whatever the number of messages."""
    newest = (
        select(NotificationDelivery.id)
        .where(NotificationDelivery.target_id == target_id)
        .order_by(col(NotificationDelivery.id).desc())
        .limit(MOST_LISTED)
    )
    found = select(NotificationDelivery).where(
        col(NotificationDelivery.id).in_(newest), col(NotificationDelivery.last_at).is_not(None)
    )
    return session.exec(found.order_by(col(NotificationDelivery.last_at).desc()).limit(1)).first()


def get(session: Session, actor: Actor, target_id: int) -> NotificationTarget:
    """Return a webhook; raises Forbidden, NotFound."""
    require(session, actor, "webhook.list")
    return _row(session, target_id)


def by_name(session: Session, actor: Actor, name: str) -> NotificationTarget:
    """Return the webhook called *name*; raises Forbidden, NotFound."""
    require(session, actor, "webhook.list")
    found = select(NotificationTarget).where(NotificationTarget.name == name, NotificationTarget.kind == WEBHOOK)
    row = session.exec(found).one_or_none() if "\x00" not in name else None
    if row is None:
        raise NotFound("webhook", name)
    return row


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> tuple[NotificationTarget, str]:
    """Make a webhook; *data* is a :class:`~core.store.notification_schemas.WebhookInput`. It hears of what changes from now on.

    Returns:
        The row, and its secret: that is shown once.

    Raises:
        Forbidden, Invalid, Sealed: As everywhere; Invalid also if there are :data:`MOST` already.
        AlreadyExists: If a webhook has the name.
    """
    require(session, actor, "webhook.create")
    wanted = validate(WebhookInput, data)
    webhook.check(wanted.url, get_config().private_hosts)
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('notification_targets'))")
    )  # two at once are counted both
    if (session.scalar(select(func.count()).select_from(NotificationTarget)) or 0) >= MOST:
        raise Invalid({"name": f"is one too many: there are at most {MOST} webhooks. Delete one that is not needed"})
    row = NotificationTarget(
        **wanted.model_dump(),
        id=session.scalar(text("SELECT nextval(pg_get_serial_sequence('notification_targets', 'id'))")),
        generation=_generation(session),
    )
    secret = webhook.new_secret()
    _seal(session, row, sealed.TARGET_SECRET, secret)
    row.signing_set_at = session.scalar(select(_NOW))
    session.add(row)
    violations.flush(session, AlreadyExists("webhook", wanted.name))
    session.refresh(row)
    made = {"url": (None, webhook.shown(row.url)), "events": (None, row.events), "is_active": (None, row.is_active)}
    record(session, actor, "webhook.create", _target(row), made)
    return row, secret


def update_target(
    session: Session, actor: Actor, target_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> NotificationTarget:
    """Change the fields that *patch* names: ``name``, ``url``, ``events``, ``is_active``.

    Switched off, what waits for it is given up; switched on, it hears of what changes from then on. Another host keeps the
    secret, which signs and is never sent.

    Args:
        session: The transaction.
        actor: An admin.
        target_id: Which.
        patch: Field -> value.
        version: The version that the edit was based on; None writes whatever is there.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, AlreadyExists: As everywhere.
        KeyUnreadable: If it is to have another host, and its secret cannot be opened to be bound to that: exchange it first.
    """
    require(session, actor, "webhook.update")
    row = _row(session, target_id, lock=True)
    refuse_stale(WEBHOOK, row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    wanted = validate(WebhookInput, {**before, **patch}).model_dump()
    if wanted == before:
        return row
    if wanted["url"] != before["url"]:
        webhook.check(wanted["url"], get_config().private_hosts)
        plain = open_secrets(session, row)
        row.url = wanted["url"]
        _seal(session, row, sealed.TARGET_SECRET, plain[0])
        if len(plain) > 1:
            _seal(session, row, sealed.FORMER_TARGET_SECRET, plain[1])
    for name, value in wanted.items():
        setattr(row, name, value)
    if row.is_active and not before["is_active"]:
        row.off_reason = row.off_at = row.failing_since = None
        row.generation = _generation(session)
    if before["is_active"] and not row.is_active:
        give_up(session, target_id, SWITCHED_OFF)
    violations.flush(session, AlreadyExists(WEBHOOK, row.name))
    session.refresh(row)
    changes = changes_between(before, wanted, FIELDS)
    if "url" in changes:
        was, now = webhook.shown(before["url"]), webhook.shown(wanted["url"])
        changes["url"] = (was, now if now != was else f"{now} (another path)")
    record(session, actor, "webhook.update", _target(row), changes)
    return row


def remove(session: Session, actor: Actor, target_id: int, *, version: int | None = None) -> str:
    """Delete a webhook and its messages; returns its name.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere.
    """
    require(session, actor, "webhook.delete")
    row = _row(session, target_id, lock=True)
    refuse_stale(WEBHOOK, row, version, {})
    session.exec(delete(NotificationDelivery).where(col(NotificationDelivery.target_id) == target_id))
    session.delete(row)
    session.flush()
    record(session, actor, "webhook.delete", _target(row), {"url": (webhook.shown(row.url), None)})
    return row.name


def exchange_secret(
    session: Session, actor: Actor, target_id: int, *, at_once: bool = False
) -> tuple[NotificationTarget, str]:
    """Give a webhook a new secret. For a day the one before signs beside it; *at_once*: no more, for it is known to others.

    Returns:
        The row, and the new secret: that is shown once.

    Raises:
        Forbidden, NotFound, Sealed: As everywhere.
    """
    require(session, actor, "webhook.exchange_secret")
    row = _row(session, target_id, lock=True)
    former = None if at_once else _open(session, row, sealed.TARGET_SECRET)
    secret, set_at = webhook.new_secret(), row.signing_set_at
    _seal(session, row, sealed.TARGET_SECRET, secret)
    row.signing_set_at = session.scalar(select(_NOW))
    if former is None:
        row.former_encrypted = row.former_masked = row.former_key_id = row.former_binding = row.former_fingerprint = (
            None
        )
        row.former_set_at = row.both_until = None
    else:
        _seal(session, row, sealed.FORMER_TARGET_SECRET, former)
        row.former_set_at, row.both_until = set_at, session.scalar(select(_NOW + BOTH_SIGN))
    session.flush()
    session.refresh(row)
    record(session, actor, "webhook.exchange_secret", _target(row), {"both_until": (None, row.both_until)})
    return row, secret


def begin_test(session: Session, actor: Actor, target_id: int) -> int:
    """Write the message of a test, which is sent by whoever wrote it once that is committed; returns its id.

    Raises:
        Forbidden, NotFound: As everywhere.
    """
    require(session, actor, "webhook.test")
    row = _row(session, target_id)
    now: datetime = session.scalars(select(_NOW)).one()
    message = {"type": TEST, "timestamp": now.isoformat(), "data": {"webhook": row.name}}
    delivery = NotificationDelivery(
        target_id=target_id,
        event=TEST,
        webhook_id=webhook.new_id(),
        payload=message,
        next_at=now + timedelta(days=3650),  # nobody takes it but who wrote it
    )
    session.add(delivery)
    session.flush()
    record(session, actor, "webhook.test", _target(row), {"url": (None, webhook.shown(row.url))})
    return id_of(delivery)


def deliveries(
    session: Session, actor: Actor, target_id: int, *, before: int | None = None, limit: int = MOST_LISTED
) -> list[NotificationDelivery]:
    """Return messages to a webhook, the newest first; *before*: those with a smaller id.

    Raises:
        Forbidden, NotFound: As everywhere.
    """
    require(session, actor, "webhook.list")
    _row(session, target_id)
    found = select(NotificationDelivery).where(NotificationDelivery.target_id == target_id)
    if before is not None:
        found = found.where(col(NotificationDelivery.id) < before)
    return list(session.exec(found.order_by(col(NotificationDelivery.id).desc()).limit(limit)))


def resend(session: Session, actor: Actor, target_id: int, delivery_id: int) -> NotificationDelivery:
    """Have a message sent again, from the first try on, with the id that it had: who took it before drops it.

    Raises:
        Forbidden, NotFound: As everywhere.
        Invalid: If the webhook is off, or the message waits already, or is a test.
    """
    require(session, actor, "webhook.resend")
    target = _row(session, target_id, lock=True)
    row = session.get(NotificationDelivery, delivery_id, with_for_update=True) if 0 < delivery_id < 2**63 else None
    if row is None or row.target_id != target_id:
        raise NotFound("delivery", delivery_id)
    if not target.is_active:
        raise Invalid({"webhook": "is switched off: switch it on first"})
    if row.event == TEST:
        raise Invalid({"delivery": "is a test: send another one"})
    if row.done_at is None and row.failed_at is None:
        raise Invalid({"delivery": "waits to be sent already"})
    row.done_at = row.failed_at = None
    row.tries = 0
    row.next_at = session.scalars(select(_NOW)).one()
    session.flush()
    session.refresh(row)
    record(session, actor, "webhook.resend", _target(target), {"webhook_id": (None, row.webhook_id)})
    return row


def give_up(session: Session, target_id: int, why: str) -> int:
    """End what waits for a webhook, as failed; returns how many messages it was."""
    row = NotificationDelivery
    waiting = (
        col(row.target_id) == target_id,
        col(row.done_at).is_(None),
        col(row.failed_at).is_(None),
        col(row.event) != TEST,
    )
    ended = update(row).where(*waiting).values(failed_at=_NOW, last_error=func.coalesce(row.last_error, why))
    return int(session.exec(ended.execution_options(synchronize_session=False)).rowcount)


def open_secrets(session: Session, row: NotificationTarget) -> list[str]:
    """Return the secrets that messages to a webhook are signed with now, the newest first. Internal: nobody is shown them.

    Raises:
        KeyUnreadable: If the current one cannot be opened.
    """
    found = [_open(session, row, sealed.TARGET_SECRET)]
    until = row.both_until
    if row.former_encrypted and until is not None and session.scalar(select(until > _NOW)):
        found.append(_open(session, row, sealed.FORMER_TARGET_SECRET))
    return found


def _open(_session: Session, row: NotificationTarget, column: SealedColumn) -> str:
    stored = [getattr(row, f"{column.name}_{part}") for part in ("encrypted", "key_id", "binding")]
    return get_ring().open(stored[0] or "", stored[1], stored[2], column.place(row))


def _seal(session: Session, row: NotificationTarget, column: SealedColumn, plain: str) -> None:
    ring = get_ring()
    with session.no_autoflush:  # half of a change would be an edit of its own
        keys.require_known(session, ring)
    stored = ring.seal(plain, column.place(row))
    parts = ("encrypted", "key_id", "binding", "masked", "fingerprint")
    values = (*stored, mask(plain), sealed.fingerprint(ring, plain, stored))
    for part, value in zip(parts, values, strict=True):
        setattr(row, f"{column.name}_{part}", value)


def _generation(session: Session) -> int:
    return session.scalar(text("SELECT generation FROM settings_generation")) or 0


def _row(session: Session, target_id: int, *, lock: bool = False) -> NotificationTarget:
    row = None
    if could_be_id(target_id):
        row = session.get(NotificationTarget, target_id, with_for_update=lock or None, populate_existing=True)
    if row is None or row.kind != WEBHOOK:
        raise NotFound("webhook", target_id)
    return row


def _target(row: NotificationTarget) -> Target:
    return Target("webhook", row.id, row.name)
