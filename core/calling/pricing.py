"""What a call costs, by genai-prices: the vendors' own list prices. Unknown is None, never zero."""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ..kinds import facts_of, origin_of
from ..resolving.effective import EffectiveSettings
from .vendors import Tokens


def price(settings: EffectiveSettings, model: str, usage: Tokens) -> Decimal | None:
    """Return what *usage* costs in US dollars, by genai-prices; None if the price is not known.

    The prices are the vendors' own: at another host than theirs, nothing is known unless genai-prices knows that host.
    """
    where = find(settings.kind, settings.base_url, model)
    if where is None:
        return None
    import genai_prices  # noqa: PLC0415 - of the extra, with the first call

    counted = genai_prices.Usage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
    )
    try:
        return genai_prices.calc_price(counted, model, **where).total_price
    except (LookupError, ValueError):
        return None


@lru_cache(maxsize=1024)
def find(kind: str | None, base_url: str | None, model: str | None) -> Mapping[str, Any] | None:
    """Return where genai-prices finds the model; None if it does not. Looked up once: a miss searches all its vendors."""
    if kind is None or model is None:
        return None
    try:
        import genai_prices  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        return None
    where: dict[str, Any] = {"provider_api_url": base_url}
    if facts_of(kind).base_url and origin_of(kind, base_url) == origin_of(kind, None):
        where = {"provider_id": kind}
    try:
        genai_prices.calc_price(genai_prices.Usage(input_tokens=0, output_tokens=0), model, **where)
    except (LookupError, ValueError):
        return None
    return where
