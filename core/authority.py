"""What an actor may do, read from the database in the transaction that does it. A denial is put on record."""

from typing import Any, Final

from sqlalchemy import ColumnElement, and_, text
from sqlmodel import Session, col, func, select

from core import audit, db
from core.actors import Actor
from core.errors import Forbidden, PasswordChangeNeeded
from core.tables import AuthSession, User

IDLE_MINUTES: Final = 30
"""A sign-in that is not used for so long has ended."""

CHANGE_PASSWORD: Final = "user.change_password"  # noqa: S105 - the name of an action
"""The one thing that somebody may do who has to choose a password."""

ENDED: Final = "Your sign-in has ended. Sign in again."


def require(session: Session, actor: Actor, action: str, *, role: str = "admin") -> None:
    """Return when *actor* may do *action*, which takes *role*, now; and note the actor for the change history.

    The user's row stays share-locked until the transaction ends, so that no right is withdrawn halfway.

    Raises:
        Forbidden: If the user is gone, disabled, signed in before the last change of rights, has too low a role, or
            the sign-in was ended or has expired; PasswordChangeNeeded before the first password is changed. An audit event ``denied`` is written once this transaction has been
            rolled back.
    """
    if actor.user_id is not None:
        user = session.get(User, actor.user_id, with_for_update={"read": True}, populate_existing=True)
        if user is None or not user.is_active or user.auth_epoch != actor.auth_epoch or not _signed_in(session, actor):
            _deny(session, actor, action, ENDED)
        elif user.must_change_password and action != CHANGE_PASSWORD:
            raise PasswordChangeNeeded
        elif role == "admin" and user.role != "admin":
            _deny(session, actor, action, "Admin access required")
    db.set_actor(session, actor.name)


def is_live() -> ColumnElement[bool]:
    """Return the condition on ``auth_sessions`` that a sign-in holds: by the database's clock, never by ours."""
    now: Any = func.clock_timestamp()
    return and_(
        col(AuthSession.revoked_at).is_(None),
        col(AuthSession.ticket_hash).is_(None),  # not exchanged yet: nobody holds it
        col(AuthSession.expires_at) > now,
        col(AuthSession.last_seen_at) > now - text(f"interval '{IDLE_MINUTES} minutes'"),
    )


def _signed_in(session: Session, actor: Actor) -> bool:
    if actor.session_id is None:
        return True
    found = select(AuthSession.id).where(
        AuthSession.id == actor.session_id, AuthSession.user_id == actor.user_id, is_live()
    )
    return session.exec(found).one_or_none() is not None


def _deny(session: Session, actor: Actor, action: str, message: str) -> None:
    def put_on_record(later: Session) -> None:
        audit.record(later, actor, "denied", audit.Target("action", None, action), {"reason": (None, message)})

    db.after_rollback(session, put_on_record)
    raise Forbidden(message)
