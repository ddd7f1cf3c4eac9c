"""Health, for whoever asks; metrics, for admins and tokens with that right."""

import hashlib
import math
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api import envelopes, readiness, scrape
from api.callers import Asked, admitted, role_of
from api.effective import resolver
from api.errors import Refused, success
from api.responses import READ, answers, named
from api.store_figures import reader
from core.access import ratelimit
from core.errors import CoreError, StoreUnavailable
from core.store import db, migrate
from web.request import ADDRESS_HEADER, SECRET_HEADER

REMEMBERED: Final = 3600.0
"""Seconds that a token which was good for a scrape stays so while the database is away: docs/decisions/metrics-in-an-outage.md."""
TOKENS: Final = 100
"""So many are remembered."""

router = APIRouter(generate_unique_id_function=named, tags=["health"])
_admitted = admitted("metrics.read", "metrics", None).dependency
_scrapers: dict[bytes, float] = {}
"""Digest of a token -> when it was last found good."""


def _scraper(request: Request) -> None:
    authorization = request.headers.get("authorization", "")
    digest = hashlib.sha256(authorization.encode()).digest()
    remembered = time.monotonic() - _scrapers.get(digest, -math.inf) < REMEMBERED
    if remembered and readiness.is_away():
        return
    try:
        _admitted(request)
    except StoreUnavailable as error:
        if not remembered:
            raise
        readiness.note(error)
        reader.failed()
        return
    except CoreError:
        _scrapers.pop(digest, None)
        raise
    if authorization:
        if len(_scrapers) >= TOKENS:
            _scrapers.clear()
        _scrapers[digest] = time.monotonic()


@router.get("/health/live", responses=answers(envelopes.Live), summary="Does the process answer?")
def live() -> Response:
    """For a supervisor that restarts what hangs. Asks nobody else."""
    return success({"status": "live"})


@router.get("/health/ready", responses=answers(envelopes.Ready, 503), summary="Can the process do its work?")
def ready(request: Request) -> Response:
    """For a load balancer: 503 while the database is out of reach or has another schema. Admins are told details."""
    found = readiness.look()
    age, checks = resolver.age(), readiness.checks(found)
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
            "rateLimits": ratelimit.get_limiter().state,
            "poolSize": size,
            "poolUsed": used,
        }
    return success(whole)


@router.get(
    "/metrics",
    responses={
        **answers(envelopes.Live, *READ),
        200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
    response_class=Response,
    summary="Numbers for Prometheus",
)
def prometheus(_scraper: Annotated[None, Depends(_scraper)]) -> Response:
    """Of this process, and of the store as it was read lately. Not limited. While the database is away: what is known, at once."""
    return Response(scrape.text(), media_type=CONTENT_TYPE_LATEST)


def _is_admin(request: Request) -> bool:
    authorization, secret = request.headers.get("authorization"), request.headers.get(SECRET_HEADER)
    if authorization is None and secret is None:
        return False
    asked = Asked(authorization, secret, request.headers.get(ADDRESS_HEADER, ""))
    try:
        return role_of(asked) == "admin"
    except CoreError:
        return False
