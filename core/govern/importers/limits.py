"""How large a file of another product may be, and the error of one that cannot be read."""

from typing import Final

from ...errors import Invalid

LONGEST: Final = 2_000_000
"""Characters of YAML. Real files have up to 100,000; a parser takes seconds for this many."""
LONGEST_JSON: Final = 10_000_000
"""Characters of JSON: the export of a whole product has pictures in it."""
MOST_VALUES: Final = 100_000
"""Values of a file, with what its aliases repeat."""
DEEPEST: Final = 50
"""Levels of lists and mappings."""


class Budget:
    """How many values may still be made of a file."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def spend(self, line: int | None = None) -> None:
        """Count one value; raises Invalid with *line* where there are too many."""
        self._left -= 1
        if self._left < 0:
            raise refused(f"has more than {MOST_VALUES:,} values, counting what its aliases repeat", line)


def refused(rule: str, line: int | None = None) -> Invalid:
    """Return the error of a file that cannot be read: its line, where one is known, and the rule."""
    return Invalid({f"line {line}" if line else "the file": rule})
