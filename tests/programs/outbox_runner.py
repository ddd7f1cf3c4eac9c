"""A process that tells webhooks, until its standard input ends; argument 1 is the seconds between two looks."""

import sys

from core.govern.outbox import Outbox

if __name__ == "__main__":
    outbox = Outbox(look=float(sys.argv[1]))
    outbox.start()
    print("started", flush=True)  # noqa: T201 - for the test
    sys.stdin.read()
    outbox.close()
