"""What a call holds of budgets, and one that waits for it. :mod:`~.leases` has the lock that both are changed under."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from ..errors import BudgetExceeded
from ..resolving.budgets import Budget
from .meters import NOTHING, Meter

refused: Final[Counter[str]] = Counter()
"""Calls of this process that budgets did not let through, by reason."""


class Hold:
    """What one attempt of a call has reserved. Settle it once; again changes nothing."""

    __slots__ = ("_is_settled", "_parts", "amount")

    def __init__(self, amount: Decimal, parts: Sequence[tuple[Meter, Decimal]]) -> None:
        self.amount = amount
        self._parts = parts
        """Meters, and what of the amount is of the lease of each."""
        self._is_settled = False

    def put(self, cost: Decimal, *, estimated: bool, unpriced: bool) -> None:
        """Put the cost in the place of the reserve. Of :class:`Leases`, which has the lock."""
        if self._is_settled:
            return
        self._is_settled = True
        for meter, lent in self._parts:
            meter.put(self.amount, lent, cost, estimated=estimated, unpriced=unpriced)


class Waiter:
    """A call that waits until there is room, or it is known that there is none."""

    __slots__ = ("amount", "budgets", "hold", "patience", "problem", "ready", "since")

    ready: Callable[[], object]
    """What wakes it, once it waits."""

    def __init__(self, budgets: Sequence[Budget], amount: Decimal, patience: float) -> None:
        self.budgets, self.amount, self.patience, self.since = budgets, amount, patience, time.monotonic()
        self.hold: Hold | None = None
        self.problem: BudgetExceeded | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the wait is over."""
        return self.hold is not None or self.problem is not None

    def undo(self) -> None:
        """Give back what it got. Of whoever has the lock."""
        if self.hold is not None:
            self.hold.put(NOTHING, estimated=False, unpriced=False)
