"""The schemas of what comes in, for OpenAPI: :mod:`core.store.schemas` alone checks it, and these are its, by the names of the wire."""

from typing import Any, Final

from pydantic import BaseModel

from api.names import camel
from core.models.apis import APIS
from core.models.overlay import MOST_PATTERN
from core.store.api_keys import MAX_KEY
from core.store.carried_values import MAX_NAME, MAX_VALUE
from core.store.fact_schemas import KEYS, MOST_WHY
from core.store.schemas import ProviderInput, SettingsInput

_EDGE: Final = r"[\s\u001c-\u001f\u0085]*"
_LINE: Final = rf"^{_EDGE}[^\u0000-\u001f\u007f-\u009f\u2028\u2029]{{%d,%d}}{_EDGE}$"
_BASE_URL: Final = rf"^{_EDGE}(http://[^\s?#@\\]{{1,493}}|https://[^\s?#@\\]{{1,492}})?{_EDGE}$"
_LONGEST_URL: Final = 500
"""The rules that core.store.values has as functions. Text is trimmed before its length counts, so that it stands in here."""


def _schema(*models: type[BaseModel], required: tuple[str, ...], **more: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for model in models:
        whole = model.model_json_schema()
        properties |= {camel(name): _shown(schema) for name, schema in whole["properties"].items()}
    properties |= more
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _shown(schema: dict[str, Any], *, least: int | None = None) -> dict[str, Any]:
    found = {name: value for name, value in schema.items() if name not in {"title", "default"}}
    if found.get("type") == "string" and "maxLength" in found:
        longest, shortest = found.pop("maxLength"), found.pop("minLength", 0)
        if longest == _LONGEST_URL:
            found["pattern"] = _BASE_URL
        elif longest < _LONGEST_URL:  # anything longer has several lines, each of which is trimmed
            found["pattern"] = _LINE % (shortest if least is None else least, longest)
    if "items" in found:
        found["items"] = _shown(found["items"])
    if "anyOf" in found:  # where null may be sent, an empty text means null
        found["anyOf"] = [_shown(kind, least=0) for kind in found["anyOf"]]
    return found


_VERSION: Final = {
    "type": "integer",
    "minimum": 0,
    "maximum": 2**31 - 1,
    "description": "the version that the change is based on; or send it as If-Match",
}
_KEY: Final = {"type": "string", "pattern": rf"^{_EDGE}[ -~]{{1,{MAX_KEY}}}{_EDGE}$", "writeOnly": True}
_NAME: Final = {
    "type": "string",
    "pattern": f"^{_EDGE}[a-z0-9_-]{{1,50}}{_EDGE}$",
    "description": "1 to 50 of a to z, 0 to 9, - and _",
}
_PROVIDER_ID: Final = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, {"type": "null"}],
    "description": "null: the row of all providers",
}

_AS_READ: Final = {
    "id": {"type": "integer", "description": "as it was read; it cannot be changed"},
    "createdAt": {"type": "string", "description": "as it was read"},
    "updatedAt": {"type": "string", "description": "as it was read"},
}
"""What a change may carry along, because GET gave it."""

NEW_PROVIDER: Final = _schema(
    ProviderInput, required=("name", "displayName", "availableModels"), name=_NAME, apiKey=_KEY
) | {
    "example": {
        "name": "openai",
        "displayName": "OpenAI",
        "kind": "openai",
        "availableModels": ["gpt-5.1", "gpt-5.1-mini"],
        "defaultModel": "gpt-5.1-mini",
    }
}
CHANGED_PROVIDER: Final = _schema(
    ProviderInput,
    required=(),
    name=_NAME,
    apiKey=_KEY,
    version=_VERSION,
    apiKeyMasked={"type": ["string", "null"], "description": "as it was read"},
    apiKeyFingerprint={"type": ["string", "null"], "description": "as it was read"},
    **_AS_READ,
) | {"example": {"defaultModel": "gpt-5.1", "version": 3}}
TESTED_PROVIDER: Final = _schema(ProviderInput, required=(), name=_NAME, apiKey=_KEY) | {
    "example": {"apiKey": "sk-proj-…another key…", "defaultModel": "gpt-5.1"}
}
SET_CARRIED: Final = _schema(
    required=("name", "value"),
    name={"type": "string", "minLength": 1, "maxLength": MAX_NAME, "description": "of headers case does not count"},
    value={"type": "string", "pattern": rf"^[ \t]*[ -~]{{1,{MAX_VALUE}}}[ \t]*$", "writeOnly": True},
    sealed={"type": "boolean", "description": "whether it is a secret; true unless it says false"},
    version=_VERSION,
) | {"example": {"name": "Ocp-Apim-Subscription-Key", "value": "…your key…", "sealed": True}}
MODEL_FACTS: Final = _schema(
    required=("pattern", "facts", "why"),
    pattern={
        "type": "string",
        "minLength": 1,
        "maxLength": MOST_PATTERN,
        "description": "a model's name, in whatever case; * and ? stand for characters",
    },
    api={"type": ["string", "null"], "description": f"{', '.join(APIS)}, perhaps with @ and a host; null: everywhere"},
    facts={
        "type": "object",
        "properties": {name: {} for name in KEYS},
        "additionalProperties": False,
        "description": "what holds, by the names of docs/models.md",
    },
    why={"type": "string", "minLength": 1, "maxLength": MOST_WHY, "description": "for who comes later"},
    version=_VERSION,
) | {
    "example": {
        "pattern": "gpt-5*",
        "api": "openai",
        "facts": {"temperature": {"refuse": True}, "max_output": 64000},
        "why": "It answered 400 to temperature on 26 November.",
    }
}
API_KEY: Final = _schema(required=("apiKey",), apiKey=_KEY) | {"example": {"apiKey": "sk-proj-…your key…"}}
UPSERTED_SETTINGS: Final = _schema(
    SettingsInput, required=("providerId",), providerId=_PROVIDER_ID, version=_VERSION
) | {"example": {"providerId": 1, "temperature": 0.2, "maxTokens": 4000}}
CHANGED_SETTINGS: Final = _schema(
    SettingsInput,
    required=(),
    version=_VERSION,
    organizationId={"type": "null"},
    providerId={"type": ["integer", "null"], "description": "as it was read"},
    **_AS_READ,
) | {"example": {"temperature": 0.2, "topP": None, "version": 7}}
