"""Thousands of calls: memory stays flat, no row of the log is lost, and nothing is warned of.

How many is for `LLM_TEST_CALLS` to say: 2,000, or 20,000 in the nightly run.
"""

import os
import subprocess
import sys

import psycopg
import pytest

from tests.calls import configure
from tests.conftest import ROOT
from tests.processes import environment
from tests.vendors import Vendor

pytest_plugins = ["tests.calls"]

MANY = """
import asyncio, gc, resource, sys
from core import ai, logs
from core.ai import complete, complete_async, stream

COUNT = int(sys.argv[1])
TALK = [{"role": "user", "content": "x" * 1000}]

def memory():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024

async def some(count):
    asyncio.get_running_loop().slow_callback_duration = 10  # by the wall clock, which is no fault of ours here
    for _ in range(count // 10):
        await asyncio.gather(*(complete_async(TALK, tags=["many"]) for _ in range(10)))

def round_of(count):
    for _ in range(count // 2):
        complete(TALK)
    asyncio.run(some(count // 4))
    for _ in range(count // 4):
        list(stream(TALK))
    assert logs.flush(60)

round_of(COUNT // 10)  # everything is imported, every pool is as large as it gets
before = memory()
round_of(COUNT - COUNT // 10)
after = memory()
print(before, after, logs.dropped())
"""
COUNT = int(os.environ.get("LLM_TEST_CALLS", "2000"))
NOISE = 2_000
"""KiB that memory may grow by, however few the calls are; and two more for each call."""


@pytest.mark.kill
def test_thousands_of_calls(store: str, vendor: Vendor) -> None:
    """Whole, asynchronous and in parts, in a process with every warning on."""
    configure(log_level="minimal")

    ended = subprocess.run(
        [sys.executable, "-c", MANY, str(COUNT)],
        env=environment(DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1", PYTHONDEVMODE="1"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    before, after, dropped = map(int, ended.stdout.split())
    assert dropped == 0
    assert len(vendor.asked) == COUNT
    with psycopg.connect(store) as connection:
        assert connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE status = 'ok') FROM llm_logs"
        ).fetchone() == (COUNT, COUNT)
    assert after - before < NOISE + 2 * COUNT
