"""The request log, for the service whose calls it keeps: wait until it is written, see what was not, add calls of one's own.

What is kept: :mod:`core.calling.log_rows`; the writer: :mod:`core.calling.log_writer`. What calls cost is told whatever the
log keeps (:mod:`core.calling.teller`): :func:`told` waits for that, :func:`untold` says what is left;
:func:`refused`, how many calls budgets did not let through, :func:`waits`, what rate limits on calls did to them.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

from .calling import holds, log_rows, log_writer, pricing, rate_queue, settling, teller
from .calling.log_rows import CallStatus, Operation
from .calling.log_writer import AT_EXIT, dropped, flush
from .calling.rate_queue import RateWaits
from .calling.request import TAG, is_short
from .calling.settling import AttemptCost, AttemptOutcome
from .calling.spending import Spending
from .calling.teller import Untold
from .calling.vendors import Counts, Tokens
from .errors import BudgetReason, Invalid
from .redaction import scrub
from .resolving.effective import EffectiveSettings

__all__ = [
    "AT_EXIT",
    "RateWaits",
    "Tokens",
    "Untold",
    "dropped",
    "flush",
    "record",
    "refused",
    "told",
    "untold",
    "waits",
]


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
    cost_centre: str | None = None,
    spent: Spending | None = None,
) -> str:
    """Have a call logged that was made by one's own client, as the settings say; never waits for the database.

    The same rules, queue and scrubbing as for calls of :mod:`core.ai`: levels, switches, known keys taken out. What it cost is
    counted whatever the settings say; a call that worked without a known cost counts as unpriced.

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
        cost_centre: Who pays for it within your house, in at most 64 characters; in the row, and what is spent is added up by it.
        spent: The block of :func:`core.ai.spending` that it was made in: that has counted it, and says usage, cost and model
            where they are not given.

    Returns:
        The correlation id.

    Raises:
        Invalid: If a number is negative, *at* has no time zone, there is no such operation, or the cost centre is none.
    """
    if not (attempts >= 0 and 0 <= latency_ms < 2**31):
        raise Invalid({"latency_ms": "must be from 0 on, and so must attempts"})
    if operation not in {"chat", "embed"}:
        raise Invalid({"operation": "must be chat or embed"})
    if at is not None and at.tzinfo is None:
        raise Invalid({"at": "must have a time zone"})
    if cost is not None and not cost >= 0:
        raise Invalid({"cost": "must be US dollars from 0 on"})
    if cost_centre is not None and not is_short(cost_centre):
        raise Invalid({"cost_centre": f"must be a text of 1 to {TAG} characters that can be printed"})
    if spent is not None and not spent.estimated:
        usage, cost = spent.usage if usage is None else usage, spent.cost if cost is None else cost
    counted = dict(usage) if isinstance(usage, Mapping) else {} if usage is None else usage._asdict()
    tokens = Counts(*(counted.get(name) for name in Counts._fields)).tokens()
    name = model or (spent.model if spent else settings.model) or ""
    if cost is None and tokens is not None and spent is None:
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
            cost_centre=cost_centre or (spent.cost_centre if spent else ""),
        ),
    )
    if spent is not None:
        return correlation_id
    outcome: AttemptOutcome = "broken_off" if error is not None else "cancelled" if cancelled else "answered"
    found = AttemptCost(outcome, tokens or settling.NOTHING, cost if cost is not None or status == "ok" else Decimal(0))
    began = teller.ago(latency_ms / 1000) if at is None else teller.since(at)
    settling.settle_recorded(settings, name, cost_centre or "", found, at=began, attempts=attempts)
    return correlation_id


def told(timeout: float = teller.AT_EXIT) -> bool:
    """Wait until the store knows what all calls that have ended cost, at most *timeout* seconds; return whether it does."""
    return teller.teller.tell(timeout)


def untold() -> Untold:
    """Return what calls of this process have cost that the store does not know yet, and why, if it cannot be told now."""
    return teller.teller.untold()


def refused() -> dict[str, int]:
    """Return how many calls of this process budgets did not let through: reason of ``BudgetExceeded`` -> number."""
    return {reason: holds.refused[reason] for reason in get_args(BudgetReason)}


def waits() -> RateWaits:
    """Return how many calls of this process waited for rate limits, how many seconds, and how many were refused by which."""
    return rate_queue.counted.told()


def _words(error: BaseException | str) -> str:
    return scrub(error if isinstance(error, str) else f"{type(error).__name__}: {error}")[:500]
