"""Who is told, and what was sent to them, as they go over the wire; the models are OpenAPI's too."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from api.envelopes import Wire, picked
from api.request_schemas import AS_READ, EDGE, VERSION, body_schema
from core.calling.webhook import Sent
from core.manage.notifications import ListedWebhook
from core.store.notification_schemas import EVENTS, EmailInput, WebhookInput
from core.store.notification_tables import MOST_URL, TARGET_KINDS, NotificationDelivery, NotificationTarget
from core.store.sealed import fingerprint_of

_URL: Final = {
    "type": "string",
    "pattern": rf"^{EDGE}https?://[!-\"$-?A-\[\]-~]{{1,{MOST_URL - 8}}}{EDGE}$",
    "description": "https; http only to a private host that the operator allows. Of Slack it is a secret: an answer has its host alone",
}
_KIND: Final = {"enum": list(TARGET_KINDS), "description": "webhook if it is not said; it cannot be changed"}
_TO: Final = {
    "anyOf": [body_schema(EmailInput, required=())["properties"]["recipients"], {"type": "null"}],
    "description": "of e-mail: 1 to 20 addresses; null for other kinds",
}
_NO_URL: Final = {
    "anyOf": [_URL, {"type": "null"}],
    "description": "as a webhook has it; null of e-mail; of Slack null, or as it was read: it stays",
}
NEW_WEBHOOK: Final = body_schema(WebhookInput, required=("name",), url=_NO_URL, kind=_KIND, recipients=_TO) | {
    "example": {"name": "ops", "url": "https://hooks.example.com/llm-settings"}
}
STATE: Final = ("offReason", "offAt", "failingSince", "generation", "secretFingerprint", "secretSetAt", "bothUntil")
"""Fields of an answer that a change may carry along, and that the sending changes meanwhile: they are not looked at."""
_AS_STATE: Final[dict[str, Any]] = {name: {"description": "as it was read; it is not looked at"} for name in STATE}
CHANGED_WEBHOOK: Final = body_schema(
    WebhookInput, required=(), url=_NO_URL, kind=_KIND, recipients=_TO, version=VERSION, **AS_READ, **_AS_STATE
) | {"example": {"isActive": False, "version": 1}}
NEW_SECRET: Final = body_schema(
    required=(),
    atOnce={
        "type": "boolean",
        "description": "true: the secret before signs no more; else it does for a day, beside the new one",
    },
) | {"example": {"atOnce": False}}


class Webhook(Wire):
    """Who is told of changes, and how it goes. The secret itself never leaves again."""

    id: int
    name: str
    kind: Literal["webhook", "slack", "email"]
    url: str | None = Field(description="of Slack the host alone; null: it is reached by e-mail")
    recipients: list[str] | None = Field(description="of e-mail; null: it has a URL")
    events: list[Literal[EVENTS]]  # type: ignore[valid-type]  # the names are data, listed once
    is_active: bool
    off_reason: str | None = Field(description="why it was switched off by itself; null: it is on, or somebody did it")
    off_at: datetime | None
    failing_since: datetime | None = Field(
        description="since when no message could be delivered; null: the last one was"
    )
    generation: int = Field(description="of the settings: it was told of those up to here")
    secret_fingerprint: str | None = Field(description="by which secrets are told apart, as #3f9a07c2")
    secret_set_at: datetime | None
    both_until: datetime | None = Field(description="until then the secret before signs too")
    version: int
    created_at: datetime
    updated_at: datetime


class WebhookMade(Webhook):
    """One with its secret, which is shown this once."""

    secret: str | None = Field(description="whsec_…: shown once; null: nothing is signed for Slack and e-mail")


class Delivery(Wire):
    """One message to a webhook."""

    id: int
    webhook_id: str = Field(description="the header webhook-id: the same at each try")
    event: str
    generation: int | None
    state: Literal["waiting", "done", "failed"]
    tries: int
    created_at: datetime
    next_at: datetime | None = Field(description="of one that waits: when it is tried next")
    last_at: datetime | None
    last_status: int | None = Field(description="of HTTP or SMTP; null: there was no answer, or no try yet")
    last_error: str | None
    payload: dict[str, Any]


class TestSent(Wire):
    """What came of a test."""

    ok: bool
    status: int | None = Field(description="of HTTP or SMTP; null: there was no answer")
    error: str | None


def webhook(row: NotificationTarget, **more: Any) -> dict[str, Any]:
    """Return a webhook as it goes over the wire; with *secret* once."""
    return picked(
        row,
        WebhookMade if more else Webhook,
        secret_fingerprint=fingerprint_of(row.signing_fingerprint, row.signing_encrypted) or None,
        secret_set_at=row.signing_set_at,
        **more,
    )


def listed(found: ListedWebhook) -> dict[str, Any]:
    """Return a webhook of the list."""
    return webhook(found.row)


def state_of(row: NotificationDelivery) -> Literal["waiting", "done", "failed"]:
    """Return how it is with a message."""
    if row.done_at is not None:
        return "done"
    return "waiting" if row.failed_at is None else "failed"


def delivery(row: NotificationDelivery) -> dict[str, Any]:
    """Return a message as it goes over the wire."""
    state = state_of(row)
    return picked(row, Delivery, state=state, next_at=row.next_at if state == "waiting" else None)


def test_sent(found: Sent) -> dict[str, Any]:
    """Return what came of a test as it goes over the wire."""
    return picked(found._asdict(), TestSent, error=found.error or None)
