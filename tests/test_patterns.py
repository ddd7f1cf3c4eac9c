"""A pattern that is compiled later answers as one that was compiled at once, and is compiled when it is asked first."""

import re

import pytest

from core.patterns import later


def test_it_answers_as_the_compiled_one() -> None:
    """Whatever it is asked, and with its flags."""
    one, other = later(r"a(?P<middle>.)c", re.DOTALL), re.compile(r"a(?P<middle>.)c", re.DOTALL)
    for _ in range(2):
        assert one.sub("x", "abc a\nc") == other.sub("x", "abc a\nc") == "x x"
        assert [found["middle"] for found in one.finditer("abc a\nc")] == ["b", "\n"]
        assert one.fullmatch("abcd") is other.fullmatch("abcd") is None
        assert one.flags == other.flags
        assert one.pattern == other.pattern


def test_it_is_compiled_on_first_use() -> None:
    """Not before: a wrong one shows then."""
    wrong = later("(")
    with pytest.raises(re.error, match="unterminated"):
        wrong.match("x")
