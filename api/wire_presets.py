"""Presets as they go over the wire, in and out; the models are OpenAPI's too."""

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from api.envelopes import Wire, picked
from api.names import camel
from api.request_schemas import AS_READ, EDGE, ID_OR_NULL, VERSION, body_schema
from core.manage import settings_presets
from core.store.preset_schemas import PRESET_FIELDS, PresetInput
from core.store.preset_tables import SettingsPreset
from core.store.schemas import SettingsInput

_FIELDS: Final = body_schema(SettingsInput, required=())["properties"]
_OF_A_PRESET: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {name: _FIELDS[name] for name in map(camel, PRESET_FIELDS)},
    "additionalProperties": False,
    "minProperties": 1,
    "description": "parameters of a settings row, by their names there; what is not named stays as it is",
}
_NAME: Final = {
    "type": "string",
    "pattern": f"^{EDGE}[a-z0-9][a-z0-9._-]{{0,99}}{EDGE}$",
    "description": "1 to 100 of a to z, 0 to 9, dot, _ and -, beginning with a letter or digit",
}
NEW: Final = body_schema(PresetInput, required=("name", "fields"), name=_NAME, fields=_OF_A_PRESET) | {
    "example": {"name": "terse", "description": "One sentence", "fields": {"maxTokens": 100, "temperature": 0}}
}
CHANGED: Final = body_schema(PresetInput, required=(), name=_NAME, fields=_OF_A_PRESET, version=VERSION, **AS_READ) | {
    "example": {"fields": {"maxTokens": 80}, "version": 1}
}
APPLIED: Final = body_schema(
    required=("providerId",),
    providerId=ID_OR_NULL | {"description": "null: the row of all providers"},
    organizationId=ID_OR_NULL | {"description": "null, or left out: nobody's"},
    featureId=ID_OR_NULL | {"description": "null, or left out: of no feature"},
    version=VERSION,
) | {"example": {"providerId": None, "organizationId": 1}}


class Preset(Wire):
    """A named set of parameters."""

    id: int
    name: str
    description: str | None
    fields: dict[str, Any] = Field(description="parameters of a settings row, by their names there")
    version: int
    created_at: datetime
    updated_at: datetime


class PresetChange(Wire):
    """What applying a preset does to one field."""

    field: str
    before: str = Field(description="in words")
    after: str = Field(description="in words")
    note: str = Field(description="what becomes of it for the model that is called; empty: it is sent as it is")


class PresetPreview(Wire):
    """What applying a preset would do; nothing is changed."""

    changes: list[PresetChange]
    version: int = Field(description="of the settings row, for If-Match; 0: there is none")


def preset(row: SettingsPreset) -> dict[str, Any]:
    """Return a preset as it goes over the wire."""
    return picked(row, Preset, fields={camel(name): value for name, value in row.fields.items()})


def preview(found: settings_presets.PresetPreview) -> dict[str, Any]:
    """Return what a preset would do as it goes over the wire."""
    changes = [{**each._asdict(), "field": camel(each.field)} for each in found.changes]
    return {"changes": changes, "version": found.version}
