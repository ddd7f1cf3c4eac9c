"""Budgets: what may be spent in a period. Kept by admins; what is spent is counted by the processes that call (:mod:`core.calling.leases`)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import false, text
from sqlmodel import Session, col, select

from ..access.authority import not_found, require, visible
from ..actors import Actor
from ..audit.record import Changes, Target, changes_between, record
from ..errors import AlreadyExists, Invalid, NotFound
from ..store import violations
from ..store.budget_schemas import AdjustmentInput, BudgetInput
from ..store.budget_tables import LlmBudget, LlmBudgetLedger, LlmBudgetPeriod
from ..store.organization_tables import LlmFeature, Organization
from ..store.schemas import could_be_id, validate
from ..store.table import id_of
from ..store.tables import LlmProvider
from ..store.versions import refuse_stale
from .scopes import Named, SettingsScope, named

FIELDS: Final = tuple(BudgetInput.model_fields)
SCOPE: Final = ("organization_id", "feature_id", "provider_id", "period")
"""What stays as it was made: what was spent is of that scope and of such periods."""
MOST_LISTED: Final = 100
_CURRENT: Final = text("""
    SELECT p.id FROM unnest(CAST(:budgets AS integer[])) b CROSS JOIN (SELECT clock_timestamp() AS now) c CROSS JOIN LATERAL (
        SELECT q.id FROM llm_budget_periods q WHERE q.budget_id = b AND q.starts_at <= c.now
            AND (q.ends_at IS NULL OR q.ends_at > c.now) ORDER BY q.starts_at DESC LIMIT 1
    ) p
""")
_NEXT: Final = text("""
    SELECT b.id, greatest(n.starts, p.ends_at) AS starts, n.ends,
        CASE WHEN p.id IS NULL THEN 0 ELSE llm_carried(b, p, greatest(n.starts, p.ends_at)) END AS carried
    FROM org_llm_budgets b CROSS JOIN LATERAL llm_budget_bounds(b, clock_timestamp()) n LEFT JOIN LATERAL (
        SELECT * FROM llm_budget_periods q WHERE q.budget_id = b.id AND q.ends_at <= clock_timestamp()
        ORDER BY q.starts_at DESC LIMIT 1
    ) p ON true WHERE b.id = ANY(:budgets)
""")
"""The periods that the first calls make, now."""
_ADJUST: Final = text("SELECT llm_adjust_budget(:budget, :kind, :amount, :by, :reason)")
_IS_ZONE: Final = text("SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = :name)")
_TIMES: Final = text(
    "SELECT to_char(CAST(:starts AS timestamptz) AT TIME ZONE :zone, 'YYYY-MM-DD HH24:MI'),"
    " to_char(CAST(:ends AS timestamptz) AT TIME ZONE :zone, 'YYYY-MM-DD HH24:MI')"
)


class BudgetNow(NamedTuple):
    """A budget, and its period that is now."""

    row: LlmBudget
    period: LlmBudgetPeriod
    scope: str
    """In words."""

    @property
    def allowed(self) -> Decimal:
        """What may be spent in the period: a changed amount counts at once."""
        return self.row.amount + self.period.carried + self.period.topped_up

    @property
    def left(self) -> Decimal:
        """What is neither spent nor lent to processes; below 0 where more was spent."""
        return self.allowed - self.period.spent - self.period.leased


def list_all(session: Session, actor: Actor) -> list[BudgetNow]:
    """Return the budgets that *actor* sees by name, each with its period that is now.

    Admins and analysts of the installation see all of them, those of an organisation what is of theirs.

    Raises:
        Forbidden: As everywhere.
    """
    seen = visible(session, actor, "budget.list")
    found = select(LlmBudget).where(seen.where(LlmBudget.organization_id)).order_by(col(LlmBudget.name))
    return _standing(session, session.exec(found).all())


def get(session: Session, actor: Actor, budget_id: int) -> BudgetNow:
    """Return a budget with its period that is now; raises Forbidden, NotFound: the latter also for another organisation's."""
    return _seen(session, actor, budget_id, LlmBudget.id == budget_id if could_be_id(budget_id) else false())


def get_by_name(session: Session, actor: Actor, name: str) -> BudgetNow:
    """Return the budget of that name; as :func:`get`."""
    return _seen(session, actor, name[:100], false() if "\x00" in name else LlmBudget.name == name)


def _seen(session: Session, actor: Actor, key: object, where: Any) -> BudgetNow:
    seen = visible(session, actor, "budget.list")
    query = select(LlmBudget).where(where, seen.where(LlmBudget.organization_id))
    row = session.exec(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        not_found(session, actor, "budget.list", "budget", key, seen=seen)
    return _now(session, row)


def periods(session: Session, actor: Actor, budget_id: int, *, limit: int = MOST_LISTED) -> list[LlmBudgetPeriod]:
    """Return the periods of a budget that something was spent or reserved in, the newest first; raises Forbidden, NotFound."""
    get(session, actor, budget_id)
    found = select(LlmBudgetPeriod).where(LlmBudgetPeriod.budget_id == budget_id)
    return list(session.exec(found.order_by(col(LlmBudgetPeriod.starts_at).desc()).limit(limit)))


def ledger(session: Session, actor: Actor, budget_id: int, *, limit: int = MOST_LISTED) -> list[LlmBudgetLedger]:
    """Return what was added to the periods of a budget other than by calls, the newest first; raises Forbidden, NotFound."""
    get(session, actor, budget_id)
    of = select(LlmBudgetPeriod.id).where(LlmBudgetPeriod.budget_id == budget_id)
    found = select(LlmBudgetLedger).where(col(LlmBudgetLedger.period_id).in_(of))
    return list(session.exec(found.order_by(col(LlmBudgetLedger.id).desc()).limit(limit)))


def create(session: Session, actor: Actor, data: Mapping[str, Any]) -> BudgetNow:
    """Make a budget; *data* is a :class:`~core.store.budget_schemas.BudgetInput`. What was spent before counts for nothing.

    Raises:
        Forbidden, NotFound, Invalid: As everywhere.
        AlreadyExists: If the name is taken, or an active budget has the scope and the period.
    """
    require(session, actor, "budget.create")
    wanted = _checked(session, actor, "budget.create", data)
    row = LlmBudget(**wanted)
    session.add(row)
    _flush(session, row)
    made = _now(session, row)
    _record(session, actor, "budget.create", row, before={}, after=wanted)
    return made


def update(
    session: Session, actor: Actor, budget_id: int, patch: Mapping[str, Any], *, version: int | None = None
) -> BudgetNow:
    """Change a budget. An amount acts at once; zone, beginning of the week and of the year from the next period on.

    Raises:
        Forbidden, NotFound, Invalid, Conflict, AlreadyExists: As everywhere; Invalid also for the scope and the period.
    """
    require(session, actor, "budget.update")
    row = _locked(session, budget_id)
    refuse_stale("budget", row, version, patch)
    before = row.model_dump(include=set(FIELDS))
    if other := [name for name in SCOPE if name in patch and patch[name] != before[name]]:
        raise Invalid(dict.fromkeys(other, "stays as it is; delete this budget and make another"))
    wanted = _checked(session, actor, "budget.update", {**before, **patch})
    for name, value in wanted.items():
        if value != before[name]:
            setattr(row, name, value)
    _flush(session, row)
    if wanted != before:
        _record(session, actor, "budget.update", row, before=before, after=wanted)
    return _now(session, row)


def delete(session: Session, actor: Actor, budget_id: int, *, version: int | None = None) -> str:
    """Delete a budget with its periods, and return its name. Calls under way go on, and count in it no more.

    Raises:
        Forbidden, NotFound, Conflict: As everywhere.
    """
    require(session, actor, "budget.delete")
    row = _locked(session, budget_id)
    refuse_stale("budget", row, version, {})
    before, name = row.model_dump(include=set(FIELDS)), row.name
    session.delete(row)
    session.flush()
    _record(session, actor, "budget.delete", row, before=before, after={})
    return name


def top_up(session: Session, actor: Actor, budget_id: int, amount: object, reason: object) -> BudgetNow:
    """Let more be spent in the period that is now: in force everywhere within a second.

    Args:
        session: The transaction.
        actor: An admin.
        budget_id: Which.
        amount: US dollars, more than 0.
        reason: Why, for the ledger and the audit.

    Raises:
        Forbidden, NotFound, Invalid: As everywhere.
    """
    require(session, actor, "budget.top_up")
    row, said = _adjust(session, actor, budget_id, "top_up", amount, reason)
    record(session, actor, "budget.top_up", Target("budget", row.id, row.name), said, organization=row.organization_id)
    return _now(session, row)


def correct(session: Session, actor: Actor, budget_id: int, amount: object, reason: object) -> BudgetNow:
    """Add to what counts as spent in the period that is now, or with an amount below 0 take from it; as :func:`top_up`."""
    require(session, actor, "budget.correct")
    row, said = _adjust(session, actor, budget_id, "correction", amount, reason)
    record(session, actor, "budget.correct", Target("budget", row.id, row.name), said, organization=row.organization_id)
    return _now(session, row)


def times_of(session: Session, row: LlmBudget, period: LlmBudgetPeriod) -> tuple[str, str | None]:
    """Return when a period begins and ends, on the clock of the budget's zone; it may have no end."""
    found: Any = session.execute(
        _TIMES, {"zone": row.time_zone, "starts": period.starts_at, "ends": period.ends_at}
    ).one()
    return found[0], found[1]


def plain(amount: Decimal) -> str:
    """Return an amount by its digits, without zeros at the end."""
    return format(amount.normalize(), "f")


def _adjust(  # noqa: PLR0917 - of one call, which names what is named
    session: Session,
    actor: Actor,
    budget_id: int,
    kind: Literal["top_up", "correction"],
    amount: object,
    reason: object,
) -> tuple[LlmBudget, Changes]:
    """Write it; return the budget, and what the audit is told."""
    wanted = validate(AdjustmentInput, {"amount": amount, "reason": reason})
    if not wanted.amount:
        raise Invalid({"amount": "must not be 0"})
    if kind == "top_up" and wanted.amount < 0:
        raise Invalid({"amount": "must be more than 0; what may be spent is lowered by the budget's own amount"})
    row = _locked(session, budget_id)
    given = {"budget": id_of(row), "kind": kind, "amount": wanted.amount, "by": actor.name, "reason": wanted.reason}
    session.execute(_ADJUST, given)
    return row, {"amount": (None, plain(wanted.amount)), "reason": (None, wanted.reason)}


def _checked(session: Session, actor: Actor, action: str, data: Mapping[str, Any]) -> dict[str, Any]:
    wanted = validate(BudgetInput, data)
    if not session.scalar(_IS_ZONE, {"name": wanted.time_zone}):
        raise Invalid({"time_zone": "must be a time zone by its name, as Europe/Berlin or UTC"})
    of = _scope(session, actor, action, wanted)
    if of.organization is not None and of.organization.kind != "organization":
        raise Invalid({"organization_id": "must be an organisation's: a template calls nobody"})
    return wanted.model_dump()


def _scope(session: Session, actor: Actor, action: str, of: BudgetInput | LlmBudget) -> Named:
    return named(session, actor, action, SettingsScope(of.provider_id, of.organization_id, of.feature_id))


def _now(session: Session, row: LlmBudget) -> BudgetNow:
    """Return a budget with its period."""
    return _standing(session, [row])[0]


def _standing(session: Session, rows: Sequence[LlmBudget]) -> list[BudgetNow]:
    """Return budgets with their periods, by as many queries at any number; the first call in a period makes its row."""
    current = list(session.scalars(_CURRENT, {"budgets": [row.id for row in rows]}))
    query = select(LlmBudgetPeriod).where(col(LlmBudgetPeriod.id).in_(current))
    periods = {each.budget_id: each for each in session.exec(query.execution_options(populate_existing=True))}
    amounts = {id_of(row): row.amount for row in rows if row.id not in periods}
    if amounts:
        for number, starts, ends, carried in session.execute(_NEXT, {"budgets": list(amounts)}):
            periods[number] = _unmade(number, starts, ends, amounts[number], carried)
    names = _names(session, rows)
    return [BudgetNow(row, periods[id_of(row)], " · ".join(names[id_of(row)]) or "everything") for row in rows]


def _unmade(number: int, starts: datetime, ends: datetime | None, amount: Decimal, carried: Decimal) -> LlmBudgetPeriod:
    """Return a period in which nobody has called yet."""
    period = LlmBudgetPeriod(budget_id=number, starts_at=starts, ends_at=ends, amount=amount, carried=carried)
    for name in ("topped_up", "spent", "estimated", "leased"):
        setattr(period, name, Decimal(0))
    period.unpriced = period.holders = 0
    return period


def _names(session: Session, rows: Sequence[LlmBudget]) -> dict[int, list[str]]:
    """Return of each budget the names of its scope."""
    found: dict[int, list[str]] = {id_of(row): [] for row in rows}
    for model, named_by, column in (
        (Organization, Organization.slug, "organization_id"),
        (LlmFeature, LlmFeature.name, "feature_id"),
        (LlmProvider, LlmProvider.name, "provider_id"),
    ):
        ids = {number for row in rows if (number := getattr(row, column)) is not None}
        query = select(col(model.id), col(named_by)).where(col(model.id).in_(ids))
        names: dict[int, str] = {number: name for number, name in session.execute(query)} if ids else {}  # noqa: C416 - dict() takes a result for a mapping
        for row in rows:
            if (name := names.get(getattr(row, column))) is not None:
                found[id_of(row)].append(name)
    return found


def words_of(session: Session, row: LlmBudget) -> str:
    """Return what a budget is for, in words: ``acme · summarise · openai``, or ``everything``."""
    return " · ".join(_names(session, [row])[id_of(row)]) or "everything"


def _locked(session: Session, budget_id: int) -> LlmBudget:
    row = None
    if could_be_id(budget_id):
        row = session.get(LlmBudget, budget_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("budget", budget_id)
    return row


def _flush(session: Session, row: LlmBudget) -> None:
    taken = "of this name, or for this scope and period"
    violations.flush(session, AlreadyExists("budget", f"{row.name} ({taken})"))
    session.refresh(row)


def _record(
    session: Session,
    actor: Actor,
    action: str,
    row: LlmBudget,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    changes = changes_between(before, after, FIELDS)
    plain = {name: (_said(was), _said(now)) for name, (was, now) in changes.items()}
    record(session, actor, action, Target("budget", row.id, row.name), plain, organization=row.organization_id)


def _said(value: Any) -> Any:
    return plain(value) if isinstance(value, Decimal) else value
