"""What every answer over the wire has in common: the envelope, names of the wire, rows as JSON can hold them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from api.names import camel

Data = TypeVar("Data")


class Wire(BaseModel):
    """What all of it has in common: names of the wire, and nothing unknown."""

    model_config = ConfigDict(alias_generator=camel, extra="forbid", frozen=True)


class Answer(BaseModel, Generic[Data]):
    """The envelope of what was served."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[True]
    data: Data


class _Change(Wire):
    stored: Any
    yours: Any


class _Told(Wire):
    code: str = Field(description="in capitals: what a program goes by", examples=["FORBIDDEN"])
    message: str = Field(description="for people: what happened, and the cure")
    request_id: str = Field(description="of this request, as in the header X-Request-ID and in the app's log")
    fields: dict[str, str] | None = Field(default=None, description="field at fault -> the rule it breaks")
    version: int | None = Field(default=None, description="of a conflict: the version that is stored now")
    changed_by: str | None = None
    changed_at: datetime | None = None
    changes: dict[str, _Change] | None = Field(default=None, description="of a conflict: both values of each field")
    checks: dict[str, str] | None = Field(default=None, description="of a process that is not ready: check -> state")


class Failure(BaseModel):
    """The envelope of what was refused, or failed."""

    model_config = ConfigDict(extra="forbid")

    success: Literal[False]
    error: _Told


class Live(BaseModel):
    """That the process answers."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["live"]


class Ready(Wire):
    """Whether the process can do its work."""

    status: Literal["ready", "degraded"] = Field(description="degraded: it works, and somebody should look at a check")
    checks: dict[str, str] = Field(description="check -> ok, or what is the matter")
    snapshot_age_seconds: float | None = Field(description="since the settings in memory were known to be those stored")
    details: dict[str, Any] | None = Field(default=None, description="for admins alone")


class Deleted(Wire):
    """What a deletion took with it."""

    id: int
    deleted: list[str]


def reader(row: Any) -> Callable[[str], Any]:
    """Return what reads a field of *row*, a row of a table or a mapping, by its name."""
    return row.__getitem__ if isinstance(row, Mapping) else lambda name: getattr(row, name)


def picked(row: Any, model: type[BaseModel], **made: Any) -> dict[str, Any]:
    """Return the fields of *model*: those in *made*, the others as *row* has them."""
    read = reader(row)
    return {camel(name): plain(made[name] if name in made else read(name)) for name in model.model_fields}


def plain(value: Any) -> Any:
    """Return *value* as JSON can hold it."""
    return value.isoformat() if isinstance(value, datetime) else value
