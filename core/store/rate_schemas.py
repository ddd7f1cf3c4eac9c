"""What may be said of a rate limit on calls: a part of :mod:`~.schemas`, the only validator."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .organization_schemas import Flag, Id
from .rate_tables import FIGURES
from .schemas import Input, OneLine, OptionalModel, Problems

MOST: Final = 2_000_000_000
_FEWEST: Final = "; to let nothing through, switch the provider or the feature off, or make a budget of 0"

MinuteFigure = Annotated[
    Annotated[int, Field(ge=1, le=MOST)] | None,
    Field(description=f"a whole number from 1 to {MOST:,}, or nothing{_FEWEST}"),
]


def _number(value: Any) -> Any:
    """Read a whole number of seconds as one with decimals."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class RateLimitInput(Input):
    """So many calls for a scope; what of a scope is not named is all of them."""

    name: Annotated[str, OneLine, Field(min_length=1, max_length=100, description="1 to 100 characters")]
    organization_id: Annotated[Id | None, Field(description="the id of an organisation, or nothing")] = None
    feature_id: Annotated[Id | None, Field(description="the id of a feature, or nothing")] = None
    provider_id: Annotated[Id | None, Field(description="the id of a provider, or nothing")] = None
    model: OptionalModel = None
    requests_per_minute: MinuteFigure = None
    tokens_per_minute: MinuteFigure = None
    max_concurrent: MinuteFigure = None
    burst_seconds: Annotated[
        float, BeforeValidator(_number), Field(ge=0.1, le=60, description="seconds from 0.1 to 60")
    ] = 6.0
    when_full: Annotated[Literal["wait", "refuse"], Field(description="wait or refuse")] = "wait"
    max_wait_ms: Annotated[int, Field(ge=0, le=60_000, description="milliseconds from 0 to 60,000")] = 2000
    is_active: Flag = True

    @model_validator(mode="after")
    def _something(self) -> Self:
        if all(getattr(self, figure) is None for figure in FIGURES):
            raise Problems(dict.fromkeys(FIGURES, "is needed, or one of the other two: a rate limit limits something"))
        return self
