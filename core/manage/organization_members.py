"""Who belongs to an organisation: its admins, who manage it, and its analysts, who see what is in force there."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlmodel import Session, col, func, select

from ..access.authority import Visible, visible
from ..actors import APPLIER, Actor
from ..audit.record import record
from ..errors import Conflict, NotFound
from ..store.organization_schemas import MemberInput
from ..store.organization_tables import Organization, OrganizationMember
from ..store.schemas import could_be_id, validate
from ..store.tables import MEMBER, ApiToken, User
from ..store.versions import Stamped, refuse_stale
from .organization_rows import reach
from .organizations import target_of

INSTALLATION: Final = "installation"
"""What an organisation's own people read in place of who works for the installation."""


class Member(NamedTuple):
    """A user, and what they are in an organisation."""

    user_id: int
    username: str
    role: str
    is_active: bool


def list_of(session: Session, actor: Actor, organization_id: int) -> list[Member]:
    """Return the members of an organisation, by name; to whoever sees it.

    Raises:
        Forbidden, NotFound: As :func:`~.organization_rows.reach`.
    """
    reach(session, actor, "organization.members", organization_id, role="analyst")
    query: Any = (
        select(User.id, User.username, OrganizationMember.role, User.is_active)
        .join(OrganizationMember, col(OrganizationMember.user_id) == User.id)
        .where(OrganizationMember.organization_id == organization_id)
        .order_by(User.username)
    )
    return [Member(*row) for row in session.exec(query)]


def people_of(session: Session, organization_id: int) -> frozenset[str]:
    """Return under which names members of an organisation, and its tokens, make changes: those that its own people are shown."""
    of = col(OrganizationMember.organization_id) == organization_id
    members = select(User.username).join(OrganizationMember, col(OrganizationMember.user_id) == User.id).where(of)
    tokens = select(ApiToken.name).where(ApiToken.organization_id == organization_id)
    return frozenset((*session.exec(members), *(f"token:{name}" for name in session.exec(tokens))))


def of_user(session: Session, actor: Actor) -> list[tuple[Organization, str]]:
    """Return the organisations that the actor belongs to, and as what, by slug; of those that see all of them: none."""
    seen = visible(session, actor, "organization.list")
    query = select(Organization).where(col(Organization.id).in_(list(seen.roles))).order_by(col(Organization.slug))
    return [(row, seen.roles[row.id or 0]) for row in session.exec(query)]


def shown_names(session: Session, seen: Visible, organization_id: int | None) -> Callable[[str | None], str | None]:
    """Return what makes of who changed something what an actor reads: an organisation's own people read the names of each other alone.

    Args:
        session: The transaction.
        seen: What the actor sees.
        organization_id: Of which organisation they read; None: of none.
    """
    if seen.everything or organization_id is None:
        return lambda name: name
    known = people_of(session, organization_id)
    return lambda name: name if name is None or name.removeprefix(APPLIER) in known else INSTALLATION


def known_as(session: Session, actor: Actor, row: Any) -> str:
    """Return who changed a row last, as *actor* may know.

    Args:
        session: The transaction.
        actor: Who asks, and has found the row.
        row: Any that has ``organization_id`` and ``updated_by``; None: there is none.
    """
    return known_by(session, actor, row, getattr(row, "updated_by", None)) or "somebody"


def known_by(session: Session, actor: Actor, row: Any, name: str | None) -> str | None:
    """Return *name* of who changed *row*, as *actor* may know; *row* is any that has ``organization_id``."""
    if name is None:
        return None
    return shown_names(session, visible(session, actor, "organization.read"), row.organization_id)(name)


def refuse_stale_row(
    session: Session, actor: Actor, kind: str, row: Stamped, *, version: int | None, patch: Mapping[str, Any]
) -> None:
    """As :func:`core.store.versions.refuse_stale` of a row that may be an organisation's: who was quicker is named as *actor* may know.

    Raises:
        Conflict: As there.
    """
    try:
        refuse_stale(kind, row, version, patch)
    except Conflict as error:
        by = known_by(session, actor, row, error.changed_by)
        raise Conflict(kind, error.version, by, error.changed_at, error.changes) from None


def set_member(session: Session, actor: Actor, organization_id: int, user_id: int, role: str) -> Member:
    """Make a user a member of an organisation, or another kind of member; ends the user's sign-ins.

    Args:
        session: The transaction.
        actor: An admin, or one of the organisation: such a one finds only users whose role is ``member``.
        organization_id: Which.
        user_id: Who.
        role: ``admin`` or ``analyst``.

    Raises:
        Forbidden, NotFound, Invalid: As everywhere.
    """
    action = "organization.set_member"
    organization = reach(session, actor, action, organization_id)
    wanted = validate(MemberInput, {"role": role}).role
    user = _locked(session, actor, action, user_id)
    row = session.get(OrganizationMember, (user_id, organization_id), populate_existing=True)
    before = row.role if row else None
    if row is None:
        session.add(OrganizationMember(user_id=user_id, organization_id=organization_id, role=wanted))
    elif before == wanted:
        return Member(user_id, user.username, wanted, user.is_active)
    else:
        row.role = wanted
    _end(session, user)
    record(
        session, actor, action, target_of(organization), {user.username: (before, wanted)}, organization=organization_id
    )
    return Member(user_id, user.username, wanted, user.is_active)


def remove_member(session: Session, actor: Actor, organization_id: int, user_id: int) -> None:
    """Take a user out of an organisation, at once: their sign-ins end.

    Raises:
        Forbidden, NotFound: The latter also if the user is no member.
    """
    action = "organization.remove_member"
    organization = reach(session, actor, action, organization_id)
    row = None
    if could_be_id(user_id):
        row = session.get(OrganizationMember, (user_id, organization_id), populate_existing=True)
    if row is None:
        raise NotFound("member", user_id)
    user = session.get(User, user_id, with_for_update=True, populate_existing=True)
    was = row.role
    session.delete(row)
    session.flush()
    if user is not None:
        _end(session, user)
        changes = {user.username: (was, None)}
        record(session, actor, action, target_of(organization), changes, organization=organization_id)


def find_user(session: Session, actor: Actor, organization_id: int, username: str) -> int:
    """Return the id of the user *username*, for :func:`set_member`.

    Raises:
        Forbidden, NotFound: The latter also for one that the actor may not make a member.
    """
    action = "organization.set_member"
    reach(session, actor, action, organization_id)
    name = username.strip().casefold()[:200].replace("\x00", "").encode("utf-8", "ignore").decode()
    query = select(User.id, User.role).where(func.lower(User.username) == name)
    found: Any = session.exec(query).one_or_none()
    if found is None or not _may_find(session, actor, action, found.role):
        raise NotFound("user", name)
    return int(found.id)


def _may_find(session: Session, actor: Actor, action: str, role: str) -> bool:
    """Tell whether *actor* may make a user of that role a member: admins of an organisation end no sign-in of the installation's own."""
    return role == MEMBER or visible(session, actor, action).everything


def _locked(session: Session, actor: Actor, action: str, user_id: int) -> User:
    user = None
    if could_be_id(user_id):
        user = session.get(User, user_id, with_for_update=True, populate_existing=True)
    if user is None or not _may_find(session, actor, action, user.role):
        raise NotFound("user", user_id)
    return user


def _end(session: Session, user: User) -> None:
    user.auth_epoch += 1
    user.updated_at = datetime.now(UTC)
    session.flush()
