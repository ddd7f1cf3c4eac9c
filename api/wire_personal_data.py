"""What becomes of personal data as it goes over the wire, in and out; the models are OpenAPI's too."""

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from api.envelopes import Wire, picked
from api.request_schemas import AS_READ, VERSION, body_schema
from core.manage.personal_data import PersonalDataRow
from core.store.personal_data_schemas import PersonalDataInput

NEW: Final = body_schema(PersonalDataInput, required=()) | {
    "example": {"organizationId": 7, "logs": "mask", "countries": ["DE"]}
}
CHANGED: Final = body_schema(
    PersonalDataInput,
    required=(),
    version=VERSION,
    scope={"type": "string", "description": "as it was read"},
    unread={"description": "as it was read"},
    awaitsDecision={"description": "as it was read"},
    **AS_READ,
) | {"example": {"logs": "mask", "version": 1}}


class LlmPersonalData(Wire):
    """What becomes of personal data in a scope; null inherits."""

    id: int
    organization_id: int | None
    feature_id: int | None
    provider_id: int | None
    scope: str = Field(description="in words")
    logs: str | None = Field(description="off or mask: what the request log has")
    prompts: str | None = Field(description="off, mask or refuse")
    answers: str | None = Field(description="off or mask")
    restore: bool | None = Field(description="whether answers get their own values back")
    types: list[Any] | None = Field(description="what is looked for")
    countries: list[Any] | None = Field(description="whose national numbers")
    engine: str | None
    patterns: list[Any] | None = Field(description="own patterns, each with name, pattern, matches and spares")
    allow: list[Any] | None = Field(description="what is no personal data")
    on_failure: str | None = Field(description="refuse or send: a prompt that cannot be searched")
    is_active: bool
    awaits_decision: bool = Field(description="written by an upgrade, and nobody has saved it since")
    unread: list[str] = Field(description="fields that have something which makes no sense, and counts as not there")
    version: int
    created_at: datetime
    updated_at: datetime


def personal_data(found: PersonalDataRow) -> dict[str, Any]:
    """Return a row as it goes over the wire."""
    return picked(found.row, LlmPersonalData, scope=found.scope, unread=list(found.unread))
