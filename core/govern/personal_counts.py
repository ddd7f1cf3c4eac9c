"""How many places of each kind of personal data were found in logged calls, over a time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import TextClause, text
from sqlmodel import Session

from .. import spreadsheet
from ..access.authority import require
from ..actors import Actor
from ..manage.organization_rows import reach

MOST_CALLS: Final = 100_000
"""So many calls are looked through at most, the newest."""
MOST_PARTS: Final = 8
"""So many kinds have a part of their own; the rest is added up as :data:`ALL_OTHER`."""
ALL_OTHER: Final = "all other"


class CountedTime(NamedTuple):
    """Which time one looks at."""

    label: str
    step: Literal["hour", "day"]
    steps: int
    """That which is now among them."""


TIMES: Final = {
    "day": CountedTime("24 hours", "hour", 24),
    "week": CountedTime("7 days", "day", 7),
    "month": CountedTime("30 days", "day", 30),
    "quarter": CountedTime("90 days", "day", 90),
}
_LONG: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_CONDITIONS: Final = {
    "organization": "organization_id = :organization",
    "feature": "feature = :feature",
    "provider": "provider = :provider",
}
_NEWEST: Final = "SELECT at, pii FROM llm_logs WHERE {conditions} ORDER BY at DESC, id DESC LIMIT :most"
_FOUND: Final = """
    WITH newest AS MATERIALIZED ({newest}), counted AS (
        SELECT date_trunc('{step}', at, 'UTC') AS slot, key AS kind, sum(value::bigint)::bigint AS number
        FROM newest, jsonb_each_text(CASE WHEN jsonb_typeof(pii) = 'object' THEN pii ELSE '{{}}' END)
        WHERE value ~ '^[0-9]{{1,9}}$' GROUP BY 1, 2
    )
    SELECT slot, kind, number FROM counted WHERE number > 0 ORDER BY slot, kind
"""
_EDGE: Final = "SELECT min(at), count(*) FROM ({newest}) AS newest"


class CountScope(NamedTuple):
    """Whose calls are looked through; None: everybody's."""

    organization_id: int | None = None
    feature: str | None = None
    provider: str | None = None


class CountedPart(NamedTuple):
    """How many places of one kind were found in one step of time."""

    at: datetime
    """When the step begins."""
    kind: str
    number: int


class FoundCourse(NamedTuple):
    """What was found, over a time."""

    points: list[CountedPart]
    """By time; steps in which nothing was found are left out."""
    steps: list[datetime]
    """When each step begins, in UTC: all of the time, whatever was found."""
    ends: datetime
    """When the last one does."""
    totals: dict[str, int]
    """Kind -> places, the most first."""
    since: datetime | None
    """Where it begins, as there are more calls than are looked through; None: with the time asked for."""


def look_through(session: Session, actor: Actor, time: str, scope: CountScope = CountScope()) -> FoundCourse:  # noqa: B008 - immutable
    """Return what was found in logged calls.

    Args:
        session: The transaction.
        actor: An admin or analyst, of the installation or of the scope's organisation.
        time: One of :data:`TIMES`, by the database's clock, in UTC.
        scope: Whose calls.

    Raises:
        Forbidden: If the actor is neither.
        NotFound: If there is no such organisation, or it is another's.
    """
    if scope.organization_id is None:
        require(session, actor, "personal_data.counts", role="analyst")
    else:
        reach(session, actor, "personal_data.counts", scope.organization_id, role="analyst")
    asked = TIMES[time]
    long = _LONG[asked.step]
    now: datetime = session.execute(text(f"SELECT date_trunc('{asked.step}', clock_timestamp(), 'UTC')")).scalar_one()
    steps = [now.astimezone(UTC) - long * back for back in reversed(range(asked.steps))]
    filters = dict(zip(_CONDITIONS, scope, strict=True))
    conditions = ["at >= :begin", *(_CONDITIONS[name] for name, value in filters.items() if value is not None)]
    given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    given |= {"begin": steps[0], "most": MOST_CALLS}
    newest = _NEWEST.format(conditions=" AND ".join(conditions))
    session.execute(text("SELECT set_config('jit', 'off', true)"))
    points = [
        CountedPart(row.slot.astimezone(UTC), row.kind, row.number)
        for row in session.execute(_query(_FOUND, newest, asked.step), given)
    ]
    totals: dict[str, int] = {}
    for point in points:
        totals[point.kind] = totals.get(point.kind, 0) + point.number
    first, number = session.execute(_query(_EDGE, newest, asked.step), given).one()
    ordered = dict(sorted(totals.items(), key=lambda pair: (-pair[1], pair[0])))
    return FoundCourse(points, steps, steps[-1] + long, ordered, first if number == MOST_CALLS else None)


def counts_as_csv(
    session: Session,
    actor: Actor,
    time: str,
    scope: CountScope = CountScope(),  # noqa: B008 - immutable
) -> Iterator[str]:
    """Return the lines of a CSV file of what was found: a row for each step of time and kind; as :func:`look_through`."""
    found = look_through(session, actor, time, scope)
    rows = ((f"{point.at:%Y-%m-%dT%H:%M}Z", point.kind, str(point.number)) for point in found.points)
    return spreadsheet.lines(("from", "type", "found"), rows)


def _query(of: str, newest: str, step: str) -> TextClause:
    return text(of.format(newest=newest, step=step))
