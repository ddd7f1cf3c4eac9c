"""A pydantic class as the schema that vendors take for structured outputs."""

from collections.abc import Mapping
from typing import Any


def schema_of(cls: type[Any]) -> dict[str, Any]:
    """Return the JSON schema of *cls* as strict vendors want it: every object is closed, and has all its properties.

    https://developers.openai.com/api/docs/guides/structured-outputs: "all fields must be required", and
    ``additionalProperties`` is false everywhere.
    """
    closed = _closed(cls.model_json_schema())
    return closed if isinstance(closed, dict) else {}


def _closed(schema: object) -> object:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, object] = {}
    for name, value in schema.items():
        if name in {"properties", "$defs"} and isinstance(value, Mapping):
            found[name] = {one: _closed(below) for one, below in value.items()}
        elif name != "default":
            found[name] = _closed(value)
    if "properties" in found and isinstance(found["properties"], dict):
        found["additionalProperties"] = False
        found["required"] = list(found["properties"])
    return found
