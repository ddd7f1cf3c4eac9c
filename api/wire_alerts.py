"""Alerts as they go over the wire. Money goes as text, digit by digit."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.envelopes import Wire, picked
from core.govern.alerts import Alert
from core.store.budget_tables import ALERT_KINDS, ALERT_STATES


class LlmAlert(Wire):
    """Something that somebody is to look at."""

    id: int
    at: datetime
    kind: Literal[ALERT_KINDS]  # type: ignore[valid-type]  # the names are data, listed once
    state: Literal[ALERT_STATES]  # type: ignore[valid-type]  # as above
    text: str = Field(description="in words, as it was then")
    budget_id: int | None
    budget: str | None = Field(description="its name")
    organization_id: int | None
    organization: str | None
    period_id: int | None
    starts_at: datetime | None = Field(description="of the period")
    ends_at: datetime | None
    threshold: int | None = Field(description="percent of what may be spent")
    occurrence: int = Field(description="the how manieth of its kind in the period")
    facts: dict[str, Any] = Field(description="as they were then")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None = Field(description="null: by itself")
    cleared_at: datetime | None = Field(description="when what it tells of was over; null: it goes on")


def alert(found: Alert) -> dict[str, Any]:
    """Return an alert as it goes over the wire."""
    about = {name: getattr(found, name) for name in ("text", "budget", "organization")}
    moments = {name: getattr(found, name) for name in ("starts_at", "ends_at")}
    plain = {name: None if moment is None else moment.isoformat() for name, moment in moments.items()}
    return picked(found.row, LlmAlert, **about, **plain)
