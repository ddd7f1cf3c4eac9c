"""What an organisation's own admins read of the audit: the events that are about it, and of the installation's people no more than that."""

from typing import Any

from sqlalchemy import select, text, tuple_
from sqlmodel import Session, col

from ..access.authority import visible
from ..actors import APPLIER, Actor
from ..manage.organization_members import INSTALLATION
from ..manage.organization_rows import reach
from ..store.organization_tables import OrganizationMember
from ..store.records import AUDITED_ORGANIZATION, AuditEvent
from ..store.tables import ApiToken
from .audit_log import Event
from .paging import Page, RowPlace, page_of, within

_EVENTS: Any = getattr(AuditEvent, "__table__")  # noqa: B009 - SQLModel does not declare it


def search(
    session: Session, actor: Actor, organization_id: int, *, before: RowPlace | None = None, limit: int = 50
) -> Page[Event]:
    """Return a page of the events that are about an organisation, newest first.

    To its own admins everybody who is no member, nor one of its tokens, is ``installation``, without an address.

    Args:
        session: The transaction.
        actor: An admin, or one of the organisation.
        organization_id: Which.
        before: ``older`` of the page before.
        limit: Events of a page.

    Raises:
        Forbidden, NotFound: As :func:`~core.manage.organization_rows.reach`.
    """
    reach(session, actor, "organization.audit", organization_id, deleted=True)
    limit = within(limit)
    c = _EVENTS.c
    query = select(*(c[name] for name in Event._fields)).order_by(c.at.desc(), c.id.desc())
    query = query.where(text(f"({AUDITED_ORGANIZATION}) = :organization").bindparams(organization=str(organization_id)))
    if before is not None:
        query = query.where(tuple_(c.at, c.id) < tuple_(*before))
    found = [Event(*row) for row in session.execute(query.limit(limit + 1))]
    if not visible(session, actor, "organization.audit").everything:
        found = _without_others(session, organization_id, found)
    return page_of(found, limit)


def _without_others(session: Session, organization_id: int, events: list[Event]) -> list[Event]:
    of = col(OrganizationMember.organization_id) == organization_id
    members = set(session.scalars(select(col(OrganizationMember.user_id)).where(of)))
    names = session.scalars(select(col(ApiToken.name)).where(col(ApiToken.organization_id) == organization_id))
    tokens = {f"token:{name}" for name in names}
    return [
        event
        if event.actor_id in members or event.actor.removeprefix(APPLIER) in tokens
        else event._replace(actor=INSTALLATION, actor_id=None, address=None)
        for event in events
    ]
