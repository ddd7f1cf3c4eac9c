"""What an attempt may cost at most, held in its budgets from before it is sent until it is settled."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ..errors import BudgetExceeded
from ..resolving.effective import EffectiveSettings
from . import leases
from .borrowing import SILENCE
from .holds import Hold, refused
from .pricing import is_priced_apart, price
from .request import SEVERAL
from .settling import A_FILE, CAPS, LARGEST, measured
from .vendors import Tokens, count_of

A_MESSAGE: Final = 16
"""Tokens for what stands around each message."""
_NOTHING: Final = Decimal(0)


def most(
    settings: EffectiveSettings, model: str, content: Sequence[Any], sent: Mapping[str, Any], *, writes: bool
) -> Decimal | None:
    """Return what an attempt costs at most, in US dollars; None if nobody knows its price.

    No tokenizer of bytes makes more tokens of a text than it has bytes. What is in pictures and other files, and what the vendor adds by
    itself, is not known before.

    Args:
        settings: Of the call.
        model: As it is called.
        content: Messages, or texts to embed.
        sent: Parameters, by the vendor's names.
        writes: Whether the model writes an answer: none comes of texts to embed.
    """
    if is_priced_apart(sent):
        return None
    size, files = measured([content, {name: value for name, value in sent.items() if name not in CAPS}])
    given = size + A_MESSAGE * len(content) + A_FILE * files
    made = 0
    if writes:
        cap = next((cap for name in CAPS if (cap := count_of(sent.get(name)))), LARGEST)
        made = cap * max(count_of(sent.get(name)) or 1 for name in SEVERAL)
    found = [price(settings, model, Tokens(given, made, 0, written)) for written in (0, given)]
    return max((cost for cost in found if cost is not None), default=None)


class Priced(NamedTuple):
    """What decides what an attempt costs at most."""

    settings: EffectiveSettings
    model: str
    content: Sequence[Any]
    """Messages, or texts to embed."""
    sent: Mapping[str, Any]
    left: float
    """Seconds that the attempt has."""
    writes: bool
    """Whether the model writes an answer: none comes of texts to embed."""


def begin(attempt: Priced) -> Hold | None:
    """Hold what an attempt may cost, in all its budgets; None: it has none.

    Raises:
        BudgetExceeded: If a budget has no room for it.
    """
    if not attempt.settings.budgets:
        return None
    return leases.leases.reserve(attempt.settings.budgets, _amount(attempt), patience=min(SILENCE, attempt.left))


async def begin_async(attempt: Priced) -> Hold | None:
    """As :func:`begin`, for the running event loop, which goes on meanwhile."""
    if not attempt.settings.budgets:
        return None
    patience = min(SILENCE, attempt.left)
    return await leases.leases.reserve_async(attempt.settings.budgets, _amount(attempt), patience=patience)


def _amount(attempt: Priced) -> Decimal:
    """Return what is held; of a call whose price nobody knows nothing, where its budgets let it through."""
    settings, model, content, sent, _, writes = attempt
    amount = most(settings, model, content, sent, writes=writes)
    if amount is None:
        for budget in settings.budgets:
            if budget.unpriced == "refuse":
                refused["unpriced"] += 1
                raise BudgetExceeded(budget.name, "unpriced", why=f"{model} of provider {settings.provider!r}")
    return amount or _NOTHING
