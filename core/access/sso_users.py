"""Who signs in at the identity provider: a user of ours, found by issuer and subject, made at the first sign-in, never by a name.

The provider decides the role, and the membership of those organisations that LLM_OIDC_ORGANIZATION_GROUPS names; memberships
elsewhere, which somebody gave here, stay. Who is disabled here stays so.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, func, select, update

from ..actors import SINGLE_SIGN_ON, UNATTENDED, Actor
from ..audit.record import Target, record
from ..errors import Forbidden, Invalid
from ..store import violations
from ..store.db import set_actor
from ..store.organization_tables import Organization, OrganizationMember
from ..store.table import id_of
from ..store.tables import AuthSession, SsoUsed, User
from . import sessions, users
from .authority import is_live, require
from .oidc_tokens import LogoutToken
from .sso_config import OidcConfig
from .sso_groups import NONE_MAY, GroupRights, groups_of, managed, standing, wished_name

DENIED: Final = "session.sso_denied"
"""The action of the audit."""
DISABLED: Final = "Your account here is disabled. Ask an admin."
_NOW: Any = func.clock_timestamp()


class SignedOn(NamedTuple):
    """How a sign-in at the provider ended here."""

    secret: str | None
    """For the browser's cookie; None: nobody is signed in."""
    why: str = ""
    """Why not, in words."""


def use_once(session: Session, what: str, until: float) -> bool:
    """Return whether *what* comes for the first time; it is remembered until *until*, seconds since 1970.

    One statement: of two at once, in any process, one is the first.
    """
    session.exec(delete(SsoUsed).where(col(SsoUsed.expires_at) < _NOW))
    row = {"digest": _digest(what), "expires_at": datetime.fromtimestamp(until, UTC)}
    statement = insert(SsoUsed).values(row).on_conflict_do_nothing().returning(col(SsoUsed.digest))
    return session.execute(statement).first() is not None


def enter(
    session: Session,
    config: OidcConfig,
    claims: Mapping[str, Any],
    info: Mapping[str, Any],
    *,
    address: str | None,
    user_agent: str | None,
) -> SignedOn:
    """Sign in whom checked *claims* speak of, as far as their groups may; a denial is on record, and no user is made for it.

    Args:
        session: The transaction; it is committed whatever comes of it.
        config: The provider, and its groups.
        claims: Of the id token; checked.
        info: Of userinfo, about the same person; empty if it was not needed.
        address: Where the request came from.
        user_agent: What the browser calls itself.
    """
    by = Actor(SINGLE_SIGN_ON.name, address=address)
    set_actor(session, by.name)
    session.execute(users.ALL_USERS)
    subject = str(claims["sub"])
    query = select(User).where(User.sso_issuer == config.issuer, User.sso_subject == subject)
    user = session.exec(query.with_for_update()).one_or_none()
    wished = wished_name(claims, info)
    wanted, why = _judged(config, claims, info, user)
    if wanted is None:
        _deny(session, by, user, why, wished)
        return SignedOn(None, why)
    if user is None:
        made = User(username=wished, role=wanted.role, sso_issuer=config.issuer, sso_subject=subject)
        user = _added(session, by, made)
    changed = _set_role(session, by, user, wanted.role)
    changed |= _set_organizations(session, by, user, managed(config), wanted.organizations)
    if changed:
        user.auth_epoch += 1
        user.updated_at = datetime.now(UTC)
        session.flush()
        session.refresh(user)
    sid = claims.get("sid")
    _, ticket = sessions.begin(
        session, user, address, user_agent, ticket=True, sso_sid=sid if isinstance(sid, str) else ""
    )
    return SignedOn(sessions.exchange(session, str(ticket)))


def end_by_provider(session: Session, issuer: str, token: LogoutToken) -> int | None:
    """End the sign-ins that a checked logout token speaks of; returns how many, None if this token came before."""
    if not use_once(session, f"jti {issuer} {token.jti}", token.expires):
        return None
    which = col(AuthSession.sso_sid).is_not(None) & (col(User.sso_issuer) == issuer)
    if token.sid is not None:
        which &= col(AuthSession.sso_sid) == token.sid
    if token.subject is not None:
        which &= col(User.sso_subject) == token.subject
    query: Any = select(AuthSession.id, User.username).join(User, col(User.id) == col(AuthSession.user_id))
    found = session.exec(query.where(which, is_live())).all()
    for session_id, username in found:
        session.exec(
            update(AuthSession)
            .where(col(AuthSession.id) == session_id)
            .values(revoked_at=_NOW, revoked_because="signed out at the identity provider")
            .execution_options(synchronize_session=False)
        )
        record(session, SINGLE_SIGN_ON, "session.end", Target("session", session_id, username))
    return len(found)


def link(session: Session, actor: Actor, user_id: int, issuer: str, subject: str) -> User:
    """Have a local user be somebody of the provider's from now on: only an admin does that, as a name proves nothing.

    Raises:
        Forbidden, NotFound: As everywhere.
        Invalid: If the subject is none, or is another user already.
    """
    require(session, actor, "user.link")
    user = users.get(session, user_id)
    if not 1 <= len(subject) <= 255 or not subject.isprintable():  # noqa: PLR2004 - OpenID Connect Core 2
        raise Invalid({"subject": "must be what the identity provider calls sub: 1 to 255 characters"})
    before = user.sso_subject
    if (user.sso_issuer, before) == (issuer, subject):
        return user
    user.sso_issuer, user.sso_subject = issuer, subject
    taken = "is another user already, made when that person first signed in: disable that one and ask for its name"
    violations.flush(session, Invalid({"subject": taken}))
    record(session, actor, "user.link", _target(user), {"sso_subject": (before, subject)})
    return user


def _deny(session: Session, by: Actor, user: User | None, why: str, wished: str) -> None:
    """Put a denial on record; who has signed in before is out everywhere, as nothing of theirs holds any more."""
    if user is not None:
        user.auth_epoch += 1
        user.updated_at = datetime.now(UTC)
        session.flush()
    target = _target(user) if user is not None else Target("user", None, wished)
    record(session, by, DENIED, target, {"reason": (None, why)})


def _judged(
    config: OidcConfig, claims: Mapping[str, Any], info: Mapping[str, Any], user: User | None
) -> tuple[GroupRights | None, str]:
    """Return what somebody may, or why nothing."""
    try:
        found = standing(config, groups_of(claims, info, config.groups_claim))
    except Forbidden as error:
        return None, str(error)
    if found is not None and user is not None and not user.is_active:
        return None, DISABLED
    return found, NONE_MAY


def _added(session: Session, by: Actor, user: User) -> User:
    """Add *user* under a name that nobody has here."""
    names = _names(user.username, f"{user.sso_issuer} {user.sso_subject}")
    user.username = next(name for name in names if name not in UNATTENDED and users.find(session, name) is None)
    session.add(user)
    session.flush()
    session.refresh(user)
    record(session, by, "user.add", _target(user), {"role": (None, user.role)})
    return user


def _names(wished: str, person: str) -> Iterator[str]:
    """Name by name, what somebody may be called here: as there, or with digits of their own behind."""
    yield wished
    digits = str(int(_digest(person), 16))
    for length in range(4, 15):
        yield f"{wished}-{digits[:length]}"


def _set_role(session: Session, by: Actor, user: User, role: str) -> bool:
    if user.role == role or user.break_glass:  # the way back is not the provider's to take
        return False
    record(session, by, "user.set_role", _target(user), {"role": (user.role, role)})
    user.role = role
    return True


def _set_organizations(
    session: Session, by: Actor, user: User, decided: frozenset[str], wanted: Mapping[str, str]
) -> bool:
    """Make *user* a member as the provider's groups say, of the organisations that it decides."""
    query = select(Organization).where(col(Organization.slug).in_(decided), col(Organization.deleted_at).is_(None))
    query = query.where(Organization.kind == "organization").order_by(col(Organization.id))
    changed = False
    for organization in session.exec(query).all():
        of = id_of(organization)
        row = session.get(OrganizationMember, (user.id, of), populate_existing=True)
        before, after = row.role if row else None, wanted.get(organization.slug)
        if before == after:
            continue
        if row is None:
            session.add(OrganizationMember(user_id=id_of(user), organization_id=of, role=str(after)))
        elif after is None:
            session.delete(row)
        else:
            row.role = after
        session.flush()
        action = "organization.remove_member" if after is None else "organization.set_member"
        target = Target("organization", of, organization.slug)
        record(session, by, action, target, {user.username: (before, after)}, organization=of)
        changed = True
    return changed


def _target(user: User) -> Target:
    return Target("user", user.id, user.username)


def _digest(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()
