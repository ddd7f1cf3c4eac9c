"""A process that does periodic work: argument 1 is the seconds of its lease, 2 how many turns of work a run has."""

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from core.govern import jobs
from core.govern.jobs import Job, Runner


def work(transact: Callable[[Callable[[Session], int]], int]) -> int:
    """Note who works, turn by turn."""

    def turn(session: Session) -> int:
        given: dict[str, Any] = {"pid": os.getpid()}
        session.execute(text("INSERT INTO worked (pid) VALUES (:pid)"), given)
        return 1

    done = 0
    for _ in range(int(sys.argv[2])):
        done += transact(turn)
        time.sleep(0.05)
    return done


if __name__ == "__main__":
    jobs.LEASE = float(sys.argv[1])  # type: ignore[misc]  # a shorter one than the product's
    runner = Runner([Job("work", "works", timedelta(hours=1), work)], first=0.05, look=0.2)
    runner.start()
    print("started", flush=True)  # noqa: T201 - for the test
    sys.stdin.read()
    runner.close()
