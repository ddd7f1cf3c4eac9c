"""The form of a line of this process's log: text for people, or one JSON object for programs. Standard library only.

What is secret is taken out by the caller, :mod:`core.redaction`, which gives each part to *clean* before it is put together:
JSON that is scrubbed as a whole may be none any more.
"""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from . import request_ids

FORMS: Final = ("text", "json")

Clean = Callable[[str], str]

_plain: Final = logging.Formatter()
_form = FORMS[0]


def choose(form: str) -> None:
    """Write lines in *form*, one of :data:`FORMS`, from now on, in this process."""
    global _form  # noqa: PLW0603 - of the process, as its log is
    _form = form


def written(record: logging.LogRecord, clean: Clean) -> str:
    """Return the line of *record*: as text a traceback makes it several, as JSON it is one in any case."""
    message = record.getMessage()
    request_id = request_ids.current()
    exception = _plain.formatException(record.exc_info) if record.exc_info else record.exc_text
    traces = (exception or "", record.stack_info or "")
    if _form == "json":
        return _object(
            datetime.fromtimestamp(record.created, UTC),
            (record.levelname, record.name, message, request_id, "\n".join(filter(None, traces))),
            clean,
        )
    time = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%dT%H:%M:%S%z")
    mark = f" [{request_id}]" if request_id else ""
    return clean("\n".join(filter(None, (f"{time} {record.levelname} {record.name}{mark}: {message}", *traces))))


def sentence(text: str, level: str = "INFO", clean: Clean = str) -> str:
    """Return what a program says to the person at the terminal, outside its log: *text*; as JSON in a line of a log."""
    if _form == "json":
        return _object(datetime.now(UTC), (level, __package__ or "core", text, request_ids.current(), ""), clean)
    return text


def _object(time: datetime, parts: tuple[str, ...], clean: Clean) -> str:
    """Return one line of ASCII: some readers of logs take U+2028 for the end of a line."""
    fields = {"time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    named = zip(("level", "logger", "message", "request_id", "exception"), parts, strict=True)
    return json.dumps(fields | {name: clean(part) for name, part in named if part or name == "message"})
