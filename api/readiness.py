"""Whether this process can do its work, check by check: one look for all who ask, /api/health/ready and Prometheus."""

import math
import threading
import time
from typing import Final

from api.effective import resolver
from core.access import ratelimit
from core.crypto import get_ring
from core.errors import CoreError
from core.manage import health
from core.store import db

LOOKED_FOR: Final = 1.0
"""Seconds that one look at the database answers for: strangers may ask as often as they like."""
PATIENCE: Final = 2.5
"""Seconds to wait for somebody else's look; a silent database ends it sooner."""
STALE_AFTER: Final = 10.0
"""Seconds after which the settings in memory count as stale; the resolver looks every two."""

_lock = threading.Lock()
_last: tuple[float, health.Readiness] | None = None


def look() -> health.Readiness:
    """Return what the last look found, if that was just now, else look; one looks, the others wait for it."""
    global _last  # noqa: PLW0603 - what was found last
    if (known := _known()) is not None:
        return known
    if not _lock.acquire(timeout=PATIENCE):
        return health.UNREACHABLE  # nor was the one that looks answered; what was known before is old
    try:
        if (known := _known()) is not None:
            return known
        try:
            with db.transaction() as session:
                found = health.readiness(session, get_ring())
        except CoreError as error:
            found = health.unready(error)
        _last = (time.monotonic(), found)
        return found
    finally:
        _lock.release()


def note(error: CoreError) -> None:
    """Have what somebody met on the way count as the last look."""
    global _last  # noqa: PLW0603 - as above
    _last = (time.monotonic(), health.unready(error))


def last() -> health.Readiness | None:
    """Return what was found last, however long ago, and look at nothing."""
    found = _last
    return None if found is None else found[1]


def is_away() -> bool:
    """Return whether the last look found nobody there: then there is nobody who could be asked of a token."""
    found = _last
    return found is not None and found[1].database == health.UNREACHABLE.database


def checks(found: health.Readiness) -> dict[str, str]:
    """Return check -> ``ok``, ``unknown``, or what is the matter."""
    age, limits = resolver.age(), ratelimit.get_limiter().state
    snapshot = "none" if math.isinf(age) else "stale" if resolver.stale or age > STALE_AFTER else "ok"
    return {
        "database": found.database,
        "schema": found.schema,
        "keyRing": found.key_ring,
        "snapshot": snapshot,
        "rateLimits": "ok" if limits != "redis_unreachable" else limits,
    }


def _known() -> health.Readiness | None:
    known = _last
    return known[1] if known is not None and time.monotonic() - known[0] < LOOKED_FOR else None
