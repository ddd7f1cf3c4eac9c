"""`presets`, run as people run it."""

from sqlmodel import select

from core.store import db
from core.store.tables import LlmSettings
from tests.processes import core


def test_presets_are_listed_and_applied(committed: str) -> None:
    """Listed with what they say; a dry run says what would change, and applying does it, with a reason; again it is nothing."""
    url = {"DATABASE_URL": committed}
    listed = core("presets", "list", **url).stdout
    assert "deterministic            temperature 0, frequency_penalty 0, presence_penalty 0\n" in listed
    core("organizations", "add", "acme", **url)

    dry = core("presets", "apply", "creative", "--organization", "acme", "--dry-run", **url)
    assert dry.stdout.splitlines()[0] == "Temperature: inherits -> 1"
    assert dry.stdout.splitlines()[-1] == "Dry run: nothing was changed."
    with db.transaction() as session:
        assert session.exec(select(LlmSettings)).all() == []
    done = core("presets", "apply", "creative", "--organization", "acme", "-m", "for the campaign", **url)
    assert done.stdout.splitlines()[:-1] == dry.stdout.splitlines()[:-1]
    assert done.stdout.splitlines()[-1] == "Applied creative to acme · all providers."
    again = core("presets", "apply", "creative", "--organization", "acme", **url)
    assert again.stdout == "Nothing to do: acme · all providers has all of creative already.\n"
    assert core("presets", "apply", "nope", **url).returncode == 1
    with db.transaction() as session:
        (row,) = session.exec(select(LlmSettings)).all()
        assert (row.temperature, row.presence_penalty) == (1.0, 0.3)
