"""Effective settings in words: what people read on every page and on the command line. Pure functions."""

import json
from typing import Any, Final, Literal

from ..models import catalogue
from ..parameters import PARAMETERS, SENDABLE
from ..wording import plain_number
from .effective import EffectiveSettings, Explained

State = Literal["sent", "not sent", "not set", "for the program"]
"""What becomes of a value in a request: *not set* has no value to be sent, *for the program* is never sent to a model."""
CUSTOM: Final = "custom_settings."
"""How the names of custom settings begin."""


def state_of(item: Explained) -> State:
    """Return what becomes of *item* in a request."""
    if item.omitted_by:
        return "not sent"
    if item.sent:
        return "sent"
    if item.value is None:
        return "not set"
    return "for the program" if item.accepted else "not sent"


def label_of(name: str) -> str:
    """Return what people call the parameter *name*, the model, or a custom setting."""
    if name in PARAMETERS:
        return PARAMETERS[name].label
    return "Model" if name == "model" else name


def value_text(name: str, value: Any) -> str:
    """Return a value of the parameter *name*, the model or a custom setting, as people read it: floats to 6 digits."""
    if name.startswith(CUSTOM):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "none chosen" if name == "model" else "not set"
    if isinstance(value, bool):
        return "On" if value else "Off"
    if isinstance(value, int) and name in PARAMETERS and PARAMETERS[name].is_amount:
        return f"{value:,}"
    return plain_number(value) if isinstance(value, float) else str(value)


def warnings_of(settings: EffectiveSettings) -> list[str]:
    """Return what does not fit the model or the vendor's API, each time with the cure."""
    kind, sent = settings.kind or "", settings.sent_parameters()
    unset = [name for name in SENDABLE if name not in sent and name not in settings.omitted]
    unfit = catalogue.omission_warnings(kind, settings.model, settings.omitted, unset)
    return [*unfit, *catalogue.range_warnings(kind, sent)]
