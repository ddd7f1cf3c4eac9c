"""Sentences with what is personal in them marked, and what of it is found."""

import re
from pathlib import Path
from typing import NamedTuple

from core.privacy.looking import Looking, find
from core.privacy.national import COUNTRIES
from core.privacy.spans import PersonalSpan

EVERYWHERE = Looking(countries=tuple(sorted(COUNTRIES)))
_MARK = re.compile(r"\[\[([A-Z]+):(.*?)\]\](?!\])")


class Sentence(NamedTuple):
    """A text, and what is personal in it; nothing in a hard negative."""

    language: str
    text: str
    marked: list[PersonalSpan]


class Score(NamedTuple):
    """What an engine makes of many sentences."""

    precision: float
    """Of what it found, how much is marked, to the letter."""
    recall: float
    touched: float
    """Of the sentences that have nothing, in how many it found something."""
    wrong: list[str]


def sentences(name: str) -> list[Sentence]:
    """Return the sentences of a file beside this one."""
    found = []
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").replace("¦", "").splitlines():
        if line and not line.startswith("#"):
            language, _, marked = line.partition(" | ")
            found.append(_sentence(language, marked))
    return found


def _sentence(language: str, marked: str) -> Sentence:
    text, spans, at = "", [], 0
    for mark in _MARK.finditer(marked):
        text += marked[at : mark.start()]
        spans.append(PersonalSpan(len(text), len(text) + len(mark[2]), mark[1]))
        text += mark[2]
        at = mark.end()
    return Sentence(language, text + marked[at:], spans)


def score(wanted: list[Sentence], looking: Looking = EVERYWHERE) -> Score:
    """Return what :func:`core.privacy.looking.find` makes of the sentences."""
    right = found_in_all = marked_in_all = touched = empty = 0
    wrong = []
    for language, text, marked in wanted:
        found = find(text, looking)
        if language == "-":
            empty += 1
            touched += bool(found)
        else:
            found_in_all += len(found)
            marked_in_all += len(marked)
            right += len(set(found) & set(marked))
        wrong += [
            f"{language} | {text} | {text[span.start : span.end]!r} {span.kind} {'found' if span in found else 'missed'}"
            for span in sorted(set(found) ^ set(marked))
        ]
    return Score(right / found_in_all, right / marked_in_all, touched / max(empty, 1), wrong)
