"""How large the tables are, how old, and how fast they grow: from what the server keeps anyway, and some index look-ups.

Nothing here counts rows: it takes milliseconds at ten million of them.
"""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..store.tables import METADATA
from . import usage_days
from .log_purge import calls_kept

SECONDS_A_DAY: Final = 86_400
RECENT_DAYS: Final = 7
"""The pace is that of the last days, so many at most; a table that is younger than one day has none yet."""


class TableSize(NamedTuple):
    """One table, with its indexes."""

    name: str
    size: int
    """Bytes on disk, indexes and long values included."""
    rows: int
    """About; from the server's statistics."""
    oldest: datetime | None = None
    """Of a table of events: the time of its first row; None if it has none."""
    rows_a_day: float | None = None
    """New rows, about; None where that is not known."""
    kept_days: int | None = None
    """After so many days a row goes by itself; None: it is kept, or not one of these."""

    @property
    def bytes_a_day(self) -> float | None:
        """How much it grows a day, about, while nothing is purged."""
        return None if self.rows_a_day is None or self.rows < 1 else self.rows_a_day * self.size / self.rows


_SIZES: Final = text(
    """
    SELECT c.relname, pg_total_relation_size(c.oid) AS size,
        greatest(CASE WHEN c.reltuples < 0 THEN s.n_live_tup ELSE c.reltuples END, 0)::bigint AS rows
    FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    WHERE c.relkind = 'r' AND c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relname = ANY(:names)
    ORDER BY size DESC, c.relname
    """
)
# Numbers that grow with each row tell how many came since a time, by two look-ups.
_NUMBERED: Final = """
    SELECT oldest, extract(epoch FROM clock_timestamp() - greatest(oldest, clock_timestamp() - interval '{days} days'))::float AS seconds,
        (SELECT max({number}) FROM {table}) - (
            SELECT {number} FROM {table} WHERE at >= clock.recent AND {number} IS NOT NULL ORDER BY at, {number} LIMIT 1
        ) + 1 AS came
    FROM (SELECT min(at) AS oldest FROM {table}) AS first, (SELECT clock_timestamp() - interval '{days} days' AS recent) AS clock
"""
_SPREAD: Final = """
    SELECT oldest, extract(epoch FROM newest - oldest)::float AS seconds, NULL AS came
    FROM (SELECT min({time}){zone} AS oldest, max({time}){zone} + interval '{step}' AS newest FROM {table}) AS ends
"""
_GROWING: Final = {
    "llm_logs": _NUMBERED.format(table="llm_logs", number="id", days=RECENT_DAYS),
    "audit_events": _NUMBERED.format(table="audit_events", number="seq", days=RECENT_DAYS),
    "llm_usage": _SPREAD.format(table="llm_usage", time="slot", zone="", step="5 min"),
    "llm_spend": _SPREAD.format(table="llm_spend", time="slot", zone="", step="1 hour"),
    "llm_usage_days": _SPREAD.format(
        table="llm_usage_days", time="day", zone="::timestamp AT TIME ZONE 'UTC'", step="1 day"
    ),
}
"""Tables of events -> what asks for the first row's time, and how many came in how many seconds; None: all that are there."""

_ADDED_UP: Final = ("llm_spend", "llm_usage", "llm_usage_days")
"""Those of them whose rows are figures: all that are there came in the time between the first and the last."""


def tables(session: Session) -> list[TableSize]:
    """Return all of our tables, the largest first."""
    kept = {
        "llm_usage": usage_days.KEPT_DAYS,
        "llm_logs": calls_kept(session).days(),
        "audit_events": session.scalar(_AUDIT_KEPT),
    }
    rows = session.execute(_SIZES, {"names": list(METADATA.tables)})
    return [_with_pace(session, row)._replace(kept_days=kept.get(row.relname)) for row in rows]


_AUDIT_KEPT: Final = text("SELECT keep_audit_days FROM installation WHERE id = 1")


def _with_pace(session: Session, row: Any) -> TableSize:
    found = TableSize(row.relname, row.size, row.rows)
    asked = _GROWING.get(found.name)
    if asked is None:
        return found
    pace = session.execute(text(asked)).one()
    if pace.oldest is None:
        return found
    came = found.rows if pace.came is None and found.name in _ADDED_UP else pace.came or 0
    per_day = came / pace.seconds * SECONDS_A_DAY if pace.seconds >= SECONDS_A_DAY else None
    return found._replace(oldest=pace.oldest, rows_a_day=per_day)
