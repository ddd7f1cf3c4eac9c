"""How a budget stands, in words: its state, what is left of it, when its period ends."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from core.errors import Invalid
from core.govern.spend import zone_of
from core.manage.budget_listing import BudgetState, ListedBudget
from core.store.budget_tables import LlmBudgetPeriod
from core.wording import counted
from ui.feedback import plain
from ui.widgets import dollars

PERIODS: Final = {
    "day": "a day",
    "week": "a week",
    "month": "a month",
    "quarter": "a quarter",
    "year": "a year",
    "total": "in all",
}
_STATES: Final[dict[BudgetState, str]] = {
    "off": ":gray[:material/pause_circle: Off]",
    "blocked": ":red[:material/block: Blocked]",
    "spent": ":red[:material/money_off: Spent]",
    "over": ":red[:material/warning: Over]",
    "near": ":orange[:material/hourglass_bottom: Near its limit]",
    "good": ":green[:material/check_circle: Within]",
}
LEDGER: Final = {
    "top_up": "topped up",
    "correction": "corrected",
    "presumed": "presumed spent",
    "taken_back": "presumption taken back",
    "carry": "carried over, corrected",
    "repriced": "repriced",
}


def state(listed: ListedBudget) -> str:
    """Return a budget's state in Markdown: an icon, a word and a colour."""
    return _STATES[listed.state]


def share(listed: ListedBudget) -> float:
    """Return how much of what may be spent is spent, from 0 to 1."""
    allowed, spent = listed.now.allowed, listed.now.period.spent
    if allowed <= 0:
        return 1.0 if spent > 0 else 0.0
    return float(min(max(spent / allowed, Decimal(0)), Decimal(1)))


def how_far(listed: ListedBudget) -> str:
    """Return what of a budget is spent, held and left: ``$80.12 of $100.00 spent (80 %), $3.00 held now, $16.88 left``."""
    now, period = listed.now, listed.now.period
    percent = f" ({period.spent / now.allowed:.0%})" if now.allowed > 0 else ""
    parts = [
        f"{'at least ' if period.unpriced else ''}{dollars(period.spent)} of {dollars(now.allowed)} spent{percent}"
    ]
    if period.leased:
        parts.append(f"{dollars(period.leased)} held now")
    if now.left >= 0:
        parts.append(f"{dollars(now.left)} left")
    else:
        parts.append(f"{dollars(-now.left)} more than that")
    return ", ".join(parts)


def of_these(period: LlmBudgetPeriod) -> str:
    """Return what of a period's spend is estimated, and how many calls are unpriced; empty: nothing is."""
    parts = []
    if period.estimated:
        parts.append(f"{dollars(period.estimated)} estimated")
    if period.unpriced:
        parts.append(f"{counted(period.unpriced, 'call')} unpriced")
    return f"of these {', '.join(parts)}" if parts else ""


def allowed(listed: ListedBudget) -> str:
    """Return what may be spent in the period, and of what it is made."""
    row, period = listed.now.row, listed.now.period
    parts = [f"{dollars(row.amount)} {PERIODS[row.period]}"]
    if period.carried:
        parts.append(f"{signed(period.carried)} carried over")
    if period.topped_up:
        parts.append(f"{signed(period.topped_up)} topped up")
    return ", ".join(parts)


def signed(amount: Decimal) -> str:
    """Return a sum with its sign."""
    return f"{'-' if amount < 0 else '+'}{dollars(abs(amount))}"


def ends(listed: ListedBudget) -> str:
    """Return when the period ends: ``ends in 4 days: 1 December 2026, 00:00 Europe/Berlin``."""
    end = listed.now.period.ends_at
    if end is None:
        return "never ends"
    return f"ends in {_lasts(end - datetime.now(end.tzinfo))}: {there(end, listed.now.row.time_zone)}"


def there(moment: datetime, zone: str) -> str:
    """Return a moment on the clock of a zone, which stands behind it."""
    try:
        at = moment.astimezone(zone_of(zone))
    except Invalid:  # one that PostgreSQL alone knows
        at, zone = moment.astimezone(zone_of("UTC")), "UTC"
    return f"{at.day} {at:%B %Y, %H:%M} {zone}"


def _lasts(left: timedelta) -> str:
    if left >= timedelta(days=2):
        return counted(left.days, "day")
    if left >= timedelta(hours=2):
        return counted(int(left.total_seconds() // 3600), "hour")
    return counted(max(int(left.total_seconds() // 60), 0), "minute")


def ledger_line(kind: str, amount: Decimal, by: str, reason: str | None) -> str:
    """Return an entry of the ledger in Markdown."""
    said = f"**{plain(signed(amount))}** {LEDGER.get(kind, kind)} by {plain(by)}"
    return f"{said}: \u201c{plain(reason)}\u201d" if reason else said
