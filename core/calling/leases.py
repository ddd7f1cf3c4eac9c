"""Money of budgets, lent by the store to this process for seconds: calls reserve and settle in memory, one thread tells the store.

A call holds the most that it can cost from before it is sent until it is settled, in every budget that it counts against, or in
none. What is lent is this process's alone, so a hard budget is never passed by calls that cost what they reserved. A lease ends
by itself: what a process held that was killed is free again after :data:`LIVES`, but for what was in flight, which counts as spent.
docs/decisions/budgets-by-leases.md says why.
"""

import atexit
import contextlib
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ..resolving.budgets import Budget
from .borrowing import AGAIN, SILENCE, Borrower
from .holds import Hold, Waiter, refused
from .lease_line import LEASES
from .meters import BudgetStanding, Meter, Said

HELD: Final = 1.0
"""Seconds that a call waits for money that others hold."""
AT_EXIT: Final = 2.0
"""Seconds that a process which ends waits until all is told."""


class Leases(Borrower[Waiter, tuple[Hold, Decimal, bool, bool], list[Said]]):
    """All that this process holds of budgets. The process has one: :data:`leases`."""

    _asks, _name, _spacing = LEASES, "llm-settings leases", 0.005

    def _reset(self) -> None:
        super()._reset()
        self._meters: dict[int, Meter] = {}
        self._former: list[Meter] = []
        """Of periods that are over."""
        self._waiting: deque[Waiter] = deque()

    # Calls

    def reserve(self, budgets: Sequence[Budget], amount: Decimal, *, patience: float = SILENCE) -> Hold:
        """Reserve *amount* US dollars in all *budgets*, or in none; what is 0 always has room.

        Waits only where the lease has too little: until the store has said more, at most *patience* seconds.

        Raises:
            BudgetExceeded: If a hard budget has no room, or the store is away and the budget is closed then.
        """
        if (found := self._at_once(budgets, amount)) is not None:
            return found
        return self._outcome(self._wait(Waiter(budgets, amount, patience)))

    async def reserve_async(self, budgets: Sequence[Budget], amount: Decimal, *, patience: float = SILENCE) -> Hold:
        """As :meth:`reserve`, for the running event loop, which goes on meanwhile."""
        if (found := self._at_once(budgets, amount)) is not None:
            return found
        return self._outcome(await self._wait_async(Waiter(budgets, amount, patience)))

    def settle(self, hold: Hold, cost: Decimal, *, estimated: bool = False, unpriced: bool = False) -> None:
        """Put what a call did cost in the place of its reserve. Never waits and never raises; a second time changes nothing.

        Args:
            hold: Of :meth:`reserve`.
            cost: US dollars; 0 for a call that cost nothing.
            estimated: Whether the cost was computed from lengths.
            unpriced: Whether nobody knows the price; the cost is 0 then.
        """
        self._end((hold, cost, estimated, unpriced))

    def state(self, name: str) -> BudgetStanding | None:
        """Return how a budget stands, from memory; None: no call of this process has counted against it in this period yet."""
        now = time.monotonic()
        with self._lock:
            self._book()
            found = (meter.state(now) for meter in self._meters.values() if meter.budget.name == name)
            return next((state for state in found if state is not None), None)

    def flush(self, timeout: float = AT_EXIT) -> bool:
        """Tell all that was settled, and give back what is free, at most *timeout* seconds; return whether nothing is untold."""
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                self._book()
                untold = any(meter.has_untold for meter in self._lent())
                for meter in self._lent():
                    meter.reserved_at = float("-inf")  # no call is to come: all that is free goes back
                held = any(meter.granted > meter.in_flight for meter in self._lent())
                if untold or held:
                    self._start()
            if not (untold or held):
                return True
            if time.monotonic() >= deadline:
                return not untold
            self._ring()
            time.sleep(0.01)

    def _at_once(self, budgets: Sequence[Budget], amount: Decimal) -> Hold | None:
        """Reserve of what is lent, where nobody waits; None: there is more to it."""
        now = time.monotonic()
        with self._lock:
            if self._ended or self._left:
                self._book()
            if self._waiting or self._thread is None:
                return None
            meters = []
            for budget in budgets:
                meter = self._meters.get(budget.id)
                if meter is None or now >= meter.ends or meter.budget != budget or not meter.has(amount, now):
                    return None
                meters.append(meter)
            is_low = False
            parts = []
            for meter in meters:
                parts.append((meter, meter.take(amount, now)))
                is_low = is_low or (now - meter.told_at > AGAIN and meter.is_low())
        if is_low or self._dozes:
            self._ring()
        return Hold(amount, parts)

    def _begin(self, waiter: Waiter) -> Waiter:
        amount, budgets, now = waiter.amount, waiter.budgets, waiter.since
        with self._lock:
            self._book()
            self._start()
            meters = [self._meter(budget, now) for budget in budgets]
            if self._waiting:
                self._retry(now)
            waited_for = {budget.id for each in self._waiting for budget in each.budgets if budget.mode == "hard"}
            if not amount or not any(meter.is_hard and meter.budget.id in waited_for for meter in meters):
                self._try(waiter, now)  # else those before come first
            if not waiter.is_answered:
                self._waiting.append(waiter)
        if self._dozes or not waiter.is_answered:
            self._ring()
        return waiter

    def _due(self, waiter: Waiter) -> float | None:
        left = waiter.since + waiter.patience - time.monotonic()
        return None if waiter.is_answered or left <= 0 else left

    def _outcome(self, waiter: Waiter) -> Hold:
        """End a wait, whatever it has brought."""
        with self._lock:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
            if not waiter.is_answered:
                self._try(waiter, time.monotonic(), is_last=True)
        if waiter.hold is None:
            refused[waiter.problem.reason if waiter.problem else "held"] += 1
            raise waiter.problem or AssertionError("a wait has no outcome")
        return waiter.hold

    # With the lock

    def _put_ended(self) -> None:
        while self._ended:
            hold, cost, estimated, unpriced = self._ended.popleft()
            hold.put(cost, estimated=estimated, unpriced=unpriced)

    def _lent(self) -> list[Meter]:
        return [*self._meters.values(), *self._former]

    def _meter(self, budget: Budget, now: float) -> Meter:
        """Return the meter of a budget's period that is now."""
        meter = self._meters.get(budget.id)
        if meter is not None and now >= meter.ends:
            self._former.append(meter)
            meter = None
        if meter is None:
            meter = self._meters[budget.id] = Meter(budget, now)
        meter.budget = budget  # it may be another version
        return meter

    def _try(self, waiter: Waiter, now: float, *, is_last: bool = False) -> bool:
        """Give a call its reserve, or say why not, if that is known; return whether it is answered."""
        amount, meters = waiter.amount, [self._meter(budget, now) for budget in waiter.budgets]
        away = self._why_away(now)
        for meter in meters:
            verdict = meter.verdict(amount, now)
            if verdict == "room" or (away and meter.budget.when_away == "open"):
                continue
            if verdict == "spent":
                waiter.problem = meter.exceeded("spent", amount)
            elif away:
                waiter.problem = meter.exceeded("store_unavailable", amount, away)
            elif is_last or now - waiter.since > HELD:
                answered = meter.answered_at >= waiter.since
                if not answered and not is_last and now - waiter.since < SILENCE:
                    return False
                if not answered and meter.budget.when_away == "open":
                    continue
                why = "" if answered else "it has not answered in time"
                waiter.problem = meter.exceeded("held" if answered else "store_unavailable", amount, why)
            return waiter.problem is not None
        waiter.hold = Hold(amount, [(meter, meter.take(amount, now)) for meter in meters])
        return True

    def _retry(self, now: float) -> None:
        """Answer who waits, in their order; a call does not pass one that waits for the same budget."""
        blocked: set[int] = set()
        for waiter in list(self._waiting):
            hard = {budget.id for budget in waiter.budgets if budget.mode == "hard"}
            if not blocked & hard and self._try(waiter, now):
                self._waiting.remove(waiter)
                waiter.ready()
            else:
                blocked |= hard

    # The store

    def _news(self, now: float) -> list[Said] | None:
        needs: dict[int, list[Decimal]] = {}
        for waiter in self._waiting:
            for budget in waiter.budgets:
                meter = self._meter(budget, now)
                if not meter.has(waiter.amount, now):
                    needs.setdefault(budget.id, []).append(waiter.amount)
        said = []
        self._former = [meter for meter in self._former if not meter.is_done]
        current = [(meter, needs.get(budget_id, [])) for budget_id, meter in self._meters.items()]
        for meter, need in (*((meter, []) for meter in self._former), *current):
            if (meter.is_low() and now - meter.told_at > AGAIN) or meter.has_news(now, is_needed=bool(need)):
                said.append(meter.say(now, need, is_over=now >= meter.ends))
        return said or None

    def _words(self, said: list[Said]) -> list[Mapping[str, Any]]:
        return [each.words for each in said]

    def _heard(self, said: list[Said], rows: list[Any], sent_at: float) -> None:
        now = time.monotonic()
        of_periods = {(row.budget_id, row.period_id): row for row in rows}
        of_budgets = {budget: row for (budget, _), row in of_periods.items()}
        for each in said:
            meter = each.meter
            row = of_periods.get((meter.budget.id, meter.period)) if meter.period is not None else None
            if meter.period is None and (row := of_budgets.get(meter.budget.id)) is not None:
                same = next(
                    (m for m in self._former if m.period == row.period_id and m.budget.id == row.budget_id), None
                )
                if same is not None:
                    self._former.remove(same)
                    meter.goes_on_in(same)
                    self._meters[meter.budget.id] = same
                    same.ends = now + (row.ends_in or 0.0)
                    continue
            if row is None:  # the budget is not there any more
                self._forget(meter)
            else:
                meter.heard(each, row, sent_at, now, self._lives)

    def _forget(self, meter: Meter) -> None:
        """Have a meter whose budget was deleted lead nowhere: what is settled there counts in no budget."""
        if self._meters.get(meter.budget.id) is meter:
            del self._meters[meter.budget.id]
        with contextlib.suppress(ValueError):
            self._former.remove(meter)
        for waiter in self._waiting:
            waiter.budgets = [budget for budget in waiter.budgets if budget.id != meter.budget.id]


leases = Leases()
"""The process's."""


@atexit.register
def _leave() -> None:
    leases.flush(AT_EXIT)


os.register_at_fork(after_in_child=leases._reset)  # noqa: SLF001 - same module; what is lent is the parent's
