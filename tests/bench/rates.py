"""Rate limits on calls: how much more than is allowed goes through, what a call far from them pays, and one without any."""

import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable

import psycopg

from core.calling.gates import Gates
from core.calling.rates import Rates
from core.errors import RateLimited
from core.resolving.rate_limits import RateLimit

CALLERS = 50
PROCESSES = 5
SECONDS = 70.0
PER_MINUTE = 6_000
CALL = """
import sys, threading, time
from core.calling.rates import Rates
from core.errors import RateLimited
from core.resolving.rate_limits import RateLimit
rates, one, until = Rates(sys.argv[1]), RateLimit(*eval(sys.argv[2])), time.time() + float(sys.argv[3])
moments = []
def call():
    while time.time() < until:
        try:
            permit = rates.at_once([one], 0) or rates.enter([one], 0, None, patience=5)
        except RateLimited:
            continue
        moments.append(time.time())
        rates.end(permit, 0)
crew = [threading.Thread(target=call) for _ in range(int(sys.argv[4]))]
[each.start() for each in crew]; [each.join() for each in crew]
rates.flush(5)
print(*moments)
"""


def most_in_a_minute(moments: list[float]) -> int:
    """Return the most of *moments*, sorted, in any minute."""
    first = found = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 60:
            first += 1
        found = max(found, last - first + 1)
    return found


def over(url: str, one: RateLimit, seconds: float = SECONDS, *, processes: int = PROCESSES) -> tuple[list[float], int]:
    """Return when calls went through, of processes that always want more, and how many requests were counted."""
    given = [sys.executable, "-c", CALL, url, repr(tuple(one)), str(seconds), str(-(-CALLERS // processes))]
    crew = [subprocess.Popen(given, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    moments = sorted(float(line) for each in crew for line in each.communicate()[0].split())
    with psycopg.connect(url) as connection:
        query = "SELECT sum(requests)::int FROM llm_rate_hours WHERE rate_limit_id = %s"
        found = connection.execute(query, [one.id]).fetchone()
    return moments, (found[0] or 0) if found else 0


def below(url: str, limits: list[RateLimit]) -> tuple[float, float, int]:
    """Return p50 and p99 of what a call pays in µs, of 20 threads that are far from the limits, and how many were refused."""
    rates, took, refused = Rates(url), list[int](), list[int]()

    def call() -> None:
        for _ in range(500):
            begun = time.perf_counter_ns()
            try:
                permit = rates.at_once(limits, 100) or rates.enter(limits, 100, None, patience=5)
            except RateLimited:
                refused.append(1)
                continue
            rates.end(permit, 80)
            took.append(time.perf_counter_ns() - begun)
            time.sleep(0.005)

    crew = [threading.Thread(target=call) for _ in range(20)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    rates.flush(5)
    rates.close()
    took.sort()
    return took[len(took) // 2] / 1000, took[len(took) * 99 // 100] / 1000, len(refused)


def made(url: str, name: str, **figures: int) -> RateLimit:
    """Make a rate limit by SQL, of a model that nobody calls else."""
    columns = {"name": name, "model": name, **figures}
    fields = ", ".join(RateLimit._fields)
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            f"INSERT INTO llm_rate_limits ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) RETURNING {fields}",  # type: ignore[arg-type]  # names of ours
            list(columns.values()),
        ).fetchone()
    return RateLimit(*(row or ()))


def run(url: str, row: Callable[..., None], *, seconds: float = SECONDS) -> None:
    """Measure."""
    narrow = made(url, "bench, narrow", requests_per_minute=PER_MINUTE, max_wait_ms=300)
    moments, counted = over(url, narrow, seconds)
    times = most_in_a_minute(moments) / PER_MINUTE
    what = f"rate limit, {CALLERS} callers in {PROCESSES} processes: most in any minute ÷ limit"
    row(what, f"{times:.3f} of {len(moments):,} calls", "≤ 1.15", reached=times <= 1.15)
    row("the same: counted less let through", f"{counted - len(moments)}", "0", reached=counted == len(moments))
    wide = [made(url, f"bench, wide {n}", requests_per_minute=6_000_000, max_concurrent=10_000) for n in range(2)]
    p50, p99, refused = below(url, wide)
    figures = f"{p50:.0f} µs, p99 {p99 / 1000:.1f} ms, {refused} refused"
    row(
        "two rate limits, far from them, 20 threads: a call, p50",
        figures,
        "≤ 20 µs, 10 ms",
        reached=p50 <= 20 and p99 <= 10_000,
    )
    gates, key = Gates(), "sk-" + "0" * 45
    gates.of(1, "m", key)
    headers = {"x-ratelimit-limit-requests": "60"}

    def none() -> None:
        gate = gates.of(1, "m", key)
        if gate.is_closed:
            raise AssertionError
        gate.heard(200, headers)

    took = min(timeit.repeat(none, number=100_000, repeat=7)) / 100_000 * 1e6
    row("a call without any rate limit: what hearing the vendor costs", f"{took:.2f} µs", "≤ 1 µs", reached=took <= 1)
