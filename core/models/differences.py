"""What is known of a model line by line, with who says so; and what is otherwise with another model. Pure functions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from ..parameters import PARAMETERS, SENDABLE
from ..wording import listed, plain_number
from .facts import ModelFacts, with_sources
from .knowledge import Knowledge, vendored
from .verdict import Verdict
from .words import price_of, price_text


class ComparedLine(NamedTuple):
    """One thing that is known of a model."""

    what: str
    """``Temperature``, ``Context``."""
    text: str
    """What is so: ``not taken: it always reasons``."""
    sources: tuple[str, ...]
    """Who says so: addresses, packages, or where a rule stands."""


class Difference(NamedTuple):
    """One thing that is otherwise with another model."""

    what: str
    before: str
    after: str


_REASONS: Final[Mapping[str, str]] = {
    "none": "never reasons",
    "optional": "reasons when it is asked to",
    "default": "reasons unless it is told not to",
    "always": "always reasons",
}
_NOT_KNOWN: Final = "not known"


def known_lines(
    api: str, kind: str | None, model: str, now: datetime, *, knowledge: Knowledge | None = None, host: str = ""
) -> list[ComparedLine]:
    """Return what is known of *model* at *api*, parameters first; of an unknown model what the API does with each of them.

    Args:
        api: A key of :data:`core.models.apis.APIS`.
        kind: Of the provider; None: whatever speaks OpenAI's protocol.
        model: Its name.
        now: The price of this moment counts.
        knowledge: What is known of models. Default: the catalogue of this version.
        host: Of the provider's base URL.
    """
    knowledge = knowledge or vendored()
    found = knowledge.facts(api, model, host)
    verdicts = knowledge.verdicts(api, kind, model, host)
    lines = [_parameter(name, verdicts.get(name, ())) for name in SENDABLE]
    if found is not None:
        found = with_sources(found)
        lines += _of_facts(found)
    if cost := price_text(price_of(knowledge, api, model, now, host)):
        lines.append(
            ComparedLine("Price", f"{cost} a million tokens", found.sources.get("prices", ()) if found else ())
        )
    return lines


def differences(
    api: str, kind: str | None, models: tuple[str, str], now: datetime, knowledge: Knowledge | None = None
) -> list[Difference]:
    """Return what is otherwise with the second of two *models* at one API; what neither says is no difference."""
    before, after = (
        {line.what: line.text for line in known_lines(api, kind, m, now, knowledge=knowledge)} for m in models
    )
    names = [*_FIRST, *(what for what in before | after if what not in _FIRST)]
    return [
        Difference(what, before.get(what, _NOT_KNOWN), after.get(what, _NOT_KNOWN))
        for what in names
        if what not in _OF_ITS_OWN and before.get(what) != after.get(what)
    ]


_FIRST: Final = ("Price", "Context")
"""What people want to know first."""
_OF_ITS_OWN: Final = ("Retires", "Successor")
"""Every model has its own, so they tell nothing of a change."""


def _parameter(name: str, verdicts: Iterable[Verdict]) -> ComparedLine:
    verdicts = list(verdicts)
    is_list = PARAMETERS[name].value_type is list
    texts = list(dict.fromkeys(filter(None, (verdict_text(one, is_list=is_list) for one in verdicts))))
    if not any(one.does in {"refuse", "ignore"} and not one.unless for one in verdicts):
        texts = texts or ["taken"]
    sources = tuple(dict.fromkeys(_OURS.get(one.basis, one.url) for one in verdicts))
    return ComparedLine(PARAMETERS[name].label, "; ".join(texts), sources)


_OURS: Final = {"operator": "an admin, here", "vendor": "the vendor's own list"}
"""Who says it, where that is neither a page nor a package."""


def verdict_text(verdict: Verdict, *, is_list: bool = False) -> str:
    """Return what an API does with a parameter: ``not taken: it always reasons``, ``sent as max_completion_tokens``."""
    if verdict.does == "rename":
        return f"sent as {verdict.to}"
    if verdict.does == "range":
        if is_list:
            return f"at most {_number(verdict.high)}"
        text = f"{_number(verdict.low)} to {_number(verdict.high)}"
        return f"{text} {verdict.why}".rstrip()
    if verdict.does == "only":
        return f"only {listed([value if isinstance(value, str) else plain_number(value) for value in verdict.values])}{_because(verdict)}"
    if verdict.does == "exclusive":
        return verdict.why
    return {
        "refuse": f"not taken{_because(verdict)}",
        "ignore": f"has no effect{_because(verdict)}",
        "require": "required",
        "ok": "taken",
        "visible": verdict.why,
        "above": f"more than {'.'.join(map(str, verdict.values))}",
    }[verdict.does]


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else plain_number(value)


def _because(verdict: Verdict) -> str:
    """Return the reason behind the words, unless it only repeats them."""
    repeats = {
        "ignore": "no effect" in verdict.why,
        "refuse": verdict.why == "it takes none",
        "only": verdict.why == f"it takes {', '.join(map(str, verdict.values))}",
    }
    return f": {verdict.why}" if verdict.why and not repeats.get(verdict.does) else ""


def _of_facts(found: ModelFacts) -> list[ComparedLine]:
    texts = {
        "context": ("Context", f"{found.context:,} tokens" if found.context else ""),
        "max_input": ("Longest input", f"{found.max_input:,} tokens" if found.max_input else ""),
        "max_output": ("Longest answer", f"{found.max_output:,} tokens" if found.max_output else ""),
        "reasoning": ("Reasoning", _REASONS.get(found.reasoning or "", "")),
        "efforts": ("Efforts", ", ".join(found.efforts)),
        "default_effort": ("Default effort", found.default_effort or ""),
        "retires": ("Retires", f"{found.retires}{_then(found)}" if found.retires else ""),
        "successor": ("Successor", found.successor or ""),
    }
    return [ComparedLine(what, text, found.sources.get(name, ())) for name, (what, text) in texts.items() if text]


def _then(found: ModelFacts) -> str:
    return ", then another model answers" if found.retired_effect == "rerouted" else ", then calls are refused"
