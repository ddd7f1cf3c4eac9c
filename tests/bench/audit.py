"""The audit's chain: how long a commit takes that links many events at once."""

import time
from collections.abc import Callable

import psycopg

NUMBERS = {1_000: 0.3, 10_000: 1.5, 100_000: 10.0}
"""Events of one transaction -> seconds that writing and linking them may take."""
ADD = """
    INSERT INTO audit_events (actor, action, target_type, target, changes)
    SELECT 'ada', 'settings.update', 'settings', 'row ' || n, '{"temperature": {"before": 0.1, "after": 0.2}}'
    FROM generate_series(1, %s) AS n
"""


def linked(url: str, number: int) -> tuple[float, float]:
    """Return the seconds in which *number* events are written, and those of the commit, in which others wait."""
    with psycopg.connect(url) as connection:
        begun = time.perf_counter()
        connection.execute(ADD, [number])
        written = time.perf_counter()
        connection.commit()
        return written - begun, time.perf_counter() - written


def run(url: str, row: Callable[..., None]) -> None:
    """Print the rows of the table."""
    for number, must in NUMBERS.items():
        writing, linking = linked(url, number)
        row(
            f"audit: {number:,} events in one transaction",
            f"{writing + linking:.2f} s, its commit {linking:.2f}",
            f"≤ {must:g} s",
            reached=writing + linking <= must,
        )
