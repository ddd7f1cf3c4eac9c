"""Presets as a section of the document, and what limits refuse of a document and of an import of variables."""

import json
from typing import Any

import pytest
from sqlmodel import Session, select

from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict, Invalid
from core.govern.documents import applying, planning, schema, wording, writing
from core.govern.importers.products import PRODUCTS
from core.manage import env_import, limits, settings, settings_presets
from core.store.table import id_of
from core.store.tables import LlmSettings

PRESETS = """
version: 1
presets:
  short: {description: Answers of a line, settings: {max_tokens: 100, top_p: {omit: true}}}
  "no": {settings: {custom_settings: {tone: dry}}}
"""


def put(session: Session, text: str, actor: Actor = COMMAND_LINE, **how: Any) -> planning.ChangePlan:
    """Apply."""
    return applying.put(session, actor, schema.read(text), **how)


def test_presets_are_applied_pruned_and_come_to_rest(session: Session) -> None:
    """Made, whole where they are named, shown field by field, removed with prune alone; the export is what is stored."""
    made = put(session, PRESETS)
    assert wording.diff(made).splitlines()[:3] == [
        "+ presets.no",
        '    settings.custom_settings: {"tone": "dry"}',
        "+ presets.short",
    ]
    row = settings_presets.get_by_name(session, COMMAND_LINE, "short")
    assert (row.fields, row.description) == ({"max_tokens": 100, "omitted_parameters": ["top_p"]}, "Answers of a line")
    assert not put(session, PRESETS).changes
    exported = writing.write(session, COMMAND_LINE)
    assert "top_p: {omit: true}" in exported
    assert "deterministic" in exported  # of the migration
    assert not put(session, exported, prune=True).changes

    changed = "version: 1\npresets: {short: {settings: {max_tokens: 200}}}\n"
    dry = put(session, changed, prune=True, dry_run=True)
    assert wording.diff(dry).splitlines()[:4] == [
        "~ presets.short",
        '    description: "Answers of a line" -> nothing',
        "    settings.max_tokens: 100 -> 200",
        '    settings.top_p: {"omit": true} -> nothing',
    ]
    assert {change.path for change in dry.changes if change.what == "delete"} >= {"presets.no", "presets.creative"}
    assert writing.write(session, COMMAND_LINE) == exported
    put(session, changed, prune=True)
    assert [(each.name, each.fields) for each in settings_presets.list_all(session, COMMAND_LINE)] == [
        ("short", {"max_tokens": 200})
    ]
    put(session, "version: 1\npresets: {}\n", prune=True)
    assert settings_presets.list_all(session, COMMAND_LINE) == []


def test_a_preset_that_somebody_changed_is_in_dispute(session: Session, admin: Actor) -> None:
    """Since the last apply: each field that differs is named with who, and changed back with take."""
    put(session, PRESETS)
    row = settings_presets.get_by_name(session, admin, "short")
    settings_presets.update(session, admin, id_of(row), {"fields": {"max_tokens": 50, "omitted_parameters": ["top_p"]}})
    assert "! changed by ada at " in wording.diff(put(session, PRESETS, dry_run=True))
    with pytest.raises(Conflict) as conflict:
        put(session, PRESETS)
    assert conflict.value.changes == {"presets.short.settings.max_tokens": ("50", "100")}
    put(session, PRESETS, take=True)
    session.expire_all()
    assert settings_presets.get(session, admin, id_of(row)).fields["max_tokens"] == 100


@pytest.mark.parametrize(
    ("preset", "path", "rule"),
    [
        ("a: {}", "a.settings", "is needed"),
        ("a: {settings: {}}", "a.settings", "must say something of a parameter"),
        ("a: {settings: {temperature: 9}}", "a.settings.temperature", "must be a number from 0 to 2"),
        ("a: {settings: {preferred_model: m}}", "a.settings.preferred_model", "is not a field here"),
        ("a: {settings: {default_provider: p}}", "a.settings.default_provider", "is not a field here"),
        ("a: {settings: {top_p: {omit: true, value: 1}}}", "a.settings.top_p", "cannot have a value and be omitted"),
        ("A b: {settings: {top_p: 1}}", "A b.name", "must be 1 to 100 of the characters"),
        ("a: {name: b, settings: {top_p: 1}}", "a.name", "the key is the name"),
    ],
)
def test_what_no_preset_can_be_is_refused_by_path(preset: str, path: str, rule: str) -> None:
    """With the line, before anything is written."""
    with pytest.raises(Invalid) as refused:
        schema.read(f"version: 1\npresets:\n  {preset}\n")
    (found,) = refused.value.fields.items()
    assert found[0] == f"presets.{path}"
    assert rule in found[1]
    assert "(line 3)" in found[1] or path == "a.name"


KEY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
FORM = """
version: 1
defaults: {temperature: TEMPERATURE, max_retries: 1}
providers:
  openai:
    display_name: OpenAI
    kind: openai
    available_models: [gpt-6]
    settings: {max_tokens: 5000, log_level: full}
"""


def test_a_document_that_a_limit_forbids_is_refused_by_field_rule_and_who(session: Session, admin: Actor) -> None:
    """Each field at its path, with the rule, whose it is and why; all of it or nothing. What is stored and named again is let be."""
    put(session, FORM.replace("TEMPERATURE", "0.9"))
    rules = {"temperature": {"max": 1}, "log_level": {"in": ["minimal"]}, "max_retries": {"lock": True}}
    limits.save(session, admin, {"limits": rules, "note": "contract"}, version=0)
    before = writing.write(session, COMMAND_LINE)

    assert not put(session, FORM.replace("TEMPERATURE", "0.9")).changes  # log_level: full stays stored
    for dry_run in (True, False):
        with pytest.raises(Invalid) as refused:
            put(session, FORM.replace("TEMPERATURE", "1.5"), take=True, dry_run=dry_run)
        assert list(refused.value.fields) == ["defaults.temperature"]
        assert "at most 1 here: limit of ada, " in refused.value.fields["defaults.temperature"]
        assert "contract" in refused.value.fields["defaults.temperature"]
    with pytest.raises(Invalid) as refused:
        put(session, FORM.replace("TEMPERATURE", "0.9").replace("log_level: full", "log_level: errors_only"))
    assert list(refused.value.fields) == ["providers.openai.settings.log_level"]
    assert writing.write(session, COMMAND_LINE) == before
    freed = "limits: [{limits: {temperature: {max: 2}}}]\n"
    put(session, FORM.replace("TEMPERATURE", "1.5") + freed, take=True)  # the limit itself is loosened first
    row = settings.get_global(session, None)
    assert row is not None
    assert row.temperature == 1.5


def test_limits_and_what_they_forbid_apply_to_an_empty_store(session: Session) -> None:
    """A value that a limit put out of force stays stored: the export of such a store is taken by another one."""
    text = FORM.replace("TEMPERATURE", "1.5") + "limits: [{limits: {temperature: {max: 1}}}]\n"
    assert len(put(session, text).changes) == 4
    assert not put(session, text).changes
    assert settings.effective(session, "openai").temperature == 1


def test_an_import_is_refused_for_what_a_limit_forbids(session: Session, admin: Actor) -> None:
    """What another product's file says of parameters is refused by its path, with the rule and who; variables say nothing of any."""
    rules = {"temperature": {"max": 0.5}, "max_retries": {"lock": True}, "default_provider": {"lock": True}}
    limits.save(session, admin, {"limits": rules, "note": "contract"}, version=0)
    params = {"model": "openai/gpt-6", "api_key": "os.environ/K", "temperature": 0.9, "num_retries": 3}
    file = json.dumps({"model_list": [{"model_name": "gpt-6", "litellm_params": params}]})
    document = schema.of(PRODUCTS["litellm"].read(file, None).document)
    trying = session.begin_nested()
    with pytest.raises(Invalid) as refused:
        applying.put(session, COMMAND_LINE, document, secrets={"providers.openai.api_key": KEY})
    trying.rollback()
    assert set(refused.value.fields) == {f"providers.openai.settings.{name}" for name in ("temperature", "max_retries")}
    for rule in refused.value.fields.values():
        assert "limit of ada, " in rule
        assert "contract" in rule

    found = env_import.import_env(session, COMMAND_LINE, {"OPENAI_API_KEY": KEY})
    assert [each.action for each in found if each.name == "OPENAI_API_KEY"] == ["created"]
    assert session.exec(select(LlmSettings)).all() == []
