"""What a scope inherits, for whoever edits it: equal to what a service would get if the scope and all above it said nothing."""

from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import NotFound
from core.manage import features, inherited, organization_keys, organization_members, organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store.table import id_of
from tests.conftest import make_user


class World:
    """Ids of a provider, a template, two organisations and a feature, and a row of each scope that there can be."""

    def __init__(self, session: Session) -> None:
        data: dict[str, Any] = {"kind": "openai", "available_models": ["m1", "m2"], "default_model": "m1"}
        self.provider = id_of(providers.create(session, COMMAND_LINE, {"name": "p", "display_name": "P", **data}))
        other = id_of(providers.create(session, COMMAND_LINE, {"name": "q", "display_name": "Q", **data}))
        gold = organizations.create_one(session, COMMAND_LINE, {"slug": "gold", "name": "Gold", "kind": "template"})
        self.gold = id_of(gold)
        of = {"name": "x", "template_id": self.gold}
        self.acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", **of}))
        beta = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "beta", **of}))
        self.feature = id_of(features.create(session, COMMAND_LINE, {"name": "f", "display_name": "F"}))
        scopes = [
            SettingsScope(p, o, f)
            for f in (None, self.feature)
            for o in (None, self.gold, self.acme)
            for p in (None, self.provider)
        ]
        for number, scope in enumerate(scopes, 1):
            settings.upsert(session, COMMAND_LINE, scope, {"max_tokens": number})
        for scope in (SettingsScope(other), SettingsScope(None, beta), SettingsScope(other, self.acme, self.feature)):
            settings.upsert(session, COMMAND_LINE, scope, {"max_tokens": 999})


def of(session: Session, scope: SettingsScope, actor: Actor = COMMAND_LINE) -> tuple[Any, str]:
    """What the scope inherits as max_tokens, and of which layer."""
    found = {item.name: item for item in inherited.editable(session, actor, scope).inherits.explain()}["max_tokens"]
    return found.value, found.source.layer


def test_each_scope_inherits_the_layer_right_below_it(session: Session) -> None:
    """Of twelve scopes that all have a value each inherits the next lower one that meets it: those of no other provider or organisation."""
    w = World(session)
    p, f = w.provider, w.feature

    assert {
        "all": of(session, SettingsScope()),
        "provider": of(session, SettingsScope(p)),
        "template": of(session, SettingsScope(None, w.gold)),
        "template+provider": of(session, SettingsScope(p, w.gold)),
        "organization": of(session, SettingsScope(None, w.acme)),
        "organization+provider": of(session, SettingsScope(p, w.acme)),
        "feature": of(session, SettingsScope(None, None, f)),
        "feature+provider": of(session, SettingsScope(p, None, f)),
        "template+feature": of(session, SettingsScope(None, w.gold, f)),
        "organization+feature": of(session, SettingsScope(None, w.acme, f)),
        "organization+feature+provider": of(session, SettingsScope(p, w.acme, f)),
    } == {
        "all": (2000, "built_in"),
        "provider": (1, "all_providers"),
        "template": (1, "all_providers"),
        "template+provider": (3, "template"),
        "organization": (3, "template"),
        "organization+provider": (5, "organization"),
        "feature": (1, "all_providers"),
        "feature+provider": (7, "feature"),
        "template+feature": (7, "feature"),
        "organization+feature": (9, "template+feature"),
        "organization+feature+provider": (11, "organization+feature"),
    }


def test_what_is_not_active_is_not_inherited(session: Session) -> None:
    """A template and a feature that are not active have no layers."""
    w = World(session)
    organizations.update(session, COMMAND_LINE, w.gold, {"is_active": False})
    assert of(session, SettingsScope(None, w.acme)) == (1, "all_providers")
    features.update(session, COMMAND_LINE, w.feature, {"is_active": False})
    assert of(session, SettingsScope(w.provider, w.acme, w.feature)) == (6, "organization+provider")


def test_models_are_those_it_may_use(session: Session) -> None:
    """In the provider's order, then its own; the default that it may not use is not what it inherits."""
    w = World(session)
    patch = {"allowed_models": ["m2"], "own_models": ["ft:mine"]}
    organization_keys.update(session, COMMAND_LINE, w.acme, w.provider, patch)
    found = inherited.editable(session, COMMAND_LINE, SettingsScope(w.provider, w.acme))

    assert found.models == ["m2", "ft:mine"]
    assert found.inherits.model is None
    assert inherited.editable(session, COMMAND_LINE, SettingsScope(None, w.acme)).models is None


def test_anothers_scope_is_not_there(session: Session) -> None:
    """Who belongs to one organisation reads nothing of another, nor of nobody's feature rows."""
    w = World(session)
    eve = make_user("eve", "member")
    organization_members.set_member(session, COMMAND_LINE, w.acme, eve.own_id(), "admin")
    session.flush()
    eve = replace(eve, auth_epoch=eve.auth_epoch + 1)

    assert of(session, SettingsScope(None, w.acme), eve) == (3, "template")
    with pytest.raises(NotFound):
        of(session, SettingsScope(None, w.gold), eve)


def test_who_changed_it_is_named_to_those_who_may_know(session: Session, admin: Actor) -> None:
    """Of the installation's people an organisation's own see no name; its own they do."""
    w = World(session)
    eve = make_user("eve", "member")
    organization_members.set_member(session, COMMAND_LINE, w.acme, eve.own_id(), "admin")
    session.flush()
    eve = replace(eve, auth_epoch=eve.auth_epoch + 1)
    row = settings.upsert(session, admin, SettingsScope(None, w.acme), {"top_p": 0.5})
    assert organization_members.known_as(session, admin, row) == "ada"
    assert organization_members.known_as(session, eve, row) == organization_members.INSTALLATION
    row = settings.upsert(session, eve, SettingsScope(None, w.acme), {"top_p": 0.6})
    assert organization_members.known_as(session, eve, row) == "eve"
    assert organization_members.known_as(session, eve, None) == "somebody"
