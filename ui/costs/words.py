"""Sums of money and what they are of, in words."""

from decimal import Decimal
from typing import Final

from core.govern.spend import SpendSums
from core.wording import counted
from ui.widgets import dollars

_LARGE: Final = 10_000
SPLIT_LABELS: Final = {
    "provider": "Provider",
    "model": "Model",
    "feature": "Feature",
    "organization": "Organisation",
    "cost_centre": "Cost centre",
}


def named(by: str, name: str) -> str:
    """Return what one part of the costs is called; an empty name: of none."""
    return name or f"no {SPLIT_LABELS[by].lower()}"


def at_least(cost: Decimal, unpriced: int) -> str:
    """Return a sum as it is known: with calls whose price is not, it is at least so much."""
    return f"{'at least ' if unpriced else ''}{dollars(cost)}"


def short(cost: Decimal, unpriced: int) -> str:
    """Return a sum as it fits into a figure: ``≥`` is at least; a large one without cents."""
    return f"{'≥ ' if unpriced else ''}{f'${cost:,.0f}' if cost >= _LARGE else dollars(cost)}"


def of_these(sums: SpendSums) -> str:
    """Return what stands below a sum; empty where all of it is known and counted by the vendors."""
    parts = []
    if sums.estimated:
        parts.append(f"{dollars(sums.estimated)} estimated")
    if sums.unpriced:
        parts.append(f"{counted(sums.unpriced, 'call')} unpriced")
    return f"of these {', '.join(parts)}" if parts else ""


def against(cost: Decimal, before: Decimal, what: str) -> str:
    """Return how a sum compares with that of the time before."""
    if not before:
        return f"{dollars(before)} {what}"
    share = (cost - before) / before
    more = "more than" if share >= 0 else "less than"
    return f"{abs(share):.0%} {more} {dollars(before)} {what}"
