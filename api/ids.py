"""Ids in paths and queries. A path whose id is no number is no path of ours: 404."""

from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import BeforeValidator, Field
from starlette.convertors import Convertor, register_url_convertor

LARGEST = 2**31 - 1
PAGE: Final = 100
"""Rows of a list that has pages."""


class _Row(Convertor[str]):
    regex = "(?:0|[1-9][0-9]{0,9})"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Api(_Row):
    regex = "[a-z]{1,50}"


class _Model(_Row):
    """A name that no proxy reads otherwise: it ends with no dot, and needs no escape."""

    regex = "[A-Za-z0-9](?:[A-Za-z0-9._~-]*[A-Za-z0-9])?"


register_url_convertor("row", _Row())
register_url_convertor("api", _Api())
register_url_convertor("model", _Model())


def digits(value: Any) -> int:
    """Return a whole number as it stands in a path or query: digits alone; raises ValueError."""
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11):  # noqa: PLR2004 - digits of LARGEST
        raise ValueError("must be a whole number")
    return int(value)


_Id = Annotated[int, Field(ge=1, le=LARGEST)]
Id = Annotated[_Id, BeforeValidator(digits), Path(alias="id")]
ProviderId = Annotated[
    Annotated[_Id, BeforeValidator(digits)] | None,
    Query(alias="providerId", description="only the row of this provider"),
]
Most = Annotated[
    Annotated[int, Field(ge=1, le=PAGE)], BeforeValidator(digits), Query(alias="limit", description="so many at most")
]
AfterId = Annotated[
    _Id, BeforeValidator(digits), Query(alias="afterId", description="and its id: deleted ones may share a slug")
]
OrgId = Annotated[_Id, BeforeValidator(digits), Path(alias="orgId", description="of an organisation")]
FeatureInPath = Annotated[_Id, BeforeValidator(digits), Path(alias="featureId")]
ProviderInPath = Annotated[_Id, BeforeValidator(digits), Path(alias="providerId")]
UserInPath = Annotated[_Id, BeforeValidator(digits), Path(alias="userId")]
FeatureId = Annotated[
    Annotated[_Id, BeforeValidator(digits)] | None,
    Query(alias="featureId", description="only the rows of this feature"),
]
