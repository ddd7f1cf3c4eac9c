"""What may be said of a vendor's bill, and of a month that is closed: a part of :mod:`~.schemas`, the only validator."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from .budget_schemas import MOST, PLACES, as_decimal
from .schemas import Input, OneLine

MONTH: Final = r"^[0-9]{4}-(0[1-9]|1[0-2])$"


def as_month(value: Any) -> Any:
    """Return the first day of a month as 2026-10; anything else as it is."""
    if isinstance(value, str) and re.fullmatch(MONTH, value.strip()):
        return date(max(int(value.strip()[:4]), 1), int(value.strip()[5:]), 1)
    return value


Month = Annotated[date, BeforeValidator(as_month), Field(description="a month, as 2026-10")]

Zone = Annotated[
    str, OneLine, Field(min_length=1, max_length=64, description="whose month it is, as Europe/Berlin or UTC")
]


class ClosingInput(Input):
    """A month that is to be closed."""

    month: Month
    zone: Zone = "UTC"


class VendorBillInput(Input):
    """What a vendor charges for a month."""

    provider: Annotated[str, OneLine, Field(min_length=1, max_length=200, description="the name of a provider")]
    month: Month
    amount: Annotated[
        Decimal,
        BeforeValidator(as_decimal),
        Field(
            ge=-MOST,
            le=MOST,
            decimal_places=PLACES,
            allow_inf_nan=False,
            description=f"US dollars, at most {MOST:,}, with at most {PLACES} decimals; below 0: more credits than charges",
        ),
    ]
    zone: Zone = "UTC"
    note: Annotated[
        Annotated[str, OneLine, Field(max_length=500)] | None, Field(description="a line of at most 500 characters")
    ] = None
