"""History: what was changed when, by whom and why; what differs between two moments; and the store as of a moment.

Written by the database (migrations/versions/0022_history.py). Who sees what: the installation's admins all, an organisation's
admins what is theirs, analysts the same without what only admins read (:data:`ADMINS_ONLY`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import Visible, not_found, role_of, visible
from ..actors import Actor
from ..manage.organization_members import shown_names
from ..manage.organization_rows import reach
from ..store import past
from ..store.organization_schemas import could_be_name
from ..store.past import Past
from . import history_names
from .history_moments import Moment, moment
from .history_queries import CHANGES, DIFFERENCE, Filters, VersionPlace, matching
from .paging import within

READ: Final = "history.read"
ADMINS_ONLY: Final = frozenset(
    {"custom_settings", "api_base_url", "plain_value", "api_key", "api_key_set_at", "value", "value_set_at"}
)
"""Fields whose values only admins read: of the installation, or of the organisation that the row is of."""
MOST: Final = 1_000
"""Rows of one difference."""
_NO_FIELDS: Final = frozenset({"id"})


class VersionChange(NamedTuple):
    """One version of a row, and what is different from the one before."""

    generation: int
    at: datetime
    by: str
    comment: str | None
    table: str
    row_id: int
    organization_id: int | None
    op: str
    """``+`` made, ``=`` changed, ``-`` gone."""
    version: int | None
    """Of the row."""
    name: str
    """What people call it: ``acme · summarise · openai``."""
    fields: dict[str, tuple[Any, Any]]
    """Field -> (before, after), without those that the actor may not read."""
    hidden: tuple[str, ...]
    """Names of those."""
    is_first: bool = False
    """Whether nothing is known of before: the history begins with it."""
    image: dict[str, Any] | None = None
    """The row, without what the actor may not read; None: it is gone."""

    @property
    def place(self) -> VersionPlace:
        """Where it stands in a list."""
        return VersionPlace(self.generation, self.table, self.row_id)


class ChangePage(NamedTuple):
    """A page of versions, newest first."""

    rows: list[VersionChange]
    older: VersionPlace | None
    """Where the next page begins; None on the last one."""


class RowDifference(NamedTuple):
    """One row that is not the same at two moments."""

    table: str
    row_id: int
    organization_id: int | None
    name: str
    op: str
    """``+``: it is there at the later one only; ``-`` at the earlier one only; ``=`` at both."""
    fields: dict[str, tuple[Any, Any]]
    """Field -> (at the one, at the other)."""
    hidden: tuple[str, ...]
    generation: int
    """Of the last change up to the later moment."""
    at: datetime
    by: str


class Differences(NamedTuple):
    """What differs between two moments."""

    before: Moment
    after: Moment
    rows: list[RowDifference]
    is_cut: bool
    """Whether there are more than were asked for."""


class Eyes(NamedTuple):
    """What an actor may read of the history."""

    seen: Visible
    is_admin: bool
    """Of the installation; the command line is."""

    def reads_all(self, organization_id: int | None) -> bool:
        """Tell whether every field of a row is theirs to read."""
        return self.is_admin or (organization_id is not None and self.seen.roles.get(organization_id) == "admin")

    def shown(self, organization_id: int | None, image: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return an image without what the actor may not read."""
        if image is None or self.reads_all(organization_id):
            return None if image is None else dict(image)
        return {name: value for name, value in image.items() if name not in ADMINS_ONLY}


def eyes(session: Session, actor: Actor) -> Eyes:
    """Return what *actor* may read; raises Forbidden."""
    seen = visible(session, actor, READ)
    is_program = actor.user_id is None and actor.token_id is None
    return Eyes(seen, seen.everything and (is_program or role_of(session, actor) == "admin"))


# --- what was changed ---


def changes(
    session: Session,
    actor: Actor,
    filters: Filters = Filters(),  # noqa: B008 - immutable
    *,
    after: VersionPlace | None = None,
    limit: int = 50,
) -> ChangePage:
    """Return a page of what was changed, newest first.

    Versions with which the history begins are no changes: they are listed for one row alone.

    Args:
        session: The transaction.
        actor: Who; sees what is theirs to see.
        filters: Which.
        after: ``older`` of the page before.
        limit: So many at most.

    Raises:
        Forbidden, NotFound: The latter for an organisation that the actor sees nothing of.
    """
    found = eyes(session, actor)
    if filters.organization_id is not None:
        found = _of_organization(session, actor, found, filters.organization_id)
    if filters.by is not None and not found.seen.everything:
        shown = shown_names(session, found.seen, filters.organization_id)
        if filters.organization_id is None or shown(filters.by) != filters.by:
            return ChangePage([], None)  # who works for the installation has no name to them
    limit = within(limit)
    hides = () if found.reads_all(filters.organization_id) else ADMINS_ONLY
    conditions, values = matching(found.seen, filters, after, hides=hides)
    query = (
        f"{CHANGES} WHERE {' AND '.join(conditions)} ORDER BY h.generation DESC, h.table_name, h.row_id LIMIT :limit"
    )
    rows = session.execute(text(query), {**values, "limit": limit + 1}).all()
    made = _changes_of(session, found, rows[:limit])
    return ChangePage(made, made[-1].place if len(rows) > limit else None)


def version(session: Session, actor: Actor, table: str, row_id: int, generation: int) -> VersionChange:
    """Return what a row was at a generation: its newest version up to it.

    Raises:
        Forbidden: As everywhere.
        NotFound: If there is none, or it is of an organisation that the actor sees nothing of.
        Gone: If the generation is not kept any more.
    """
    then = moment(session, generation)
    found = eyes(session, actor)
    query = f"{CHANGES} WHERE h.table_name = :table AND h.row_id = :row AND h.generation <= :at ORDER BY h.generation DESC LIMIT 1"
    values = {"table": table.replace("\x00", "")[:100], "row": min(row_id, 2**31 - 1), "at": then.generation}
    row = session.execute(text(query), values).one_or_none()
    if row is None or not _sees(found.seen, row.organization_id):
        not_found(
            session, actor, READ, "version", f"{table[:100]} {row_id} at generation {generation}", seen=found.seen
        )
    return _changes_of(session, found, [row])[0]


def difference(
    session: Session,
    actor: Actor,
    before: datetime | int,
    after: datetime | int,
    *,
    organization_id: int | None = None,
    most: int | None = None,
) -> Differences:
    """Return the rows that are not the same at two moments, field by field; by table and row.

    Args:
        session: The transaction.
        actor: Who; sees what is theirs to see.
        before: A time or a generation.
        after: Another one; it may be the earlier one.
        organization_id: Only what is this organisation's.
        most: Rows, of which the first are returned; None: :data:`MOST`.

    Raises:
        Forbidden, NotFound, Gone, Invalid: As :func:`changes` and :func:`moment`.
    """
    most = MOST if most is None else most
    found = eyes(session, actor)
    if organization_id is not None:
        found = _of_organization(session, actor, found, organization_id)
    one, other = moment(session, before), moment(session, after)
    first, last = sorted((one.generation, other.generation))
    conditions, values = matching(found.seen, Filters(organization_id), starts=True)
    query = DIFFERENCE.format(conditions=" AND ".join(conditions))
    rows = session.execute(text(query), {**values, "first": first, "last": last, "limit": most + 1}).all()
    names = history_names.Names(session, [(row.table_name, row.row_id, row.later or row.earlier) for row in rows])
    by = {of: shown_names(session, found.seen, of) for of in {row.organization_id for row in rows}}
    differences = []
    for row in rows[:most]:
        fields, hidden = _split(found, row.organization_id, row.earlier, row.later)
        if one.generation > other.generation:
            fields = {name: (new, old) for name, (old, new) in fields.items()}
        op = (
            "="
            if row.earlier is not None and row.later is not None
            else "+"
            if (row.later is not None) == (first == one.generation)
            else "-"
        )
        who = by[row.organization_id](row.by) or ""
        name = names.of(row.table_name, row.later or row.earlier)
        differences.append(
            RowDifference(
                row.table_name, row.row_id, row.organization_id, name, op, fields, hidden, row.generation, row.at, who
            )
        )
    return Differences(one, other, differences, is_cut=len(rows) > most)


# --- as of ---


class AsOf(NamedTuple):
    """The store as it was."""

    session: Session
    """Reads the past: for whatever reads settings. Keys are not there to be opened; it writes nothing."""
    moment: Moment


@contextmanager
def as_of(
    session: Session, actor: Actor, at: datetime | int, *, organization: str | None = None, everything: bool = False
) -> Iterator[AsOf]:
    """Give the store as it was, in the transaction of *session*, which is not to be used meanwhile.

    Within it :func:`core.manage.hierarchy.in_force` and all that reads settings answer as they would have then, by the rights of today.

    Args:
        session: The transaction.
        actor: Who.
        at: A time or a generation.
        organization: A name of one, now or then: what it had is read too.
        everything: Read what all organisations had; it takes seconds where they are many.

    Raises:
        Forbidden, Gone, Invalid: As :func:`moment`.
        NotFound: If the organisation is one that the actor sees nothing of.
    """
    then = moment(session, at)
    ids: tuple[int, ...] | None = ()
    if organization is not None:
        ids = _organizations(session, actor, organization)
    elif everything and visible(session, actor, READ).everything:
        ids = None
    with past.reading(session, Past(then.generation, ids)) as reading:
        yield AsOf(reading, then)


def _organizations(session: Session, actor: Actor, name: str) -> tuple[int, ...]:
    """Return the ids that *name* stood for, ever, and those of the templates that these ever had."""
    seen = visible(session, actor, READ)
    found: list[int] = []
    if could_be_name(name):
        found = list(session.scalars(text(_NAMED), {"name": name}))
    if not seen.everything:
        found = [number for number in found if number in seen.roles]
        if not found:
            not_found(session, actor, READ, "organisation", name, seen=seen)
    templates = session.scalars(text(_TEMPLATES), {"ids": found}) if found else ()
    return tuple({*found, *templates})


# --- inside ---


def _of_organization(session: Session, actor: Actor, found: Eyes, organization_id: int) -> Eyes:
    if not found.seen.everything:  # what was purged is nobody's any more, and the installation's admins find it
        reach(session, actor, READ, organization_id, role="analyst")
    return found


def _sees(seen: Visible, organization_id: int | None) -> bool:
    return seen.everything or organization_id in seen.roles


def _changes_of(session: Session, found: Eyes, rows: Any) -> list[VersionChange]:
    names = history_names.Names(session, [(row.table_name, row.row_id, row.image or row.before) for row in rows])
    by = {of: shown_names(session, found.seen, of) for of in {row.organization_id for row in rows}}
    made = []
    for row in rows:
        is_first = row.op == "=" and row.before_op is None
        fields, hidden = _split(found, row.organization_id, row.image if is_first else row.before, row.image)
        who = by[row.organization_id](row.by) or ""
        made.append(
            VersionChange(
                row.generation,
                row.at,
                who,
                row.comment,
                row.table_name,
                row.row_id,
                row.organization_id,
                row.op,
                row.version,
                names.of(row.table_name, row.image or row.before),
                fields,
                hidden,
                is_first,
                found.shown(row.organization_id, row.image),
            )
        )
    return made


def _split(
    found: Eyes, organization_id: int | None, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[dict[str, tuple[Any, Any]], tuple[str, ...]]:
    fields = fields_between(before, after)
    hidden: tuple[str, ...] = ()
    if not found.reads_all(organization_id):
        hidden = tuple(name for name in fields if name in ADMINS_ONLY)
        fields = {name: pair for name, pair in fields.items() if name not in ADMINS_ONLY}
    return fields, hidden


def fields_between(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two images: field -> (before, after), by name."""
    one, other = before or {}, after or {}
    names = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    return {name: (one.get(name), other.get(name)) for name in sorted(names) if name not in _NO_FIELDS}


_NAMED: Final = """
    SELECT organization_id FROM organization_names WHERE name = :name
    UNION SELECT (image ->> 'organization_id')::integer FROM settings_history
        WHERE table_name = 'organization_names' AND image ->> 'name' = :name
"""
_TEMPLATES: Final = """
    SELECT DISTINCT (image ->> 'template_id')::integer FROM settings_history
    WHERE table_name = 'organizations' AND row_id = ANY(:ids) AND image ? 'template_id'
    UNION SELECT template_id FROM organizations WHERE id = ANY(:ids) AND template_id IS NOT NULL
"""
