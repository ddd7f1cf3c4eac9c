"""Health, for whoever asks; metrics, for admins and tokens with that right."""

import math
import threading
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api import metrics, wire
from api.callers import Asked, admitted, role_of
from api.effective import resolver
from api.errors import Refused, success
from api.responses import READ, answers, named
from core.access import ratelimit
from core.actors import Actor
from core.crypto import get_ring
from core.errors import CoreError
from core.manage import health
from core.store import db, migrate
from web.request import ADDRESS_HEADER, SECRET_HEADER

LOOKED_FOR: Final = 1.0
"""Seconds that one look at the database answers for: strangers may ask as often as they like."""
PATIENCE: Final = 2.5
"""Seconds to wait for somebody else's look; a silent database ends it sooner."""
STALE_AFTER: Final = 10.0
"""Seconds after which the settings in memory count as stale; the resolver looks every two."""

router = APIRouter(generate_unique_id_function=named, tags=["health"])
Scraper = Annotated[Actor, admitted("metrics.read", "metrics", None)]

_lock = threading.Lock()
_last: tuple[float, health.Readiness] | None = None


@router.get("/health/live", responses=answers(wire.Live), summary="Does the process answer?")
def live() -> Response:
    """For a supervisor that restarts what hangs. Asks nobody else."""
    return success({"status": "live"})


@router.get("/health/ready", responses=answers(wire.Ready, 503), summary="Can the process do its work?")
def ready(request: Request) -> Response:
    """For a load balancer: 503 while the database is out of reach or has another schema. Admins are told details."""
    found = _look()
    age = resolver.age()
    snapshot = "none" if math.isinf(age) else "stale" if resolver.stale or age > STALE_AFTER else "ok"
    limits = ratelimit.get_limiter().state
    checks = {"database": found.database, "schema": found.schema, "keyRing": found.key_ring, "snapshot": snapshot}
    checks["rateLimits"] = "ok" if limits != "redis_unreachable" else limits
    if not found.serves:
        message = "Not ready: the database is out of reach, read-only or refuses this process, or its schema is another version's."
        raise Refused(503, "NOT_READY", message, {"Retry-After": "2"}, {"checks": checks})
    whole: dict[str, Any] = {
        "status": "ready" if set(checks.values()) == {"ok"} else "degraded",
        "checks": checks,
        "snapshotAgeSeconds": None if math.isinf(age) else round(age, 3),
    }
    if _is_admin(request):
        size, used = db.pool_figures()
        whole["details"] = {
            "schema": migrate.head(),
            "generation": resolver.generation,
            "rateLimits": limits,
            "poolSize": size,
            "poolUsed": used,
        }
    return success(whole)


@router.get(
    "/metrics",
    responses={
        **answers(wire.Live, *READ),
        200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
    response_class=Response,
    summary="Numbers for Prometheus",
)
def prometheus(_actor: Scraper) -> Response:
    """Requests, answers from memory, age of the settings in memory, connections: of this process. Not limited."""
    size, used = db.pool_figures()
    metrics.AGE.set(resolver.age())
    metrics.GENERATION.set(resolver.generation)
    metrics.POOL_SIZE.set(size)
    metrics.POOL_USED.set(used)
    metrics.REDIS_AWAY.set(ratelimit.get_limiter().state == "redis_unreachable")
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _look() -> health.Readiness:
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


def _known() -> health.Readiness | None:
    last = _last
    return last[1] if last is not None and time.monotonic() - last[0] < LOOKED_FOR else None


def _is_admin(request: Request) -> bool:
    authorization, secret = request.headers.get("authorization"), request.headers.get(SECRET_HEADER)
    if authorization is None and secret is None:
        return False
    asked = Asked(authorization, secret, request.headers.get(ADDRESS_HEADER, ""))
    try:
        return role_of(asked) == "admin"
    except CoreError:
        return False
