"""Effective settings in words: what people read on every page and on the command line. Pure functions."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from ..models.adapt import Adjustment
from ..parameters import PARAMETERS
from ..wording import listed, plain_number
from . import extra
from .decision import decide
from .effective import EffectiveSettings
from .explanation import Explained
from .personal_merge import PREFIX

State = Literal["sent", "not sent", "not set", "for the program"]
"""What becomes of a value in a request: *not set* has no value to be sent, *for the program* is never sent to a model."""
CUSTOM: Final = "custom_settings."
"""How the names of custom settings begin."""
EXTRA: Final = extra.PREFIX


PERSONAL_LABELS: Final[Mapping[str, str]] = {
    PREFIX + name: f"Personal data: {label}"
    for name, label in {
        "logs": "request log",
        "prompts": "prompts",
        "answers": "answers",
        "restore": "put back into answers",
        "types": "what is looked for",
        "countries": "countries",
        "engine": "engine",
        "patterns": "own patterns",
        "allow": "what is none",
        "on_failure": "if a prompt cannot be searched",
    }.items()
}
"""What people call the fields of personal data."""


def state_of(item: Explained) -> State:
    """Return what becomes of *item* in a request."""
    if item.sent:
        return "sent"
    if item.omitted_by or item.adjusted or item.must_not_be_sent:
        return "not sent"
    return "not set" if item.value is None else "for the program"


def label_of(name: str) -> str:
    """Return what people call the parameter *name*, the model, or an entry of a JSON object."""
    if name in PARAMETERS:
        return PARAMETERS[name].label
    return "Model" if name == "model" else PERSONAL_LABELS.get(name, name)


def value_text(name: str, value: Any) -> str:
    """Return a value of the parameter *name*, the model or a custom setting, as people read it: floats to 6 digits."""
    if name.startswith((CUSTOM, EXTRA)):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return _NOTHING.get(name, "not set")
    if isinstance(value, bool):
        return "On" if value else "Off"
    if isinstance(value, list | tuple):
        return _list_text(name, value)
    if isinstance(value, int) and name in PARAMETERS and PARAMETERS[name].is_amount:
        return f"{value:,}"
    return plain_number(value) if isinstance(value, float) else str(value)


def _list_text(name: str, value: Iterable[Any]) -> str:
    if name.startswith(PREFIX):  # of own patterns the names
        return ", ".join(each["name"] if isinstance(each, dict) else str(each) for each in value) or "none"
    return ", ".join(json.dumps(one, ensure_ascii=False) for one in value)


_NOTHING: Final = {"model": "none chosen", f"{PREFIX}types": "all"}
"""What people read where there is no value."""


def becomes(adjusted: Adjustment) -> str:
    """Return what becomes of a value: ``not sent: it always reasons``, or ``sent as max_completion_tokens``."""
    if adjusted.what == "left_out":
        return f"not sent: {adjusted.why}"
    if adjusted.what == "added":
        return f"sent though omitted: {adjusted.why}"
    to = value_text(adjusted.parameter, adjusted.to)
    return f"sent as {to}" if adjusted.what == "renamed" else f"sent as {to}: {adjusted.why}"


class Note(NamedTuple):
    """What is to be known of one parameter, beside its value."""

    text: str
    asked_for: bool
    """Whether it concerns what somebody chose; else a built-in default, or a name."""


def note_of(each: Adjustment, value: Any) -> Note:
    """Return what becomes of *value*, in a line: ``0.7 · will be left out: it always reasons``, ``2 → 1: it takes 0 to 1``."""
    shown, to = value_text(each.parameter, value), value_text(each.parameter, each.to)
    text = {
        "left_out": f"{shown} · will be left out: {each.why}",
        "clamped": f"{shown} → {to}: {each.why}",
        "added": f"{shown} is sent all the same: {each.why}",
        "renamed": f"sent as {to}",
    }[each.what]
    return Note(text, each.asked_for and each.what != "renamed")


def notes_of(settings: EffectiveSettings) -> dict[str, Note]:
    """Return parameter -> what is to be known of it where it is not simply sent, or omitted for good reason."""
    found = {each.parameter: note_of(each, getattr(settings, each.parameter)) for each in settings.adjustments}
    if settings.model_is != "unknown":
        found |= {
            name: Note(f"left out by hand, though {settings.model} takes it", asked_for=True)
            for name in omitted_for_nothing(settings)
        }
    return found


def warnings_of(settings: EffectiveSettings) -> list[str]:
    """Return where what somebody chose does not reach the model as it is, and what is omitted for nothing; with the cure."""
    model = settings.model or "the model"
    found = [
        sentence
        for each in settings.adjustments
        if (sentence := _adjusted_text(each, getattr(settings, each.parameter), model))
    ]
    if settings.model_is != "unknown" and (names := omitted_for_nothing(settings)):
        be, it = ("is", "it") if len(names) == 1 else ("are", "them")
        found.append(
            f"{listed(names)} {be} omitted, though {model} takes {it}. "
            f"Take {it} off the omitted parameters to have {it} sent."
        )
    return found


def changes_text(adjustments: Iterable[Adjustment]) -> str:
    """Return in one sentence what is sent otherwise than it is set; empty if nothing is, but for names."""
    left_out = [each.parameter for each in adjustments if each.what == "left_out"]
    changed = [
        f"{each.parameter} is {value_text(each.parameter, each.to)}" for each in adjustments if each.what in _CHANGED
    ]
    return "; ".join([f"{listed(left_out)} left out"] * bool(left_out) + changed)


_CHANGED: Final = ("clamped", "added")


def _adjusted_text(each: Adjustment, value: Any, model: str) -> str:
    name, shown = each.parameter, value_text(each.parameter, value)
    if each.what == "added":
        return f"{name} is omitted, though {each.why}: {shown} is sent. Take it off the omitted parameters."
    if not each.asked_for or each.what == "renamed":
        return ""
    if each.what == "clamped":
        sent = value_text(name, each.to)
        return f"{name} {shown} is sent to {model} as {sent}: {each.why}. Choose a value in that range."
    return f"{name} {shown} is not sent to {model}: {each.why}. Choose another model to have it sent, or have it inherited."


def omitted_for_nothing(settings: EffectiveSettings) -> list[str]:
    """Return what would be sent, and taken as it is, were it not omitted."""
    if not settings.omitted:
        return []
    basis = settings.basis()
    left_out = {each.parameter for each in decide(basis._replace(omitted=())).adjustments if each.what == "left_out"}
    kept = {
        each.parameter for each in settings.adjustments
    } | left_out  # adjusted though omitted: the API cannot do without
    return [name for name in settings.omitted if name not in kept and basis.values[name] is not None]
