"""Limits: what it costs to say whom a new one puts out of force, and what an answer costs that limits bind.

Of the rows that :func:`tests.bench.organizations.fill` has stored, and leaves; run with it.
"""

import random
import statistics
import time
import timeit
from collections.abc import Callable
from functools import partial

import psycopg
from psycopg.types.json import Jsonb

from core.actors import COMMAND_LINE
from core.crypto import KeyRing
from core.manage import limits
from core.resolving import reading
from core.resolving.snapshot import Snapshot
from core.store import db

ASKED = 500
"""Organisations whose first answer is timed."""
RULES = {"max_tokens": {"max": 500}, "temperature": {"min": 0.1, "max": 1}, "log_level": {"in": ["minimal"]}}
"""Three fields: of three rows of four one is put out of force at least."""
OWN_RULES = {"top_p": {"max": 0.5}, "max_tokens": {"lock": True}}
STORE = """
    INSERT INTO llm_limits (owner, organization_id, limits) SELECT 'installation', NULL, %s::jsonb
    UNION ALL SELECT 'organization', id, %s::jsonb FROM organizations WHERE id = ANY(%s)
"""
_RING = KeyRing(None)


def _best(work: Callable[[], object], times: int = 5) -> float:
    return min(timeit.repeat(work, number=1, repeat=times)) * 1000


def _loaded(url: str) -> Snapshot:
    with psycopg.connect(url, autocommit=True) as connection:
        return reading.load(connection)


def _answer(taken: Snapshot, number: int) -> object:
    return taken.answer("p101", _RING, organization=f"o{number}", feature="f1")


def _first(taken: list[Snapshot], asked: list[int]) -> list[float]:
    """Return the microseconds of the processor that an organisation's first answer takes, the median; in turns."""
    took: list[list[float]] = [[] for _ in taken]
    for number in asked:
        for each, found in zip(taken, took, strict=True):
            begun = time.process_time()
            _answer(each, number)
            found.append((time.process_time() - begun) * 1e6)
    return [statistics.median(each) for each in took]


def run(url: str, row: Callable[..., None]) -> None:
    """Print the rows of the table."""
    with psycopg.connect(url, autocommit=True) as connection:
        counted = connection.execute(
            "SELECT (SELECT count(*) FROM llm_settings) + (SELECT count(*) FROM feature_llm_overrides)"
        ).fetchone()
        ids = [number for (number,) in connection.execute("SELECT id FROM organizations ORDER BY id")]
    rows = counted[0] if counted else 0
    for what, of, must in ((f"{rows:,} rows", None, 1_000), ("one organisation of them", ids[0], 5)):
        data = {"owner": "installation", "organization_id": of, "limits": RULES}
        with db.transaction() as session:
            found = limits.preview(session, COMMAND_LINE, data)
            took = _best(lambda session=session, data=data: limits.preview(session, COMMAND_LINE, data))  # type: ignore[misc]  # bound here
        figures = f"{took:.1f} ms, {found.effects.rows:,} rows"
        row(f"limits: what a new one puts out of force, {what}", figures, f"≤ {must} ms", reached=took <= must)
    asked = random.Random(3).sample(ids, min(len(ids), ASKED))
    free = _loaded(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers, as for the rows
        connection.execute(STORE, [Jsonb(RULES), Jsonb(OWN_RULES), asked])
        held = _loaded(url)
        connection.execute("DELETE FROM llm_limits")
    first, bound = _first([free, held], asked)
    kept, kept_bound = (
        min(timeit.repeat(partial(_answer, each, asked[0]), number=1000, repeat=9)) * 1000 for each in (free, held)
    )
    figures = f"{bound:.0f} / {first:.0f} µs = {bound / first:.2f}"
    row("limits: an organisation's first answer, four fields bound ÷ none", figures, "≤ 2", reached=bound <= 2 * first)
    figures = f"{kept_bound:.2f} / {kept:.2f} µs = {kept_bound / kept:.2f}"
    row("limits: the same answer again, bound ÷ not", figures, "≤ 1.1", reached=kept_bound <= 1.1 * kept)
