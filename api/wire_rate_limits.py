"""Rate limits on calls as they go over the wire, in and out; the models are OpenAPI's too."""

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from api.envelopes import Wire, picked
from api.request_schemas import AS_READ, VERSION, body_schema
from core.manage.rate_limits import RateLimitNow
from core.store.rate_schemas import RateLimitInput

NEW: Final = body_schema(RateLimitInput, required=("name",)) | {
    "example": {"name": "Summaries", "featureId": 1, "requestsPerMinute": 600, "maxConcurrent": 20}
}
CHANGED: Final = body_schema(
    RateLimitInput,
    required=(),
    version=VERSION,
    scope={"type": "string", "description": "as it was read"},
    **{name: {"description": "as it was read"} for name in ("inUse", "lastHour", "vendor", "isAboveVendor")},
    **AS_READ,
) | {"example": {"requestsPerMinute": 900, "version": 1}}


class RateHour(Wire):
    """What counted in the hour that is now and the one before."""

    requests: int
    tokens: int
    waited: int = Field(description="calls that waited for room")
    waited_ms: int
    refused: int
    peak_requests: int = Field(description="the most of a minute, as the next")
    peak_tokens: int
    peak_places: int = Field(description="the most calls at once")


class VendorRate(Wire):
    """What a vendor said that it allows a key for a model, a minute."""

    provider: str
    model: str
    fingerprint: str = Field(description="of the key")
    requests: int | None = Field(description="null: it did not say, as the next")
    tokens: int | None
    closed_until: datetime | None = Field(description="until then it lets nothing through; null: it does")
    heard_at: datetime


class LlmRateLimit(Wire):
    """So many calls for a scope."""

    id: int
    name: str
    organization_id: int | None
    feature_id: int | None
    provider_id: int | None
    model: str | None
    scope: str = Field(description="in words")
    requests_per_minute: int | None = Field(description="null: not limited, as the next two")
    tokens_per_minute: int | None
    max_concurrent: int | None
    burst_seconds: float = Field(description="so much of a minute may go at once")
    when_full: str
    max_wait_ms: int
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime
    in_use: int = Field(description="calls that were under way when processes last spoke")
    last_hour: RateHour | None = Field(description="null: nothing counted")
    vendor: list[VendorRate] = Field(description="what vendors allow, as processes with rate limits were told")
    is_above_vendor: bool = Field(description="whether its provider's vendor is known to allow less than this does")


def rate_limit(found: RateLimitNow) -> dict[str, Any]:
    """Return a rate limit as it goes over the wire."""
    return picked(
        found.row,
        LlmRateLimit,
        scope=found.scope,
        in_use=found.in_use,
        last_hour=None if found.hour is None else picked(found.hour, RateHour),
        vendor=[picked(says, VendorRate) for says in found.vendor],
        is_above_vendor=found.above is not None,
    )
