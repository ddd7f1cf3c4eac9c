"""The Usage page beside a full request log: how quickly it fills, and how quickly the page is drawn."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path

import psycopg
from sqlmodel import Session, select

from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.govern import usage
from core.govern.call_queries import CallFilters
from core.store import db
from core.store.tables import User

ROWS = 1_000_000
DAYS = 30
BATCH = 10_000
FILL = """
    INSERT INTO llm_logs (at, user_id, provider_id, provider, model, status, attempts, latency_ms, generation,
        prompt, parameters, response, token_usage, input_tokens, output_tokens, cost, error)
    SELECT now() - make_interval(secs => (%(rows)s::int - n) * %(days)s * 86400.0 / %(rows)s::int),
        CASE WHEN n %% 3 > 0 THEN 'user ' || n %% 1000 END, n %% 5, 'p' || n %% 5, 'p' || n %% 5 || '-m' || n %% 7 / 3,
        CASE WHEN n %% 25 = 0 THEN 'error' WHEN n %% 211 = 0 THEN 'cancelled' ELSE 'ok' END,
        1, (exp(random() * 2 + random() * 2 + random() * 2 + 4))::int, 1,
        'Summarise ticket ' || n || repeat(' and say why', 40), '{"temperature": 0.4, "max_tokens": 2000}',
        repeat('Because it is so. ', 20), '{"input": 150, "output": 80, "cache_read": 0}', 100 + n %% 100, n %% 300,
        CASE WHEN n %% 50 > 0 THEN 0.00025 * (n %% 7) END,
        CASE WHEN n %% 25 = 0 THEN 'The vendor answered 529: overloaded' END
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""

SEARCHES = {
    "everything": CallFilters(),
    "a provider": CallFilters(provider="p1"),
    "errors": CallFilters(status="error"),
    "a rare status": CallFilters(status="cancelled"),
    "a provider and a model that it does not have": CallFilters(provider="p1", model="p2-m1"),
    "a status and a provider that do not meet": CallFilters(status="error", provider="p1"),
    "a user": CallFilters(user_id="user 7"),
}


def fill(url: str, rows: int = ROWS) -> float:
    """Log *rows* calls over 30 days, oldest first, in batches, with every trigger; return the seconds it took."""
    begun = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(1, rows + 1, BATCH):
            last = min(first + BATCH - 1, rows)
            connection.execute(FILL, {"rows": rows, "days": DAYS, "first": first, "last": last})
    took = time.perf_counter() - begun
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE llm_logs")  # as autovacuum does in time
        connection.execute("VACUUM ANALYZE llm_usage")
    return took


def queries() -> dict[str, float]:
    """Return the seconds of each query that the page makes, the best of three."""
    asked: dict[str, Callable[[Session], object]] = {
        f"figures, {span} by {by}": partial(usage.course, actor=COMMAND_LINE, span=span, by=by)
        for span in usage.SPANS
        for by in ("provider", "model")
    }
    asked["choices of the filters"] = partial(usage.choices, actor=COMMAND_LINE)
    for what, filters in SEARCHES.items():
        asked[f"list, {what}"] = partial(usage.search, actor=COMMAND_LINE, filters=filters, limit=25)
    return {what: min(_seconds(work) for _ in range(3)) for what, work in asked.items()}


def _seconds(work: Callable[[Session], object]) -> float:
    with db.transaction() as session:
        begun = time.perf_counter()
        work(session)
        return time.perf_counter() - begun


def drawn(span: str, by: str) -> float:
    """Return the seconds of a run of the page's script, queries and all, the best of three; the browser is not in it."""
    from streamlit.testing.v1 import AppTest  # noqa: PLC0415 - the other benchmarks are measured without it

    with db.transaction() as session:
        admin = session.exec(select(User).where(User.username == "bench")).one()
        actor = Actor(admin.username, admin.id, admin.auth_epoch)
    at = AppTest.from_file(str(Path("streamlit_app.py").resolve()), default_timeout=60)
    at.session_state["actor"] = actor
    at.run()
    at.switch_page("pages/usage.py")
    at.query_params.update({"span": usage.SPANS[span].label, "by": by.title()})
    at.run()  # the first one imports the charts
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        at.run()
        took.append(time.perf_counter() - begun)
        assert not at.exception
        assert at.metric
    return min(took)


def measure(url: str) -> dict[str, float]:
    """Fill the log, look at it, and return what was done -> seconds; the first is the filling."""
    took = {f"request log: {ROWS:,} calls added, with their figures": fill(url)}
    took |= {f"request log of {ROWS:,}: {what}": seconds for what, seconds in queries().items()}
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "bench", "correct horse battery", "admin")
    logging.disable(logging.WARNING)  # AppTest outside of a test warns at each step
    for span, by in (("day", "provider"), ("month", "model")):
        took[f"script of the Usage page at {ROWS:,} calls, {span} by {by}"] = drawn(span, by)
    return took


def run(url: str, row: Callable[..., None]) -> None:
    """Print the rows of the table; measured in a process of its own, as the app is one."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.usage"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DATABASE_URL": url},
    )
    filling, *rest = json.loads(done.stdout).items()
    row(filling[0], f"{filling[1]:.0f} s", "(compared)", reached=None)
    for what, each in groupby(rest, key=lambda pair: pair[0].partition(", ")[0]):
        of_each = sorted(seconds for _, seconds in each)
        figures = " to ".join(f"{seconds * 1000:.0f}" for seconds in dict.fromkeys((of_each[0], of_each[-1])))
        kinds = f", {len(of_each)} kinds" if len(of_each) > 1 else ""
        row(f"{what}{kinds}", f"{figures} ms", "≤ 1 s", reached=of_each[-1] <= 1)


if __name__ == "__main__":
    print(json.dumps(measure(os.environ["DATABASE_URL"])))  # noqa: T201 - for the process that asked
