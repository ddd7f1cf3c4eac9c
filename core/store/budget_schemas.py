"""What may be said of a budget: a part of :mod:`~.schemas`, the only validator."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .budget_tables import MOST_PERCENT, MOST_THRESHOLDS
from .organization_schemas import Flag, Id
from .schemas import Input, OneLine, Problems

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


def _ascending(percents: list[int]) -> list[int]:
    if len(set(percents)) != len(percents):
        raise ValueError("must name each percentage once")
    return sorted(percents)


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
    thresholds: Annotated[
        list[Annotated[int, Field(ge=1, le=MOST_PERCENT)]],
        Field(
            max_length=MOST_THRESHOLDS,
            description=f"a list of at most {MOST_THRESHOLDS} percentages from 1 to {MOST_PERCENT:,}, each once; none: []",
        ),
        AfterValidator(_ascending),
    ] = Field(default_factory=lambda: [50, 80, 100])
    forecast: Flag = True
    carry: Annotated[Literal["none", "unused", "both"], Field(description="none, unused or both")] = "none"
    carry_cap: Annotated[Amount | None, Field(description=f"US dollars from 0 to {MOST:,}, or nothing: one amount")] = (
        None
    )
    is_active: Flag = True

    @model_validator(mode="before")
    @classmethod
    def _softly(cls, given: Any) -> Any:
        """A soft budget refuses nothing, unless somebody says so."""
        if isinstance(given, dict) and given.get("mode") == "soft":
            return {"unpriced": "count", "when_away": "open"} | given
        return given

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.period == "total" and self.carry != "none":
            raise Problems({"carry": "must be none: after a total no period follows"})
        return self


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
