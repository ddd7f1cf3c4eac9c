"""Alerts as people see and answer them: listed, acknowledged, resolved. What is of an organisation its own people see too."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from ..access.authority import Visible, not_found, require, visible
from ..actors import Actor
from ..audit.record import Target, record
from ..errors import Invalid
from ..store.budget_tables import ALERT_KINDS, ALERT_STATES, LlmAlert, LlmBudget, LlmBudgetPeriod
from ..store.organization_tables import Organization
from .alert_words import words_of_alert
from .paging import Page, page_of, within

LARGEST_ID: Final = 2**63 - 1


class Alert(NamedTuple):
    """An alert, with what it is about."""

    row: LlmAlert
    budget: str | None
    """Its name; None: it is about none."""
    organization: str | None
    starts_at: datetime | None
    """Of the period."""
    ends_at: datetime | None

    @property
    def id(self) -> int:
        """Of the row."""
        return self.row.id or 0

    @property
    def at(self) -> datetime:
        """When it was made."""
        return self.row.at

    @property
    def text(self) -> str:
        """What it says, as it was when it was made."""
        return words_of_alert(self.row.kind, self.row.facts, self.row.at, self.budget or "", self.ends_at)


class AlertFilters(NamedTuple):
    """Which alerts; None lets all through."""

    state: str | None = None
    """One of ``ALERT_STATES``, or ``live``: all that are not resolved."""
    kind: str | None = None
    budget_id: int | None = None


def search_alerts(
    session: Session,
    actor: Actor,
    filters: AlertFilters = AlertFilters(),  # noqa: B008 - immutable
    *,
    before: int | None = None,
    limit: int = 50,
) -> Page[Alert]:
    """Return a page of the alerts that *actor* may see, newest first.

    Args:
        session: The transaction.
        actor: An admin or analyst of the installation sees all, one of an organisation what is of theirs.
        filters: Which alerts.
        before: The id that the page before ended with.
        limit: Alerts of a page.

    Raises:
        Forbidden: As everywhere.
        Invalid: If there is no such state or kind.
    """
    for name, value, known in (
        ("state", filters.state, ("live", *ALERT_STATES)),
        ("kind", filters.kind, ALERT_KINDS),
    ):
        if value is not None and value not in known:
            raise Invalid({name: f"must be one of {', '.join(known)}"})
    limit = within(limit)
    query = _alerts(visible(session, actor, "alert.list"))
    if filters.state == "live":
        query = query.where(LlmAlert.state != "resolved")
    elif filters.state is not None:
        query = query.where(LlmAlert.state == filters.state)
    if filters.kind is not None:
        query = query.where(LlmAlert.kind == filters.kind)
    if filters.budget_id is not None:
        query = query.where(LlmAlert.budget_id == filters.budget_id)
    if before is not None:
        query = query.where(col(LlmAlert.id) < before)
    query = query.order_by(col(LlmAlert.id).desc()).limit(limit + 1)
    return page_of([Alert(*row) for row in session.execute(query)], limit)


def get_alert(session: Session, actor: Actor, alert_id: int) -> Alert:
    """Return an alert; raises Forbidden, NotFound: the latter also for another organisation's."""
    return _alert_asked_for(session, actor, "alert.list", alert_id)


def acknowledge_alert(session: Session, actor: Actor, alert_id: int) -> Alert:
    """Put on record that somebody looks after it; who did so first stays.

    Args:
        session: The transaction.
        actor: An admin, or an admin of the organisation that it is about.
        alert_id: Which.

    Raises:
        Forbidden, NotFound: As everywhere.
        Invalid: If it is resolved already.
    """
    found = _alert_asked_for(session, actor, "alert.acknowledge", alert_id, lock=True)
    if found.row.state == "resolved":
        raise Invalid({"state": "is resolved: there is nothing to look after any more"})
    if found.row.state == "open":
        found.row.acknowledged_at, found.row.acknowledged_by = _clock(session), actor.name
        _record_alert(session, actor, "alert.acknowledge", found, "acknowledged")
    return found


def resolve_alert(session: Session, actor: Actor, alert_id: int) -> Alert:
    """Put away an alert. While what it tells of goes on there is no other of it; as :func:`acknowledge_alert`."""
    found = _alert_asked_for(session, actor, "alert.resolve", alert_id, lock=True)
    if found.row.state != "resolved":
        found.row.resolved_at, found.row.resolved_by = _clock(session), actor.name
        _record_alert(session, actor, "alert.resolve", found, "resolved")
    return found


def _alerts(seen: Visible) -> Any:
    of: Any = LlmAlert
    chosen: Any = select
    return (
        chosen(LlmAlert, LlmBudget.name, Organization.slug, LlmBudgetPeriod.starts_at, LlmBudgetPeriod.ends_at)
        .outerjoin(LlmBudget, col(LlmBudget.id) == LlmAlert.budget_id)
        .outerjoin(LlmBudgetPeriod, col(LlmBudgetPeriod.id) == LlmAlert.period_id)
        .outerjoin(Organization, col(Organization.id) == LlmAlert.organization_id)
        .where(seen.where(of.organization_id))
    )


def _alert_asked_for(session: Session, actor: Actor, action: str, alert_id: int, *, lock: bool = False) -> Alert:
    seen = visible(session, actor, action)
    query = _alerts(seen).where(LlmAlert.id == alert_id).execution_options(populate_existing=True)
    if lock:
        query = query.with_for_update(of=LlmAlert)
    row = session.execute(query).one_or_none() if 0 < alert_id <= LARGEST_ID else None
    if row is None:
        if lock and seen.everything:
            require(session, actor, action)  # an analyst is refused before anything is said of what is there
        not_found(session, actor, action, "alert", alert_id, seen=seen)
    if lock:
        require(session, actor, action, organization=row[0].organization_id)
    return Alert(*row)


def _clock(session: Session) -> datetime:
    now: datetime = session.scalars(text("SELECT clock_timestamp()")).one()
    return now


def _record_alert(session: Session, actor: Actor, action: str, found: Alert, state: str) -> None:
    row = found.row
    before, row.state = row.state, state
    session.flush()
    target = Target("alert", row.id if found.id < 2**31 else None, found.text[:200])
    record(session, actor, action, target, {"state": (before, state)}, organization=row.organization_id)
