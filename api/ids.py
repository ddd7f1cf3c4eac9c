"""Ids in paths and queries."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BeforeValidator

LARGEST = 2**31 - 1


def _digits(value: Any) -> int:
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11):  # noqa: PLR2004 - digits of LARGEST
        raise ValueError("must be the id of a row, a whole number")
    return int(value)


Id = Annotated[int, BeforeValidator(_digits), Path(alias="id", ge=1, le=LARGEST)]
ProviderId = Annotated[
    Annotated[int, BeforeValidator(_digits)] | None,
    Query(alias="providerId", ge=1, le=LARGEST, description="only the row of this provider"),
]
