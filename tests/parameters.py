"""The parameters, written down a second time: what tests compare with that follow the product's own table elsewhere."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from api.names import camel
from core.parameters import PARAMETERS

RULES: Final[Mapping[str, tuple[Any, Callable[[Any], bool]]]] = {
    "temperature": (0.7, lambda v: 0 <= v <= 2),
    "max_tokens": (2000, lambda v: 1 <= v <= 1_000_000),
    "top_p": (1.0, lambda v: 0 <= v <= 1),
    "frequency_penalty": (0, lambda v: -2 <= v <= 2),
    "presence_penalty": (0, lambda v: -2 <= v <= 2),
    "reasoning_effort": (None, lambda v: re.fullmatch("[a-z][a-z-]{0,19}", v) is not None),
    "stop": (
        None,
        lambda v: isinstance(v, list) and 0 < len(v) <= 16 and all(isinstance(w, str) and 0 < len(w) <= 100 for w in v),
    ),
    "unfit_parameters": ("leave_out", lambda v: v in {"leave_out", "send"}),
    "max_retries": (3, lambda v: 0 <= v <= 10),
    "retry_backoff_ms": (1000, lambda v: 100 <= v <= 10_000),
    "request_timeout_ms": (60_000, lambda v: 1000 <= v <= 3_600_000),
    "enable_logging": (True, lambda _: True),
    "log_level": ("full", lambda v: v in {"full", "minimal", "errors_only"}),
    "log_request_data": (True, lambda _: True),
    "log_response_data": (True, lambda _: True),
}
"""Parameter -> its built-in default, None if it has none, and whether a value of its type is in range."""
CLIENT_SIDE: Final = {"unfit_parameters", "max_retries", "retry_backoff_ms", "request_timeout_ms"} | {
    n for n in RULES if "log" in n
}
SENT: Final = tuple(name for name in RULES if name not in CLIENT_SIDE)
"""What goes to a model."""


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"a.b": 1}`` as ``{"a": {"b": 1}}``: how a vendor's names with a dot are sent."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        head, dot, rest = name.partition(".")
        if dot:
            found.setdefault(head, {})[rest] = value
        else:
            found[head] = value
    return found


def arrives(names: Mapping[str, str | None], values: Mapping[str, Any], *, of_google: bool) -> dict[str, Any]:
    """Return what a vendor's SDK sends of *values* by the API's *names*; Google's writes camel case, and levels in capitals."""
    spell = camel if of_google else str
    found = nested({spell(theirs): values[ours] for ours, theirs in names.items() if theirs})
    if of_google:
        found["thinkingConfig"] = {"thinking_level": found["thinkingConfig"].pop("thinkingLevel").upper()}
    return found


def another(name: str) -> Any:
    """Return a value of the parameter that is in range, and is not its default."""
    default, in_range = RULES[name]
    value_type = PARAMETERS[name].value_type
    values: dict[Any, tuple[Any, ...]] = {
        bool: (False,),
        str: ("errors_only", "low", "send"),
        list: (["END", "\n"],),
        float: (0.25, 0.5),
        int: (0, 11, 2011),
    }
    return next(value for value in values[value_type] if value != default and in_range(value))
