"""Limits in words, as forms, errors and the command line say them. Pure functions."""

from collections.abc import Mapping
from typing import Any, Final

from ..parameters import PARAMETERS
from ..wording import listed
from .limited import LimitedBy
from .limits import DEFAULT_PROVIDER, MODEL, PERSONAL
from .words import PERSONAL_LABELS, value_text

_NOBODY: Final[Mapping[int, str]] = {}


FIELD_LABELS: Final[Mapping[str, str]] = {
    **{name: parameter.label for name, parameter in PARAMETERS.items()},
    MODEL: "Model",
    DEFAULT_PROVIDER: "Default provider",
    "custom_settings": "Custom settings",
    "extra_parameters": "Extra parameters",
    PERSONAL: "Personal data",
    **PERSONAL_LABELS,
}
"""What people call what can be limited whole."""


def field_label(field: str) -> str:
    """Return what people call a field that is limited: ``Max tokens``, ``Custom settings: region``."""
    if field in PERSONAL_LABELS:
        return PERSONAL_LABELS[field]
    head, dot, key = field.partition(".")
    label = FIELD_LABELS.get(head, head)
    return f"{label}: {key}" if dot else label


def rule_text(field: str, rule: str, bound: Any, providers: Mapping[int, str] = _NOBODY) -> str:
    """Return one rule: ``at most 4,000``, ``one of minimal and errors_only``, ``locked``, ``must be sent``.

    Args:
        field: What it limits.
        rule: ``lock``, ``min``, ``max``, ``in`` or ``send``.
        bound: What the rule has.
        providers: Id -> name, for a list of default providers.
    """
    if rule == "lock":
        return "locked"
    if rule == "send":
        return "must be sent" if bound else "must not be sent"
    if rule == "in":
        names = [
            providers.get(each, f"provider {each}") if field == DEFAULT_PROVIDER else value_text(field, each)
            for each in bound
        ]
        return names[0] if len(names) == 1 else f"one of {listed(names)}"
    return f"{'at least' if rule == 'min' else 'at most'} {value_text(field, bound)}"


def who_text(by: LimitedBy) -> str:
    """Return whose limit it is: ``limit of ada, 2 March 2026, “contract”``; of an organisation's own that it is its own."""
    whose = "the organisation's own limit" if by.owner == "organization" else "limit"
    when = f"{by.changed_at.day} {by.changed_at:%B %Y}" if by.changed_at else None
    parts = [
        f"{whose} of {by.changed_by}" if by.changed_by else whose,
        when,
        f"\u201c{by.note}\u201d" if by.note else None,
    ]
    return ", ".join(filter(None, parts))


def limit_text(field: str, by: LimitedBy, providers: Mapping[int, str] = _NOBODY) -> str:
    """Return a rule and whose it is: ``at most 4,000: limit of ada, 2 March 2026, “contract”``."""
    return f"{rule_text(field, by.rule, by.bound, providers)}: {who_text(by)}"
