"""Budgets as a section of the document: by names, to the last digit, and without what was spent."""

import json
from typing import Any

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict, Invalid
from core.govern.documents import schema, wording, writing
from core.manage import budgets, features, organizations
from core.store.table import id_of
from tests.govern.documents.test_presets_and_limits import put

BUDGETS = """
version: 1
organizations:
  acme: {name: Acme}
features:
  classify: {display_name: Classify}
budgets:
  All: {amount: 100.5, period: month}
  "Acme: 1.5": {organization: acme, feature: classify, amount: "0.0000000001", period: week, week_starts: 7, mode: soft, time_zone: Europe/Berlin}
"""


def test_applied_and_come_to_rest(session: Session) -> None:
    """Made with what they name, soft ones softly; the export is what is stored, and is applied to an empty store as well."""
    put(session, BUDGETS)

    row = budgets.get_by_name(session, COMMAND_LINE, "Acme: 1.5").row
    assert (budgets.words_of(session, row), row.week_starts, row.time_zone) == ("acme · classify", 7, "Europe/Berlin")
    assert (budgets.plain(row.amount), row.unpriced, row.when_away) == ("0.0000000001", "count", "open")
    assert not put(session, BUDGETS).changes
    budgets.top_up(session, COMMAND_LINE, id_of(row), "5", "a rush")
    exported = writing.write(session, COMMAND_LINE)
    assert '"100.5"' in exported or "'100.5'" in exported
    assert "topped" not in exported
    assert not put(session, exported, prune=True).changes
    budgets.delete(session, COMMAND_LINE, id_of(row))
    put(session, exported)
    assert writing.write(session, COMMAND_LINE) == exported


def test_changed_renamed_and_pruned(session: Session) -> None:
    """A changed amount keeps what was counted; another name in the same scope takes the place of one that is pruned."""
    put(session, BUDGETS)
    before = budgets.get_by_name(session, COMMAND_LINE, "All").row.id
    changed = put(session, "version: 1\nbudgets: {All: {amount: 7, period: month, mode: soft}}\n")
    assert wording.diff(changed).splitlines()[:2] == ["~ budgets.All", '    amount: "100.5" -> "7"']
    assert budgets.get_by_name(session, COMMAND_LINE, "All").row.id == before
    put(session, "version: 1\nbudgets: {Everything: {amount: 8, period: month}}\n", prune=True)
    assert [each.row.name for each in budgets.list_all(session, COMMAND_LINE)] == ["Everything"]
    put(session, "version: 1\nbudgets: {}\n", prune=True)
    assert budgets.list_all(session, COMMAND_LINE) == []


def test_in_dispute(session: Session, admin: Actor) -> None:
    """What somebody changed since the last apply is named with both values."""
    put(session, BUDGETS)
    row = budgets.get_by_name(session, admin, "All").row
    budgets.update(session, admin, id_of(row), {"amount": "9"})
    with pytest.raises(Conflict) as conflict:
        put(session, BUDGETS)
    assert conflict.value.changes == {"budgets.All.amount": ('"9"', '"100.5"')}


@pytest.mark.parametrize(
    ("budget", "path", "rule"),
    [
        ("{amount: 1}", "a.period", "is needed"),
        ("{amount: -1, period: day}", "a.amount", "US dollars from 0"),
        ("{amount: x, period: day}", "a.amount", "US dollars from 0"),
        ("{amount: 1, period: hour}", "a.period", "day, week"),
        ("{amount: 1, period: day, organization_id: 7}", "a.organization_id", "is not a field here"),
        ("{amount: 1, period: day, provider: nobody}", "a.provider", "neither in the document nor stored"),
        ("{amount: 1, period: day, organization: nobody}", "a.organization", "the organisation nobody"),
        ("{amount: 1, period: day, feature: nobody}", "a.feature", "the feature nobody"),
        ("{amount: 1, period: day, time_zone: Mars/Olympus}", "a.time_zone", "a time zone"),
        ("{amount: 1, period: day, spent: 7}", "a.spent", "is not a field here"),
    ],
)
def test_refused_by_path(session: Session, budget: str, path: str, rule: str) -> None:
    """Before anything is written."""
    with pytest.raises(Invalid) as refused:
        put(session, f"version: 1\nbudgets:\n  a: {budget}\n")
    assert [(name, rule in said) for name, said in refused.value.fields.items()] == [(f"budgets.{path}", True)]


def test_scope_stays(session: Session) -> None:
    """Another scope or period is refused at its place: what was spent is of the old one."""
    put(session, BUDGETS)
    changes: dict[str, Any] = {"period": "day", "feature": "classify"}
    for name, value in changes.items():
        text = json.dumps({"version": 1, "budgets": {"All": {"amount": 1, "period": "month"} | {name: value}}})
        with pytest.raises(Invalid) as refused:
            put(session, text, take=True)
        assert list(refused.value.fields) == [f"budgets.All.{name}"]


def test_an_organisations_document_has_none(session: Session) -> None:
    """Budgets are the installation's, whomever they are for."""
    put(session, BUDGETS)
    assert features.get_by_name(session, "classify")
    assert organizations.get_by_name(session, COMMAND_LINE, "acme")
    assert "budgets" not in writing.data_of(session, COMMAND_LINE, "acme")
    with pytest.raises(Invalid) as refused:
        put(session, "version: 1\nbudgets: {}\n", organization="acme")
    assert list(refused.value.fields) == ["budgets"]
    assert schema.read(BUDGETS).budgets
