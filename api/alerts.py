"""Routes of alerts: what somebody is to look at. Another organisation's answers as what is not there."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator, Field

from api import wire_alerts as wire
from api.callers import MemberReader, MemberWriter, write
from api.errors import success
from api.ids import LARGEST, PAGE, Id, Most, digits
from api.responses import READ, WRITE, answers, named
from core.govern import alerts
from core.govern.alerts import AlertFilters
from core.store import db
from core.store.budget_tables import ALERT_KINDS, ALERT_STATES

router = APIRouter(generate_unique_id_function=named, tags=["alerts"])

_STATES: Final = ("live", *ALERT_STATES)
_Number = Annotated[
    Annotated[int, Field(ge=1, le=LARGEST)] | None, BeforeValidator(lambda value: value and digits(value))
]


@router.get("/llm/alerts", responses=answers(list[wire.LlmAlert], *READ), summary="List alerts")
def list_alerts(
    actor: MemberReader,
    *,
    state: Annotated[
        str | None, Query(max_length=20, description=f"{', '.join(_STATES)}; live are all that are not resolved")
    ] = None,
    kind: Annotated[str | None, Query(max_length=20, description=f"one of {', '.join(ALERT_KINDS)}")] = None,
    budget_id: Annotated[_Number, Query(alias="budgetId", description="only those of this budget")] = None,
    after: Annotated[_Number, Query(description="the id that the page before ended with")] = None,
    limit: Most = PAGE,
) -> Response:
    """Those that the caller sees, the newest first, a page of them; who belongs to an organisation sees those of it."""
    with db.transaction() as session:
        filters = AlertFilters(state, kind, budget_id)
        found = alerts.search_alerts(session, actor, filters, before=after, limit=limit)
        return success([wire.alert(each) for each in found.rows])


@router.get("/llm/alerts/{id:row}", responses=answers(wire.LlmAlert, 404, *READ), summary="One alert")
def one_alert(actor: MemberReader, alert_id: Id) -> Response:
    """One alert, with what it is about."""
    with db.transaction() as session:
        return success(wire.alert(alerts.get_alert(session, actor, alert_id)))


@router.post(
    "/llm/alerts/{id:row}/acknowledge", responses=answers(wire.LlmAlert, 404, *WRITE), summary="Acknowledge an alert"
)
def acknowledge_one(request: Request, actor: MemberWriter, alert_id: Id) -> Response:
    """Say that somebody looks after it: an admin, or one of the organisation that it is about."""
    return success(wire.alert(write(request, actor, lambda s: alerts.acknowledge_alert(s, actor, alert_id))))


@router.post("/llm/alerts/{id:row}/resolve", responses=answers(wire.LlmAlert, 404, *WRITE), summary="Resolve an alert")
def resolve_one(request: Request, actor: MemberWriter, alert_id: Id) -> Response:
    """Put it away; while what it tells of goes on there is no other of it. Who may: as to acknowledge."""
    return success(wire.alert(write(request, actor, lambda s: alerts.resolve_alert(s, actor, alert_id))))
