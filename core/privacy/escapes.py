"""A text that is JSON, read without its escapes: tools are called with such, and answer with such."""

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..patterns import later
from .spans import PersonalSpan

_BEGINNINGS: Final = ("{", "[", '"')
_ESCAPE: Final = later(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[\"\\/bfnrt])")
_TOKEN: Final = later(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')
_WITHIN: Final = 2
"""Levels of JSON within the texts of JSON."""
_SHORT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Unescaped(NamedTuple):
    """What a text says, and where each character of that stood."""

    text: str
    starts: Sequence[int]
    """Where each character begins, and at last how long the text was."""

    def back(self, found: Sequence[PersonalSpan]) -> list[PersonalSpan]:
        """Return spans of the text as it was."""
        return [PersonalSpan(self.starts[start], self.starts[end], kind) for start, end, kind in found]


def unescaped(text: str) -> Unescaped | None:
    """Return *text* without JSON's escapes, those of JSON within its texts too; None: it has none, or does not begin as JSON does."""
    if "\\" not in text or not text.lstrip().startswith(_BEGINNINGS):
        return None
    read = _once(text, range(len(text) + 1))
    for _ in range(_WITHIN):
        if "\\" in read.text:
            read = _once(*read)
    return read


def numbers_in(text: str) -> list[tuple[int, int]]:
    """Return where numbers stand in *text*, if it is JSON of objects and lists: what stands there instead has to have quotes."""
    if not text.lstrip().startswith(("{", "[")):
        return []
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [found.span() for found in _TOKEN.finditer(text) if found[0][0] != '"']


def _once(text: str, starts: Sequence[int]) -> Unescaped:
    made: list[str] = []
    begins: list[int] = []
    at = 0
    for escape in _ESCAPE.finditer(text):
        made += (text[at : escape.start()], _letter_of(escape))
        begins += starts[at : escape.start() + 1]
        at = escape.end()
    made.append(text[at:])
    begins += starts[at:]
    return Unescaped("".join(made), begins)


def _letter_of(escape: re.Match[str]) -> str:
    written = escape[0]
    if written[1] != "u":
        return _SHORT.get(written[1], written[1])
    return bytes.fromhex(written.replace("\\u", "")).decode("utf-16-be", "surrogatepass")
