"""A vendor's own list of models: names, and what it says of limits, prices and ends. Every shape that the APIs have; never raises.

The fields are those of the SDKs that we pin (openai 3.54: ``shutdown_date``; anthropic 2.12: ``max_input_tokens``,
``max_tokens``, ``retires_at``; google-genai 3.4: ``input_token_limit``, ``output_token_limit``, ``max_temperature``), of
https://docs.mistral.ai/api/endpoint/models, https://openrouter.ai/docs/api/api-reference/models, Groq's and vLLM's.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from ..models.facts import FIELDS, WRONG
from ..parameters import SENDABLE
from .vendors import look, string

MOST: Final = 5_000
"""So many models of a list are looked at; the longest known one has some 600."""
_TIMES: Final = 1_000_000
"""OpenRouter's prices are by the token, ours by a million."""


class Listed(NamedTuple):
    """One model of a list."""

    name: str
    facts: Mapping[str, Any]
    """As a row of ``llm_model_facts`` has them; empty: the list has names alone."""


def read(models: Iterable[Any], *, own_limit: bool = False) -> list[Listed]:
    """Return what a list says, at most :data:`MOST` models of it: one without an end ends here.

    Args:
        models: The SDK's objects.
        own_limit: Whether ``max_tokens`` of a model is its longest answer, as Anthropic means it.
    """
    found = []
    for model in islice(models, MOST):
        name = string(look(model, "id")) or string(look(model, "name")).removeprefix("models/")
        found.append(Listed(name or str(look(model, "name")), _facts(model, own_limit=own_limit)))
    return found


def _facts(model: Any, *, own_limit: bool) -> dict[str, Any]:
    said = {
        "context": _first(model, "context_length", "max_context_length", "context_window", "max_model_len"),
        "max_input": _first(model, "max_input_tokens", "input_token_limit"),
        "max_output": _first(
            model, "output_token_limit", "max_completion_tokens", *(("max_tokens",) if own_limit else ())
        )
        or look(model, "top_provider", "max_completion_tokens"),
        "temperature_max": _first(model, "max_temperature"),
        "retires": _day(_first(model, "retires_at", "shutdown_date", "expiration_date", "deprecation")),
        "successor": _first(model, "deprecation_replacement_model"),
        "prices": _prices(look(model, "pricing")),
    }
    facts = {name: value for name, value in said.items() if value is not None and _fits(FIELDS[name], value)}
    supported = look(model, "supported_parameters")
    if isinstance(supported, list) and supported:
        facts |= {name: {"ignore": True} for name in SENDABLE if name not in supported}
    return facts


def _first(model: Any, *names: str) -> Any:
    return next((value for name in names if (value := look(model, name))), None)


def _fits(check: Callable[[Any], Any], value: Any) -> bool:
    try:
        check(value)
    except WRONG:
        return False
    return True


def _day(value: Any) -> str | None:
    try:
        if isinstance(value, datetime):
            return (value.astimezone(UTC) if value.tzinfo else value).date().isoformat()
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).date().isoformat()
        return datetime.fromisoformat(value).date().isoformat() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _prices(pricing: Any) -> list[dict[str, float]] | None:
    row = {}
    for ours, theirs in (("input", "prompt"), ("output", "completion")):
        try:
            price = float(look(pricing, theirs)) * _TIMES
        except (TypeError, ValueError):
            continue
        if price > 0:  # 0 is a free variant's, or unknown
            row[ours] = round(price, 9)
    return [row] if row else None
