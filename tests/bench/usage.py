"""The Usage page beside a full request log: how quickly it fills, and how quickly the page is drawn."""

import time
from collections.abc import Callable

import psycopg

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
