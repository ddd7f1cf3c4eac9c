"""The schemas of what comes in of organisations and features, for OpenAPI: as :mod:`api.request_schemas`."""

from typing import Any, Final

from api.request_schemas import AS_READ, EDGE, ID_OR_NULL, LINE, VERSION, body_schema
from core.store.organization_schemas import (
    LONGEST_NAME,
    MOST_AT_ONCE,
    FeatureInput,
    InstallationInput,
    MemberInput,
    NamesInput,
    OrganizationInput,
    OrganizationProviderInput,
    ScopedSettingsInput,
)

_READ_ONLY: Final[dict[str, Any]] = {"description": "as it was read; it cannot be changed"}
_FEATURE_NAME: Final = {
    "type": "string",
    "pattern": f"^{EDGE}[a-z0-9][a-z0-9._-]{{0,99}}{EDGE}$",
    "description": "1 to 100 of a to z, 0 to 9, dot, _ and -, beginning with a letter or digit",
}
_ACME: Final = {"slug": "acme", "name": "Acme Ltd", "externalNames": ["crm-4711"]}
NEW_ORGANIZATION: Final = body_schema(OrganizationInput, required=("slug", "name"))

NEW_ORGANIZATIONS: Final[dict[str, Any]] = {
    "anyOf": [
        NEW_ORGANIZATION,
        body_schema(
            required=("organizations",),
            organizations={
                "type": "array",
                "items": {"type": "object", "properties": NEW_ORGANIZATION["properties"]},
                "maxItems": MOST_AT_ONCE,
                "description": "each as one alone; what is wrong with one keeps none of the others",
            },
        ),
    ],
    "example": {"organizations": [_ACME, {"slug": "beta", "name": "Beta GmbH"}]},
}
CHANGED_ORGANIZATION: Final = body_schema(
    OrganizationInput,
    required=(),
    externalNames={"type": "array", "items": {"type": "string"}, **_READ_ONLY},
    formerSlugs={"type": "array", "items": {"type": "string"}, **_READ_ONLY},
    version=VERSION,
    deletedAt={"type": ["string", "null"], **_READ_ONLY},
    **AS_READ,
) | {"example": {"name": "Acme Inc", "version": 3}}
SET_NAMES: Final = body_schema(
    NamesInput,
    required=("externalNames",),
    was={
        "type": "array",
        "items": {"type": "string"},
        "description": "the external names that the change is based on; or send If-Match: *",
    },
) | {"example": {"externalNames": ["crm-4711", "erp-12"], "was": ["crm-4711"]}}
SET_MEMBER: Final = body_schema(
    MemberInput,
    required=("username", "role"),
    username={"type": "string", "pattern": LINE % (1, LONGEST_NAME), "description": "of a user who is there"},
) | {"example": {"username": "eve", "role": "admin"}}
CHANGED_ORGANIZATION_PROVIDER: Final = body_schema(
    OrganizationProviderInput,
    required=(),
    version=VERSION,
    organizationId={"type": "integer", **_READ_ONLY},
    providerId={"type": "integer", **_READ_ONLY},
    apiKeyMasked={"type": ["string", "null"], **_READ_ONLY},
    apiKeyFingerprint={"type": ["string", "null"], **_READ_ONLY},
    apiKeySetAt={"type": ["string", "null"], **_READ_ONLY},
    createdAt={"type": ["string", "null"], **_READ_ONLY},
    updatedAt={"type": ["string", "null"], **_READ_ONLY},
) | {"example": {"allowedModels": ["gpt-5.1-mini"], "version": 1}}
NEW_FEATURE: Final = body_schema(FeatureInput, required=("name", "displayName"), name=_FEATURE_NAME) | {
    "example": {"name": "summarise", "displayName": "Summaries"}
}
CHANGED_FEATURE: Final = body_schema(FeatureInput, required=(), name=_FEATURE_NAME, version=VERSION, **AS_READ) | {
    "example": {"description": "Of mails and tickets", "version": 1}
}
ORGANIZATION_SETTINGS: Final = body_schema(
    ScopedSettingsInput,
    required=("providerId",),
    providerId=ID_OR_NULL | {"description": "null: the row of all its providers"},
    featureId=ID_OR_NULL | {"description": "null, or left out: the row of all its features"},
    version=VERSION,
) | {"example": {"providerId": None, "featureId": 1, "temperature": 0}}
FEATURE_SETTINGS: Final = body_schema(
    ScopedSettingsInput,
    required=("providerId",),
    providerId=ID_OR_NULL | {"description": "null: the feature's row of all providers"},
    version=VERSION,
) | {"example": {"providerId": None, "temperature": 0}}
CHANGED_OVERRIDE: Final = body_schema(
    ScopedSettingsInput,
    required=(),
    version=VERSION,
    organizationId={"type": ["integer", "null"], **_READ_ONLY},
    featureId={"type": "integer", **_READ_ONLY},
    providerId={"type": ["integer", "null"], **_READ_ONLY},
    **AS_READ,
) | {"example": {"temperature": 0, "version": 2}}
CHANGED_INSTALLATION: Final = body_schema(
    InstallationInput, required=(), version=VERSION, updatedAt=AS_READ["updatedAt"]
) | {"example": {"organizations": "open", "version": 1}}
