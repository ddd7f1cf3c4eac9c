"""A million versions in the history: what a moment, a difference and a list of them cost."""

import time
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.govern import history
from core.govern.history_moments import moment, newest
from core.govern.history_queries import Filters
from core.store import db, past

VERSIONS = 1_000_000
ORGANIZATIONS, GLOBAL, EVERY = 10_000, 40, 50
"""Of every 50 generations one is of a row that is nobody's."""
FIRST = 1_000_000_000
"""Ids of rows that are in the history alone."""
APART = 1_000
"""Generations between the two moments that are compared."""
FILL = """
    WITH base AS (SELECT generation FROM settings_generation), numbered AS (
        SELECT base.generation + n AS generation, n FROM base, generate_series(1, %(versions)s) AS n
    ), times AS (
        INSERT INTO settings_generations (generation, at, by)
            SELECT generation, now() - make_interval(secs => (%(versions)s - n) * 30.0), 'user ' || n %% 20 FROM numbered
    )
    INSERT INTO settings_history (table_name, row_id, generation, at, organization_id, op, by, version, image)
        SELECT 'llm_settings', %(first)s + CASE WHEN n %% %(every)s = 0 THEN n / %(every)s %% %(global)s ELSE 1000 + n %% 100000 END,
            generation, now() - make_interval(secs => (%(versions)s - n) * 30.0),
            CASE WHEN n %% %(every)s > 0 THEN %(first)s + n %% %(organizations)s END, '=', 'user ' || n %% 20, 1 + n / 100000,
            jsonb_build_object('id', %(first)s + n %% 100000, 'is_active', true, 'max_tokens', n, 'temperature', 0.5)
                || CASE WHEN n %% %(every)s > 0 THEN jsonb_build_object('organization_id', %(first)s + n %% %(organizations)s)
                    ELSE '{}' END
        FROM numbered
"""


def fill(url: str, versions: int = VERSIONS) -> None:
    """Write so many versions, each of a generation of its own, 30 seconds apart, of 100,000 rows and 40 of nobody's."""
    with psycopg.connect(url, autocommit=True) as connection:
        counts = {
            "versions": versions,
            "first": FIRST,
            "every": EVERY,
            "global": GLOBAL,
            "organizations": ORGANIZATIONS,
        }
        connection.execute("SET statement_timeout = 0")
        connection.execute(FILL, counts)
        connection.execute("UPDATE settings_generation SET generation = generation + %s", [versions])
        connection.execute("ANALYZE settings_history, settings_generations")


def _best(work: Callable[[], object], times: int = 9) -> float:
    """Best of some runs, in ms: on a busy machine the others measure its neighbours."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append((time.perf_counter() - begun) * 1000)
    return min(found)


def _rows(session: Session, generation: int, organizations: tuple[int, ...]) -> int:
    with past.reading(session, past.Past(generation, organizations)) as then:
        return len(then.execute(text("SELECT id, max_tokens, temperature, organization_id FROM llm_settings")).all())


def run(url: str, row: Callable[..., None], versions: int = VERSIONS) -> None:
    """Measure what the history answers with *versions* in it."""
    fill(url, versions)
    with psycopg.connect(url, autocommit=True) as connection:
        size: Any = connection.execute("SELECT pg_total_relation_size('settings_history')").fetchone()
    row("history: a version, with its indexes", f"{size[0] / versions:.0f} bytes", "(compared)", reached=None)
    with db.transaction() as session:
        last = newest(session)
        middle = last.generation - versions // 2
        one, apart = FIRST + 7, min(APART, versions // 4)
        measured: tuple[tuple[str, Callable[[], object], float], ...] = (
            (
                "as of a generation: one organisation's rows, and all that are nobody's",
                lambda: _rows(session, middle, (one,)),
                5,
            ),
            ("as of a generation: all rows that are nobody's", lambda: _rows(session, middle, ()), 50),
            ("the generation of a time", lambda: moment(session, moment(session, middle).at), 5),
            (
                f"what differs between two moments, {apart:,} generations apart",
                lambda: history.difference(session, COMMAND_LINE, middle, middle + apart),
                50,
            ),
            (
                "the newest 50 changes of one organisation",
                lambda: history.changes(session, COMMAND_LINE, Filters(organization_id=one), limit=50),
                5,
            ),
            ("the newest 50 changes of all", lambda: history.changes(session, COMMAND_LINE, limit=50), 5),
        )
        for what, work, must in measured:
            took = _best(work)
            row(f"history, {versions:,} versions: {what}", f"{took:.2f} ms", f"≤ {must} ms", reached=took <= must)
