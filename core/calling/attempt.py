"""One attempt on the wire: how long it may take, and what was seen of it. Handed to the transport by the context."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .gates import Gate

HEAD: Final = 65_536
"""Bytes of an answer that are kept, for the words of an error."""
_DONE: Final = re.compile(rb"(?:^|\n)data: ?\[DONE\]")
_TAIL: Final = 16
"""Bytes of the part before, in which the mark of the end may have begun."""


class Attempt:
    """What an attempt may take, and what was seen of it.

    Args:
        left: Seconds for the whole; None: no limit.
        silence: Seconds between two parts of a stream; None: the answer is no stream, and *left* is all.
    """

    __slots__ = (
        "_ends",
        "_silence",
        "_tail",
        "_whole_ends",
        "done",
        "gate",
        "head",
        "left_the_machine",
        "seen",
        "was_sent",
    )

    def __init__(self, left: float | None, silence: float | None = None) -> None:
        self._silence = silence
        self.left_the_machine = False
        """Whether a connection was asked for: before that nobody else has a part in a failure."""
        self.was_sent = False
        """Whether bytes of the request went out: from then on the vendor may charge for it."""
        self.seen = 0
        """Bytes of the answer."""
        self.gate: Gate | None = None
        """What is told of each answer; None: nobody."""
        self.done = False
        """Whether the stream's own mark of its end has come."""
        self.head = b""
        """The beginning of the answer."""
        self._tail = b"\n"
        self.go_on(left)

    def go_on(self, left: float | None) -> None:
        """Wait for the next part, *left* seconds at most of the whole: the time since the last one was the caller's."""
        self._whole_ends = float("inf") if left is None else time.monotonic() + left
        self._ends = self._whole_ends
        self._alive()

    def left(self) -> float:
        """Return the seconds that this wait may take; 0 or less: time is up."""
        return self._ends - time.monotonic()

    def saw(self, part: bytes) -> None:
        """Note bytes of the answer. A line of a stream, also one that only says *still there*, ends the silence."""
        self.seen += len(part)
        self.head += part[: HEAD - len(self.head)]
        if self._silence is None:
            return
        if b"\n" in part:
            self._alive()
        joined = self._tail + part
        self.done = self.done or _DONE.search(joined) is not None
        self._tail = joined[-_TAIL:]

    def _alive(self) -> None:
        if self._silence is not None:
            self._ends = min(self._whole_ends, time.monotonic() + self._silence)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Have requests that begin in the block be of this attempt."""
        token = _attempt.set(self)
        try:
            yield
        finally:
            _attempt.reset(token)


def current() -> Attempt | None:
    """Return the attempt in force."""
    return _attempt.get()


_attempt: ContextVar[Attempt | None] = ContextVar("llm_settings_attempt", default=None)
