"""One budget's money in this process's memory: what of its lease is free, in flight, spent and not told yet. No I/O, no lock.

Who calls has the lock of :mod:`.leases`. Durations are of the monotonic clock.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from ..errors import BudgetExceeded
from ..resolving.budgets import Budget

NOTHING: Final = Decimal(0)
AHEAD: Final = 2.0
"""So many seconds of what is spent a process wants lent."""
QUIET: Final = 0.5
"""Seconds without a call after which what is free is given back."""
RENEWED: Final = 3.0
"""Seconds after which a lease is renewed, where there is nothing else to say."""
FRESH: Final = 0.5
"""So many seconds an answer of the store is true enough to refuse a call by it."""
SURE: Final = 0.8
"""The part of a lease's life in which it is used: the rest is for clocks that do not agree."""
_MEASURED: Final = 0.2
"""Seconds over which the pace is measured at least."""
_PLACES: Final = Decimal("0.0000000001")
"""Of the database's columns."""

Room = Literal["room", "wait", "spent", "held"]


class BudgetStanding(NamedTuple):
    """A budget's period that is now, as this process knows it."""

    name: str
    spent: Decimal
    """US dollars, with what this process has not told yet."""
    limit: Decimal
    """What may be spent, top-ups among it."""
    left: Decimal
    """What is not spent; what calls under way hold is among it."""
    ratio: float
    """What is spent, as a part of the limit: 0.8 is four fifths; 1.0 where the limit is 0."""
    period_ends_at: datetime | None
    """None: never."""
    as_of: datetime
    """When the store said so, by this machine's clock; what other processes have spent since is not in it."""


class Said(NamedTuple):
    """What was said of a meter in a message: it is repeated word for word until it is answered."""

    meter: "Meter"
    keep: Decimal
    in_flight: Decimal
    words: Mapping[str, Any]


class Meter:
    """A budget in one period, as this process has it."""

    __slots__ = (
        "_measured_at",
        "_peak",
        "_peak_before",
        "_spent_since",
        "allowed",
        "answered_at",
        "budget",
        "ends",
        "ends_at",
        "ends_there",
        "estimated",
        "free",
        "granted",
        "in_flight",
        "is_told",
        "known_spent",
        "others",
        "pace",
        "period",
        "recalled",
        "reserved_at",
        "same_as",
        "spent",
        "target",
        "told_at",
        "told_in_flight",
        "unpriced",
        "until",
    )

    def __init__(self, budget: Budget, now: float) -> None:
        self.budget = budget
        self.period: int | None = None
        """None: the store has not said yet which it is."""
        self.same_as: Meter | None = None
        """The one that has this period already: it goes on there."""
        self.free = self.in_flight = NOTHING
        self.spent = self.estimated = NOTHING
        """Not told yet."""
        self.unpriced = 0
        self.until = -math.inf
        """Until then the free part may be used."""
        self.ends = math.inf
        """When the period ends."""
        self.ends_at: str | None = None
        self.ends_there: str | None = None
        self.answered_at = self.told_at = self.reserved_at = -math.inf
        self.allowed = self.known_spent = self.others = NOTHING
        self.recalled = False
        self.granted = self.told_in_flight = NOTHING
        """As the store has them."""
        self.is_told = True
        """Whether no message about it is without an answer."""
        self.pace, self.target = 0.0, NOTHING
        self._measured_at, self._spent_since = now, NOTHING
        self._peak = self._peak_before = NOTHING

    # Calls

    @property
    def is_hard(self) -> bool:
        """Whether it refuses what does not fit."""
        return self.budget.mode == "hard"

    def has(self, amount: Decimal, now: float) -> bool:
        """Whether *amount* can be reserved of what is lent."""
        return not amount or not self.is_hard or (self.free >= amount and now < self.until)

    def verdict(self, amount: Decimal, now: float) -> Room:
        """Return whether a call that may cost *amount* has room; ``wait``: only the store knows."""
        if self.has(amount, now):
            return "room"
        if now - self.answered_at > FRESH or self.period is None:
            return "wait"
        left = self.allowed - self.known_spent - self.spent
        if left < amount:
            return "spent"
        return "held" if left - self.in_flight - self.others < amount else "wait"

    def take(self, amount: Decimal, now: float) -> Decimal:
        """Reserve; return what of it is of the lease."""
        self.in_flight += amount
        self.reserved_at = now
        self._peak = max(self._peak, self.in_flight)
        if self.is_hard and self.free >= amount and now < self.until:
            self.free -= amount
            return amount
        return NOTHING

    def put(self, amount: Decimal, lent: Decimal, cost: Decimal, *, estimated: bool, unpriced: bool) -> None:
        """Settle: put *cost* in the place of a reserve of *amount*, of which *lent* was of the lease."""
        if self.same_as is not None:
            self.same_as.put(amount, lent, cost, estimated=estimated, unpriced=unpriced)
            return
        self.in_flight -= amount
        self.spent += cost
        self._spent_since += cost
        if estimated:
            self.estimated += cost
        self.unpriced += unpriced
        if self.is_hard:
            self.free += lent - cost

    def exceeded(
        self, reason: Literal["spent", "held", "store_unavailable"], amount: Decimal, why: str = ""
    ) -> BudgetExceeded:
        """Return what a call is told that does not fit."""
        is_known = self.period is not None
        return BudgetExceeded(
            self.budget.name,
            reason,
            limit=_plain(self.allowed) if is_known else None,
            spent=_plain(self.known_spent + self.spent) if is_known else None,
            needed=_plain(amount),
            retry_after={"held": 0.25, "store_unavailable": 2.0}.get(reason),
            period_ends_at=self.ends_at,
            ends_there=self.ends_there,
            why=why,
        )

    def state(self, now: float) -> BudgetStanding | None:
        """Return how it stands; None: the store has not said so of this period yet."""
        if self.period is None or now >= self.ends:
            return None
        spent = self.known_spent + self.spent
        return BudgetStanding(
            self.budget.name,
            spent,
            self.allowed,
            self.allowed - spent,
            float(spent / self.allowed) if self.allowed > 0 else 1.0,
            None if self.ends_at is None else datetime.fromisoformat(self.ends_at),
            datetime.now(UTC) - timedelta(seconds=now - self.answered_at),
        )

    # The store

    def is_low(self) -> bool:
        """Whether three quarters of what is wanted are used."""
        return self.is_hard and self.free * 4 < self.target

    @property
    def has_untold(self) -> bool:
        """Whether something was spent that the store does not know."""
        return bool(self.spent or self.unpriced or self.estimated) or not self.is_told

    @property
    def is_done(self) -> bool:
        """Whether nothing more will be said of it."""
        return not (self.in_flight or self.free > 0 or self.granted or self.has_untold)

    def has_news(self, now: float, *, is_needed: bool) -> bool:
        """Whether there is something to tell the store."""
        if is_needed or self.has_untold or self.in_flight != self.told_in_flight:
            return True
        if self.granted != self.in_flight and (self.recalled or now - self.reserved_at > QUIET or now >= self.until):
            return True
        return bool(self.granted) and now - self.told_at > RENEWED

    def say(self, now: float, needs: list[Decimal], *, is_over: bool) -> Said:
        """Return what is to be told, and take it as told.

        Args:
            now: Of the monotonic clock.
            needs: What calls that wait may cost.
            is_over: Whether no call will begin in this period any more.
        """
        self._measure(now)
        wanted = _places(AHEAD * self.pace) + max(self._peak, self._peak_before) - self.in_flight
        is_quiet = now - self.reserved_at > QUIET and not needs
        self.target = NOTHING if is_over or is_quiet or not self.is_hard else max(wanted, NOTHING)
        usable = NOTHING if now >= self.until or self.recalled else self.target
        self.free = max(NOTHING, min(self.free, usable))  # the rest is given back
        need = max(sum(needs, NOTHING) - self.free, NOTHING)
        least = max(min(needs, default=NOTHING) - self.free, NOTHING)
        opening = self.period is None
        words = {
            "b": self.budget.id,
            "p": self.period,
            "s": "0" if opening else str(self.spent),
            "e": "0" if opening else str(self.estimated),
            "u": 0 if opening else self.unpriced,
            "f": "0" if opening else str(self.in_flight),
            "k": "0" if opening else str(self.in_flight + self.free),
            "a": str(need + max(self.target - self.free, need)),
            "n": str(need),
            "l": str(least),
        }
        said = Said(
            self, NOTHING if opening else self.in_flight + self.free, NOTHING if opening else self.in_flight, words
        )
        if not opening:
            self.spent = self.estimated = NOTHING
            self.unpriced = 0
        self.is_told, self.told_at = False, now
        return said

    def heard(self, said: Said, row: Any, sent_at: float, now: float, lives: float) -> None:
        """Take in what the store answered.

        Args:
            said: What it answers.
            row: A row of ``llm_sync_leases``.
            sent_at: When it was asked, by the monotonic clock.
            now: When the answer was there.
            lives: How long a lease lives, in seconds.
        """
        self.is_told = True
        self.period = row.period_id
        if self.is_hard:
            self.free = max(self.free + row.granted - said.keep, NOTHING) if row.granted != said.keep else self.free
        self.until = sent_at + row.lives_for - (1 - SURE) * lives
        self.ends = math.inf if row.ends_in is None else now + row.ends_in
        self.ends_at = None if row.ends_at is None else row.ends_at.isoformat()
        self.ends_there = row.ends_there
        self.allowed, self.known_spent, self.others = row.allowed, row.spent, row.others
        self.recalled, self.answered_at = row.recalled, sent_at
        self.granted, self.told_in_flight = row.granted, said.in_flight

    def goes_on_in(self, other: "Meter") -> None:
        """Hand over to the meter that has this period already."""
        self.same_as = other
        other.in_flight += self.in_flight
        other.spent += self.spent
        other.estimated += self.estimated
        other.unpriced += self.unpriced
        other.reserved_at = max(self.reserved_at, other.reserved_at)

    def _measure(self, now: float) -> None:
        since = now - self._measured_at
        if since < _MEASURED:
            return
        pace = float(self._spent_since) / since
        self.pace = (self.pace + pace) / 2 if self.pace else pace
        self._measured_at, self._spent_since = now, NOTHING
        self._peak_before, self._peak = self._peak, self.in_flight


def _places(amount: float) -> Decimal:
    return Decimal(amount).quantize(_PLACES)


def _plain(amount: Decimal) -> str:
    return format(amount, "f")
