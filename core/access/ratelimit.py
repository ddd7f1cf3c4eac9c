"""Rate limits per actor, counted by the `limits` library: in this process, or in Redis for several processes.

Fixed windows: a window begins with the first request counted in it and ends after its length. While Redis is out of reach
each process counts by itself: a limit then holds per process, nobody is locked out, and the log and `state` say so.
"""

import logging
import math
import re
import threading
import time
from types import SimpleNamespace
from typing import Final, Literal, NamedTuple

from ..actors import Actor
from ..config import Config, get_config
from ..errors import BadConfig, TooManyRequests
from ..extras import from_extra
from ..once import Once

with from_extra():
    import limits.storage.memory
    from limits import RateLimitItem, parse_many
    from limits.errors import ConfigurationError, StorageError
    from limits.storage import MemoryStorage, Storage, storage_from_string

LimitName = Literal["general", "sensitive", "provisioning", "pages"]

REDIS_TIMEOUT: Final = 0.25
"""Seconds that one look at Redis may take."""
SWEEP_EVERY: Final = 60.0
"""Seconds between two looks for windows that have ended."""
REDIS_PAUSE: Final = 5.0
"""Seconds that a Redis out of reach is left alone."""

_log = logging.getLogger(__name__)

# What counts in memory goes by a clock that nobody sets: else an hour back would lock everybody out for an hour.
vars(limits.storage.memory)["time"] = SimpleNamespace(time=time.monotonic)


class _Memory(MemoryStorage):
    """The library's memory, swept now and then by whoever counts: it would start a thread for that every 10 ms."""

    def __init__(self) -> None:
        super().__init__()
        self._sweep_at = time.monotonic() + SWEEP_EVERY

    def _MemoryStorage__schedule_expiry(self) -> None:  # noqa: N802 - the library's own private name
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_EVERY
            self._MemoryStorage__expire_events()  # type: ignore[attr-defined]  # as above


class Spent(NamedTuple):
    """What is left of a limit."""

    limit: int
    """So many in a window."""
    window: int
    """Seconds."""
    remaining: int
    reset: int
    """Seconds until the window ends."""


class Limiter:
    """Counts requests.

    Args:
        config: Limits and where to count.

    Raises:
        BadConfig: If a limit, or the storage, is not one.
    """

    def __init__(self, config: Config) -> None:
        self._items: dict[LimitName, RateLimitItem] = {
            "general": _parsed("LLM_RATE_LIMIT_GENERAL", config.rate_limit_general),
            "sensitive": _parsed("LLM_RATE_LIMIT_SENSITIVE", config.rate_limit_sensitive),
            "provisioning": _parsed("LLM_RATE_LIMIT_PROVISIONING", config.rate_limit_provisioning),
            "pages": _parsed("LLM_RATE_LIMIT_PAGES", config.rate_limit_pages),
        }
        self._here = _Memory()
        self._lock = threading.Lock()  # the library's own lets two first requests of a window lose one
        self._redis = _storage(config.rate_limit_storage_url.reveal())
        self._away_until: float | None = None
        self.refused: dict[LimitName, int] = dict.fromkeys(self._items, 0)
        """How many requests each limit has refused."""

    @property
    def shared(self) -> bool:
        """Whether Redis is asked: then :meth:`spend` waits for the network."""
        return self._redis is not None

    @property
    def state(self) -> str:
        """Where requests are counted: ``memory``, ``redis`` or ``redis_unreachable``."""
        if self._redis is None:
            return "memory"
        return "redis" if self._away_until is None else "redis_unreachable"

    def spend(self, who: str, name: LimitName) -> Spent:
        """Count one of *who*.

        Raises:
            TooManyRequests: If the limit is used up.
        """
        return self._ask(who, name, count=True)

    def check(self, who: str, name: LimitName) -> Spent:
        """Look without counting; raises TooManyRequests if nothing is left."""
        return self._ask(who, name, count=False)

    def _ask(self, who: str, name: LimitName, *, count: bool) -> Spent:
        try:
            return self._counted(who, name, count=count)
        except TooManyRequests:
            with self._lock:
                self.refused[name] += 1
            raise

    def _counted(self, who: str, name: LimitName, *, count: bool) -> Spent:
        item = self._items[name]
        key = item.key_for(name, who)
        if self._redis is not None and (self._away_until is None or time.monotonic() >= self._away_until):
            try:
                used, ends = _used(self._redis, item, key, count=count)
            except StorageError as error:
                if self._away_until is None:
                    why = type(error.storage_error).__name__
                    _log.warning("Redis is out of reach (%s): rate limits count in this process alone.", why)
                self._away_until = time.monotonic() + REDIS_PAUSE
            else:
                if self._away_until is not None:
                    _log.warning("Redis is back: rate limits count there again.")
                    self._away_until = None
                return _judged(item, used, ends - time.time(), count=count)
        with self._lock:
            used, ends = _used(self._here, item, key, count=count)
        return _judged(item, used, ends - time.monotonic(), count=count)


def who_is(actor: Actor) -> str:
    """Return under which name an actor's requests are counted."""
    if actor.token_id is not None:
        return f"token:{actor.token_id}"
    return f"user:{actor.user_id}" if actor.user_id is not None else actor.name


@Once
def get_limiter() -> Limiter:
    """Return the limiter of this process, made on first use; raises BadConfig."""
    return Limiter(get_config())


def _used(storage: Storage, item: RateLimitItem, key: str, *, count: bool) -> tuple[int, float]:
    """Return how many are counted in the window, and when it ends: what the library's fixed window asks too."""
    used = storage.incr(key, item.get_expiry()) if count else storage.get(key)
    return used, storage.get_expiry(key)


def _judged(item: RateLimitItem, used: int, left: float, *, count: bool) -> Spent:
    seconds = item.get_expiry()
    reset = min(max(math.ceil(left), 1), seconds) if used else seconds
    if used > item.amount or (used == item.amount and not count):
        raise TooManyRequests(_words(item), reset)
    return Spent(item.amount, seconds, item.amount - used, reset)


def _words(item: RateLimitItem) -> str:
    unit = item.GRANULARITY.name
    return f"{item.amount} per {item.multiples} {unit}s" if item.multiples > 1 else f"{item.amount} per {unit}"


def _parsed(variable: str, text: str) -> RateLimitItem:
    try:
        items = parse_many(text)
    except ValueError:
        items = []
    # the library takes "per 0 minutes" for "per minute", and several limits, of which we would keep the first
    if len(items) != 1 or items[0].amount < 1 or _NO_TIME.search(text):
        raise BadConfig(f"{variable} cannot be read; it takes a number and a time, as 100 per 15 minutes")
    return items[0]


_NO_TIME: Final = re.compile(r"(/|per)\s*0+(?!\d)", re.IGNORECASE)


def _storage(url: str) -> Storage | None:
    """Return the storage that processes share; None for memory. Nothing is dialled yet."""
    if url == "memory://":
        return None
    scheme = url.partition("://")[0]
    if scheme in {"redis", "rediss", "redis+unix"}:
        options = {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT}
        try:
            found = storage_from_string(url, wrap_exceptions=True, **options)
        except (ConfigurationError, ValueError):
            raise BadConfig("LLM_RATE_LIMIT_STORAGE_URL cannot be read; write redis://host:6379/0") from None
        if isinstance(found, Storage):
            return found
    raise BadConfig("LLM_RATE_LIMIT_STORAGE_URL is no such storage; it takes memory:// or redis://host:6379")
