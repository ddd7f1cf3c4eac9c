"""How the Alerts page says what an alert is, and how it is with it."""

from collections.abc import Mapping
from typing import Final

from core.govern.alerts import Alert
from ui.feedback import plain
from ui.widgets import ago, exact

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "threshold": ("Threshold", "data_usage"),
    "forecast": ("Forecast", "trending_up"),
    "unpriced": ("Calls without a price", "money_off"),
    "presumed": ("Presumed spend", "help_center"),
    "spike": ("Spike", "monitoring"),
    "delivery": ("Delivery fails", "mark_email_unread"),
}
"""Kind -> its name, and its icon."""


def kind_of(kind: str) -> tuple[str, str]:
    """Return name and icon of a kind, also of one of a later version."""
    return KINDS.get(kind, (kind.capitalize(), "notifications"))


def badge(found: Alert) -> str:
    """Return how it is with an alert."""
    row = found.row
    if row.state == "open":
        return ":red-badge[:material/error: Open]"
    if row.state == "acknowledged":
        return ":orange-badge[:material/visibility: Acknowledged]"
    return ":gray-badge[:material/check: Resolved]"


def facts(found: Alert) -> str:
    """Return what is said below an alert: its kind, whose it is, when, and who did what."""
    row = found.row
    parts = [kind_of(row.kind)[0], found.organization or "", ago(found.at)]
    if row.acknowledged_at is not None:
        parts.append(f"acknowledged by {row.acknowledged_by or 'somebody'} {ago(row.acknowledged_at)}")
    if row.resolved_at is not None:
        parts.append(f"resolved {f'by {row.resolved_by}' if row.resolved_by else 'by itself'} {ago(row.resolved_at)}")
    if row.occurrence > 1:
        parts.append(f"time {row.occurrence} in this period")
    return " · ".join(filter(None, parts))


def moments(found: Alert) -> str:
    """Return the moments of an alert whole."""
    row = found.row
    parts = [f"Alert {row.id}, made {exact(found.at)}"]
    if found.starts_at is not None:
        parts.append(f"of the period from {exact(found.starts_at)}")
    if found.ends_at is not None:
        parts.append(f"to {exact(found.ends_at)}")
    if row.acknowledged_at is not None:
        parts.append(f"acknowledged {exact(row.acknowledged_at)}")
    if row.resolved_at is not None:
        parts.append(f"resolved {exact(row.resolved_at)}")
    return plain(", ".join(parts))
