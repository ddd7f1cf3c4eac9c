"""Routes of budgets: what may be spent in a period, and what is."""

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api import envelopes
from api import wire_budgets as wire
from api.callers import MemberReader, Writer, write
from api.effective import caught_up
from api.errors import success
from api.ids import Id
from api.names import from_wire
from api.responses import READ, WRITE, answers, named
from api.writes import Body, IfMatch, documented, take_read_only, take_version
from core.manage import budgets
from core.manage.budgets import BudgetNow
from core.store import db
from core.store.table import id_of

router = APIRouter(generate_unique_id_function=named, tags=["budgets"])


@router.get("/llm/budgets", responses=answers(list[wire.LlmBudget], *READ), summary="List budgets")
def list_budgets(actor: MemberReader) -> Response:
    """Those that the caller sees by name, each with the period that is now: who belongs to an organisation sees those of it."""
    with db.transaction() as session:
        return success([wire.budget(found) for found in budgets.list_all(session, actor)])


@router.post(
    "/llm/budgets",
    status_code=201,
    responses=answers(wire.LlmBudget, 404, *WRITE, status=201),
    openapi_extra=documented(wire.NEW),
    summary="Make a budget",
)
def add_budget(request: Request, actor: Writer, body: Body) -> Response:
    """Make a budget. A hard one refuses a call that does not fit, before anything is sent; a soft one only counts."""
    found = write(request, actor, lambda s: budgets.create(s, actor, from_wire(body, budgets.FIELDS)))
    caught_up()
    headers = {"Location": f"budgets/{found.row.id}", "ETag": f'"{found.row.version}"'}
    return success(wire.budget(found), 201, headers)


@router.get("/llm/budgets/{id:row}", responses=answers(wire.LlmBudget, 404, *READ), summary="One budget")
def one_budget(actor: MemberReader, budget_id: Id) -> Response:
    """One budget; its ETag is its version, for If-Match."""
    with db.transaction() as session:
        return _whole(budgets.get(session, actor, budget_id))


@router.get(
    "/llm/budgets/{id:row}/periods",
    responses=answers(list[wire.BudgetPeriod], 404, *READ),
    summary="The periods of a budget",
)
def list_periods(actor: MemberReader, budget_id: Id) -> Response:
    """The last hundred periods in which something was called, the newest first."""
    with db.transaction() as session:
        return success([wire.budget_period(row) for row in budgets.periods(session, actor, budget_id)])


@router.put(
    "/llm/budgets/{id:row}",
    responses=answers(wire.LlmBudget, 404, 428, *WRITE),
    openapi_extra=documented(wire.CHANGED),
    summary="Change a budget",
)
def change_budget(request: Request, actor: Writer, budget_id: Id, body: Body, if_match: IfMatch = None) -> Response:
    """Change what is named; the amount acts at once, zone and calendar from the next period on. Scope and period stay."""

    def work(session: Session) -> BudgetNow:
        data = dict(body)
        version = take_version(data, if_match, needed=True)
        take_read_only(data, wire.budget(budgets.get(session, actor, budget_id)), version)
        return budgets.update(session, actor, budget_id, from_wire(data, budgets.FIELDS), version=version)

    found = write(request, actor, work)
    caught_up()
    return _whole(found)


@router.delete("/llm/budgets/{id:row}", responses=answers(envelopes.Deleted, 404, *WRITE), summary="Delete a budget")
def delete_budget(request: Request, actor: Writer, budget_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a budget, and what was counted in it."""

    def work(session: Session) -> str:
        version = take_version({}, if_match, needed=False)
        return budgets.delete(session, actor, budget_id, version=version)

    name = write(request, actor, work)
    caught_up()
    return success({"id": budget_id, "deleted": [f"the budget {name}"]})


@router.post(
    "/llm/budgets/{id:row}/top-ups",
    responses=answers(wire.LlmBudget, 404, *WRITE),
    openapi_extra=documented(wire.ADDED),
    summary="Top a budget up",
)
def add_top_up(request: Request, actor: Writer, budget_id: Id, body: Body) -> Response:
    """Let more be spent in the period that is now: in force everywhere within a second."""

    def work(session: Session) -> BudgetNow:
        given = from_wire(body, ("amount", "reason"))
        row = budgets.get(session, actor, budget_id).row
        return budgets.top_up(session, actor, id_of(row), given.get("amount"), given.get("reason"))

    return _whole(write(request, actor, work))


@router.post(
    "/llm/budgets/{id:row}/corrections",
    responses=answers(wire.LlmBudget, 404, *WRITE),
    openapi_extra=documented(wire.CORRECTED),
    summary="Correct what is spent of a budget",
)
def add_correction(request: Request, actor: Writer, budget_id: Id, body: Body) -> Response:
    """Add to what counts as spent in the period that is now, or with an amount below 0 take from it."""

    def work(session: Session) -> BudgetNow:
        given = from_wire(body, ("amount", "reason"))
        row = budgets.get(session, actor, budget_id).row
        return budgets.correct(session, actor, id_of(row), given.get("amount"), given.get("reason"))

    return _whole(write(request, actor, work))


def _whole(found: BudgetNow) -> Response:
    return success(wire.budget(found), headers={"ETag": f'"{found.row.version}"'})
