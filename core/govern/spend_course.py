"""How spend went: of a time, split by one dimension, against the time before; who spent most; and what this month will cost.

From ``llm_spend``, as :mod:`~.spend`: three queries, whose answers are bounded, whatever there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, text
from sqlmodel import Session

from .. import spreadsheet
from ..access.authority import require
from ..actors import Actor
from ..audit.record import storable
from . import pace
from .spend import SHOWN, SUMS, SpendSums, zone_of


class CostTime(NamedTuple):
    """Which time one looks at."""

    label: str
    step: str
    """Of a bar: ``hour``, ``day``, ``week`` or ``month``."""


TIMES: Final = {
    "month": CostTime("This month", "day"),
    "last": CostTime("Last month", "day"),
    "day": CostTime("24 hours", "hour"),
    "week": CostTime("7 days", "day"),
    "weeks": CostTime("13 weeks", "week"),
    "year": CostTime("12 months", "month"),
}
SPLITS: Final = ("provider", "model", "feature", "organization", "cost_centre")
"""What the bars can be split by."""
TOPS: Final = ("organization", "feature", "model", "cost_centre")
"""Whose greatest spenders are listed."""
MOST_PARTS: Final = 8
"""So many have a part of their own in the bars, and a row in the lists; the rest is added up as :data:`ALL_OTHER`."""
ALL_OTHER: Final = "all other"
MOST_LINES: Final = 50_000
"""Rows of a file."""
_COLUMNS: Final = {name: "organization_id" if name == "organization" else name for name in SPLITS}
_OF: Final = """FROM llm_spend s WHERE s.slot >= :begin AND s.slot < :until
    AND (CAST(:organization AS integer) IS NULL OR (s.organization_id = :organization AND s.organization_id <> 0))
    AND (CAST(:feature AS text) IS NULL OR s.feature = :feature)
    AND (CAST(:provider AS text) IS NULL OR s.provider = :provider)"""
_ADDED: Final = ", ".join(f"sum(s.{name}) AS {name}" for name in SpendSums._fields)
_HERE: Final = "(s.slot AT TIME ZONE CAST(:zone AS text))"
_STEPS: Final = {
    **{step: f"date_trunc('{step}', {_HERE})" for step in ("hour", "day", "month")},
    "week": f"date_bin('7 days', {_HERE}, CAST(:first AS timestamp))",
}


class SpendScope(NamedTuple):
    """Whose spend is looked at; None: everybody's."""

    organization_id: int | None = None
    feature: str | None = None
    provider: str | None = None


class CostPoint(NamedTuple):
    """What one part has cost in one step of time."""

    at: datetime
    """When the step begins, on the clock of the zone."""
    name: str
    """Empty: none."""
    is_other: bool
    """Whether it is all that have no part of their own."""
    sums: SpendSums


class CostCourse(NamedTuple):
    """How spend went."""

    whole: SpendSums
    points: list[CostPoint]
    """By time; steps without spend are left out."""
    steps: list[datetime]
    """When each step begins, on the clock of the zone."""
    ends: datetime
    """When the last one does."""
    before: list[Decimal]
    """What each step of the time before has cost, as many as there are steps."""
    whole_before: Decimal
    so_far_before: Decimal
    """Of the steps of the time before which are over in the time that is looked at."""


class TopSpender(NamedTuple):
    """Who spent most."""

    name: str
    sums: SpendSums


class ThisMonth(NamedTuple):
    """The month that is now."""

    first: date
    sums: SpendSums
    outlook: pace.Outlook | None
    """At its end; None: before the first whole day there is none."""


class Costs(NamedTuple):
    """All that the page of costs shows of spend."""

    month: ThisMonth
    course: CostCourse
    tops: dict[str, list[TopSpender]]
    """By each of :data:`TOPS`, the dearest first."""


def look(
    session: Session,
    actor: Actor,
    time: str,
    by: str,
    *,
    zone: str = "UTC",
    scope: SpendScope = SpendScope(),  # noqa: B008 - immutable
) -> Costs:
    """Return how spend went.

    Args:
        session: The transaction.
        actor: An admin or analyst, of the installation or of the scope's organisation, which was found already.
        time: One of :data:`TIMES`, by the database's clock.
        by: One of :data:`SPLITS`.
        zone: Of days and months, as ``Europe/Berlin``.
        scope: Whose.

    Raises:
        Forbidden, NotFound: If the actor may not.
        Invalid: If there is no such zone.
    """
    bounds = _allowed(session, actor, time, zone, scope)
    # With the usual 4 MB a year is sorted on disk; compiling the query would take longer than running it.
    session.execute(text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)"))
    return Costs(_month(session, bounds, scope), _course(session, bounds, by, scope), _tops(session, bounds, scope))


def as_csv(
    session: Session,
    actor: Actor,
    time: str,
    *,
    zone: str = "UTC",
    scope: SpendScope = SpendScope(),  # noqa: B008 - immutable
) -> Iterator[str]:
    """Return the lines of a CSV file with each day's spend of each combination; raises as :func:`look`, before the first line."""
    bounds = _allowed(session, actor, time, zone, scope)
    names = ("day", *SPLITS)
    shown = ", ".join(SHOWN[name] for name in names)
    keys = ", ".join([SHOWN["day"], *(f"s.{_COLUMNS[name]}" for name in SPLITS)])
    query = (
        f"SELECT {shown}, {SUMS} {_OF} GROUP BY {keys} ORDER BY 1, sum(s.cost) DESC, 2, 3, 4, 5, 6 LIMIT {MOST_LINES}"
    )
    rows = session.execute(text(query), bounds.given(scope), execution_options={"yield_per": 500})
    cells = (tuple(f"{value:f}" if isinstance(value, Decimal) else value for value in row) for row in rows)
    return spreadsheet.lines((*names, *SpendSums._fields), cells)


class TimeBounds(NamedTuple):
    """A time and the one before, on the clock of a zone."""

    now: datetime
    zone: str
    place: tzinfo
    step: str
    steps: list[datetime]
    ends: datetime
    before: list[datetime]

    def given(self, scope: SpendScope, since: datetime | None = None, until: datetime | None = None) -> dict[str, Any]:
        """Return the parameters of a query of what was spent in this time, or from *since* to *until*, on the clock of the zone."""
        return {
            **{
                name: storable(value[:200]) if isinstance(value, str) else value
                for name, value in scope._asdict().items()
            },
            "organization": scope.organization_id,
            "begin": self._instant(since or self.steps[0]),
            "until": self._instant(until or self.ends),
            "zone": self.zone,
        }

    def _instant(self, there: datetime) -> datetime:
        return there.replace(tzinfo=self.place).astimezone(UTC)


def bounds_of(time: str, now: datetime, zone: str) -> TimeBounds:
    """Return the steps of a time of :data:`TIMES` and of the one before; raises Invalid if there is no such zone."""
    place = zone_of(zone)
    here = now.astimezone(place).replace(tzinfo=None)
    step, today = TIMES[time].step, here.replace(hour=0, minute=0, second=0, microsecond=0)
    month = today.replace(day=1)
    hour, day = timedelta(hours=1), timedelta(days=1)
    if step == "hour":
        ends = here.replace(minute=0, second=0, microsecond=0) + hour
        steps, before = _even(ends - 24 * hour, hour, 24), _even(ends - 48 * hour, hour, 24)
    elif step == "month":
        ends = _months(month, 1)
        steps, before = ([_months(month, n) for n in range(first, first + 12)] for first in (-11, -23))
    elif time in {"month", "last"}:
        first = _months(month, -1 if time == "last" else 0)
        ends = _months(first, 1)
        steps = _even(first, day, (ends - first).days)
        before = _even(_months(first, -1), day, (first - _months(first, -1)).days)
    else:
        ends = today + day
        width = 7 * day if step == "week" else day
        number = 13 if step == "week" else 7
        steps, before = _even(ends - number * width, width, number), _even(ends - 2 * number * width, width, number)
    return TimeBounds(now, zone, place, step, steps, ends, before)


def _allowed(session: Session, actor: Actor, time: str, zone: str, scope: SpendScope) -> TimeBounds:
    require(session, actor, "spend.view", role="analyst", organization=scope.organization_id)
    now: Any = session.scalar(select(func.clock_timestamp()))
    return bounds_of(time, now, zone)


def _even(first: datetime, width: timedelta, number: int) -> list[datetime]:
    return [first + n * width for n in range(number)]


def _months(first: datetime, more: int) -> datetime:
    """Return the first of the month that is so many months after *first*'s."""
    years, month = divmod(first.month - 1 + more, 12)
    return first.replace(year=first.year + years, month=month + 1)


def _month(session: Session, bounds: TimeBounds, scope: SpendScope) -> ThisMonth:
    here = bounds.now.astimezone(bounds.place).replace(tzinfo=None)
    today = here.replace(hour=0, minute=0, second=0, microsecond=0)
    first = today.replace(day=1)
    query = f"SELECT {_HERE}::date, {SUMS} {_OF} GROUP BY 1"
    since = min(first, today - timedelta(days=pace.DAYS))
    given = bounds.given(scope, since, today + timedelta(days=1))
    days = {row[0]: SpendSums(*row[1:]) for row in session.execute(text(query), given)}
    sums = added(sums for day, sums in days.items() if day >= first.date())
    spent = {day: sums.cost for day, sums in days.items()}
    return ThisMonth(first.date(), sums, _outlook(spent, sums.cost, today.date(), _months(first, 1).date()))


def _outlook(spent: dict[date, Decimal], already: Decimal, today: date, next_month: date) -> pace.Outlook | None:
    found = pace.paces(spent, today)
    if found is None:
        return None
    of_today = spent.get(today, Decimal(0))
    return pace.outlooks(already, of_today, today, next_month - timedelta(days=1), found)[-1]


def _course(session: Session, bounds: TimeBounds, by: str, scope: SpendScope) -> CostCourse:
    column = _COLUMNS[by]
    query = f"""
        WITH cube AS MATERIALIZED (
            SELECT {_STEPS[bounds.step]} AS at, s.slot >= :now_begins AS is_now, s.{column}, {_ADDED} {_OF} GROUP BY 1, 2, 3
        ), most AS (
            SELECT {column} FROM cube WHERE is_now GROUP BY {column}
            ORDER BY sum(cost) DESC, sum(calls) DESC, {column} LIMIT :most
        ), parts AS (
            SELECT s.at, s.is_now, most.{column}, {_ADDED}
            FROM cube s LEFT JOIN most ON s.is_now AND most.{column} = s.{column} GROUP BY 1, 2, 3
        )
        SELECT s.at, s.is_now, {SHOWN[by]}, s.{column} IS NULL, {", ".join(f"s.{name}" for name in SpendSums._fields)}
        FROM parts s ORDER BY 1, 3
    """  # noqa: S608 - names of ours
    given = bounds.given(scope, bounds.before[0])
    given |= {"now_begins": bounds.given(scope)["begin"], "most": MOST_PARTS, "first": bounds.steps[0]}
    points: list[CostPoint] = []
    earlier: dict[datetime, Decimal] = {}
    for at, is_now, name, is_other, *sums in session.execute(text(query), given):
        if is_now:
            points.append(CostPoint(at, ALL_OTHER if is_other else name, is_other, _sums(sums)))
        else:
            earlier[at] = SpendSums(*sums).cost
    before = [earlier.get(at, Decimal(0)) for at in bounds.before]
    here = bounds.now.astimezone(bounds.place).replace(tzinfo=None)
    over = sum(1 for after in (*bounds.steps[1:], bounds.ends) if after <= here)
    whole = added(point.sums for point in points)
    aligned = [*before, *[Decimal(0)] * len(bounds.steps)][: len(bounds.steps)]  # months differ in length
    so_far = sum(before[:over], Decimal(0))
    return CostCourse(whole, points, bounds.steps, bounds.ends, aligned, sum(before, Decimal(0)), so_far)


def _tops(session: Session, bounds: TimeBounds, scope: SpendScope) -> dict[str, list[TopSpender]]:
    columns = [_COLUMNS[name] for name in TOPS]
    listed = ", ".join(f"s.{column}" for column in columns)
    of_none = f"GROUPING({listed})"
    shown = ", ".join(SHOWN[name] for name in TOPS)
    query = f"""
        WITH cube AS (
            SELECT {of_none} AS others, {listed}, {_ADDED} {_OF}
            GROUP BY GROUPING SETS ({", ".join(f"(s.{column})" for column in columns)})
        ), ranked AS (
            SELECT s.*, row_number() OVER (PARTITION BY others ORDER BY cost DESC, calls DESC, {listed}) AS rank FROM cube s
        )
        SELECT s.others, {shown}, {", ".join(f"s.{name}" for name in SpendSums._fields)}
        FROM ranked s WHERE rank <= :most ORDER BY others, rank
    """  # noqa: S608 - names of ours
    found: dict[str, list[TopSpender]] = {name: [] for name in TOPS}
    for others, *row in session.execute(text(query), {**bounds.given(scope), "most": MOST_PARTS}):
        # GROUPING has a bit for each column that a row is not of, the first one's the highest
        at = next(n for n in range(len(TOPS)) if not others & 1 << (len(TOPS) - 1 - n))
        found[TOPS[at]].append(TopSpender(row[at], _sums(row[len(TOPS) :])))
    return found


def _sums(found: Sequence[Any]) -> SpendSums:
    calls, sent, answered, cost, estimated, unpriced = found
    return SpendSums(int(calls), int(sent), int(answered), cost, estimated, int(unpriced))


def added(found: Iterable[SpendSums]) -> SpendSums:
    """Return sums, added up."""
    each = [*found]
    return SpendSums(
        sum(sums.calls for sums in each),
        sum(sums.input_tokens for sums in each),
        sum(sums.output_tokens for sums in each),
        sum((sums.cost for sums in each), Decimal(0)),
        sum((sums.estimated for sums in each), Decimal(0)),
        sum(sums.unpriced for sums in each),
    )
