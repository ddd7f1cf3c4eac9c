"""At which pace money is spent, and so when a sum will be reached: by the last seven days of each weekday. Standard library only."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

WEEKS: Final = 7
"""So many days of a weekday are looked at."""
DAYS: Final = 7 * WEEKS
_NOTHING: Final = Decimal(0)


class Pace(NamedTuple):
    """What a day costs, in US dollars."""

    mean: Decimal
    low: Decimal
    high: Decimal


class Outlook(NamedTuple):
    """What will have been spent in all at the end of a day, at such a pace."""

    day: date
    mean: Decimal
    low: Decimal
    high: Decimal


def paces(spent: Mapping[date, Decimal], today: date) -> Sequence[Pace] | None:
    """Return what a day costs, from Monday on; None before the first whole day.

    A weekday that has not been yet is as all days were.

    Args:
        spent: What was spent on each day that something was; the days between cost nothing, those before the first do not count.
        today: It is not over, and does not count.
    """
    begun = max(min(spent, default=today), today - timedelta(days=DAYS))
    days = [begun + timedelta(days=n) for n in range((today - begun).days)]
    if not days:
        return None
    of_all = _pace([spent.get(day, _NOTHING) for day in days])
    of_each = ([spent.get(day, _NOTHING) for day in days if day.weekday() == weekday] for weekday in range(7))
    return [_pace(found) if found else of_all for found in of_each]


def outlooks(already: Decimal, of_today: Decimal, today: date, last: date, pace: Sequence[Pace]) -> list[Outlook]:
    """Return what will have been spent at the end of each day from *today* to *last*.

    Args:
        already: What is spent.
        of_today: What of it was spent today: the rest of the day brings what is left of a day's pace.
        today: A day.
        last: A day, which counts.
        pace: As :func:`paces` has it.
    """
    found: list[Outlook] = []
    sums = [already] * 3
    for number in range((last - today).days + 1):
        day = today + timedelta(days=number)
        less = of_today if number == 0 else _NOTHING
        sums = [total + max(each - less, _NOTHING) for total, each in zip(sums, pace[day.weekday()], strict=True)]
        found.append(Outlook(day, *sums))
    return found


def _pace(found: Sequence[Decimal]) -> Pace:
    return Pace(sum(found, _NOTHING) / len(found), min(found), max(found))
