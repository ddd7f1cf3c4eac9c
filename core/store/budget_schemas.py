"""What may be said of a budget: a part of :mod:`~.schemas`, the only validator."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from .organization_schemas import Flag, Id
from .schemas import Input, OneLine

MOST: Final = Decimal(1_000_000_000)
PLACES: Final = 10
_ZONE: Final = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$"


def as_decimal(value: Any) -> Any:
    """Read a number, or its digits: 0.1 is a tenth."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return Decimal(str(value).strip()[:40])
    except InvalidOperation:
        return value


Amount = Annotated[
    Decimal,
    BeforeValidator(as_decimal),
    Field(ge=0, le=MOST, decimal_places=PLACES, allow_inf_nan=False),
]


class BudgetInput(Input):
    """So much money for a scope in a period; what of a scope is not named is all of them."""

    name: Annotated[str, OneLine, Field(min_length=1, max_length=100, description="1 to 100 characters")]
    organization_id: Annotated[Id | None, Field(description="the id of an organisation, or nothing")] = None
    feature_id: Annotated[Id | None, Field(description="the id of a feature, or nothing")] = None
    provider_id: Annotated[Id | None, Field(description="the id of a provider, or nothing")] = None
    amount: Annotated[Amount, Field(description=f"US dollars from 0 to {MOST:,}, with at most {PLACES} decimals")]
    period: Annotated[
        Literal["day", "week", "month", "quarter", "year", "total"],
        Field(description="day, week, month, quarter, year or total"),
    ]
    time_zone: Annotated[
        str,
        OneLine,
        Field(pattern=_ZONE, max_length=60, description="a time zone by its name, as Europe/Berlin or UTC"),
    ] = "UTC"
    week_starts: Annotated[int, Field(ge=1, le=7, description="1 (Monday) to 7 (Sunday)")] = 1
    first_month: Annotated[int, Field(ge=1, le=12, description="1 (January) to 12 (December)")] = 1
    mode: Annotated[Literal["hard", "soft"], Field(description="hard or soft")] = "hard"
    unpriced: Annotated[Literal["refuse", "count"], Field(description="refuse or count")] = "refuse"
    when_away: Annotated[Literal["closed", "open"], Field(description="closed or open")] = "closed"
    is_active: Flag = True

    @model_validator(mode="before")
    @classmethod
    def _softly(cls, given: Any) -> Any:
        """A soft budget refuses nothing, unless somebody says so."""
        if isinstance(given, dict) and given.get("mode") == "soft":
            return {"unpriced": "count", "when_away": "open"} | given
        return given


class AdjustmentInput(Input):
    """What is added by hand to the period of a budget that is now."""

    amount: Annotated[
        Decimal,
        BeforeValidator(as_decimal),
        Field(
            ge=-MOST,
            le=MOST,
            decimal_places=PLACES,
            allow_inf_nan=False,
            description=f"US dollars, not 0, at most {MOST:,}, with at most {PLACES} decimals; below 0 only in a correction",
        ),
    ]
    reason: Annotated[str, OneLine, Field(min_length=1, max_length=500, description="a line of 1 to 500 characters")]
