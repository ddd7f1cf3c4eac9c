"""The names by which services ask for an organisation: its slug, names of their own (external), and slugs it had (former)."""

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import bindparam, delete, text
from sqlalchemy import select as sql_select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Integer, Text
from sqlmodel import Session, col, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record
from ..errors import AlreadyExists, Conflict
from ..store.organization_schemas import NamesInput, could_be_name
from ..store.organization_tables import Organization, OrganizationName
from ..store.schemas import validate
from ..store.table import id_of
from .organization_rows import locked

NameKind = Literal["slug", "external", "former"]


class Claim(NamedTuple):
    """A name that an organisation is to have."""

    name: str
    organization_id: int
    kind: NameKind


class Holder(NamedTuple):
    """Whose a name is."""

    organization_id: int
    slug: str
    kind: str
    is_deleted: bool
    """Its name is free then."""


def list_of(session: Session, organization_ids: Iterable[int]) -> dict[int, list[OrganizationName]]:
    """Return the names of organisations: id -> its slug, then its external names, then former slugs, each by name."""
    ids = list(organization_ids)
    found: dict[int, list[OrganizationName]] = {number: [] for number in ids}
    query = select(OrganizationName).where(col(OrganizationName.organization_id).in_(ids))
    order = ("slug", "external", "former")
    for row in sorted(session.exec(query), key=lambda row: (order.index(row.kind), row.name)):
        found[row.organization_id].append(row)
    return found


def holders(session: Session, names: Iterable[str]) -> dict[str, Holder]:
    """Return whose each of *names* is, of those that are somebody's."""
    query: Any = (
        sql_select(
            col(OrganizationName.name),
            col(OrganizationName.organization_id),
            col(Organization.slug),
            col(OrganizationName.kind),
            col(Organization.deleted_at).is_not(None),
        )
        .join(Organization, col(Organization.id) == OrganizationName.organization_id)
        .where(col(OrganizationName.name).in_(list(names)))
    )
    return {name: Holder(*rest) for name, *rest in session.execute(query)}


def find(session: Session, name: str) -> int | None:
    """Return the id of the organisation that services mean by *name*, be it deleted or not; None: nobody's."""
    if not could_be_name(name):
        return None
    query = select(OrganizationName.organization_id).where(OrganizationName.name == name)
    return session.exec(query).one_or_none()


def claim(session: Session, claims: Iterable[Claim], *, take_former: bool = False) -> set[str]:
    """Give names to organisations, each if it is free; returns those that were given. Each name stands once in *claims*.

    A name is free if nobody has it, if who has it is deleted, or is the same organisation; with *take_former* also if it is a
    slug that another had.
    """
    wanted = sorted(claims)
    if not wanted:
        return set()
    names, ids, kinds = zip(*wanted, strict=True)
    given = session.execute(
        _CLAIM, {"names": list(names), "ids": list(ids), "kinds": list(kinds), "take_former": take_former}
    )
    return set(given.scalars())


def set_external(
    session: Session,
    actor: Actor,
    organization_id: int,
    names: list[str],
    *,
    was: list[str] | None = None,
    take_former: bool = False,
) -> list[str]:
    """Give an organisation these external names, in place of those it has; returns them by name.

    Args:
        session: The transaction.
        actor: An admin.
        organization_id: Which.
        names: All of them; each is what services write, letter by letter.
        was: Those that the edit was based on; None writes whatever is there.
        take_former: Whether a slug that another organisation had before may be taken from it.

    Raises:
        Forbidden, NotFound, Invalid, Conflict: The last if they were changed since.
        AlreadyExists: If one is another organisation's.
    """
    require(session, actor, "organization.set_names")
    organization = locked(session, organization_id)
    wanted = sorted(set(validate(NamesInput, {"external_names": names}).external_names))
    own = list_of(session, [organization_id])[organization_id]
    before = [row.name for row in own if row.kind == "external"]
    if was is not None and sorted(was) != before:
        changes = {"external_names": (before, wanted)}
        raise Conflict("list of names", organization.version, None, None, changes)
    taken = {row.name for row in own if row.kind == "slug"} & set(wanted)
    new = [Claim(name, organization_id, "external") for name in wanted if name not in {*before, *taken}]
    refused = {each.name for each in new} - claim(session, new, take_former=take_former) | taken
    if refused:
        raise _is_taken(session, min(refused), "external_names")
    gone = [name for name in before if name not in wanted]
    session.execute(delete(OrganizationName).where(col(OrganizationName.name).in_(gone)))
    if before != wanted:
        target = Target("organization", organization_id, organization.slug)
        changes = {"external_names": (before, wanted)}
        record(session, actor, "organization.set_names", target, changes, organization=organization_id)
    return wanted


def move_slug(session: Session, organization: Organization, slug: str, *, take_former: bool = False) -> None:
    """Have an organisation, which is locked, answer to *slug*; the one it had stays as a former one.

    Raises:
        AlreadyExists: If it is another's.
    """
    number = id_of(organization)
    session.execute(_FORMER, {"id": number})
    if not claim(session, [Claim(slug, number, "slug")], take_former=take_former):
        raise _is_taken(session, slug)
    organization.slug = slug


def _is_taken(session: Session, name: str, field: str = "slug") -> AlreadyExists:
    return taken(name, holders(session, [name]).get(name), field)


def taken(name: str, holder: Holder | None, field: str = "slug") -> AlreadyExists:
    """Return the error that a name, which stands in *field*, is another organisation's; that of a former slug can be taken on purpose."""
    what = {"former": "organisation with the former slug", "external": "organisation with the external name"}
    return AlreadyExists(what.get(holder.kind if holder else "", "organisation with the name"), name, field)


_CLAIM: Final = text(
    """
    INSERT INTO organization_names AS held (name, organization_id, kind)
        SELECT * FROM unnest(:names, :ids, :kinds)
        ON CONFLICT (name) DO UPDATE SET organization_id = excluded.organization_id, kind = excluded.kind
        WHERE (held.organization_id = excluded.organization_id AND held.kind <> 'slug')
            OR (held.kind = 'former' AND :take_former)
            OR EXISTS (SELECT FROM organizations o WHERE o.id = held.organization_id AND o.deleted_at IS NOT NULL)
        RETURNING name
    """
).bindparams(
    bindparam("names", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Integer)), bindparam("kinds", type_=ARRAY(Text))
)
_FORMER: Final = text("UPDATE organization_names SET kind = 'former' WHERE organization_id = :id AND kind = 'slug'")
