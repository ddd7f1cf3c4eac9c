"""How long calls, the audit and the history are kept, as a page shows it: what is said where, and what holds."""

from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from ..access.authority import require
from ..actors import Actor
from ..store.organization_tables import Installation
from .log_purge import CallsKept, calls_kept

MOST_ORGANIZATIONS: Final = 50
_FEWER: Final = text(
    """
    SELECT slug, name, keep_calls_days AS days, count(*) OVER () AS number FROM organizations
    WHERE keep_calls_days IS NOT NULL AND deleted_at IS NULL ORDER BY keep_calls_days, slug LIMIT :most
    """
)


class KeptByOrganization(NamedTuple):
    """An organisation that says for how long its calls are kept."""

    slug: str
    name: str
    days: int
    """As it says."""


class KeptOverview(NamedTuple):
    """How long things are kept."""

    calls: CallsKept
    audit: int | None
    """Days; None: for ever, as the next."""
    history: int | None
    organizations: list[KeptByOrganization]
    """The first :data:`MOST_ORGANIZATIONS` of those that say something, the fewest days first."""
    number: int
    """Of all that say something."""


def overview(session: Session, actor: Actor) -> KeptOverview:
    """Return how long things are kept.

    Raises:
        Forbidden: If the actor is neither admin nor analyst of the installation.
    """
    require(session, actor, "keeping.read", role="analyst")
    row: Any = session.get(Installation, 1, populate_existing=True)
    found: Any = session.execute(_FEWER, {"most": MOST_ORGANIZATIONS}).all()
    return KeptOverview(
        calls_kept(session),
        getattr(row, "keep_audit_days", None),
        getattr(row, "keep_history_days", None),
        [KeptByOrganization(each.slug, each.name, each.days) for each in found],
        found[0].number if found else 0,
    )
