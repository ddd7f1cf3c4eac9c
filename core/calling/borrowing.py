"""What :mod:`.leases` and :mod:`.rates` have in common: the store lends this process something for seconds, calls take of it in memory.

One thread tells the store what was used and hears what is lent. A message has a number and is said again word for word until it is
answered, so that it counts once. A call that has no room waits until the thread has heard more. What a call had is given back without a
lock, as it may be a finaliser that does it, in a thread that has the lock.
"""

import asyncio
import contextlib
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final, Generic, LiteralString, Protocol, TypeVar

from ..postgres import threads
from .lease_line import LeaseLine, Unanswered

LIVES: Final = 10.0
"""Seconds that a lease lives after the last word of its holder."""
EVERY: Final = 0.25
"""Seconds between two words to the store, while there is something to say."""
AGAIN: Final = 0.05
"""The same while a call waits for what others hold."""
SILENCE: Final = 2.0
"""Seconds after which a store that does not answer is away."""
GRACE: Final = 1.0
"""Seconds of an outage in which calls wait, if they have nothing lent: a line that was cut is there again sooner."""
IDLE: Final = 30.0
"""Seconds without a word after which the connection is closed."""
_BACKOFF: Final = (0.1, 0.5)
_JOINED: Final = 5.0
"""Seconds that the end of the thread is waited for."""


class Waits(Protocol):
    """A call that waits."""

    ready: Callable[[], object]
    """What wakes it."""

    @property
    def is_answered(self) -> bool:
        """Whether the wait is over."""

    def undo(self) -> None:
        """Give back what it got, if anything. Of whoever has the lock."""


class Waiting(Protocol):
    """Who waits: a deque, or lines."""

    def __len__(self) -> int:
        """Return how many."""

    def remove(self, waiter: Any, /) -> None:
        """Have somebody wait no more."""


class Lent(Protocol):
    """What is lent of one budget, or one rate limit."""

    @property
    def is_done(self) -> bool:
        """Whether nothing more will be said of it."""


W = TypeVar("W", bound=Waits)
S = TypeVar("S")
E = TypeVar("E")


class Borrower(Generic[W, E, S]):
    """A process, to the store. *W* waits, *E* has ended and is not booked yet, *S* is said in one message.

    Args:
        url: Of the store's primary; None: as the environment says.
        lives: Seconds that a lease lives; at most 10.
    """

    _asks: ClassVar[LiteralString]
    """By which statement the store is told and asked."""
    _name: ClassVar[str]
    """Of the thread and the connection."""
    _spacing: ClassVar[float]
    """Seconds between two words at least."""
    _waiting: Waiting

    def __init__(self, url: str | None = None, *, lives: float = LIVES) -> None:
        self._url, self._lives = url, lives
        self._reset()

    def _reset(self) -> None:
        """Have nothing; in a fork too: what is lent is the parent's."""
        self.holder = uuid.uuid4()
        self._lock = threading.Lock()
        self._ended: deque[E] = deque()
        """Calls that ended and are not booked yet. Who ends one may be a finaliser, in a thread that has the lock."""
        self._left: deque[W] = deque()
        """Who was interrupted while it waited, and is not taken out yet: as with what ended."""
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # finalisers may ring it, unlike an Event
        self._is_rung = False
        self._dozes = True
        """Whether the thread sleeps until somebody rings."""
        self._said: S | None = None
        """What has no answer yet."""
        self._number = 0
        self._of_parent = getattr(
            self, "_line", None
        )  # after a fork: its connection is the parent's, and is not closed
        self._line = LeaseLine(self._url, self.holder, self._lives, asks=self._asks, name=self._name)
        self._thread: threading.Thread | None = None
        self._why_no_thread: str | None = None
        self._not_before = float("-inf")
        self._asked_at: float | None = None
        """Since when the store is asked without an answer."""
        self._away: Unanswered | None = None
        """Why the store is away; None: it is not."""
        self._away_since = 0.0
        self._closed = False

    def close(self) -> None:
        """End the thread; what is untold stays so: *flush* before."""
        self._closed = True
        self._ring()
        if self._thread is not None:
            self._thread.join(_JOINED)

    # What is borrowed, and how it is told: of who inherits. All but the words with the lock

    def _due(self, waiter: W) -> float | None:
        """Return how long a call is to wait before it is looked at again; None: the wait is over. Without the lock."""
        raise NotImplementedError

    def _begin(self, waiter: W) -> W:
        """Answer a call at once, or have it wait. Without the lock."""
        raise NotImplementedError

    def _put_ended(self) -> None:
        """Book all that is in ``_ended``."""
        raise NotImplementedError

    def _retry(self, now: float) -> None:
        """Answer who waits and has room."""
        raise NotImplementedError

    def _lent(self) -> Iterable[Lent]:
        """Return all that something is lent of."""
        raise NotImplementedError

    def _news(self, now: float) -> S | None:
        """Return what is to be said; None: nothing."""
        raise NotImplementedError

    def _words(self, said: S) -> Any:
        """Return that for the line."""
        raise NotImplementedError

    def _heard(self, said: S, rows: list[Any], sent_at: float) -> None:
        """Take in the answer; who waits is answered after it."""
        raise NotImplementedError

    # Calls

    def _wait(self, waiter: W) -> W:
        """Have a call wait until it is answered, or has waited long enough."""
        event = threading.Event()
        waiter.ready = event.set
        self._begin(waiter)
        with self._waited_for(waiter):
            while (left := self._due(waiter)) is not None:
                event.wait(left)
        return waiter

    async def _wait_async(self, waiter: W) -> W:
        """As :meth:`_wait`, for the running event loop, which goes on meanwhile."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        def ready() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(wake)

        waiter.ready = ready
        self._begin(waiter)
        with self._waited_for(waiter):
            while (left := self._due(waiter)) is not None:
                await asyncio.wait({future}, timeout=left)
        return waiter

    @contextlib.contextmanager
    def _waited_for(self, waiter: W) -> Iterator[None]:
        """Wait in the block. Who is interrupted has nothing."""
        try:
            yield
        except BaseException:  # perhaps of a coroutine that is collected, in a thread that has the lock
            self._left.append(waiter)
            self._ring()
            raise

    def _end(self, ended: E) -> None:
        """Have a call end. Never waits and never raises."""
        self._ended.append(ended)
        while self._ended and self._lock.acquire(blocking=False):  # who has the lock books it else
            try:
                self._book()
            finally:
                self._lock.release()
        if self._dozes or self._waiting:  # the thread answers who waits: here one might be this very thread
            self._ring()

    # With the lock

    def _book(self) -> None:
        self._put_ended()
        while self._left:
            waiter = self._left.popleft()
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
            waiter.undo()

    def _why_away(self, now: float) -> str | None:
        """Return why the store is away; None: it is not."""
        if self._thread is None:
            return self._why_no_thread
        if self._asked_at is not None and now - self._asked_at > SILENCE:
            return "the database does not answer"
        if self._away is None or (not self._away.lasting and now - self._away_since < GRACE):
            return None
        return str(self._away)

    def _failed(self, why: Unanswered, now: float) -> None:
        """Take in that the store did not answer."""
        if self._away is None:
            self._away_since = now
        self._asked_at, self._away = None, why
        self._retry(now)

    def _start(self) -> None:
        if self._thread is not None or self._closed or time.monotonic() < self._not_before:
            return
        try:
            self._thread = threads.start(self._run, self._name, self._bell)
        except threads.NoThread as error:
            self._not_before = time.monotonic() + threads.AGAIN
            self._why_no_thread = str(error)

    # The thread

    def _ring(self) -> None:
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    def _run(self, bell: "queue.SimpleQueue[None]") -> None:
        wait, used = _BACKOFF[0], time.monotonic()
        pause = 0.0
        while not self._closed and bell is self._bell:
            self._sleep(pause)
            try:
                if (said := self._message()) is None:
                    pause = self._pause()
                    if time.monotonic() - used > IDLE:
                        self._line.close()
                    continue
                used = time.monotonic()
                self._tell(said)
            except Exception as error:  # noqa: BLE001 - without this thread no call would have room, or nothing be limited
                with self._lock:
                    why = error if isinstance(error, Unanswered) else Unanswered(type(error).__name__)
                    self._failed(why, time.monotonic())
                time.sleep(wait)
                wait, pause = min(wait * 2, _BACKOFF[1]), 0.0
            else:
                wait, pause = _BACKOFF[0], self._pause()
        self._line.close()

    def _sleep(self, pause: float) -> None:
        """Wait until somebody rings, or *pause* seconds; what rings more often than that is heard at the next word."""
        time.sleep(self._spacing)
        self._dozes = pause > EVERY
        with contextlib.suppress(queue.Empty):
            self._bell.get(block=pause > 0, timeout=pause or None)
        self._is_rung = self._dozes = False

    def _pause(self) -> float:
        """Return how many seconds the thread sleeps, if nobody rings."""
        with self._lock:
            if self._waiting:
                return AGAIN
            return EVERY if any(not meter.is_done for meter in self._lent()) else self._quiet()

    def _quiet(self) -> float:
        """Return how many seconds it sleeps when nothing is lent."""
        return IDLE

    def _message(self) -> S | None:
        """Return what is to be said now: what has no answer, word for word; else the news."""
        with self._lock:
            self._book()
            now = time.monotonic()
            self._retry(now)
            if self._said is None:
                self._said = self._news(now)
                if self._said is None:
                    return None
                self._number += 1
                self._asked_at = now
            return self._said

    def _tell(self, said: S) -> None:
        """Ask the store, and take in what it answers; raises Unanswered."""
        sent_at = time.monotonic()
        with self._lock:
            self._asked_at = sent_at if self._asked_at is None else self._asked_at
        rows = self._line.ask(self._number, self._words(said))
        with self._lock:
            self._asked_at = self._away = None
            self._heard(said, rows, sent_at)
            self._said = None
            self._book()
            self._retry(time.monotonic())
            self._answered()

    def _answered(self) -> None:
        """Tell who waits and is not to wait any longer, once the store has answered."""
