"""What a call costs, by list prices: an admin's, the vendor's list, the catalogue's, genai-prices'. Unknown is None, never zero."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from ..kinds import facts_of, origin_of
from ..models.apis import api_of, host_of, is_known_host
from ..models.facts import Price
from ..models.knowledge import Knowledge
from ..models.prices import cost, prices_of, row_at
from ..resolving.effective import EffectiveSettings
from .vendors import Tokens

_MOST_KEPT: Final = 4096


def price(settings: EffectiveSettings, model: str, usage: Tokens, *, at: datetime | None = None) -> Decimal | None:
    """Return what *usage* costs in US dollars; None if the price is not known.

    The catalogue's prices are those of the hosts that it knows: behind a gateway only what an admin says of the model counts,
    and what genai-prices knows of that host.

    Args:
        settings: Of the call.
        model: As it was called.
        usage: What the vendor counted.
        at: When it was called, with a time zone: prices change. Default: now.
    """
    rows = _rows(settings, model)
    row = rows[0] if len(rows) == 1 else row_at(rows, at or datetime.now(UTC))
    if row is None:
        return _by_genai_prices(settings, model, usage, at)
    return cost(
        row,
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
    )


def is_priced_apart(sent: Mapping[str, Any]) -> bool:
    """Return whether something in a request changes its price, so that list prices do not say what it costs.

    The number of answers does not: their tokens are counted.
    """
    for name, usual in _APART.items():
        if name in sent and sent[name] not in usual:
            return True
    wanted = sent.get("modalities")
    if isinstance(wanted, list | tuple) and "audio" in wanted:
        return True
    tools = sent.get("tools")
    return isinstance(tools, list | tuple) and any(_is_charged(tool) for tool in tools)


_APART: Final[Mapping[str, tuple[object, ...]]] = {
    "service_tier": (None, "auto", "default", "standard", "standard_only"),
    "serviceTier": (None, "standard"),
    "speed": (None, "standard"),
    "inference_geo": (None, "global"),
    "web_search_options": (None,),
    "audio": (None,),
}
"""What a request may have that changes its price -> the values that leave it as it is."""
_CHARGED: Final = (
    *("web_search", "file_search", "code_interpreter", "code_execution", "image_generation"),
    *("google_search", "googleSearch", "google_maps", "googleMaps", "codeExecution", "enterprise_web_search"),
)
"""How vendors call tools of theirs that are charged by use, at the beginning of a type or as the name of a field."""


def _is_charged(tool: object) -> bool:
    if not isinstance(tool, Mapping):
        return False
    kind = tool.get("type")
    return (isinstance(kind, str) and kind.startswith(_CHARGED)) or any(name in tool for name in _CHARGED)


def _rows(settings: EffectiveSettings, model: str) -> tuple[Price, ...]:
    known = settings.knowledge
    key = (settings.kind, settings.base_url, model)
    rows: tuple[Price, ...] | None = known.priced.get(key)
    if rows is None:
        if len(known.priced) >= _MOST_KEPT:
            known.priced.clear()
        rows = known.priced[key] = rows_of(*key, known)
    return rows


def rows_of(kind: str | None, base_url: str | None, model: str, known: Knowledge) -> tuple[Price, ...]:
    """Return the price rows of a model of a provider, by what is known; empty: unknown."""
    api, host = api_of(kind, base_url), host_of(kind, base_url)
    if is_known_host(kind, base_url):
        return prices_of(api, model, known, host)
    prices = (row.fields.get("prices") for row in reversed(known.rows(api, model, host)))
    return next(filter(None, prices), ())


def _by_genai_prices(settings: EffectiveSettings, model: str, usage: Tokens, at: datetime | None) -> Decimal | None:
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
        return genai_prices.calc_price(counted, model, genai_request_timestamp=at, **where).total_price
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
