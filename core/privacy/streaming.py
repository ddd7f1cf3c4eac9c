"""An answer that comes in parts, with placeholders for what is personal in it: it is given on a sentence at a time."""

from typing import Final

from ..patterns import later
from .placeholders import Placeholders

LONGEST: Final = 512
"""Characters after which no sentence's end is waited for any more, but a space."""
_KEPT: Final = 128
"""Characters that are held back then, and those before in which a word may stand that says what a number is."""
_ENDS: Final = later(r"[.!?\u3002\uff01\uff1f]\s|\n")


class Masking:
    """Masks an answer in parts. What is held back is at most a sentence, or so many characters.

    Args:
        placeholders: Those of the call.
    """

    __slots__ = ("_before", "_held", "_placeholders")

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._before = self._held = ""

    def feed(self, part: str) -> str:
        """Return what can be given on now.

        Raises:
            Unsearchable: If the engine fails.
        """
        began = max(0, len(self._held) - 1)
        self._held += part
        if _ENDS.search(self._held, began) is None and len(self._held) <= LONGEST:
            return ""
        at = max((found.end() for found in _ENDS.finditer(self._held)), default=0)
        if not at and len(self._held) > LONGEST:
            at = self._held.rfind(" ", 0, len(self._held) - _KEPT) + 1 or len(self._held) - _KEPT
        return self._given(at)

    def end(self) -> str:
        """Return what was held back: no more is to come."""
        return self._given(len(self._held))

    def _given(self, at: int) -> str:
        """Return the text up to there, or up to a value that stands across."""
        if not self._held:
            return ""
        made, at = self._placeholders.masked_upto(self._before, self._held, at)
        self._before, self._held = (self._before + self._held[:at])[-_KEPT:], self._held[at:]
        return made
