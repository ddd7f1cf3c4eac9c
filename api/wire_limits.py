"""Limits as they go over the wire; the models are OpenAPI's too. Fields that are limited have the names of the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.envelopes import Wire, picked
from api.names import NAMED, NotAsNamed, camel
from core.manage.limits import Preview
from core.parameters import PARAMETERS
from core.resolving.limits import DEFAULT_PROVIDER, MODEL, OBJECTS, PERSONAL
from core.resolving.personal_merge import PERSONAL_FIELDS
from core.store.organization_tables import LlmLimits

_OURS = {camel(name): name for name in (*PARAMETERS, *OBJECTS, MODEL, DEFAULT_PROVIDER, PERSONAL)}
_OF_PERSONAL = {camel(name): name for name in PERSONAL_FIELDS}


class RowPutOut(Wire):
    """A settings row that has something which the limits put out of force."""

    table: Literal["llm_settings", "feature_llm_overrides", "llm_pii_settings"]
    row_id: int
    organization: str | None = Field(description="slug; null: nobody's")
    feature: str | None
    provider: str | None = Field(description="null: all")
    fields: list[str]


class LimitsEffect(Wire):
    """What limits put out of force of what is stored within their scope. It stays stored."""

    rows: int
    organizations: int
    fields: dict[str, int] = Field(description="field -> rows; of those that any row has")
    listed: list[RowPutOut] = Field(description="the first 50 rows")
    notes: dict[str, str] = Field(description="field -> why its rule binds nothing, and the cure")
    ignored_by: int = Field(description="connected services of versions that do not know limits")
    holds: str = Field(description="where the limits hold, in a sentence")


class LimitsOut(Wire):
    """Limits of one scope, by one owner."""

    id: int
    owner: Literal["installation", "organization"]
    organization_id: int | None = Field(description="null: of everybody")
    feature_id: int | None = Field(description="null: whatever the feature")
    provider_id: int | None = Field(description="null: whatever the provider")
    limits: dict[str, dict[str, Any]] = Field(
        description="field -> rule, with any of lock, min, max, in and send; see the page on organisations and features"
    )
    note: str | None = Field(description="why, for whoever meets them")
    version: int
    created_at: datetime
    updated_at: datetime
    effect: LimitsEffect | None = Field(default=None, description="of a write: what they put out of force")


class Cleared(Wire):
    """What was taken out of rows because limits put it out of force."""

    cleared: int = Field(description="rows")
    left: int = Field(description="rows that still have such: send it again")


def limits(row: LlmLimits, found: Preview | None = None) -> dict[str, Any]:
    """Return limits as they go over the wire, after a write with what they put out of force."""
    rules = {to_wire(field): rule for field, rule in row.limits.items()}
    return picked(row, LimitsOut, limits=rules, effect=None if found is None else effect(found))


def effect(found: Preview) -> dict[str, Any]:
    """Return what limits put out of force as it goes over the wire."""
    effects = found.effects
    return {
        "rows": effects.rows,
        "organizations": effects.organizations,
        "fields": {to_wire(field): number for field, number in effects.fields.items()},
        "listed": [
            picked(each._asdict(), RowPutOut, fields=list(map(to_wire, each.fields))) for each in effects.listed
        ],
        "notes": {to_wire(field): note for field, note in found.notes.items()},
        "ignoredBy": found.ignored_by,
        "holds": found.holds,
    }


def to_wire(field: str) -> str:
    """Return the name of a limited field on the wire; the keys of JSON objects are the user's own and stay."""
    head, dot, key = field.partition(".")
    return camel(head) + dot + (camel(key) if head == PERSONAL else key)


def field_from_wire(name: str) -> str:
    """Return our name of a limited field, which was asked for by that of the wire; one that there is not stays, and none has it."""
    head, dot, key = name.partition(".")
    return _OURS.get(head, head) + dot + _key(head, key)


def from_wire(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits by our names.

    Raises:
        NotAsNamed: Naming what is no field here, as it was sent.
    """
    heads = {name: name.partition(".") for name in limits}
    unknown = [name[:50] for name, (head, _, _) in heads.items() if head not in _OURS]
    if unknown:
        raise NotAsNamed(dict.fromkeys(unknown[:NAMED], "is nothing that can be limited"))
    return {_OURS[head] + dot + _key(head, key): limits[name] for name, (head, dot, key) in heads.items()}


def _key(head: str, key: str) -> str:
    """Return our name of what stands behind the dot; the keys of JSON objects are the user's own and stay."""
    return _OF_PERSONAL.get(key, key) if _OURS.get(head) == PERSONAL else key
