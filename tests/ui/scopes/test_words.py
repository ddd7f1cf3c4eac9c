"""Who overrides what was saved, in a sentence."""

import pytest

from core.manage.overriding import Hidden
from ui.scopes.editors import Names
from ui.scopes.words import link_to, overridden


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """No database is needed here: replaces the fixture of that name for this module."""


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({}, ""),
        ({"a": Hidden(1, 1, 0)}, "A is overridden by 1 organisation."),
        ({"a": Hidden(5, 3, 2), "b": Hidden(9, 3, 2)}, "A and b are overridden by 3 organisations and 2 features."),
        ({"a": Hidden(2, 0, 0), "b": Hidden(1, 0, 1)}, "A is overridden by 2 providers. b is overridden by 1 feature."),
        (
            {name: Hidden(1, 0, 1) for name in "abcdef"},
            "A, b and c are overridden by 1 feature. So are 3 more of these fields.",
        ),
    ],
)
def test_sentences(found: dict[str, Hidden], sentence: str) -> None:
    """Fields with the same figures stand together; of many the first are named."""
    assert overridden(found, {"a": "A"}) == sentence


def test_link_has_the_scope_in_its_address() -> None:
    """What the scope does not name is not there, and a name that is no word of an address is written as one."""
    assert link_to("hierarchy", Names()).endswith("](hierarchy)")
    assert link_to("hierarchy", Names("a b", "acme")).endswith("](hierarchy?organization=acme&provider=a+b)")
