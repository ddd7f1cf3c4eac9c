"""The shapes of what short regular expressions find: a number's form is asked for only where a text has one of its shapes."""

from collections.abc import Iterable
from typing import Any, Final

from .hostile import parser, sre

DIGIT: Final = "0"
LETTER: Final = "A"
_SHAPE: Final = {
    **dict.fromkeys(map(ord, "0123456789"), DIGIT),
    **dict.fromkeys(map(ord, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), LETTER),
}
_LONGEST: Final = 40


def shape(text: str) -> str:
    """Return *text* with ``0`` for each digit and ``A`` for each Latin letter without an accent."""
    return text.translate(_SHAPE)


def shapes(pattern: str) -> frozenset[str]:
    """Return the shapes of all texts that *pattern* finds; what it only looks at, before and behind, is no part of them.

    Raises:
        ValueError: If it finds texts without end, or what is not named letter by letter.
    """
    return frozenset(_of(parser.parse(pattern)))


def _of(tree: Iterable[Any]) -> set[str]:
    made = {""}
    for operation, argument in tree:
        if operation in (sre.ASSERT, sre.ASSERT_NOT):
            continue
        made = {before + piece for piece in _pieces(operation, argument) for before in made}
    return made


def _pieces(operation: Any, argument: Any) -> set[str]:
    if operation is sre.LITERAL:
        return {shape(chr(argument))}
    if operation is sre.IN:
        return {piece for kind, value in argument for piece in _of_class(kind, value)}
    if operation is sre.SUBPATTERN:
        return _of(argument[3])
    if operation is sre.BRANCH:
        return {piece for branch in argument[1] for piece in _of(branch)}
    if operation is sre.MAX_REPEAT and argument[1] <= _LONGEST:
        once, made, longer = _of(argument[2]), set[str](), {""}
        for times in range(argument[1] + 1):
            if times >= argument[0]:
                made |= longer
            longer = {before + piece for before in longer for piece in once}
        return made
    raise ValueError(str(operation))


def _of_class(kind: Any, value: Any) -> set[str]:
    if kind is sre.LITERAL:
        return {shape(chr(value))}
    if kind is sre.RANGE:
        return {shape(chr(letter)) for letter in range(value[0], value[1] + 1)}
    if kind is sre.CATEGORY and value is sre.CATEGORY_DIGIT:
        return {DIGIT}
    raise ValueError(str(kind))
