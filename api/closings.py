"""Routes of months of spend that are closed: what was counted of them stands, and is charged back."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlmodel import Session

from api.bills import month_of
from api.callers import MemberReader, Writer, write
from api.envelopes import Wire, picked
from api.errors import success
from api.names import from_wire
from api.request_schemas import body_schema
from api.responses import READ, WRITE, answers, named
from api.writes import Body, documented
from core.govern import closing
from core.govern.closing import ChargedMonth
from core.store import db
from core.store.bill_schemas import MONTH, ClosingInput
from core.store.schemas import validate
from core.store.spend_tables import LlmSpendClosing

router = APIRouter(generate_unique_id_function=named, tags=["spend"])

_CLOSE: Final = body_schema(
    ClosingInput, required=("month",), month={"type": "string", "pattern": MONTH, "description": "as 2026-10"}
) | {"example": {"month": "2026-10", "zone": "Europe/Berlin"}}


class ClosedMonth(Wire):
    """A month that is closed."""

    month: str = Field(description="as 2026-10")
    zone: str = Field(description="whose month it is")
    closed_at: datetime
    closed_by: str


@router.get("/llm/spend/closings", responses=answers(list[ClosedMonth], *READ), summary="Closed months")
def list_closings(actor: MemberReader) -> Response:
    """The newest first; for admins and analysts. What each is charged back is at `/llm/spend/charges`."""
    with db.transaction() as session:
        return success([_closed(row) for row in closing.list_closed(session, actor)])


@router.post(
    "/llm/spend/closings",
    status_code=201,
    responses=answers(ClosedMonth, 409, *WRITE, status=201),
    openapi_extra=documented(_CLOSE),
    summary="Close a month",
)
def close_month(request: Request, actor: Writer, body: Body) -> Response:
    """Close a month that is over in its zone: what is counted of it by now stands, and what is told later stands apart."""

    def work(session: Session) -> ChargedMonth:
        wanted = validate(ClosingInput, from_wire(body, ClosingInput.model_fields))
        return closing.close(session, actor, wanted.month, zone=wanted.zone)

    return success(_closed(write(request, actor, work).closing), 201)


@router.delete("/llm/spend/closings", responses=answers(ClosedMonth, 404, *WRITE), summary="Reopen a month")
def reopen_month(
    request: Request,
    actor: Writer,
    month: Annotated[str, Query(pattern=MONTH, max_length=7, description="as 2026-10")],
) -> Response:
    """Take a closing back: what was kept of it goes, and what is counted now counts again; answers with the closing that was."""
    row = write(request, actor, lambda session: closing.reopen(session, actor, month_of(month)))
    return success(_closed(row))


def _closed(row: LlmSpendClosing | None) -> dict[str, Any]:
    return picked(row, ClosedMonth, month="" if row is None else f"{row.month:%Y-%m}")
