"""How the money of a budget goes in its period that is now: spent so far, the plan, at which pace it will go on, and until when it lasts.

The points come from ``llm_spend``, by whole hours; the last one is what counts in the budget, with corrections and what is presumed.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, text
from sqlmodel import Session

from ..errors import Invalid
from ..manage.budget_listing import ListedBudget
from ..store.budget_tables import LlmBudgetLedger
from . import pace
from .spend import zone_of

MOST_DAYS: Final = 400
"""So far back are the days of a budget that never ends."""
AHEAD: Final = 30
"""So many days ahead one looks in such a budget."""
_NOTHING: Final = Decimal(0)
_SPENT_TOO: Final = ("correction", "presumed", "taken_back", "repriced")
_QUERY: Final = """SELECT date_trunc('{step}', s.slot AT TIME ZONE CAST(:zone AS text)) AS at, sum(s.cost) FROM llm_spend s
    WHERE s.slot >= :since AND s.slot < :until AND (CAST(:organization AS integer) IS NULL OR s.organization_id = :organization)
    AND (CAST(:feature AS text) IS NULL OR s.feature = :feature) AND (CAST(:provider AS text) IS NULL OR s.provider = :provider)
    GROUP BY 1 ORDER BY 1"""


class BurnPoint(NamedTuple):
    """What was spent in all, or may be, at a moment on the clock of the budget's zone."""

    at: datetime
    amount: Decimal


class BurnOutlook(NamedTuple):
    """What will have been spent in all at a moment."""

    at: datetime
    mean: Decimal
    low: Decimal
    high: Decimal


class TopUp(NamedTuple):
    """More that may be spent from a moment on."""

    at: datetime
    amount: Decimal


class BurnDown(NamedTuple):
    """A budget's period that is now. All moments are on the clock of its zone."""

    zone: str
    begins: datetime
    ends: datetime | None
    now: datetime
    spent: list[BurnPoint]
    allowed: list[BurnPoint]
    """What may be spent, from each moment on."""
    top_ups: list[TopUp]
    outlooks: list[BurnOutlook]
    """From now on, by day; empty before the first whole day."""
    lasts_until: date | None
    """The day on which all will be spent at this pace; None: it will not be in this period, or is."""

    @property
    def planned(self) -> Decimal | None:
        """What would be spent by now in a straight line; None: there is no end to go to."""
        if self.ends is None:
            return None
        gone = Decimal((self.now - self.begins) / (self.ends - self.begins))
        return self.allowed[-1].amount * gone


def burn_down(session: Session, listed: ListedBudget, entries: Sequence[LlmBudgetLedger]) -> BurnDown:
    """Return how the money of a budget goes.

    Args:
        session: The transaction.
        listed: The budget, as :func:`core.manage.budget_listing.one_of_them` found it for who asks.
        entries: The ledger of its period that is now.
    """
    row, period = listed.now.row, listed.now.period
    moment: Any = session.scalar(select(func.clock_timestamp()))
    zone, place = _zone(row.time_zone)

    def there(instant: datetime) -> datetime:
        return instant.astimezone(place).replace(tzinfo=None)

    now, begins = there(moment), there(max(period.starts_at, moment - timedelta(days=MOST_DAYS)))
    ends = None if period.ends_at is None else there(period.ends_at)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    counted_from = max(begins, there(row.created_at).replace(minute=0, second=0, microsecond=0))
    given = {
        "zone": zone,
        "since": _instant(min(begins, midnight - timedelta(days=pace.DAYS)), place),
        "until": moment + timedelta(hours=1),
        "organization": row.organization_id,
        "feature": listed.feature,
        "provider": listed.provider,
    }
    days = _steps(session, "day", given)
    if row.period == "day":
        steps = _steps(session, "hour", {**given, "since": _instant(begins, place)})
        width = timedelta(hours=1)
    else:
        steps, width = days, timedelta(days=1)
    counted = {at: cost for at, cost in steps.items() if at + width > counted_from and at >= begins.replace(minute=0)}
    spent = _course(counted, width, [(there(each.at), each.amount) for each in entries if each.kind in _SPENT_TOO])
    known = [BurnPoint(point.at, min(point.amount, period.spent)) for point in spent if begins < point.at < now]
    top_ups = [TopUp(there(each.at), each.amount) for each in reversed(entries) if each.kind == "top_up"]
    by_day = {at.date(): cost for at, cost in days.items()}
    outlooks = _outlooks(by_day, period.spent, now, ends)
    return BurnDown(
        zone,
        begins,
        ends,
        now,
        [BurnPoint(begins, _NOTHING), *known, BurnPoint(now, period.spent)],
        _allowed(listed, begins, top_ups),
        top_ups,
        outlooks,
        _lasts(outlooks, period.spent, listed.now.allowed),
    )


def _zone(name: str) -> tuple[str, tzinfo]:
    try:
        return name, zone_of(name)
    except Invalid:  # one that PostgreSQL alone knows
        return "UTC", UTC


def _instant(there: datetime, place: tzinfo) -> datetime:
    return there.replace(tzinfo=place).astimezone(UTC)


def _steps(session: Session, step: str, given: dict[str, Any]) -> dict[datetime, Decimal]:
    return {row[0]: row[1] for row in session.execute(text(_QUERY.format(step=step)), given)}


def _course(
    counted: dict[datetime, Decimal], width: timedelta, entries: Sequence[tuple[datetime, Decimal]]
) -> list[BurnPoint]:
    """Return what was spent in all at the end of each step, and at each entry of the ledger."""
    changes = sorted([*((at + width, cost) for at, cost in counted.items()), *entries])
    found: list[BurnPoint] = []
    whole = _NOTHING
    for at, amount in changes:
        whole += amount
        found.append(BurnPoint(at, whole))
    return found


def _allowed(listed: ListedBudget, begins: datetime, top_ups: Sequence[TopUp]) -> list[BurnPoint]:
    amount = listed.now.allowed - sum((each.amount for each in top_ups), _NOTHING)
    found = [BurnPoint(begins, amount)]
    for each in top_ups:
        amount += each.amount
        found.append(BurnPoint(each.at, amount))
    return found


def _outlooks(by_day: dict[date, Decimal], already: Decimal, now: datetime, ends: datetime | None) -> list[BurnOutlook]:
    today = now.date()
    found = pace.paces(by_day, today)
    if found is None:
        return []
    last = today + timedelta(days=AHEAD) if ends is None else (ends - timedelta(seconds=1)).date()
    each_day = pace.outlooks(already, by_day.get(today, _NOTHING), today, last, found)
    ahead = [
        BurnOutlook(datetime.combine(each.day + timedelta(days=1), datetime.min.time()), each.mean, each.low, each.high)
        for each in each_day
    ]
    return [BurnOutlook(now, already, already, already), *ahead]


def _lasts(outlooks: Sequence[BurnOutlook], spent: Decimal, allowed: Decimal) -> date | None:
    if spent >= allowed:
        return None
    over = (each.at - timedelta(seconds=1) for each in outlooks if each.mean >= allowed)
    return next((at.date() for at in over), None)
