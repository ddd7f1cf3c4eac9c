"""A change of a function is tried in place; a change of what runs as a module is imported needs another process."""

from pathlib import Path

import pytest

from tests import mutant_runs

BEFORE = """
LIMIT = 3
class Room:
    size = 2
    def fits(self, count=1):
        return count < LIMIT
    @staticmethod
    def smallest(numbers):
        return min(n for n in numbers if n > 0)
def outer():
    def inner(n):
        return n > 1
    return inner
two = [lambda n: n < 1, lambda n: n > 1]
"""


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("count < LIMIT", "count <= LIMIT", "Room.fits"),
        ("if n > 0", "if n >= 0", "Room.smallest.<locals>.<genexpr>"),
        ("return n > 1", "return n < 1", "outer.<locals>.inner"),
        ("LIMIT = 3", "LIMIT = 4", None),
        ("size = 2", "size = 3", None),
        ("count=1", "count=2", None),
        ("n < 1, lambda n: n > 1", "n < 1, lambda n: n >= 1", None),
    ],
)
def test_changes_of_functions_are_told_from_changes_at_import(old: str, new: str, name: str | None) -> None:
    """What the functions of a module do differently is returned by name; None for constants, defaults, bodies of classes."""
    assert BEFORE.count(old) == 1
    path = Path("room.py")
    functions = mutant_runs.replaced(path, BEFORE.replace(old, new), BEFORE)

    if functions is None:
        assert name is None
    else:
        whole = mutant_runs.replaced(path, BEFORE, BEFORE)
        assert whole
        assert [key[0] for key, code in functions.items() if code != whole[key]][-1] == name


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a = 1", range(1, 2)),
        ("if (a and\n    b):\n    c = 1", range(1, 3)),
        ("f(\n  1,\n  2)", range(1, 4)),
        ("try:\n    a = 1\nexcept E:\n    b = 2", range(1, 2)),
    ],
)
def test_statement_of_a_line(tmp_path: Path, text: str, lines: range) -> None:
    """A line belongs to a whole statement; of one with a body, to its head."""
    path = tmp_path / "room.py"
    path.write_text(text, encoding="utf-8")

    assert mutant_runs.statement(path, 1) == lines
