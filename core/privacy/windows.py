"""Where in a text a pattern is looked for, and what stands beside what it finds."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from ..patterns import later
from .spans import Searched, small

BEFORE: Final = 48
BEHIND: Final = 24
"""Characters in which a word may stand that says what a number is."""


def in_windows(pattern: re.Pattern[str], plain: Searched, text: str | None = None) -> Iterator[re.Match[str]]:
    """Find *pattern* where there are digits: most of a text has none, and many patterns would read it again and again.

    Args:
        pattern: Of what has a digit.
        plain: The text.
        text: To be read in its place, as long as it is.
    """
    for begins, ends in plain.windows:
        yield from pattern.finditer(plain.text if text is None else text, begins, ends)


def words(*spellings: str) -> re.Pattern[str]:
    """Return what finds one of *spellings* (regular expressions) as the beginning of a word, in a text in small letters.

    Each begins with a letter.

    ``(?![a-z])`` behind one is the end of the word, in all alphabets.
    """
    by_first: dict[str, list[str]] = {}
    for spelt in _apart(small(unicodedata.normalize("NFKC", "|".join(spellings)))):
        first = spelt[0] if spelt[0].isalpha() and spelt[1:2] not in _REPEATS else ""
        by_first.setdefault(first, []).append(spelt[len(first) :].replace("(?![a-z])", _ENDS))
    branches = (
        f"{first}(?:{'|'.join(rest)})" for first, rest in by_first.items()
    )  # a letter is soon seen not to be there
    return later(rf"(?=[^\W\d_])(?<![^\W\d_])(?:{'|'.join(branches)})")


def _apart(spellings: str) -> Iterator[str]:
    """Yield each of the spellings; a ``|`` in parentheses is a part of one."""
    depth = begins = 0
    for at, letter in enumerate(spellings):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and not depth:
            yield spellings[begins:at]
            begins = at + 1
    yield spellings[begins:]


_REPEATS: Final = frozenset("?*+{")
_ENDS: Final = r"(?![a-z\u00aa-\u058f])"


def near(plain: Searched, found: re.Match[str], wanted: re.Pattern[str]) -> bool:
    """Return whether one of the *wanted* words stands shortly before or behind what was *found*.

    In its line; where the line begins with it, also in the one before: a form has its labels there.
    """
    return before(plain, found, wanted) or behind(plain, found, wanted)


def before(plain: Searched, found: re.Match[str], wanted: re.Pattern[str], reach: int = BEFORE) -> bool:
    """Return whether one of the *wanted* words stands before what was *found*; as :func:`near`."""
    text, at = plain.text, found.start()
    least = max(0, at - reach)
    begins = text.rfind("\n", least, at) + 1
    if begins and not text[begins:at].strip():
        begins = text.rfind("\n", least, begins - 1) + 1
    return _has(plain, max(begins, least), at, wanted)


def behind(plain: Searched, found: re.Match[str], wanted: re.Pattern[str]) -> bool:
    """Return whether one of the *wanted* words stands behind what was *found*; as :func:`near`."""
    ends = plain.text.find("\n", found.end(), found.end() + BEHIND)
    return _has(plain, found.end(), ends if ends >= 0 else found.end() + BEHIND, wanted)


def _has(plain: Searched, start: int, end: int, wanted: re.Pattern[str]) -> bool:
    """Return whether one of the *wanted* words begins between two places, its accents written as they may be."""
    text = plain.folded
    if not plain.is_composed and not unicodedata.is_normalized("NFC", text[start:end]):
        before_it = max(0, start - 1)
        text, start = unicodedata.normalize("NFC", text[before_it:end]), start - before_it
        end = len(text)
    return wanted.search(text, start, end) is not None
