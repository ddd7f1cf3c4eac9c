"""Versions, differences and what is restored as they go over the wire; the models are OpenAPI's too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.envelopes import Wire, plain
from api.names import camel
from core.govern.history import Differences, RowDifference, VersionChange
from core.govern.history_moments import Moment
from core.govern.history_restore import Restored, RowOutcome


class FieldChange(Wire):
    """One field: before, and after."""

    before: Any = None
    after: Any = None


class HistoryChange(Wire):
    """One version of a row, and what is different from the one before."""

    place: str = Field(description="where it stands in the list: for `after`")
    generation: int
    at: datetime
    by: str
    comment: str | None = Field(description="why, as who did it wrote")
    table: str
    row: int = Field(description="the row's id")
    organization_id: int | None
    op: Literal["+", "=", "-"] = Field(description="made, changed, or gone")
    version: int | None = Field(description="of the row")
    name: str = Field(description="what people call it")
    fields: dict[str, FieldChange]
    hidden: list[str] = Field(description="fields that were changed, and whose values admins read")


class HistoryMoment(Wire):
    """A generation."""

    generation: int
    at: datetime
    by: str
    comment: str | None


class HistoryDifference(Wire):
    """A row that is not the same at two moments."""

    table: str
    row: int
    organization_id: int | None
    name: str
    op: Literal["+", "=", "-"]
    fields: dict[str, FieldChange]
    hidden: list[str]
    generation: int = Field(description="of the last change up to the later moment")
    at: datetime
    by: str


class HistoryDifferences(Wire):
    """What differs between two moments."""

    before: HistoryMoment
    after: HistoryMoment
    rows: list[HistoryDifference]
    is_cut: bool = Field(description="whether there are more rows than are listed")


class HistoryOutcome(Wire):
    """What became, or would become, of one row."""

    table: str
    row: int
    name: str
    done: Literal["changed", "made", "deleted", "nothing", "refused"]
    fields: dict[str, FieldChange] = Field(description="as it was, and as it is now")
    problem: str = Field(description="why it was refused, and the cure")
    notes: list[str] = Field(description="what does not come back: keys")


class HistoryRestored(Wire):
    """What became of the rows that were restored."""

    generation: int = Field(description="as of which they are")
    looked_at: int = Field(description="the generation that this was worked out at: for `lookedAt`")
    outcomes: list[HistoryOutcome]


def change(found: VersionChange) -> dict[str, Any]:
    """Return a version as it goes over the wire."""
    return {
        "place": str(found.place),
        **_of(found),
        "comment": found.comment,
        "organizationId": found.organization_id,
        "op": found.op,
        "version": found.version,
        "hidden": list(map(camel, found.hidden)),
    }


def differences(found: Differences) -> dict[str, Any]:
    """Return a difference as it goes over the wire."""
    return {
        "before": _moment(found.before),
        "after": _moment(found.after),
        "rows": [
            {
                **_of(row),
                "organizationId": row.organization_id,
                "op": row.op,
                "hidden": list(map(camel, row.hidden)),
            }
            for row in found.rows
        ],
        "isCut": found.is_cut,
    }


def restored(found: Restored) -> dict[str, Any]:
    """Return what was restored as it goes over the wire."""
    outcomes = [outcome(each) for each in found.outcomes]
    return {"generation": found.moment.generation, "lookedAt": found.looked_at, "outcomes": outcomes}


def outcome(found: RowOutcome) -> dict[str, Any]:
    """Return what became of one row as it goes over the wire."""
    return {
        **{name: getattr(found, name) for name in ("table", "name", "done", "problem")},
        "row": found.row_id,
        "fields": _fields(found.fields),
        "notes": list(found.notes),
    }


def _of(found: VersionChange | RowDifference) -> dict[str, Any]:
    return {
        **{name: plain(getattr(found, name)) for name in ("generation", "at", "by", "table", "name")},
        "row": found.row_id,
        "fields": _fields(found.fields),
    }


def _moment(found: Moment) -> dict[str, Any]:
    return {name: plain(value) for name, value in found._asdict().items()}


def _fields(found: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {camel(name): {"before": plain(one), "after": plain(other)} for name, (one, other) in found.items()}
