"""Links to what another page shows of a scope."""

import pytest

from ui.scopes.editors import Names
from ui.scopes.links import link_to


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """No database is needed here: replaces the fixture of that name for this module."""


def test_link_has_the_scope_in_its_address() -> None:
    """What the scope does not name is not there, and a name that is no word of an address is written as one."""
    assert link_to("hierarchy", Names()).endswith("](hierarchy)")
    assert link_to("hierarchy", Names("a b", "acme")).endswith("](hierarchy?organization=acme&provider=a+b)")
