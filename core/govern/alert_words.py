"""What an alert says, in words: how much of how much, never "15 % threshold" of what is 85 % spent."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from ..wording import counted

_SAID: Final = (  # at least so many seconds are said in this unit
    (2 * 86_400, 86_400, "day"),
    (2 * 3_600, 3_600, "hour"),
    (0, 60, "minute"),
)


def money_words(amount: Decimal) -> str:
    """Return an amount for people: cents, and where it is less than that its first two digits."""
    places = 2 if not amount or abs(amount) >= Decimal("0.01") else min(10, 1 - amount.adjusted())
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{places}f}"


def allowed_of(facts: Mapping[str, Any]) -> Decimal:
    """Return what might be spent in the period when the alert was made."""
    return sum((Decimal(facts[name]) for name in ("amount", "carried", "topped_up")), Decimal(0))


def left_words(at: datetime, ends_at: datetime | None) -> str:
    """Return ``, 12 days left``; empty of a period without an end, and of one that is over."""
    left = timedelta(0) if ends_at is None else ends_at - at
    if left <= timedelta(0):
        return ""
    seconds = int(left.total_seconds())
    unit, noun = next((unit, noun) for least, unit, noun in _SAID if seconds >= least)
    return f", {counted(max(seconds // unit, 1), noun)} left"


def spent_words(facts: Mapping[str, Any]) -> str:
    """Return ``$80.12 of $100.00 spent (80 %)``; what is estimated or has no price makes it *at least*."""
    spent, allowed = Decimal(facts["spent"]), allowed_of(facts)
    share = f" ({int(spent * 100 / allowed):,} %)" if allowed > 0 else ""
    least = "at least " if facts.get("unpriced") else ""
    return f"{least}{money_words(spent)} of {money_words(allowed)} spent{share}"


def words_of_alert(kind: str, facts: Mapping[str, Any], at: datetime, budget: str, ends_at: datetime | None) -> str:
    """Return what an alert says, as it was when it was made.

    Args:
        kind: Of ``ALERT_KINDS``.
        facts: Of the row.
        at: When it was made.
        budget: The budget's name; of the other kinds it is in the facts.
        ends_at: When the budget's period ends; None: never, or it is about none.
    """
    if kind in {"spike", "delivery"}:
        return _of_the_rest(kind, facts)
    left = left_words(at, ends_at)
    if kind == "unpriced":
        what = f"{counted(facts['unpriced'], 'call')} without a known price: {spent_words(facts)}{left}"
        return f"{budget}: {what}. Enter the price as a fact of the model"
    if kind == "presumed":
        gone = f"{money_words(Decimal(facts['presumed']))} count as spent by calls of a process that is gone"
        return f"{budget}: {gone}, until it speaks again: {spent_words(facts)}{left}"
    more = f"; at this pace spent on {facts['spent_on']}" if kind == "forecast" else ""
    return f"{budget}: {spent_words(facts)}{left}{more}"


def _of_the_rest(kind: str, facts: Mapping[str, Any]) -> str:
    if kind == "delivery":
        return f"The {facts['target_kind']} {facts['name']} {facts['why']}"
    usual = money_words(Decimal(facts["usual"]))
    return (
        f"{facts['of']}: {money_words(Decimal(facts['cost']))} in the hour from {facts['hour']} UTC, "
        f"at most {usual} in that hour of the last 4 weeks"
    )
