"""Small pieces: names in any script stand in a sentence as they are."""

import pytest

from ui.widgets import cut, isolated, unseen

HEBREW, ARABIC = "\u05e9\u05dc\u05d5\u05dd", "\u0633\u0644\u0627\u0645"


@pytest.mark.parametrize("name", [HEBREW, f"a {ARABIC} 1", "\u202ereversed", "\u0661"])
def test_right_to_left_is_isolated(name: str) -> None:
    """What turns a line is between marks: the words around it keep their places."""
    assert isolated(name) == f"\u2068{name}\u2069"
    assert cut(name, 80).startswith("\u2068")


@pytest.mark.parametrize(
    "name", ["acme", "\u65e5\u672c\u8a9e", "\u03b1\u03b2\u03b3", "\u043f\u0440\u0438", "caf\u00e9", ""]
)
def test_other_scripts_are_left_as_they_are(name: str) -> None:
    """No mark is where none is needed: what is copied is the name."""
    assert isolated(name) == name


@pytest.mark.parametrize(
    ("label", "read"),
    [
        ("Active, self-hosted_1 *x* (a.b) & co!", "Active, self-hosted_1 *x* (a.b) & co!"),
        ("![x](https://evil.example) <b>$a$ `c`\\", "!x(https://evil.example) ba c"),
    ],
)
def test_label_that_is_not_seen_is_read_as_it_is(label: str, read: str) -> None:
    """No backslash is read aloud; what could begin an image, a link, a tag, code or a formula is left out."""
    assert unseen(label) == read
