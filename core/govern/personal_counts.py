"""How many places of each kind of personal data were found in logged calls, by day."""

from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..manage.organization_rows import reach

MOST_CALLS: Final = 100_000
"""So many calls are looked through at most, the newest."""
MOST_DAYS_BACK: Final = 90
_NEWEST: Final = """
    SELECT at, pii FROM llm_logs WHERE at >= clock_timestamp() - make_interval(days => :days)
        AND (CAST(:organization AS integer) IS NULL OR organization_id = :organization)
    ORDER BY at DESC, id DESC LIMIT :most
"""
_FOUND: Final = text(
    f"""
    WITH newest AS MATERIALIZED ({_NEWEST}), counted AS (
        SELECT (at AT TIME ZONE 'UTC')::date AS day, key AS kind, sum(value::bigint)::bigint AS number
        FROM newest, jsonb_each_text(CASE WHEN jsonb_typeof(pii) = 'object' THEN pii ELSE '{{}}' END)
        WHERE value ~ '^[0-9]{{1,9}}$' GROUP BY 1, 2
    )
    SELECT day, kind, number FROM counted ORDER BY day DESC, kind
    """  # noqa: S608 - our own words
)
_EDGE: Final = text(f"SELECT min(at), count(*) FROM ({_NEWEST}) AS newest")  # noqa: S608 - as above


class FoundByDay(NamedTuple):
    """What was found."""

    days: dict[date, dict[str, int]]
    """Day in UTC -> type -> places; the newest first, days without any left out."""
    totals: dict[str, int]
    """Type -> places, the most first."""
    since: datetime | None
    """Where it begins, as there are more calls than are looked through; None: with the time asked for."""


def found_by_day(session: Session, actor: Actor, days: int = 30, *, organization_id: int | None = None) -> FoundByDay:
    """Return what was found in calls of the last *days*, 1 to 90, of one organisation or of all.

    Raises:
        Forbidden: Unless *actor* is an admin or analyst, of the installation or of that organisation.
        NotFound: If there is no such organisation, or it is another's.
    """
    if organization_id is None:
        require(session, actor, "personal_data.counts", role="analyst")
    else:
        reach(session, actor, "personal_data.counts", organization_id, role="analyst")
    given: dict[str, Any] = {
        "days": min(max(days, 1), MOST_DAYS_BACK),
        "organization": organization_id,
        "most": MOST_CALLS,
    }
    session.execute(text("SELECT set_config('jit', 'off', true)"))
    by_day: dict[date, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for row in session.execute(_FOUND, given):
        by_day.setdefault(row.day, {})[row.kind] = row.number
        totals[row.kind] = totals.get(row.kind, 0) + row.number
    first, number = session.execute(_EDGE, given).one()
    ordered = dict(sorted(totals.items(), key=lambda pair: (-pair[1], pair[0])))
    return FoundByDay(by_day, ordered, first if number == MOST_CALLS else None)
