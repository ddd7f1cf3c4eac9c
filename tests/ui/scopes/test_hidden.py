"""What becomes of a value where it is set, in words: who hides it, and where it is not sent."""

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.manage import features, organizations, providers, settings
from core.manage.overriding import Hidden
from core.manage.scopes import GLOBAL, SettingsScope
from core.store.table import id_of
from ui.scopes import hidden


@pytest.mark.parametrize(
    ("above", "scope", "words"),
    [
        (Hidden(1, 1, 0), GLOBAL, "1 organisation"),
        (Hidden(5, 3, 2), GLOBAL, "3 organisations and 2 features: f0, f1"),
        (Hidden(9, 1, 5), SettingsScope(None, 7), "5 features: f0, f1, f2, 2 more"),
        (Hidden(9, 4, 0), SettingsScope(None, None, 3), "4 organisations"),
        (Hidden(2, 1, 1), SettingsScope(None, 7, 3), "2 providers"),
        (Hidden(2, 0, 0), GLOBAL, "2 providers"),
    ],
)
def test_who_hides_it(above: Hidden, scope: SettingsScope, words: str) -> None:
    """Organisations where it is set for all of them, features where it is set for all, else the providers that have their own."""
    assert hidden.words(above, scope, [f"f{number}" for number in range(above.features)][:3]) == words


def test_sentences() -> None:
    """Fields of one fate stand together; of many the first are named."""
    assert hidden.sentences({}, {}) == ""
    one = {"a": "hidden by 1 feature", "b": "hidden by 1 feature", "c": "not sent to p"}
    assert hidden.sentences(one, {"a": "A"}) == "A and b are hidden by 1 feature. c is not sent to p."
    many = dict.fromkeys("abcdef", "hidden by 1 feature")
    assert hidden.sentences(many, {}) == "a, b and c are hidden by 1 feature. 3 fields more are too."


def test_value_that_one_provider_never_gets(session: Session) -> None:
    """Beside what hides a value stands which provider it is not sent to; of what is not sent anyway nothing is said."""
    made = {"name": "p", "display_name": "P", "kind": "openai", "available_models": ["m"], "default_model": "m"}
    provider = id_of(providers.create(session, COMMAND_LINE, made))
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    feature = id_of(features.create(session, COMMAND_LINE, {"name": "f", "display_name": "F"}))
    settings.upsert(session, COMMAND_LINE, SettingsScope(provider), {"omitted_parameters": ["top_p", "temperature"]})
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, acme, feature), {"top_p": 0.1})

    found = hidden.find(
        session, COMMAND_LINE, SettingsScope(None, acme), {"top_p": True, "temperature": False, "max_tokens": True}
    )

    unsent = "not sent to p, where a layer below says so for the provider"
    assert found == {"top_p": f"hidden by 1 feature: f; {unsent}"}
