"""The organisation layer to come: settings rows by the hundred thousand, read in several ways, each in a process of its own.

What is chosen, and why, stands in docs/decisions/snapshot-of-lines.md.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from core.resolving.columns import SETTINGS
from core.resolving.layers import Layer
from core.resolving.merge import build, layer_of
from core.resolving.rows import NULL, read
from core.store import db
from core.store.tables import LlmSettings

PROVIDERS = 1000
PER_ORGANISATION = 10
COLUMNS = ", ".join(("organization_id", *SETTINGS))
BELOW = "is_active AND organization_id IS NOT NULL"


class Figures(NamedTuple):
    """What one way of reading took."""

    rows: int
    seconds: float
    mebibytes: float
    busy_seconds: float | None
    """The same with a thread beside it that computes without a pause."""
    answer_us: float
    """One answer for an organisation, merged on first use."""


def fill(url: str, rows: int) -> None:
    """Store *rows* settings rows of organisations, ten each, with one to three values."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SET session_replication_role = replica"
        )  # no triggers: a million events are not the question
        connection.execute("DELETE FROM llm_settings WHERE organization_id IS NOT NULL")
        connection.execute(
            "INSERT INTO llm_providers (id, name, display_name, kind, available_models, default_model, is_active)"
            " SELECT n, 'g' || n, 'G', 'openai', '[\"m\"]', 'm', true FROM generate_series(100001, %s) AS n"
            " ON CONFLICT DO NOTHING",
            [100_000 + PROVIDERS],
        )
        connection.execute(
            "INSERT INTO llm_settings (organization_id, provider_id, temperature, max_tokens, log_level, field_changes)"
            " SELECT n / %s, 100001 + n %% %s, n %% 20 / 10.0, CASE WHEN n %% 2 = 0 THEN 1000 END,"
            "  CASE WHEN n %% 3 = 0 THEN 'minimal' END,"
            '  \'{"temperature": {"by": "ada", "at": "2026-01-02T03:04:05+00:00", "version": 1}}\''
            " FROM generate_series(0, %s) AS n",
            [PER_ORGANISATION, PROVIDERS, rows - 1],
        )
        connection.execute("ANALYZE llm_settings")


def lines(connection: "psycopg.Connection[Any]", where: str = BELOW) -> dict[bytes, list[bytes]]:
    """COPY, and keep the lines: organisation -> its lines."""
    found: dict[bytes, list[bytes]] = {}
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY (SELECT {COLUMNS} FROM llm_settings WHERE {where}) TO STDOUT") as copy,
    ):
        for block in copy:
            organisation, _, line = bytes(block)[:-1].partition(b"\t")
            if organisation in found:
                found[organisation].append(line)
            else:
                found[organisation] = [line]
    return found


def sparse(connection: "psycopg.Connection[Any]") -> dict[bytes, list[tuple[Any, ...]]]:
    """COPY, and keep what is not NULL: (column, value) pairs, of which equal ones are shared."""
    found: dict[bytes, list[tuple[Any, ...]]] = {}
    shared: dict[Any, Any] = {}
    names = tuple(SETTINGS)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY (SELECT {COLUMNS} FROM llm_settings WHERE {BELOW}) TO STDOUT") as copy,
    ):
        for block in copy:
            organisation, *parts = bytes(block)[:-1].split(b"\t")
            pairs = [(name, part) for name, part in zip(names, parts, strict=True) if part != NULL]
            row = tuple(shared.setdefault(pair, pair) for pair in pairs)
            found.setdefault(organisation, []).append(row)
    return found


def fetched(connection: "psycopg.Connection[Any]") -> dict[bytes, list[Any]]:
    """Fetchall: rows as the driver reads them."""
    found: dict[bytes, list[Any]] = {}
    for organisation, *row in connection.execute(f"SELECT {COLUMNS} FROM llm_settings WHERE {BELOW}").fetchall():
        found.setdefault(b"%d" % organisation, []).append(row)
    return found


def objects(_connection: "psycopg.Connection[Any]") -> dict[bytes, list[Any]]:
    """SQLModel objects."""
    from sqlmodel import col, select  # noqa: PLC0415 - the other ways are measured without it

    found: dict[bytes, list[Any]] = {}
    with db.transaction() as session:
        for row in session.exec(select(LlmSettings).where(col(LlmSettings.organization_id).is_not(None))):
            found.setdefault(b"%d" % (row.organization_id or 0), []).append(row)
    return found


WAYS: dict[str, Callable[["psycopg.Connection[Any]"], dict[bytes, Any]]] = {
    "lines": lines,
    "sparse": sparse,
    "fetchall": fetched,
    "objects": objects,
}


def _resident() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def _answer(kept: list[Any]) -> object:
    line = kept[0]
    row = read(line, SETTINGS) if isinstance(line, bytes) else dict.fromkeys(SETTINGS) | dict(line)
    layer = layer_of(row)
    return build(None, [Layer(layer.name, 1, 1, row, {})], name="g1")


def measure(way: str, url: str) -> Figures:
    """Run in a process of its own: time and memory of one way of reading, then once more beside a busy thread."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT 1")
        before = _resident()
        begun = time.perf_counter()
        kept = WAYS[way](connection)
        seconds = time.perf_counter() - begun
        mebibytes = _resident() - before
        rows = sum(map(len, kept.values()))
        answer = 0.0
        if way in {"lines", "sparse"}:
            some = [kept[b"%d" % n] for n in range(1, 1001)]
            begun = time.perf_counter()
            for each in some:
                _answer(each)
            answer = (time.perf_counter() - begun) * 1000
        del kept
        busy = None
        if way != "objects":  # beside a busy thread these take minutes
            stop = threading.Event()
            thread = threading.Thread(target=_compute, args=(stop,))
            thread.start()
            begun = time.perf_counter()
            WAYS[way](connection)
            busy = time.perf_counter() - begun
            stop.set()
            thread.join()
    return Figures(rows, seconds, mebibytes, busy, answer)


def _compute(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))


def one_organisation(url: str) -> tuple[float, float]:
    """Return median and worst milliseconds in which one organisation's rows are read on first touch, of 500."""
    took = []
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(500):
            begun = time.perf_counter()
            found = connection.execute(
                f"SELECT {COLUMNS} FROM llm_settings WHERE is_active AND organization_id = %s",
                [number * 7 + 1],
                prepare=True,
            ).fetchall()
            took.append((time.perf_counter() - begun) * 1000)
            assert len(found) == PER_ORGANISATION
    took.sort()
    return took[len(took) // 2], took[-5]


def run(url: str, row: Callable[..., None]) -> None:
    """Print the rows of the table."""
    for rows, ways, must in (
        (100_000, ("lines", "sparse", "fetchall", "objects"), (0.4, 70)),
        (1_000_000, ("lines", "sparse"), (4.0, 600)),
    ):
        fill(url, rows)
        for way in ways:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.growth", way],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "DATABASE_URL": url},
            )
            found = Figures(*json.loads(done.stdout))
            assert found.rows == rows
            figures = f"{found.seconds:.2f} s, {found.mebibytes:.0f} MiB"
            if found.busy_seconds:
                figures += f", busy {found.busy_seconds:.2f} s"
            if found.answer_us:
                figures += f", answer {found.answer_us:.0f} µs"
            what = f"organisations: {rows:,} rows, {way}"
            if way == "lines":
                reached = found.seconds <= must[0] and found.mebibytes <= must[1]
                row(what, figures, f"≤ {must[0]} s, {must[1]} MiB", reached=reached)
            else:
                row(what, figures, "(compared)", reached=None)
        median, worst = one_organisation(url)
        row(
            f"one organisation of {rows // PER_ORGANISATION:,} on first touch",
            f"{median:.2f} ms, p99 {worst:.2f}",
            "≤ 0.5 ms",
            reached=median <= 0.5,
        )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM llm_settings WHERE organization_id IS NOT NULL")
        connection.execute("DELETE FROM llm_providers WHERE id > 100000")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], os.environ["DATABASE_URL"])))  # noqa: T201 - for the process that asked
