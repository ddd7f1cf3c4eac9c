"""The record of who did what: one event for each change, sign-in and denial, in the transaction that does it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlmodel import Session

from core.actors import Actor
from core.tables import AuditEvent


class Target(NamedTuple):
    """What an event is about."""

    type: str
    """``provider``, ``settings``, ``user``, ``session``, ``keys`` or ``action``."""
    id: int | None
    name: str


def record(
    session: Session,
    actor: Actor,
    action: str,
    target: Target,
    changes: Mapping[str, tuple[Any, Any]] | None = None,
) -> None:
    """Write an event in this transaction: if it cannot be written, the change is not made either.

    Args:
        session: The transaction.
        actor: Who.
        action: ``provider.update``, ``session.sign_in``, ``denied`` and so on.
        target: What it is about.
        changes: Field -> (before, after). Never a secret: of a key its mask.
    """
    pairs = {name: {"before": before, "after": after} for name, (before, after) in (changes or {}).items()}
    session.add(
        AuditEvent(
            actor=actor.name,
            actor_id=actor.user_id,
            address=actor.address,
            action=action,
            target_type=target.type,
            target_id=target.id,
            target=target.name,
            changes=pairs,
        )
    )
    session.flush()
