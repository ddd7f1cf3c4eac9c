"""What an attempt has to have before it is sent: money of its budgets, then room in its rate limits. Who waits for room holds no money."""

import time
from decimal import Decimal
from typing import Final, NamedTuple

from ..resolving.rate_limits import RateLimit
from . import budgeting, leases, rates
from .budgeting import Priced
from .holds import Hold
from .rate_queue import Permit
from .settling import CAPS, tokens_of
from .vendors import count_of

UNCAPPED: Final = 1_000
"""Tokens that an answer is taken for until it is there, where no cap was sent."""


class Admitted(NamedTuple):
    """What an attempt has."""

    hold: Hold | None = None
    """Of budgets; None: it has none."""
    permit: Permit | None = None
    """Of rate limits; None: it has none."""


def begin(attempt: Priced) -> Admitted:
    """Return what an attempt needs to be sent.

    Raises:
        BudgetExceeded: If a budget has no room; nothing is held, and nothing counts against a rate limit.
        RateLimited: If a rate limit has none in time; nothing is held, and nothing counts.
    """
    hold = budgeting.begin(attempt)
    limits = _limits(attempt)
    if not limits:
        return Admitted(hold)
    try:
        tokens = _tokens(attempt, limits)
        if (permit := rates.rates.at_once(limits, tokens)) is not None:
            return Admitted(hold, permit)
    except BaseException:
        _free(hold)
        raise
    _free(hold)
    begun = time.monotonic()
    permit = rates.rates.enter(limits, tokens, attempt.settings.feature, patience=attempt.left)
    try:
        return Admitted(budgeting.begin(_later(attempt, begun)), permit)
    except BaseException:
        rates.rates.end(permit, None)
        raise


async def begin_async(attempt: Priced) -> Admitted:
    """As :func:`begin`, for the running event loop, which goes on meanwhile."""
    hold = await budgeting.begin_async(attempt)
    limits = _limits(attempt)
    if not limits:
        return Admitted(hold)
    try:
        tokens = _tokens(attempt, limits)
        if (permit := rates.rates.at_once(limits, tokens)) is not None:
            return Admitted(hold, permit)
    except BaseException:
        _free(hold)
        raise
    _free(hold)
    begun = time.monotonic()
    permit = await rates.rates.enter_async(limits, tokens, attempt.settings.feature, patience=attempt.left)
    try:
        return Admitted(await budgeting.begin_async(_later(attempt, begun)), permit)
    except BaseException:
        rates.rates.end(permit, None)
        raise


def _limits(attempt: Priced) -> list[RateLimit]:
    """Return the rate limits that count the attempt's model."""
    found = attempt.settings.rate_limits
    return [limit for limit in found if limit.model is None or limit.model == attempt.model] if found else []


def _tokens(attempt: Priced, limits: list[RateLimit]) -> float:
    """Return about how many tokens an attempt uses: a third of its bytes, and the cap of its answer."""
    if all(limit.tokens_per_minute is None for limit in limits):
        return 0.0
    sent = attempt.sent
    made = 0
    if attempt.writes:
        made = next((cap for name in CAPS if (cap := count_of(sent.get(name)))), UNCAPPED)
    return tokens_of([attempt.content, [sent[name] for name in ("tools", "functions") if name in sent]]) + made


def _free(hold: Hold | None) -> None:
    if hold is not None:
        leases.leases.settle(hold, Decimal(0))


def _later(attempt: Priced, begun: float) -> Priced:
    """Return the attempt with the time that is left after a wait."""
    return attempt._replace(left=max(attempt.left - (time.monotonic() - begun), 0.0))
