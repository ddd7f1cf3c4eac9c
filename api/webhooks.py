"""Routes of who is told, for admins: webhooks, channels of Slack, people by e-mail; a test, and what was sent."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BeforeValidator, Field
from sqlmodel import Session

from api import envelopes, wire_webhooks
from api.callers import Reader, Writer, write
from api.errors import success
from api.ids import LARGEST, PAGE, Id, Most, digits
from api.names import NotAsNamed, from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_read_only, take_version
from core.calling.webhook import Sent
from core.errors import NotFound
from core.govern import outbox_sending
from core.manage import notifications
from core.store import db
from core.store.notification_tables import NotificationTarget

router = APIRouter(generate_unique_id_function=named, tags=["webhooks"])

_NUMBER = Annotated[int, Field(ge=1, le=LARGEST)]
DeliveryId = Annotated[_NUMBER, BeforeValidator(digits), Path(alias="deliveryId")]
Before = Annotated[
    Annotated[_NUMBER, BeforeValidator(digits)] | None,
    Query(alias="before", description="the id that the page before ended with"),
]
_ONE: Final = "/llm/webhooks/{id:row}"


@router.get("/llm/webhooks", responses=answers(list[wire_webhooks.Webhook], *READ), summary="List webhooks")
def list_webhooks(actor: Reader) -> Response:
    """Each receiver, by name, and how it goes."""
    with db.transaction() as session:
        return success([wire_webhooks.listed(found) for found in notifications.list_all(session, actor)])


@router.post(
    "/llm/webhooks",
    status_code=201,
    responses=answers(wire_webhooks.WebhookMade, *WRITE, status=201),
    openapi_extra=documented(wire_webhooks.NEW_WEBHOOK),
    summary="Add a webhook, a channel of Slack, or people by e-mail",
)
def add_webhook(request: Request, actor: Writer, body: Body) -> Response:
    """Add a receiver. The secret of a webhook is in this answer and in no other."""
    row, secret = write(request, actor, lambda s: notifications.create(s, actor, from_wire(body, notifications.FIELDS)))
    headers = {"Location": f"webhooks/{row.id}", "ETag": f'"{row.version}"'}
    return success(wire_webhooks.webhook(row, secret=secret or None), 201, headers)


@router.get(_ONE, responses=answers(wire_webhooks.Webhook, 404, *READ), summary="One webhook")
def one_webhook(actor: Reader, webhook_id: Id) -> Response:
    """One webhook; its ETag is its version, for If-Match."""
    with db.transaction() as session:
        return _whole(notifications.get(session, actor, webhook_id))


@router.put(
    _ONE,
    responses=answers(wire_webhooks.Webhook, 404, 428, *WRITE),
    openapi_extra=documented(wire_webhooks.CHANGED_WEBHOOK),
    summary="Change a webhook, or switch it on or off",
)
def change_webhook(request: Request, actor: Writer, webhook_id: Id, body: Body, if_match: IfMatch = None) -> Response:
    """Change the fields that are named. Off, what waits is given up; on again, it hears of what changes from then on."""

    def work(session: Session) -> NotificationTarget:
        data = {name: value for name, value in body.items() if name not in wire_webhooks.STATE}
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire_webhooks.webhook(notifications.get(session, actor, webhook_id)), version)
        patch = from_wire(data, notifications.FIELDS)
        return notifications.update_target(session, actor, webhook_id, patch, version=version)

    return _whole(write(request, actor, work))


@router.delete(_ONE, responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete a webhook")
def delete_webhook(request: Request, actor: Writer, webhook_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a webhook, and what was sent to it."""

    def work(session: Session) -> str:
        version = take_version({}, if_match, needed=False)
        return notifications.remove(session, actor, webhook_id, version=version)

    return success({"id": webhook_id, "deleted": [write(request, actor, work)]})


@router.post(
    f"{_ONE}/secret",
    responses=answers(wire_webhooks.WebhookMade, 404, *WRITE),
    openapi_extra=documented(wire_webhooks.NEW_SECRET),
    summary="Give a webhook a new secret",
)
def exchange_secret(request: Request, actor: Writer, webhook_id: Id, body: Body) -> Response:
    """The new secret is in this answer and in no other; for a day the one before signs beside it, unless atOnce is true."""

    def work(session: Session) -> tuple[NotificationTarget, str]:
        at_once = from_wire(body, ("at_once",)).get("at_once", False)
        if not isinstance(at_once, bool):
            raise NotAsNamed({"atOnce": "must be true or false"})
        return notifications.exchange_secret(session, actor, webhook_id, at_once=at_once)

    row, secret = write(request, actor, work)
    return success(wire_webhooks.webhook(row, secret=secret), headers={"ETag": f'"{row.version}"'})


@router.post(f"{_ONE}/test", responses=answers(wire_webhooks.TestSent, 404, *WRITE), summary="Send a test to a webhook")
def test_webhook(request: Request, actor: Writer, webhook_id: Id) -> Response:
    """Send a message of the type webhook.test, once; within twenty seconds it is known what came of it."""
    number = write(request, actor, lambda session: notifications.begin_test(session, actor, webhook_id))
    sent: Sent | None = outbox_sending.send_test(number)
    if sent is None:
        raise NotFound("webhook", webhook_id)
    return success(wire_webhooks.test_sent(sent))


@router.get(
    f"{_ONE}/deliveries",
    responses=answers(list[wire_webhooks.Delivery], 404, *READ),
    summary="What was sent to a webhook",
)
def list_deliveries(actor: Reader, webhook_id: Id, before: Before = None, limit: Most = PAGE) -> Response:
    """The newest first, a page of them: as long as it is full, the next begins before its last id."""
    with db.transaction() as session:
        rows = notifications.deliveries(session, actor, webhook_id, before=before, limit=limit)
        return success([wire_webhooks.delivery(row) for row in rows])


@router.post(
    f"{_ONE}/deliveries/{{deliveryId:row}}/resend",
    responses=answers(wire_webhooks.Delivery, 404, *WRITE),
    summary="Send a message to a webhook again",
)
def resend_delivery(request: Request, actor: Writer, webhook_id: Id, delivery_id: DeliveryId) -> Response:
    """From the first try on, with the id that it had: a receiver that took it before drops it."""
    row: Any = write(request, actor, lambda session: notifications.resend(session, actor, webhook_id, delivery_id))
    return success(wire_webhooks.delivery(row))


def _whole(row: NotificationTarget) -> Response:
    return success(wire_webhooks.webhook(row), headers={"ETag": f'"{row.version}"'})
