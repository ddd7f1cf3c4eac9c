"""The request log, for the service whose calls it keeps: wait until it is written, see what was not, add calls of one's own.

What is kept: :mod:`core.calling.log_rows`; the writer: :mod:`core.calling.log_writer`.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from .calling import log_rows, log_writer, pricing
from .calling.log_rows import CallStatus, Operation
from .calling.log_writer import AT_EXIT, dropped, flush
from .calling.vendors import Counts, Tokens
from .errors import Invalid
from .redaction import scrub
from .resolving.effective import EffectiveSettings

__all__ = ["AT_EXIT", "Tokens", "dropped", "flush", "record"]


def record(
    settings: EffectiveSettings,
    *,
    latency_ms: float,
    prompt: str | Sequence[Any] | None = None,
    response: str | None = None,
    usage: Tokens | Mapping[str, int] | None = None,
    error: BaseException | str | None = None,
    cancelled: bool = False,
    model: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    cost: Decimal | None = None,
    attempts: int = 1,
    user_id: str | int | None = None,
    tags: Sequence[str] = (),
    correlation_id: str | None = None,
    operation: Operation = "chat",
    at: datetime | None = None,
) -> str:
    """Have a call logged that was made by one's own client, as the settings say; never waits for the database.

    The same rules, queue and scrubbing as for calls of :mod:`core.ai`: levels, switches, known keys taken out.

    Args:
        settings: What :func:`core.resolve.resolve` answered, and the call was made with.
        latency_ms: How long it took.
        prompt: A text, or the messages.
        response: The answer's text.
        usage: As ``Tokens(input=12, output=9)`` or such a mapping; what are no whole numbers from 0 counts as not known.
        error: What went wrong; the row then has the status ``error``.
        cancelled: Whether it was given up.
        model: Default: the settings'.
        parameters: What was sent.
        cost: US dollars. Default: by list prices, of *usage*; not known where those are not.
        attempts: How many were made.
        user_id: Whom it was made for.
        tags: At most 16 short texts.
        correlation_id: Default: a new one.
        operation: ``chat`` or ``embed``.
        at: When it began, with a time zone. Default: *latency_ms* ago.

    Returns:
        The correlation id.

    Raises:
        Invalid: If a number is negative, *at* has no time zone, or there is no such operation.
    """
    if not (attempts >= 0 and 0 <= latency_ms < 2**31):
        raise Invalid({"latency_ms": "must be from 0 on, and so must attempts"})
    if operation not in {"chat", "embed"}:
        raise Invalid({"operation": "must be chat or embed"})
    if at is not None and at.tzinfo is None:
        raise Invalid({"at": "must have a time zone"})
    if cost is not None and not cost >= 0:
        raise Invalid({"cost": "must be US dollars from 0 on"})
    counted = dict(usage) if isinstance(usage, Mapping) else {} if usage is None else usage._asdict()
    tokens = Counts(*(counted.get(name) for name in Counts._fields)).tokens()
    name = model or settings.model or ""
    if cost is None and tokens is not None:
        cost = pricing.price(settings, name, tokens, at=at)
    status: CallStatus = "error" if error is not None else "cancelled" if cancelled else "ok"
    correlation_id = correlation_id or uuid.uuid4().hex
    log_writer.put(
        settings,
        log_rows.CallToLog(
            at=at or log_rows.now() - timedelta(milliseconds=latency_ms),
            user_id=None if user_id is None else str(user_id)[:200],
            model=name,
            status=status,
            attempts=attempts,
            latency_ms=round(latency_ms),
            prompt=prompt if prompt is None or isinstance(prompt, str) else list(prompt),
            parameters={"model": name, **(parameters or {})},
            response=response,
            token_usage=None if tokens is None else tokens._asdict(),
            cost=cost,
            error=None if error is None else _words(error),
            operation=operation,
            tags=tuple(tags),
            correlation_id=correlation_id,
        ),
    )
    return correlation_id


def _words(error: BaseException | str) -> str:
    return scrub(error if isinstance(error, str) else f"{type(error).__name__}: {error}")[:500]
