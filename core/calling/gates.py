"""What vendors say of their own rate limits: how much a key may do a minute for a model, and until when nothing goes through.

Each answer's headers are put down as they are, and read when somebody asks. After a 429 with a time to wait the gate is closed to all calls of this
process by that key to that model, and to those of other processes that have rate limits of ours; then one call goes first.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from ..crypto import get_ring
from ..errors import CoreError

LONGEST: Final = 120.0
"""Seconds that a gate is closed at most, whatever the vendor says."""
FIRST: Final = 1.0
"""Seconds that the others wait for the answer to the call that goes first."""
TURN: Final = 0.05
"""Seconds between two looks at who went first."""
TOO_MANY: Final = 429
"""HTTP's status of a rate limit that is used up."""
MOST: Final = 10_000
"""Gates that are kept; when there are more, all is learned anew."""
PAUSE: Final = 1.0
"""Seconds between two words of a process that has no rate limit of ours to speak of."""
REFUSED: Final = 60.0
"""Seconds until it speaks again where it was not heard."""
_LARGEST: Final = 10**12
"""What a vendor allows a minute is less than this, or is not meant."""
_A_MOMENT: Final = 1e8
"""A number of seconds above this is a moment: since 1970."""
_PARTS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|µs|ns|h|m|s|d)")
_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LIMITS: Final = {
    "requests": ("x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit"),
    "tokens": ("x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit"),
    "input_tokens": ("anthropic-ratelimit-input-tokens-limit",),
    "output_tokens": ("anthropic-ratelimit-output-tokens-limit",),
}
_WORDS: Final = {"requests": "r", "tokens": "t", "input_tokens": "i", "output_tokens": "o"}
"""How the store is told of each."""
_RESETS: Final = (
    *((f"x-ratelimit-remaining-{of}", f"x-ratelimit-reset-{of}") for of in ("requests", "tokens")),
    *(
        (f"anthropic-ratelimit-{of}-remaining", f"anthropic-ratelimit-{of}-reset")
        for of in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)


class Allowed(NamedTuple):
    """What a vendor allows a minute; None: it does not say."""

    requests: int | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def allowed(headers: Mapping[str, str]) -> Allowed:
    """Return what an answer's headers say of limits. What is negative, 0 or no number says nothing (Azure sends -1)."""
    found: dict[str, int] = {}
    for of, names in _LIMITS.items():
        for name in names:
            value = headers.get(name, "").strip()
            if value.isascii() and value.isdigit() and 0 < int(value[:20]) < _LARGEST:
                found[of] = int(value[:20])
    return Allowed(**found)


def reset(headers: Mapping[str, str]) -> float | None:
    """Return in how many seconds there is more of what is used up, at most :data:`LONGEST`; None: nothing is, or nobody knows."""
    waits = [
        wait
        for remaining, until in _RESETS
        if headers.get(remaining, "").strip() == "0" and (wait := _seconds(headers.get(until, ""))) is not None
    ]
    return min(max(waits), LONGEST) if waits else None


def _seconds(text: str) -> float | None:
    """Read ``6m0s``, ``12ms``, ``PT1M30S``, plain seconds, or a moment of RFC 3339 or since 1970; None: it is none, or is over."""
    text = text.strip()[:60]
    plain = text.lower().removeprefix("pt")
    parts = _PARTS.findall(plain)
    if parts and "".join(number + unit for number, unit in parts) == plain:
        wait = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        try:
            wait = float(text)
            if wait > _A_MOMENT:  # OpenRouter's is in milliseconds
                wait = (wait / 1000 if wait > _A_MOMENT * 1000 else wait) - time.time()
        except ValueError:
            try:
                at = datetime.fromisoformat(text)
            except ValueError:
                return None
            if at.tzinfo is None:
                return None
            wait = at.timestamp() - time.time()
    return wait if 0 < wait < float("inf") else None


class Gate:
    """What one key may do for one model, as its vendor says."""

    __slots__ = (
        "_first_until",
        "_headers",
        "_lock",
        "_of_429",
        "_told",
        "fingerprint",
        "is_closed",
        "is_news",
        "model",
        "provider",
        "until",
    )

    def __init__(self, provider: int, model: str, fingerprint: str | None) -> None:
        self.provider, self.model, self.fingerprint = provider, model, fingerprint
        self.is_closed = False
        """Whether a call has to ask :meth:`wait`: this is all that one without a 429 pays."""
        self.until = 0.0
        self._first_until = 0.0
        self._headers: Mapping[str, str] | None = None
        self._of_429: Mapping[str, str] | None = None
        """Of the last answer, and of the last 429."""
        self._told = Allowed()
        self._lock = threading.Lock()
        self.is_news = False
        """Whether it was closed or opened here since the store was told."""

    def wait(self) -> float:
        """Return how many seconds a call is to wait before it asks again; 0: it goes now."""
        now = time.monotonic()
        with self._lock:
            if not self.is_closed:
                return 0.0
            if now < self.until:
                return self.until - now
            if not self._first_until:
                self._first_until = now + FIRST
                return 0.0
            if now < self._first_until:
                return TURN
            self.is_closed = False
            return 0.0

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """Put down an answer; one that is no 429 opens the gate."""
        self._headers = headers
        if status == TOO_MANY:
            self._of_429 = headers
        elif self.is_closed:
            with self._lock:
                if time.monotonic() >= self.until:  # else it is the answer to one that was sent before
                    self.is_closed, self.is_news = False, True

    def close(self, seconds: float | None) -> None:
        """Close the gate, as a 429 wants it.

        Args:
            seconds: That the vendor asks to wait; None: it does not say. Then it is until there is more of what is used up.
        """
        wait = seconds if seconds is not None else reset(self._of_429 or {})
        if wait:
            self.close_for(wait)
            self.is_news = True
            if self.fingerprint is not None:
                for tell in when_closed:
                    tell()

    def close_for(self, seconds: float) -> None:
        """Close the gate for so many seconds from now, at most :data:`LONGEST`."""
        with self._lock:
            self.until = max(self.until, time.monotonic() + min(seconds, LONGEST))
            self._first_until = 0.0
            self.is_closed = True

    def news(self) -> dict[str, Any] | None:
        """Return what the store is to be told; None: nothing."""
        found = self._told
        for headers in (self._of_429, self._headers):
            if headers is not None:
                found = Allowed(*(new or old for new, old in zip(allowed(headers), found, strict=True)))
        self._headers = self._of_429 = None
        if self.fingerprint is None or not (self.is_news or found != self._told):
            return None
        left: float | None = max(self.until - time.monotonic(), 0.0) if self.is_closed else 0.0
        if not self.is_news:
            left = None
        self._told, self.is_news = found, False
        figures = {_WORDS[name]: value for name, value in found._asdict().items()}
        return {"p": self.provider, "f": self.fingerprint, "m": self.model[:200], "c": left, **figures}


class Gates:
    """All gates of the process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all; what vendors said is learned anew."""
        self._gates: dict[tuple[int | None, str, int], Gate] = {}
        self._elsewhere: dict[tuple[int, str, str], float] = {}
        """Closed as another process says, where this one has no gate yet."""

    def of(self, provider: int | None, model: str, key: str) -> Gate:
        """Return the gate of a provider's key and a model. The key itself is not kept."""
        name = (provider, model, hash(key))
        return self._gates.get(name) or self._make(name, key)

    def _make(self, name: tuple[int | None, str, int], key: str) -> Gate:
        if len(self._gates) >= MOST:
            self._gates = {}
        gate = Gate(name[0] or 0, name[1], _fingerprint(key) if name[0] else None)
        until = self._elsewhere.pop((gate.provider, gate.model, gate.fingerprint or ""), None)
        if until is not None and (left := until - time.monotonic()) > 0:
            gate.close_for(left)
        return self._gates.setdefault(name, gate)

    def news(self) -> list[dict[str, Any]]:
        """Return what the store is to be told of all gates."""
        return [told for gate in list(self._gates.values()) if (told := gate.news()) is not None]

    def hear(self, closed: Sequence[Mapping[str, Any]]) -> None:
        """Close what other processes were told is closed: provider, fingerprint, model and seconds of each."""
        for each in closed:
            name = (each["p"], each["m"], each["f"])
            ours = [g for g in list(self._gates.values()) if (g.provider, g.model, g.fingerprint) == name]
            for gate in ours:
                if gate.until < time.monotonic() + each["c"] - FIRST:
                    gate.close_for(each["c"])
            if not ours and len(self._elsewhere) < MOST:
                self._elsewhere[name] = time.monotonic() + each["c"]


def _fingerprint(key: str) -> str | None:
    """Return what tells keys apart in the store; None: this process has no encryption key to make it with."""
    try:
        ring = get_ring()
        return f"{ring.fingerprint(key)}@{(ring.primary_id or '')[:8]}"
    except CoreError:
        return None


when_closed: Final[list[Callable[[], object]]] = []
"""What is called when a vendor closes a gate."""
gates: Final = Gates()
"""Those of this process."""
os.register_at_fork(after_in_child=gates.reset)
