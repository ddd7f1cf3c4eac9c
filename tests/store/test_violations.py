"""What the database refuses is told as what it is: taken names are one thing, rules of another version another."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.access import tokens, users
from core.actors import Actor
from core.errors import AlreadyExists, SchemaMismatch
from core.manage import providers, settings

PASSWORD = "correct horse battery staple"


def _provider(session: Session, admin: Actor) -> object:
    made = {"name": "acme", "display_name": "Acme", "kind": "openai", "available_models": ["m"]}
    return providers.create(session, admin, made)


def _settings(session: Session, admin: Actor) -> object:
    return settings.upsert_global(session, admin, None, {"temperature": 0.5})


def _user(session: Session, admin: Actor) -> object:
    return users.add(session, admin, "grace", PASSWORD, "analyst")


def _token(session: Session, admin: Actor) -> object:
    return tokens.create(session, admin, {"name": "ci", "role": "analyst"})


@pytest.mark.parametrize(
    ("write", "table", "rule"),
    [
        (_provider, "llm_providers", "kind = 'a'"),
        (_settings, "llm_settings", "temperature > 1"),
        (_user, "users", "role = 'a'"),
        (_token, "api_tokens", "role = 'a'"),
    ],
)
def test_rule_of_another_version(
    session: Session, admin: Actor, write: Callable[[Session, Actor], object], table: str, rule: str
) -> None:
    """A CHECK that this version does not know is named, with the cure; nobody is told of a name that is taken."""
    session.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT newer CHECK ({rule}) NOT VALID"))

    with pytest.raises(SchemaMismatch, match=r"its rule newer.*another version.*core migrate") as refused:
        write(session, admin)
    assert refused.value.__cause__ is refused.value.__context__ is None  # they would hold the row


@pytest.mark.parametrize("write", [_provider, _user, _token])
def test_name_that_is_taken(session: Session, admin: Actor, write: Callable[[Session, Actor], object]) -> None:
    write(session, admin)

    with pytest.raises(AlreadyExists):
        write(session, admin)
