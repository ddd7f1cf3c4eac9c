"""New passwords are judged in bounded time, as zxcvbn judges them."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.store import passwords

HOSTILE = "4@8({[<369!1|07$5+%2"


@pytest.mark.parametrize(
    "password",
    [
        *("passwordpassword1", "llmsettingsllmsettings", "qwertyuiopasdfghjkl", "P@ssw0rdP@ssw0rd", "1234567890123456"),
        *(
            "aaaaaaaaaaaaaaab",
            "abcabcabcabcabcabc",
            "Tr0ub4dour&3Tr0ub4dour&3",
            "password123456789",
            "drowssapdrowssap",
        ),
        *("19850101" * 3, "ab" * 16, "1" * 64, "le7me1nle7me1n!!", "4dm1n1str4t0r2020"[:15], "7r1n17y7r1n17y!!"),
    ],
)
def test_easy_ones(password: str) -> None:
    """Common words, rows of keys, dates, repeats, in leet and backwards too."""
    assert passwords.is_easy(password)


@pytest.mark.parametrize(
    "password",
    [
        *("correct horse battery", "sunshine-tomato-river-9", "a sentence that I can remember", "xK4#vQ9!tR2@pL7$w"),
        *("密码很长而且没有规律的句子在这里", "bookkeeper mississippi toffee", HOSTILE * 3 + "zq7"),
    ],
)
def test_others(password: str) -> None:
    """Words that do not go together, sentences, and what a machine makes."""
    assert not passwords.is_easy(password)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(HOSTILE, max_size=64), st.text("0123456789/.- ", max_size=64), st.text(max_size=64)))
def test_time_is_bounded(password: str) -> None:
    """No 64 characters take long: zxcvbn itself takes 5 to 17 seconds for some, holding the interpreter's lock."""
    begun = time.thread_time()
    passwords.is_easy(password)
    assert time.thread_time() - begun < 3 * 0.2


def test_hostile_one() -> None:
    """The password that stopped user management for 17 seconds."""
    begun = time.thread_time()
    passwords.is_easy(HOSTILE * 3 + "zq7")
    assert time.thread_time() - begun < 3 * 0.2
