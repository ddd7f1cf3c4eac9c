"""The Organisation page: what its sections show and store, for an admin and for its own people; another's is as one that is not there."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.manage import (
    features,
    organization_keys,
    organization_members,
    organizations,
    providers,
    settings,
)
from core.manage.scopes import SettingsScope
from core.store.organization_tables import LlmFeature, Organization
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import LlmProvider
from tests.conftest import make_user
from tests.pages.test_long_lists import NAMES, TURNING
from tests.screens import click, everything, has, offers, open_page, pick, toasts
from tests.ui.test_address import at_once
from ui.drafts import DRAFTS

KEY = "sk-proj-own-0123456789abcdefghijklmn"


def page(actor: Actor, **query: str) -> AppTest:
    """The page, arrived at from another one: it is the first that a member is led to."""
    at = open_page("account", actor)
    at.switch_page("pages/organization.py")
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def made(session: Session, slug: str, **more: Any) -> Organization:
    return organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug.title(), **more})


def member(session: Session, organization: Organization, username: str, role: str = "admin") -> Actor:
    """A user who sees nothing but the organisation."""
    actor = make_user(username, "member")
    organization_members.set_member(session, COMMAND_LINE, id_of(organization), actor.own_id(), role)
    session.flush()
    return replace(actor, auth_epoch=actor.auth_epoch + 1)


def said(at: AppTest) -> str:
    return everything(at).replace("\\", "").replace("\u200b", "").replace("\u2060", "")


@pytest.fixture
def acme(session: Session) -> Organization:
    return made(session, "acme")


@pytest.fixture
def openai(session: Session) -> LlmProvider:
    return providers.create(
        session,
        COMMAND_LINE,
        {
            "name": "open-ai",
            "display_name": "Open AI",
            "kind": "openai",
            "available_models": ["m1", "m2"],
            "default_model": "m1",
        },
    )


@pytest.fixture
def summarise(session: Session) -> LlmFeature:
    return features.create(session, COMMAND_LINE, {"name": "summarise", "display_name": "Summaries"})


def stored(session: Session, *scope: int | None) -> Any:
    session.expire_all()
    return settings.get_of(session, COMMAND_LINE, SettingsScope(*scope))


def set_value(at: AppTest, name: str, value: float) -> AppTest:
    at.segmented_control(key=f"{name}_mode").set_value("value").run()
    found = [number for number in at.number_input if str(number.key).startswith(f"{name}_exact")]
    (found[0] if found else at.number_input(key=name)).set_value(value).run()
    assert not at.exception
    return at


# ---- which organisation ----


@pytest.mark.usefixtures("acme")
def test_admin_finds_one_by_its_name(session: Session, admin: Actor) -> None:
    """An admin searches among all, and comes back to the search."""
    made(session, "beta")
    at = page(admin)
    at.text_input(key="search").set_value("ac").run()
    assert not has(at, "go_to_beta")
    click(at, "go_to_acme")
    assert "Services ask for acme" in said(at)
    assert at.query_params["organization"] == "acme"
    assert "Find an organisation" in [field.label for field in click(at, "another_organization").text_input]


def test_names_of_200_letters_in_every_script(session: Session, admin: Actor) -> None:
    """Each is found by how it begins, and shown whole; one from right to left turns nothing beside it."""
    for number, name in enumerate(NAMES):
        made(session, f"o{number}", name=name * 2)
    for number, name in enumerate(NAMES):
        at = page(admin)
        at.text_input(key="search").set_value(name[:30]).run()
        click(at, f"go_to_o{number}")
        whole = f"\u2068{name * 2}\u2069" if name == TURNING else name * 2
        assert whole in at.header[0].value.replace("\\", "")


def test_member_sees_their_own_at_once(session: Session, acme: Organization) -> None:
    """Who belongs to one organisation sees it without a choice; who belongs to two chooses, and no third is offered."""
    made(session, "gamma")
    eve = member(session, acme, "eve")
    at = page(eve)
    assert "Services ask for acme" in said(at)

    beta = made(session, "beta")
    organization_members.set_member(session, COMMAND_LINE, id_of(beta), eve.own_id(), "admin")
    session.flush()
    at = page(replace(eve, auth_epoch=eve.auth_epoch + 1))
    assert at.selectbox(key="organization_picked").options == ["Acme  ·  acme", "Beta  ·  beta"]
    at.selectbox(key="organization_picked").set_value("beta").run()
    assert "Services ask for beta" in said(at)


def test_anothers_is_answered_as_one_that_is_not_there(session: Session, acme: Organization) -> None:
    """The page of another's organisation and of a name that nobody has differ in that name alone; both tries are on record."""
    made(session, "beta", name="Canary GmbH")
    eve = member(session, acme, "eve")
    theirs, nobodys = (said(page(eve, organization=name)) for name in ("beta", "nope"))

    assert theirs.replace("beta", "nope") == nobodys
    assert "Canary" not in theirs
    assert "Services ask for acme" in theirs
    denied = session.exec(select(AuditEvent).where(AuditEvent.action == "denied", AuditEvent.actor == "eve")).all()
    assert {event.target for event in denied} == {"organization.read"}


def test_who_belongs_to_none_is_told(session: Session) -> None:
    """A member of nothing sees no organisation, and whom to ask."""
    made(session, "beta")
    assert "You belong to no organisation" in said(page(make_user("eve", "member")))


def test_analyst_of_one_changes_nothing(session: Session, acme: Organization, openai: LlmProvider) -> None:
    """An organisation's analyst sees that it is there, and neither a key nor anything to press."""
    organization_keys.set_api_key(session, COMMAND_LINE, id_of(acme), id_of(openai), KEY)
    at = page(member(session, acme, "eve", "analyst"), section="Providers and keys")

    assert "change nothing" in said(at)
    assert "sk-" not in said(at)
    assert {button.key for button in at.button} <= {"sign_out", "stay_signed_in"}


def test_removed_member_finds_it_gone_and_keeps_what_was_typed(session: Session, acme: Organization) -> None:
    """Who is taken out while the page is open is signed out at the next press; nothing is stored, and what was typed is kept."""
    eve = member(session, acme, "eve")
    at = set_value(page(eve), "temperature", 0.25)
    organization_members.remove_member(session, COMMAND_LINE, id_of(acme), eve.own_id())
    session.flush()
    click(at, "override_save")

    assert "sign-in has ended" in said(at)
    assert "Organisation (1 change)" in said(at)
    assert stored(session, None, id_of(acme)) is None
    assert [draft.what for draft, _ in DRAFTS.of(eve.own_id(), "organization")] == ["Organisation (1 change)"]
    at = page(replace(eve, auth_epoch=eve.auth_epoch + 1))
    assert "You belong to no organisation" in said(at)


def test_what_was_typed_is_offered_again(session: Session, acme: Organization) -> None:
    """Back from a sign-in that had ended, one takes up what was unsaved, and saves it."""
    eve = member(session, acme, "eve")
    at = set_value(page(eve), "temperature", 0.25)
    organization_members.set_member(session, COMMAND_LINE, id_of(made(session, "beta")), eve.own_id(), "analyst")
    session.flush()
    click(at, "override_save")
    back = page(replace(eve, auth_epoch=eve.auth_epoch + 1))
    click(click(back, "draft_again_0"), "override_save")

    assert stored(session, None, id_of(acme)).temperature == 0.25


# ---- settings ----


def test_fields_say_what_they_inherit_and_from_where(
    session: Session, admin: Actor, acme: Organization, openai: LlmProvider
) -> None:
    """All providers, provider, template and organisation, each over the one before."""
    gold = made(session, "gold", kind="template")
    organizations.update(session, COMMAND_LINE, id_of(acme), {"template_id": id_of(gold)})
    settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 0.1, "max_tokens": 111})
    settings.upsert_global(session, COMMAND_LINE, openai.id, {"max_tokens": 222, "top_p": 0.5})
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, gold.id), {"top_p": 0.6})
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, acme.id), {"max_retries": 7})

    shown = said(page(admin, organization="acme"))
    assert "0.1 · all providers" in shown
    assert "111 · all providers" in shown
    assert "0.6 · template" in shown
    shown = said(page(admin, organization="acme", provider="open-ai"))
    assert "222 · this provider" in shown
    assert "0.6 · template" in shown
    assert "7 · organisation" in shown


def test_value_is_saved_undone_and_reset(session: Session, acme: Organization, openai: LlmProvider) -> None:
    """Save stores what was typed and nothing else, Undo takes back a field, Reset all asks and leaves no row."""
    at = page(member(session, acme, "eve"))
    set_value(at, "temperature", 0.25)
    set_value(at, "max_tokens", 500)
    assert "2 changes, unsaved" in said(at)
    click(click(at, "undo_max_tokens"), "override_save")
    row = stored(session, None, id_of(acme))
    assert (row.temperature, row.max_tokens, row.updated_by) == (0.25, None, "eve")
    assert "unsaved" not in said(at)

    at.selectbox(key="override_default_provider").set_value(openai.id).run()
    click(at, "override_save")
    assert stored(session, None, id_of(acme)).default_provider_id == openai.id

    click(at, "override_reset")
    assert "What goes: Temperature, Default provider" in said(at)
    click(at, "override_reset_confirm")
    assert stored(session, None, id_of(acme)) is None


def test_what_hides_a_value_stands_beside_it(
    session: Session, admin: Actor, acme: Organization, openai: LlmProvider, summarise: LlmFeature
) -> None:
    """A feature's value over the organisation's is named: at the value, and once it is saved."""
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, None, summarise.id), {"temperature": 0.0})
    settings.upsert(session, COMMAND_LINE, SettingsScope(openai.id, acme.id), {"max_tokens": 9})
    at = set_value(page(admin, organization="acme"), "temperature", 0.9)
    assert "Hidden by 1 feature: summarise" in said(at)
    set_value(at, "max_tokens", 10)
    click(at, "override_save")

    assert any("Temperature is hidden by 1 feature: summarise" in toast.replace("\\", "") for toast in toasts(at))
    assert "Hidden by 1 provider" in said(at)


def test_unsaved_changes_wait_while_one_looks_elsewhere(
    session: Session, admin: Actor, acme: Organization, openai: LlmProvider
) -> None:
    """What is typed for all providers is there when one comes back from one of them, and does not stand in that one's form."""
    at = set_value(page(admin, organization="acme"), "temperature", 0.25)
    at.selectbox(key="provider").set_value("open-ai").run()
    assert at.segmented_control(key="temperature_mode").value == "inherit"
    at.selectbox(key="provider").set_value(None).run()
    assert at.segmented_control(key="temperature_mode").value == "value"
    click(at, "override_save")
    assert stored(session, None, id_of(acme)).temperature == 0.25
    assert stored(session, openai.id, id_of(acme)) is None


def test_two_admins_at_once_see_each_others_values(session: Session, admin: Actor, acme: Organization) -> None:
    """Who saves second sees what was, what is and what they typed; theirs is kept, or mine is written with their other fields."""
    settings.upsert(session, COMMAND_LINE, SettingsScope(None, acme.id), {"temperature": 0.1})
    at = set_value(page(admin, organization="acme"), "temperature", 0.25)
    settings.upsert(session, Actor("grace"), SettingsScope(None, acme.id), {"temperature": 0.9, "max_tokens": 77})
    click(at, "override_save")

    assert stored(session, None, id_of(acme)).temperature == 0.9
    (table,) = at.table
    rows = {row["Field"]: row for row in table.value.to_dict("records")}
    shown = {
        column: rows["Temperature"][column].replace("\\", "") for column in ("When you began", "Saved now", "Yours")
    }
    assert shown == {"When you began": "0.1", "Saved now": "0.9", "Yours": "**0.25**"}
    click(at, "override_write")
    row = stored(session, None, id_of(acme))
    assert (row.temperature, row.max_tokens) == (0.25, 77)


def test_template_says_which_it_is(session: Session, admin: Actor) -> None:
    """A template has settings and rules, and neither members nor keys."""
    made(session, "gold", kind="template")
    at = page(admin, organization="gold")
    assert "The template gold" in said(at)
    assert at.segmented_control(key="section").options == ["Settings", "Providers and keys", "Feature overrides"]


# ---- feature overrides ----


def test_feature_override_is_stored_for_that_feature_alone(
    session: Session, acme: Organization, summarise: LlmFeature
) -> None:
    """A feature is chosen, a value saved: one row of the organisation and the feature; the list names it."""
    eve = member(session, acme, "eve")
    at = page(eve, section="Feature overrides")
    at.selectbox(key="feature").set_value("summarise").run()
    set_value(at, "temperature", 0.25)
    click(at, "override_save")

    row = stored(session, None, id_of(acme), id_of(summarise))
    assert (row.temperature, row.organization_id) == (0.25, acme.id)
    assert stored(session, None, id_of(acme)) is None
    at = at_once("organization", eve, section="Feature overrides")
    assert at.table[0].value["Feature"].tolist() == ["summarise"]
    assert "also below: 1 feature override" in said(at)


@pytest.mark.usefixtures("acme", "summarise")
def test_link_of_another_page_opens_the_features(admin: Actor) -> None:
    """Hierarchy calls the section *overrides*."""
    at = at_once("organization", admin, organization="acme", section="overrides", feature="summarise")
    assert at.segmented_control(key="section").value == "Feature overrides"
    assert at.selectbox(key="feature").value == "summarise"
    assert has(at, "override_reset")


# ---- providers and keys ----


def test_own_key_is_set_shown_by_its_mask_and_removed(
    session: Session, acme: Organization, openai: LlmProvider
) -> None:
    """The key is sealed and kept nowhere else; after its removal an admin of the installation says that theirs serves it again."""
    eve = member(session, acme, "eve")
    at = page(eve, section="Providers and keys")
    assert "The installation's key" in said(at)
    click(at, "set_key_open-ai")
    at.text_input(key="own_api_key").input(KEY)
    at.text_input(key="reason_dialog").input("their contract").run()
    click(at, "own_save")
    assert "their contract" in str(
        session.execute(text("SELECT changes FROM audit_events ORDER BY id DESC LIMIT 1")).one()
    )
    row = organization_keys.get(session, COMMAND_LINE, id_of(acme), id_of(openai))
    assert row is not None
    assert organization_keys.key_state(openai, row).state == "ok"
    assert "Own key sk-proj...****" in said(at)
    assert KEY not in said(at)
    assert KEY not in repr(at.session_state)

    pick(at, "more_open-ai", "Remove own key")
    click(at, "own_save")
    assert "No key: it needs one of its own" in said(at)
    assert not offers(at, "more_open-ai", "Use the installation's key")
    at = page(make_user("root", "admin"), organization="acme", section="Providers and keys")
    pick(at, "more_open-ai", "Use the installation's key")
    assert "The installation's key" in said(at)


@pytest.mark.parametrize("key", ["", "short", "sk-proj...****"])
def test_refused_key_says_why(session: Session, acme: Organization, openai: LlmProvider, key: str) -> None:
    """What is no key is refused beside the field, and none is stored."""
    at = click(page(member(session, acme, "eve"), section="Providers and keys"), "set_key_open-ai")
    at.text_input(key="own_api_key").input(key)
    click(at, "own_save")

    assert at.error
    assert has(at, "own_save")
    assert organization_keys.get(session, COMMAND_LINE, id_of(acme), id_of(openai)) is None


def test_what_it_may_use(session: Session, admin: Actor, acme: Organization, openai: LlmProvider) -> None:
    """An admin of the installation chooses models, none is another thing than all; its own admins add own models alone."""
    at = pick(page(admin, organization="acme", section="Providers and keys"), "more_open-ai", "What it may use")
    at.toggle(key="own_is_limited").set_value(True).run()
    at.multiselect(key="own_allowed_models").set_value(["m2"])
    click(at, "own_save")
    row = organization_keys.get(session, COMMAND_LINE, id_of(acme), id_of(openai))
    assert row is not None
    assert row.allowed_models == ["m2"]
    assert "1 of 2 models" in said(at)

    at = page(member(session, acme, "eve"), section="Providers and keys")
    pick(at, "more_open-ai", "What it may use")
    assert {field.key for field in at.multiselect} == {"own_models"}
    assert not [field for field in at.toggle if str(field.key).startswith("own_")]


def test_key_of_a_host_before_is_said(session: Session, admin: Actor, acme: Organization, openai: LlmProvider) -> None:
    """The provider's host changed: the own key is unreadable, and the row says what to do."""
    organization_keys.set_api_key(session, COMMAND_LINE, id_of(acme), id_of(openai), KEY)
    providers.update(session, COMMAND_LINE, id_of(openai), {"api_base_url": "https://elsewhere.example/v1"})
    assert "Own key unreadable" in said(page(admin, organization="acme", section="Providers and keys"))


# ---- members ----


def test_members_are_added_changed_and_taken_out(session: Session, acme: Organization) -> None:
    """By username, of users who are there; each press is on record, and taking out asks."""
    make_user("bob", "member")
    eve = member(session, acme, "eve")
    at = page(eve, section="Members")
    at.text_input(key="member_username").input("nobody")
    click(at, "member_add")
    assert "There is no user 'nobody'" in said(at)
    assert at.text_input(key="member_username").value == "nobody"
    at.text_input(key="member_username").input("Bob")
    click(at, "member_add")
    assert [
        (each.username, each.role) for each in organization_members.list_of(session, COMMAND_LINE, id_of(acme))
    ] == [
        ("bob", "analyst"),
        ("eve", "admin"),
    ]
    click(at, "change_bob")
    assert "**bob** :blue-badge" in said(at)
    click(at, "remove_bob")
    assert len(organization_members.list_of(session, COMMAND_LINE, id_of(acme))) == 2
    click(at, "member_confirm")
    assert [each.username for each in organization_members.list_of(session, COMMAND_LINE, id_of(acme))] == ["eve"]


def test_admin_of_the_installation_is_no_member_to_be_found(session: Session, acme: Organization, admin: Actor) -> None:
    """An organisation's admin can make only members of members: who else is there is not said."""
    at = page(member(session, acme, "eve"), section="Members")
    at.text_input(key="member_username").input(admin.name)
    click(at, "member_add")

    assert f"There is no user '{admin.name}'" in said(at)


# ---- what it has to do with providers ----


def test_another_host_names_who_has_own_keys(
    session: Session, admin: Actor, acme: Organization, openai: LlmProvider
) -> None:
    """The provider's form says whose keys stay behind, and wants its name before it moves; the deletion names them too."""
    organization_keys.set_api_key(session, COMMAND_LINE, id_of(acme), id_of(openai), KEY)
    at = click(open_page("providers", admin), "edit_open-ai")
    assert "with a key of their own" not in said(at)
    at.text_input(key="provider_api_base_url").set_value("https://elsewhere.example/v1").run()
    assert "1 organisation with a key of their own here: acme" in said(at)
    click(at, "provider_save")
    assert "type open-ai exactly" in said(at).casefold()
    session.expire_all()
    assert providers.get(session, id_of(openai)).api_base_url is None
    at.text_input(key="provider_moved_name").set_value("open-ai")
    click(at, "provider_save")
    session.expire_all()
    assert providers.get(session, id_of(openai)).api_base_url == "https://elsewhere.example/v1"

    pick(at, "more_open-ai", "Delete")
    assert "1 own key of organisations: acme" in said(at)


def test_model_that_an_organisation_prefers_stays(
    session: Session, admin: Actor, acme: Organization, openai: LlmProvider
) -> None:
    """Who takes a model away reads which organisation prefers it."""
    settings.upsert(session, COMMAND_LINE, SettingsScope(id_of(openai), id_of(acme)), {"preferred_model": "m2"})
    at = click(open_page("providers", admin), "edit_open-ai")
    at.multiselect(key="provider_available_models").set_value(["m1"]).run()
    click(at, "provider_save")

    assert "preferred by acme" in said(at)
