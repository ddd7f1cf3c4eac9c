"""The JSON Schema of a document, made from its models, so that editors complete it and check it as it is typed."""

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from ...parameters import SENDABLE
from . import schema
from .schema import Document

FILE: Final = "document.schema.json"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SECRET: Final = {
    "description": "env or file: where the command line finds it; set: whether there is one",
    "oneOf": [
        {"required": ["env"], "not": {"anyOf": [{"required": ["file"]}, {"required": ["set"]}]}},
        {"required": ["file"], "not": {"required": ["set"]}},
        {"required": ["set"], "not": {"anyOf": [{"required": ["env"]}, {"required": ["file"]}]}},
    ],
}
_KEYS: Final = {
    "ProviderPart": ("providers", "name"),
    "FeaturePart": ("features", "name"),
    "OrganizationPart": ("organizations", "slug"),
    "PresetPart": ("presets", "name"),
    "BudgetPart": ("budgets", "name"),
    "RateLimitPart": ("rate_limits", "name"),
}
"""Model -> the section whose keys are its names, and the field that the key is."""
_NAMING: Final = {"pattern": "pattern", "min_length": "minLength", "max_length": "maxLength"}


def made() -> dict[str, Any]:
    """Return the schema."""
    found = Document.model_json_schema()
    parts: dict[str, Any] = found["$defs"]
    for name, part in [*parts.items(), ("Document", found)]:
        _tidy(part)
        hidden: frozenset[str] = getattr(getattr(schema, name, None), "hidden", frozenset())
        for field in (*hidden, "omitted_parameters"):
            part.get("properties", {}).pop(field, None)
    for name, (section, field) in _KEYS.items():
        part = parts[name]
        del part["properties"][field]
        part["required"] = [each for each in part.get("required", ()) if each != field]
        found["properties"][section]["propertyNames"] = _name_of(getattr(schema, name), field)
    _omittable(parts["SettingsPart"]["properties"], valued=True)
    _omittable(parts["PresetSettingsPart"]["properties"], valued=False)
    parts["SecretPart"] |= _SECRET
    parts["CarriedPart"]["properties"].pop("value")
    parts["CarriedPart"] = {"anyOf": [{"type": "string"}, parts["CarriedPart"] | _SECRET]}
    return {"$schema": _DIALECT, **found, "title": "Document of LLM Settings"}


def _omittable(properties: dict[str, Any], *, valued: bool) -> None:
    """Have parameters be omitted, or with *valued* also be in force and not sent."""
    for name in SENDABLE:
        said = properties[name]
        value = {"value": {k: v for k, v in said.items() if k != "description"}} if valued else {}
        omitted = {
            "type": "object",
            "description": "not sent to the model"
            + ("; with a value, which is in force but not sent" if valued else ""),
            "properties": {"omit": {"const": True}, **value},
            "required": ["omit"],
            "additionalProperties": False,
        }
        properties[name] = {"description": said.get("description", ""), "anyOf": [said, omitted]}


def text() -> str:
    """Return it as the file that is published."""
    return json.dumps(made(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _name_of(model: type[BaseModel], field: str) -> dict[str, Any]:
    """Return what a field's text must be: its pattern, which a validator before it hides from the schema of pydantic, else its length."""
    said = [(name, getattr(each, name, None)) for each in model.model_fields[field].metadata for name in _NAMING]
    rules = {_NAMING[name]: value for name, value in said if value is not None}
    return {"pattern": rules["pattern"]} if "pattern" in rules else rules


def _tidy(part: Any) -> None:
    """Take out what only models need: null, which a document has nowhere of ours, defaults of none, and titles."""
    for each in _all(part):
        each.pop("title", None)
        if each.get("default", 0) is None:
            del each["default"]
        some = [kind for kind in each.get("anyOf", ()) if kind.get("type") != "null"]
        if len(some) == 1:
            del each["anyOf"]
            said = {**some[0], **each}
            each.update(said)
            each.pop("title", None)


def _all(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if not isinstance(data.get("title"), dict):
            yield data
        for each in list(data.values()):
            yield from _all(each)
    elif isinstance(data, list):
        for each in data:
            yield from _all(each)
