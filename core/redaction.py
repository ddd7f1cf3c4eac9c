"""Keep secrets out of what a process says: :class:`Secret`, :func:`scrub`, and the one set-up of its log.

Standard library only: the resolver imports it through :mod:`core.config`. :func:`set_up_logging` is for programs. A
library, as :mod:`core.resolve` is to its services, leaves its host's log alone.
"""

import copy
import json
import logging
import math
import re
import sys
import threading
import weakref
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, NoReturn
from urllib.parse import quote_from_bytes

from . import log_lines
from .patterns import later
from .secret_forms import MASK, present

__all__ = ["MASK"]
SHORTEST: Final = 8
"""A known secret of fewer characters is not looked for: it would take ordinary words out of the log."""
MOST: Final = 512
"""So many known secrets are kept, the newest; those of the configuration beside them, for good."""
OWN_HANDLERS: Final = ("uvicorn", "streamlit", "websockets")
"""Loggers of these packages come with handlers, which are replaced by the one of the root."""

_lock = threading.Lock()
_pinned: tuple[str, ...] = ()
_passing: tuple[str, ...] = ()


class Secret:
    """Text that is shown only on purpose, by :meth:`reveal`. Copies are the same object; it is never pickled or hashed."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __eq__(self, other: object) -> bool:
        import hmac  # noqa: PLC0415 - keeps the import of the resolver lean

        return isinstance(other, Secret) and hmac.compare_digest(_bytes(self._text), _bytes(other._text))

    __hash__ = None  # type: ignore[assignment]  # nothing needs it as a key

    def __repr__(self) -> str:
        return MASK

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, _memo: object) -> "Secret":  # what dataclasses.asdict calls
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled.")


def remember(secret: str, *, for_good: bool = False) -> None:
    """Have :func:`scrub` look for *secret* from now on, in this process.

    Args:
        secret: Of at least ``SHORTEST`` characters; a shorter one is ignored.
        for_good: Not to be crowded out by newer ones.
    """
    global _pinned, _passing  # noqa: PLW0603 - what this process knows
    if len(secret) < SHORTEST:
        return
    with _lock:  # scrub reads without it: both are replaced whole
        if for_good:
            _pinned = (*(known for known in _pinned if known != secret), secret)
        else:
            _passing = (*(known for known in _passing if known != secret), secret)[-MOST:]


def forget(secret: str) -> None:
    """Have nothing here hold *secret* any more: it is out of use. One that is kept for good stays."""
    global _passing  # noqa: PLW0603 - what this process knows
    with _lock:
        if secret in _passing:
            _passing = tuple(known for known in _passing if known != secret)
            _spellings.cache_clear()
            _needles.cache_clear()


def scrub(text: str) -> str:
    """Return *text* with ``****`` in place of secrets; in time linear in its length.

    - Each known secret: as it is, percent-encoded (by any of the usual rules, hex digits of either case), in hex, as
      base64 at each of the three alignments (standard and URL-safe; up to 4 bits may stay at each end), and as JSON
      and Python write it within quotes.
    - What looks like a secret, by :data:`~core.secret_forms.SECRET_FORMS`. The word that says what it was stays.

    Not found: an unknown secret without a telling form, and a known one that is cut or split over lines.
    """
    for needle in _needles(_pinned + _passing):
        text = text.replace(needle, MASK)
    for form in present(text):
        text = form.pattern.sub(form.kept, text)
    return text


def shortened(text: str, longest: int) -> str:
    """Return *text* scrubbed, and then cut to *longest* characters: the other way round a cut secret would stay.

    Of a text that is very much longer only the beginning is looked at, cut where no known secret is.
    """
    return scrub(text[: _cut(text, longest + _ROOM)])[:longest]


def on_one_line(text: str, longest: int) -> str:
    """Return *text* for people, who see it in a terminal, in a log or on a page: scrubbed, on one line, of *longest* characters.

    Control characters, by which a terminal could be led, become U+FFFD; so do those that turn the direction of writing.
    """
    whole = text[: _cut(text, longest + _ROOM)]
    return scrub(_TURNING.sub("\ufffd", harmless(" ".join(whole.split()))))[:longest]


def harmless(text: str) -> str:
    """Return *text* without control characters other than tab and line breaks; each becomes U+FFFD."""
    return _CONTROL.sub("\ufffd", text)


def cleaned(value: Any, depth: int = 0) -> Any:
    """Return *value* as JSON can hold it and PostgreSQL takes it, each text in it scrubbed by itself.

    JSON that is scrubbed as a whole loses escapes, and is none any more. A field whose name tells that it is a secret has
    none of its value; what is nested deeper than any option is, is left out.
    """
    if isinstance(value, str):
        return harmless(scrub(value).encode("utf-8", "replace").decode())
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {cleaned(str(name)): _named(str(name), cleaned(item, depth + 1)) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [cleaned(item, depth + 1) for item in value]
    return _number(value) if value is None or isinstance(value, int | float) else cleaned(str(value), depth + 1)


def _number(value: float | None) -> float | str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "…" if isinstance(value, int) and value.bit_length() > _DIGITS else value


def _named(name: str, clean: Any) -> Any:
    pair = f"{name}={clean}"
    return MASK if isinstance(clean, str) and scrub(pair) != pair else clean


_DEEPEST: Final = 40
_DIGITS: Final = 10_000
"""Binary ones of a number: Python itself writes no more than 4,300 decimal ones."""
_CONTROL: Final = later("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TURNING: Final = later("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_ROOM: Final = 65_536
"""Characters behind the end that are looked at: what stands before it may become shorter."""


def _cut(text: str, at: int) -> int:
    """Return where to cut *text*: at *at*, or before it, at the beginning of a known secret."""
    if len(text) <= at:
        return len(text)
    needles = _needles(_pinned + _passing)
    moved = True
    while moved:
        moved = False
        for needle in needles:
            begins = text.find(needle, max(0, at - len(needle) + 1), at + len(needle) - 1)
            if -1 < begins < at:
                at, moved = begins, True
    return at


@lru_cache(maxsize=1)
def _needles(known: tuple[str, ...]) -> tuple[str, ...]:
    found = {needle for secret in known for needle in _spellings(secret)}
    return tuple(sorted(found, key=len, reverse=True))  # the longest first: one may be part of another


@lru_cache(maxsize=4 * MOST)
def _spellings(secret: str) -> frozenset[str]:
    raw = _bytes(secret)
    percent = {quote_from_bytes(raw, safe) for safe in ("", "/", "!'()*", "!'()*/", "!$&'()*+,;=:@/?")}
    percent |= {text.replace("%20", "+") for text in percent}
    quoted = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], ascii(secret)[1:-1]}
    quoted |= {repr(secret)[1:-1], repr(raw)[2:-1]}
    base64 = {_aligned(raw, shift) for shift in range(3)}
    base64 |= {text.replace("+", "-").replace("/", "_") for text in base64}
    base64 |= {quote_from_bytes(text.encode(), safe) for text in base64 for safe in ("", "/")}
    lower = {re.sub("%..", lambda hexed: hexed[0].lower(), text) for text in percent | base64}
    return frozenset({secret, raw.hex(), raw.hex().upper()} | percent | quoted | base64 | lower)


def _aligned(raw: bytes, shift: int) -> str:
    """Return the base64 digits that *raw* alone decides when *shift* bytes stand before it and any number behind it."""
    text = b64encode(b"\0" * shift + raw).decode()
    behind = (0, 3, 2)[(shift + len(raw)) % 3]
    return text[(0, 2, 3)[shift] : len(text) - behind]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_format_of_handler: Final = logging.Handler.format
_log = logging.getLogger(__package__)


def _once_a_minute(record: logging.LogRecord) -> logging.LogRecord:
    """Return *record*, or the same in a line where a stranger can have this traceback written as often as they like."""
    kind, _, trace = record.exc_info or (None, None, None)
    if record.name.partition(".")[0] not in _REACHED or kind is None or trace is None:
        return record
    while (inner := trace.tb_next) is not None:
        trace = inner
    place = f"{kind.__name__} at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    last = _traced.get(place)
    if last is None or last[1]() is record or record.created - last[0] > _TRACED_EVERY:
        if len(_traced) >= MOST:
            _traced.clear()
        _traced[place] = (record.created, weakref.ref(record))  # a second handler writes the same one whole
        return record
    short = copy.copy(record)
    short.msg = f"{record.getMessage()}. Again {place}; its traceback was logged within the last minute"
    short.exc_info = short.exc_text = short.args = None
    return short


_REACHED: Final = frozenset({"streamlit", "web", "uvicorn"})
"""Loggers that write of what strangers send."""
_TRACED_EVERY: Final = 60.0
_traced: dict[str, "tuple[float, weakref.ref[logging.LogRecord]]"] = {}


def _format(handler: logging.Handler, record: logging.LogRecord) -> str:
    stream = getattr(handler, "stream", None)
    try:
        record = _once_a_minute(record)
        if stream is not None and (stream is sys.stderr or stream is sys.stdout):
            return log_lines.written(record, _clean)  # whoever added the handler: one process, one form
        return _clean(_format_of_handler(handler, record))
    except Exception as error:  # noqa: BLE001 - logging would print the arguments as they are
        text = f"{record.name}: a line of {record.pathname}:{record.lineno} has no form ({type(error).__name__})"
        return log_lines.sentence(text, "ERROR", _clean)


def _clean(text: str) -> str:
    return scrub(harmless(text.replace("\r", "\ufffd")))


def set_up_logging(level: int = logging.WARNING) -> None:
    """Set up the log of this process: to stderr, in one form, and scrubbed. For programs, as the first thing they do.

    ``logging.Handler.format`` is replaced, for the whole process. It is the one place that every record passes as text,
    traceback included, whoever adds the handler and however late: Streamlit sets its loggers up again whenever its
    configuration is read, each with a handler of its own, and makes new ones with every module. A handler that
    overrides ``format``, or calls none (``SocketHandler``), is not covered; none is used.

    Warnings, and exceptions that nobody catches, in any thread and in ``__del__``, go through the log. A full disk or a
    closed stderr loses lines and does no more.
    """
    logging.raiseExceptions = False  # else a line that cannot be written is printed, with its arguments, and may raise
    logging.Handler.format = _format  # type: ignore[method-assign, assignment]
    logging.root.handlers = [logging.StreamHandler()]
    logging.root.setLevel(level)
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in OWN_HANDLERS:
            # Streamlit's own comes back by itself, and beside it nothing may reach the root: each line would be two.
            logger.handlers = [h for h in logger.handlers if h is getattr(logger, "streamlit_console_handler", None)]
            logger.propagate = not logger.handlers
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # no access log: a query may have a ticket in it
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _log.critical("Ended by an exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else "?"
        _log.error("Thread %s ended by an exception", name, exc_info=_exc_info(args))


def _unraisable(args: Any) -> None:
    _log.error("%s %r", args.err_msg or "Exception ignored in", args.object, exc_info=_exc_info(args))


def _exc_info(args: Any) -> Any:
    return args.exc_type, args.exc_value, args.exc_traceback
