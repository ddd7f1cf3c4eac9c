"""Ids in paths and queries. A path whose id is no number is no path of ours: 404."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BeforeValidator, Field
from starlette.convertors import Convertor, register_url_convertor

LARGEST = 2**31 - 1


class _Row(Convertor[str]):
    regex = "(?:0|[1-9][0-9]{0,9})"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("row", _Row())


def _digits(value: Any) -> int:
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11):  # noqa: PLR2004 - digits of LARGEST
        raise ValueError("must be the id of a row, a whole number")
    return int(value)


_Id = Annotated[int, Field(ge=1, le=LARGEST)]
Id = Annotated[_Id, BeforeValidator(_digits), Path(alias="id")]
ProviderId = Annotated[
    Annotated[_Id, BeforeValidator(_digits)] | None,
    Query(alias="providerId", description="only the row of this provider"),
]
