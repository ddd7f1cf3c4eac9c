"""What it costs to know models: the merge with and without `adapt`, the catalogue read, what a request takes."""

import time
import timeit
from collections.abc import Callable
from typing import Any

from core.models.adapt import Adapted
from core.models.facts import Known
from core.models.vendored import read
from core.resolving import merge
from core.resolving.layers import Layer

PROVIDER = merge.ProviderFacts(
    id=7,
    name="openai",
    display_name="OpenAI",
    kind="openai",
    base_url=None,
    default_model="gpt-6.1-terra",
    is_active=True,
    version=5,
    changes={},
    open_box=None,
    needs_key=False,
)
LAYERS = [
    Layer("all_providers", 1, 9, {"temperature": 0.4, "max_tokens": 900, "log_level": "minimal"}, {}),
    Layer("provider", 2, 4, {"top_p": 0.5, "custom_settings": {"team": "search"}}, {}),
]


def run(row: Callable[..., None]) -> None:
    """Measure, and print a row for each."""
    with_it, without = _build()
    ratio = with_it / without
    figures = f"{with_it / 1000:.1f} / {without / 1000:.1f} µs = {ratio:.2f}"
    row("build() ÷ the same without adapt()", figures, "≤ 1.5", reached=ratio <= 1.5)
    took = _ns(lambda: Known(read()), 1, 15) / 1e6
    row("what is known of models, read", f"{took:.1f} ms", "≤ 5 ms", reached=took <= 5)
    answer = merge.build(PROVIDER, LAYERS)
    cost = _ns(answer.request_options, 200_000, 7)
    row("request_options()", f"{cost:.0f} ns", "≤ 150 ns", reached=cost <= 150)


def _build() -> tuple[float, float]:
    """Return ns of a merge as it is, and with a decision that only copies; they take turns."""
    decide: Any = merge.decide
    fixed = merge.build(PROVIDER, LAYERS)
    made = Adapted(fixed.adapted().sent, fixed.adjustments)
    best = [float("inf"), float("inf")]
    try:
        for _ in range(15):
            for place, how in enumerate((decide, lambda _: Adapted(dict(made.sent), made.adjustments))):
                merge.decide = how
                best[place] = min(best[place], _ns(lambda: merge.build(PROVIDER, LAYERS), 2_000))
    finally:
        merge.decide = decide
    return best[0], best[1]


def _ns(call: Callable[[], object], times: int, repeat: int = 1) -> float:
    """Return the best of some runs, in ns of computing a call: not what other processes took meanwhile."""
    return min(timeit.repeat(call, number=times, repeat=repeat, timer=time.process_time)) / times * 1e9
