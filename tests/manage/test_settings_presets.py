"""Named sets of parameters: kept by the installation's admins, copied into any scope, with a preview of what changes."""

from typing import Any

import pytest
from sqlmodel import Session, col, select

from core.actors import COMMAND_LINE, Actor
from core.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from core.manage import features, organization_members, organizations, providers, settings, settings_presets
from core.manage.scopes import SettingsScope
from core.manage.settings_presets import PresetChange, patch_of
from core.parameters import PARAMETERS, SENDABLE
from core.store.preset_schemas import PRESET_FIELDS, PresetInput
from core.store.records import AuditEvent
from core.store.schemas import validate
from core.store.table import id_of
from core.store.tables import User

SEEDED = ("balanced", "cheap-and-short", "creative", "deterministic")


def provider(session: Session, model: str = "gpt-4.1") -> int:
    made = {"name": "acme", "display_name": "A", "kind": "openai", "available_models": [model], "default_model": model}
    return id_of(providers.create(session, COMMAND_LINE, made))


def changes(session: Session, action: str) -> dict[str, Any]:
    """What the newest event of an action says."""
    query = select(AuditEvent.changes).where(col(AuditEvent.action) == action).order_by(col(AuditEvent.id).desc())
    return {name: (pair["before"], pair["after"]) for name, pair in session.exec(query.limit(1)).one().items()}


def test_four_to_begin_with(session: Session, admin: Actor) -> None:
    """A new store has four, each by the rules of what an admin may type, without a model, and told what it is for."""
    rows = settings_presets.list_all(session, admin)

    assert tuple(row.name for row in rows) == SEEDED
    for row in rows:
        assert validate(PresetInput, row.model_dump(include=set(settings_presets.FIELDS))).fields == row.fields
        assert row.description
        assert "preferred_model" not in row.fields


def test_kept_by_admins_and_seen_by_whoever_applies_them(session: Session, admin: Actor, analyst: Actor) -> None:
    """Made, changed, stale, taken, deleted, each on record; an organisation's admin sees and applies them, and changes none."""
    row = settings_presets.create(session, admin, {"name": "terse", "fields": {"max_tokens": 80}})
    number = id_of(row)
    assert changes(session, "preset.create")["fields"] == (None, {"max_tokens": 80})
    settings_presets.update(session, admin, number, {"name": "curt"}, version=1)
    with pytest.raises(Conflict):
        settings_presets.update(session, admin, number, {"name": "terse"}, version=1)
    with pytest.raises(AlreadyExists), session.begin_nested():
        settings_presets.update(session, admin, number, {"name": "creative"})

    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    user = User(username="eve", role="member", password_hash="*")
    session.add(user)
    session.flush()
    organization_members.set_member(session, admin, acme, id_of(user), "admin")
    eve = Actor("eve", user.id, user.auth_epoch)
    assert len(settings_presets.list_all(session, eve)) == 5
    made = settings_presets.apply(session, eve, row, SettingsScope(None, acme))
    assert made is not None
    assert made.max_tokens == 80
    for work in (
        lambda: settings_presets.create(session, eve, {"name": "mine", "fields": {"max_tokens": 1}}),
        lambda: settings_presets.update(session, eve, number, {"name": "mine"}),
        lambda: settings_presets.delete(session, eve, number),
        lambda: settings_presets.list_all(session, analyst),
        lambda: settings_presets.apply(session, eve, row, SettingsScope()),
    ):
        with pytest.raises((Forbidden, NotFound)):
            work()
    assert settings_presets.delete(session, admin, number, version=2) == "curt"
    with pytest.raises(NotFound):
        settings_presets.get_by_name(session, admin, "curt")
    assert made.max_tokens == 80


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "Not a name", "fields": {"max_tokens": 1}}, "name"),
        ({"name": "x", "fields": {}}, "fields"),
        ({"name": "x", "fields": {"omitted_parameters": []}}, "fields"),
        ({"name": "x", "fields": {"max_tokens": 0}}, "fields.max_tokens"),
        ({"name": "x", "fields": {"preferred_model": "gpt-5"}}, "fields.preferred_model"),
        ({"name": "x", "fields": {"is_active": False}}, "fields.is_active"),
        ({"name": "x", "fields": {"surprise": 1}}, "fields.surprise"),
        ({"name": "x", "fields": {"top_p": 1.0, "omitted_parameters": ["top_p"]}}, "fields.top_p"),
        ({"name": "x", "fields": [1]}, "fields"),
        ({"name": "x"}, "fields"),
        ({"name": "x", "fields": {"top_p": 1.0}, "description": "d" * 2001}, "description"),
    ],
)
def test_what_is_no_preset_is_refused(session: Session, admin: Actor, data: dict[str, Any], field: str) -> None:
    """The field at fault is named. A preset has no model: nobody gets one by it that they may not use."""
    with pytest.raises(Invalid) as told:
        settings_presets.create(session, admin, data)

    assert list(told.value.fields) == [field]


def test_what_is_copied(session: Session, admin: Actor) -> None:
    """A value takes an omission away, an omission a value; what is not named stays; the same again is nothing."""
    fields = {"temperature": 0.0, "omitted_parameters": ["top_p"], "custom_settings": {"team": "search"}}
    row = {"omitted_parameters": ["temperature", "stop"], "top_p": 0.5, "max_tokens": 9, "custom_settings": None}

    patch = patch_of(fields, row)

    wanted = {"temperature": 0.0, "top_p": None, "custom_settings": {"team": "search"}}
    assert patch == {**wanted, "omitted_parameters": [name for name in SENDABLE if name in {"top_p", "stop"}]}
    assert patch_of(fields, {**row, **patch}) == {}
    assert patch_of(fields, None) == {
        "temperature": 0.0,
        "custom_settings": {"team": "search"},
        "omitted_parameters": ["top_p"],
    }
    preset = settings_presets.create(session, admin, {"name": "x", "fields": fields})
    assert settings_presets.apply(session, admin, preset, SettingsScope()) is not None
    event = changes(session, "settings.create")
    assert settings_presets.apply(session, admin, preset, SettingsScope()) is not None
    assert event["preset"] == (None, "x")
    assert changes(session, "settings.create") == event


@pytest.mark.parametrize("model", ["gpt-4.1", "o3"])
def test_preview_is_what_applying_does(session: Session, admin: Actor, model: str) -> None:
    """Of each of the four, at a provider, an organisation, a feature and both: the preview changes nothing, applying does just it."""
    of = provider(session, model)
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    feature = id_of(features.create(session, admin, {"name": "short", "display_name": "S"}))
    for scope in (
        SettingsScope(),
        SettingsScope(of),
        SettingsScope(of, acme),
        SettingsScope(None, acme, feature),
        SettingsScope(of, None, feature),
    ):
        for preset in settings_presets.list_all(session, admin):
            before = settings.get_of(session, admin, scope)
            stored = {} if before is None else before.model_dump(include=set(PRESET_FIELDS))
            found = settings_presets.preview(session, admin, preset, scope)
            assert found.version == (0 if before is None else before.version)
            row = settings_presets.apply(session, admin, preset, scope, version=found.version or None)
            assert row is not None
            after = row.model_dump(include=set(PRESET_FIELDS))
            assert {each.field for each in found.changes} == {n for n in PARAMETERS if after[n] != stored.get(n)}
            for each in found.changes:
                assert each.after == settings_presets.said(after, each.field)
            assert settings_presets.preview(session, admin, preset, scope).changes == ()


def test_preview_says_what_the_model_does_not_take(session: Session, admin: Actor) -> None:
    """A model that always reasons takes no temperature: it is shown as not sent; one that does not reason takes no effort."""
    scope = SettingsScope(provider(session, "o3"))
    deterministic = settings_presets.get_by_name(session, admin, "deterministic")
    (temperature, *_) = settings_presets.preview(session, admin, deterministic, scope).changes
    assert temperature[:3] == PresetChange("temperature", "inherits", "0", "")[:3]
    assert "will be left out" in temperature.note

    providers.update(
        session, admin, scope.provider_id or 0, {"available_models": ["gpt-4.1"], "default_model": "gpt-4.1"}
    )
    cheap = settings_presets.get_by_name(session, admin, "cheap-and-short")
    notes = {each.field: each.note for each in settings_presets.preview(session, admin, cheap, scope).changes}
    assert notes["temperature"] == ""
    assert "will be left out" in notes["reasoning_effort"]
