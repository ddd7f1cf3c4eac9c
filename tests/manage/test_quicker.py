"""Who was quicker, as the slower one may know them: an organisation's own people read no name of the installation's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict
from core.manage import features, limits, organization_keys, organization_members, organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store.table import id_of
from tests.conftest import make_user


class Ids(NamedTuple):
    """What there is to write to."""

    organization: int
    provider: int
    feature: int


Stale = Callable[[Session, Actor], object]
"""A write that is based on version 1."""


def _settings(session: Session, ada: Actor, ids: Ids) -> dict[str, Stale]:
    scope = SettingsScope(None, ids.organization)
    number = id_of(settings.upsert(session, ada, scope, {"top_p": 0.5}))
    settings.upsert(session, ada, scope, {"top_p": 0.6})
    return {
        "saved": lambda s, eve: settings.update(s, eve, number, {"top_p": 0.7}, version=1),
        "deleted": lambda s, eve: settings.delete(s, eve, number, version=1),
    }


def _overrides(session: Session, ada: Actor, ids: Ids) -> dict[str, Stale]:
    scope = SettingsScope(None, ids.organization, ids.feature)
    number = id_of(settings.upsert(session, ada, scope, {"top_p": 0.5}))
    settings.upsert(session, ada, scope, {"top_p": 0.6})
    return {
        "saved": lambda s, eve: settings.update_override(s, eve, number, {"top_p": 0.7}, version=1),
        "deleted": lambda s, eve: settings.delete_override(s, eve, number, version=1),
    }


def _limits(session: Session, ada: Actor, ids: Ids) -> dict[str, Stale]:
    data = {"owner": "organization", "organization_id": ids.organization, "limits": {"max_tokens": {"max": 9}}}
    number = id_of(limits.create(session, ada, data))
    limits.update(session, ada, number, {"note": "theirs"}, version=1)
    return {
        "saved": lambda s, eve: limits.update(s, eve, number, {"note": "mine"}, version=1),
        "deleted": lambda s, eve: limits.delete(s, eve, number, version=1),
    }


def _keys(session: Session, ada: Actor, ids: Ids) -> dict[str, Stale]:
    of = (ids.organization, ids.provider)
    organization_keys.set_api_key(session, ada, *of, "sk-proj-0123456789abcdefghij")
    organization_keys.update(session, ada, *of, {"own_models": ["ft:x"]})
    return {
        "saved": lambda s, eve: organization_keys.update(s, eve, *of, {"own_models": ["ft:y"]}, version=1),
        "set": lambda s, eve: organization_keys.set_api_key(s, eve, *of, "sk-proj-9876543210abcdefghij", version=1),
        "removed": lambda s, eve: organization_keys.remove_api_key(s, eve, *of, version=1),
    }


@pytest.mark.parametrize("write", [_settings, _overrides, _limits, _keys], ids=["settings", "feature", "limit", "key"])
def test_an_organisations_own_admin_reads_no_name_of_the_installations(
    session: Session, admin: Actor, write: Callable[[Session, Actor, Ids], dict[str, Stale]]
) -> None:
    """The conflict says that the installation was quicker; to an admin of the installation it says who."""
    data: dict[str, Any] = {"kind": "openai", "display_name": "P", "available_models": ["m"], "default_model": "m"}
    ids = Ids(
        id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"})),
        id_of(providers.create(session, COMMAND_LINE, {"name": "p", **data})),
        id_of(features.create(session, COMMAND_LINE, {"name": "f", "display_name": "F"})),
    )
    eve = make_user("eve", "member")
    organization_members.set_member(session, COMMAND_LINE, ids.organization, eve.own_id(), "admin")
    session.flush()
    eve = replace(eve, auth_epoch=eve.auth_epoch + 1)

    for done, stale in write(session, admin, ids).items():
        with pytest.raises(Conflict) as to_eve:
            stale(session, eve)
        assert to_eve.value.changed_by == organization_members.INSTALLATION, done
        assert "ada" not in str(to_eve.value)
        with pytest.raises(Conflict) as to_ada:
            stale(session, admin)
        assert to_ada.value.changed_by == "ada", done
