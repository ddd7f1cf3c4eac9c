"""Patterns of one's own: what is refused before it is kept, and what is found with one that was."""

import re
import time

import pytest

from core.errors import Invalid
from core.privacy.own_patterns import DEADLINE, WINDOW, check_pattern, own
from core.privacy.spans import plain

STAFF = r"\bEMP-\d{6}\b"


@pytest.mark.parametrize("pattern", [STAFF, r"(?i)patient(?:en)?[- ]?nr\.? ?\d{5,9}"])
def test_a_sound_pattern_is_kept(pattern: str) -> None:
    check_pattern("STAFF", pattern, "Patienten-Nr. 12345 of EMP-123456", "EMP-12")


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(?:\w+\s?)+!",
        r"(?:foo|foofoo)+x",
        r"(x+x+)+y",
        r"\w+@corp",
        r"(?:a{0,30}){30}b",
        r"(?:q[^z]*){1,40}z",
    ],
)
def test_a_pattern_that_explodes_is_refused_and_holds_nobody_up(pattern: str) -> None:
    began = time.monotonic()
    with pytest.raises(Invalid, match="can be made slow") as refused:
        check_pattern("STAFF", pattern, "a!", "b")
    assert "Give every repeat an end" in refused.value.fields["pattern"]
    assert time.monotonic() - began < 3 * DEADLINE


@pytest.mark.parametrize(
    ("name", "pattern", "matches", "spares", "field"),
    [
        ("EMAIL", STAFF, "EMP-123456", "EMP-1", "name"),
        ("STAFF", "(", "a", "b", "pattern"),
        ("STAFF", "x{0,9}", "x", "y", "pattern"),
        ("STAFF", STAFF, "EMP-1", "EMP-2", "matches"),
        ("STAFF", STAFF, "EMP-123456", "not EMP-654321", "spares"),
    ],
)
def test_what_else_is_refused(name: str, pattern: str, matches: str, spares: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_pattern(name, pattern, matches, spares)
    assert list(refused.value.fields) == [field]


def test_windows_cut_no_match_in_two() -> None:
    """The same is found as in the whole text, wherever a match stands to the ends of windows."""
    for shift in (0, 5, 1024):
        text = "EMP-123456 " * (WINDOW // 11 - 100) + "-" * shift + "EMP-123456 " * 6_500
        found = [(span.start, span.end, span.kind) for span in own(plain(text), [("STAFF", STAFF)])]
        assert found == [(each.start(), each.end(), "STAFF") for each in re.finditer(STAFF, text)]


def test_full_width_digits_are_digits() -> None:
    (span,) = own(plain("of EMP-\uff11\uff12\uff13456."), [("STAFF", STAFF)])
    assert (span.start, span.end) == (3, 13)
