"""Text of a file -> a tree of plain values, each with its line: YAML or JSON, by whoever it was written.

No message repeats what the file says: it may be a secret.
"""

import json
import math
from typing import Any

from ...errors import Invalid
from . import yaml_tree
from .limits import DEEPEST, LONGEST, LONGEST_JSON, Budget, refused


def tree(text: str) -> tuple[Any, dict[str, int]]:
    """Return the values of *text*, and of each path the line it stands on (none of JSON).

    Raises:
        Invalid: With the line and the rule, if it is no YAML or JSON, too long, too deep, has too many values, or a key twice.
        BadConfig: If PyYAML, which is of the extra ``cli``, is not installed.
    """
    if text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}:
        try:
            return _json(text), {}
        except _NotJson as problem:
            if len(text) > LONGEST:
                raise problem.refused from None
            try:
                return yaml_tree.read(text)  # a flow mapping of YAML begins as JSON does
            except Invalid:
                raise problem.refused from None
    return yaml_tree.read(text)


class _NotJson(Exception):
    def __init__(self, refusal: Invalid) -> None:
        super().__init__()
        self.refused = refusal


def _json(text: str) -> Any:
    if len(text) > LONGEST_JSON:
        raise refused(f"is longer than {LONGEST_JSON:,} characters")
    try:
        found = json.loads(
            text.lstrip("\ufeff"), object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        raise _NotJson(refused("is not JSON", error.lineno)) from None
    except RecursionError:
        raise refused(f"is more than {DEEPEST} levels deep") from None
    _measure(found, Budget())
    return found


def _measure(root: Any, budget: Budget) -> None:
    waiting = [(root, 1)]
    while waiting:
        value, depth = waiting.pop()
        budget.spend(None)
        if depth > DEEPEST:
            raise refused(f"is more than {DEEPEST} levels deep")
        if isinstance(value, dict):
            waiting += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise refused("has a key twice in one object: only one of the values can be meant")
    return dict(pairs)


def _no_constant(_name: str) -> Any:
    raise refused("has NaN or Infinity, which are no JSON")


def _whole(digits: str) -> Any:
    return int(digits) if len(digits) < 300 else math.inf  # noqa: PLR2004 - no setting has as many; Python refuses 4,300
