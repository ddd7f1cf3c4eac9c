"""The lines of background threads to the store."""

import pytest

from tests.processes import python

FORKED = """
import os, sys, threading, time
from core.postgres import lines

def reach():
    try:
        lines.connect("postgresql://127.0.0.1:1/none", "test")
    except Exception as error:
        return type(error).__name__

threading.Thread(target=reach, daemon=True).start()
while "psycopg" not in sys.modules:
    time.sleep(0.0001)
if (child := os.fork()) == 0:
    os._exit(0 if reach() == "OperationalError" else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), reach())
"""


@pytest.mark.program
def test_a_fork_while_a_thread_imports_the_driver() -> None:
    """The child has all of it, though no thread of the parent goes on there; the server that is not there is what both are told."""
    done = python(FORKED)

    assert (done.stdout.split(), done.stderr) == (["0", "OperationalError"], "")
