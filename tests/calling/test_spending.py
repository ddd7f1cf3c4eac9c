"""Many processes at the edge of one budget, while connections are cut and one of them is killed: nothing is lost, and nothing passed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from core.calling.leases import Leases
from tests.calling.spender import LARGEST, MOST
from tests.calling.test_leases import budget, period
from tests.conftest import ROOT
from tests.processes import environment

LONG = int(os.environ.get("LLM_TEST_SPENDING", "5"))
PROCESSES, CALLERS = (8, 50) if LONG > 60 else (3, 12)
LIVES = 2.0
UNTOLD = 0.75
"""Seconds of a killed process's spending that may be lost at most, and some for a busy machine."""
ENOUGH = Decimal(LONG * PROCESSES * CALLERS) / 4
"""About half of what could be spent in the time: the edge is reached."""


def steps(log: Path) -> list[tuple[float, str, Decimal]]:
    """What a process wrote down; the last line of a killed one may be half."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(float(line[0]), line[1], Decimal(line[2])) for line in lines if len(line) == 3]


def total(found: list[tuple[float, str, Decimal]], what: str) -> Decimal:
    return sum((amount for _, kind, amount in found if kind == what), Decimal(0))


@pytest.mark.kill
def test_counted_is_true_at_the_edge(database: str, tmp_path: Path) -> None:
    """Costs of up to 1.5 times the reserve, connections cut all the time, one process killed: what is counted is what was spent."""
    one = budget(database, str(ENOUGH))
    logs = [tmp_path / f"{number}" for number in range(PROCESSES)]
    crew = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.calling.spender",
                database,
                str(one.id),
                str(CALLERS),
                str(LONG),
                str(LIVES),
                log,
            ],
            env=environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for log in logs
    ]
    begun = time.monotonic() + 60
    while not all(log.exists() and log.stat().st_size for log in logs):
        assert time.monotonic() < begun
        time.sleep(0.05)
    cut, until = 0, time.monotonic() + LONG * 0.8
    kill_at = time.monotonic() + LONG * 0.4
    with psycopg.connect(database, autocommit=True) as connection:
        while time.monotonic() < until:
            time.sleep(random.uniform(0.05, 0.4))
            cut += connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'llm-settings leases%'"
            ).fetchone()[0]
            if time.monotonic() > kill_at and crew[0].poll() is None:
                crew[0].send_signal(signal.SIGKILL)
    outcomes = [json.loads(each.communicate(timeout=LONG + 60)[0] or "null") for each in crew[1:]]
    crew[0].wait(10)
    assert cut > 3
    assert all(outcome["told"] for outcome in outcomes)

    time.sleep(LIVES + 0.1)
    last = Leases(database, lives=LIVES)  # sweeps away what the killed one held
    last.settle(last.reserve([one], Decimal("0.0000000001")), Decimal(0)) if period(database, one)[0] < ENOUGH else None
    last.flush()
    last.close()
    spent = period(database, one)[0]
    killed, others = steps(logs[0]), [step for log in logs[1:] for step in steps(log)]
    died = max(at for at, _, _ in killed)
    true, lost = (
        total(others, "settled") + total(killed, "settled"),
        total([s for s in killed if s[0] > died - UNTOLD], "settled"),
    )
    open_then = total(killed, "reserved") - total([s for s in killed if s[0] <= died], "ended")
    assert true - lost <= spent <= true + open_then + total([s for s in killed if s[0] > died - UNTOLD], "reserved")
    assert spent <= ENOUGH + PROCESSES * CALLERS * LARGEST * Decimal(str(MOST - 1))
    if not any(outcome["refusals"].get("spent") is None for outcome in outcomes):
        assert spent > ENOUGH - LARGEST
