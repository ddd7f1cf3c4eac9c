"""The routes of what calls have cost."""

from datetime import date, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator, Field

from api.callers import MemberReader
from api.envelopes import Wire
from api.errors import success
from api.ids import LARGEST, digits
from api.names import camel
from api.responses import READ, answers, named
from core.errors import Invalid
from core.govern import closing, spend
from core.store import db
from core.store.bill_schemas import MONTH, as_month

router = APIRouter(generate_unique_id_function=named, tags=["spend"])

_BY: Final = {camel(name): name for name in spend.DIMENSIONS}
Organization = Annotated[
    Annotated[int, Field(ge=1, le=LARGEST)] | None,
    BeforeValidator(lambda value: value and digits(value)),
    Query(alias="organizationId", description="of this one alone; who belongs to an organisation has to name it"),
]
_Day = Annotated[str | None, Query(max_length=10, description="a day, as 2026-11-30; it counts")]


class SpendFigures(Wire):
    """What attempts to call models have cost. Money is text: US dollars, exact to ten digits behind the point."""

    calls: int = Field(description="attempts: each counts by itself")
    input_tokens: int
    output_tokens: int
    cost: str = Field(description="of the calls whose price is known")
    estimated: str = Field(description="so much of the cost is computed from lengths")
    unpriced: int = Field(description="so many calls have no known price")


class SpendOfOne(SpendFigures):
    """The same of one combination."""

    names: dict[str, str] = Field(description="what it is of, by what was asked for; empty: of none")


class Spend(Wire):
    """Spend of some days."""

    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    zone: str
    total: SpendFigures = Field(description="of all rows, also those left out")
    rows: list[SpendOfOne] = Field(description=f"the dearest first, {spend.MOST_ROWS:,} at most")


class ChargedOne(Wire):
    """What one organisation, feature and cost centre is charged."""

    organization: str = Field(description="its slug; empty: of none")
    feature: str
    cost_centre: str
    sums: SpendFigures = Field(description="as it was closed; of an open month as it is now")
    later: SpendFigures = Field(description="what was told after closing, beyond it")


class Charged(Wire):
    """A month as it is charged back."""

    month: str
    zone: str
    closed_at: datetime | None = Field(description="null: it is open")
    closed_by: str | None
    total: SpendFigures
    later: SpendFigures
    rows: list[ChargedOne] = Field(description=f"by their names, {spend.MOST_ROWS:,} at most; the totals have all")


@router.get("/llm/spend/charges", responses=answers(Charged, 404, *READ), summary="A month, as charged back")
def get_charges(
    actor: MemberReader,
    month: Annotated[
        str | None, Query(pattern=MONTH, max_length=7, description="as 2026-10; default: the last one")
    ] = None,
    zone: Annotated[str, Query(max_length=64, description="default: as it was closed, or UTC")] = "",
    organization_id: Organization = None,
) -> Response:
    """By organisation, feature and cost centre: as it was closed, and what came later. Who may is as of what calls have cost."""
    first = as_month(month) if month else spend.last_month()
    if not isinstance(first, date):
        raise Invalid({"month": "must be a month, as 2026-10"})
    with db.transaction() as session:
        found = closing.charged(session, actor, first, zone=zone, organization_id=organization_id)
    row = found.closing
    rows = [
        dict(zip(("organization", "feature", "costCentre"), each.names, strict=True))
        | {"sums": figures(each.sums), "later": figures(each.later)}
        for each in found.rows[: spend.MOST_ROWS]
    ]
    head = {
        "month": f"{found.month:%Y-%m}",
        "zone": found.zone,
        "closedAt": None if row is None else row.closed_at.isoformat(),
        "closedBy": None if row is None else row.closed_by,
    }
    return success({**head, "total": figures(found.whole), "later": figures(found.later), "rows": rows})


@router.get("/llm/spend", responses=answers(Spend, 404, *READ), summary="What calls have cost")
def get_spend(  # noqa: PLR0917 - by name, of the query
    actor: MemberReader,
    by: Annotated[
        str | None, Query(max_length=100, description=f"some of {', '.join(_BY)}, with commas between them")
    ] = None,
    first: Annotated[_Day, Query(alias="from")] = None,
    last: Annotated[_Day, Query(alias="to")] = None,
    zone: Annotated[str, Query(max_length=64, description="of the days, as Europe/Berlin")] = "UTC",
    organization_id: Organization = None,
) -> Response:
    """By admins and analysts, of the installation or the organisation named. Without days: this month, by the zone."""
    wanted = [_BY.get(name, name) for name in by.split(",")] if by else []
    with db.transaction() as session:
        found = spend.spent(
            session, actor, wanted, _day(first, "from"), _day(last, "to"), zone=zone, organization_id=organization_id
        )
    rows = [{"names": dict(zip(map(camel, wanted), row.names, strict=True)), **figures(row.sums)} for row in found.rows]
    days = {"from": found.first.isoformat(), "to": found.last.isoformat(), "zone": found.zone}
    return success({**days, "total": figures(found.whole), "rows": rows})


def figures(sums: spend.SpendSums) -> dict[str, int | str]:
    """Return sums as they go over the wire."""
    return {
        camel(name): f"{value:f}" if name in {"cost", "estimated"} else value for name, value in sums._asdict().items()
    }


def _day(given: str | None, name: str) -> date | None:
    if not given:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Invalid({name: "must be a day, as 2026-11-30"}) from None
