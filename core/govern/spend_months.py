"""Which months have spend, and which of them are closed: what the page of costs offers to charge back."""

from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from .spend import zone_of

MOST_MONTHS: Final = 36
"""So many months back."""
_FOUND: Final = text("""
    WITH months AS (
        SELECT first, first AT TIME ZONE CAST(:zone AS text) AS begins,
            (first + interval '1 month') AT TIME ZONE CAST(:zone AS text) AS ends
        FROM generate_series(0, :most - 1) AS back,
            LATERAL (SELECT date_trunc('month', clock_timestamp() AT TIME ZONE CAST(:zone AS text)) - back * interval '1 month' AS first) AS m
    )
    SELECT m.first::date AS month, m.ends <= clock_timestamp() AS is_over, c.zone, c.closed_at, c.closed_by
    FROM months m LEFT JOIN llm_spend_closings c ON c.month = m.first::date
    WHERE EXISTS (
        SELECT FROM llm_spend s WHERE s.slot >= m.begins AND s.slot < m.ends
            AND (CAST(:organization AS integer) IS NULL OR (s.organization_id = :organization AND s.organization_id <> 0))
    ) OR (CAST(:organization AS integer) IS NULL AND (
        c.month IS NOT NULL OR EXISTS (SELECT FROM llm_vendor_bills b WHERE b.month = m.first::date)
    ))
    ORDER BY m.first DESC
""")


class SpendMonth(NamedTuple):
    """A month with spend, with a bill, or closed."""

    month: date
    """Its first day."""
    is_over: bool
    """In the zone that was asked for."""
    zone: str | None
    """Whose month was closed; None: it is open."""
    closed_at: datetime | None
    closed_by: str | None


def months_with_spend(
    session: Session, actor: Actor, *, zone: str = "UTC", organization_id: int | None = None
) -> list[SpendMonth]:
    """Return the months of the last :data:`MOST_MONTHS` with spend, the newest first; of all spend also those with a bill, or closed.

    Args:
        session: The transaction.
        actor: An admin or analyst, of the installation or of *organization_id*.
        zone: Whose months they are, as ``Europe/Berlin``.
        organization_id: Of this one alone; found already, by a query for what the actor may see.

    Raises:
        Forbidden, NotFound: If the actor may not.
        Invalid: If there is no such zone.
    """
    require(session, actor, "spend.view", role="analyst", organization=organization_id)
    zone_of(zone)
    given: dict[str, Any] = {"zone": zone, "organization": organization_id, "most": MOST_MONTHS}
    return [SpendMonth(*row) for row in session.execute(_FOUND, given)]
