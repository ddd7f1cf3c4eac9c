"""Rows of organisations as an actor finds them: another's is not found, as what is not there."""

from typing import Any, TypeVar

from sqlmodel import Session, col, select

from ..access.authority import not_found, require, visible
from ..actors import Actor
from ..errors import NotFound
from ..store.organization_tables import FeatureLlmOverride, Organization, OrganizationProvider
from ..store.personal_data_tables import LlmPiiSettings
from ..store.schemas import could_be_id
from ..store.tables import LlmSettings

R = TypeVar("R", LlmSettings, FeatureLlmOverride, OrganizationProvider, LlmPiiSettings)


def reach(
    session: Session,
    actor: Actor,
    action: str,
    organization_id: int,
    *,
    role: str = "admin",
    lock: bool = False,
    deleted: bool = False,
) -> Organization:
    """Return an organisation that *actor* may do *action* with, which takes *role* there or of the installation.

    Args:
        session: The transaction.
        actor: Who.
        action: What, as the audit names it.
        organization_id: Which.
        role: What it takes.
        lock: Whether the row stays locked until the transaction ends.
        deleted: Whether a deleted one is found too.

    Raises:
        NotFound: If there is none, or the actor sees nothing of it.
        Forbidden: If the actor sees it, and may not do this.
    """
    seen = visible(session, actor, action)
    query = select(Organization).where(Organization.id == organization_id, seen.where(Organization.id))
    if not deleted:
        query = query.where(col(Organization.deleted_at).is_(None))
    if lock:
        query = query.with_for_update()
    row = None
    if could_be_id(organization_id):
        row = session.exec(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        not_found(session, actor, action, "organisation", organization_id, seen=seen)
    require(session, actor, action, role=role, organization=organization_id)
    return row


def reach_row(
    session: Session,
    actor: Actor,
    action: str,
    model: type[R],
    row_id: int,
    *,
    kind: str = "settings row",
    role: str = "admin",
) -> R:
    """Return a row, which may be an organisation's, that *actor* may do *action* with; it is not locked yet.

    Args:
        session: The transaction.
        actor: Who.
        action: What, as the audit names it.
        model: The table.
        row_id: Which.
        kind: What people call such a row.
        role: What it takes, of the row's organisation or of the installation.

    Raises:
        NotFound: If there is none, or the actor sees nothing of its organisation, or of the installation if it is nobody's.
        Forbidden: If the actor sees it, and may not do this.
    """
    seen = visible(session, actor, action)
    found: Any = model
    query: Any = select(model).where(found.id == row_id, seen.where(found.organization_id))
    row: R | None = session.exec(query).one_or_none() if could_be_id(row_id) else None
    if row is None:
        if seen.everything:
            require(session, actor, action, role=role)  # an analyst is refused before anything is said of what is there
        not_found(session, actor, action, kind, row_id, seen=seen)
    require(session, actor, action, role=role, organization=row.organization_id)
    return row


def locked(session: Session, organization_id: int, *, deleted: bool = False) -> Organization:
    """Return an organisation, locked until the transaction ends; for what takes an admin of the installation, who was asked for.

    Raises:
        NotFound: If there is none, or it is deleted and *deleted* does not ask for such.
    """
    row = None
    if could_be_id(organization_id):
        row = session.get(Organization, organization_id, with_for_update=True, populate_existing=True)
    if row is None or (row.deleted_at is not None and not deleted):
        raise NotFound("organisation", organization_id)
    return row
