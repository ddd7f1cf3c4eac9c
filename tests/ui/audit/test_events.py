"""How the Audit page says what happened."""

import ast
import re
from collections.abc import Iterator

from tests.conftest import ROOT
from ui.audit.events import _WORDS

ACTION = re.compile(r"[a-z_]+\.[a-z_]+|denied")


def recorded() -> Iterator[str]:
    """Each action that core puts on record, wherever it does."""
    for path in (ROOT / "core").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        named = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") not in {"record", "_record"}:
                continue
            for part in ast.walk(call.args[2]):
                value = part.value if isinstance(part, ast.Constant) else named.get(getattr(part, "id", ""))
                if isinstance(value, str) and ACTION.fullmatch(value):
                    yield value


def test_every_action_has_words() -> None:
    """What core records is said in words, with an icon, never by the action's name; and there are no words for nothing."""
    assert set(recorded()) == set(_WORDS)
    assert all(icon for _, icon in _WORDS.values())
