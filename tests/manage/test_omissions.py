"""What is left out by hand for nothing is found, and sent again at one press, by an admin, on record."""

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden
from core.manage import omissions, providers, settings
from core.manage.omissions import Omission

OLD_SEED = ["temperature", "max_tokens", "top_p", "frequency_penalty", "presence_penalty"]
"""What seed of version 0.1 left out for GPT models that reason."""


def _add(session: Session, name: str, model: str, omitted: list[str] | None) -> int:
    data = {"name": name, "display_name": name.title(), "kind": "openai", "available_models": [model]}
    made = providers.create(session, COMMAND_LINE, {**data, "default_model": model}).id or 0
    if omitted:
        settings.upsert_global(session, COMMAND_LINE, made, {"omitted_parameters": omitted, "temperature": 0.3})
    return made


def test_limit_is_sent_again_by_its_new_name(session: Session, admin: Actor) -> None:
    """Of five that a seed left out one would be sent right; the rest stays, and so does what nothing is known of."""
    seeded = _add(session, "seeded", "gpt-5", OLD_SEED)
    _add(session, "unknown", "unheard-of", OLD_SEED)
    _add(session, "none", "gpt-5", None)
    settings.upsert_global(session, admin, None, {"omitted_parameters": ["max_tokens"]})

    assert omissions.needless(session) == [Omission("seeded", "Seeded", "gpt-5", ("max_tokens",))]
    assert omissions.send_again(session, admin, ["none"]) == []
    assert len(omissions.send_again(session, admin)) == 1

    row = settings.get_global(session, seeded)
    assert row is not None
    assert row.omitted_parameters == [name for name in OLD_SEED if name != "max_tokens"]
    assert (row.updated_by, row.temperature) == (admin.name, 0.3)
    assert omissions.needless(session) == []


def test_all_of_them(session: Session, admin: Actor) -> None:
    """With the last one gone the row leaves nothing out."""
    made = _add(session, "old", "gpt-4o", ["top_p", "max_tokens"])
    omissions.send_again(session, admin)

    row = settings.get_global(session, made)
    assert row is not None
    assert row.omitted_parameters is None


def test_an_analyst_is_refused(session: Session, analyst: Actor) -> None:
    _add(session, "old", "gpt-4o", ["top_p"])
    with pytest.raises(Forbidden):
        omissions.send_again(session, analyst)
