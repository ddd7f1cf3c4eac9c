"""The keys of widgets and of the session's state."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

READ = {"get", "pop", "setdefault"}


def literals(path: Path) -> Iterator[str]:
    """Each key that stands in the file as a literal, as often as it does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Call):
            if getattr(node.func, "attr", "") != "container":  # it keeps no state: its key is a class for frame.css
                parts += [one.value for one in node.keywords if one.arg == "key"]
            if isinstance(node.func, ast.Attribute) and _is_state(node.func.value):
                parts += node.args[:1] if node.func.attr in READ else []
                yield from (one.arg for one in node.keywords if node.func.attr == "update" and one.arg)
        elif isinstance(node, ast.Subscript) and _is_state(node.value):
            parts.append(node.slice)
        elif isinstance(node, ast.Compare) and _is_state(node.comparators[0]):
            parts.append(node.left)
        yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _is_state(node: ast.expr) -> bool:
    return "session_state" in ast.unparse(node) or ast.unparse(node) == "state"


def test_key_stands_once() -> None:
    """A key that is used twice has a name, so that a slip of the pen is an error; and no two pages share one by accident."""
    places = defaultdict(list)
    for folder in ("ui", "pages"):
        for path in (ROOT / folder).rglob("*.py"):
            for key, number in Counter(literals(path)).items():
                places[key] += [str(path.relative_to(ROOT))] * number

    assert {key: where for key, where in places.items() if len(where) > 1} == {}
