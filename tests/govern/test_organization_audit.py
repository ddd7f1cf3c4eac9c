"""The audit of one organisation: its events and no other's, to its own admins without the installation's names."""

import pytest
from sqlmodel import Session

from core.access import tokens
from core.actors import Actor
from core.errors import Forbidden, NotFound
from core.govern import organization_audit
from core.manage import organization_members, organizations, settings
from core.manage.scopes import SettingsScope
from core.store.table import id_of
from tests.conftest import make_user


def test_events_of_one_organisation(session: Session, admin: Actor, analyst: Actor) -> None:
    """Page by page, by the index; who changed something is named to the installation, and to the organisation if it is its own."""
    acme, beta = (id_of(organizations.create_one(session, admin, {"slug": s, "name": s})) for s in ("acme", "beta"))
    eve = make_user("eve", "member")
    organization_members.set_member(session, admin, acme, eve.own_id(), "admin")
    eve = Actor("eve", eve.user_id, eve.auth_epoch + 1, address="192.0.2.1")
    row, _ = tokens.create(session, admin, {"name": "crm", "role": "admin", "organization_id": acme})
    program = Actor("token:crm", token_id=row.id)
    for number, actor in enumerate((eve, program, admin), start=1):
        settings.upsert(session, actor, SettingsScope(None, acme), {"max_tokens": number})
    settings.upsert(session, admin, SettingsScope(None, beta), {"max_tokens": 9})
    settings.upsert_global(session, admin, None, {"max_tokens": 8})

    first = organization_audit.search(session, admin, acme, limit=4)
    second = organization_audit.search(session, admin, acme, limit=4, before=first.older)
    seen = [(event.action, event.actor) for event in (*first.rows, *second.rows)]
    assert seen == [
        ("settings.update", "ada"),
        ("settings.update", "token:crm"),
        ("settings.create", "eve"),
        ("token.create", "ada"),
        ("organization.set_member", "ada"),
        ("organization.create", "ada"),
    ]
    own = organization_audit.search(session, eve, acme).rows
    assert [event.actor for event in own] == ["installation", "token:crm", "eve", *["installation"] * 3]
    assert {event.address for event in own} == {None, "192.0.2.1"}
    assert "ada" not in {event.actor for event in own}
    with pytest.raises(NotFound):
        organization_audit.search(session, eve, beta)
    with pytest.raises(Forbidden):
        organization_audit.search(session, analyst, acme)
