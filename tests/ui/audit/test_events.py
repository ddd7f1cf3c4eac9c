"""How the Audit page says what happened."""

import ast
import re
from collections.abc import Iterator

from core.manage.provider_secrets import CARRIED
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
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(tree):
            called = "" if not isinstance(call, ast.Call) else getattr(call.func, "id", getattr(call.func, "attr", ""))
            if not isinstance(call, ast.Call) or called not in {"record", "_record", "put_on_record"}:
                continue
            if isinstance(call.args[2], ast.JoinedStr):  # of headers and query parameters
                (begin, _) = call.args[2].values
                assert isinstance(begin, ast.Constant)
                yield from (f"{begin.value}{use}" for use in CARRIED)
                continue
            for part in ast.walk(call.args[2]):
                value = part.value if isinstance(part, ast.Constant) else named.get(getattr(part, "id", ""))
                if isinstance(value, str) and ACTION.fullmatch(value):
                    yield value


def test_every_action_has_words() -> None:
    """What core records is said in words, with an icon, never by the action's name; and there are no words for nothing."""
    assert set(recorded()) == set(_WORDS)
    assert all(icon for _, icon in _WORDS.values())
