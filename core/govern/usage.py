"""What an admin reads of the request log: figures and their course, single calls, as CSV; and purging its oldest part.

CallFigures come from ``llm_usage``, which a trigger adds up, so that they cost the same at any number of calls; see
docs/decisions/request-log.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import ColumnElement, func, select, text, true, tuple_
from sqlmodel import Session

from .. import spreadsheet
from ..access.authority import require
from ..actors import Actor
from ..audit.record import Target, record, storable
from ..errors import Invalid, NotFound
from ..store import db, waits
from ..store.tables import LlmLog, LlmUsage
from .paging import MAX_CHOICES, Page, Place, page_of, within

BUCKET: Final = 1.1
"""A bucket of latency is so many times wider than the one before; bucket b begins at 1.1^b ms."""


class Span(NamedTuple):
    """How far back one looks."""

    label: str
    back: timedelta
    step: timedelta
    """Between two points."""


SPANS: Final = {
    "hour": Span("Last hour", timedelta(hours=1), timedelta(minutes=5)),
    "day": Span("24 hours", timedelta(days=1), timedelta(minutes=30)),
    "week": Span("7 days", timedelta(days=7), timedelta(hours=3)),
    "month": Span("30 days", timedelta(days=30), timedelta(hours=12)),
}
BY: Final = ("provider", "model")
"""What the figures can be split by."""
SLOT: Final = timedelta(minutes=5)
"""What ``llm_usage`` adds up in one."""
MOST_NAMES: Final = 8
"""So many providers or models have a line of their own; the rest is added up as :data:`OTHER`."""
OTHER: Final = "other"
PURGED_AT_ONCE: Final = 10_000

_LOGS: Any = getattr(LlmLog, "__table__")  # noqa: B009 - SQLModel does not declare it
_USAGE: Any = getattr(LlmUsage, "__table__")  # noqa: B009 - as above


class CallFigures(NamedTuple):
    """Calls of some time, added up."""

    calls: int
    errors: int
    cancelled: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    """US dollars, of the calls whose price is known; None: there were calls, and of none it is."""
    unpriced: int
    """Calls that worked, whose price is not known."""
    p50_ms: int | None
    """Latency of the calls that worked; right to 5 %. None: no call has."""
    p95_ms: int | None


class Point(NamedTuple):
    """The figures of one provider or model in one step of time."""

    at: datetime
    name: str
    figures: CallFigures


class Course(NamedTuple):
    """The figures of a time, and how they went."""

    whole: CallFigures
    points: list[Point]
    """By time, then by name; steps without a call are left out."""


class Call(NamedTuple):
    """One call, as the list shows it: without what was said."""

    id: int
    at: datetime
    user_id: str | None
    provider: str
    model: str
    status: str
    attempts: int
    latency_ms: int
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None
    error: str | None


class CallFilters(NamedTuple):
    """Which calls; None lets all through."""

    provider: str | None = None
    model: str | None = None
    status: str | None = None
    user_id: str | None = None
    since: datetime | None = None


class CallChoices(NamedTuple):
    """What can be chosen in the filters: what occurs."""

    providers: list[str]
    models: list[str]


# One pass over the cube. What goes to Python is a row for each step, name and status with its buckets as arrays: some
# hundred rows, not fifty thousand. MATERIALIZED: it is read twice.
_COURSE = """
    WITH cube AS MATERIALIZED (
        SELECT date_bin(:step, slot, TIMESTAMPTZ 'epoch') AS at, {by} AS name, status, latency_bucket,
            sum(calls) AS calls, sum(priced) AS priced, sum(input_tokens) AS input_tokens,
            sum(output_tokens) AS output_tokens, sum(cost) AS cost
        FROM llm_usage WHERE slot > :since GROUP BY 1, 2, 3, 4
    ), most AS (
        SELECT name FROM cube GROUP BY name ORDER BY sum(calls) DESC, name LIMIT :most
    )
    SELECT cube.at, coalesce(most.name, :other) AS name, status, sum(calls)::bigint AS calls, sum(priced)::bigint AS priced,
        sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens, sum(cost) AS cost,
        array_agg(latency_bucket::int) FILTER (WHERE status = 'ok') AS buckets,
        array_agg(calls::bigint) FILTER (WHERE status = 'ok') AS counts
    FROM cube LEFT JOIN most USING (name) GROUP BY 1, 2, 3
"""
_COURSES: Final = {by: text(_COURSE.format(by=by)) for by in BY}


def course(session: Session, actor: Actor, span: str, by: str) -> Course:
    """Return the figures of the last *span*, and their course; raises Forbidden.

    Args:
        session: The transaction.
        actor: An admin.
        span: One of :data:`SPANS`, back from now, by the database's clock; begun five minutes count whole.
        by: One of :data:`BY`.
    """
    require(session, actor, "usage.view")
    _, back, step = SPANS[span]
    now: Any = session.scalar(select(func.clock_timestamp()))  # a parameter: what is volatile is no bound for an index
    given = {"step": step, "since": now - back - SLOT, "most": MOST_NAMES, "other": OTHER}
    # With the usual 4 MB a month is sorted on disk; compiling the query would take longer than running it.
    session.execute(text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)"))
    rows = list(session.execute(_COURSES[by], given))
    groups: dict[tuple[datetime, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((row.at, row.name), []).append(row)
    return Course(_figures(rows), [Point(*key, _figures(groups[key])) for key in sorted(groups)])


def search(
    session: Session,
    actor: Actor,
    filters: CallFilters = CallFilters(),  # noqa: B008 - immutable
    *,
    before: Place | None = None,
    limit: int = 50,
) -> Page[Call]:
    """Return a page of calls, newest first, without prompts and answers; raises Forbidden.

    Args:
        session: The transaction.
        actor: An admin.
        filters: Which calls.
        before: ``older`` of the page before.
        limit: Calls of a page.
    """
    require(session, actor, "usage.view")
    limit = within(limit)
    rows = session.execute(_found(Call._fields, filters, before, limit + 1))
    return page_of([Call(*row) for row in rows], limit)


def get(session: Session, actor: Actor, call_id: int) -> LlmLog:
    """Return one call, whole; raises Forbidden, and NotFound: it may have been purged."""
    require(session, actor, "usage.view")
    found = session.get(LlmLog, call_id)
    if found is None:
        raise NotFound("logged call", call_id)
    return found


def choices(session: Session, actor: Actor) -> CallChoices:
    """Return the providers and models that occur, at most 200 of each; a few index look-ups, no scan. Raises Forbidden."""
    require(session, actor, "usage.view")
    columns = (_LOGS.c.provider, _LOGS.c.model)
    return CallChoices(*(db.distinct(session, column, MAX_CHOICES) for column in columns))


def as_csv(
    session: Session, actor: Actor, filters: CallFilters, *, contents: bool, limit: int | None = None
) -> Iterator[str]:
    """Return the lines of a CSV file with the calls of *filters*, newest first, as a stream.

    Args:
        session: The transaction.
        actor: An admin; Forbidden is raised before the first line.
        filters: Which calls.
        contents: With prompts, parameters and answers.
        limit: So many calls at most.
    """
    require(session, actor, "usage.view")
    names = [*Call._fields, *(("prompt", "parameters", "response") if contents else ())]
    rows = session.execute(_found(names, filters, None, limit), execution_options={"yield_per": 100})
    return spreadsheet.lines(names, (_written(row) for row in rows))


class Transact(Protocol):
    """Runs work in a transaction of its own, as :func:`core.store.db.retrying`."""

    def __call__(self, work: Callable[[Session], int]) -> int:
        """Return what *work* returns."""


def purge(transact: Transact, actor: Actor, *, older_than: int, with_usage: bool = False, dry_run: bool = False) -> int:
    """Delete the calls that are older than *older_than* days, and return how many; 10,000 a transaction, oldest first.

    Interrupted, it is run again. The figures of ``llm_usage`` stay unless *with_usage*.

    Raises:
        Forbidden: As everywhere.
        Invalid: If *older_than* is no number of days.
    """
    if not 0 <= older_than <= 36_500:  # noqa: PLR2004 - a hundred years
        raise Invalid({"older_than": "must be a number of days from 0 to 36500"})

    def begin(session: Session) -> int:
        require(session, actor, "logs.purge")
        details = {"older_than_days": (None, older_than), "with_usage": (None, with_usage)}
        if dry_run:
            session.execute(text("SET LOCAL statement_timeout = '60s'"))
            waits.allow(session.connection(), 60)
            return session.scalar(select(func.count()).select_from(_LOGS).where(_is_old(_LOGS.c.at))) or 0
        record(session, actor, "logs.purge", Target("logs", None, f"calls before {older_than} days"), details)
        if with_usage:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            waits.allow(session.connection(), None)
            session.execute(_USAGE.delete().where(_is_old(_USAGE.c.slot + SLOT)))
        return 0

    def _is_old(column: Any) -> ColumnElement[bool]:
        old: ColumnElement[bool] = column < func.clock_timestamp() - timedelta(days=older_than)
        return old

    def some(session: Session) -> int:
        oldest = select(_LOGS.c.id).where(_is_old(_LOGS.c.at)).order_by(_LOGS.c.at, _LOGS.c.id).limit(PURGED_AT_ONCE)
        gone = session.execute(_LOGS.delete().where(_LOGS.c.id.in_(oldest)))
        return int(gone.rowcount)  # type: ignore[attr-defined]  # a CursorResult

    removed = transact(begin)
    while not dry_run and (last := transact(some)):
        removed += last
    return removed


def _found(names: Iterable[str], filters: CallFilters, before: Place | None, limit: int | None) -> Any:
    """Return the query for the newest calls of *filters*."""
    c, u = _LOGS.c, _USAGE.c
    wanted = {name: getattr(filters, name) for name in ("provider", "model", "status", "user_id")}
    wanted = {name: storable(value[:200]) for name, value in wanted.items() if value}
    columns = [c[name] for name in names]
    query = select(*columns).where(*(c[name] == value for name, value in wanted.items()))
    if filters.since:
        query = query.where(c.at >= filters.since)
    if before is not None:
        query = query.where(tuple_(c.at, c.id) < tuple_(*before))
    query = query.order_by(c.at.desc(), c.id.desc()).limit(limit)
    by_index = "user_id" in wanted or len(wanted) < 2 and wanted.get("status") in {None, "error"}  # noqa: PLR2004, RUF021
    if limit is None or by_index:
        return query
    # No one index has it: the figures tell in which five minutes there are such calls, and only these are looked into.
    slots = select(u.slot).where(*(u[name] == value for name, value in wanted.items()))
    if filters.since:
        slots = slots.where(u.slot > filters.since - SLOT)
    if before is not None:
        slots = slots.where(u.slot <= before[0])
    # Each slot has one such call at least, but the one in which the page before has ended.
    newest = slots.distinct().order_by(u.slot.desc()).limit(limit + 1).subquery()
    inner = query.where(c.at >= newest.c.slot, c.at < newest.c.slot + SLOT).lateral()
    joined = select(*(inner.c[column.name] for column in columns)).select_from(newest.join(inner, true()))
    return joined.order_by(inner.c.at.desc(), inner.c.id.desc()).limit(limit)


def _written(row: Any) -> list[Any]:
    return [
        value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, Decimal) else value
        for value in row
    ]


def _figures(rows: Iterable[Any]) -> CallFigures:
    calls: Counter[str] = Counter()
    buckets: Counter[int] = Counter()
    tokens = [0, 0]
    cost, priced, priced_ok = Decimal(0), 0, 0
    for row in rows:
        calls[row.status] += row.calls
        tokens[0] += row.input_tokens
        tokens[1] += row.output_tokens
        cost += row.cost
        priced += row.priced
        if row.status == "ok":
            priced_ok += row.priced
            for bucket, number in zip(row.buckets, row.counts, strict=True):
                buckets[bucket] += number
    return CallFigures(
        calls=calls.total(),
        errors=calls["error"],
        cancelled=calls["cancelled"],
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cost=cost if priced or not calls["ok"] else None,
        unpriced=calls["ok"] - priced_ok,
        p50_ms=_percentile(buckets, 0.5),
        p95_ms=_percentile(buckets, 0.95),
    )


def _percentile(buckets: Counter[int], share: float) -> int | None:
    """Return the middle of the bucket in which so large a share of the calls has ended."""
    left = buckets.total() * share
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return round(float(BUCKET ** (bucket + 0.5)))
    return None
