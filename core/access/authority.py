"""What an actor may do, read from the database in the transaction that does it. A denial is put on record."""

from typing import Any, Final

from sqlalchemy import ColumnElement, and_, text
from sqlmodel import Session, col, func, or_, select

from ..actors import Actor
from ..audit.record import Target, record
from ..errors import Forbidden, MissingExtra, PasswordChangeNeeded, TooManyRequests
from ..store import db
from ..store.tables import ApiToken, AuthSession, User

IDLE_MINUTES: Final = 30
"""A sign-in that is not used for so long has ended."""

CHANGE_PASSWORD: Final = "user.change_password"  # noqa: S105 - the name of an action
"""The one thing that somebody may do who has to choose a password."""

ENDED: Final = "Your sign-in has ended. Sign in again."
TOKEN_ENDED: Final = "This API token is revoked or has expired. Ask an admin for another one."  # noqa: S105 - a sentence

ENOUGH: Final = {"admin": ("admin",), "analyst": ("admin", "analyst"), "metrics": ("admin", "metrics")}
"""The role that something takes -> the roles that may do it."""
_WANTED: Final = {
    "admin": "Admin access required",
    "analyst": "Access to settings required",
    "metrics": "Access to metrics required",
}


def require(session: Session, actor: Actor, action: str, *, role: str = "admin") -> None:
    """Return when *actor* may do *action*, which takes *role*, now; and note the actor for the change history.

    The row of the user or the token stays share-locked until the transaction ends, so that no right is withdrawn halfway.

    Raises:
        Forbidden: If the user is gone, disabled, signed in before the last change of rights, or has too low a role; if
            the sign-in was ended or has expired, or the token; PasswordChangeNeeded before the first password is
            changed. An audit event ``denied`` is written once this transaction has been rolled back.
    """
    if actor.token_id is not None:
        found = select(ApiToken.role).where(ApiToken.id == actor.token_id, token_is_live()).with_for_update(read=True)
        token_role = session.exec(found).one_or_none()
        if token_role is None:
            _deny(session, actor, action, TOKEN_ENDED)
        elif token_role not in ENOUGH[role]:
            _deny(session, actor, action, _WANTED[role])
    elif actor.user_id is not None:
        user = session.get(User, actor.user_id, with_for_update={"read": True}, populate_existing=True)
        if user is None or not user.is_active or user.auth_epoch != actor.auth_epoch or not _signed_in(session, actor):
            _deny(session, actor, action, ENDED)
        elif user.must_change_password and action != CHANGE_PASSWORD:
            raise PasswordChangeNeeded
        elif user.role not in ENOUGH[role]:
            _deny(session, actor, action, _WANTED[role])
    db.set_actor(session, actor.name)


def role_of(session: Session, actor: Actor) -> str | None:
    """Return the role that a user or a token has now; None if there is no such row any more. It decides nothing."""
    query: Any = select(User.role).where(User.id == actor.user_id)
    if actor.token_id is not None:
        query = select(ApiToken.role).where(ApiToken.id == actor.token_id)
    role: str | None = session.exec(query).one_or_none()
    return role


def is_live() -> ColumnElement[bool]:
    """Return the condition on ``auth_sessions`` that a sign-in holds: by the database's clock, never by ours."""
    now: Any = func.clock_timestamp()
    return and_(
        col(AuthSession.revoked_at).is_(None),
        col(AuthSession.ticket_hash).is_(None),  # not exchanged yet: nobody holds it
        col(AuthSession.expires_at) > now,
        col(AuthSession.last_seen_at) > now - text(f"interval '{IDLE_MINUTES} minutes'"),
    )


def token_is_live() -> ColumnElement[bool]:
    """Return the condition on ``api_tokens`` that a token holds, by the database's clock."""
    now: Any = func.clock_timestamp()
    expires = col(ApiToken.expires_at)
    return and_(col(ApiToken.revoked_at).is_(None), or_(expires.is_(None), expires > now))


def _signed_in(session: Session, actor: Actor) -> bool:
    if actor.session_id is None:
        return True
    found = select(AuthSession.id).where(
        AuthSession.id == actor.session_id, AuthSession.user_id == actor.user_id, is_live()
    )
    return session.exec(found).one_or_none() is not None


def _deny(session: Session, actor: Actor, action: str, message: str) -> None:
    def put_on_record(later: Session) -> None:
        if not _is_one_too_many(actor):
            record(later, actor, "denied", Target("action", None, action), {"reason": (None, message)})

    db.after_rollback(session, put_on_record)
    raise Forbidden(message)


def _is_one_too_many(actor: Actor) -> bool:
    """Count a denial of *actor*: nobody fills the audit without an end, and the first hundred say it all."""
    try:
        from .ratelimit import get_limiter, who_is  # noqa: PLC0415 - of the extra `app`

        get_limiter().spend(f"denied:{who_is(actor)}", "general")
    except MissingExtra:
        return False  # nobody is served here but the program's own host
    except TooManyRequests:
        return True
    return False
