"""Who is told of what happens here: programs, channels of Slack, people by e-mail. Made, changed and deleted by admins, on record; what is sent: :mod:`core.govern.outbox`."""

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
from ..errors import AlreadyExists, Invalid, NotFound
from ..store import sealed, violations
from ..store.notification_schemas import INPUTS, TargetInput
from ..store.notification_tables import TARGET_KINDS, NotificationDelivery, NotificationTarget
from ..store.schemas import could_be_id, validate
from ..store.table import id_of
from ..store.versions import refuse_stale
from .notification_secrets import address_of, open_one, seal, set_address

FIELDS: Final = ("kind", "name", "url", "recipients", "events", "is_active")
MOST: Final = 20
"""So many are told at most: each has a thread of its own while something is sent to it, so that none waits for another."""
BOTH_SIGN: Final = timedelta(hours=24)
"""So long the secret before signs beside the new one."""
TEST: Final = "webhook.test"
"""The type of the message that a test sends; it is tried once."""
WEBHOOK, SLACK, EMAIL = TARGET_KINDS
THING: Final = "receiver"
"""What one is, for people."""
MOST_LISTED: Final = 100
_NOW: Any = func.clock_timestamp()
SWITCHED_OFF: Final = "The receiver was switched off"


class ListedWebhook(NamedTuple):
    """Who is told, and how it goes."""

    row: NotificationTarget
    waiting: int
    oldest: datetime | None
    """Since when the oldest message waits."""
    last: NotificationDelivery | None
    """The one that was tried last."""


def list_all(session: Session, actor: Actor) -> list[ListedWebhook]:
    """Return all who are told, by name.

    Raises:
        Forbidden: Unless *actor* is an admin: the URL of a program may have a token in it.
    """
    require(session, actor, "webhook.list")
    delivery = NotificationDelivery
    waits = (col(delivery.done_at).is_(None), col(delivery.failed_at).is_(None), col(delivery.event) != TEST)
    counted: Any = select(delivery.target_id, func.count(), func.min(delivery.created_at)).where(*waits)
    waiting = {
        target: (number, oldest) for target, number, oldest in session.exec(counted.group_by(delivery.target_id))
    }
    rows = session.exec(select(NotificationTarget).where(col(NotificationTarget.kind).in_(TARGET_KINDS)))
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
    """Return who has this id; raises Forbidden, NotFound."""
    require(session, actor, "webhook.list")
    return _row(session, target_id)


def by_name(session: Session, actor: Actor, name: str) -> NotificationTarget:
    """Return who is called *name*; raises Forbidden, NotFound."""
    require(session, actor, "webhook.list")
    found = select(NotificationTarget).where(
        NotificationTarget.name == name, col(NotificationTarget.kind).in_(TARGET_KINDS)
    )
    row = session.exec(found).one_or_none() if "\x00" not in name else None
    if row is None:
        raise NotFound(THING, name)
    return row


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> tuple[NotificationTarget, str]:
    """Add who is told; *data* is one of :data:`~core.store.notification_schemas.INPUTS`, with its ``kind``. It hears of what comes from now on.

    Returns:
        The row, and of a webhook its secret, which is shown once; else an empty text.

    Raises:
        Forbidden, Invalid, Sealed: As everywhere; Invalid also if there are :data:`MOST` already.
        AlreadyExists: If one has the name.
    """
    require(session, actor, "webhook.create")
    given = dict(data)
    kind = given.pop("kind", WEBHOOK)
    if not isinstance(kind, str) or kind not in INPUTS:
        raise Invalid({"kind": f"must be one of {', '.join(TARGET_KINDS)}"})
    wanted: Any = validate(INPUTS[kind], _without_others(kind, given))
    if kind != EMAIL:
        webhook.check(wanted.url, get_config().private_hosts)
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('notification_targets'))")
    )  # two at once are counted both
    if (session.scalar(select(func.count()).select_from(NotificationTarget)) or 0) >= MOST:
        raise Invalid({"name": f"is one too many: there are at most {MOST} receivers. Delete one that is not needed"})
    row = NotificationTarget(
        **wanted.model_dump(exclude={"url"} if kind == SLACK else None),
        kind=kind,
        id=session.scalar(text("SELECT nextval(pg_get_serial_sequence('notification_targets', 'id'))")),
        generation=_generation(session),
    )
    secret = ""
    if kind == SLACK:
        set_address(session, row, wanted.url)
    elif kind == WEBHOOK:
        secret = webhook.new_secret()
        seal(session, row, sealed.TARGET_SECRET, secret)
        row.signing_set_at = session.scalar(select(_NOW))
    session.add(row)
    violations.flush(session, AlreadyExists(THING, wanted.name))
    session.refresh(row)
    made = {"kind": kind, **address_of(row), "events": row.events, "is_active": row.is_active}
    record(session, actor, "webhook.create", _target(row), {name: (None, value) for name, value in made.items()})
    return row, secret


def update_target(
    session: Session, actor: Actor, target_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> NotificationTarget:
    """Change the fields that *patch* names: ``name``, ``url`` or ``recipients``, ``events``, ``is_active``.

    Switched off, what waits for it is given up; switched on, it hears of what changes from then on. Another host keeps the
    secret, which signs and is never sent. Of Slack a URL that is the host alone, as it was read, or None leaves the URL as it is.

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
    refuse_stale(THING, row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    wanted = _wanted(row, before, patch)
    if wanted == before:
        return row
    if wanted["url"] != before["url"]:
        webhook.check(wanted["url"], get_config().private_hosts)
        set_address(session, row, wanted["url"])
    for name, value in wanted.items():
        if name != "url":
            setattr(row, name, value)
    if row.is_active and not before["is_active"]:
        row.off_reason = row.off_at = row.failing_since = None
        row.generation = _generation(session)
    if before["is_active"] and not row.is_active:
        give_up(session, target_id, SWITCHED_OFF)
    violations.flush(session, AlreadyExists(THING, row.name))
    session.refresh(row)
    changes = changes_between(before, wanted, FIELDS)
    if "url" in changes:
        was, now = webhook.shown(before["url"]), webhook.shown(wanted["url"])
        changes["url"] = (was, now if now != was else f"{now} (another path)")
    record(session, actor, "webhook.update", _target(row), changes)
    return row


def remove(session: Session, actor: Actor, target_id: int, *, version: int | None = None) -> str:
    """Delete one and its messages; returns its name.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere.
    """
    require(session, actor, "webhook.delete")
    row = _row(session, target_id, lock=True)
    refuse_stale(THING, row, version, {})
    session.exec(delete(NotificationDelivery).where(col(NotificationDelivery.target_id) == target_id))
    session.delete(row)
    session.flush()
    gone = {name: (value, None) for name, value in address_of(row).items()}
    record(session, actor, "webhook.delete", _target(row), gone)
    return row.name


def exchange_secret(
    session: Session, actor: Actor, target_id: int, *, at_once: bool = False
) -> tuple[NotificationTarget, str]:
    """Give a webhook a new secret. For a day the one before signs beside it; *at_once*: no more, for it is known to others.

    Returns:
        The row, and the new secret: that is shown once.

    Raises:
        Forbidden, NotFound, Sealed: As everywhere.
        Invalid: If it is no webhook: nothing is signed for people.
    """
    require(session, actor, "webhook.exchange_secret")
    row = _row(session, target_id, lock=True)
    if row.kind != WEBHOOK:
        raise Invalid({"kind": "has no secret that signs: only webhooks have. Of Slack enter another URL"})
    former = None if at_once else open_one(row, sealed.TARGET_SECRET)
    secret, set_at = webhook.new_secret(), row.signing_set_at
    seal(session, row, sealed.TARGET_SECRET, secret)
    row.signing_set_at = session.scalar(select(_NOW))
    if former is None:
        row.former_encrypted = row.former_masked = row.former_key_id = row.former_binding = row.former_fingerprint = (
            None
        )
        row.former_set_at = row.both_until = None
    else:
        seal(session, row, sealed.FORMER_TARGET_SECRET, former)
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
    record(
        session, actor, "webhook.test", _target(row), {name: (None, value) for name, value in address_of(row).items()}
    )
    return id_of(delivery)


def deliveries(
    session: Session, actor: Actor, target_id: int, *, before: int | None = None, limit: int = MOST_LISTED
) -> list[NotificationDelivery]:
    """Return messages to one, the newest first; *before*: those with a smaller id.

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
        Invalid: If the receiver is off, or the message waits already, or is a test.
    """
    require(session, actor, "webhook.resend")
    target = _row(session, target_id, lock=True)
    row = session.get(NotificationDelivery, delivery_id, with_for_update=True) if 0 < delivery_id < 2**63 else None
    if row is None or row.target_id != target_id:
        raise NotFound("delivery", delivery_id)
    if not target.is_active:
        raise Invalid({"receiver": "is switched off: switch it on first"})
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
    """End what waits for one, as failed; returns how many messages it was."""
    row = NotificationDelivery
    waiting = (
        col(row.target_id) == target_id,
        col(row.done_at).is_(None),
        col(row.failed_at).is_(None),
        col(row.event) != TEST,
    )
    ended = update(row).where(*waiting).values(failed_at=_NOW, last_error=func.coalesce(row.last_error, why))
    return int(session.exec(ended.execution_options(synchronize_session=False)).rowcount)


def _wanted(row: NotificationTarget, before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields as *patch* has them be, or as they were; raises Invalid."""
    given = dict(patch)
    if given.pop("kind", row.kind) != row.kind:
        raise Invalid({"kind": "cannot be changed: add another receiver"})
    given = _without_others(row.kind, given)
    model, kept = INPUTS[row.kind], dict(before)
    if row.kind == SLACK and given.get("url") in (None, row.url):  # as it was read
        given.pop("url", None)
        model = TargetInput
    whole = {name: value for name, value in kept.items() if name in model.model_fields}
    return {**kept, **validate(model, {**whole, **given}).model_dump()}


def _without_others(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return *given* without empty fields of other kinds: an answer of REST has them all."""
    return {name: value for name, value in given.items() if value is not None or name in INPUTS[kind].model_fields}


def _generation(session: Session) -> int:
    return session.scalar(text("SELECT generation FROM settings_generation")) or 0


def _row(session: Session, target_id: int, *, lock: bool = False) -> NotificationTarget:
    row = None
    if could_be_id(target_id):
        row = session.get(NotificationTarget, target_id, with_for_update=lock or None, populate_existing=True)
    if row is None or row.kind not in TARGET_KINDS:
        raise NotFound(THING, target_id)
    return row


def _target(row: NotificationTarget) -> Target:
    return Target("webhook", row.id, row.name)
