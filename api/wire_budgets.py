"""Budgets as they go over the wire, in and out; the models are OpenAPI's too. Money goes as text, digit by digit."""

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from api.envelopes import Wire, picked
from api.request_schemas import AS_READ, LINE, VERSION, body_schema
from core.manage.budgets import BudgetNow, plain
from core.store.budget_schemas import MOST, BudgetInput
from core.store.budget_tables import LlmBudgetPeriod

_AMOUNT: Final[dict[str, Any]] = {
    "anyOf": [{"type": "number", "minimum": 0, "maximum": int(MOST)}, {"type": "string"}],
    "description": "US dollars; as a text each digit counts",
}
_ZONE: Final = {"type": "string", "description": "a time zone by its name, as Europe/Berlin"}
_READ: Final = {
    "scope": {"type": "string", "description": "as it was read"},
    "current": {"type": "object", "description": "as it was read"},
}
_CAP: Final = {"anyOf": [*_AMOUNT["anyOf"], {"type": "null"}], "description": "US dollars; null: one amount"}
_OWN: Final = {"amount": _AMOUNT, "timeZone": _ZONE, "carryCap": _CAP}
NEW: Final = body_schema(BudgetInput, required=("name", "amount", "period"), **_OWN) | {
    "example": {
        "name": "Summaries, monthly",
        "featureId": 1,
        "amount": "100",
        "period": "month",
        "timeZone": "Europe/Berlin",
    }
}
CHANGED: Final = body_schema(BudgetInput, required=(), version=VERSION, **_OWN, **_READ, **AS_READ) | {
    "example": {"amount": "150", "version": 1}
}
ADDED: Final = body_schema(
    required=("amount", "reason"),
    amount=_AMOUNT | {"description": "US dollars, more than 0"},
    reason={"type": "string", "pattern": LINE % (1, 500), "description": "why, for the ledger and the audit"},
) | {"example": {"amount": "25", "reason": "The campaign runs a week longer"}}

CORRECTED: Final = body_schema(
    required=("amount", "reason"),
    amount={
        "anyOf": [{"type": "number", "minimum": -int(MOST), "maximum": int(MOST)}, {"type": "string"}],
        "description": "US dollars, not 0; below 0 takes away from what is spent",
    },
    reason=ADDED["properties"]["reason"],
) | {"example": {"amount": "-3.20", "reason": "A credit of the vendor's"}}


class BudgetPeriod(Wire):
    """One stretch of a budget."""

    id: int | None = Field(description="null: nothing was called in it yet")
    starts_at: datetime
    ends_at: datetime | None = Field(description="null: never")
    amount: str = Field(description="US dollars, as all that follow")
    carried: str = Field(description="what the period before left; below 0: overspent")
    topped_up: str
    spent: str
    estimated: str = Field(description="what of spent was computed from lengths")
    unpriced: int = Field(description="calls whose price nobody knows")
    leased: str = Field(description="lent to processes that call")
    closed_at: datetime | None = Field(description="when it was over and nothing of it was lent any more")


class LlmBudget(Wire):
    """So much money for a scope in a period."""

    id: int
    name: str
    organization_id: int | None
    feature_id: int | None
    provider_id: int | None
    scope: str = Field(description="in words")
    amount: str = Field(description="US dollars")
    period: str
    time_zone: str
    week_starts: int
    first_month: int
    mode: str
    unpriced: str
    when_away: str
    thresholds: list[int] = Field(description="percent of what is allowed; an alert each")
    forecast: bool
    carry: str
    carry_cap: str | None = Field(description="null: one amount")
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime
    current: BudgetPeriod = Field(description="the period that is now")


def budget(found: BudgetNow) -> dict[str, Any]:
    """Return a budget as it goes over the wire."""
    row = found.row
    money = {"amount": plain(row.amount), "carry_cap": None if row.carry_cap is None else plain(row.carry_cap)}
    return picked(row, LlmBudget, scope=found.scope, current=budget_period(found.period), **money)


def budget_period(row: LlmBudgetPeriod) -> dict[str, Any]:
    """Return a period as it goes over the wire."""
    money = {
        name: plain(getattr(row, name)) for name in ("amount", "carried", "topped_up", "spent", "estimated", "leased")
    }
    return picked(row, BudgetPeriod, **money)
