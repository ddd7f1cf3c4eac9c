"""Money of budgets, lent by the store to this process for seconds: calls reserve and settle in memory, one thread tells the store.

A call holds the most that it can cost from before it is sent until it is settled, in every budget that it counts against, or in
none. What is lent is this process's alone, so a hard budget is never passed by calls that cost what they reserved. A lease ends
by itself: what a process held that was killed is free again after :data:`LIVES`, but for what was in flight, which counts as spent.
docs/decisions/budgets-by-leases.md says why.
"""

import asyncio
import atexit
import contextlib
import os
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from ..postgres import threads
from ..resolving.budgets import Budget
from .holds import Hold, Waiter, refused
from .lease_line import LeaseLine, Unanswered
from .meters import NOTHING, BudgetStanding, Meter, Said

LIVES: Final = 10.0
"""Seconds that a lease lives after the last word of its holder."""
EVERY: Final = 0.25
"""Seconds between two words to the store, while there is something to say."""
AGAIN: Final = 0.05
"""The same while a call waits for what others hold."""
HELD: Final = 1.0
"""Seconds that a call waits for money that others hold."""
SILENCE: Final = 2.0
"""Seconds after which a store that does not answer is away."""
GRACE: Final = 1.0
"""Seconds of an outage in which calls wait, if they have nothing lent: a line that was cut is there again sooner."""
SPACING: Final = 0.005
"""Seconds between two words at least."""
BACKOFF: Final = (0.1, 0.5)
AT_EXIT: Final = 2.0
"""Seconds that a process which ends waits until all is told."""
IDLE: Final = 30.0
"""Seconds without a word after which the connection is closed."""


class Leases:
    """All that this process holds of budgets. The process has one: :data:`leases`.

    Args:
        url: Of the store's primary; None: as the environment says.
        lives: Seconds that a lease lives; at most 10.
    """

    def __init__(self, url: str | None = None, *, lives: float = LIVES) -> None:
        self._url, self._lives = url, lives
        self._reset()

    def _reset(self) -> None:
        self.holder = uuid.uuid4()
        self._lock = threading.Lock()
        self._settled: deque[tuple[Hold, Decimal, bool, bool]] = deque()
        """What is settled and not booked yet. Whoever settles may be a finaliser, in a thread that has the lock."""
        self._meters: dict[int, Meter] = {}
        self._former: list[Meter] = []
        """Of periods that are over."""
        self._waiting: deque[Waiter] = deque()
        self._left: deque[Waiter] = deque()
        """Who was interrupted while it waited, and is not taken out yet: as with what is settled."""
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # finalisers may ring it, unlike an Event
        self._is_rung = False
        self._dozes = True
        """Whether the thread sleeps until somebody rings."""
        self._said: list[Said] = []
        """What has no answer yet."""
        self._number = 0
        self._of_parent = getattr(
            self, "_line", None
        )  # after a fork: its connection is the parent's, and is not closed
        self._line = LeaseLine(self._url, self.holder, self._lives)
        self._thread: threading.Thread | None = None
        self._why_no_thread: str | None = None
        self._not_before = float("-inf")
        self._asked_at: float | None = None
        """Since when the store is asked without an answer."""
        self._away: Unanswered | None = None
        """Why the store is away; None: it is not."""
        self._away_since = 0.0
        self._closed = False

    # Calls

    def reserve(self, budgets: Sequence[Budget], amount: Decimal, *, patience: float = SILENCE) -> Hold:
        """Reserve *amount* US dollars in all *budgets*, or in none; what is 0 always has room.

        Waits only where the lease has too little: until the store has said more, at most *patience* seconds.

        Raises:
            BudgetExceeded: If a hard budget has no room, or the store is away and the budget is closed then.
        """
        if (found := self._at_once(budgets, amount)) is not None:
            return found
        event = threading.Event()
        waiter = self._begin(budgets, amount, event.set)
        with self._waited_for(waiter):
            if not waiter.is_answered:
                event.wait(patience)
        return self._outcome(waiter)

    async def reserve_async(self, budgets: Sequence[Budget], amount: Decimal, *, patience: float = SILENCE) -> Hold:
        """As :meth:`reserve`, for the running event loop, which goes on meanwhile."""
        if (found := self._at_once(budgets, amount)) is not None:
            return found
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        def ready() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(wake)

        waiter = self._begin(budgets, amount, ready)
        with self._waited_for(waiter):
            if not waiter.is_answered:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(future, patience)
        return self._outcome(waiter)

    def settle(self, hold: Hold, cost: Decimal, *, estimated: bool = False, unpriced: bool = False) -> None:
        """Put what a call did cost in the place of its reserve. Never waits and never raises; a second time changes nothing.

        Args:
            hold: Of :meth:`reserve`.
            cost: US dollars; 0 for a call that cost nothing.
            estimated: Whether the cost was computed from lengths.
            unpriced: Whether nobody knows the price; the cost is 0 then.
        """
        self._settled.append((hold, cost, estimated, unpriced))
        while self._settled and self._lock.acquire(blocking=False):  # who has the lock books it else
            try:
                self._book()
            finally:
                self._lock.release()
        if self._dozes or self._waiting:  # the thread answers who waits: here one might be this very thread
            self._ring()

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
                untold = any(meter.has_untold for meter in self._all())
                for meter in self._all():
                    meter.reserved_at = float("-inf")  # no call is to come: all that is free goes back
                held = any(meter.granted > meter.in_flight for meter in self._all())
                if untold or held:
                    self._start()
            if not (untold or held):
                return True
            if time.monotonic() >= deadline:
                return not untold
            self._ring()
            time.sleep(0.01)

    def close(self) -> None:
        """End the thread; what is untold stays so: :meth:`flush` before."""
        self._closed = True
        self._ring()
        if self._thread is not None:
            self._thread.join(5)

    def _at_once(self, budgets: Sequence[Budget], amount: Decimal) -> Hold | None:
        """Reserve of what is lent, where nobody waits; None: there is more to it."""
        now = time.monotonic()
        with self._lock:
            if self._settled or self._left:
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

    def _begin(self, budgets: Sequence[Budget], amount: Decimal, ready: Callable[[], object]) -> Waiter:
        now = time.monotonic()
        waiter = Waiter(budgets, amount, now, ready)
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

    @contextlib.contextmanager
    def _waited_for(self, waiter: Waiter) -> Iterator[None]:
        """Wait in the block; then the wait is over, whatever it has brought. Who is interrupted holds nothing."""
        try:
            yield
        except BaseException:  # perhaps of a coroutine that is collected, in a thread that has the lock
            self._left.append(waiter)
            self._ring()
            raise
        with self._lock:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
            if not waiter.is_answered:
                self._try(waiter, time.monotonic(), is_last=True)

    def _outcome(self, waiter: Waiter) -> Hold:
        if waiter.hold is None:
            refused[waiter.problem.reason if waiter.problem else "held"] += 1
            raise waiter.problem or AssertionError("a wait has no outcome")
        return waiter.hold

    # With the lock

    def _book(self) -> None:
        while self._settled:
            hold, cost, estimated, unpriced = self._settled.popleft()
            hold.put(cost, estimated=estimated, unpriced=unpriced)
        while self._left:
            waiter = self._left.popleft()
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
            if waiter.hold is not None:
                waiter.hold.put(NOTHING, estimated=False, unpriced=False)

    def _all(self) -> list[Meter]:
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
        away = self._is_away(now)
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

    def _is_away(self, now: float) -> str | None:
        """Return why the store is away; None: it is not."""
        if self._thread is None:
            return self._why_no_thread
        if self._asked_at is not None and now - self._asked_at > SILENCE:
            return "the database does not answer"
        if self._away is None or (not self._away.lasting and now - self._away_since < GRACE):
            return None
        return str(self._away)

    def _start(self) -> None:
        if self._thread is not None or self._closed or time.monotonic() < self._not_before:
            return
        try:
            self._thread = threads.start(self._run, "llm-settings leases", self._bell)
        except threads.NoThread as error:
            self._not_before = time.monotonic() + threads.AGAIN
            self._why_no_thread = str(error)

    # The thread

    def _ring(self) -> None:
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    def _run(self, bell: "queue.SimpleQueue[None]") -> None:
        wait, used = BACKOFF[0], time.monotonic()
        pause = 0.0
        while not self._closed and bell is self._bell:
            self._sleep(pause)
            try:
                said = self._message()
                if not said:
                    pause = self._pause()
                    if time.monotonic() - used > IDLE:
                        self._line.close()
                    continue
                used = time.monotonic()
                self._tell(said)
            except Exception as error:  # noqa: BLE001 - without this thread no call would have room
                with self._lock:
                    if self._away is None:
                        self._away_since = time.monotonic()
                    self._asked_at = None
                    self._away = error if isinstance(error, Unanswered) else Unanswered(type(error).__name__)
                    self._retry(time.monotonic())
                time.sleep(wait)
                wait, pause = min(wait * 2, BACKOFF[1]), 0.0
            else:
                wait, pause = BACKOFF[0], self._pause()
        self._line.close()

    def _sleep(self, pause: float) -> None:
        """Wait until somebody rings, or *pause* seconds; what rings more often than that is heard at the next word."""
        time.sleep(SPACING)
        self._dozes = pause > EVERY
        with contextlib.suppress(queue.Empty):
            self._bell.get(block=pause > 0, timeout=pause or None)
        self._is_rung = self._dozes = False

    def _pause(self) -> float:
        with self._lock:
            if self._waiting:
                return AGAIN
            return EVERY if any(not meter.is_done for meter in self._all()) else IDLE

    def _message(self) -> list[Said]:
        """Return what is to be said now: what has no answer, word for word; else the news of all meters."""
        with self._lock:
            self._book()
            now = time.monotonic()
            if self._waiting:
                self._retry(now)
            if self._said:
                return self._said
            needs: dict[int, list[Decimal]] = {}
            for waiter in self._waiting:
                for budget in waiter.budgets:
                    meter = self._meter(budget, now)
                    if not meter.has(waiter.amount, now):
                        needs.setdefault(budget.id, []).append(waiter.amount)
            self._former = [meter for meter in self._former if not meter.is_done]
            current = [(meter, needs.get(budget_id, [])) for budget_id, meter in self._meters.items()]
            for meter, need in (*((meter, []) for meter in self._former), *current):
                if (meter.is_low() and now - meter.told_at > AGAIN) or meter.has_news(now, is_needed=bool(need)):
                    self._said.append(meter.say(now, need, is_over=now >= meter.ends))
            if self._said:
                self._number += 1
                self._asked_at = now
            return self._said

    def _tell(self, said: list[Said]) -> None:
        """Ask the store, and take in what it answers; raises Unanswered."""
        sent_at = time.monotonic()
        with self._lock:
            self._asked_at = sent_at if self._asked_at is None else self._asked_at
        rows = {
            (row.budget_id, row.period_id): row for row in self._line.ask(self._number, [each.words for each in said])
        }
        now = time.monotonic()
        with self._lock:
            self._asked_at = self._away = None
            of_budgets = {budget: row for (budget, _), row in rows.items()}
            for each in said:
                meter = each.meter
                row = rows.get((meter.budget.id, meter.period)) if meter.period is not None else None
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
            self._said = []
            self._book()
            self._retry(now)

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
