"""Budgets as a snapshot knows them: which there are, and which a call counts against. What is spent is the database's to say."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Budget(NamedTuple):
    """A budget that calls count against."""

    id: int
    name: str
    mode: str
    """``hard`` refuses a call that does not fit, before anything is sent; ``soft`` only counts."""
    unpriced: str
    """What becomes of a call whose price nobody knows: ``refuse`` or ``count``."""
    when_away: str
    """What becomes of a call while the database is away: ``closed`` refuses, ``open`` lets it through and counts it later."""


class Budgeted(NamedTuple):
    """A budget, and what its scope is; None: all."""

    budget: Budget
    organization_id: int | None
    feature_id: int | None
    provider_id: int | None


def budgeted(row: Mapping[str, Any]) -> Budgeted:
    """Return a row as it is used."""
    budget = Budget(*(row[name] for name in Budget._fields))
    return Budgeted(budget, row["organization_id"], row["feature_id"], row["provider_id"])


def applying(
    found: Iterable[Budgeted], organization: int | None, feature: int | None, provider: int
) -> tuple[Budget, ...]:
    """Return the budgets whose scope has a call of these in it, by id."""
    fitting = (
        each.budget
        for each in found
        if each.organization_id in {None, organization}
        and each.feature_id in {None, feature}
        and each.provider_id in {None, provider}
    )
    return tuple(sorted(fitting))
