"""Calls that wait for a rate limit: first come first served within a feature, the features in turn. No I/O, no lock."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ..errors import RateLimited
from ..resolving.rate_limits import RateLimit
from .rate_meters import RateMeter

HURRIED_MS: Final = 2000
"""Who waits for less is told by the thread that hears the store."""


class RateWaits(NamedTuple):
    """What rate limits on calls did to calls of this process since it began."""

    calls: int
    """That waited before they went through."""
    seconds: float
    """That these waited, in all."""
    refused: Mapping[int, int]
    """The id of a rate limit -> calls that it did not let through."""


class RateCount:
    """Counts that. Who counts has the lock of :mod:`.rates`."""

    def __init__(self) -> None:
        self._calls, self._seconds = 0, 0.0
        self._refused: Counter[int] = Counter()

    def waited(self, seconds: float) -> None:
        """Count a call that went through after so long."""
        self._calls += 1
        self._seconds += seconds

    def refused(self, limit: int) -> None:
        """Count a call that a rate limit did not let through."""
        self._refused[limit] += 1

    def told(self) -> RateWaits:
        """Return what was counted."""
        return RateWaits(self._calls, self._seconds, dict(self._refused))


counted: Final = RateCount()
"""Of this process."""


class Permit:
    """What one attempt of a call has of rate limits. End it once; again changes nothing."""

    __slots__ = ("_is_ended", "meters", "tokens")

    def __init__(self, meters: Sequence[RateMeter], tokens: float) -> None:
        self.meters, self.tokens = meters, tokens
        self._is_ended = False

    def put(self, tokens: float | None) -> None:
        """Have the call end, with *tokens* used; None: undone, nothing counts. Of :class:`~.rates.Rates`, which has the lock."""
        if self._is_ended:
            return
        self._is_ended = True
        for meter in self.meters:
            meter.end((tokens or 0.0) - self.tokens, is_undone=tokens is None)


class RateWaiter:
    """A call that waits until there is room, or has waited long enough."""

    __slots__ = ("feature", "limits", "patience", "permit", "problem", "ready", "since", "tokens")

    ready: Callable[[], object]
    """What wakes it, once it waits."""

    def __init__(
        self,
        limits: Sequence[RateLimit],
        tokens: float,
        feature: str | None,
        patience: float,
    ) -> None:
        self.limits, self.tokens, self.feature = limits, tokens, feature
        self.patience, self.since = patience, time.monotonic()
        self.permit: Permit | None = None
        self.problem: RateLimited | None = None

    @property
    def is_hurried(self) -> bool:
        """Whether it is to be told as soon as the store has answered that there is no room."""
        return any(limit.when_full == "refuse" or limit.max_wait_ms < HURRIED_MS for limit in self.limits)

    @property
    def is_answered(self) -> bool:
        """Whether the wait is over."""
        return self.permit is not None or self.problem is not None

    def undo(self) -> None:
        """Give back what it got. Of whoever has the lock."""
        if self.permit is not None:
            self.permit.put(None)


_Line = tuple[str | None, tuple[int, ...]]
"""A feature and rate limits: calls that differ in these do not wait behind each other."""


class RateQueue:
    """Who waits. The line whose turn it is comes first; once a call of it has passed it is last."""

    def __init__(self) -> None:
        self._lines: dict[_Line, deque[RateWaiter]] = {}
        self._of_limit: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[RateWaiter]:
        """Yield who waits, in the order of the lines."""
        for line in list(self._lines.values()):
            yield from list(line)

    def has(self, limits: Sequence[RateLimit]) -> bool:
        """Whether somebody waits for one of these."""
        return bool(self._of_limit) and any(limit.id in self._of_limit for limit in limits)

    def put(self, waiter: RateWaiter) -> None:
        """Have somebody wait."""
        self._lines.setdefault(_line_of(waiter), deque()).append(waiter)
        for limit in waiter.limits:
            self._of_limit[limit.id] = self._of_limit.get(limit.id, 0) + 1

    def remove(self, waiter: RateWaiter) -> None:
        """Have somebody wait no more; if they do not, nothing is changed."""
        line = self._lines.get(_line_of(waiter))
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        if not line:
            del self._lines[_line_of(waiter)]
        for limit in waiter.limits:
            self._of_limit[limit.id] -= 1
            if not self._of_limit[limit.id]:
                del self._of_limit[limit.id]

    def serve(self, passes: Callable[[RateWaiter], bool]) -> list[RateWaiter]:
        """Let calls pass as long as *passes* does, the lines in turn; return them. Nobody overtakes who waits for the same rate limit.

        Args:
            passes: Lets a call through, if there is room for it.
        """
        served: list[RateWaiter] = []
        is_going = True
        while is_going:
            is_going = False
            blocked: set[int] = set()
            for key in list(self._lines):
                if blocked.intersection(key[1]):
                    continue
                waiter = self._lines[key][0]
                if not passes(waiter):
                    blocked.update(key[1])
                    continue
                self.remove(waiter)
                if (line := self._lines.pop(key, None)) is not None:
                    self._lines[key] = line  # behind the others
                served.append(waiter)
                is_going = True
        return served

    def needs(self) -> dict[int, list[float]]:
        """Return rate limit -> the tokens of who waits for it, in turn."""
        found: dict[int, list[float]] = {}
        for waiter in self:
            for limit in waiter.limits:
                found.setdefault(limit.id, []).append(waiter.tokens)
        return found


def _line_of(waiter: RateWaiter) -> _Line:
    return waiter.feature, tuple(limit.id for limit in waiter.limits)
