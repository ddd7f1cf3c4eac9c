"""How many providers take what all of them are given."""

from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.manage import fitting, providers, settings
from core.manage.fitting import Fit


def test_who_takes_what_all_are_given(session: Session, admin: Actor) -> None:
    """As if a draft were saved: of those that inherit it; another name counts as taken, left out and clamped do not."""
    for name, kind, model in (
        ("a", "openai", "gpt-5"),
        ("b", "openai", "m"),
        ("c", "anthropic", "claude-3-haiku-20240307"),
    ):
        data = {"name": name, "display_name": name.upper(), "kind": kind, "available_models": [model]}
        providers.create(session, COMMAND_LINE, {**data, "default_model": model})
    own = providers.get_by_name(session, "b").id
    settings.upsert_global(session, admin, own, {"top_p": 0.5, "omitted_parameters": ["presence_penalty"]})
    stored = settings.load(session).with_draft(None, {"temperature": 1.5})

    found = fitting.fits(stored)
    assert found["temperature"] == Fit(
        1, 3, (("A", "not sent: it always reasons"), ("C", "sent as 1: it takes 0 to 1"))
    )
    assert found["top_p"].of == 2
    assert found["presence_penalty"].of == 2
    assert (found["max_tokens"].takes, found["max_tokens"].of) == (3, 3)
    assert fitting.fits(settings.load(session))["temperature"].takes == 2
