"""Tells the store what calls have cost: sums, numbered, whatever the request log keeps.

What is settled is put down without a lock, for that may happen where a garbage collector ends a generator. One thread adds it up
and tells the sums, four times a second, on a connection of its own, which is closed when there is nothing to tell. While the
store is away the sums wait. A batch keeps its number until the store has answered: told again, it stands once.
"""

import atexit
import contextlib
import json
import logging
import os
import sys
import threading
import time
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..config import get_config
from ..errors import CoreError
from ..postgres import lines, names, refusals, threads
from ..redaction import harmless

if TYPE_CHECKING:
    from psycopg import Connection

EVERY: Final = 0.25
"""Seconds between two tellings at least; as long as four of them take, if that is more."""
BACKOFF: Final = (0.5, 30.0)
HURRIED: Final = 0.1
"""Seconds between two tries while somebody waits for the end of the telling."""
IDLE: Final = 10.0
"""Seconds without anything to tell after which the connection is closed."""
AT_EXIT: Final = 2.0
"""Seconds that a process which ends waits until nothing is untold."""
BATCH: Final = 1000
"""Sums that are told at once."""
MOST: Final = 50_000
"""Sums that wait; what is settled beyond is added up without its feature and cost centre, so that no money is forgotten."""
LONGEST: Final = 200
"""Characters of a name; the rest is cut off."""
STEP: Final = 15.0
"""Seconds that are added up as one while this process has not heard the store's clock yet."""
UNKNOWN: Final = "42883"
"""SQLSTATE: there is no such function."""
NOT_YET: Final = "the database does not know spend yet: run `python -m core migrate`"
_OF_A_BATCH: Final = ("22", "23")
"""Classes of SQLSTATE that what is told causes."""

_log = logging.getLogger(__name__)


class Of(NamedTuple):
    """What spend is added up by."""

    organization_id: int
    """0: none."""
    feature: str
    """Empty: none; so with the cost centre."""
    provider: str
    model: str
    outcome: str
    cost_centre: str


class Settled(NamedTuple):
    """What attempts have cost."""

    of: Of
    at: float
    """When they began, by this process's monotonic clock."""
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    """US dollars; None: the price is not known."""
    estimated: bool
    calls: int = 1


class Untold(NamedTuple):
    """What this process has not told yet."""

    calls: int
    cost: Decimal
    """US dollars, of the calls whose price is known."""
    reason: str | None
    """Why nothing can be told now; None: it can, or was not tried yet."""
    lost: int
    """Calls whose sums the database refuses for what is in them: they are in no figure."""


class _Sum:
    __slots__ = ("calls", "cost", "estimated", "input_tokens", "output_tokens", "unpriced")

    def __init__(self) -> None:
        self.calls = self.input_tokens = self.output_tokens = self.unpriced = 0
        self.cost = self.estimated = Decimal(0)

    def add(self, one: Settled) -> None:
        self.calls += one.calls
        self.input_tokens += one.input_tokens
        self.output_tokens += one.output_tokens
        if one.cost is None:
            self.unpriced += one.calls
        else:
            self.cost += one.cost
            self.estimated += one.cost if one.estimated else 0


_Slot = datetime | float
"""An hour of the store's, or seconds of our monotonic clock while that of the store is not known."""
_Sums = dict[tuple[_Slot, Of], _Sum]


class Teller:
    """A holder of sums, and its thread. The process has one: :data:`teller`."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._reset()

    def _reset(self) -> None:
        self.holder = uuid.uuid4()
        """Who tells; another one after each fork."""
        self._fresh: deque[Settled] = deque()
        self._sums: _Sums = {}
        self._batches: deque[_Sums] = deque()
        """What is being told; the first has the number."""
        self._number = 0
        self._folding, self._starting = threading.Lock(), threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._not_before = float("-inf")
        self._hurries = 0
        self._closed = False
        self._ahead: float | None = None
        """How many seconds the store's clock is ahead of our monotonic one."""
        self.reason: str | None = None
        self.lost = 0

    def begin(self) -> None:
        """Have the thread run: something will be put soon. Never where a garbage collector may be at work."""
        if self._thread is None and time.monotonic() >= self._not_before:
            with self._starting:
                self._start()

    def put(self, settled: Settled) -> None:
        """Have *settled* told, soon. Takes no lock, waits for nothing and never raises."""
        self._fresh.append(settled)

    def untold(self) -> Untold:
        """Return what was put and is not told yet."""
        with self._folding:
            self._fold()
            waiting = [each for sums in (*self._batches, self._sums) for each in list(sums.values())]
        calls = sum(each.calls for each in waiting)
        return Untold(calls, sum((each.cost for each in waiting), Decimal(0)), self.reason, self.lost)

    def tell(self, timeout: float) -> bool:
        """Wait until nothing is untold, at most *timeout* seconds; return whether that is so."""
        until = time.monotonic() + timeout
        if not self._is_told():
            self.begin()
        self._hurries += 1
        self._wake.set()
        try:
            while not self._is_told():
                left = until - time.monotonic()
                if left <= 0 or self._thread is None:
                    return False
                time.sleep(min(0.01, left))
        finally:
            self._hurries -= 1
        return True

    def _is_told(self) -> bool:
        with self._folding:
            return not (self._fresh or self._sums or self._batches)

    def close(self) -> None:
        """End the thread; what is untold stays so."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(BACKOFF[1])

    def _start(self) -> None:
        if self._thread is not None:
            return
        self._not_before = time.monotonic() + threads.AGAIN
        try:
            self._thread = threads.start(self._run, "llm-settings spend")
        except threads.NoThread as error:
            self._say(str(error))
            if error.lasting:
                self._not_before = float("inf")
            return
        _end_with_the_others()

    # What is added up

    def _fold(self) -> None:
        """Add up what was put; the caller has the lock."""
        fresh, sums = self._fresh, self._sums
        while fresh:
            one = fresh.popleft()
            key = (self._slot(one.at), one.of)
            if key not in sums and len(sums) >= MOST:
                key = (key[0], one.of._replace(feature="", cost_centre=""))
            found = sums.get(key)
            if found is None:
                found = sums[key] = _Sum()
            found.add(one)

    def _slot(self, at: float) -> _Slot:
        if self._ahead is None:
            return at // STEP * STEP
        return datetime.fromtimestamp(at + self._ahead, UTC).replace(minute=0, second=0, microsecond=0)

    def _next(self) -> _Sums:
        """Return what is told under the next number: what was not confirmed, or else what there is."""
        with self._folding:
            self._fold()
            if not self._batches:
                taken = [(key, self._sums.pop(key)) for key in list(self._sums)[:BATCH]]
                self._batches.append(dict(taken))
            return self._batches[0]

    # What is told

    def _run(self) -> None:
        line: Connection[Any] | None = None
        used, pause, failures = time.monotonic(), EVERY, 0
        while not self._closed:
            self._wake.wait(min(pause, HURRIED) if self._hurries else pause)
            self._wake.clear()
            began = time.monotonic()
            try:
                while not self._is_told() and not self._closed:
                    line = line or self._connect()
                    self._tell(line, self._next())
                    used, failures = time.monotonic(), 0
                pause = max(EVERY, 4 * (time.monotonic() - began))
            except Exception as error:  # noqa: BLE001 - whatever it is, the calls of the host go on
                line = self._after(line, error)
                failures += 1
                pause = min(BACKOFF[0] * 2 ** min(failures - 1, 10), BACKOFF[1])
            if line is not None and time.monotonic() - used > IDLE and not self._batches:
                line.close()
                line = None
        if line is not None:
            line.close()

    def _connect(self) -> "Connection[Any]":
        line = lines.connect(self._url or lines.find_primary(), names.telling())
        asked = time.monotonic()
        row = line.execute(b"SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        if row is not None:
            self._ahead = row[0] - (asked + time.monotonic()) / 2
        return line

    def _tell(self, line: "Connection[Any]", batch: _Sums) -> None:
        """Tell *batch*, which keeps its number if it is not known what became of it."""
        from psycopg import sql  # noqa: PLC0415 - with the first batch

        said = json.dumps([self._said(slot, of, total) for (slot, of), total in batch.items()])
        given = sql.SQL(", ").join(
            map(sql.Literal, (str(self.holder), self._number + 1, names.place()[:LONGEST], said))
        )
        telling = sql.SQL("SELECT llm_tell_spend({}); COMMIT").format(given).as_string(line)  # prepared by no pooler
        lines.begin(line, telling, "BEGIN")
        self._number += 1
        with self._folding:
            self._batches.popleft()
        if self.reason is not None:
            self.reason = None
            _log.warning("What calls cost is told again.")

    def _said(self, slot: _Slot, of: Of, total: _Sum) -> dict[str, Any]:
        at = slot if isinstance(slot, datetime) else datetime.fromtimestamp(slot + (self._ahead or 0.0), UTC)
        return {
            "at": at.isoformat(),
            **of._asdict(),
            "calls": total.calls,
            "input_tokens": total.input_tokens,
            "output_tokens": total.output_tokens,
            "cost": f"{total.cost:f}",
            "estimated": f"{total.estimated:f}",
            "unpriced": total.unpriced,
        }

    def _after(self, line: "Connection[Any] | None", error: Exception) -> "Connection[Any] | None":
        """Note why nothing was told; return the line if it is kept, which shows whoever looks that this process is here."""
        code = getattr(error, "sqlstate", None) or ""
        if code[:2] in _OF_A_BATCH:
            self._halve()
        else:
            self._say(_why(error, code))
        with contextlib.suppress(Exception):
            if line is not None and code in {"42501", UNKNOWN}:
                line.rollback()
                return line
        if line is not None:
            line.close()
        return None

    def _halve(self) -> None:
        """Tell a batch that the database refuses in two; a sum that it refuses alone is lost."""
        with self._folding:
            refused = list(self._batches.popleft().items())
            if len(refused) == 1:
                self.lost += refused[0][1].calls
                _log.warning("The database refuses what a call has cost: it is in no figure.")
                return
            half = len(refused) // 2
            self._batches.extendleft((dict(refused[half:]), dict(refused[:half])))

    def _say(self, reason: str) -> None:
        """Log *reason*, where it is another one."""
        if reason != self.reason:
            self.reason = reason
            _log.warning("What calls cost cannot be told: %s. It waits in memory.", reason)


def named(text: str | None) -> str:
    """Return a name as the table takes it."""
    return harmless((text or "")[:LONGEST]).encode("utf-8", "replace").decode()


def _why(error: Exception, code: str) -> str:
    if isinstance(error, CoreError):
        return str(error).rstrip(".")
    if code == UNKNOWN:
        return NOT_YET
    variable = "DATABASE_URL"
    with contextlib.suppress(CoreError):
        variable = "LLM_WRITE_DATABASE_URL" if get_config().write_database_url is not None else variable
    refusal = refusals.read(error, variable=variable, grant="grant-reader ROLE --log")
    return type(error).__name__ if refusal is None else str(refusal)


def ago(seconds: float) -> float:
    """Return a moment so long ago, by the monotonic clock."""
    return time.monotonic() - seconds


def since(at: datetime) -> float:
    """Return the moment *at*, by the monotonic clock; one to come is now."""
    return ago(max(0.0, (datetime.now(UTC) - at) / timedelta(seconds=1)))


teller = Teller()
_at_the_end: list[Any] = []
"""What is called before the last telling: those who have something under way settle it."""


def before_the_end(settle: Any) -> None:
    """Call *settle* before this process tells for the last time."""
    _at_the_end.append(settle)


@atexit.register
def _leave() -> None:
    for settle in _at_the_end:
        settle()
    teller.tell(AT_EXIT)


def _end_with_the_others() -> None:
    """Tell at the end of a child of multiprocessing, too: it leaves without what is registered for the end of Python."""
    processes = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if util is not None and processes is not None and processes.parent_process() is not None:
        util.Finalize(None, _leave, exitpriority=0)


os.register_at_fork(after_in_child=teller._reset)  # noqa: SLF001 - same module; what waits is the parent's to tell
