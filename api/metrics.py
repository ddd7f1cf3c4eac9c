"""Numbers for Prometheus: what this process has served, and how fresh its settings are."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, generate_latest

from web.metrics import REGISTRY

REQUESTS: Final = Counter(
    "llm_settings_requests", "REST requests, by route and status", ("method", "route", "status"), registry=REGISTRY
)
SECONDS: Final = Histogram(
    "llm_settings_request_seconds",
    "Time to answer a REST request",
    ("route",),
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_ANSWERS: Final = Counter(
    "llm_settings_resolved", "Answers with effective settings: sent, or unchanged (304)", ("answer",), registry=REGISTRY
)
SETTINGS_ANSWERS: Final = {name: _ANSWERS.labels(name) for name in ("sent", "unchanged")}
AGE: Final = Gauge(
    "llm_settings_snapshot_age_seconds",
    "Time since the settings in memory were last known to be those stored; +Inf before the first",
    registry=REGISTRY,
)
GENERATION: Final = Gauge("llm_settings_generation", "Generation of the settings in memory", registry=REGISTRY)
POOL_SIZE: Final = Gauge("llm_settings_pool_size", "Database connections that may be open", registry=REGISTRY)
POOL_USED: Final = Gauge("llm_settings_pool_used", "Database connections in use", registry=REGISTRY)
REDIS_AWAY: Final = Gauge(
    "llm_settings_rate_limits_alone",
    "1 while Redis is out of reach and this process counts by itself",
    registry=REGISTRY,
)


def text() -> bytes:
    """Return the numbers in Prometheus' text format."""
    return generate_latest(REGISTRY)
