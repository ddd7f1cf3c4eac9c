"""Rate limits on calls, lent by the store to this process for seconds: calls pass in memory, one thread tells the store.

A call takes one request, its tokens and a place of every rate limit that it counts against, or of none. What is lent is this process's alone. A
place is given back when the call ends; those of a process that died come back when its lease ends. While the store is away a
process uses what it was lent and then lets calls through: a rate limit guards the vendor, who says so himself, not money.
docs/decisions/rates-by-leases.md says why.
"""

import atexit
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..resolving.rate_limits import RateLimit
from . import gates
from .borrowing import AGAIN, EVERY, IDLE, SILENCE, Borrower
from .lease_line import RATES, Unanswered
from .rate_meters import RateFigure, RateMeter, RateSaid
from .rate_queue import Permit, RateQueue, RateWaiter, counted

AT_EXIT: Final = 1.0
"""Seconds that a process which ends waits until its places are given back."""
WARNED: Final = 60.0
"""Seconds between two lines of the log that say that nothing is limited."""

_log = logging.getLogger(__name__)


_Told = tuple[list[RateSaid], list[dict[str, Any]]]
"""Of rate limits, and of gates."""


class Rates(Borrower[RateWaiter, tuple[Permit, float | None], _Told]):
    """All that this process has of rate limits. The process has one: :data:`rates`."""

    _asks, _name, _spacing = RATES, "llm-settings rates", 0.002

    def _reset(self) -> None:
        super()._reset()
        self._meters: dict[int, RateMeter] = {}
        self._waiting: RateQueue = RateQueue()
        self._is_gate_closed = False
        """Whether a vendor let nothing through, and the store is to be told though there is no rate limit."""
        self._gates_not_before = float("-inf")
        self._warned_at = float("-inf")

    # Calls

    def at_once(self, limits: Sequence[RateLimit], tokens: float) -> Permit | None:
        """Let a call through by what is lent, if nobody waits; None: it has to wait."""
        now = time.monotonic()
        with self._lock:
            if self._ended or self._left:
                self._book()
            if self._thread is None or self._waiting.has(limits):
                return None
            meters = []
            for limit in limits:
                meter = self._meters.get(limit.id)
                if meter is None or meter.limit != limit or meter.lacks(tokens, now) is not None:
                    return None
                meters.append(meter)
            is_low = False
            for meter in meters:
                meter.take(tokens, now)
                is_low = is_low or (now - meter.told_at > AGAIN and meter.is_low)
        if is_low or self._dozes:
            self._ring()
        return Permit(meters, tokens)

    def enter(self, limits: Sequence[RateLimit], tokens: float, feature: str | None, *, patience: float) -> Permit:
        """Let a call through once there is room in all *limits*.

        Args:
            limits: What it counts against.
            tokens: That it uses, as far as is known before.
            feature: In whose line it waits.
            patience: Seconds that it waits at most, whatever a rate limit says.

        Raises:
            RateLimited: If there is none in time; nothing was taken.
        """
        return self._outcome(self._wait(RateWaiter(limits, tokens, feature, patience)))

    async def enter_async(
        self, limits: Sequence[RateLimit], tokens: float, feature: str | None, *, patience: float
    ) -> Permit:
        """As :meth:`enter`, for the running event loop, which goes on meanwhile."""
        return self._outcome(await self._wait_async(RateWaiter(limits, tokens, feature, patience)))

    def end(self, permit: Permit, tokens: float | None) -> None:
        """Have a call end: its place is free. Never waits and never raises; a second time changes nothing.

        Args:
            permit: Of :meth:`enter`.
            tokens: That it used; None: it was not sent after all, and counts nowhere.
        """
        self._end((permit, tokens))

    def flush(self, timeout: float = AT_EXIT) -> bool:
        """Tell all, and give back what is free, at most *timeout* seconds; return whether the store knows all."""
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                self._book()
                if self._thread is None:
                    return not self._meters
                for meter in self._meters.values():
                    meter.used_at = float("-inf")  # no call is to come: all that is free goes back
                if not any(meter.has_untold or meter.is_lent or not meter.is_told for meter in self._meters.values()):
                    return True
            if time.monotonic() >= deadline:
                return False
            self._ring()
            time.sleep(0.01)

    def ring(self) -> None:
        """Have the thread tell, if there is one."""
        if self._thread is not None:
            self._ring()

    def tell_gates(self) -> None:
        """Have the thread tell that a vendor lets nothing through, also where no rate limit counts."""
        with self._lock:
            self._start()
        self._is_gate_closed = True
        self.ring()

    def _begin(self, waiter: RateWaiter) -> RateWaiter:
        now = waiter.since
        with self._lock:
            self._book()
            self._start()
            for limit in waiter.limits:
                self._meter(limit, now)
            self._waiting.put(waiter)
            self._retry(now)
        if not waiter.is_answered or self._dozes:
            self._ring()
        return waiter

    def _due(self, waiter: RateWaiter) -> float | None:
        now = time.monotonic()
        with self._lock:
            if not waiter.is_answered:
                self._retry(now)
            if waiter.is_answered or self._expired(waiter, now):
                return None
            return max(self._ends(waiter, now)[0] - now, 0.001)

    def _expired(self, waiter: RateWaiter, now: float) -> bool:
        """Refuse a call that has waited long enough; return whether it has. Of whoever has the lock."""
        ends, meter, figure = self._ends(waiter, now)
        if now < ends or meter is None:
            return False
        self._waiting.remove(waiter)
        meter.refused += 1
        counted.refused(meter.limit.id)
        waiter.problem = meter.limited(figure, waiter.tokens)
        return True

    def _ends(self, waiter: RateWaiter, now: float) -> tuple[float, RateMeter | None, RateFigure]:
        """Return when a call has waited long enough, and for what."""
        meters = [self._meter(limit, now) for limit in waiter.limits]
        lacking = [(meter, figure) for meter in meters if (figure := meter.lacks(waiter.tokens, now)) is not None]
        found: tuple[float, RateMeter | None, RateFigure] = (now + AGAIN, None, "max_concurrent")
        for meter, figure in lacking or [(meter, meter.figure) for meter in meters]:  # it may wait behind others alone
            longest = meter.limit.max_wait_ms / 1000 if meter.limit.when_full == "wait" else 0.0
            if meter.answered_at < waiter.since:  # only the store knows; if it does not answer it is away
                longest = max(longest, SILENCE + AGAIN)
            ends = waiter.since + min(longest, waiter.patience)
            if found[1] is None or ends < found[0]:
                found = (ends, meter, figure)
        return found

    def _outcome(self, waiter: RateWaiter) -> Permit:
        if waiter.permit is None:
            raise waiter.problem or AssertionError("a wait has no outcome")
        return waiter.permit

    # With the lock

    def _put_ended(self) -> None:
        while self._ended:
            permit, tokens = self._ended.popleft()
            permit.put(tokens)

    def _lent(self) -> Sequence[RateMeter]:
        return list(self._meters.values())

    def _meter(self, limit: RateLimit, now: float) -> RateMeter:
        meter = self._meters.get(limit.id)
        if meter is None:
            meter = self._meters[limit.id] = RateMeter(limit, now)
        elif meter.limit is not limit and meter.limit != limit:
            meter.set(limit)
        return meter

    def _retry(self, now: float) -> None:
        """Let through who waits, in turn."""
        if not len(self._waiting):
            return
        is_open = self._is_away(now)

        def passes(waiter: RateWaiter) -> bool:
            meters = [self._meter(limit, now) for limit in waiter.limits]
            if not is_open and any(meter.lacks(waiter.tokens, now) is not None for meter in meters):
                return False
            took = now - waiter.since
            if took > AGAIN and meters:
                counted.waited(took)
            for meter in meters:
                meter.take(waiter.tokens, now)
                if took > AGAIN:
                    meter.waited += 1
                    meter.waited_for += took
            waiter.permit = Permit(meters, waiter.tokens)
            return True

        for waiter in self._waiting.serve(passes):
            waiter.ready()

    def _is_away(self, now: float) -> bool:
        """Return whether the store is away, so that nothing is limited."""
        why = self._why_away(now)
        if why is not None and now - self._warned_at > WARNED:
            self._warned_at = now
            _log.warning("Rate limits on calls let everything through meanwhile: %s.", why)
        return why is not None

    def _failed(self, why: Unanswered, now: float) -> None:
        if self._said is not None and not self._said[0]:  # of gates alone: not said again, and nobody waits for it
            self._asked_at, self._said, self._gates_not_before = None, None, now + gates.REFUSED
            return
        super()._failed(why, now)

    # The store

    def _quiet(self) -> float:
        """As usual, or until the store is to be told of gates."""
        return max(min(self._gates_not_before - time.monotonic(), IDLE), EVERY) if self._is_gate_closed else IDLE

    def _news(self, now: float) -> _Told | None:
        needs = self._waiting.needs()
        said = [
            meter.say(now, needs.get(number, []))
            for number, meter in self._meters.items()
            if (meter.is_low and now - meter.told_at > AGAIN and now - meter.used_at < EVERY)
            or meter.has_news(now, is_needed=number in needs)
        ]
        told = []
        if self._meters or (self._is_gate_closed and now >= self._gates_not_before):
            told, self._is_gate_closed, self._gates_not_before = gates.gates.news(), False, now + gates.PAUSE
        return (said, told) if said or told else None

    def _words(self, said: _Told) -> dict[str, Any]:
        words: dict[str, Any] = {"limits": [each.words for each in said[0]]}
        if said[1]:
            words["gates"] = said[1]
        return words

    def _heard(self, said: _Told, rows: list[Any], sent_at: float) -> None:
        answer: Mapping[str, Any] = rows[0].answer
        of_limits = {each["l"]: each for each in answer["limits"]}
        gates.gates.hear(answer["gates"])
        if not said[0]:
            self._line.close()  # it may be long until there is more of this
        for each in said[0]:
            found = of_limits.get(each.meter.limit.id)
            if found is not None:
                each.meter.heard(found, sent_at, self._lives)
            else:  # the rate limit is not there any more
                self._forget(each.meter)

    def _answered(self) -> None:
        now = time.monotonic()
        for waiter in [each for each in self._waiting if each.is_hurried]:
            if self._expired(waiter, now):
                waiter.ready()

    def _forget(self, meter: RateMeter) -> None:
        """Have a rate limit that was deleted limit nothing: who waits for it passes."""
        self._meters.pop(meter.limit.id, None)
        for waiter in self._waiting:
            if any(limit.id == meter.limit.id for limit in waiter.limits):
                self._waiting.remove(waiter)
                left = [limit for limit in waiter.limits if limit.id != meter.limit.id]
                waiter.limits = left
                self._waiting.put(waiter)


rates = Rates()
"""What this process has of rate limits."""
gates.when_closed.append(lambda: rates.tell_gates())  # noqa: PLW0108 - whichever it is then
os.register_at_fork(after_in_child=rates._reset)  # noqa: SLF001 - same module; what is lent is the parent's
atexit.register(rates.flush)
