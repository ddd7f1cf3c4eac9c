"""Presets on the pages: one fills what is being edited, what is chosen becomes one, and admins keep them."""

from sqlmodel import Session

from core.actors import Actor
from core.manage import organization_members, organizations, settings, settings_presets
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from tests.manage.test_settings_presets import changes
from tests.pages.test_defaults import add_provider, choose, notes, stored
from tests.screens import click, everything, has, offers, open_page, pick, toasts
from ui import reason

MENU = "presets_menu"


def test_a_preset_fills_what_is_edited(session: Session, admin: Actor) -> None:
    """Defaults: nothing is stored before Save; what changes is marked, what the model does not take is told; the event names it."""
    number = add_provider(session, admin, available_models=["o3"], default_model="o3")
    app = pick(open_page("defaults", admin, provider="acme"), MENU, "deterministic")
    assert stored(number) is None
    assert "**3 changes, unsaved**" in everything(app)
    assert app.segmented_control(key="temperature_mode").value == "value"
    assert "will be left out" in notes(app)["temperature"]
    app = pick(app, MENU, "creative")
    app.text_input(key=reason.BAR).set_value("campaign").run()
    click(app, "save")
    click(app, "unsent_save")

    assert (row := stored(number)) is not None
    assert (row.temperature, row.presence_penalty, row.max_tokens) == (1.0, 0.3, None)
    event = changes(session, "settings.create")
    assert (event["preset"], event["comment"]) == ((None, "creative"), (None, "campaign"))


def test_one_that_was_changed_since_is_not_named(session: Session, admin: Actor) -> None:
    """What is saved is no preset's any more: its name would say what is not so."""
    add_provider(session, admin)
    app = pick(open_page("defaults", admin, provider="acme"), MENU, "creative")
    choose(app, "presence_penalty", "Inherit")
    click(app, "save")

    assert "preset" not in changes(session, "settings.create")


def test_what_is_chosen_becomes_a_preset(session: Session, admin: Actor) -> None:
    """Saved under a name, with what is unsaved; a name that is taken asks; renamed and deleted in one place; nothing else changes."""
    add_provider(session, admin)
    settings.upsert_global(session, admin, None, {"max_tokens": 80, "omitted_parameters": ["top_p"]})
    app = choose(open_page("defaults", admin), "temperature", "Value")
    app = pick(app, MENU, "Save as preset…")
    app.text_input(key="preset_name").set_value("Terse!").run()
    click(app, "preset_save")
    assert any("a to z" in error.value for error in app.error)
    app.text_input(key="preset_name").set_value("creative").run()
    click(app, "preset_save")
    assert any("creative" in error.value.replace("\\", "") for error in app.error)
    app.text_input(key="preset_name").set_value("terse").run()
    app.text_input(key="preset_description").set_value("One sentence").run()
    click(app, "preset_save")
    assert [toast.replace("\\", "") for toast in toasts(app)] == ["The preset terse is saved."]
    with db.transaction() as later:
        row = settings_presets.get_by_name(later, admin, "terse")
        assert row.fields == {"temperature": 0.7, "max_tokens": 80, "omitted_parameters": ["top_p"]}

    app = click(pick(app, MENU, "Manage presets…"), f"preset_edit_{row.id}")
    app.text_input(key="preset_name").set_value("curt").run()
    click(app, "preset_save")
    app = click(pick(app, MENU, "Manage presets…"), f"preset_delete_{row.id}")
    assert "What it was applied to stays as it is" in everything(app)  # it asks first
    click(app, "preset_delete_cancel")
    click(app, f"preset_delete_{row.id}")
    app.text_input(key="reason_dialog").set_value("nobody used it").run()
    with db.transaction() as later:
        settings_presets.update(later, admin, id_of(row), {"description": "Half a sentence"})
    click(app, "preset_delete_confirm")
    assert "changed it" in everything(app)  # what was looked at is another: the next press deletes
    assert app.text_input(key="reason_dialog").value == "nobody used it"
    assert not toasts(app)
    click(app, "preset_delete_confirm")
    assert changes(session, "preset.delete")["comment"] == (None, "nobody used it")
    assert not has(app, f"preset_delete_{row.id}")
    click(app, "presets_close")
    assert not offers(app, MENU, "curt")
    assert offers(app, MENU, "creative")
    assert (kept := stored(None)) is not None
    assert kept.max_tokens == 80


def test_an_organisations_admin_applies_and_changes_none(session: Session, admin: Actor) -> None:
    """On the Organisation page: the menu has the presets, and nothing that changes them; saved, the organisation has the values."""
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    user = User(username="eve", role="member", password_hash="*")
    session.add(user)
    session.flush()
    organization_members.set_member(session, admin, acme, id_of(user), "admin")
    app = open_page("organization", Actor("eve", user.id, user.auth_epoch), organization="acme")
    assert not offers(app, MENU, "Manage presets…")
    app = pick(app, MENU, "cheap-and-short")
    assert "**3 changes, unsaved**" in everything(app)
    click(app, "override_save")

    row = settings.get_of(session, admin, SettingsScope(None, acme))
    assert row is not None
    session.refresh(row)
    assert (row.max_tokens, row.reasoning_effort) == (500, "low")
    assert changes(session, "settings.create")["preset"] == (None, "cheap-and-short")
