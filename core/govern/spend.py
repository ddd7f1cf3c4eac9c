"""What calls have cost, added up by organisation, feature, provider, model, cost centre: for who pays, and who asks why.

From ``llm_spend``, which services tell whatever their log keeps (:mod:`core.calling.teller`). An organisation's own admins and analysts read
what is of their organisation.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import func, select, text
from sqlmodel import Session

from .. import spreadsheet
from ..access.authority import require
from ..actors import Actor
from ..errors import Invalid

DIMENSIONS: Final = ("organization", "feature", "provider", "model", "cost_centre", "outcome", "day")
"""What spend can be added up by. A day is one of the zone that is asked for; an hour counts for the day in which it begins."""
MOST_ROWS: Final = 1000
"""Rows of an answer, the dearest first; what is left out is in the totals."""
LONGEST: Final = 3660
"""Days of a time."""
CHARGED: Final = ("organization", "feature", "cost_centre")
"""What a month is charged back by."""


class SpendSums(NamedTuple):
    """What attempts have cost, added up."""

    calls: int
    """Attempts: each counts by itself."""
    input_tokens: int
    output_tokens: int
    cost: Decimal
    """US dollars, of the calls whose price is known: at least so much."""
    estimated: Decimal
    """So much of it is computed from lengths."""
    unpriced: int
    """So many calls have no known price."""


class SpendRow(NamedTuple):
    """What one combination has cost."""

    names: tuple[str, ...]
    """In the order of what it is added up by; empty: none."""
    sums: SpendSums


class SpendTable(NamedTuple):
    """Spend of some days."""

    rows: list[SpendRow]
    """The dearest first; :data:`MOST_ROWS` at most."""
    whole: SpendSums
    """Of all rows, also those left out."""
    first: date
    last: date
    """Both days count."""
    zone: str


SHOWN: Final = {
    "organization": """CASE WHEN s.organization_id = 0 THEN '' ELSE coalesce(
        (SELECT o.slug || CASE WHEN o.deleted_at IS NULL THEN '' ELSE ' (deleted)' END FROM organizations o WHERE o.id = s.organization_id),
        'deleted organisation ' || s.organization_id) END""",
    "day": "(s.slot AT TIME ZONE CAST(:zone AS text))::date::text",
    **{name: f"s.{name}" for name in ("feature", "provider", "model", "cost_centre", "outcome")},
}
"""What each of :data:`DIMENSIONS` is called to people, of ``llm_spend s``."""
_KEYS: Final = {name: "s.organization_id" if name == "organization" else shown for name, shown in SHOWN.items()}
SUMS: Final = """coalesce(sum(s.calls), 0)::bigint, coalesce(sum(s.input_tokens), 0)::bigint,
    coalesce(sum(s.output_tokens), 0)::bigint, coalesce(sum(s.cost), 0), coalesce(sum(s.estimated), 0),
    coalesce(sum(s.unpriced), 0)::bigint"""
"""Columns as :class:`SpendSums` has them, of ``llm_spend s``."""
_FROM: Final = """FROM llm_spend s WHERE s.slot >= :since AND s.slot < :until
    AND (CAST(:organization AS integer) IS NULL OR (s.organization_id = :organization AND s.organization_id <> 0))"""


def spent(
    session: Session,
    actor: Actor,
    by: Sequence[str],
    first: date | None = None,
    last: date | None = None,
    *,
    zone: str = "UTC",
    organization_id: int | None = None,
) -> SpendTable:
    """Return what calls have cost, by *by*.

    Args:
        session: The transaction.
        actor: An admin or analyst, of the installation or of *organization_id*.
        by: Some of :data:`DIMENSIONS`; none: in all.
        first: A day in *zone*. Default: the first of the month, by the database's clock.
        last: A day in *zone*, which counts too. Default: the last of the month that *first* is in.
        zone: As ``Europe/Berlin``.
        organization_id: Of this one alone; found already, by a query for what the actor may see.

    Raises:
        Forbidden, NotFound: If the actor may not.
        Invalid: If there is no such dimension, zone or time.
    """
    require(session, actor, "spend.view", role="analyst", organization=organization_id)
    if unknown := sorted(set(by) - set(DIMENSIONS)):
        raise Invalid({"by": f"must be of {', '.join(DIMENSIONS)}, not {', '.join(unknown)}"})
    if len(set(by)) != len(by):
        raise Invalid({"by": "names something twice"})
    first, last, given = _time(session, first, last, zone)
    given["organization"] = organization_id
    whole = SpendSums(*session.execute(text(f"SELECT {SUMS} {_FROM}"), given).one())
    if not by:
        return SpendTable([], whole, first, last, zone)
    query = f"{_grouped(by)} ORDER BY sum(s.cost) DESC, sum(s.calls) DESC, {_places(by)} LIMIT {MOST_ROWS}"
    return SpendTable([_row(row, len(by)) for row in session.execute(text(query), given)], whole, first, last, zone)


def month_as_csv(
    session: Session,
    actor: Actor,
    month: date,
    *,
    zone: str = "UTC",
    by: Sequence[str] = CHARGED,
    organization_id: int | None = None,
) -> Iterator[str]:
    """Return the lines of a CSV file with a month's spend by *by*, in their order; raises as :func:`spent`, before the first line."""
    table = spent(session, actor, (), month.replace(day=1), zone=zone, organization_id=organization_id)
    if unknown := sorted(set(by) - set(DIMENSIONS)):
        raise Invalid({"by": f"must be of {', '.join(DIMENSIONS)}, not {', '.join(unknown)}"})
    given = {"organization": organization_id, **_bounds(table.first, table.last, zone)}
    rows = session.execute(text(f"{_grouped(by)} ORDER BY {_places(by)}"), given)
    found = (_row(row, len(by)) for row in rows)
    cells = ((*row.names, *(f"{v:f}" if isinstance(v, Decimal) else v for v in row.sums)) for row in found)
    return spreadsheet.lines((*by, *SpendSums._fields), cells)


def _grouped(by: Sequence[str]) -> str:
    shown = ", ".join(SHOWN[name] for name in by)
    keys = ", ".join(_KEYS[name] for name in by)
    return f"SELECT {shown}, {SUMS} {_FROM} GROUP BY {keys}"


def _places(by: Sequence[str]) -> str:
    return ", ".join(str(place) for place in range(1, len(by) + 1))


def _row(row: Any, names: int) -> SpendRow:
    return SpendRow(tuple(row[:names]), SpendSums(*row[names:]))


def _time(session: Session, first: date | None, last: date | None, zone: str) -> tuple[date, date, dict[str, Any]]:
    if first is None:
        now: Any = session.scalar(select(func.clock_timestamp()))
        today = now.astimezone(zone_of(zone)).date()
        first = (last or today).replace(day=1)
    last = last or (first.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    if last < first:
        raise Invalid({"to": "must not be before from"})
    if (last - first).days > LONGEST:
        raise Invalid({"to": f"must be at most {LONGEST:,} days after from"})
    return first, last, _bounds(first, last, zone)


def last_month() -> date:
    """Return the first day of the month before this one, in UTC, by this machine's clock."""
    return (datetime.now(UTC).date().replace(day=1) - timedelta(days=1)).replace(day=1)


def bounds_of(month: date, zone: str) -> dict[str, Any]:
    """Return the parameters ``since`` and ``until`` of a month, of which *month* is the first day; raises Invalid as :func:`zone_of`."""
    return _bounds(month, (month + timedelta(days=31)).replace(day=1) - timedelta(days=1), zone)


def _bounds(first: date, last: date, zone: str) -> dict[str, Any]:
    of = zone_of(zone)
    try:
        since = datetime(first.year, first.month, first.day, tzinfo=of).astimezone(UTC)
        end = last + timedelta(days=1)
        until = datetime(end.year, end.month, end.day, tzinfo=of).astimezone(UTC)
    except OverflowError:
        raise Invalid({"from": "must be a day that the calendar has in every zone"}) from None
    return {"since": since, "until": until, "zone": zone}


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name.

    Raises:
        Invalid: If there is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid({"zone": "must be the name of a time zone, as Europe/Berlin"}) from None
