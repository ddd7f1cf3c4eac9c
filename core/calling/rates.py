"""Rate limits on calls, lent by the store to this process for seconds: calls pass in memory, one thread tells the store.

A call takes one request, its tokens and a place of every rate limit that it counts against, or of none. What is lent is this process's alone. A
place is given back when the call ends; those of a process that died come back when its lease ends. While the store is away a
process uses what it was lent and then lets calls through: a rate limit guards the vendor, who says so himself, not money.
docs/decisions/rates-by-leases.md says why.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..postgres import threads
from ..resolving.rate_limits import RateLimit
from . import gates
from .lease_line import RATES, LeaseLine, Unanswered
from .rate_meters import RateFigure, RateMeter, RateSaid
from .rate_queue import Permit, RateQueue, RateWaiter, counted

LIVES: Final = 10.0
"""Seconds that a lease lives after the last word of its holder."""
EVERY: Final = 0.25
"""Seconds between two words to the store, while there is something to say."""
AGAIN: Final = 0.05
"""The same while a call waits."""
SILENCE: Final = 2.0
"""Seconds after which a store that does not answer is away."""
GRACE: Final = 1.0
"""Seconds of an outage in which calls wait, if they have nothing lent: a line that was cut is there again sooner."""
SPACING: Final = 0.002
"""Seconds between two words at least."""
BACKOFF: Final = (0.1, 0.5)
AT_EXIT: Final = 1.0
"""Seconds that a process which ends waits until its places are given back."""
IDLE: Final = 30.0
"""Seconds without a word after which the connection is closed."""
WARNED: Final = 60.0
"""Seconds between two lines of the log that say that nothing is limited."""

_log = logging.getLogger(__name__)


class Rates:
    """All that this process has of rate limits. The process has one: :data:`rates`.

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
        self._ended: deque[tuple[Permit, float | None]] = deque()
        """Calls that ended and are not booked yet. Who ends one may be a finaliser, in a thread that has the lock."""
        self._meters: dict[int, RateMeter] = {}
        self._waiting = RateQueue()
        self._left: deque[RateWaiter] = deque()
        """Who was interrupted while it waited, and is not taken out yet: as with what ended."""
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # finalisers may ring it, unlike an Event
        self._is_rung = False
        self._dozes = True
        """Whether the thread sleeps until somebody rings."""
        self._said: tuple[list[RateSaid], list[dict[str, Any]]] | None = None
        """What has no answer yet."""
        self._is_gate_closed = False
        """Whether a vendor let nothing through, and the store is to be told though there is no rate limit."""
        self._gates_not_before = float("-inf")
        self._number = 0
        self._of_parent = getattr(self, "_line", None)  # after a fork: it is the parent's, and is not closed
        self._line = LeaseLine(self._url, self.holder, self._lives, asks=RATES, name="llm-settings rates")
        self._thread: threading.Thread | None = None
        self._why_no_thread: str | None = None
        self._not_before = float("-inf")
        self._asked_at: float | None = None
        """Since when the store is asked without an answer."""
        self._away: Unanswered | None = None
        self._away_since = 0.0
        self._warned_at = float("-inf")
        self._closed = False

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
        event = threading.Event()
        waiter = self._begin(RateWaiter(limits, tokens, feature, patience, event.set))
        with self._waited_for(waiter):
            while (left := self._due(waiter)) is not None:
                event.wait(left)
        return self._outcome(waiter)

    async def enter_async(
        self, limits: Sequence[RateLimit], tokens: float, feature: str | None, *, patience: float
    ) -> Permit:
        """As :meth:`enter`, for the running event loop, which goes on meanwhile."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        def ready() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(wake)

        waiter = self._begin(RateWaiter(limits, tokens, feature, patience, ready))
        with self._waited_for(waiter):
            while (left := self._due(waiter)) is not None:
                await asyncio.wait({future}, timeout=left)
        return self._outcome(waiter)

    def end(self, permit: Permit, tokens: float | None) -> None:
        """Have a call end: its place is free. Never waits and never raises; a second time changes nothing.

        Args:
            permit: Of :meth:`enter`.
            tokens: That it used; None: it was not sent after all, and counts nowhere.
        """
        self._ended.append((permit, tokens))
        while self._ended and self._lock.acquire(blocking=False):  # who has the lock books it else
            try:
                self._book()
            finally:
                self._lock.release()
        if self._dozes or len(self._waiting):  # the thread answers who waits: here one might be this very thread
            self._ring()

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

    def close(self) -> None:
        """End the thread; what is untold stays so: :meth:`flush` before."""
        self._closed = True
        self._ring()
        if self._thread is not None:
            self._thread.join(5)

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
        """Return how long a call is to wait before it is looked at again; None: the wait is over."""
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

    @contextlib.contextmanager
    def _waited_for(self, waiter: RateWaiter) -> Iterator[None]:
        """Wait in the block. Who is interrupted has nothing."""
        try:
            yield
        except BaseException:  # perhaps of a coroutine that is collected, in a thread that has the lock
            self._left.append(waiter)
            self._ring()
            raise

    def _outcome(self, waiter: RateWaiter) -> Permit:
        if waiter.permit is None:
            raise waiter.problem or AssertionError("a wait has no outcome")
        return waiter.permit

    # With the lock

    def _book(self) -> None:
        while self._ended:
            permit, tokens = self._ended.popleft()
            permit.put(tokens)
        while self._left:
            waiter = self._left.popleft()
            self._waiting.remove(waiter)
            if waiter.permit is not None:
                waiter.permit.put(None)

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
        why: str | None = None
        if self._thread is None:
            why = self._why_no_thread
        elif self._asked_at is not None and now - self._asked_at > SILENCE:
            why = "the database does not answer"
        elif self._away is not None and (self._away.lasting or now - self._away_since >= GRACE):
            why = str(self._away)
        if why is not None and now - self._warned_at > WARNED:
            self._warned_at = now
            _log.warning("Rate limits on calls let everything through meanwhile: %s.", why)
        return why is not None

    def _start(self) -> None:
        if self._thread is not None or self._closed or time.monotonic() < self._not_before:
            return
        try:
            self._thread = threads.start(self._run, "llm-settings rates", self._bell)
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
                if not self._prepare():
                    pause = self._pause()
                    if time.monotonic() - used > IDLE:
                        self._line.close()
                    continue
                used = time.monotonic()
                self._tell()
            except Exception as error:  # noqa: BLE001 - without this thread nothing would be limited
                with self._lock:
                    self._failed(error if isinstance(error, Unanswered) else Unanswered(type(error).__name__))
                time.sleep(wait)
                wait, pause = min(wait * 2, BACKOFF[1]), 0.0
            else:
                wait, pause = BACKOFF[0], self._pause()
        self._line.close()

    def _failed(self, why: Unanswered) -> None:
        now = time.monotonic()
        self._asked_at = None
        if (
            self._said is not None and not self._said[0]
        ):  # of gates alone: it is not said again, and nobody waits for it
            self._said, self._gates_not_before = None, now + gates.REFUSED
            return
        if self._away is None:
            self._away_since = now
        self._away = why
        self._retry(now)

    def _sleep(self, pause: float) -> None:
        """Wait until somebody rings, or *pause* seconds."""
        time.sleep(SPACING)
        self._dozes = pause > EVERY
        with contextlib.suppress(queue.Empty):
            self._bell.get(block=pause > 0, timeout=pause or None)
        self._is_rung = self._dozes = False

    def _pause(self) -> float:
        with self._lock:
            if len(self._waiting):
                return AGAIN
            if any(not meter.is_done for meter in self._meters.values()):
                return EVERY
            return max(min(self._gates_not_before - time.monotonic(), IDLE), EVERY) if self._is_gate_closed else IDLE

    def _prepare(self) -> bool:
        """Put together what is to be said now, unless something has no answer yet; return whether there is any."""
        with self._lock:
            self._book()
            now = time.monotonic()
            self._retry(now)
            if self._said is not None:
                return True
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
            if not (said or told):
                return False
            self._said = (said, told)
            self._number += 1
            self._asked_at = now
            return True

    def _tell(self) -> None:
        """Ask the store, and take in what it answers; raises Unanswered."""
        assert self._said is not None  # noqa: S101 - for the type checker: _prepare says so
        said, told = self._said
        sent_at = time.monotonic()
        with self._lock:
            self._asked_at = sent_at if self._asked_at is None else self._asked_at
        words: dict[str, Any] = {"limits": [each.words for each in said]}
        if told:
            words["gates"] = told
        answer: Mapping[str, Any] = self._line.ask(self._number, words)[0].answer
        of_limits = {each["l"]: each for each in answer["limits"]}
        gates.gates.hear(answer["gates"])
        if not said:
            self._line.close()  # it may be long until there is more of this
        with self._lock:
            self._asked_at = self._away = None
            for each in said:
                found = of_limits.get(each.meter.limit.id)
                if found is not None:
                    each.meter.heard(found, sent_at, self._lives)
                else:  # the rate limit is not there any more
                    self._forget(each.meter)
            self._said = None
            self._book()
            now = time.monotonic()
            self._retry(now)
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
