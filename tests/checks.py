"""The list of tests in docs/checks.md: which test shows which row. ``python -m tests.checks`` writes it anew."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "checks.md"
HEADING = "## Which tests show which row\n"
NOT_YET: dict[int, str] = {}
"""Rows that no test can show, and why."""
_NAMED = re.compile(r"CHECKS (\d+(?:(?:, | and |, and | to |-)\d+)*)")
_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


def rows(page: str) -> list[int]:
    """Return the numbers of the rows, in the page's order."""
    return [int(number) for number in _ROW.findall(page.partition(HEADING)[0])]


def named_in(text: str) -> set[int]:
    """Return the rows that *text* names: ``CHECKS 1, 2``, ``CHECKS 46 to 48``."""
    numbers = set()
    for one in _NAMED.findall(text):
        for first, last in re.findall(r"(\d+)(?:(?: to |-)(\d+))?", one):
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def tests_by_row() -> dict[int, dict[str, list[str]]]:
    """Return row -> file -> its tests that name the row in their docstring; a file's own docstring speaks for all of it."""
    shown: dict[int, dict[str, list[str]]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = str(path.relative_to(ROOT / "tests"))
        for row in named_in(ast.get_docstring(tree) or ""):
            shown.setdefault(row, {}).setdefault(name, [])
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for row in named_in(ast.get_docstring(node) or ""):
                    shown.setdefault(row, {}).setdefault(name, []).append(node.name)
    return shown


def listing() -> str:
    """Return the last part of the page."""
    shown = tests_by_row()
    lines = ["Below `tests/`.\n\n| row | tests |\n|---|---|\n"]
    for row in sorted({*shown, *NOT_YET}):
        files = [
            f"`{file}`" + (": " + ", ".join(f"`{test}`" for test in tests) if tests else "")
            for file, tests in shown.get(row, {}).items()
        ]
        lines.append(f"| {row} | {'; '.join(files) or NOT_YET[row]} |\n")
    return "".join(lines)


def renewed(page: str) -> str:
    """Return *page* with its last part as it should be."""
    return f"{page.partition(HEADING)[0]}{HEADING}\n{listing()}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
