"""Sign-ins as rows that can be ended at once. The browser holds a random secret, the database its SHA-256.

A sign-in begins with a one-time ticket, which the page hands to the browser and the browser exchanges for the secret:
only an HTTP response can set a cookie that scripts cannot read. All times are by the database's clock.
"""

import hashlib
import re
import secrets
from typing import Any, Final

from sqlalchemy import ColumnElement, text
from sqlmodel import Session, col, delete, func, select, update

from ..actors import Actor
from ..audit.record import Target, record
from ..errors import NotFound
from ..store.schemas import could_be_id
from ..store.table import id_of
from ..store.tables import AuthSession, User
from .authority import is_live, require

LIFETIME_HOURS: Final = 8
"""However much it is used, a sign-in ends after so long."""
TICKET_SECONDS: Final = 60
KEPT_DAYS: Final = 30
"""Rows of ended sign-ins are deleted after so long; the audit keeps the events."""
SEEN_EVERY_SECONDS: Final = 60
"""``last_seen_at`` is written no more often: a click must not cost a write each."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_NOW: Any = func.clock_timestamp()


def begin(
    session: Session,
    user: User,
    address: str | None,
    user_agent: str | None,
    *,
    ticket: bool,
    sso_sid: str | None = None,
) -> tuple[Actor, str | None]:
    """Start a sign-in of *user*, whose password or provider's token has just been checked.

    Args:
        session: The transaction.
        user: Active.
        address: Where the request came from.
        user_agent: What the browser calls itself; cut to 300 characters.
        ticket: Whether the sign-in waits for :func:`exchange`. False: it holds at once, and no cookie belongs to it.
        sso_sid: The identity provider's own session, empty if it names none; None: it was by a password.

    Returns:
        The actor, and the ticket to hand to the browser, which is good once and for a minute.
    """
    made = secrets.token_urlsafe(32) if ticket else None
    row = AuthSession(
        user_id=id_of(user),
        auth_epoch=user.auth_epoch,
        ticket_hash=_hash(made) if made else None,
        ticket_expires_at=_in(f"{TICKET_SECONDS} seconds") if made else None,
        created_at=_NOW,
        last_seen_at=_NOW,
        expires_at=_in(f"{LIFETIME_HOURS} hours"),
        address=address,
        user_agent=_printable(user_agent),
        sso_sid=sso_sid,
    )
    session.add(row)
    session.exec(delete(AuthSession).where(col(AuthSession.expires_at) < _in(f"-{KEPT_DAYS} days")))
    session.flush()
    actor = Actor(user.username, user.id, user.auth_epoch, row.id, address)
    how = {} if sso_sid is None else {"single_sign_on": (None, True)}
    record(session, actor, "session.sign_in", Target("session", row.id, user.username), how)
    return actor, made


def exchange(session: Session, ticket: str) -> str | None:
    """Return a new secret for the browser's cookie in place of *ticket*; None if it was used, is too old or unknown.

    One statement: of several requests with one ticket exactly one gets the secret.
    """
    if not _SECRET.fullmatch(ticket):
        return None
    secret = secrets.token_urlsafe(32)
    found = session.exec(
        update(AuthSession)
        .where(
            col(AuthSession.ticket_hash) == _hash(ticket),
            col(AuthSession.ticket_expires_at) > _NOW,
            col(AuthSession.revoked_at).is_(None),
        )
        .values(sid_hash=_hash(secret), ticket_hash=None, ticket_expires_at=None)
        .execution_options(synchronize_session=False)
    )
    return secret if found.rowcount else None


def find(session: Session, secret: str, address: str | None = None) -> Actor | None:
    """Return who holds *secret*, if that sign-in lives and the user's rights have not changed since; else None."""
    if not _SECRET.fullmatch(secret):
        return None
    query: Any = (
        select(AuthSession.id, AuthSession.auth_epoch, User.id, User.username)
        .join(User, col(User.id) == col(AuthSession.user_id))
        .where(
            AuthSession.sid_hash == _hash(secret), is_live(), User.is_active, User.auth_epoch == AuthSession.auth_epoch
        )
    )
    row = session.exec(query).one_or_none()
    return Actor(row[3], row[2], row[1], row[0], address) if row else None


def touch(session: Session, actor: Actor) -> None:
    """Note that the sign-in is in use: it ends half an hour after the last time."""
    session.exec(
        update(AuthSession)
        .where(
            col(AuthSession.id) == actor.session_id,
            col(AuthSession.last_seen_at) < _in(f"-{SEEN_EVERY_SECONDS} seconds"),
        )
        .values(last_seen_at=_NOW)
        .execution_options(synchronize_session=False)
    )


def list_live(session: Session, actor: Actor, user_id: int) -> list[AuthSession]:
    """Return the sign-ins of a user that hold now, the one last used first.

    Raises:
        Forbidden: If they are somebody else's and *actor* is no admin.
    """
    require(session, actor, "session.list", role=_role(actor, user_id))
    query = select(AuthSession).join(User, col(User.id) == col(AuthSession.user_id))
    query = query.where(AuthSession.user_id == user_id, is_live(), User.auth_epoch == AuthSession.auth_epoch)
    return list(session.exec(query.order_by(col(AuthSession.last_seen_at).desc(), col(AuthSession.id))))


def count_live(session: Session) -> dict[int, int]:
    """Return user id -> number of sign-ins that hold now, in one query."""
    query = select(AuthSession.user_id, func.count()).join(User, col(User.id) == col(AuthSession.user_id))
    query = query.where(is_live(), User.is_active, User.auth_epoch == AuthSession.auth_epoch)
    return dict(session.exec(query.group_by(col(AuthSession.user_id))).all())


def end(session: Session, actor: Actor, session_id: int) -> None:
    """End one sign-in: the actor's own, another one of theirs, or as an admin anybody's.

    Raises:
        Forbidden, NotFound: As everywhere. To end one that has ended already is no error.
    """
    row = session.get(AuthSession, session_id) if could_be_id(session_id) else None
    if row is None:
        raise NotFound("sign-in", session_id)
    own = session_id == actor.session_id
    if not own:
        require(session, actor, "session.end", role=_role(actor, row.user_id))
    if _end(session, col(AuthSession.id) == session_id, "signed out" if own else f"ended by {actor.name}"):
        name = getattr(session.get(User, row.user_id), "username", "")
        record(session, actor, "session.sign_out" if own else "session.end", Target("session", session_id, name))


def end_all(session: Session, actor: Actor, user_id: int, *, but: int | None = None) -> int:
    """End all sign-ins of a user, except the one *but*; returns how many there were.

    Raises:
        Forbidden, NotFound: As everywhere; an admin may do it for anybody.
    """
    require(session, actor, "session.end_all", role=_role(actor, user_id))
    user = session.get(User, user_id) if could_be_id(user_id) else None
    if user is None:
        raise NotFound("user", user_id)
    which = col(AuthSession.user_id) == user_id
    if but is not None:
        which &= col(AuthSession.id) != but
    ended = _end(session, which, f"signed out everywhere by {actor.name}")
    record(session, actor, "session.end_all", Target("user", user_id, user.username), {"sign_ins": (ended, 0)})
    return ended


def was_by_provider(session: Session, actor: Actor) -> bool:
    """Tell whether the actor's own sign-in came from the identity provider: signing out ends it there, too."""
    query = select(AuthSession.sso_sid).where(AuthSession.id == actor.session_id)
    return session.exec(query).one_or_none() is not None


def _end(session: Session, which: ColumnElement[bool], why: str) -> int:
    live = session.exec(select(func.count()).select_from(AuthSession).where(which, is_live())).one()
    session.exec(
        update(AuthSession)
        .where(which, col(AuthSession.revoked_at).is_(None))
        .values(revoked_at=_NOW, revoked_because=why, ticket_hash=None)
        .execution_options(synchronize_session=False)
    )
    return int(live)


def _role(actor: Actor, user_id: int) -> str:
    return "member" if actor.user_id == user_id else "admin"


def _in(interval: str) -> Any:
    return _NOW + text(f"interval '{interval}'")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _printable(user_agent: str | None) -> str | None:
    return "".join(c for c in user_agent if c.isprintable())[:300] if user_agent else None
