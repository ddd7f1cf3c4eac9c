"""What is sealed of who is told: the secrets that sign, and the whole URL of Slack; and what may be shown of an address."""

from typing import Any, Final

from sqlmodel import Session, func, select

from ..calling import slack, webhook
from ..crypto import get_ring, mask
from ..store import sealed
from ..store.notification_tables import NotificationTarget
from ..store.sealed import SealedColumn
from . import keys

_NOW: Final[Any] = func.clock_timestamp()


def address_of(row: NotificationTarget) -> dict[str, Any]:
    """Return what the audit has of where one is reached: field -> value, without what may be a secret."""
    return {"recipients": row.recipients} if row.url is None else {"url": webhook.shown(row.url)}


def open_secrets(session: Session, row: NotificationTarget) -> list[str]:
    """Return what is sealed of one, the newest first: what signs its messages now, of Slack its URL. Nobody is shown them.

    Raises:
        KeyUnreadable: If the current one cannot be opened.
    """
    if row.kind == "email":
        return []
    found = [open_one(row, sealed.TARGET_SECRET)]
    until = row.both_until
    if row.former_encrypted and until is not None and session.scalar(select(until > _NOW)):
        found.append(open_one(row, sealed.FORMER_TARGET_SECRET))
    return found


def open_one(row: NotificationTarget, column: SealedColumn) -> str:
    """Open what a column has; raises KeyUnreadable."""
    stored = [getattr(row, f"{column.name}_{part}") for part in ("encrypted", "key_id", "binding")]
    return get_ring().open(stored[0] or "", stored[1], stored[2], column.place(row))


def seal(session: Session, row: NotificationTarget, column: SealedColumn, plain: str) -> None:
    """Seal *plain*, bound to where the row leads."""
    ring = get_ring()
    with session.no_autoflush:  # half of a change would be an edit of its own
        keys.require_known(session, ring)
    stored = ring.seal(plain, column.place(row))
    parts = ("encrypted", "key_id", "binding", "masked", "fingerprint")
    values = (*stored, mask(plain), sealed.fingerprint(ring, plain, stored))
    for part, value in zip(parts, values, strict=True):
        setattr(row, f"{column.name}_{part}", value)


def set_address(session: Session, row: NotificationTarget, url: str) -> None:
    """Have a row lead to *url*, which is checked; what is sealed goes along, bound to the new host.

    Raises:
        KeyUnreadable: If its secret cannot be opened to be bound anew: exchange it first.
    """
    if row.kind == "slack":
        slack.keep_secret(url)
        row.url = slack.host_alone(url)
        seal(session, row, sealed.TARGET_SECRET, url)
        row.signing_set_at = session.scalar(select(_NOW))
        return
    plain = open_secrets(session, row)
    row.url = url
    seal(session, row, sealed.TARGET_SECRET, plain[0])
    if len(plain) > 1:
        seal(session, row, sealed.FORMER_TARGET_SECRET, plain[1])
