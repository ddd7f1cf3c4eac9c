"""The schemas of what comes in, for OpenAPI: :mod:`core.store.schemas` alone checks it, and these are its, by the names of the wire."""

from typing import Any, Final

from pydantic import BaseModel

from api.names import camel
from core.models.apis import APIS
from core.models.overlay import MOST_PATTERN
from core.store.api_keys import MAX_KEY
from core.store.carried_values import MAX_NAME, MAX_VALUE
from core.store.fact_schemas import KEYS, MOST_WHY
from core.store.organization_schemas import ScopedSettingsInput
from core.store.schemas import ProviderInput

EDGE: Final = r"[\s\u001c-\u001f\u0085]*"
LINE: Final = rf"^{EDGE}[^\u0000-\u001f\u007f-\u009f\u2028\u2029]{{%d,%d}}{EDGE}$"
_BASE_URL: Final = rf"^{EDGE}(http://[^\s?#@\\]{{1,493}}|https://[^\s?#@\\]{{1,492}})?{EDGE}$"
_LONGEST_URL: Final = 500
"""The rules that core.store.values has as functions. Text is trimmed before its length counts, so that it stands in here."""


def body_schema(*models: type[BaseModel], required: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """Return the schema of an object with the fields of *models*, by the names of the wire, and *more* in place of them or beside them."""
    properties: dict[str, Any] = {}
    for model in models:
        whole = model.model_json_schema()
        properties |= {camel(name): _shown(found) for name, found in whole["properties"].items()}
    properties |= more
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _shown(schema: dict[str, Any], *, least: int | None = None) -> dict[str, Any]:
    found = {name: value for name, value in schema.items() if name not in {"title", "default"}}
    if found.get("type") == "string" and "maxLength" in found:
        longest, shortest = found.pop("maxLength"), found.pop("minLength", 0)
        if longest == _LONGEST_URL:
            found["pattern"] = _BASE_URL
        elif longest < _LONGEST_URL:  # anything longer has several lines, each of which is trimmed
            found["pattern"] = LINE % (shortest if least is None else least, longest)
    if "items" in found:
        found["items"] = _shown(found["items"])
    if "anyOf" in found:  # where null may be sent, an empty text means null
        found["anyOf"] = [_shown(kind, least=0) for kind in found["anyOf"]]
    return found


VERSION: Final = {
    "type": "integer",
    "minimum": 0,
    "maximum": 2**31 - 1,
    "description": "the version that the change is based on; or send it as If-Match",
}
_KEY: Final = {"type": "string", "pattern": rf"^{EDGE}[ -~]{{1,{MAX_KEY}}}{EDGE}$", "writeOnly": True}
_NAME: Final = {
    "type": "string",
    "pattern": f"^{EDGE}[a-z0-9_-]{{1,50}}{EDGE}$",
    "description": "1 to 50 of a to z, 0 to 9, - and _",
}
ID_OR_NULL: Final[dict[str, Any]] = {
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, {"type": "null"}]
}
_PROVIDER_ID: Final = ID_OR_NULL | {"description": "null: the row of all providers"}

AS_READ: Final = {
    "id": {"type": "integer", "description": "as it was read; it cannot be changed"},
    "createdAt": {"type": "string", "description": "as it was read"},
    "updatedAt": {"type": "string", "description": "as it was read"},
}
"""What a change may carry along, because GET gave it."""

NEW_PROVIDER: Final = body_schema(
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
CHANGED_PROVIDER: Final = body_schema(
    ProviderInput,
    required=(),
    name=_NAME,
    apiKey=_KEY,
    version=VERSION,
    apiKeyMasked={"type": ["string", "null"], "description": "as it was read"},
    apiKeyFingerprint={"type": ["string", "null"], "description": "as it was read"},
    **AS_READ,
) | {"example": {"defaultModel": "gpt-5.1", "version": 3}}
TESTED_PROVIDER: Final = body_schema(ProviderInput, required=(), name=_NAME, apiKey=_KEY) | {
    "example": {"apiKey": "sk-proj-…another key…", "defaultModel": "gpt-5.1"}
}
SET_CARRIED: Final = body_schema(
    required=("name", "value"),
    name={"type": "string", "minLength": 1, "maxLength": MAX_NAME, "description": "of headers case does not count"},
    value={"type": "string", "pattern": rf"^[ \t]*[ -~]{{1,{MAX_VALUE}}}[ \t]*$", "writeOnly": True},
    sealed={"type": "boolean", "description": "whether it is a secret; true unless it says false"},
    version=VERSION,
) | {"example": {"name": "Ocp-Apim-Subscription-Key", "value": "…your key…", "sealed": True}}
MODEL_FACTS: Final = body_schema(
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
    version=VERSION,
) | {
    "example": {
        "pattern": "gpt-5*",
        "api": "openai",
        "facts": {"temperature": {"refuse": True}, "max_output": 64000},
        "why": "It answered 400 to temperature on 26 November.",
    }
}
API_KEY: Final = body_schema(required=("apiKey",), apiKey=_KEY) | {"example": {"apiKey": "sk-proj-…your key…"}}
UPSERTED_SETTINGS: Final = body_schema(
    ScopedSettingsInput, required=("providerId",), providerId=_PROVIDER_ID, version=VERSION
) | {"example": {"providerId": 1, "temperature": 0.2, "maxTokens": 4000}}
CHANGED_SETTINGS: Final = body_schema(
    ScopedSettingsInput,
    required=(),
    version=VERSION,
    organizationId={"type": ["integer", "null"], "description": "as it was read"},
    featureId={"type": "null"},
    providerId={"type": ["integer", "null"], "description": "as it was read"},
    **AS_READ,
) | {"example": {"temperature": 0.2, "topP": None, "version": 7}}
