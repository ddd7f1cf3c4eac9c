"""Cases that are many and alike, as each page in each role is: a run takes a share of them, another run another share.

``LLM_TEST_SHARE`` is the number that chooses, which the run prints: given again, it chooses the same. ``all`` takes every case.
"""

import os
import zlib
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def chosen() -> str:
    """Return what chooses: a number, or ``all``."""
    return os.environ.get("LLM_TEST_SHARE", "0")


def share(of: str, cases: Iterable[T], one_in: int = 3) -> list[T]:
    """Return this run's share of *cases*, in their order: one in *one_in*, at least one; numbers that follow each other take turns.

    *of* names what they are, so that two tests do not walk through the same pages.
    """
    whole = list(cases)
    if chosen() == "all":
        return whole
    first = (int(chosen()) + zlib.crc32(of.encode())) % one_in
    return [case for number, case in enumerate(whole) if number % one_in == first] or whole[:1]
