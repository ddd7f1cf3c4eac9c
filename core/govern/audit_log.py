"""What an admin reads of the audit: events by filter, a page at a time, as CSV; and purging its oldest part."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, func, literal_column, select, text, tuple_
from sqlalchemy.exc import ProgrammingError
from sqlmodel import Session

from .. import spreadsheet
from ..access.authority import require
from ..actors import Actor
from ..audit import chain as audit_chain
from ..audit.record import Target, record, storable
from ..errors import Forbidden, Invalid
from ..store import db, waits
from ..store.records import EXPLAINED, AuditCheckpoint, AuditEvent
from .paging import MAX_CHOICES, Page, RowPlace, last_of, page_of, within

DENIED: Final = "denied"
COLUMNS: Final = (
    *("number", "time", "actor", "actor_id", "address", "action", "target_type", "target_id", "target"),
    *("field", "before", "after"),
)
"""Of the CSV: one line a changed field."""

_EVENTS: Any = getattr(AuditEvent, "__table__")  # noqa: B009 - SQLModel does not declare it
OF_A_PROVIDER: Final = ("provider", "settings")
"""The kinds of targets that have a provider's name."""
TAKES_TURNS: Final = 0x6C6C6D70  # "llmp"
"""The lock of a purge: two take turns."""
_PERMISSION_DENIED = "42501"


class Event(NamedTuple):
    """One event, as it was written."""

    id: int
    seq: int | None
    at: datetime
    actor: str
    actor_id: int | None
    address: str | None
    action: str
    target_type: str
    target_id: int | None
    target: str
    changes: dict[str, dict[str, Any]]
    """Field -> ``before`` and ``after``."""


class EventFilters(NamedTuple):
    """Which events; None and empty let all through."""

    actor: str | None = None
    action: str | None = None
    """An action, or a group as ``provider.*``."""
    target_type: str | None = None
    target: str | None = None
    """What the target's name begins with."""
    reason: str | None = None
    """What the reason has somewhere, in whatever case."""
    provider: str | None = None
    """The name of a provider that the event is about, or whose defaults."""
    since: datetime | None = None
    until: datetime | None = None
    """The first moment that is too late."""


class EventChoices(NamedTuple):
    """What can be chosen in the filters: what occurs."""

    actors: list[str]
    actions: list[str]


class EventFigures(NamedTuple):
    """The row of figures above the list."""

    events: int
    denials: int
    """In the last 24 hours."""
    last: datetime | None
    head: int


class Purge(NamedTuple):
    """What a purge removes."""

    events: int
    up_to: int
    """Number of the newest event that goes; 0 if none does."""


def search(
    session: Session,
    actor: Actor,
    filters: EventFilters = EventFilters(),  # noqa: B008 - immutable
    *,
    before: RowPlace | None = None,
    limit: int = 50,
) -> Page[Event]:
    """Return a page of events, newest first; raises Forbidden.

    Args:
        session: The transaction.
        actor: An admin.
        filters: Which events.
        before: ``older`` of the page before.
        limit: Events of a page.
    """
    require(session, actor, "audit.view")
    limit = within(limit)
    query = _matching(session, filters)
    if before is not None:
        query = query.where(tuple_(_EVENTS.c.at, _EVENTS.c.id) < tuple_(*before))
    return page_of([Event(*row) for row in session.execute(query.limit(limit + 1))], limit)


def begins(session: Session, actor: Actor, filters: EventFilters, first: RowPlace, *, limit: int) -> RowPlace | None:
    """Return where the page of *limit* events begins that ends right before the event *first*; raises Forbidden.

    Returns:
        None if it is the first page.
    """
    require(session, actor, "audit.view")
    c = _EVENTS.c
    newer = _matching(session, filters).where(tuple_(c.at, c.id) > tuple_(*first)).order_by(None)
    return last_of(session.execute(newer.order_by(c.at, c.id).limit(within(limit) + 1)).all(), within(limit))


def choices(session: Session, actor: Actor) -> EventChoices:
    """Return the actors and actions that occur, at most 200 of each; a few index look-ups, no scan. Raises Forbidden."""
    require(session, actor, "audit.view")
    return EventChoices(_distinct(session, "actor"), _distinct(session, "action"))


def figures(session: Session, actor: Actor) -> EventFigures:
    """Return the row of figures; raises Forbidden."""
    require(session, actor, "audit.view")
    head = audit_chain.head(session).seq
    purged = session.scalar(select(func.max(AuditCheckpoint.seq))) or 0
    denials = session.scalar(
        select(func.count())
        .select_from(_EVENTS)
        .where(_EVENTS.c.action == DENIED, _EVENTS.c.at > func.clock_timestamp() - text("interval '24 hours'"))
    )
    return EventFigures(head - purged, denials or 0, session.scalar(select(func.max(_EVENTS.c.at))), head)


def export(session: Session, actor: Actor, filters: EventFilters, *, limit: int | None = None) -> Iterator[Event]:
    """Return all events of *filters*, newest first, as a stream; raises Forbidden before the first one."""
    require(session, actor, "audit.view")
    rows = session.execute(_matching(session, filters).limit(limit), execution_options={"yield_per": 1_000})
    return (Event(*row) for row in rows)


def more_than(session: Session, actor: Actor, filters: EventFilters, number: int) -> bool:
    """Return whether more than *number* events fit, without counting them all; raises Forbidden."""
    require(session, actor, "audit.view")
    return session.execute(_matching(session, filters).offset(number).limit(1)).first() is not None


def as_csv(events: Iterable[Event]) -> Iterator[str]:
    """Return the lines of a CSV file: a header, then a line for each changed field; all cells harmless and quoted."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for event in events:
            who = (event.actor, event.actor_id, event.address)
            what = (event.action, event.target_type, event.target_id, event.target)
            for name, pair in event.changes.items() or [("", {})]:
                yield (event.seq, event.at.isoformat(), *who, *what, name, pair.get("before"), pair.get("after"))

    return spreadsheet.lines(COLUMNS, rows())


def purge(session: Session, actor: Actor, *, older_than: int, dry_run: bool = False) -> Purge:
    """Delete the oldest events, all that are older than *older_than* days, and leave a checkpoint and an event.

    Only a beginning of the chain goes: an older event that was numbered behind a younger one stays.

    Raises:
        Forbidden: Also if the database's role does not own the table: the application's role may not purge.
        Invalid: If *older_than* is no number of days.
    """
    require(session, actor, "audit.purge")
    if not 1 <= older_than <= 36_500:  # noqa: PLR2004 - a hundred years
        raise Invalid({"older_than": "must be a number of days from 1 to 36500"})
    try:
        return _purge(session, actor, older_than, dry_run=dry_run)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _PERMISSION_DENIED:
            raise
        raise Forbidden(
            "The database's role may not delete events. Purge with the role that owns the tables."
        ) from error


def _purge(session: Session, actor: Actor, older_than: int, *, dry_run: bool) -> Purge:
    session.execute(text("SET LOCAL statement_timeout = 0"))
    waits.allow(session.connection(), None)
    session.execute(select(func.pg_advisory_xact_lock(TAKES_TURNS)))
    c = _EVENTS.c
    old = func.clock_timestamp() - func.make_interval(0, 0, 0, older_than)
    first_kept = select(func.min(c.seq)).where(c.at >= old).scalar_subquery()
    newest = select(c.seq, c.hash).where(c.seq < func.coalesce(first_kept, 2**62)).order_by(c.seq.desc()).limit(1)
    row = session.execute(newest).one_or_none()
    if row is None:
        return Purge(0, 0)
    gone = c.seq <= row.seq
    if dry_run:
        return Purge(session.scalar(select(func.count()).select_from(_EVENTS).where(gone)) or 0, row.seq)
    session.execute(text("SELECT set_config('llm_settings.audit_purge', 'on', true)"))
    removed: int = session.execute(_EVENTS.delete().where(gone)).rowcount  # type: ignore[attr-defined]  # a CursorResult
    session.execute(text("SELECT set_config('llm_settings.audit_purge', '', true)"))
    session.add(AuditCheckpoint(seq=row.seq, hash=row.hash, by=actor.name, removed=removed))
    session.flush()
    changes = {
        "up_to": (None, row.seq),
        "hash": (None, audit_chain.fingerprint(row.hash)),
        "removed": (None, removed),
    }
    record(session, actor, "audit.purge", Target("audit", None, f"events up to {row.seq}"), changes)
    return Purge(removed, row.seq)


def _matching(session: Session, filters: EventFilters) -> Any:
    c = _EVENTS.c
    query = select(*(c[name] for name in Event._fields)).order_by(c.at.desc(), c.id.desc())
    conditions: list[Any] = []
    if filters.actor:
        conditions.append(c.actor == storable(filters.actor[:200]))
    if filters.action:
        conditions.append(_action(session, storable(filters.action[:200])))
    if filters.target_type:
        conditions.append(c.target_type == storable(filters.target_type[:200]))
    if filters.target:
        conditions.append(c.target.like(_escaped(storable(filters.target[:200])) + "%"))
    if filters.reason:
        said: Any = literal_column("changes #>> '{comment,after}'")
        conditions += [text(EXPLAINED), said.ilike(f"%{_escaped(storable(filters.reason[:200]))}%")]
    if filters.provider:
        conditions += [c.target == storable(filters.provider[:200]), c.target_type.in_(OF_A_PROVIDER)]
    if filters.since:
        conditions.append(c.at >= filters.since)
    if filters.until:
        conditions.append(c.at < filters.until)
    return query.where(*conditions)


def _action(session: Session, action: str) -> ColumnElement[bool]:
    group = action.removesuffix("*")
    if group == action:
        return _EVENTS.c.action == action  # type: ignore[no-any-return]  # a column of Any
    return _EVENTS.c.action.in_([name for name in _distinct(session, "action") if name.startswith(group)])  # type: ignore[no-any-return]


def _distinct(session: Session, column: str) -> list[str]:
    return db.distinct(session, _EVENTS.c[column], MAX_CHOICES)


def _escaped(given: str) -> str:
    return given.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
