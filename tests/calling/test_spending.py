"""Many processes at the edge of one budget, while connections are cut and one of them is killed: nothing is lost, and nothing passed."""

import bisect
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from core.calling.leases import Leases
from core.errors import BudgetExceeded
from tests.calling.spender import LARGEST, MOST
from tests.calling.test_leases import budget, period
from tests.conftest import ROOT
from tests.processes import environment

LONG = int(os.environ.get("LLM_TEST_SPENDING", "5"))
PROCESSES, CALLERS, LONGEST = (8, 50, 0.2) if LONG > 60 else (3, 12, 0.02)
"""The last: seconds of a call. Shorter ones, from so many threads, leave nobody a core to tell what was spent."""
LIVES = 2.0
ENOUGH = Decimal(LONG * (25 if LONG > 60 else 14))
"""Less than can be spent in the time: the edge is reached, after one was killed."""


def steps(log: Path) -> list[tuple[float, str, Decimal]]:
    """What a process wrote down; the last line of a killed one may be half."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(float(line[0]), line[1], Decimal(line[2])) for line in lines if len(line) == 3]


def total(found: list[tuple[float, str, Decimal]], what: str) -> Decimal:
    return sum((amount for _, kind, amount in found if kind == what), Decimal(0))


def unheard_of(log: list[tuple[float, str, Decimal]]) -> Decimal:
    """Return what a process spent in the times in which its lease ended, as nothing of it was heard: others were lent that as well."""
    heard = sorted({*(at for at, what, _ in log if what == "heard"), max(at for at, _, _ in log)})
    log = sorted(log)
    return sum(
        (total(log[_after(log, a) : _after(log, b)], "settled") for a, b in itertools.pairwise(heard) if b - a > LIVES),
        Decimal(0),
    )


def _after(log: list[tuple[float, str, Decimal]], moment: float) -> int:
    """Return the number of steps up to *moment*: in five minutes there are millions."""
    return bisect.bisect_right(log, moment, key=lambda step: step[0])


@pytest.mark.kill
def test_counted_is_true_at_the_edge(database: str, tmp_path: Path) -> None:
    """Costs of up to 1.5 times the reserve, connections cut all the time, one process killed: what is counted is what was spent.

    Each process spends of the one budget, and of one that is its alone, which says of whom something is missing.
    """
    one = budget(database, str(ENOUGH))
    own = [
        budget(database, str(10 * ENOUGH), name=str(number), period=f"{('day', 'week')[number % 2]}", is_active=False)
        for number in range(PROCESSES)
    ]
    logs = [tmp_path / f"{number}" for number in range(PROCESSES)]
    crew = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.calling.spender",
                database,
                f"{one.id},{mine.id}",
                str(CALLERS),
                str(LONG),
                str(LIVES),
                str(LONGEST),
                log,
            ],
            env=environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for mine, log in zip(own, logs, strict=True)
    ]
    begun = time.monotonic() + 60
    while not all(log.exists() and log.stat().st_size for log in logs):
        assert time.monotonic() < begun
        time.sleep(0.05)
    cut, until = 0, time.monotonic() + LONG * 0.8
    kill_at = time.monotonic() + LONG * 0.3
    with psycopg.connect(database, autocommit=True) as connection:
        while time.monotonic() < until:
            time.sleep(random.uniform(0.05, 0.4))
            cut += connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM ("
                " SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'llm-settings leases%%' ORDER BY random() LIMIT %s) found",
                [random.choice((1, 1, 1, 1, PROCESSES))],
            ).fetchone()[0]
            if time.monotonic() > kill_at and crew[0].poll() is None:
                crew[0].send_signal(signal.SIGKILL)
    outcomes = [json.loads(each.communicate(timeout=LONG + 60)[0] or "null") for each in crew[1:]]
    crew[0].wait(10)
    assert cut > 3
    assert all(outcome["told"] for outcome in outcomes)

    time.sleep(LIVES + 0.1)
    last = Leases(database, lives=LIVES)  # sweeps away what the killed one held
    for of in (one, *own):
        with suppress(BudgetExceeded):
            last.settle(last.reserve([of], Decimal("0.0000000001")), Decimal(0))
    last.flush()
    last.close()
    spent, *each = [period(database, of)[0] for of in (one, *own)]
    assert spent == sum(each)
    logged = [steps(log) for log in logs]
    assert each[1:] == [total(log, "settled") for log in logged[1:]]

    killed = logged[0]
    last_heard = max(at for at, what, _ in killed if what == "heard")
    unheard = [step for step in killed if step[0] > last_heard]
    true, open_then = total(killed, "settled"), total(killed, "reserved") - total(killed, "ended")
    assert true - total(unheard, "settled") <= each[0] <= true + open_then + total(unheard, "reserved")
    lent_twice = sum((unheard_of(log) for log in logged), Decimal(0))
    assert spent <= ENOUGH + lent_twice + PROCESSES * CALLERS * LARGEST * Decimal(str(MOST - 1))
    if all(outcome["refusals"].get("spent") for outcome in outcomes):  # a slow machine does not come to the edge
        assert spent > ENOUGH - LARGEST
