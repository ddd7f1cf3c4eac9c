"""Numbers in sentences."""

import ast

import pytest

from core.wording import counted
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 models"), (1, "1 model"), (2, "2 models"), (1_000, "1,000 models"), (-1, "-1 models")]
)
def test_noun_follows_the_number(number: int, text: str) -> None:
    """One is singular; all else is plural, with separators of thousands."""
    assert counted(number, "model") == text


def test_nothing_makes_a_plural_by_hand() -> None:
    """No text of the product has "(s)" in it, or multiplies an s: there is one helper."""
    places = []
    for folder in ("core", "ui", "pages", "web", "api"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                by_hand = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and _is_s(node.left)
                bracket = isinstance(node, ast.JoinedStr) and "(s)" in "".join(
                    str(part.value) for part in node.values if isinstance(part, ast.Constant)
                )
                if by_hand or bracket:
                    places.append(f"{path.relative_to(ROOT)}:{node.lineno}")

    assert places == []


def test_nothing_formats_a_number_with_an_exponent() -> None:
    """``:g`` is 1e+06 of a million: only the one helper has it, and that of sums in dollars, which asks a Decimal."""
    allowed = {"core/wording.py", "ui/widgets.py"}
    places = {
        str(path.relative_to(ROOT))
        for folder in ("core", "ui", "pages", "web", "api")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FormattedValue)
        and node.format_spec is not None
        and ast.unparse(node.format_spec).rstrip("'\"").endswith("g")
    }

    assert places == allowed


def _is_s(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "s"
