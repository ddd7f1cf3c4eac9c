"""Budgets as a list shows them: each with its period that is now, whose it is, and how it stands; a few queries, however many there are.

An organisation's own people see the budgets of their organisation, and no other.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import and_, literal_column, or_, text, true
from sqlmodel import Session, col, func, select

from ..access.authority import not_found, require, visible
from ..actors import Actor
from ..errors import Invalid
from ..store.budget_tables import LlmBudget, LlmBudgetLedger, LlmBudgetPeriod
from ..store.organization_tables import LlmFeature, Organization
from ..store.schemas import could_be_id
from ..store.table import id_of
from ..store.tables import LlmProvider
from .budgets import MOST_LISTED, BudgetNow
from .organization_members import shown_names

NEAR: Final = Decimal("0.8")
"""From this share of what may be spent on a budget is near its limit."""
BudgetState = Literal["off", "blocked", "spent", "over", "near", "good"]
"""``blocked``: nothing may be spent at all; ``spent``: what costs anything is refused; ``over``: more is spent than was meant."""
STATES: Final = ("near", "spent", "off")
"""What a list may be narrowed to."""
_MOST_FOUND: Final = 100
_ALL: Final = Decimal(1)
_TO_COME: Final = text("""
    SELECT b.id, greatest(n.starts, p.ends_at), n.ends,
        CASE WHEN p.id IS NULL THEN 0 ELSE llm_carried(b, p, greatest(n.starts, p.ends_at)) END
    FROM org_llm_budgets b CROSS JOIN LATERAL llm_budget_bounds(b, clock_timestamp()) n LEFT JOIN LATERAL (
        SELECT * FROM llm_budget_periods q WHERE q.budget_id = b.id AND q.ends_at <= clock_timestamp()
        ORDER BY q.starts_at DESC LIMIT 1
    ) p ON true WHERE b.id = ANY(:budgets)
""")
_CARRIED_TO_COME: Final[Any] = literal_column("""(
    SELECT llm_carried(org_llm_budgets, p, greatest((llm_budget_bounds(org_llm_budgets, clock_timestamp())).starts, p.ends_at))
    FROM llm_budget_periods p WHERE p.budget_id = org_llm_budgets.id AND p.ends_at <= clock_timestamp() AND org_llm_budgets.carry <> 'none'
    ORDER BY p.starts_at DESC LIMIT 1
)""")
"""What the period that the first call makes will have from the one before."""


class ListedBudget(NamedTuple):
    """A budget as *actor* may read it."""

    now: BudgetNow
    organization: str | None
    """Slug."""
    feature: str | None
    provider: str | None
    changed_by: str | None

    @property
    def state(self) -> BudgetState:
        """How it stands."""
        row, spent, allowed = self.now.row, self.now.period.spent, self.now.allowed
        if not row.is_active:
            return "off"
        if spent >= allowed and row.mode == "hard":
            return "spent" if spent else "blocked"
        if spent >= allowed and spent:
            return "over"
        return "near" if spent >= allowed * NEAR else "good"


class BudgetCounts(NamedTuple):
    """How many budgets there are that count, and how many of these are near their limit or beyond it."""

    active: int
    near: int
    """Those that are spent too."""
    spent: int


def page_of(
    session: Session,
    actor: Actor,
    *,
    organization_id: int | None = None,
    search: str = "",
    state: str | None = None,
    after: str = "",
    limit: int = 25,
) -> list[ListedBudget]:
    """Return budgets by name.

    Args:
        session: The transaction.
        actor: An admin or analyst, of the installation or of an organisation.
        organization_id: Of this one alone.
        search: What a name has in it, whatever the case.
        state: One of :data:`STATES`; None: any.
        after: The name that the page before ended with.
        limit: 1 to 100.

    Raises:
        Forbidden, NotFound: If the actor may not.
        Invalid: If there is no such state, or *limit* is out of range.
    """
    if not 1 <= limit <= _MOST_FOUND:
        raise Invalid({"limit": f"must be 1 to {_MOST_FOUND}"})
    query = _found(session, actor, organization_id)
    if search:
        query = query.where(col(LlmBudget.name).icontains(search.replace("\x00", ""), autoescape=True))
    if state == "off":
        query = query.where(~col(LlmBudget.is_active))
    elif state is not None:
        if state not in STATES:
            raise Invalid({"state": f"must be one of {', '.join(STATES)}"})
        query = query.where(col(LlmBudget.is_active), _share(NEAR) if state == "near" else _share(_ALL))
    if after:
        query = query.where(col(LlmBudget.name) > after.replace("\x00", ""))
    return _listed(session, actor, query.order_by(col(LlmBudget.name)).limit(limit))


def counts(session: Session, actor: Actor, *, organization_id: int | None = None) -> BudgetCounts:
    """Return how many budgets count, and how many of them are near their limit; raises as :func:`page_of`."""
    query = _found(session, actor, organization_id)
    counted: Any = query.with_only_columns(
        func.count(),
        func.count().filter(_share(NEAR)),
        func.count().filter(_share(_ALL)),
        maintain_column_froms=True,
    )
    return BudgetCounts(*session.execute(counted.where(col(LlmBudget.is_active))).one())


def one_of_them(session: Session, actor: Actor, budget_id: int) -> ListedBudget:
    """Return a budget.

    Raises:
        NotFound: If there is none, or none that the actor may see.
    """
    seen = visible(session, actor, "budget.list")
    query = _found_by(seen.where(LlmBudget.organization_id))
    found = _listed(session, actor, query.where(col(LlmBudget.id) == budget_id)) if could_be_id(budget_id) else []
    if not found:
        not_found(session, actor, "budget.list", "budget", budget_id, seen=seen)
    return found[0]


def periods_before(session: Session, listed: ListedBudget, *, limit: int = MOST_LISTED) -> list[LlmBudgetPeriod]:
    """Return the periods of a budget that something was spent or reserved in, the newest first, that of now among them."""
    found = select(LlmBudgetPeriod).where(LlmBudgetPeriod.budget_id == id_of(listed.now.row))
    return list(session.exec(found.order_by(col(LlmBudgetPeriod.starts_at).desc()).limit(limit)))


def entries(
    session: Session, actor: Actor, listed: ListedBudget, *, of_now: bool = False, limit: int = MOST_LISTED
) -> list[LlmBudgetLedger]:
    """Return the ledger of a budget that was found, the newest first; by whom, as *actor* may know.

    Args:
        session: The transaction.
        actor: Who reads.
        listed: The budget.
        of_now: Of its period that is now alone.
        limit: So many at most.
    """
    row = listed.now.row
    if of_now:
        found = select(LlmBudgetLedger).where(LlmBudgetLedger.period_id == listed.now.period.id)
    else:
        periods = select(LlmBudgetPeriod.id).where(LlmBudgetPeriod.budget_id == id_of(row))
        found = select(LlmBudgetLedger).where(col(LlmBudgetLedger.period_id).in_(periods))
    entries = list(session.exec(found.order_by(col(LlmBudgetLedger.id).desc()).limit(limit)))
    shown = shown_names(session, visible(session, actor, "budget.list"), row.organization_id)
    for entry in entries:
        session.expunge(entry)
        if entry.kind in {"top_up", "correction"}:
            entry.by = shown(entry.by) or entry.by
    return entries


def _found(session: Session, actor: Actor, organization_id: int | None) -> Any:
    require(session, actor, "budget.list", role="analyst", organization=organization_id)
    return _found_by(true() if organization_id is None else LlmBudget.organization_id == organization_id)


def _found_by(condition: Any) -> Any:
    """Return the query of budgets, each with its period that is now and with the names of what it is for."""
    now: Any = func.clock_timestamp()
    begun = and_(
        col(LlmBudgetPeriod.budget_id) == LlmBudget.id,
        col(LlmBudgetPeriod.starts_at) <= now,
        or_(col(LlmBudgetPeriod.ends_at).is_(None), col(LlmBudgetPeriod.ends_at) > now),
    )
    newest = select(LlmBudgetPeriod.id).where(begun).order_by(col(LlmBudgetPeriod.starts_at).desc()).limit(1)
    columns: tuple[Any, ...] = (LlmBudget, LlmBudgetPeriod, Organization.slug, LlmFeature.name, LlmProvider.name)
    return (
        select(*columns)
        .outerjoin(LlmBudgetPeriod, col(LlmBudgetPeriod.id) == newest.correlate(LlmBudget).scalar_subquery())
        .outerjoin(Organization, col(Organization.id) == LlmBudget.organization_id)
        .outerjoin(LlmFeature, col(LlmFeature.id) == LlmBudget.feature_id)
        .outerjoin(LlmProvider, col(LlmProvider.id) == LlmBudget.provider_id)
        .where(condition)
        .execution_options(populate_existing=True)
    )


def _share(of_limit: Decimal) -> Any:
    """Return the condition that so much of what may be spent is spent: of a budget without a period yet, nothing is."""
    added = func.coalesce(LlmBudgetPeriod.carried, _CARRIED_TO_COME, 0) + func.coalesce(LlmBudgetPeriod.topped_up, 0)
    return func.coalesce(LlmBudgetPeriod.spent, 0) >= (col(LlmBudget.amount) + added) * of_limit


def _listed(session: Session, actor: Actor, query: Any) -> list[ListedBudget]:
    rows = session.execute(query).all()
    missing = _to_come(session, [row for row, period, *_ in rows if period is None])
    shown: dict[int | None, Any] = {}
    if rows:
        seen = visible(session, actor, "budget.list")
        shown = {number: shown_names(session, seen, number) for number in {row.organization_id for row, *_ in rows}}
    found = []
    for row, period, slug, feature, provider in rows:
        scope = " · ".join(filter(None, (slug, feature, provider))) or "everything"
        of_now = BudgetNow(row, missing[id_of(row)] if period is None else period, scope)
        found.append(ListedBudget(of_now, slug, feature, provider, shown[row.organization_id](row.updated_by)))
    return found


def _to_come(session: Session, rows: Sequence[LlmBudget]) -> dict[int, LlmBudgetPeriod]:
    """Return of budgets that have no period now the one that their first call makes."""
    found = {}
    of = {id_of(row): row for row in rows}
    for number, starts, ends, carried in session.execute(_TO_COME, {"budgets": [*of]}) if of else ():
        period = LlmBudgetPeriod(
            budget_id=number, starts_at=starts, ends_at=ends, amount=of[number].amount, carried=carried
        )
        for name in ("topped_up", "spent", "estimated", "leased"):
            setattr(period, name, Decimal(0))
        period.unpriced = period.holders = 0
        found[number] = period
    return found
