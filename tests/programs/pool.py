"""A multiprocessing pool: `python -m tests.programs.pool fork` or `spawn`. Each line on stdin is one look by every process."""

import json
import multiprocessing
import os
import sys
import time

from core.resolve import resolve

WORKERS = 3


def look(_job: int) -> dict[str, object]:
    """Say what this process has, slowly enough that each process of the pool gets a job."""
    time.sleep(0.2)
    settings = resolve("openai")
    return {
        "pid": os.getpid(),
        "status": settings.status,
        "temperature": settings.temperature,
        "key": settings.api_key()[-4:],
    }


if __name__ == "__main__":
    resolve("openai")  # the parent has a snapshot, a thread and a connection; a forked child has the snapshot
    with multiprocessing.get_context(sys.argv[1]).Pool(WORKERS) as pool:
        for _ in sys.stdin:
            print(json.dumps(pool.map(look, range(WORKERS), chunksize=1)), flush=True)  # noqa: T201 - its answer
