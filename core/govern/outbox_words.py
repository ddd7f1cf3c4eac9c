"""What messages say to people, in Slack and by e-mail: the same as webhooks are told, in words."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from ..config import get_config
from ..environment import public_url
from ..redaction import on_one_line
from ..wording import counted
from .history_names import KINDS

MOST_LINES: Final = 20
"""Changes that a message lists."""
_LONGEST: Final = 200
"""Characters of a name, or of a list of fields."""


class Words(NamedTuple):
    """What a message says."""

    subject: str
    lines: tuple[str, ...]
    link: str
    """Where more is to be seen; empty: nobody has said where the app is reached."""
    link_text: str
    why: str
    """Why somebody gets it."""


def of(event: str, payload: Mapping[str, Any]) -> Words:
    """Return what a message of the type *event* says; of an event that this version does not know, its name."""
    data = payload.get("data")
    data = data if isinstance(data, Mapping) else {}
    maker = _OF.get(event)
    return maker(data) if maker else _words(f"LLM Settings: {_line(event)}", [], "")


def _of_changes(data: Mapping[str, Any]) -> Words:
    changes, total = data.get("changes") or [], data.get("total")
    by, generation = _line(data.get("by") or "somebody"), data.get("generation")
    if total is None:
        lines = [f"Much has changed, up to generation {generation}: look at what is in force."]
        return _words("Settings changed", lines, _history(generation), "See the history")
    shown = [_change(each) for each in changes[:MOST_LINES]]
    what = shown[0] if total == 1 and shown else f"{counted(total, 'change')} by {by}"
    more = [f"… and {total - len(shown):,} more"] if total > len(shown) else []
    comment = [f"Reason: {_line(data['comment'])}"] if data.get("comment") else []
    lines = [*shown, *more, f"By {by}", *comment]
    return _words(f"Settings changed: {what}", lines, _history(generation), "See the history")


def _history(generation: Any) -> str:
    """Return where the history begins with *generation*."""
    return f"history?after={generation}::0" if isinstance(generation, int) else "history"


def _change(change: Mapping[str, Any]) -> str:
    table = str(change.get("table"))
    kind = KINDS.get(table, table)
    name = f" {_line(change['name'])}" if change.get("name") else ""
    fields = _line(", ".join(change.get("fields") or []))
    behind = f": {fields}" if fields and change.get("op") == "changed" else ""
    return f"{kind}{name} {change.get('op')}{behind}"


def _of_alert(data: Mapping[str, Any]) -> Words:
    said = _line(data.get("text") or "Something is to be looked at", 500)
    number, budget = data.get("alert"), data.get("budget")
    lines = [said]
    if budget:
        lines += [f"Counts: {_line(data.get('scope') or 'everything')}", *_of_period(data.get("period"))]
    subject = f"Budget {_line(budget, 80)}: {_share(data)}" if budget else said
    page = f"alerts?show=All&after={number + 1}" if isinstance(number, int) else "alerts"
    return _words(subject, lines, page, "See the alert")


def _share(data: Mapping[str, Any]) -> str:
    """Return ``80 % of $100.00 spent``."""
    try:
        spent, limit = Decimal(str(data.get("spent"))), Decimal(str(data.get("limit")))
        if limit > 0 and spent.is_finite() and limit.is_finite():
            return f"{int(spent * 100 / limit):,} % of ${limit:,.2f} spent"
        return f"${spent:,.2f} spent" if spent.is_finite() else "look at it"
    except ArithmeticError:
        return "look at it"


def _of_period(period: Any) -> list[str]:
    """Return from when to when a period goes, by the clock of its zone."""
    if not isinstance(period, Mapping):
        return []
    zone = str(period.get("zone") or "UTC")
    found = [_local(period.get(name), zone) for name in ("starts", "ends")]
    if not found[0]:
        return []
    return [f"Period: from {found[0]}{f' to {found[1]}' if found[1] else ', without an end'} ({_line(zone)})"]


def _local(moment: Any, zone: str) -> str:
    try:
        return datetime.fromisoformat(str(moment)).astimezone(ZoneInfo(zone)).strftime("%-d %B %Y, %H:%M")
    except (ValueError, KeyError, OSError, OverflowError):  # a zone that is not known here is one, too
        return ""


def _of_key(data: Mapping[str, Any]) -> Words:
    whose = f"{_line(data['organization'])}'s own API key" if data.get("organization") else "API key"
    key, day = f"{whose} of {_line(data.get('provider') or 'a provider')}", _line(str(data.get("ends"))[:10])
    lines = [
        f"It was set on {_line(str(data.get('set'))[:10])}, and is older than {_line(data.get('max_age_days'))} days from {day} on.",
        "Make a new key at the vendor, put it in force on the Providers page (More, Exchange key), and end the old one.",
    ]
    return _words(f"{key} gets too old: {day}", lines, "providers", "See the providers")


def _of_test(data: Mapping[str, Any]) -> Words:
    name = _line(data.get("webhook") or "")
    lines = [f"This is a test of {name}: it can be reached. Nothing has happened."]
    return _words("Test of LLM Settings", lines, "webhooks", "See who is told")


def _words(subject: str, lines: list[str], page: str, link_text: str = "") -> Words:
    base = public_url(get_config().public_url)
    link = f"{base}/{page}" if base and page else ""
    why = "You get this because an admin of LLM Settings named your address under Notifications."
    return Words(subject, tuple(lines), link, link_text, why)


def _line(text: Any, longest: int = _LONGEST) -> str:
    return on_one_line(str(text), longest)


_ALERTS: Final = ("budget.threshold", "budget.forecast", "budget.unpriced", "budget.presumed", "spend.spike")
_OF: Final = {
    "settings.changed": _of_changes,
    "webhook.test": _of_test,
    "key.age": _of_key,
    **dict.fromkeys(_ALERTS, _of_alert),
}
