"""What is found in a text, and the form of a text in which it is looked for."""

import unicodedata
from bisect import bisect
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

from ..patterns import later

PersonalType = str
"""``EMAIL``, ``PHONE``, ``CARD``, ``IBAN``, ``ID``, ``IP``, ``SECRET``, or the name of an organisation's own pattern."""

TYPES: Final[tuple[PersonalType, ...]] = ("SECRET", "EMAIL", "IBAN", "CARD", "ID", "PHONE", "IP")
"""What is looked for. Where two claim the same letters, the one that stands first has them."""
NEED_EXTRA: Final[frozenset[PersonalType]] = frozenset({"PHONE", "ID"})
"""What is looked for only where the extra ``pii`` is installed."""


LETTERS: Final = (
    r"A-Za-z0-9_\u00aa\u00b5\u00ba\u00c0-\u02ff\u0370-\u037d\u037f-\u0386\u0388-\u0559\u0560-\u0588\u05d0-\u05f2\u0620-\u0669"
    r"\u066e-\u06d3\u06d5-\u06ff\u0710-\u0963\u0966-\u0dff\u1e00-\u1fff"
)
"""Of a class in a pattern: what stands together with its neighbours in a word. Scripts that put no spaces between words are not in it."""


class PersonalSpan(NamedTuple):
    """A piece of a text that is personal data."""

    start: int
    end: int
    """Behind its last character."""
    kind: PersonalType


class Searched:
    """A text as it is searched: digits and letters of full width are plain ones, what has no width is gone.

    What several recognisers ask of it is worked out once.

    Args:
        text: Without what has no width.
        origin: Where each character stood, and at last how long the text was; None: just there.
    """

    def __init__(self, text: str, origin: Sequence[int] | None) -> None:
        self.text, self.origin = text, origin

    @cached_property
    def windows(self) -> list[tuple[int, int]]:
        """Where there are digits, with what may belong to their numbers, by place: most of a text has none."""
        text, around = self.text, ROUND
        return [(max(0, a - around), b + around) for a, b in (found.span() for found in _WINDOW.finditer(text))]

    @cached_property
    def folded(self) -> str:
        """The text in small letters, each in its place, as :func:`small` has them: words are looked for in it."""
        return small(self.text)

    @cached_property
    def is_composed(self) -> bool:
        """Whether no letter of the text has its accent apart."""
        return self.text.isascii() or unicodedata.is_normalized("NFC", self.text)

    def span(self, start: int, end: int, kind: PersonalType) -> PersonalSpan:
        """Return the span of the text as it was."""
        if self.origin is None:
            return PersonalSpan(start, end, kind)
        return PersonalSpan(self.origin[start], self.origin[end - 1] + 1, kind)


ROUND: Final = 24
"""Characters between two digits of a number, and beside them, at most."""
_WINDOW: Final = later(rf"[0-9](?:[^0-9]{{0,{ROUND}}}[0-9])*")


def small(text: str) -> str:
    """Return *text* in small letters, as long as it was; both small sigmas are one."""
    if text.isascii():
        return text.lower()
    lower = text.replace("\u0130", "i").lower()  # of all letters that one alone would become two
    return lower.replace("\u03c2", "\u03c3")


_NO_WIDTH: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
)
_ODD: Final = later(f"[{_NO_WIDTH}\u2010-\u2015\u2212]|(?![0-9])\\d")
_WIDTHLESS: Final = later(f"[{_NO_WIDTH}]")
_DASHES: Final = dict.fromkeys(map(chr, (*range(0x2010, 0x2016), 0x2212)), "-")


def plain(text: str) -> Searched:
    """Return *text* as it is searched.

    Compatibility forms are what they stand for (NFKC, character by character), decimal digits of all scripts are ASCII ones, all
    dashes are ``-``. Bytes that are no text (lone surrogates) stay.
    """
    if text.isascii() or (unicodedata.is_normalized("NFKC", text) and _ODD.search(text) is None):
        return Searched(text, None)
    made: list[str] = []
    origin: list[int] = []
    for at, letter in enumerate(text):
        for piece in _known(letter):
            made.append(piece)
            origin.append(at)
    return Searched("".join(made), origin)


def _known(letter: str) -> str:
    found = _letters.get(letter)
    if found is None:
        found = _letter(letter)
        if len(_letters) < _MOST:
            _letters[letter] = found
    return found


def _letter(letter: str) -> str:
    if letter.isascii():
        return letter
    if _WIDTHLESS.fullmatch(letter):
        return ""
    if (digit := unicodedata.decimal(letter, None)) is not None:
        return str(digit)
    return _DASHES.get(letter) or unicodedata.normalize("NFKC", letter)


_MOST: Final = 4096
_letters: dict[str, str] = {}
"""What letters have become: of a text most come again."""


def settled(found: list[PersonalSpan], order: Sequence[PersonalType] = TYPES) -> list[PersonalSpan]:
    """Return *found* by place, without those that overlap another which comes before them in *order*, or is longer."""
    rank = {kind: at for at, kind in enumerate(order)}
    kept: list[PersonalSpan] = []
    for span in sorted(found, key=lambda each: (rank.get(each.kind, -1), each.start - each.end)):
        at = bisect(kept, span)
        if (not at or kept[at - 1].end <= span.start) and (at == len(kept) or span.end <= kept[at].start):
            kept.insert(at, span)
    return kept
