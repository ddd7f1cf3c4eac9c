"""A process that spends of its budgets until one is spent, from many threads, and writes down each step: ``python -m tests.calling.spender``."""

import json
import os
import random
import sys
import threading
import time
from decimal import Decimal

from core.calling.leases import Leases
from core.errors import BudgetExceeded
from core.resolving.budgets import Budget

LARGEST = Decimal("0.02")
"""Of a reserve."""
MOST = 1.5
"""Times the reserve that a call may cost."""


def main(url: str, budget_ids: str, callers: str, seconds: str, lives: str, longest: str, log: str) -> None:
    """Spend; the log has a line for each reserve, and each cost before it is settled: its time, what, and how much.

    A line ``heard`` has the time at which a word was sent that the store has answered. *longest*: seconds of a call.
    """
    leases = Leases(url, lives=float(lives))
    budgets = [Budget(int(each), each, "hard", "refuse", "closed") for each in budget_ids.split(",")]
    until = time.monotonic() + float(seconds)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    refusals: dict[str, int] = {}

    def note(what: str, amount: Decimal) -> None:
        os.write(descriptor, f"{time.time()} {what} {amount}\n".encode())

    def call() -> None:
        chance = random.Random()
        while time.monotonic() < until:
            amount = LARGEST * Decimal(str(round(chance.uniform(0.2, 1), 3)))
            try:
                hold = leases.reserve(budgets, amount)
            except BudgetExceeded as error:
                refusals[error.reason] = refusals.get(error.reason, 0) + 1
                if error.reason == "spent" and error.needed is not None and error.needed < LARGEST / 4:
                    return
                continue
            note("reserved", amount)
            time.sleep(chance.uniform(0, float(longest)))
            cost = amount * Decimal(str(round(chance.uniform(0, MOST), 3)))
            note("settled", cost)
            note("ended", amount)
            leases.settle(hold, cost)

    threading.Thread(target=listen, args=(leases, budgets[0].name, descriptor), daemon=True).start()
    crew = [threading.Thread(target=call) for _ in range(int(callers))]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    sys.stdout.write(json.dumps({"told": leases.flush(20), "refusals": refusals}))


def listen(leases: Leases, name: str, descriptor: int) -> None:
    """Write down, for good, when the words were sent that the store has answered."""
    heard = 0.0
    while True:
        standing = leases.state(name)
        if standing is not None and (as_of := standing.as_of.timestamp()) > heard + 0.01:
            heard = as_of
            os.write(descriptor, f"{heard} heard 0\n".encode())
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
