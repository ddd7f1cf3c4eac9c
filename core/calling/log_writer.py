"""The request log: what of a call is kept, and the writer that never holds a call up. For services; reading is core.govern.usage.

One thread writes, in batches by COPY, on a connection of its own, which is closed when there is nothing to write. What waits
is bounded in number and in size; when the database is away for long, the newest calls are not logged, are counted in
:func:`dropped`, and one line of the log says so. Where the database refuses this process (no right, read-only, a wrong
password), nothing waits at all.
"""

import atexit
import contextlib
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ..config import get_config
from ..errors import CoreError
from ..postgres import lines, refusals, threads
from ..redaction import cleaned, harmless, shortened
from ..resolving.effective import EffectiveSettings
from ..wording import counted

if TYPE_CHECKING:
    from psycopg import Connection

Status = Literal["ok", "error", "cancelled"]
Operation = Literal["chat", "embed"]

QUEUED: Final = 10_000
"""So many calls wait to be written at most."""
QUEUED_BYTES: Final = 64 * 1024 * 1024
"""Characters of prompts and answers that wait at most."""
LONGEST: Final = 65_536
"""Characters of a prompt or an answer; the rest is cut off, and the cut is said."""
_OF_A_ROW: Final = ("22", "23", "42", "54", "P0")
"""Classes of SQLSTATE that a value causes: bad data, a broken constraint, a type, a size, what a trigger raises."""
BATCH: Final = 1000
EVERY: Final = 0.25
"""Seconds between two batches: so long a call may be missing on the Usage page."""
BACKOFF: Final = (0.5, 30.0)
REFUSED: Final = 30.0
"""Seconds for which nothing is queued after the database has refused to write; then the next call tries again."""
FAILOVER: Final = 30.0
"""Seconds for which calls wait in memory though the database refuses to write, where it has written before: while a replica
takes over, or a password is changed, the same address refuses for a while."""
IDLE: Final = 10.0
"""Seconds without a call after which the connection is closed."""
AT_EXIT: Final = 2.0
"""Seconds that a process which ends waits for the last batch."""

LATER: Final = ("operation", "tags", "correlation_id")
"""Columns that the table has since migration 0010: services are upgraded before the database is."""
COLUMNS: Final = (
    *("at", "user_id", "provider_id", "provider", "model", "status", "attempts", "latency_ms", "generation"),
    *("prompt", "parameters", "response", "token_usage", "input_tokens", "output_tokens", "cost", "error"),
    *LATER,
)

_log = logging.getLogger(__name__)


class Call(NamedTuple):
    """One finished call, whole: what of it is kept is for :func:`entry` to say."""

    at: datetime
    """When it began, by this machine's clock."""
    user_id: str | None
    """Whom the service made it for, in the service's own words."""
    model: str
    status: Status
    attempts: int
    latency_ms: int
    """From the first attempt to the end, waits between attempts included."""
    prompt: Any
    parameters: Mapping[str, Any]
    response: str | None
    token_usage: Mapping[str, int] | None
    cost: Decimal | None
    """US dollars; None: not known."""
    error: str | None
    operation: Operation = "chat"
    tags: tuple[str, ...] = ()
    """The caller's own."""
    correlation_id: str | None = None
    """The same in the caller's answer, and in the rows of all providers that were asked for it."""


def entry(settings: EffectiveSettings, call: Call) -> dict[str, Any] | None:
    """Return the row of *call*, by the logging parameters of *settings*; None: nothing is logged.

    The rules stand in docs/calls.md. The error stands at every level: without it a failed call says nothing.
    """
    if not _is_logged(settings, call):
        return None
    row: dict[str, Any] = {
        **dict.fromkeys(COLUMNS),
        "at": call.at,
        "user_id": call.user_id,
        "provider_id": settings.provider_id,
        "provider": settings.provider,
        "model": call.model,
        "status": call.status,
        "attempts": call.attempts,
        "latency_ms": call.latency_ms,
        "generation": settings.generation,
        "error": call.error,
        "operation": call.operation,
        "tags": list(call.tags) or None,
        "correlation_id": call.correlation_id,
    }
    if settings.log_level != "errors_only":
        usage = call.token_usage or {}
        row |= {"token_usage": call.token_usage, "cost": call.cost}
        row |= {"input_tokens": usage.get("input"), "output_tokens": usage.get("output")}
    if settings.log_level == "full":
        if settings.log_request_data:
            row |= {"prompt": call.prompt, "parameters": dict(call.parameters)}
        if settings.log_response_data:
            row["response"] = call.response
    return row


def _is_logged(settings: EffectiveSettings, call: Call) -> bool:
    return settings.enable_logging and (settings.log_level != "errors_only" or call.status == "error")


def put(settings: EffectiveSettings, call: Call) -> None:
    """Have *call* written, soon; never waits and never raises. Settings that came from no store leave no trace."""
    try:
        if settings.generation and _is_logged(settings, call):
            _writer.put(settings, call)
    except Exception as error:  # noqa: BLE001 - the call was answered, and is paid for
        _writer.dropped += 1
        _log.warning("A call is not logged (%s).", type(error).__name__)


def flush(timeout: float = AT_EXIT) -> bool:
    """Wait until nothing of what was put waits any more, at most *timeout* seconds; return whether that is so.

    What could not be written does not wait: see :func:`dropped`.
    """
    return _writer.flush(timeout)


def dropped() -> int:
    """Return how many calls of this process were not logged: for want of room, or because the database refused them or this process."""
    return _writer.dropped


class Writer:
    """A queue and its thread. The process has one: :func:`put`."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self.dropped = 0
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._calls: deque[tuple[EffectiveSettings, Call, int]] = deque()
        self._size = 0
        self._writing = 0
        self._thread: threading.Thread | None = None
        self._ending = self._full = self._closed = False
        self._reason: str | None = None
        """Why nothing is written now, as the log was told."""
        self._refused_until = self._not_before = self._trusted_until = float("-inf")

    def put(self, settings: EffectiveSettings, call: Call) -> None:
        """Queue a call, or count it as dropped."""
        with self._changed:
            if time.monotonic() < self._refused_until:
                self.dropped += 1
                return
            size = _size(call.prompt) + len(call.response or "")
            if len(self._calls) >= QUEUED or self._size + size > QUEUED_BYTES:
                self.dropped += 1
                if not self._full:
                    self._full = True
                    _log.warning("The request log is full (%d calls wait): calls are not logged.", len(self._calls))
                return
            self._calls.append((settings, call, size))
            self._size += size
            if self._thread is None:
                self._start()
            elif len(self._calls) == BATCH:
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until the queue is empty, at most *timeout* seconds; return whether it is."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if self._thread is None and self._calls:
                self._start()
            if self._thread is None:
                return not self._calls
            self._ending = True
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: not self._calls and not self._writing, max(0.0, deadline - time.monotonic())
            )
            self._ending = False
            return done

    def close(self) -> None:
        """End the thread; what still waits is not written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(BACKOFF[1])

    def _start(self) -> None:
        if time.monotonic() < self._not_before:
            return
        try:
            self._thread = threads.start(self._run, "llm-settings log")
        except threads.NoThread as error:
            self._not_before = time.monotonic() + threads.AGAIN
            if error.lasting:
                self._refuse(str(error), 0)
            else:
                self._say(f"{error}; calls wait in memory")

    def _run(self) -> None:
        connection: Connection[Any] | None = None
        used = time.monotonic()
        while not self._closed:
            taken = self._take()
            if taken:
                connection = self._written(connection, taken)
                used = time.monotonic()
            elif connection is not None and time.monotonic() - used > IDLE:
                connection.close()
                connection = None
        _close(connection)

    def _take(self) -> list[tuple[EffectiveSettings, Call, int]]:
        """Wait for the next batch; it may be empty."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._calls) >= BATCH or (self._ending and self._calls), EVERY
            )
            taken = [self._calls.popleft() for _ in range(min(BATCH, len(self._calls)))]
            self._writing = len(taken)
        return taken

    def _written(
        self, connection: "Connection[Any] | None", taken: list[tuple[EffectiveSettings, Call, int]]
    ) -> "Connection[Any] | None":
        """Write *taken*, however long it takes, or drop it; return the connection, where it still holds."""
        cells, lost = _cells_of(taken)
        wait, most = BACKOFF
        while not self._closed:
            try:
                connection = connection or lines.connect(self._url or lines.find_primary(), "llm-settings log")
                lost += _write(connection, cells)
                self._trusted_until = float("inf")
                if self._reason is not None:
                    missed = counted(self.dropped + lost, "call")
                    _log.warning("The request log is written again; not logged: %s.", missed)
                self._reason = None
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the calls of the host go on
                _close(connection)
                connection = None
                reason, lasts = _why(error)
                if lasts and self._is_for_good():
                    with self._changed:
                        self._refuse(reason, len(taken))
                    lost = 0
                    break
                self._say(f"{reason}; calls wait in memory")
            with self._changed:
                self._changed.wait_for(lambda: self._closed, wait)
            wait = min(wait * 2, most)
        with self._changed:
            self.dropped += lost
            self._size -= sum(size for _, _, size in taken)
            self._writing = 0
            self._full = False
            self._changed.notify_all()
        return connection

    def _is_for_good(self) -> bool:
        """Tell whether a refusal is no failover: nothing was written before, or it has gone on for :data:`FAILOVER`."""
        self._trusted_until = min(self._trusted_until, time.monotonic() + FAILOVER)
        return time.monotonic() >= self._trusted_until

    def _refuse(self, reason: str, taken: int) -> None:
        """Drop what waits, and what comes soon: it would never be written."""
        self._refused_until = time.monotonic() + REFUSED
        self.dropped += taken + len(self._calls)
        self._size -= sum(size for _, _, size in self._calls)
        self._calls.clear()
        self._say(f"{reason}; calls are not logged", anew=True)

    def _say(self, reason: str, *, anew: bool = False) -> None:
        """Log *reason*, once an outage; where it is *anew*, whenever it is another one."""
        if self._reason is None or (anew and reason != self._reason):
            self._reason = reason
            _log.warning("The request log cannot be written: %s.", reason)


def _why(error: Exception) -> tuple[str, bool]:
    """Return why nothing can be written, and whether that lasts."""
    if isinstance(error, CoreError):
        return str(error).rstrip("."), False
    variable = "DATABASE_URL"
    with contextlib.suppress(CoreError):
        variable = "LLM_WRITE_DATABASE_URL" if get_config().write_database_url is not None else variable
    refusal = refusals.read(error, variable=variable, grant="grant-reader ROLE --log")
    return (type(error).__name__, False) if refusal is None else (str(refusal), refusal.lasting)


def _cells_of(taken: list[tuple[EffectiveSettings, Call, int]]) -> tuple[list[tuple[Any, ...]], int]:
    """Return the rows of *taken* as they are written, and how many cannot be."""
    cells, lost = [], 0
    for settings, call, _ in taken:
        try:
            row = entry(settings, call)
            if row is not None:
                cells.append(_cells(row))
        except Exception as error:  # noqa: BLE001 - a prompt may be anything; one must not stop the others
            lost += 1
            _log.warning("A row of the request log cannot be written (%s).", type(error).__name__)
    return cells, lost


def _write(connection: "Connection[Any]", cells: list[tuple[Any, ...]]) -> int:
    """Write rows; return how many the database refuses whatever one does."""
    try:
        _copy(connection, cells)
    except Exception as error:
        if not _is_of_a_row(error):
            raise
        with connection.transaction():  # all or none: what is written is not written again
            return sum(not _copy_one(connection, one) for one in cells)
    return 0


def _copy_one(connection: "Connection[Any]", cells: tuple[Any, ...]) -> bool:
    """Write one row, which must not take the others with it; return whether it was."""
    try:
        _copy(connection, [cells])
    except Exception as error:
        if not _is_of_a_row(error):
            raise
        _log.warning("The database refuses a row of the request log (%s).", type(error).__name__)
        return False
    return True


def _is_of_a_row(error: Exception) -> bool:
    """Tell whether a row's own content is at fault, and not the line, the server or this process's rights."""
    import psycopg  # noqa: PLC0415 - with the first batch

    if isinstance(error, CoreError | OSError) or refusals.read(error) is not None:
        return False
    code = getattr(error, "sqlstate", None)
    return code[:2] in _OF_A_ROW if code else not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def _copy(connection: "Connection[Any]", cells: list[tuple[Any, ...]]) -> None:
    with lines.transaction(connection), connection.cursor() as cursor:
        names = _columns(connection)
        with cursor.copy(f"COPY llm_logs ({', '.join(names)}) FROM STDIN") as copy:
            for one in cells:
                copy.write_row(one[: len(names)])


def _columns(connection: "Connection[Any]") -> tuple[str, ...]:
    """Return the columns that can be written: an older database has no others, an older role no right to them."""
    names = ", ".join(f"'{name}'" for name in LATER)  # no parameters: a statement that has some is prepared
    found = connection.execute(
        f"SELECT count(*) FROM pg_attribute WHERE attrelid = 'llm_logs'::regclass AND attname IN ({names})"  # noqa: S608 - our own names
        " AND NOT attisdropped AND has_column_privilege(attrelid, attnum, 'INSERT')".encode()
    ).fetchone()
    return COLUMNS if found == (len(LATER),) else COLUMNS[: -len(LATER)]


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    kept = dict(row)
    for name in ("prompt", "response", "error", "user_id", "model", "correlation_id"):
        kept[name] = _text(kept[name])
    kept["tags"] = None if kept["tags"] is None else json.dumps([_text(tag) for tag in kept["tags"]])
    kept["parameters"] = _json(kept["parameters"])
    kept["token_usage"] = _json(kept["token_usage"])
    return tuple(kept[name] for name in COLUMNS)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    whole = len(text)
    text = harmless(shortened(text, LONGEST)).encode("utf-8", "replace").decode()
    return text if whole <= LONGEST else f"{text}… (cut: {whole} characters in all)"


def _json(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    text = json.dumps(cleaned(value), ensure_ascii=True)  # not scrubbed as JSON: that eats escapes
    return text if len(text) <= LONGEST else json.dumps({"cut": f"{len(text)} characters in all"})


def _size(prompt: Any) -> int:
    """Return about how many characters a prompt has, at any depth: an image is a text in a part of a message."""
    if isinstance(prompt, str | bytes):
        return len(prompt)
    if isinstance(prompt, Mapping):
        return sum(_size(value) for value in prompt.values())
    return sum(_size(one) for one in prompt) if isinstance(prompt, list | tuple) else 0


def _close(connection: "Connection[Any] | None") -> None:
    if connection is not None:
        connection.close()


def now() -> datetime:
    """Return the moment that a call begins."""
    return datetime.now(UTC)


_writer = Writer()


@atexit.register
def _leave() -> None:
    _writer.flush(AT_EXIT)


os.register_at_fork(after_in_child=_writer._reset)  # noqa: SLF001 - same module; what waits is the parent's to write
