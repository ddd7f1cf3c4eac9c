"""What an actor may do, read from the database in the transaction that does it. A denial is put on record."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from sqlalchemy import ColumnElement, and_, false, text, true
from sqlmodel import Session, col, func, or_, select

from ..actors import Actor
from ..audit.record import Target, record
from ..config import get_config, second_factor_roles
from ..errors import Forbidden, MissingExtra, NotFound, PasswordChangeNeeded, SecondFactorNeeded, TooManyRequests
from ..store import db
from ..store.organization_tables import Organization, OrganizationMember
from ..store.tables import MEMBER, ApiToken, AuthSession, SecondFactor, User

IDLE_MINUTES: Final = 30
"""A sign-in that is not used for so long has ended."""

CHANGE_PASSWORD: Final = "user.change_password"  # noqa: S105 - the name of an action
"""The one thing that somebody may do who has to choose a password."""

ENROL: Final = "second_factor.enrol"
"""The one thing that somebody may do who has to set up a second factor."""

ENDED: Final = "Your sign-in has ended. Sign in again."
TOKEN_ENDED: Final = "This API token is revoked or has expired. Ask an admin for another one."  # noqa: S105 - a sentence

ENOUGH: Final = {
    "admin": ("admin",),
    "analyst": ("admin", "analyst"),
    "metrics": ("admin", "metrics"),
    "manager": ("admin", MEMBER),
    MEMBER: ("admin", "analyst", MEMBER),
}
"""The role that something takes -> the roles that may do it. *manager*: who may manage an organisation; which one is asked then."""
_WANTED: Final = {
    "admin": "Admin access required",
    "analyst": "Access to settings required",
    "metrics": "Access to metrics required",
    "manager": "Admin access required",
    MEMBER: "A sign-in required",
}


class Visible(NamedTuple):
    """What an actor sees of organisations: all of them, or those it belongs to. A deleted one is no member's."""

    everything: bool
    """Of the installation's own admins and analysts, and of the command line."""
    roles: Mapping[int, str]
    """Organisation -> what the actor is there; of others nothing is said."""

    def where(self, column: Any) -> ColumnElement[bool]:
        """Return the condition that a row, whose organisation is *column*, is one that the actor may see.

        For every query whose answer goes to an actor: what is of another organisation is not found, as what is not there.
        """
        if self.everything:
            return true()
        ids = sorted(self.roles)
        return column.in_(ids) if ids else false()


class _Rights(NamedTuple):
    role: str
    organizations: Mapping[int, str] | None = None
    """Of a token; those of a user are read when they are asked for."""


def require(
    session: Session, actor: Actor, action: str, *, role: str = "admin", organization: int | None = None
) -> None:
    """Return when *actor* may do *action*, which takes *role*, now; and note the actor for the change history.

    The row of the user or the token stays share-locked until the transaction ends, so that no right is withdrawn halfway;
    a membership is changed together with that row.

    Args:
        session: The transaction.
        actor: Who.
        action: What, as the audit names it.
        role: What it takes: of the installation, or of *organization*.
        organization: The one that it is about: its own admins and analysts may do it too. It has been found already, by a
            query with :meth:`Visible.where`.

    Raises:
        Forbidden: If the user is gone, disabled, signed in before the last change of rights, or has too low a role; if
            the sign-in was ended or has expired, or the token; PasswordChangeNeeded before the first password is
            changed, SecondFactorNeeded before one is set up where the role needs it. An audit event ``denied`` is written once this transaction has been rolled back.
        NotFound: If *organization* is one that the actor sees nothing of: as if there were none.
    """
    rights = _rights(session, actor, action)
    if rights is not None and rights.role not in ENOUGH[role]:
        if organization is None:
            _deny(session, actor, action, _WANTED[role])
        within = _organizations(session, actor, rights).get(organization)
        if within is None and rights.role == MEMBER:
            not_found(session, actor, action, "organization", organization)
        if within not in ENOUGH[role]:
            _deny(session, actor, action, _WANTED[role])
    db.set_actor(session, actor.name)


def visible(session: Session, actor: Actor, action: str) -> Visible:
    """Return what of organisations *actor* sees now; the one helper for lists, searches, counts, exports and downloads.

    Raises:
        Forbidden, PasswordChangeNeeded: As :func:`require`, whatever the role.
    """
    rights = _rights(session, actor, action)
    if rights is None or rights.role != MEMBER:
        return Visible(everything=rights is None or rights.role in ENOUGH["analyst"], roles={})
    return Visible(everything=False, roles=_organizations(session, actor, rights))


def not_found(
    session: Session, actor: Actor, action: str, kind: str, key: object, *, seen: Visible | None = None
) -> NoReturn:
    """Raise NotFound for what *actor* asked for and does not see, be it another's or not there at all.

    Both are answered alike and, once the transaction is rolled back, put on record alike; unless *seen* is everything: then
    it is not there.
    """
    if seen is None or not seen.everything:
        _put_on_record(session, actor, action, f"There is no {kind} {key!r} that it may see.")
    raise NotFound(kind, key)


def _rights(session: Session, actor: Actor, action: str) -> _Rights | None:
    """Return what *actor* is now; None: the command line, which is not asked. One query, and the row stays locked."""
    if actor.token_id is not None:
        found = (
            select(ApiToken.role, ApiToken.organization_id, ApiToken.organization_role, Organization.deleted_at)
            .outerjoin(Organization, col(Organization.id) == ApiToken.organization_id)
            .where(ApiToken.id == actor.token_id, token_is_live())
            .with_for_update(read=True, of=ApiToken)
        )
        token: Any = session.exec(found).one_or_none()
        if token is None or token.deleted_at is not None:
            _deny(session, actor, action, TOKEN_ENDED)
        of = {token.organization_id: token.organization_role} if token.organization_id is not None else {}
        return _Rights(token.role, of)
    if actor.user_id is None:
        return None
    user = session.get(User, actor.user_id, with_for_update={"read": True}, populate_existing=True)
    if user is None or not user.is_active or user.auth_epoch != actor.auth_epoch or not _signed_in(session, actor):
        _deny(session, actor, action, ENDED)
    if user.must_change_password:
        if action != CHANGE_PASSWORD:
            raise PasswordChangeNeeded
    elif action != ENROL and user.role in second_factor_roles(get_config()) and _lacks_factor(session, actor, user):
        raise SecondFactorNeeded
    return _Rights(user.role)


def _organizations(session: Session, actor: Actor, rights: _Rights) -> Mapping[int, str]:
    if rights.organizations is not None:
        return rights.organizations
    query = (
        select(OrganizationMember.organization_id, OrganizationMember.role)
        .join(Organization, col(Organization.id) == OrganizationMember.organization_id)
        .where(OrganizationMember.user_id == actor.user_id, col(Organization.deleted_at).is_(None))
    )
    return dict(session.exec(query).all())


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


def _lacks_factor(session: Session, actor: Actor, user: User) -> bool:
    """Tell whether a user came in by the password alone; who came by an identity provider was asked there for what it wants."""
    if user.password_hash is None:
        return False
    by_provider = select(AuthSession.id).where(
        AuthSession.id == actor.session_id, col(AuthSession.sso_sid).is_not(None)
    )
    has_one = select(SecondFactor.id).where(
        SecondFactor.user_id == user.id, col(SecondFactor.confirmed_at).is_not(None)
    )
    return session.exec(has_one).first() is None and session.exec(by_provider).first() is None


def _deny(session: Session, actor: Actor, action: str, message: str) -> NoReturn:
    _put_on_record(session, actor, action, message)
    raise Forbidden(message)


def _put_on_record(session: Session, actor: Actor, action: str, reason: str) -> None:
    def put_on_record(later: Session) -> None:
        if not _is_one_too_many(actor):
            record(later, actor, "denied", Target("action", None, action), {"reason": (None, reason)})

    db.after_rollback(session, put_on_record)


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
