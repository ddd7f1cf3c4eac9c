"""Organisations that are deleted: kept with all they have, so that they can be restored, until they are purged."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session, col, func, select, update
from sqlmodel import delete as sql_delete

from ..access.authority import require
from ..actors import Actor
from ..audit.record import changes_between, record
from ..errors import Invalid, NotFound
from ..store.organization_schemas import OrganizationInput
from ..store.organization_tables import FeatureLlmOverride, Organization, OrganizationMember, OrganizationProvider
from ..store.schemas import validate
from ..store.tables import ApiToken, LlmSettings
from ..store.versions import refuse_stale
from ..wording import counted
from . import organization_names
from .organization_rows import locked
from .organizations import FIELDS, require_template, target_of, write

KEPT_DAYS: Final = 30
"""A deleted organisation is not purged before so many days, unless it is named."""
_NAMED: Final = 5
"""So many names stand in a sentence."""


def deletion(session: Session, organization_id: int) -> list[str]:
    """Return, in words, what an organisation has: it is kept while it is deleted, and goes when it is purged."""
    tables: tuple[tuple[Any, str], ...] = (
        (LlmSettings, "settings row"),
        (FeatureLlmOverride, "feature override"),
        (OrganizationProvider, "provider rule"),
        (OrganizationMember, "member"),
        (ApiToken, "API token"),
    )
    goes = []
    for model, what in tables:
        number = session.exec(
            select(func.count()).select_from(model).where(model.organization_id == organization_id)
        ).one()
        if number:
            goes.append(counted(number, what))
    own = select(func.count()).select_from(OrganizationProvider)
    keys = session.exec(
        own.where(
            OrganizationProvider.organization_id == organization_id,
            col(OrganizationProvider.api_key_encrypted).is_not(None),
        )
    ).one()
    return [*goes, *([counted(keys, "own API key")] if keys else [])]


def delete(session: Session, actor: Actor, organization_id: int, *, version: int | None = None) -> Organization:
    """Delete an organisation: services do not find it any more, its names are free, its members see nothing of it. It can be restored.

    Raises:
        Forbidden, NotFound, Conflict: The last if it was changed since *version*.
        Invalid: If it is the template of others.
    """
    require(session, actor, "organization.delete")
    row = locked(session, organization_id)
    refuse_stale("organisation", row, version, {})
    users = select(Organization.slug).where(
        Organization.template_id == organization_id, col(Organization.deleted_at).is_(None)
    )
    slugs = list(session.exec(users.order_by(col(Organization.slug)).limit(_NAMED + 1)))
    if slugs:
        more = " and others" if len(slugs) > _NAMED else ""
        raise Invalid({"template": f"is what {', '.join(slugs[:_NAMED])}{more} build on: give them another one first"})
    has = deletion(session, organization_id)
    row.deleted_at = datetime.now(UTC)
    session.flush()
    session.refresh(row)
    changes = {"has": (has or None, None), **changes_between(row.model_dump(include=set(FIELDS)), {}, FIELDS)}
    record(session, actor, "organization.delete", target_of(row), changes, organization=organization_id)
    return row


def restore(
    session: Session, actor: Actor, organization_id: int, *, slug: str | None = None, take_former: bool = False
) -> Organization:
    """Take back a deletion: all it had is in force again, and those of its names that nobody has taken.

    Args:
        session: The transaction.
        actor: An admin.
        organization_id: Which.
        slug: Another slug than it had; needed where somebody else has that one by now.
        take_former: As of :func:`update_one`.

    Raises:
        Forbidden, NotFound: The latter also if it is not deleted.
        AlreadyExists: If its slug is another's by now.
        Invalid: If its template was deleted.
    """
    require(session, actor, "organization.restore")
    row = locked(session, organization_id, deleted=True)
    if row.deleted_at is None:
        raise NotFound("deleted organisation", organization_id)
    before = row.model_dump(include=set(FIELDS))
    wanted = validate(OrganizationInput, {**before, "slug": slug or row.slug}).slug
    if row.template_id is not None:
        require_template(session, row.template_id)
    held = organization_names.holders(session, [wanted]).get(wanted)
    if held is None or (held.organization_id, held.kind) != (organization_id, "slug"):
        organization_names.move_slug(session, row, wanted, take_former=take_former)
    row.deleted_at = None
    return write(session, actor, "organization.restore", row, before=before, wanted={"slug": wanted})


def purge(session: Session, actor: Actor, organization_id: int, *, with_history: bool = False) -> list[str]:
    """Take away a deleted organisation for good, with its rows, keys, members and tokens; returns what went, in words.

    Args:
        session: The transaction.
        actor: An admin.
        organization_id: Which.
        with_history: Whether its history goes too: as of any moment it was never there then.

    Raises:
        Forbidden, NotFound: The latter also if it is not deleted.
    """
    require(session, actor, "organization.purge")
    row = locked(session, organization_id, deleted=True)
    if row.deleted_at is None:
        raise NotFound("deleted organisation", organization_id)
    goes = deletion(session, organization_id)
    of_gone = update(Organization).where(col(Organization.template_id) == organization_id)
    session.execute(of_gone.values(template_id=None))  # deleted ones alone: others would have kept it
    session.execute(sql_delete(Organization).where(col(Organization.id) == organization_id))
    session.expunge(row)
    if with_history:
        session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # the versions that say that it is gone are written now
        number = session.scalar(text("SELECT llm_purge_organization_history(:id)"), {"id": organization_id}) or 0
        session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        goes.append(f"its history of {counted(number, 'version')}")
    changes = {"had": (goes or None, None), "slug": (row.slug, None), "name": (row.name, None)}
    record(session, actor, "organization.purge", target_of(row), changes, organization=organization_id)
    return goes


def to_purge(session: Session, days: int = KEPT_DAYS) -> list[Organization]:
    """Return the organisations that were deleted more than *days* ago, the longest ago first."""
    border: Any = func.now() - timedelta(days=days)
    return list(
        session.exec(
            select(Organization)
            .where(col(Organization.deleted_at) < border)
            .order_by(col(Organization.deleted_at), col(Organization.id))
        )
    )
