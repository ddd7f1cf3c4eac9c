"""Rows of the request log: what of a call is kept, and how the table takes it. For services; reading is core.govern.usage."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ..errors import CoreError
from ..postgres import lines, refusals
from ..redaction import cleaned, harmless, shortened
from ..resolving.effective import EffectiveSettings

if TYPE_CHECKING:
    from psycopg import Connection

CallStatus = Literal["ok", "error", "cancelled"]
Operation = Literal["chat", "embed"]

LONGEST: Final = 65_536
"""Characters of a prompt or an answer; the rest is cut off, and the cut is said."""
_OF_A_ROW: Final = ("22", "23", "42", "54", "P0")
"""Classes of SQLSTATE that a value causes: bad data, a broken constraint, a type, a size, what a trigger raises."""
LATER: Final = ("operation", "tags", "correlation_id", "organization_id", "feature", "adjusted", "cost_centre", "pii")
"""Columns that the table of a version before has not, or that its role may not write: services are upgraded before the database is."""
COLUMNS: Final = (
    *("at", "user_id", "provider_id", "provider", "model", "status", "attempts", "latency_ms", "generation"),
    *("prompt", "parameters", "response", "token_usage", "input_tokens", "output_tokens", "cost", "error"),
    *LATER,
)
OF_A_PERSON: Final = ("user_id", "prompt", "parameters", "response", "error", "tags", "correlation_id")
"""Columns that say who it was, or what was said; also what leads to it in the logs of the service."""

_log = logging.getLogger(__name__)


class CallToLog(NamedTuple):
    """One finished call, whole: what of it is kept is for :func:`entry` to say."""

    at: datetime
    """When it began, by this machine's clock."""
    user_id: str | None
    """Whom the service made it for, in the service's own words."""
    model: str
    status: CallStatus
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
    adjusted: int = 0
    """Parameters that somebody chose, and that were not sent, or not with that value, as the model does not take them."""
    cost_centre: str = ""
    """Who pays for it within the house; empty: nobody said."""
    personal_data: Mapping[str, int] | None = None
    """How many values of each type had a placeholder in what was sent; None: nothing was looked for."""
    is_unsearched: bool = False
    """Whether its prompt could not be searched for personal data: nothing of its texts is kept then, whatever the log's rule."""


def entry(settings: EffectiveSettings, call: CallToLog) -> dict[str, Any] | None:
    """Return the row of *call*, by the logging parameters of *settings*; None: nothing is logged.

    The rules stand in docs/calls.md. The error stands at every level: without it a failed call says nothing.
    """
    if not is_logged(settings, call):
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
        "organization_id": settings.organization_id,
        "feature": settings.feature,
        "adjusted": call.adjusted,
        "cost_centre": call.cost_centre or None,
        "pii": dict(call.personal_data) if call.personal_data else None,
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


def is_logged(settings: EffectiveSettings, call: CallToLog) -> bool:
    """Return whether a row of *call* is kept at all, by the logging parameters of *settings*."""
    return settings.enable_logging and (settings.log_level != "errors_only" or call.status == "error")


def now() -> datetime:
    """Return the moment that a call begins."""
    return datetime.now(UTC)


def cells_of(taken: list[tuple[EffectiveSettings, CallToLog, int]]) -> tuple[list[tuple[Any, ...]], int]:
    """Return the rows of *taken* as they are written, and how many cannot be."""
    cells, lost = [], 0
    for settings, call, _ in taken:
        try:
            row = entry(settings, call)
            if row is not None:
                if settings.personal_data.logs == "mask" or call.is_unsearched:
                    from . import masked_rows  # noqa: PLC0415 - with the first row that needs it

                    row = masked_rows.masked(row, settings.personal_data, LONGEST, is_searched=not call.is_unsearched)
                cells.append(_cells(row))
        except Exception as error:  # noqa: BLE001 - a prompt may be anything; one must not stop the others
            lost += 1
            _log.warning("A row of the request log cannot be written (%s).", type(error).__name__)
    return cells, lost


def write(connection: "Connection[Any]", cells: list[tuple[Any, ...]]) -> int:
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
    """Return whether a row's own content is at fault, and not the line, the server or this process's rights."""
    import psycopg  # noqa: PLC0415 - with the first batch

    if isinstance(error, CoreError | OSError) or refusals.read(error) is not None:
        return False
    code = getattr(error, "sqlstate", None)
    return code[:2] in _OF_A_ROW if code else not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def _copy(connection: "Connection[Any]", cells: list[tuple[Any, ...]]) -> None:
    with lines.transaction(connection), connection.cursor() as cursor:
        absent = _absent(connection)
        names = [name for name in COLUMNS if name not in absent]
        with cursor.copy(f"COPY llm_logs ({', '.join(names)}) FROM STDIN") as copy:
            for one in cells:
                copy.write_row([cell for name, cell in zip(COLUMNS, one, strict=True) if name not in absent])


def _absent(connection: "Connection[Any]") -> set[str]:
    """Return the columns that cannot be written: an older database has them not, an older role has no right to them."""
    names = ", ".join(f"'{name}'" for name in LATER)  # no parameters: a statement that has some is prepared
    found = connection.execute(
        f"SELECT attname::text FROM pg_attribute WHERE attrelid = 'llm_logs'::regclass AND attname IN ({names})"  # noqa: S608 - our own names
        " AND NOT attisdropped AND has_column_privilege(attrelid, attnum, 'INSERT')".encode()
    ).fetchall()
    return set(LATER) - {name for (name,) in found}


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    kept = dict(row)
    whole = kept.get("whole", {})  # masked_rows.WHOLE
    for name in ("prompt", "response", "error", "user_id", "model", "correlation_id", "feature", "cost_centre"):
        kept[name] = _text(kept[name], whole.get(name, 0))
    kept["tags"] = None if kept["tags"] is None else json.dumps([_text(tag) for tag in kept["tags"]])
    kept["parameters"] = _json(kept["parameters"])
    kept["token_usage"] = _json(kept["token_usage"])
    kept["pii"] = _json(kept["pii"])
    return tuple(kept[name] for name in COLUMNS)


def _text(value: Any, whole: int = 0) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    whole = max(whole, len(text))
    text = harmless(shortened(text, LONGEST)).encode("utf-8", "replace").decode()
    return text if whole <= LONGEST else f"{text}… (cut: {whole} characters in all)"


def _json(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    text = json.dumps(cleaned(value), ensure_ascii=True)  # not scrubbed as JSON: that eats escapes
    return text if len(text) <= LONGEST else json.dumps({"cut": f"{len(text)} characters in all"})


def size(prompt: Any) -> int:
    """Return about how many characters a prompt has, at any depth: an image is a text in a part of a message."""
    if isinstance(prompt, str | bytes):
        return len(prompt)
    if isinstance(prompt, Mapping):
        return sum(size(value) for value in prompt.values())
    return sum(size(one) for one in prompt) if isinstance(prompt, list | tuple) else 0
