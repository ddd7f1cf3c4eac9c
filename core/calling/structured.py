"""A pydantic class as the schema that vendors take for structured outputs."""

from collections.abc import Iterator, Mapping
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


def fault_of(cls: type[Any], error: ValueError) -> str:
    """Return where an answer is no *cls*, and why: without what stands there, which may be somebody's personal data."""
    tell = getattr(error, "errors", None)
    faults = tell(include_url=False, include_context=False, include_input=False) if tell is not None else []
    if not faults:
        return type(error).__name__
    known = frozenset(_words(cls.model_json_schema()))
    first = faults[0]
    where = ".".join(str(step) if isinstance(step, int) or step in known else "…" for step in first["loc"])
    # pydantic's own words have what came in one case only
    why = "no such choice" if first["type"] == "union_tag_invalid" else first["msg"]
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"{where}: {why}{more}" if where else f"{why}{more}"


def _words(schema: object) -> Iterator[str]:
    if isinstance(schema, str):
        yield schema
    elif isinstance(schema, list):
        for one in schema:
            yield from _words(one)
    elif isinstance(schema, Mapping):
        yield from map(str, schema)
        for one in schema.values():
            yield from _words(one)
