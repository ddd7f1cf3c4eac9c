"""What this process counts of REST, for Prometheus; what else it is told: api/scrape.py."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Histogram

from web.metrics import REGISTRY

REQUESTS: Final = Counter(
    "llm_settings_requests", "REST requests, by route and status", ("method", "route", "status"), registry=REGISTRY
)
FAULTS: Final = Counter(
    "llm_settings_request_faults", "REST requests answered 500: a fault of ours, which is in the log", registry=REGISTRY
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
SETTINGS_ANSWERS: Final[Mapping[str, Counter]] = {name: _ANSWERS.labels(name) for name in ("sent", "unchanged")}
