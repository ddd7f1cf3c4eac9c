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
NEW: Final = body_schema(BudgetInput, required=("name", "amount", "period"), amount=_AMOUNT, timeZone=_ZONE) | {
    "example": {
        "name": "Summaries, monthly",
        "featureId": 1,
        "amount": "100",
        "period": "month",
        "timeZone": "Europe/Berlin",
    }
}
CHANGED: Final = body_schema(
    BudgetInput, required=(), amount=_AMOUNT, timeZone=_ZONE, version=VERSION, **_READ, **AS_READ
) | {"example": {"amount": "150", "version": 1}}
ADDED: Final = body_schema(
    required=("amount", "reason"),
    amount=_AMOUNT | {"description": "US dollars, more than 0"},
    reason={"type": "string", "pattern": LINE % (1, 500), "description": "why, for the ledger and the audit"},
) | {"example": {"amount": "25", "reason": "The campaign runs a week longer"}}


class BudgetPeriod(Wire):
    """One stretch of a budget."""

    id: int | None = Field(description="null: nothing was called in it yet")
    starts_at: datetime
    ends_at: datetime | None = Field(description="null: never")
    amount: str = Field(description="US dollars, as all that follow")
    topped_up: str
    spent: str
    estimated: str = Field(description="what of spent was computed from lengths")
    unpriced: int = Field(description="calls whose price nobody knows")
    leased: str = Field(description="lent to processes that call")


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
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime
    current: BudgetPeriod = Field(description="the period that is now")


def budget(found: BudgetNow) -> dict[str, Any]:
    """Return a budget as it goes over the wire."""
    return picked(
        found.row, LlmBudget, scope=found.scope, amount=plain(found.row.amount), current=budget_period(found.period)
    )


def budget_period(row: LlmBudgetPeriod) -> dict[str, Any]:
    """Return a period as it goes over the wire."""
    money = {name: plain(getattr(row, name)) for name in ("amount", "topped_up", "spent", "estimated", "leased")}
    return picked(row, BudgetPeriod, **money)
