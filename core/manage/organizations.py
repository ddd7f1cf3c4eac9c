"""Organisations: tenants of the services that resolve, and the templates that they build on.

Made and named by admins of the installation, in bulk where programs do it. How one is deleted, restored and purged:
:mod:`~.organization_deletion`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import select as sql_select
from sqlalchemy import tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, func, or_, select

from ..access.authority import not_found, require, visible
from ..actors import Actor
from ..audit.record import Target, changes_between, record
from ..errors import AlreadyExists, CoreError, Invalid, NotFound
from ..store import violations
from ..store.organization_schemas import LONGEST_NAME, MOST_AT_ONCE, OrganizationInput, could_be_name
from ..store.organization_tables import Organization, OrganizationName
from ..store.schemas import validate
from ..store.table import id_of
from ..store.versions import refuse_stale
from . import organization_names
from .organization_names import Claim
from .organization_rows import locked, reach

FIELDS: Final = ("slug", "name", "kind", "template_id", "shares_keys", "is_active", "keep_calls_days")
OWN: Final = frozenset({"keep_calls_days"})
"""Fields that an organisation's own admins may change too."""
PAGE: Final = 100
_LARGEST: Final = 2**31 - 1


class Entered(NamedTuple):
    """What became of one entry of :func:`create`: it was made, or why not."""

    organization: Organization | None
    error: CoreError | None


def create(
    session: Session, actor: Actor, entries: Sequence[Mapping[str, Any]], *, take_former: bool = False
) -> list[Entered]:
    """Make organisations, or templates, as one write; each entry has its outcome, and one that is refused keeps none of the others.

    Args:
        session: The transaction.
        actor: An admin.
        entries: Each an :class:`~core.store.organization_schemas.OrganizationInput`; up to 1,000.
        take_former: Whether slugs that other organisations had before may be taken from them.

    Raises:
        Forbidden: As everywhere.
        Invalid: If there are too many. What is wrong with an entry stands in its outcome: Invalid or AlreadyExists.
    """
    require(session, actor, "organization.create")
    if len(entries) > MOST_AT_ONCE:
        raise Invalid({"organizations": f"must be at most {MOST_AT_ONCE:,} at once; these are {len(entries):,}"})
    found: list[OrganizationInput | CoreError] = [_read(entry) for entry in entries]
    _refuse_templates(session, found)
    _refuse_taken(session, found, take_former=take_former)
    made = _insert(session, found)
    _claim(session, found, made, take_former=take_former)
    rows = {row.slug: row for row in _rows(session, list(made.values()))}
    outcomes = []
    for each in found:
        row = rows.get(each.slug) if isinstance(each, OrganizationInput) else None
        if row is not None and isinstance(each, OrganizationInput):
            after = {**row.model_dump(include=set(FIELDS)), "external_names": each.external_names or None}
            _record(session, actor, "organization.create", row, before={}, after=after)
        outcomes.append(Entered(row, None if isinstance(each, OrganizationInput) else each))
    return outcomes


def create_one(session: Session, actor: Actor, entry: Mapping[str, Any], *, take_former: bool = False) -> Organization:
    """Make one organisation; raises what :func:`create` has as its outcome."""
    outcome = create(session, actor, [entry], take_former=take_former)[0]
    if outcome.organization is None:
        raise outcome.error or NotFound("organisation", "")
    return outcome.organization


def get(session: Session, actor: Actor, organization_id: int) -> Organization:
    """Return an organisation that the actor belongs to, or of which it sees all; also a deleted one, to the installation's own.

    Raises:
        Forbidden, NotFound: The latter also for another's.
    """
    return reach(session, actor, "organization.read", organization_id, role="analyst", deleted=True)


def get_by_name(session: Session, actor: Actor, name: str) -> Organization:
    """Return the organisation that services mean by *name*; raises as :func:`get`."""
    row = find_by_name(session, actor, name)
    if row is None:
        seen = visible(session, actor, "organization.read")
        not_found(session, actor, "organization.read", "organisation", name[:LONGEST_NAME], seen=seen)
    return row


def find_by_name(session: Session, actor: Actor, name: str) -> Organization | None:
    """Return the organisation that services mean by *name*, None if the actor sees none: for what somebody is still typing."""
    seen = visible(session, actor, "organization.read")
    query = (
        select(Organization)
        .join(OrganizationName, col(OrganizationName.organization_id) == Organization.id)
        .where(OrganizationName.name == name, seen.where(Organization.id), col(Organization.deleted_at).is_(None))
    )
    row: Organization | None = session.exec(query).one_or_none() if could_be_name(name) else None
    return row


def search(
    session: Session,
    actor: Actor,
    words: str = "",
    *,
    kind: str | None = None,
    deleted: bool = False,
    after: str | None = None,
    after_id: int = _LARGEST,
    limit: int = PAGE,
) -> list[Organization]:
    """Return the organisations that the actor sees, by slug, a page of them.

    Args:
        session: The transaction.
        actor: Who.
        words: Looked for in what it is called, and at the beginning of each of its names, whatever their case.
        kind: Only those of this kind.
        deleted: Those that were deleted, instead.
        after: The slug that the page before ended with.
        after_id: And the id: of those that were deleted several may have had one slug.
        limit: So many at most.
    """
    seen = visible(session, actor, "organization.list")
    query = select(Organization).where(seen.where(Organization.id))
    is_gone = col(Organization.deleted_at)
    query = query.where(is_gone.is_not(None) if deleted else is_gone.is_(None))
    if kind is not None:
        query = query.where(Organization.kind == kind)
    if after is not None:
        query = query.where(tuple_(col(Organization.slug), col(Organization.id)) > tuple_(after, after_id))
    if words := " ".join(words.replace("\x00", "").encode("utf-8", "ignore").decode().split())[:200]:
        like = words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        named = select(OrganizationName.organization_id).where(
            or_(col(OrganizationName.name).like(f"{like}%"), col(OrganizationName.name).like(f"{like.lower()}%"))
        )
        query = query.where(
            or_(col(Organization.id).in_(named), func.lower(Organization.name).like(f"%{like.lower()}%"))
        )
    return list(session.exec(query.order_by(col(Organization.slug), col(Organization.id)).limit(limit)))


def slugs(session: Session, ids: Iterable[int]) -> dict[int, str]:
    """Return the slugs of organisations that somebody sees rows of: id -> slug."""
    query = select(Organization.id, Organization.slug).where(col(Organization.id).in_(list(ids)))
    return {number or 0: slug for number, slug in session.exec(query)}


def count(session: Session, actor: Actor) -> Counter[str]:
    """Count the organisations that the actor sees: ``organization``, ``template`` and ``deleted``."""
    seen = visible(session, actor, "organization.list")
    is_gone = col(Organization.deleted_at).is_not(None)
    rows: Any = session.execute(
        sql_select(col(Organization.kind), is_gone.label("gone"), func.count().label("number"))
        .where(seen.where(Organization.id))
        .group_by(col(Organization.kind), is_gone)
    )
    found: Counter[str] = Counter()
    for kind, gone, number in rows:
        found["deleted" if gone else kind] += number
    return found


def update(
    session: Session,
    actor: Actor,
    organization_id: int,
    patch: Mapping[str, Any],
    *,
    version: int | None = None,
    take_former: bool = False,
) -> Organization:
    """Change what *patch* names: ``slug``, ``name``, ``template_id``, ``shares_keys``, ``is_active``, ``keep_calls_days``. A slug that goes stays a former one.

    Args:
        session: The transaction.
        actor: An admin; of the organisation itself what is in :data:`OWN`.
        organization_id: Which.
        patch: Field -> value.
        version: The version that the edit was based on; None writes whatever is there.
        take_former: Whether a slug that another organisation had before may be taken from it.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, AlreadyExists: The last if the slug is another's.
    """
    if patch.keys() <= OWN:
        reach(session, actor, "organization.update", organization_id)
    else:
        require(session, actor, "organization.update")
    if wrong := [name for name in patch if name not in FIELDS]:
        raise Invalid(dict.fromkeys(wrong, "is not a field here"))
    row = locked(session, organization_id)
    refuse_stale("organisation", row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    if patch.get("kind", row.kind) != row.kind:
        raise Invalid({"kind": "stays as it was made"})
    wanted = validate(OrganizationInput, {**before, **patch}).model_dump(include=set(FIELDS))
    if wanted["template_id"] != row.template_id:
        require_template(session, wanted["template_id"])
    if wanted["slug"] != row.slug:
        organization_names.move_slug(session, row, wanted["slug"], take_former=take_former)
    return write(session, actor, "organization.update", row, before=before, wanted=wanted)


def _read(entry: Mapping[str, Any]) -> OrganizationInput | CoreError:
    try:
        return validate(OrganizationInput, entry)
    except Invalid as error:
        return error


def _refuse_templates(session: Session, found: list[OrganizationInput | CoreError]) -> None:
    """Put an error in place of each entry whose template is none; those that are stay share-locked."""
    asked = {each.template_id for each in found if isinstance(each, OrganizationInput) and each.template_id}
    there = set(
        session.exec(
            select(Organization.id)
            .where(col(Organization.id).in_(asked), Organization.kind == "template")
            .where(col(Organization.deleted_at).is_(None))
            .order_by(col(Organization.id))
            .with_for_update(read=True)
        )
        if asked
        else ()
    )
    for at, each in enumerate(found):
        if isinstance(each, OrganizationInput) and each.template_id and each.template_id not in there:
            found[at] = Invalid({"template_id": _NO_TEMPLATE})


def _refuse_taken(session: Session, found: list[OrganizationInput | CoreError], *, take_former: bool) -> None:
    """Put an error in place of each entry with a name that is another's, or an earlier entry's."""
    held = organization_names.holders(session, [name for each in found for name in _names(each)])
    used: set[str] = set()
    for at, each in enumerate(found):
        for name in _names(each):
            holder = held.get(name)
            if name in used:
                found[at] = organization_names.taken(name, None, _field(each, name))
            elif holder and not holder.is_deleted and not (take_former and holder.kind == "former"):
                found[at] = organization_names.taken(name, holder, _field(each, name))
        used.update(_names(found[at]))


def _names(each: OrganizationInput | CoreError) -> list[str]:
    return [each.slug, *each.external_names] if isinstance(each, OrganizationInput) else []


def _field(each: OrganizationInput | CoreError, name: str) -> str:
    return "slug" if isinstance(each, OrganizationInput) and name == each.slug else "external_names"


def _insert(session: Session, found: list[OrganizationInput | CoreError]) -> dict[str, int]:
    """Insert what is left, in the order of slugs so that two at once wait for each other; returns slug -> id."""
    wanted = [each for each in found if isinstance(each, OrganizationInput)]
    values = [each.model_dump(include=set(FIELDS)) for each in sorted(wanted, key=lambda each: each.slug)]
    if not values:
        return {}
    table: Any = Organization.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    put = insert(table).values(values)
    put = put.on_conflict_do_nothing(index_elements=["slug"], index_where=table.c.deleted_at.is_(None))
    return {row.slug: row.id for row in session.execute(put.returning(table.c.slug, table.c.id))}


def _claim(
    session: Session, found: list[OrganizationInput | CoreError], made: dict[str, int], *, take_former: bool
) -> None:
    """Give the new ones their names; one that somebody was quicker to take costs its entry."""
    claims: list[Claim] = []
    for each in found:
        if isinstance(each, OrganizationInput) and each.slug in made:
            claims.append(Claim(each.slug, made[each.slug], "slug"))
            claims += [Claim(name, made[each.slug], "external") for name in each.external_names]
    given = organization_names.claim(session, claims, take_former=take_former)
    for at, each in enumerate(found):
        if not isinstance(each, OrganizationInput):
            continue
        lost = [name for name in _names(each) if name not in given]
        if lost:
            if each.slug in made:
                session.execute(delete(Organization).where(col(Organization.id) == made.pop(each.slug)))
            holder = organization_names.holders(session, lost[:1]).get(lost[0])
            found[at] = organization_names.taken(lost[0], holder, _field(each, lost[0]))


def _rows(session: Session, ids: list[int]) -> list[Organization]:
    query = select(Organization).where(col(Organization.id).in_(ids))
    return list(session.exec(query.execution_options(populate_existing=True)))


def require_template(session: Session, template_id: int | None) -> None:
    """Return when an organisation may build on this one, which stays share-locked; raises Invalid."""
    if template_id is None:
        return
    row = session.get(Organization, template_id, with_for_update={"read": True}, populate_existing=True)
    if row is None or row.kind != "template" or row.deleted_at is not None:
        raise Invalid({"template_id": _NO_TEMPLATE})


_NO_TEMPLATE: Final = "must be the id of a template that is there"


def write(
    session: Session,
    actor: Actor,
    action: str,
    row: Organization,
    *,
    before: Mapping[str, Any],
    wanted: Mapping[str, Any],
) -> Organization:
    """Write what is *wanted* of a row that was *before*, and put it on record; raises AlreadyExists for a slug."""
    for name, value in wanted.items():
        if value != getattr(row, name):
            setattr(row, name, value)
    violations.flush(session, AlreadyExists("organisation", row.slug, "slug"))
    session.refresh(row)
    after = row.model_dump(include=set(FIELDS))
    if action != "organization.update" or before != after:
        _record(session, actor, action, row, before=before, after=after)
    return row


def _record(
    session: Session,
    actor: Actor,
    action: str,
    row: Organization,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    changes = changes_between(before, after, (*FIELDS, "external_names"))
    record(session, actor, action, target_of(row), changes, organization=id_of(row))


def target_of(row: Organization) -> Target:
    """Return what an event about an organisation is about."""
    return Target("organization", row.id, row.slug)
