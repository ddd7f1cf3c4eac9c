"""What an admin reads of the request log: figures and their course, single calls, as CSV.

CallFigures come from ``llm_usage``, which a trigger adds up, and of long ago from ``llm_usage_days``, so that they cost the
same at any number of calls; see docs/decisions/request-log.md and usage-by-days.md.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import DateTime, asc, cast, desc, func, select, text, true, tuple_, union_all
from sqlmodel import Session

from .. import spreadsheet
from ..access.authority import require
from ..actors import Actor
from ..audit.record import storable
from ..errors import NotFound
from ..store import db
from ..store.records import LlmLog, LlmUsage, LlmUsageDay
from .paging import MAX_CHOICES, Page, RowPlace, last_of, page_of, within

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
    "quarter": Span("90 days", timedelta(days=90), timedelta(days=2)),
    "year": Span("365 days", timedelta(days=365), timedelta(days=7)),
}
BY: Final = ("provider", "model")
"""What the figures can be split by."""
SLOT: Final = timedelta(minutes=5)
"""What ``llm_usage`` adds up in one."""
DAY: Final = timedelta(days=1)
"""What ``llm_usage_days`` does; a span with such steps, or longer ones, is made of whole days."""
MOST_NAMES: Final = 8
"""So many providers or models have a line of their own; the rest is added up as :data:`OTHER`."""
OTHER: Final = "other"

_LOGS: Any = getattr(LlmLog, "__table__")  # noqa: B009 - SQLModel does not declare it
_USAGE: Any = getattr(LlmUsage, "__table__")  # noqa: B009 - as above
_DAYS: Any = getattr(LlmUsageDay, "__table__")  # noqa: B009 - as above


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
    adjusted: int
    """Calls in which something that somebody chose was not sent, or not as it was, as the model does not take it."""


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


class LoggedCall(NamedTuple):
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
            sum(output_tokens) AS output_tokens, sum(cost) AS cost, sum(adjusted) AS adjusted
        FROM (
            SELECT slot, {by}, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost,
                adjusted
            FROM llm_usage WHERE slot > :since AND provider = coalesce(:provider, provider)
            UNION ALL
            SELECT day::timestamp AT TIME ZONE 'UTC', {by}, status, latency_bucket, calls, priced, input_tokens,
                output_tokens, cost, adjusted
            FROM llm_usage_days
            WHERE day > CAST(:since AT TIME ZONE 'UTC' AS date) AND provider = coalesce(:provider, provider)
        ) AS parts GROUP BY 1, 2, 3, 4
    ), most AS (
        SELECT name FROM cube GROUP BY name ORDER BY sum(calls) DESC, name LIMIT :most
    )
    SELECT cube.at, coalesce(most.name, :other) AS name, status, sum(calls)::bigint AS calls, sum(priced)::bigint AS priced,
        sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens, sum(cost) AS cost,
        sum(adjusted)::bigint AS adjusted,
        array_agg(latency_bucket::int) FILTER (WHERE status = 'ok') AS buckets,
        array_agg(calls::bigint) FILTER (WHERE status = 'ok') AS counts
    FROM cube LEFT JOIN most USING (name) GROUP BY 1, 2, 3
"""
_COURSES: Final = {by: text(_COURSE.format(by=by)) for by in BY}


def course(session: Session, actor: Actor, span: str, by: str, provider: str | None = None) -> Course:
    """Return the figures of the last *span*, and their course; raises Forbidden.

    Args:
        session: The transaction.
        actor: An admin.
        span: One of :data:`SPANS`, back from now, by the database's clock; begun five minutes count whole, of a span by
            days begun days, in UTC.
        by: One of :data:`BY`.
        provider: The calls of this one alone; None: of all.
    """
    require(session, actor, "usage.view")
    _, back, step = SPANS[span]
    now: Any = session.scalar(select(func.clock_timestamp()))  # a parameter: what is volatile is no bound for an index
    since = now - back
    if step >= DAY:
        since = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    given = {"step": step, "since": since - SLOT, "most": MOST_NAMES, "other": OTHER}
    given["provider"] = storable(provider[:200]) if provider else None
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
    before: RowPlace | None = None,
    limit: int = 50,
) -> Page[LoggedCall]:
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
    rows = session.execute(_found(LoggedCall._fields, filters, before, limit + 1))
    return page_of([LoggedCall(*row) for row in rows], limit)


def begins(session: Session, actor: Actor, filters: CallFilters, first: RowPlace, *, limit: int) -> RowPlace | None:
    """Return where the page of *limit* calls begins that ends right before the call *first*; raises Forbidden.

    Returns:
        None if it is the first page.
    """
    require(session, actor, "usage.view")
    limit = within(limit)
    rows = session.execute(_found(("id", "at"), filters, first, limit + 1, oldest_first=True))
    return last_of(rows.all(), limit)


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
    names = [*LoggedCall._fields, *(("prompt", "parameters", "response") if contents else ())]
    rows = session.execute(_found(names, filters, None, limit), execution_options={"yield_per": 100})
    return spreadsheet.lines(names, (_written(row) for row in rows))


def _found(
    names: Iterable[str],
    filters: CallFilters,
    place: RowPlace | None,
    limit: int | None,
    *,
    oldest_first: bool = False,
) -> Any:
    """Return the query for the newest calls of *filters* before *place*, or for the oldest ones after it."""
    c, u = _LOGS.c, _USAGE.c
    wanted = {name: getattr(filters, name) for name in ("provider", "model", "status", "user_id")}
    wanted = {name: storable(value[:200]) for name, value in wanted.items() if value}
    columns = [c[name] for name in names]
    query = select(*columns).where(*(c[name] == value for name, value in wanted.items()))
    if filters.since:
        query = query.where(c.at >= filters.since)
    if place is not None:
        here, there = tuple_(c.at, c.id), tuple_(*place)
        query = query.where(here > there if oldest_first else here < there)
    order = asc if oldest_first else desc
    query = query.order_by(order(c.at), order(c.id)).limit(limit)
    by_index = "user_id" in wanted or len(wanted) < 2 and wanted.get("status") in {None, "error"}  # noqa: PLR2004, RUF021
    if limit is None or by_index:
        return query
    # No one index has it: the figures tell in which five minutes, or days, there are such calls; only these are looked into.
    # A late call's five minutes, in days that were added up by days before, count with those as soon as they are too.
    last_day = select(func.max(_DAYS.c.day)).scalar_subquery()
    later = func.coalesce(func.timezone("UTC", cast(last_day + 1, DateTime)), text("timestamptz '-infinity'"))
    day = func.timezone("UTC", cast(_DAYS.c.day, DateTime))
    parts = (
        _times(_Places(u.slot, u.slot, SLOT, u), wanted, filters, place, limit + 1, order).where(u.slot >= later),
        _times(_Places(_DAYS.c.day, day, DAY, _DAYS.c), wanted, filters, place, limit + 1, order),
    )
    found = union_all(*(select(part.subquery()) for part in parts)).subquery()
    # Each has one such call at least, but the one in which the page before has ended.
    times = select(found).order_by(order(found.c.begins)).limit(limit + 1).subquery()
    inner = query.where(c.at >= times.c.begins, c.at < times.c.ends).lateral()
    joined = select(*(inner.c[column.name] for column in columns)).select_from(times.join(inner, true()))
    return joined.order_by(order(inner.c.at), order(inner.c.id)).limit(limit)


class _Places(NamedTuple):
    """A table of figures, as the times in which there were calls."""

    key: Any
    """The column that orders it."""
    begins: Any
    lasts: timedelta
    columns: Any


def _times(  # noqa: PLR0917 - what _found has found out
    places: _Places,
    wanted: Mapping[str, str],
    filters: CallFilters,
    place: RowPlace | None,
    limit: int,
    order: Callable[[Any], Any],
) -> Any:
    """Return the query for the times next to *place*, *limit* at most, in which there are calls of *wanted*."""
    begins = places.begins
    found = select(begins.label("begins"), (begins + places.lasts).label("ends"))
    found = found.where(*(places.columns[name] == value for name, value in wanted.items()))
    if filters.since:
        found = found.where(begins > filters.since - places.lasts)
    if place is not None:
        found = found.where(begins <= place[0] if order is desc else begins > place[0] - places.lasts)
    return found.group_by(places.key).order_by(order(places.key)).limit(limit)


def _written(row: Any) -> list[Any]:
    return [
        value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, Decimal) else value
        for value in row
    ]


def _figures(rows: Iterable[Any]) -> CallFigures:
    calls: Counter[str] = Counter()
    buckets: Counter[int] = Counter()
    tokens = [0, 0]
    cost, priced, priced_ok, adjusted = Decimal(0), 0, 0, 0
    for row in rows:
        calls[row.status] += row.calls
        tokens[0] += row.input_tokens
        tokens[1] += row.output_tokens
        cost += row.cost
        priced += row.priced
        adjusted += row.adjusted
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
        adjusted=adjusted,
    )


def _percentile(buckets: Counter[int], share: float) -> int | None:
    """Return the middle of the bucket in which so large a share of the calls has ended."""
    left = buckets.total() * share
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return round(float(BUCKET ** (bucket + 0.5)))
    return None
