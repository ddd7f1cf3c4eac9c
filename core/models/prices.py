"""What a call costs by the catalogue's list prices: the rows with their days, hours and tiers. Unknown is None.

The same arithmetic as genai-prices, which the rows come from (docs/decisions/dependencies.md); tests/models/test_prices.py
holds both together for all of its models.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from .facts import Price
from .knowledge import Knowledge, vendored

_MILLION: Final = Decimal(1_000_000)
_THOUSAND: Final = Decimal(1000)
_NOTHING: Final = Decimal(0)
_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "azure": ("openai", "anthropic", "deepseek", "xai", "moonshot"),
    "google": ("anthropic",),
    "vertex": ("google", "anthropic"),
}
"""Where a host's price is its vendor's list price, if it has none of its own: as genai-prices has it."""


def price(
    api: str,
    model: str,
    when: datetime,
    *,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> Decimal | None:
    """Return what a call costs in US dollars; None if its price is not known, or the counts contradict one another.

    *when* has a time zone. *input_tokens* are all of them: those read from a cache and written to it are among them.
    """
    row = row_at(prices_of(api, model), when)
    if row is None:
        return None
    return cost(
        row,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
    )


def cost(
    row: Price, *, input_tokens: int, output_tokens: int, cache_read_tokens: int = 0, cache_write_tokens: int = 0
) -> Decimal | None:
    """Return what a call costs by one price row, as :func:`price` does."""
    read = cache_read_tokens if row.cache_read is not None else 0
    written = cache_write_tokens if row.cache_write is not None else 0
    fresh = input_tokens - read - written
    if row.input is None:
        fresh = max(fresh, 0)
    elif fresh < 0:
        return None
    if row.tiers:
        input_rate, output_rate, read_rate, write_rate = _rates(row, input_tokens)
    else:
        input_rate, output_rate, read_rate, write_rate = row.input, row.output, row.cache_read, row.cache_write
    total = input_rate * fresh if input_rate else _NOTHING
    if output_rate:
        total += output_rate * output_tokens
    if read and read_rate:
        total += read_rate * read
    if written and write_rate:
        total += write_rate * written
    total /= _MILLION
    return total + row.request / _THOUSAND if row.request else total


def cost_of_sum(row: Price, *, calls: int, input_tokens: int, output_tokens: int) -> Decimal | None:
    """Return what some calls cost in all by one price row, none of their input being cached; None where it hangs on the size of each."""
    if any(input_tokens > start for _, start, _ in row.tiers):
        return None
    found = cost(row, input_tokens=input_tokens, output_tokens=output_tokens)
    if found is None or row.request is None:
        return found
    return found + row.request / _THOUSAND * (calls - 1)


def prices_of(api: str, model: str, knowledge: Knowledge | None = None, host: str = "") -> tuple[Price, ...]:
    """Return the price rows of *model* at *api*; of its vendor, where that is the host's list price; empty: unknown.

    *knowledge* is what is known of models, by default the catalogue of this version; *host* counts where it says
    something of one host.
    """
    known = knowledge or vendored()
    found = known.facts(api, model, host)
    if found is not None and found.prices:
        return found.prices
    for vendor in _ALSO.get(api, ()):
        theirs = known.facts(vendor, model)
        if theirs is not None and theirs.api == vendor and theirs.prices:
            return theirs.prices
    return ()


def row_at(rows: tuple[Price, ...], when: datetime) -> Price | None:
    """Return the row that holds at *when*: the last one whose day has come and whose hours are on; else the first."""
    if len(rows) <= 1:
        return rows[0] if rows else None
    moment = when.astimezone(UTC)
    day, minute = moment.date(), moment.hour * 60 + moment.minute
    for row in reversed(rows):
        if row.since is not None and day < row.since:
            continue
        if row.hours is None:
            return row
        begin, end = row.hours
        if (begin <= minute < end) if begin <= end else (minute >= begin or minute < end):
            return row
    return rows[0]


def _rates(row: Price, input_tokens: int) -> tuple[Decimal | None, ...]:
    """Return what a million tokens cost: input, output, read from a cache, written to it."""
    for tier in row.tiers:
        if input_tokens > tier[1]:
            break
    else:
        return row.input, row.output, row.cache_read, row.cache_write
    rates = {"input": row.input, "output": row.output, "cache_read": row.cache_read, "cache_write": row.cache_write}
    rates |= {
        field: above for field, start, above in row.tiers if input_tokens > start
    }  # ascending: the last one counts
    return tuple(rates.values())
