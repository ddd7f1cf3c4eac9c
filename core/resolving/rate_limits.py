"""Rate limits on calls as a snapshot knows them: which there are, and which a call counts against."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class RateLimit(NamedTuple):
    """A rate limit that calls count against."""

    id: int
    name: str
    model: str | None
    """It counts calls of this model alone; None: of all."""
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    burst_seconds: float
    """So much of a minute may go at once."""
    when_full: str
    """``wait``: a call waits in turn; ``refuse``: it is told at once."""
    max_wait_ms: int
    """How long it waits at most."""


class RateScope(NamedTuple):
    """A rate limit, and what its scope is; None: all."""

    rate_limit: RateLimit
    organization_id: int | None
    feature_id: int | None
    provider_id: int | None


def scoped(row: Mapping[str, Any]) -> RateScope:
    """Return a row as it is used."""
    found = RateLimit(*(row[name] for name in RateLimit._fields))
    return RateScope(found, row["organization_id"], row["feature_id"], row["provider_id"])


def applying_rates(
    found: Iterable[RateScope], organization: int | None, feature: int | None, provider: int
) -> tuple[RateLimit, ...]:
    """Return the rate limits whose scope has a call of these in it, by id; of all models."""
    fitting = (
        each.rate_limit
        for each in found
        if each.organization_id in {None, organization}
        and each.feature_id in {None, feature}
        and each.provider_id in {None, provider}
    )
    return tuple(sorted(fitting, key=lambda one: one.id))
