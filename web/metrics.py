"""The registry of this process's numbers for Prometheus, and those of pages. Those of REST: api/metrics.py."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody asks for, a third of the answer

REGISTRY: Final = CollectorRegistry(auto_describe=True)
"""Our own: what is in it we have chosen."""

PAGE_RUNS: Final = Histogram(
    "llm_settings_page_run_seconds",
    "Time that one run of a page's script took: a click, or a page that is opened",
    ("page",),
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
PAGE_ERRORS: Final = Counter(
    "llm_settings_page_errors",
    "Runs of a page that ended by an exception; it is in the log",
    ("page",),
    registry=REGISTRY,
)
WEBSOCKETS: Final = Gauge("llm_settings_websockets_open", "Open pages: tabs of browsers", registry=REGISTRY)
