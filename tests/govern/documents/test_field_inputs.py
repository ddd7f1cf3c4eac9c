"""What users of other products ran into with files that are applied, tried on ours; the addresses are where they tell of it."""

from typing import Any

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.errors import Invalid
from core.govern.documents import applying, planning, schema, wording, writing
from core.manage import providers, settings
from core.store.table import id_of
from core.store.tables import LlmProvider

START = """
version: 1
defaults: {custom_settings: {tags: [], none: {}, text: ""}}
providers:
  openai:
    display_name: OpenAI
    kind: openai
    available_models: [gpt-6]
    api_key: {env: KEY}
    settings: {custom_settings: {}}
features: {classify: {display_name: Classify}}
organizations: {acme: {name: Acme, external_names: [], providers: {openai: {allowed_models: [], own_models: []}}}}
"""
KEY = "sk-Pa$$w0rd-$HOME-${HOME}-%(x)s-0123456789"


def put(session: Session, text: str, key: str = KEY, **how: Any) -> planning.ChangePlan:
    """Apply as the command line does."""
    return applying.put(session, COMMAND_LINE, schema.read(text), secrets={"providers.openai.api_key": key}, **how)


@pytest.fixture
def applied(session: Session) -> Session:
    """A store that the document was applied to."""
    put(session, START)
    return session


def test_empty_lists_come_to_rest(applied: Session) -> None:
    """github.com/Kong/deck/issues/2175, pull/985: a field that is [] differed for ever."""
    assert not put(applied, START).changes
    exported = writing.write(applied, COMMAND_LINE)
    assert "allowed_models: []" in exported  # which is none, and not the same as all
    assert not put(applied, exported, prune=True).changes


def test_a_key_that_cannot_be_read_back_is_no_difference(applied: Session) -> None:
    """github.com/ncecere/terraform-provider-litellm/issues/28, winebarrel/terraform-provider-redash/issues/177: masks differ from keys."""
    assert wording.diff(put(applied, START, dry_run=True)) == "Nothing to change."
    other = put(applied, START, key=f"{KEY}-other", dry_run=True)
    assert "api_key: a key #" in wording.diff(other)
    assert KEY not in wording.diff(other)


def test_what_was_changed_elsewhere_is_seen(applied: Session) -> None:
    """github.com/BerriAI/terraform-provider-litellm/issues/50: the plan stayed green."""
    row = applied.get(LlmProvider, id_of(providers.get_by_name(applied, "openai")))
    assert row is not None
    providers.update(applied, COMMAND_LINE, id_of(row), {"available_models": ["gpt-6", "gpt-7"]})
    settings.upsert_global(applied, COMMAND_LINE, None, {"temperature": 1.0})
    found = put(applied, START, dry_run=True)
    assert {(change.path, *change.differing) for change in found.changes} == {
        ("defaults", "temperature"),
        ("providers.openai", "available_models"),
    }


def test_ones_own_export_deletes_nothing(applied: Session) -> None:
    """github.com/auth0/auth0-deploy-cli/issues/201: an export, imported with deletions allowed, deleted the users' database."""
    exported = writing.write(applied, COMMAND_LINE)
    assert not put(applied, exported, prune=True).changes
    assert writing.write(applied, COMMAND_LINE) == exported


def test_an_empty_section_is_empty_and_one_that_is_missing_is_left_alone(applied: Session) -> None:
    """github.com/auth0/auth0-deploy-cli/issues/1376, 123: an empty folder deleted nothing, an empty configuration everything."""
    assert not put(applied, "version: 1\n", prune=True).changes
    with pytest.raises(Invalid, match="features: has no value: leave it out"):
        put(applied, "version: 1\nfeatures:\n", prune=True)
    found = put(applied, "version: 1\nfeatures: {}\n", prune=True)
    assert [(change.what, change.path) for change in found.changes] == [("delete", "features.classify")]


def test_a_key_is_no_template(applied: Session) -> None:
    """github.com/grafana/grafana/issues/109716: `$$` in a password became `$`; 32061: a variable's text became a truth value."""
    row = providers.get_by_name(applied, "openai")
    assert providers.open_api_key(applied, id_of(row)) == KEY


def test_what_differs_is_shown(applied: Session) -> None:
    """github.com/Kong/deck/issues/1638, 1708: a change without what changes, or the whole object for one field of it."""
    found = put(applied, START.replace("Classify}", "Sort}").replace("[gpt-6]", "[gpt-6, gpt-7]"), dry_run=True)
    assert wording.diff(found).splitlines() == [
        "~ providers.openai",
        '    available_models: + "gpt-7"',
        "~ features.classify",
        '    display_name: "Classify" -> "Sort"',
        "2 to change.",
    ]
