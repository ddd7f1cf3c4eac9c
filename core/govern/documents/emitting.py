"""Plain data as YAML that every version of it reads alike: sorted, in blocks, with quotes where any reader could see no text."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .parsing import is_text

_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+()-]*( [A-Za-z0-9_./@+()-]+)*")
_NOT_PRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SHORT: Final = (
    frozenset({"set", "fingerprint"}),
    frozenset({"env"}),
    frozenset({"file"}),
    frozenset({"omit", "value"}),
)
"""Mappings of these keys stand in one line."""


def written(data: Mapping[str, Any], first: tuple[str, ...] = ()) -> str:
    """Return *data* as YAML; keys are sorted, but those of *first* come before all others at the top.

    Of JSON data nothing is lost: reading the text gives the same.
    """
    keys = [key for key in first if key in data] + sorted(key for key in data if key not in first)
    if not keys:
        return "{}\n"
    return "".join(f"{line}\n" for key in keys for line in _pair(key, data[key], ""))


def _pair(key: str, value: Any, indent: str) -> Iterator[str]:
    name = f"{indent}{_text(key)}:"
    if (short := _in_one_line(value)) is not None:
        yield f"{name} {short}"
    else:
        yield name
        yield from _block(value, f"{indent}  ")


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _pair(key, value[key], indent)
        return
    for each in value:
        if (short := _in_one_line(each)) is not None:
            yield f"{indent}- {short}"
            continue
        lines = list(_block(each, f"{indent}  "))
        yield f"{indent}- {lines[0].lstrip()}"
        yield from lines[1:]


def _in_one_line(value: Any) -> str | None:
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        if any(value.keys() <= short for short in _SHORT) and all(
            isinstance(each, str | int | float) or (isinstance(each, list) and not any(map(_is_nested, each)))
            for each in value.values()
        ):
            return "{" + ", ".join(f"{key}: {_flow(value[key])}" for key in sorted(value, reverse=True)) + "}"
        return None
    if isinstance(value, list):
        return None if value else "[]"
    return _scalar(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list)


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    return str(value) if isinstance(value, int) else _text(value)


def _float(value: float) -> str:
    """Return a number with a dot: to YAML 1.1 ``1e-05`` is text."""
    shown = repr(value)
    mantissa, e, exponent = shown.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else shown


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and is_text(value) and not _looks_like_date(value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _looks_like_date(value: str) -> bool:
    return value[:1].isdigit()
