"""How long a migration from the last release's schema, with three years of data, holds up those who work meanwhile."""

import contextlib
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from core.store import db, migrate
from tests.conftest import named

FROM: Final = "0008"
"""The schema of the last release, 0.1.0."""
PROVIDERS, EVENTS, LOGS = 10_000, 100_000, 300_000
MUST: Final = 1000.0
"""Milliseconds that nobody waits longer: a request of the app waits 1.5 seconds for a lock."""

WORK: Final = {
    "reader": "SELECT count(*) FROM llm_settings WHERE provider_id = 1",
    "writer": "UPDATE llm_providers SET description = md5(clock_timestamp()::text) WHERE id = 1",
    "log": "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation)"
    " VALUES (now(), 'p1', 'm', 'ok', 1, 10, 1)",
}
"""What goes on meanwhile, each on a connection of its own; the statements of both releases."""


def fill(connection: "psycopg.Connection[Any]", providers: int, events: int, logs: int) -> None:
    """Store data as the last release would have left it; without triggers, as what they cost is not the question."""
    connection.execute("SET session_replication_role = replica")
    connection.execute(
        "INSERT INTO llm_providers (id, name, display_name, kind, available_models, default_model)"
        " SELECT n, 'p' || n, 'P', 'openai', '[\"m\"]', 'm' FROM generate_series(1, %s) AS n",
        [providers],
    )
    connection.execute("INSERT INTO llm_settings (provider_id, temperature) SELECT id, 0.5 FROM llm_providers")
    connection.execute(
        "INSERT INTO audit_events (seq, hash, actor, action, target_type, target_id, target, changes)"
        " SELECT n, md5(n::text) || md5(n::text), 'ada', 'provider.update', 'provider', n, 'p', jsonb_build_object('n', n)"
        " FROM generate_series(1, %s) AS n",
        [events],
    )
    connection.execute("UPDATE audit_head SET seq = %s", [events])
    connection.execute(
        "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation, prompt)"
        " SELECT now() - n * interval '10 seconds', 'p1', 'm', 'ok', 1, n %% 3000, 1, repeat('prompt ', 40)"
        " FROM generate_series(1, %s) AS n",
        [logs],
    )
    connection.execute("SET session_replication_role = origin")
    connection.execute("ANALYZE")


def measure(url: str) -> tuple[float, dict[str, float]]:
    """Migrate the database of *url* to this version's schema; return the seconds, and who waited how many milliseconds at most."""
    ends, longest, medians = threading.Event(), dict.fromkeys(WORK, 0.0), dict.fromkeys(WORK, 0.0)

    def work(who: str) -> None:
        took = []
        with psycopg.connect(url, autocommit=True) as connection:
            while not ends.is_set():
                begun = time.perf_counter()
                with contextlib.suppress(psycopg.errors.DeadlockDetected):
                    connection.execute(WORK[who].encode())
                took.append((time.perf_counter() - begun) * 1000)
        longest[who], medians[who] = max(took), statistics.median(took)

    crew = [threading.Thread(target=work, args=[who]) for who in WORK]
    engine = db.make_engine(url)
    for one in crew:
        one.start()
    try:
        time.sleep(0.5)
        begun = time.perf_counter()
        migrate.upgrade(engine)
        seconds = time.perf_counter() - begun
        time.sleep(0.5)
    finally:
        ends.set()
        for one in crew:
            one.join()
        engine.dispose()
    return seconds, {who: longest[who] - medians[who] for who in WORK}


def run(url: str, row: Callable[..., None], sizes: tuple[int, int, int] = (PROVIDERS, EVENTS, LOGS)) -> None:
    """Measure on a database of its own, on the server of *url*."""
    name = "bench_migration"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
        try:
            target = named(url, name)
            engine = db.make_engine(target)
            migrate.upgrade(engine, FROM)
            engine.dispose()
            with psycopg.connect(target, autocommit=True) as connection:
                fill(connection, *sizes)
            seconds, waits = measure(target)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    said = ", ".join(f"{who} {milliseconds:.0f}" for who, milliseconds in waits.items())
    what = f"migrate {FROM} to {migrate.head()} with {sizes[0]:,} providers, {sizes[1]:,} events, {sizes[2]:,} logs: longest wait"
    row(what, f"{said} ms; {seconds:.2f} s in all", f"≤ {MUST:.0f} ms", reached=max(waits.values()) <= MUST)
