"""What an admin reads of the request log: figures and their course, single calls, as CSV.

CallFigures come from ``llm_usage``, which a trigger adds up, and of long ago from ``llm_usage_days``, so that they cost the
same at any number of calls; see docs/decisions/request-log.md and usage-by-days.md. Those of an organisation or a feature are
added up from the log. An organisation's own admins read what is of their organisation.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, text
from sqlmodel import Session

from .. import spreadsheet
from ..access.authority import not_found, require, visible
from ..actors import Actor
from ..audit.record import storable
from ..store import db
from ..store.records import LlmLog
from . import call_queries, usage_of_log
from .call_queries import DAY, SLOT, CallFilters
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
MOST_NAMES: Final = 8
"""So many providers or models have a line of their own; the rest is added up as :data:`OTHER`."""
OTHER: Final = "other"

_LOGS: Any = getattr(LlmLog, "__table__")  # noqa: B009 - SQLModel does not declare it


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
    since: datetime | None = None
    """Where the figures begin, as there were more calls than are added up at once; None: with the span."""


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
    organization: str | None
    """Its slug; of one that was deleted, that it was."""
    feature: str | None
    """As the program named it, whether or not anybody registered it."""
    cost_centre: str | None
    """As the program named it."""


class CallChoices(NamedTuple):
    """What can be chosen in the filters: what occurs."""

    providers: list[str]
    models: list[str]
    features: list[str]


# One pass over the cube. What goes to Python is a row for each step, name and status with its buckets as arrays: some
# hundred rows, not fifty thousand. MATERIALIZED: it is read twice.
_COURSE = """
    WITH cube AS MATERIALIZED (
        SELECT date_bin(:step, slot, TIMESTAMPTZ 'epoch') AS at, {by} AS name, status, latency_bucket,
            sum(calls) AS calls, sum(priced) AS priced, sum(input_tokens) AS input_tokens,
            sum(output_tokens) AS output_tokens, sum(cost) AS cost, sum(adjusted) AS adjusted
        FROM (
            {parts}
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
_PARTS: Final = """
SELECT slot, {by}, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost,
    adjusted
FROM llm_usage WHERE slot > :since AND provider = coalesce(:provider, provider)
UNION ALL
SELECT day::timestamp AT TIME ZONE 'UTC', {by}, status, latency_bucket, calls, priced, input_tokens,
    output_tokens, cost, adjusted
FROM llm_usage_days
WHERE day > CAST(:since AT TIME ZONE 'UTC' AS date) AND provider = coalesce(:provider, provider)
"""
_COURSES: Final = {by: text(_COURSE.format(by=by, parts=_PARTS.format(by=by))) for by in BY}


def course(
    session: Session,
    actor: Actor,
    span: str,
    by: str,
    provider: str | None = None,
    *,
    organization_id: int | None = None,
    feature: str | None = None,
) -> Course:
    """Return the figures of the last *span*, and their course; raises as :func:`search`.

    Of an organisation or a feature they are added up from the log: as far back as it is kept, and of the newest
    :data:`~core.govern.usage_of_log.ADDED_UP` calls.

    Args:
        session: The transaction.
        actor: An admin, or one of the organisation.
        span: One of :data:`SPANS`, back from now, by the database's clock; begun five minutes count whole, of a span by
            days begun days, in UTC.
        by: One of :data:`BY`.
        provider: The calls of this one alone; None: of all.
        organization_id: As *provider*.
        feature: As *provider*.
    """
    _require(session, actor, organization_id)
    _, back, step = SPANS[span]
    now: Any = session.scalar(select(func.clock_timestamp()))  # a parameter: what is volatile is no bound for an index
    since = now - back
    if step >= DAY:
        since = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    given = {"step": step, "since": since - SLOT, "most": MOST_NAMES, "other": OTHER}
    given["provider"] = storable(provider[:200]) if provider else None
    query, begins = _COURSES[by], None
    if organization_id is not None or feature:
        scope = usage_of_log.CallScope(organization_id, storable(feature[:200]) if feature else None)
        begins = usage_of_log.begins(session, scope, since)
        parts = usage_of_log.parts(by, scope, of_provider=provider is not None)
        query = text(_COURSE.format(by=by, parts=parts))
        given |= {**scope._asdict(), "begins": begins or usage_of_log.slot_of(since)}
    # With the usual 4 MB a month is sorted on disk; compiling the query would take longer than running it.
    session.execute(text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)"))
    rows = list(session.execute(query, given))
    groups: dict[tuple[datetime, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((row.at, row.name), []).append(row)
    return Course(_figures(rows), [Point(*key, _figures(groups[key])) for key in sorted(groups)], begins)


def search(
    session: Session,
    actor: Actor,
    filters: CallFilters = CallFilters(),  # noqa: B008 - immutable
    *,
    before: RowPlace | None = None,
    limit: int = 50,
) -> Page[LoggedCall]:
    """Return a page of calls, newest first, without prompts and answers.

    Args:
        session: The transaction.
        actor: An admin, or one of the organisation that *filters* name.
        filters: Which calls.
        before: ``older`` of the page before.
        limit: Calls of a page.

    Raises:
        Forbidden: If it is neither.
        NotFound: If the actor sees nothing of the organisation.
    """
    is_own = _require(session, actor, filters.organization_id)
    limit = within(limit)
    found = [
        LoggedCall(*row) for row in session.execute(call_queries.found(LoggedCall._fields, filters, before, limit + 1))
    ]
    if is_own:
        found = [call._replace(error=_reason(call.error)) for call in found]
    return page_of(found, limit)


def begins(session: Session, actor: Actor, filters: CallFilters, first: RowPlace, *, limit: int) -> RowPlace | None:
    """Return where the page of *limit* calls begins that ends right before the call *first*; raises as :func:`search`.

    Returns:
        None if it is the first page.
    """
    _require(session, actor, filters.organization_id)
    limit = within(limit)
    rows = session.execute(call_queries.found(("id", "at"), filters, first, limit + 1, oldest_first=True))
    return last_of(rows.all(), limit)


def get(session: Session, actor: Actor, call_id: int) -> LlmLog:
    """Return one call, whole.

    Raises:
        Forbidden: If the actor is no admin, of the installation or the call's organisation.
        NotFound: If there is none, or none that the actor may see; it may have been purged.
    """
    seen = visible(session, actor, "usage.view")
    if seen.everything:
        require(session, actor, "usage.view")
    query = select(LlmLog).where(_LOGS.c.id == call_id, seen.where(_LOGS.c.organization_id))
    found: LlmLog | None = session.scalars(query).one_or_none()
    if found is None:
        not_found(session, actor, "usage.view", "logged call", call_id, seen=seen)
    if not seen.everything:
        require(session, actor, "usage.view", organization=found.organization_id)
        session.expunge(found)
        found.error = _reason(found.error)
    return found


def organization_of(session: Session, call: LlmLog) -> str | None:
    """Return the slug of the organisation that a call was made for, or that it was deleted; None: for none."""
    named: str | None = session.scalar(select(call_queries.organization(_LOGS.c)).where(_LOGS.c.id == call.id))
    return named


def choices(session: Session, actor: Actor, organization_id: int | None = None) -> CallChoices:
    """Return the providers, models and features that occur, at most 200 of each; a few index look-ups, no scan.

    Args:
        session: The transaction.
        actor: An admin, who is offered what occurs in any call; or one of *organization_id*: what occurs in its newest ones.
        organization_id: An admin of the installation need not name one.

    Raises:
        Forbidden, NotFound: As :func:`search`.
    """
    is_own = _require(session, actor, organization_id)
    names = CallChoices._fields
    if is_own and organization_id is not None:
        return CallChoices(*usage_of_log.names(session, organization_id, MAX_CHOICES))
    return CallChoices(*(db.distinct(session, _LOGS.c[name.removesuffix("s")], MAX_CHOICES) for name in names))


def as_csv(
    session: Session, actor: Actor, filters: CallFilters, *, contents: bool, limit: int | None = None
) -> Iterator[str]:
    """Return the lines of a CSV file with the calls of *filters*, newest first, as a stream.

    Args:
        session: The transaction.
        actor: As in :func:`search`, which raises the same; here before the first line.
        filters: Which calls.
        contents: With prompts, parameters and answers.
        limit: So many calls at most.
    """
    is_own = _require(session, actor, filters.organization_id)
    names = [*LoggedCall._fields, *(("prompt", "parameters", "response") if contents else ())]
    rows = session.execute(call_queries.found(names, filters, None, limit), execution_options={"yield_per": 100})
    at = names.index("error")
    cells = (_written((*row[:at], _reason(row[at]), *row[at + 1 :]) if is_own else row) for row in rows)
    return spreadsheet.lines(names, cells)


def _require(session: Session, actor: Actor, organization_id: int | None) -> bool:
    """Return whether *actor* is an organisation's own admin; raises what :func:`search` does for who is no admin at all."""
    require(session, actor, "usage.view", organization=organization_id)
    return not visible(session, actor, "usage.view").everything


def _reason(error: str | None) -> str | None:
    """Return an error without the words of the vendor or the network: they may name the installation's key, account or host."""
    why = re.search(r" failed \((\w+), \d+ attempts?\): ", error or "")
    return None if error is None else f"The call failed ({why[1]})." if why else "The call failed."


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
