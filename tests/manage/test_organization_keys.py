"""Own keys of organisations: sealed for their row, organisation, provider and host; what an organisation may of a provider."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core.actors import COMMAND_LINE, Actor
from core.audit.record import ORGANIZATION
from core.crypto import KeyRing, get_ring
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.manage import keys, organization_keys, organization_members, organizations, providers
from core.resolving.tenant import place_of_own_key
from core.store import db, sealed
from core.store.organization_tables import Organization, OrganizationProvider
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmProvider
from tests.conftest import ENCRYPTION_KEY, make_user

CANARY = "sk-proj-canary-of-acme-0123456789abcdefghijklmnop"
OTHER = "sk-proj-canary-of-beta-0123456789abcdefghijklmnop"
URL = "https://llm.example/v1"


@pytest.fixture
def provider(session: Session) -> LlmProvider:
    """An active provider with a key of the installation's."""
    made = {"name": "openai", "display_name": "P", "kind": "openai_compatible", "api_base_url": URL}
    models = {"available_models": ["m1", "m2"], "api_key": "sk-proj-installation-0123456789abcdefghij"}
    return providers.create(session, COMMAND_LINE, made | models)


@pytest.fixture
def acme(session: Session) -> Organization:
    """An organisation."""
    return organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"})


@pytest.fixture
def beta(session: Session) -> Organization:
    """Another one."""
    return organizations.create_one(session, COMMAND_LINE, {"slug": "beta", "name": "Beta"})


def set_key(
    session: Session, organization: Organization, provider: LlmProvider, key: str = CANARY
) -> OrganizationProvider:
    """Store an organisation's own key."""
    return organization_keys.set_api_key(session, COMMAND_LINE, id_of(organization), id_of(provider), key)


def states(session: Session) -> dict[str, str]:
    """What becomes of each own key that is opened: as `keys check` sees it."""
    tried = sealed.open_all(session, get_ring())
    return {one.name: one.state for one in tried if one.table == "organization_providers"}


def test_the_first_key_is_needed_from_then_on(session: Session, acme: Organization, provider: LlmProvider) -> None:
    """With its first key an organisation is never served with the installation's; without it, not before an admin says so."""
    row = set_key(session, acme, provider)
    assert (row.requires_own_key, row.version) == (True, 1)
    assert organization_keys.shown_key(row).startswith("sk-proj...**** #")  # type: ignore[union-attr]  # there is one
    assert organization_keys.key_state(provider, row).state == "ok"
    row = organization_keys.remove_api_key(session, COMMAND_LINE, id_of(acme), id_of(provider), version=1)
    assert (row.requires_own_key, row.api_key_encrypted, row.api_key_fingerprint) == (True, None, None)
    with pytest.raises(NotFound, match="API key"):
        organization_keys.remove_api_key(session, COMMAND_LINE, id_of(acme), id_of(provider))
    patch = {"requires_own_key": False}
    assert not organization_keys.update(session, COMMAND_LINE, id_of(acme), id_of(provider), patch).requires_own_key
    row = set_key(session, acme, provider)
    assert row.requires_own_key
    with pytest.raises(Conflict):
        organization_keys.set_api_key(session, COMMAND_LINE, id_of(acme), id_of(provider), OTHER, version=1)


@pytest.mark.parametrize(
    "moved",
    [
        "UPDATE organization_providers SET organization_id = :beta WHERE organization_id = :acme",
        "UPDATE organization_providers SET provider_id = :other WHERE organization_id = :acme",
        "UPDATE organization_providers SET id = id + 1000 WHERE organization_id = :acme",
        (
            "INSERT INTO organization_providers (organization_id, provider_id, api_key_encrypted, api_key_key_id,"
            " api_key_binding) SELECT :beta, provider_id, api_key_encrypted, api_key_key_id, api_key_binding"
            " FROM organization_providers"
        ),
        (
            "INSERT INTO organization_providers (organization_id, provider_id, api_key_encrypted, api_key_key_id,"
            " api_key_binding) SELECT :beta, id, api_key_encrypted, api_key_key_id, api_key_binding FROM llm_providers"
            " WHERE name = 'openai'"
        ),
        "UPDATE llm_providers SET api_base_url = 'https://elsewhere.example'",
    ],
)
def test_a_blob_that_sql_moved_is_refused(
    session: Session, acme: Organization, beta: Organization, provider: LlmProvider, moved: str
) -> None:
    """Another organisation's, another provider's, another row's or the installation's blob opens nowhere, nor for a new host."""
    set_key(session, acme, provider)
    other = providers.create(
        session,
        COMMAND_LINE,
        {
            "name": "other",
            "display_name": "O",
            "kind": "openai_compatible",
            "api_base_url": URL,
            "available_models": ["m"],
        },
    )
    assert states(session) == {"acme / openai": "ok"}

    session.execute(
        text(moved),
        {k: v for k, v in {"acme": acme.id, "beta": beta.id, "other": other.id}.items() if f":{k}" in moved},
    )
    session.expire_all()

    found = states(session)
    if moved.startswith("INSERT"):
        assert found.pop("acme / openai") == "ok"
    assert set(found.values()) == {"moved"}
    row = session.exec(select(OrganizationProvider).order_by(col(OrganizationProvider.id).desc())).first()
    assert row is not None
    of = providers.get(session, row.provider_id)
    assert organization_keys.key_state(of, row).state == "moved"
    with pytest.raises(Invalid, match="adopted"):
        organization_keys.adopt_api_key(session, COMMAND_LINE, row.organization_id, row.provider_id)


def test_the_place_is_the_one_that_services_use(session: Session, acme: Organization, provider: LlmProvider) -> None:
    """What is sealed, and sealed again by a rotation, opens where the resolver looks for it."""
    row = set_key(session, acme, provider)
    place = place_of_own_key(id_of(row), id_of(acme), id_of(provider), "https://llm.example:443")

    assert organization_keys.place_of(provider, row) == place
    found = session.execute(sealed.OWN_KEY.query()).one()
    assert sealed.OWN_KEY.place(found) == place
    assert get_ring().open(row.api_key_encrypted or "", row.api_key_key_id, row.api_key_binding, place) == CANARY


@pytest.mark.usefixtures("committed")
def test_rotation_moves_own_keys_too() -> None:
    """A rotation seals them with the new key, `keys status` counts them, and they open as before; the version stays."""
    ring = KeyRing("fe" * 32, [ENCRYPTION_KEY])
    with db.transaction() as session:
        made = {"name": "openai", "display_name": "P", "kind": "openai", "available_models": ["m1"]}
        provider = providers.create(session, COMMAND_LINE, made)
        for slug, key in (("acme", CANARY), ("beta", OTHER)):
            row = organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug})
            set_key(session, row, provider, key)
    db.get_engine().dispose()

    moved = sum(batch.moved for batch in keys.rotate(db.retrying, COMMAND_LINE, ring, force=True))

    assert moved == 2
    with db.transaction() as session:
        held = {each.key_id: each.rows for each in keys.status(session, ring).keys}
        assert held == {ring.primary_id: 2, KeyRing(ENCRYPTION_KEY).primary_id: 0}
        opened = [
            sealed.try_open(sealed.OWN_KEY, row, KeyRing("fe" * 32))[1]
            for row in session.execute(sealed.OWN_KEY.query())
        ]
        assert opened == [CANARY, OTHER]
        assert {row.version for row in session.exec(select(OrganizationProvider))} == {1}


def test_an_unbound_blob_is_adopted_row_by_row(
    session: Session, acme: Organization, provider: LlmProvider, analyst: Actor
) -> None:
    """What another program wrote, without key id and binding, is shown as such and served once an admin of the installation took it on."""
    row = set_key(session, acme, provider)
    session.execute(text("UPDATE organization_providers SET api_key_key_id = NULL, api_key_binding = NULL"))
    session.expire_all()
    assert organization_keys.key_state(provider, row).state == "unbound"
    with pytest.raises(Forbidden):
        organization_keys.adopt_api_key(session, analyst, id_of(acme), id_of(provider))
    adopted = organization_keys.adopt_api_key(session, COMMAND_LINE, id_of(acme), id_of(provider))
    assert organization_keys.key_state(provider, adopted).state == "ok"


def test_templates_and_providers_without_keys_have_none(session: Session, provider: LlmProvider) -> None:
    """A template's key would be everybody's; one for a provider that needs none would not be used."""
    tier = organizations.create_one(session, COMMAND_LINE, {"slug": "tier", "name": "T", "kind": "template"})
    with pytest.raises(Invalid, match="template"):
        set_key(session, tier, provider)
    assert (
        organization_keys.update(
            session, COMMAND_LINE, id_of(tier), id_of(provider), {"allowed_models": []}
        ).allowed_models
        == []
    )


def test_what_an_organisation_may(session: Session, acme: Organization, provider: LlmProvider) -> None:
    """No list of models is all of them, an empty one none; the row is made with the first word, and each later one has a version."""
    scope = (id_of(acme), id_of(provider))
    assert organization_keys.get(session, COMMAND_LINE, *scope) is None
    row = organization_keys.update(session, COMMAND_LINE, *scope, {"is_allowed": False}, version=0)
    assert (row.is_allowed, row.allowed_models, row.own_models, row.version) == (False, None, [], 1)
    row = organization_keys.update(session, COMMAND_LINE, *scope, {"allowed_models": []}, version=1)
    assert (row.is_allowed, row.allowed_models, row.version) == (False, [], 2)
    row = organization_keys.update(session, COMMAND_LINE, *scope, {"allowed_models": None, "own_models": ["ft:1"]})
    assert (row.allowed_models, row.own_models) == (None, ["ft:1"])
    with pytest.raises(Conflict) as caught:
        organization_keys.update(session, COMMAND_LINE, *scope, {"own_models": []}, version=2)
    assert caught.value.changes["own_models"] == (["ft:1"], [])
    for patch, field in (
        ({"own_models": ["a", "a"]}, "own_models"),
        ({"is_allowed": "yes"}, "is_allowed"),
        ({"x": 1}, "x"),
    ):
        with pytest.raises(Invalid, match=field):
            organization_keys.update(session, COMMAND_LINE, *scope, patch)
    with pytest.raises(NotFound, match="provider 99"):
        organization_keys.update(session, COMMAND_LINE, id_of(acme), 99, {"is_allowed": True})


def test_its_own_admins_may_what_is_theirs(
    session: Session, acme: Organization, beta: Organization, provider: LlmProvider
) -> None:
    """Keys and models of its own, and to demand one; what the installation lets it do is not theirs to say, nor another's at all."""
    eve = make_user("eve", "member")
    organization_members.set_member(session, COMMAND_LINE, id_of(acme), eve.own_id(), "admin")
    eve = Actor("eve", eve.user_id, eve.auth_epoch + 1)
    mine, theirs = (id_of(acme), id_of(provider)), (id_of(beta), id_of(provider))

    organization_keys.set_api_key(session, eve, *mine, CANARY)
    organization_keys.update(session, eve, *mine, {"own_models": ["ft:1"], "requires_own_key": True})
    for patch in ({"is_allowed": True}, {"allowed_models": None}, {"requires_own_key": False}):
        with pytest.raises(Forbidden):
            organization_keys.update(session, eve, *mine, patch)
    with pytest.raises(NotFound, match=f"no organisation {beta.id}"):
        organization_keys.set_api_key(session, eve, *theirs, CANARY)
    organization_keys.remove_api_key(session, eve, *mine)


def test_no_key_in_the_audit(session: Session, acme: Organization, provider: LlmProvider) -> None:
    """Events name the provider and show mask and fingerprint; never the key."""
    set_key(session, acme, provider)
    set_key(session, acme, provider, OTHER)
    organization_keys.remove_api_key(session, COMMAND_LINE, id_of(acme), id_of(provider))

    query = select(AuditEvent).where(col(AuditEvent.action).like("organization.%key")).order_by(col(AuditEvent.id))
    events: list[Any] = list(session.exec(query))
    assert [each.action for each in events] == ["organization.set_key"] * 2 + ["organization.remove_key"]
    assert all(each.changes[ORGANIZATION]["after"] == acme.id for each in events)
    assert all(each.changes["provider"]["after"] == "openai" for each in events)
    assert "canary" not in str([each.changes for each in events])


def test_a_deleted_provider_takes_own_keys_along(
    session: Session, acme: Organization, beta: Organization, provider: LlmProvider
) -> None:
    """Deleting says how many organisations lose a key; a new host leaves theirs unreadable, says so on record, and never sends them there."""
    for row, key in ((acme, CANARY), (beta, OTHER)):
        set_key(session, row, provider, key)
    new = {"api_base_url": "https://elsewhere.example/v1", "api_key": "sk-proj-again-0123456789abcdefghij"}
    providers.update(session, COMMAND_LINE, id_of(provider), new)
    assert set(states(session).values()) == {"moved"}
    event = session.exec(select(AuditEvent).order_by(col(AuditEvent.id).desc())).first()
    assert event is not None
    assert event.changes["own_keys"] == {"before": "2 of organisations", "after": "to be entered again"}

    assert "2 own keys of organisations: acme, beta" in providers.deletion(session, id_of(provider))
    providers.delete(session, COMMAND_LINE, id_of(provider))
    assert session.exec(select(OrganizationProvider)).all() == []
