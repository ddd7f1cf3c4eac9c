"""What a vendor's refusal read of a parameter: its words -> facts, as a row of ``llm_model_facts`` has them. Pure; never raises.

Only words that say for certain what is wrong count. A refusal under a condition (*when thinking is enabled*) read nothing of
the model, and a value that is mistyped read nothing either. Where each form was met is in tests/models/test_refused.py.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ..parameters import PARAMETERS, SENDABLE

_Said = tuple[str, Any] | None

LONGEST: Final = 4_000
"""Characters that are looked at."""
NAMES: Final[Mapping[str, str]] = {
    **{name: name for name in SENDABLE},
    **{name.replace("_", ""): name for name in SENDABLE},  # topP
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "maxoutputtokens": "max_tokens",
    "reasoning.effort": "reasoning_effort",
    "output_config.effort": "reasoning_effort",
    "stop_sequences": "stop",
    "stopsequences": "stop",
}
"""A vendor's name in small letters -> ours."""

_OURS: Final = "|".join(re.escape(name) for name in sorted(NAMES, key=len, reverse=True))
_QUOTES: Final = r"[\"'`\\]*"
_NAME: Final = rf"{_QUOTES}(?<![\w.])(?P<name>(?i:{_OURS}))(?![\w.]*\w){_QUOTES}"
_NUMBER: Final = r"(?P<number>\d{1,9}(?:\.\d{1,6})?)"
_CONDITION: Final = re.compile(r"\b(?:when|while|unless|has moved to)\b", re.IGNORECASE)
_RENAMED: Final = re.compile(
    rf"{_NAME} is not supported\b[^.]{{0,60}}\. Use [\"'`](?P<other>[A-Za-z_]{{1,64}})[\"'`] instead"
)
_BOTH: Final = re.compile(
    rf"{_NAME} and [\"'`\\]*(?P<other>[A-Za-z_]+)[\"'`\\]* (?:cannot|can't|can not) (?:both be|be both) (?:specified|set)"
)
_EFFORTS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_NAME} does not support \S+ with this model\. Supported values are: (?P<values>['\"][^.]{{1,200}})\.",
        rf"Invalid value: \S+ Supported values are: (?P<values>['\"][^.]{{1,200}})\. ?\({_NAME}\)",
    )
)
_DEFAULT: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_NAME} does not support \S+ with this model\. Only the default \({_NUMBER}\) value is supported",
        rf"invalid {_NAME}: only {_NUMBER} is allowed for this model",
    )
)
_MOST: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_NAME}: \d+ > {_NUMBER}, which is the maximum allowed number of output tokens",
        rf"{_NAME} is too large: \d+\. This model supports at most {_NUMBER} completion tokens",
        rf"{_NAME}\b[^.]{{0,60}}\babove maximum value[.,] [Ee]xpected a value <= {_NUMBER}",
        rf"{_NAME}: Input should be less than or equal to {_NUMBER}",
        rf"{_NAME}(?: for \S{{1,100}})? must be less than or equal to {_QUOTES}{_NUMBER}",
        rf"Invalid {_NAME} value, the valid range of \S{{1,40}} is \[1, ?{_NUMBER}\]",
        rf"Range of {_NAME} should be \[1, ?{_NUMBER}\]",
    )
)
_WITHIN: Final = re.compile(
    rf"has an? {_NAME} value of \S+ but the supported range is from (?P<low>-?\d{{1,9}}(?:\.\d{{1,6}})?) \(inclusive\)"
    rf" to {_NUMBER} \((?P<end>inclusive|exclusive)\)"
)
_REFUSED: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"Unsupported parameter: {_NAME}",
        rf"(?:Unrecognized request argument supplied|Unknown parameter): {_NAME}",
        rf"Argument not supported on this model: {_NAME}",
        rf"does not support (?:the )?parameter {_NAME}",
        rf"Unknown name {_NAME}: Cannot find field",
        rf"{_NAME} is (?:deprecated|not supported) (?:for|with|by|on) this model",
        rf"{_NAME}: Extra inputs are not permitted",
        rf"extra_forbidden[\"'\\]+,[\"'\\ ]+loc[\"'\\]+: ?\[[\"'\\]+body[\"'\\]+, ?{_NAME}",
    )
)
_PENALTIES: Final = re.compile(r"Penalty is not enabled for (?:this model|models/)")
_LEVEL: Final = re.compile(r"Thinking level is not supported for (?:this model|models/)", re.IGNORECASE)
"""Google's name of the effort."""


def read(words: str) -> dict[str, Any]:
    """Return what a vendor's refusal read of the model that was called: ``{"temperature": {"only": [1]}}``; empty: nothing.

    Args:
        words: The vendor's own, as :class:`core.calling.failures.Failure` has them; or the answer's body.
    """
    text = words[:LONGEST]
    if _CONDITION.search(text):
        return {}
    found: dict[str, Any] = {}
    for key, value in _findings(text):
        found.setdefault(key, value)
    return found


def _findings(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the findings, the most telling first: of one parameter the first counts."""
    for pattern, read in _FORMS:
        for match in pattern.finditer(text):
            if (finding := read(NAMES[match["name"].lower()], match)) is not None:
                yield finding
    if _PENALTIES.search(text):
        yield "frequency_penalty", {"refuse": True}
        yield "presence_penalty", {"refuse": True}
    if _LEVEL.search(text):
        yield "reasoning_effort", {"refuse": True}


def _renamed(name: str, match: re.Match[str]) -> _Said:
    return (name, {"rename": match["other"]}) if NAMES.get(match["other"].lower()) == name else None


def _excluded(name: str, match: re.Match[str]) -> _Said:
    other = NAMES.get(match["other"].lower())
    return (other, {"exclusive": name}) if other and other != name else None


def _efforts(name: str, match: re.Match[str]) -> _Said:
    efforts = re.findall(r"['\"]([a-z]{1,20})['\"]", match["values"])
    return ("efforts", efforts[:20]) if name == "reasoning_effort" and efforts else None


def _only(name: str, match: re.Match[str]) -> _Said:
    return (name, {"only": [_value(match["number"])]}) if _is_number(name) else None


def _at_most(name: str, match: re.Match[str]) -> _Said:
    return _range(name, PARAMETERS[name].minimum or 0, _value(match["number"]))


def _within(name: str, match: re.Match[str]) -> _Said:
    is_open = match["end"] == "exclusive"
    if is_open and name != "max_tokens":  # a number just below the end is none that people write
        return None
    return _range(name, _value(match["low"]), _value(match["number"]) - is_open)


def _refuses(name: str, _: re.Match[str]) -> _Said:
    return name, {"refuse": True}


def _range(name: str, low: float, high: float) -> _Said:
    if not _is_number(name) or low > high:
        return None
    if name == "max_tokens":
        return ("max_output", int(high)) if high >= 1 else None
    return name, {"range": [low, high]}


_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str]], _Said]], ...]] = (
    (_RENAMED, _renamed),
    (_BOTH, _excluded),
    *((pattern, _efforts) for pattern in _EFFORTS),
    *((pattern, _only) for pattern in _DEFAULT),
    *((pattern, _at_most) for pattern in _MOST),
    (_WITHIN, _within),
    *((pattern, _refuses) for pattern in _REFUSED),
)
"""The most telling first."""


def _is_number(name: str) -> bool:
    return PARAMETERS[name].value_type in {int, float}


def _value(text: str) -> float:
    return float(text) if "." in text else int(text)
