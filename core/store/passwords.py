"""How easily a new password is guessed, in bounded time: zxcvbn's look at words and patterns, without its exponential part.

zxcvbn tries every combination of what ``4``, ``@``, ``(`` and the like may stand for, and judges each repeated part anew:
some seconds for 60 hostile characters. Here such characters are read in two ways, and repeats are taken out beforehand.
"""

import re
from typing import Any, Final

from ..extras import from_extra

MIN_GUESSES: Final = 10**8
"""zxcvbn's "safely unguessable", beyond what the throttle of the sign-in lets through in years."""
LOOKED_AT: Final = 40
"""Characters that are looked at, repeats taken out: what follows makes a password no easier."""

_OURS: Final = ("llm", "settings", "llmsettings")
_REPEATED: Final = re.compile(r"(.{3,32}?)\1+|(.{1,2}?)\2{2,}", re.DOTALL)
"""Doubled letters stay: words have them."""
_READINGS: Final = tuple(
    str.maketrans("4@8({[<369!1|0$5+7%2", letters) for letters in ("aabcccceggiiiossttxz", "aabcccceggillossslxz")
)
"""By zxcvbn's own table; 1 and | are i or l, 7 is t or l, and so on."""


def is_easy(password: str) -> bool:
    """Return whether somebody who tries common passwords, words and patterns first finds *password* too soon."""
    read = {password, *(password.translate(each) for each in _READINGS)}
    return any(not text or _guesses(text) < MIN_GUESSES for text in {_once(each)[:LOOKED_AT] for each in read})


def _once(text: str) -> str:
    """Return *text* with whatever stands there several times in a row only once."""
    while (shorter := _REPEATED.sub(r"\1\2", text)) != text:
        text = shorter
    return text


def _guesses(text: str) -> int:
    with from_extra():
        from zxcvbn import matching, scoring  # noqa: PLC0415 - services set no passwords

    known = {**matching.RANKED_DICTIONARIES, "user_inputs": matching.build_ranked_dict(_OURS)}
    found: list[Any] = []
    for look in (
        matching.dictionary_match,
        matching.reverse_dictionary_match,
        matching.spatial_match,
        matching.sequence_match,
        matching.regex_match,
        matching.date_match,
    ):
        found += look(text, _ranked_dictionaries=known)
    found.sort(key=lambda match: (match["i"], match["j"]))
    return int(scoring.most_guessable_match_sequence(text, found)["guesses"])
