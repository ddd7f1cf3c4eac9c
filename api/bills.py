"""Routes of what vendors charge by their own figure, beside what was counted here."""

from datetime import date, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlmodel import Session

from api.callers import MemberReader, Writer, write
from api.envelopes import Wire, picked
from api.errors import success
from api.names import from_wire
from api.request_schemas import VERSION, body_schema
from api.responses import READ, WRITE, answers, named
from api.spend import SpendFigures, figures
from api.writes import Body, IfMatch, documented, take_version
from core.errors import Invalid
from core.govern import bills
from core.govern.bills import ComparedBill
from core.govern.spend import last_month
from core.manage.budgets import plain
from core.store import db
from core.store.bill_schemas import MONTH, VendorBillInput, as_month
from core.store.spend_tables import LlmVendorBill

router = APIRouter(generate_unique_id_function=named, tags=["spend"])

_SET: Final = body_schema(
    VendorBillInput,
    required=("provider", "month", "amount"),
    month={"type": "string", "pattern": MONTH, "description": "as 2026-10"},
    amount={
        "anyOf": [{"type": "number"}, {"type": "string"}],
        "description": "US dollars; as a text each digit counts; below 0: more credits than charges",
    },
    version=VERSION,
) | {"example": {"provider": "openai", "month": "2026-10", "amount": "1234.56", "note": "Invoice 7"}}
_Month = Annotated[str, Query(pattern=MONTH, max_length=7, description="as 2026-10")]


class VendorBill(Wire):
    """What a vendor charges for a month."""

    provider: str
    month: str = Field(description="as 2026-10")
    zone: str = Field(description="whose month it is")
    amount: str = Field(description="US dollars")
    source: str = Field(description="typed or uploaded")
    note: str | None
    version: int
    updated_at: datetime
    updated_by: str


class BillCompared(Wire):
    """A provider's month: what was counted, and what its vendor charges."""

    provider: str
    zone: str = Field(description="whose month both are of")
    counted: SpendFigures
    bill: VendorBill | None = Field(description="null: nobody has entered it")
    difference: str | None = Field(description="US dollars that the vendor charges more than was counted")
    per_cent: str | None = Field(description="the difference, of what the vendor charges")


@router.get("/llm/spend/bills", responses=answers(list[BillCompared], *READ), summary="Compare with vendors' bills")
def list_bills(actor: MemberReader, month: _Month | None = None) -> Response:
    """Each provider with a bill or with spend in the month, by name; for admins and analysts. Without a month: the last one, in UTC."""
    with db.transaction() as session:
        found = bills.comparison(session, actor, month_of(month) if month else last_month())
        return success([_compared(each) for each in found])


@router.put(
    "/llm/spend/bills",
    responses=answers(VendorBill, 404, *WRITE),
    openapi_extra=documented(_SET),
    summary="Set a vendor's bill",
)
def set_bill(request: Request, actor: Writer, body: Body, if_match: IfMatch = None) -> Response:
    """Say what a vendor charges for a month, in the place of what was said before."""

    def work(session: Session) -> LlmVendorBill:
        data = dict(body)
        version = take_version(data, if_match, needed=False)
        return bills.set_bill(session, actor, from_wire(data, bills.FIELDS), version=version)

    row = write(request, actor, work)
    return success(_bill(row), headers={"ETag": f'"{row.version}"'})


@router.delete("/llm/spend/bills", responses=answers(VendorBill, 404, *WRITE), summary="Remove a vendor's bill")
def remove_bill(
    request: Request,
    actor: Writer,
    provider: Annotated[str, Query(max_length=200)],
    month: _Month,
    if_match: IfMatch = None,
) -> Response:
    """Take back what a vendor was said to charge for a month; answers with what was said."""

    def work(session: Session) -> LlmVendorBill:
        version = take_version({}, if_match, needed=False)
        return bills.remove(session, actor, provider, month_of(month), version=version)

    row = write(request, actor, work)
    return success(_bill(row))


def month_of(given: str) -> date:
    """Return the first day of a month as 2026-10; raises Invalid."""
    found = as_month(given)
    if not isinstance(found, date):
        raise Invalid({"month": "must be a month, as 2026-10"})
    return found


def _compared(found: ComparedBill) -> dict[str, Any]:
    return {
        "provider": found.provider,
        "zone": found.zone,
        "counted": figures(found.counted),
        "bill": None if found.bill is None else _bill(found.bill),
        "difference": None if found.difference is None else plain(found.difference),
        "perCent": None if found.per_cent is None else str(found.per_cent),
    }


def _bill(row: LlmVendorBill) -> dict[str, Any]:
    return picked(row, VendorBill, month=f"{row.month:%Y-%m}", amount=plain(row.amount))
