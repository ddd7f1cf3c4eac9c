"""A vendor's own list of models: names, and what it says of limits, prices and ends. Every shape that the APIs have; never raises.

The fields are those of the SDKs that we pin (openai 3.54: ``shutdown_date``; anthropic 2.12: ``max_input_tokens``,
``max_tokens``, ``retires_at``, ``capabilities``; google-genai 3.4: ``input_token_limit``, ``output_token_limit``,
``max_temperature``, ``thinking``), of
https://docs.mistral.ai/api/endpoint/models, https://openrouter.ai/docs/api/api-reference/models, Groq's and vLLM's.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from ..models.facts import FIELDS, WRONG
from ..parameters import EFFORTS, SENDABLE
from .vendors import look, string

MOST: Final = 5_000
"""So many models of a list are looked at; the longest known one has some 600."""
_TIMES: Final = 1_000_000
"""OpenRouter's prices are by the token, ours by a million."""


class ListedModel(NamedTuple):
    """One model of a list."""

    name: str
    facts: Mapping[str, Any]
    """As a row of ``llm_model_facts`` has them; empty: the list has names alone."""


def read(models: Iterable[Any], *, own_limit: bool = False) -> list[ListedModel]:
    """Return what a list says, at most :data:`MOST` models of it: one without an end ends here.

    Args:
        models: The SDK's objects.
        own_limit: Whether ``max_tokens`` of a model is its longest answer, as Anthropic means it.
    """
    found = []
    for model in islice(models, MOST):
        name = string(look(model, "id")) or string(look(model, "name")).removeprefix("models/")
        found.append(ListedModel(name or str(look(model, "name")), _facts(model, own_limit=own_limit)))
    return found


def _facts(model: Any, *, own_limit: bool) -> dict[str, Any]:
    claims = {
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
        "reasoning": _reasoning(model),
        "efforts": _efforts(look(model, "capabilities", "effort")),
    }
    facts = {name: value for name, value in claims.items() if value is not None and _fits(FIELDS[name], value)}
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


def _reasoning(model: Any) -> str | None:
    """Return ``none`` or ``always``, where a list is sure of it: Google's ``thinking``, Anthropic's ``capabilities.thinking``.

    Neither says whether a model that may reason does so unasked. Anthropic's ``types.disabled`` is false exactly where
    switching it off gets a 400 (anthropic/types/thinking_types.py).
    """
    has_effort = look(model, "capabilities", "effort", "supported") is True
    if look(model, "thinking") is False or look(model, "capabilities", "thinking", "supported") is False:
        return None if has_effort else "none"  # an effort would be refused of a model that does not reason
    can_be_off = look(model, "capabilities", "thinking", "types", "disabled", "supported")
    return "always" if can_be_off is False else None


def _efforts(effort: Any) -> list[str] | None:
    if look(effort, "supported") is not True:
        return None
    return [level for level in EFFORTS if look(effort, level, "supported") is True] or None


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
