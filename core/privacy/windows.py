"""Where in a text a pattern is looked for, and what stands beside what it finds."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from ..patterns import later

ROUND: Final = 24
"""Characters between two digits of a number, and beside them, at most."""
BEFORE: Final = 48
BEHIND: Final = 24
"""Characters in which a word may stand that says what a number is."""
_WINDOW: Final = later(rf"\d(?:\D{{0,{ROUND}}}\d)*")


def in_windows(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Find *pattern* where there are digits: most of a text has none, and many patterns would read it again and again."""
    for window in _WINDOW.finditer(text):
        yield from pattern.finditer(text, max(0, window.start() - ROUND), window.end() + ROUND)


def any_digit(text: str) -> bool:
    """Return whether *text*, which is plain, has a digit."""
    return _WINDOW.search(text) is not None


def words(*spellings: str) -> re.Pattern[str]:
    """Return what finds one of *spellings* (regular expressions) as the beginning of a word, in any case, in a text that is plain.

    ``(?![a-z])`` behind one is the end of the word, in all alphabets.
    """
    spelt = unicodedata.normalize("NFKC", "|".join(spellings)).replace("(?![a-z])", _ENDS)
    return later(rf"(?i)(?<![^\W\d_])(?:{spelt})")


_ENDS: Final = r"(?![a-z\u00aa-\u058f])"


def near(text: str, found: re.Match[str], wanted: re.Pattern[str]) -> bool:
    """Return whether one of the *wanted* words stands shortly before or behind what was *found*.

    In its line; where the line begins with it, also in the one before: a form has its labels there.
    """
    return before(text, found, wanted) or behind(text, found, wanted)


def before(text: str, found: re.Match[str], wanted: re.Pattern[str], reach: int = BEFORE) -> bool:
    """Return whether one of the *wanted* words stands before what was *found*; as :func:`near`."""
    begins = text.rfind("\n", 0, found.start()) + 1
    if begins and not text[begins : found.start()].strip():
        begins = text.rfind("\n", 0, begins - 1) + 1
    return _has(text, max(begins, found.start() - reach), found.start(), wanted)


def behind(text: str, found: re.Match[str], wanted: re.Pattern[str]) -> bool:
    """Return whether one of the *wanted* words stands behind what was *found*; as :func:`near`."""
    ends = text.find("\n", found.end(), found.end() + BEHIND)
    return _has(text, found.end(), ends if ends >= 0 else found.end() + BEHIND, wanted)


def _has(text: str, start: int, end: int, wanted: re.Pattern[str]) -> bool:
    """Return whether one of the *wanted* words begins between two places, its accents written as they may be."""
    if not unicodedata.is_normalized("NFC", text[start:end]):
        before_it = max(0, start - 1)
        text, start = unicodedata.normalize("NFC", text[before_it:end]), start - before_it
        end = len(text)
    return wanted.search(text, start, end) is not None
