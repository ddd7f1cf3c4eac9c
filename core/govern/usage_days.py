"""Figures of calls by days: what ``llm_usage`` had by five minutes, once it is older than anyone looks at so closely.

Each bucket of latency is kept, so percentiles of a day are as right as those of five minutes. Why so, and what it saves:
docs/decisions/usage-by-days.md.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

from ..store import waits
from ..store.db import Transact

KEPT_DAYS: Final = 35
"""Whole days, in UTC, for which five minutes are kept one by one: longer than the longest span that shows parts of a day."""
ROLLED_AT_ONCE: Final = 50_000
"""Rows of ``llm_usage`` a transaction, or those of one five minutes if they are more."""

_OLD: Final = f"date_trunc('day', clock_timestamp() - interval '{KEPT_DAYS} days', 'UTC')"
# A parameter: what is volatile is no bound for an index.
_BORDER: Final = text(f"SELECT {_OLD}")
_EDGE: Final = text(
    "SELECT slot FROM llm_usage WHERE slot > :after AND slot < :border ORDER BY slot OFFSET :rows LIMIT 1"
)
# One statement: a row that a call adds to meanwhile is taken as it is then, and what comes later makes a new one.
_ROLL_UP: Final = text(
    """
    WITH gone AS (DELETE FROM llm_usage WHERE slot > :after AND slot <= :edge AND slot < :border RETURNING *), days AS (
        INSERT INTO llm_usage_days AS u
            (day, provider, model, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost,
                adjusted)
        SELECT (slot AT TIME ZONE 'UTC')::date, provider, model, status, latency_bucket,
            sum(calls), sum(priced), sum(input_tokens), sum(output_tokens), sum(cost), sum(adjusted)
        FROM gone GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (day, provider, model, status, latency_bucket) DO UPDATE SET
            calls = u.calls + excluded.calls,
            priced = u.priced + excluded.priced,
            input_tokens = u.input_tokens + excluded.input_tokens,
            output_tokens = u.output_tokens + excluded.output_tokens,
            cost = u.cost + excluded.cost,
            adjusted = u.adjusted + excluded.adjusted
    )
    SELECT count(*) FROM gone
    """
)


def roll_up(transact: Transact) -> int:
    """Add the figures of all days that ended :data:`KEPT_DAYS` days ago up by days; return how many rows they were.

    In small transactions, oldest first; interrupted, it is run again. Calls that are logged late, for a day that was rolled
    up, are added to it the next time.
    """
    after: datetime | None = None
    edge: datetime | None = None

    def some(session: Session) -> int:
        nonlocal edge
        session.execute(text("SET LOCAL statement_timeout = '60s'"))
        waits.allow(session.connection(), 60)
        given: dict[str, Any] = {"after": after or "-infinity", "border": session.scalar(_BORDER)}
        edge = session.scalar(_EDGE, {**given, "rows": ROLLED_AT_ONCE - 1})
        return session.scalar(_ROLL_UP, {**given, "edge": edge or "infinity"}) or 0

    rolled = transact(some)
    while edge is not None:
        after = edge  # committed: rows that are gone are not passed again
        rolled += transact(some)
    return rolled
