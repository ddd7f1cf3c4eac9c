"""Texts that are made to hurt one regular expression: of what it repeats, many times, and then not what has to follow."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Final

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from re import _constants as sre  # type: ignore[attr-defined]  # Python has no public name for how it reads a pattern
    from re import _parser as parser  # type: ignore[attr-defined]  # as above

__all__ = ["parser", "sre", "texts_against"]

_MOST: Final = 60
"""Texts for one pattern."""
_LETTERS: Final = ("a", "1", " ", "A", "-", ".", "@", "é", "\n", "a1", "a ", "1 ", "1-", "a.", "a@")
"""Of texts that hurt many patterns."""
_OF_CLASS: Final = {
    sre.CATEGORY_DIGIT: "1",
    sre.CATEGORY_WORD: "a",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_DIGIT: "a",
    sre.CATEGORY_NOT_WORD: "-",
    sre.CATEGORY_NOT_SPACE: "a",
}


def texts_against(pattern: str, length: int) -> list[str]:
    """Return texts of *length* characters for *pattern*, which can be compiled."""
    pieces: dict[tuple[str, str], None] = {}
    for before, piece in _repeats(parser.parse(pattern), ""):
        pieces[before, piece] = None
        pieces["", piece] = None
    for letter in _LETTERS:
        pieces["", letter] = None
    found = []
    for before, piece in list(pieces)[:_MOST]:
        begins = before[:1000]
        found.append((begins + piece * ((length - len(begins)) // len(piece) + 1))[: length - 1] + "\0")
    return found


def _repeats(tree: Iterable[Any], before: str) -> Iterator[tuple[str, str]]:
    """Yield for each repeat of a pattern what leads to it, and what it repeats, in several spellings."""
    for operation, argument in tree:
        if operation in _REPEATS:
            for piece in _spellings(argument[2]):
                yield before, piece
            yield from _repeats(argument[2], before)
        else:
            for inner in _within(operation, argument):
                yield from _repeats(inner, before)
        before += _sample([(operation, argument)], 0)
    if before:
        yield "", before


_REPEATS: Final = (sre.MAX_REPEAT, sre.MIN_REPEAT, getattr(sre, "POSSESSIVE_REPEAT", None))


def _within(operation: Any, argument: Any) -> list[Any]:
    if operation is sre.SUBPATTERN:
        return [argument[3]]
    if operation is sre.BRANCH:
        return list(argument[1])
    if operation in (sre.ASSERT, sre.ASSERT_NOT):
        return [argument[1]]
    if operation is getattr(sre, "ATOMIC_GROUP", None):
        return [argument]
    if operation is sre.GROUPREF_EXISTS:
        return [one for one in argument[1:] if one]
    return []


def _spellings(tree: Any) -> list[str]:
    """Return texts that *tree* may match, and pairs of them."""
    made = [text for way in range(3) if (text := _sample(tree, way)[:200])]
    return list(dict.fromkeys([*made, *(one + made[0] for one in made[1:])]))


def _sample(tree: Iterable[Any], way: int) -> str:
    """Return a text that *tree* may match; another *way*, perhaps another one."""
    made = ""
    for operation, argument in tree:
        if operation is sre.LITERAL:
            made += chr(argument)
        elif operation is sre.NOT_LITERAL:
            made += "a" if argument != ord("a") else "b"
        elif operation is sre.ANY:
            made += ("a", "1", " ")[way]
        elif operation is sre.IN:
            made += _of_set(argument, way)
        elif operation in _REPEATS:
            made += _sample(argument[2], way) * min(max(argument[0], 1), 50)
        elif operation is sre.BRANCH:
            made += _sample(argument[1][way % len(argument[1])], way)
        elif operation not in (sre.ASSERT, sre.ASSERT_NOT):
            for inner in _within(operation, argument):
                made += _sample(inner, way)
    return made[:2000]


def _of_set(items: list[Any], way: int) -> str:
    """Return a letter of a class of letters."""
    if items[0][0] is sre.NEGATE:
        taken = {value for kind, value in items if kind is sre.LITERAL}
        return next(letter for letter in "a1 -bcdefgh" if ord(letter) not in taken)
    found = []
    for kind, value in items:
        if kind is sre.LITERAL:
            found.append(chr(value))
        elif kind is sre.RANGE:
            found += [chr(value[0]), chr(value[1])]
        elif kind is sre.CATEGORY:
            found.append(_OF_CLASS.get(value, "a"))
    return found[way % len(found)]
