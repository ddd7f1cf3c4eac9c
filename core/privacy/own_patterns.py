"""Patterns that organisations name themselves: how they are looked for, and what is asked of them before they are kept.

A regular expression may take for ever on a text that somebody chose to that end, and nothing in this process can stop it then.
So each is measured once, when it is saved, in a process of its own, over texts that are made to hurt just that one.
"""

import json
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from ..errors import Invalid
from .hostile import texts_against
from .spans import TYPES, PersonalSpan, Searched

WINDOW: Final = 65_536
"""Characters of a text that a pattern sees at once."""
_SHARED: Final = 1_024
"""Characters that two windows share: no match of that length is cut in two."""
HOSTILE: Final = 100_000
"""Characters of each text that a pattern is measured with."""
SLOWEST: Final = 0.05
"""Seconds of this machine's time that it may take for one of them."""
DEADLINE: Final = 5.0
"""Seconds for all of them by the clock, however busy the machine is."""


def own(searched: Searched, patterns: Sequence[tuple[str, str]]) -> Iterator[PersonalSpan]:
    """Find what each of *patterns* (name, regular expression) matches; a match of nothing counts for nothing."""
    text = searched.text
    for name, pattern in patterns:
        compiled = _compiled(pattern)
        for start, end in _matches(compiled, text):
            yield searched.span(start, end, name)


def _matches(compiled: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(text):
        end = at + WINDOW
        is_last = end >= len(text)
        for seen in compiled.finditer(text, at, end):
            if not is_last and seen.start() >= end - _SHARED:
                break  # the next window has it whole
            # one that ends with the window may go on behind it: it has a window of its own
            goes_on = not is_last and seen.end() == end
            found = (goes_on and compiled.match(text, seen.start(), seen.start() + WINDOW)) or seen
            at = max(at, found.end())
            if found.end() > found.start():
                yield found.start(), found.end()
        if is_last:
            return
        at = max(at, end - _SHARED)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def check_pattern(name: str, pattern: str, matches: str, spares: str) -> None:
    """Refuse a pattern that finds not what it is to find, or that some text can make slow.

    Takes about a tenth of a second: a process is started, in which the pattern meets hostile texts.

    Args:
        name: As placeholders name it.
        pattern: A regular expression of Python's.
        matches: A text in which it finds something.
        spares: A text in which it finds nothing.

    Raises:
        Invalid: Names the part, the rule and the cure.
    """
    if name in TYPES:
        raise Invalid({"name": f"must be another: {name} is looked for already"})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of what Python will read otherwise some day
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise Invalid({"pattern": f"is no regular expression: {error}"}) from None
    # hostile texts first: the examples could be some, and they are tried here
    _measure(pattern, [*texts_against(pattern, HOSTILE), *_repeated(matches, spares)])
    if compiled.search("") is not None:
        raise Invalid({"pattern": "must not match nothing at all: it would be found everywhere"})
    if not any(found.end() > found.start() for found in compiled.finditer(matches)):
        raise Invalid({"matches": "must be a text in which the pattern finds something: it finds nothing there"})
    if compiled.search(spares) is not None:
        raise Invalid({"spares": "must be a text in which the pattern finds nothing: it finds something there"})


def _repeated(*examples: str) -> list[str]:
    """Return the examples as texts of that length, and as they are."""
    long = [text * (HOSTILE // len(text) + 1) for text in examples if text]
    return [*examples, *(text[:HOSTILE] for text in long)]


def _measure(pattern: str, texts: list[str]) -> None:
    """Have *pattern* meet *texts* in a process of its own.

    Raises:
        Invalid: If it is too slow, or nobody can say whether it is.
    """
    given = json.dumps([pattern, texts, SLOWEST, WINDOW])
    slow = f"can be made slow: more than {SLOWEST * 1000:.0f} ms for {HOSTILE // 1000} kB of a text that is made for it"
    cure = r"Give every repeat an end ({1,20}, not + or *), no repeat within a repeat, and begin with \b or a letter that has to stand there"
    try:
        done = subprocess.run(  # noqa: S603 - this Python, our own text; the pattern goes by its standard input
            [sys.executable, "-I", "-S", "-c", _CHILD],
            input=given.encode(),
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Invalid({"pattern": f"{slow}. {cure}"}) from None
    except OSError as error:
        raise Invalid(
            {"pattern": f"cannot be measured here, as no process can be started ({error.strerror})"}
        ) from None
    if done.returncode in (_TOO_SLOW, -signal.SIGPROF):
        raise Invalid({"pattern": f"{slow}. {cure}"})
    if done.returncode:
        raise Invalid({"pattern": f"cannot be measured here: the process for it ends with {done.returncode}"})


_TOO_SLOW: Final = 3
_CHILD: Final = f"""
import json, re, signal, sys, time
pattern, texts, slowest, window = json.load(sys.stdin.buffer)
found = re.compile(pattern)
for text in texts:
    took = []
    for _ in range(3):
        signal.setitimer(signal.ITIMER_PROF, slowest * 6)
        began = time.process_time()
        for at in range(0, len(text) or 1, window):
            for _ in found.finditer(text, at, at + window):
                pass
        took.append(time.process_time() - began)
        if took[-1] <= slowest:
            break
    if min(took) > slowest:
        sys.exit({_TOO_SLOW})
"""
"""By this process's own time, thrice if need be; the timer ends what does not come back."""
