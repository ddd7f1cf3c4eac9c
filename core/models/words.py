"""What is known of a model, in words that pages and the command line share. Pure functions, but for the day of today."""

from datetime import UTC, date, datetime
from decimal import Decimal

from ..wording import counted
from .facts import ModelFacts, Price
from .knowledge import Knowledge, vendored
from .prices import prices_of, row_at


def standing_text(found: ModelFacts | None) -> str:
    """Return whether a model is known: ``known``, ``assumed from gpt-5.4``, or that it works as well."""
    if found is None:
        return "not known here, which works as well: everything is sent as it is set"
    return f"assumed from {found.assumed_from}" if found.assumed_from else "known"


def limits_text(found: ModelFacts | None) -> str:
    """Return the limits that are known of a model: ``context 400,000, answers up to 128,000``; empty without any."""
    if found is None:
        return ""
    parts = [f"context {found.context:,}"] if found.context else []
    if found.max_input and found.max_input != found.context:
        parts.append(f"input up to {found.max_input:,}")
    if found.max_output and not found.assumed_from:
        parts.append(f"answers up to {found.max_output:,}")
    return ", ".join(parts)


def price_text(price: Price | None) -> str:
    """Return what a million tokens cost: ``$1.25 in, $10 out``; empty where that is not known."""
    if price is None or price.input is None or price.output is None:
        return ""
    return f"{_dollars(price.input)} in, {_dollars(price.output)} out"


def ends_text(retires: date, today: date, effect: str | None) -> str:
    """Return when a model ends, or that it has: ``retires in 15 days (2026-12-11)``."""
    days = (retires - today).days
    if days >= 0:
        left = "today" if not days else f"in {counted(days, 'day')}"
        return f"retires {left} ({retires})"
    then = "another model answers since" if effect == "rerouted" else "calls are refused since"
    return f"retired {counted(-days, 'day')} ago ({retires}): {then}"


def price_of(knowledge: Knowledge, api: str, model: str, when: datetime, host: str = "") -> Price | None:
    """Return what *model* costs at *api* at this moment; None: not known."""
    found = knowledge.facts(api, model, host)
    own = found.prices if found is not None and found.assumed_from is None else ()
    return row_at(own or prices_of(api, model), when)


def model_line(
    api: str, model: str, today: date | None = None, *, knowledge: Knowledge | None = None, host: str = ""
) -> str:
    """Return in a line what is known of *model* at *api*: standing, limits, price of a million tokens, end and successor.

    Args:
        api: A key of :data:`core.models.apis.APIS`.
        model: Its name.
        today: From which days are counted. Default: UTC's.
        knowledge: What is known of models. Default: the catalogue of this version.
        host: Of the provider's base URL.
    """
    now, knowledge = datetime.now(UTC), knowledge or vendored()
    found = knowledge.facts(api, model, host)
    parts = [standing_text(found), limits_text(found)]
    if cost := price_text(price_of(knowledge, api, model, now, host)):
        parts.append(f"{cost} a million tokens")
    if found is not None and found.retires is not None:
        parts.append(ends_text(found.retires, today or now.date(), found.retired_effect))
        if found.successor:
            parts.append(f"then {found.successor}")
    line = " · ".join(filter(None, parts))
    return line[:1].upper() + line[1:]


def _dollars(amount: Decimal) -> str:
    whole, point, rest = f"{amount.normalize():f}".partition(".")
    return f"${whole}{point}{rest.ljust(2, '0') if point else ''}"
