"""One rate limit in this process's memory: what of its requests, tokens and places is lent, and used. No I/O, no lock.

Who calls has the lock of :mod:`.rates`. Durations are of the monotonic clock.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from ..errors import RateLimited
from ..resolving.rate_limits import RateLimit

AHEAD: Final = 2.0
"""So many seconds of what is used a process wants lent."""
QUIET: Final = 0.5
"""Seconds without a call after which what is free is given back."""
RENEWED: Final = 3.0
"""Seconds after which a lease is renewed, where there is nothing else to say."""
SURE: Final = 0.8
"""The part of a lease's life in which it is used: the rest is for clocks that do not agree."""
FIRST: Final = 0.1
"""The part of the burst that a process asks for before its pace is known."""
A_PLACE: Final = 1.0
"""Seconds after which a place may be free: nobody knows how long calls take."""
_MEASURED: Final = 0.2
"""Seconds over which the pace is measured at least."""
_TINY: Final = 1e-6

RateFigure = Literal["requests_per_minute", "tokens_per_minute", "max_concurrent"]


class Flow:
    """Requests, or tokens, of a rate limit: what fills again with time."""

    __slots__ = ("_measured_at", "_since", "burst", "free", "granted", "kept", "level", "pace", "per_second", "used")

    def __init__(self, now: float) -> None:
        self.free = self.used = 0.0
        """Of what is lent; and not told yet."""
        self.granted = self.kept = self.level = 0.0
        """As the store has it: lent here, and left there."""
        self.per_second: float | None = None
        """None: not limited."""
        self.burst = math.inf
        self.pace, self._since, self._measured_at = 0.0, 0.0, now

    def set(self, per_minute: int | None, burst_seconds: float) -> None:
        """Have the figures of the newest settings."""
        self.per_second = None if per_minute is None else per_minute / 60
        self.burst = math.inf if per_minute is None else per_minute / 60 * burst_seconds

    def least(self, amount: float) -> float:
        """Return what has to be there for a call: one that is larger than the burst passes when all is there."""
        return min(amount, self.burst)

    def has(self, amount: float) -> bool:
        """Whether a call of so much passes."""
        return self.per_second is None or not amount or self.free >= self.least(amount) - _TINY

    def take(self, amount: float) -> None:
        """Use so much; below 0: give it back."""
        self.free -= amount
        self.used += amount
        self._since += amount

    def wait(self, amount: float) -> float:
        """Return in how many seconds so much may be there."""
        lacking = self.least(amount) - self.free - self.level
        return 0.0 if self.per_second is None else max(lacking / self.per_second, 0.0)

    def target(self) -> float:
        """Return what is wanted lent."""
        if self.per_second is None:
            return 0.0
        return min(max(AHEAD * self.pace, self.burst * FIRST), self.burst)

    def measure(self, now: float) -> None:
        """Have the pace of calls."""
        since = now - self._measured_at
        if since >= _MEASURED:
            pace = max(self._since, 0.0) / since
            self.pace = max(pace, (self.pace + pace) / 2)
            self._measured_at, self._since = now, 0.0

    def say(self, needs: Sequence[float], *, keeps: bool, wants: bool) -> tuple[float, float, float, float, float]:
        """Return what is used, kept, needed, needed by the first, and asked for; take it as told."""
        target = self.target() if wants else 0.0
        self.kept = max(0.0, min(self.free, target if not needs else math.inf)) if keeps else 0.0
        used, self.used, self.free = self.used, 0.0, self.kept
        if self.per_second is None:
            return used, 0.0, 0.0, 0.0, 0.0
        need = max(math.fsum(needs) - self.kept, 0.0)
        first = max(needs[0] - self.kept, 0.0) if needs else 0.0
        return used, self.kept, need, first, max(target - self.kept, 0.0) + need

    def heard(self, granted: float, level: float) -> None:
        """Take in what the store lends; what was used meanwhile is off."""
        self.free += granted - self.kept
        self.granted, self.level = granted, level


class RateSaid(NamedTuple):
    """What was said of a rate limit in a message: it is repeated word for word until it is answered."""

    meter: "RateMeter"
    in_use: int
    words: Mapping[str, Any]


class RateMeter:
    """A rate limit, as this process has it."""

    __slots__ = (
        *(
            "_most",
            "_most_before",
            "answered_at",
            "asked_at",
            "in_use",
            "is_told",
            "limit",
            "places",
            "recalled",
            "refused",
        ),
        *("requests", "told_at", "told_in_use", "tokens", "until", "used_at", "waited", "waited_for"),
    )

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.requests, self.tokens = Flow(now), Flow(now)
        self.places = self.in_use = self.told_in_use = 0
        self._most = self._most_before = 0
        self.until = self.answered_at = self.told_at = self.used_at = self.asked_at = -math.inf
        self.recalled, self.is_told = False, True
        self.waited = self.refused = 0
        self.waited_for = 0.0
        """Seconds; what is told of waits and refusals."""
        self.set(limit)

    def set(self, limit: RateLimit) -> None:
        """Have the newest settings."""
        self.limit = limit
        self.requests.set(limit.requests_per_minute, limit.burst_seconds)
        self.tokens.set(limit.tokens_per_minute, limit.burst_seconds)

    # Calls

    def lacks(self, tokens: float, now: float) -> RateFigure | None:
        """Return what a call has no room of; None: it has room."""
        is_lent = now < self.until
        if self.requests.per_second is not None and not (is_lent and self.requests.has(1)):
            return "requests_per_minute"
        if self.tokens.per_second is not None and not (is_lent and self.tokens.has(tokens)):
            return "tokens_per_minute"
        if self.limit.max_concurrent is not None and not (is_lent and self.in_use < self.places):
            return "max_concurrent"
        return None

    @property
    def figure(self) -> RateFigure:
        """The first of what is limited."""
        if self.limit.requests_per_minute is not None:
            return "requests_per_minute"
        return "max_concurrent" if self.limit.tokens_per_minute is None else "tokens_per_minute"

    def take(self, tokens: float, now: float) -> None:
        """Let a call through."""
        self.requests.take(1)
        self.tokens.take(tokens)
        self.in_use += 1
        self.used_at = now
        self._most = max(self._most, self.in_use)

    def end(self, tokens: float, *, is_undone: bool) -> None:
        """Have a call end: its place is free again, *tokens* more were used than was thought, and of one undone its request was not."""
        self.in_use -= 1
        self.tokens.take(tokens)
        if is_undone:
            self.requests.take(-1)

    def limited(self, figure: RateFigure, tokens: float) -> RateLimited:
        """Return what a call is told that has no room."""
        wait = {
            "requests_per_minute": self.requests.wait(1),
            "tokens_per_minute": self.tokens.wait(tokens),
            "max_concurrent": A_PLACE,
        }[figure]
        return RateLimited(self.limit.name, max(round(wait, 2), 0.05), "us", figure, getattr(self.limit, figure) or 0)

    # The store

    @property
    def is_low(self) -> bool:
        """Whether half of what is wanted is used."""
        free = self.places - self.in_use
        return (
            (self.requests.per_second is not None and self.requests.free * 2 < self.requests.target())
            or (self.tokens.per_second is not None and self.tokens.free * 2 < self.tokens.target())
            or (self.limit.max_concurrent is not None and free * 2 < self._ahead())
        )

    @property
    def has_untold(self) -> bool:
        """Whether the store does not know all."""
        return bool(
            self.requests.used or self.tokens.used or self.waited or self.refused or self.in_use != self.told_in_use
        )

    @property
    def is_lent(self) -> bool:
        """Whether the store has lent something."""
        return self.requests.granted > _TINY or self.tokens.granted > _TINY or self.places > self.in_use

    @property
    def is_done(self) -> bool:
        """Whether nothing more will be said of it."""
        return self.is_told and not (self.has_untold or self.is_lent or self.in_use)

    def has_news(self, now: float, *, is_needed: bool) -> bool:
        """Whether there is something to tell the store."""
        if is_needed or self.has_untold:
            return True
        if self.is_lent and (self.recalled or now - self.used_at > QUIET or now >= self.until):
            return True
        return (self.is_lent or bool(self.in_use)) and now - self.told_at > RENEWED

    def say(self, now: float, needs: Sequence[float]) -> RateSaid:
        """Return what is to be told, and take it as told.

        Args:
            now: Of the monotonic clock.
            needs: The tokens of calls that wait, the first one first.
        """
        self.requests.measure(now)
        self.tokens.measure(now)
        wants = bool(needs) or now - self.used_at <= QUIET
        keeps = now < self.until and wants and not (self.recalled and not needs)
        requests = self.requests.say([self.requests.least(1)] * len(needs), keeps=keeps, wants=wants)
        tokens = self.tokens.say([self.tokens.least(need) for need in needs], keeps=keeps, wants=wants)
        ahead = self._ahead() if wants else 0
        is_limited = self.limit.max_concurrent is not None
        free = max(0, min(self.places - self.in_use, max(ahead, len(needs)))) if keeps and is_limited else 0
        self.places = self.in_use + free
        need = max(len(needs) - free, 0) if is_limited else 0
        words: dict[str, Any] = {"l": self.limit.id}
        for name, said in (("r", requests), ("t", tokens)):
            words |= {name + key: value for key, value in zip("uknha", said, strict=True)}
        words |= {
            "pu": self.in_use,
            "pk": self.places,
            "pn": need,
            "pa": need + max(ahead - free, 0) if is_limited else 0,
        }
        words |= {"pm": self._most, "w": self.waited, "wm": round(self.waited_for * 1000), "x": self.refused}
        self.told_in_use = self.in_use
        self._most_before, self._most = self._most, self.in_use
        self.waited = self.refused = 0
        self.waited_for = 0.0
        self.is_told, self.told_at = False, now
        return RateSaid(self, self.in_use, words)

    def heard(self, answer: Mapping[str, Any], sent_at: float, lives: float) -> None:
        """Take in what the store answered.

        Args:
            answer: Of this rate limit.
            sent_at: When it was asked, by the monotonic clock.
            lives: How long a lease lives, in seconds.
        """
        self.is_told = True
        self.requests.heard(answer["r"], answer["rl"])
        self.tokens.heard(answer["t"], answer["tl"])
        self.places = answer["p"]
        self.until = sent_at + answer["life"] - (1 - SURE) * lives
        self.answered_at, self.recalled = sent_at, answer["recalled"]

    def _ahead(self) -> int:
        """Return how many free places are wanted: a quarter of what was in use lately."""
        return max(1, max(self._most, self._most_before) // 4)
