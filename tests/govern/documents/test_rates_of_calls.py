"""Rate limits on calls as a section of the document: by names, whole, and without what counted against them."""

import json

import pytest
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Conflict, Invalid
from core.govern.documents import wording, writing
from core.manage import rate_limits
from core.store.table import id_of
from tests.govern.documents.test_presets_and_limits import put

LIMITS = """
version: 1
organizations:
  acme: {name: Acme}
features:
  classify: {display_name: Classify}
rate_limits:
  All: {requests_per_minute: 600}
  "Acme: 0.5": {organization: acme, feature: classify, model: gpt-6, tokens_per_minute: 90000, max_concurrent: 4, burst_seconds: 0.3, when_full: refuse, max_wait_ms: 0}
"""


def test_applied_and_come_to_rest(session: Session) -> None:
    """Made with what they name; the export is what is stored, and is applied to a store without them as well."""
    put(session, LIMITS)
    found = rate_limits.get_by_name(session, COMMAND_LINE, "Acme: 0.5")
    assert (found.scope, found.row.burst_seconds, found.row.max_wait_ms) == ("acme · classify · gpt-6", 0.3, 0)
    assert not put(session, LIMITS).changes
    exported = writing.write(session, COMMAND_LINE)
    assert not put(session, exported, prune=True).changes
    for each in rate_limits.list_all(session, COMMAND_LINE):
        rate_limits.delete(session, COMMAND_LINE, id_of(each.row))
    put(session, exported)
    assert writing.write(session, COMMAND_LINE) == exported
    assert "rate_limits" not in writing.data_of(session, COMMAND_LINE, "acme")


def test_changed_renamed_and_pruned(session: Session, admin: Actor) -> None:
    """A figure that is left out is none any more; another name takes the scope of one that is pruned; what somebody changed is in dispute."""
    put(session, LIMITS)
    before = rate_limits.get_by_name(session, COMMAND_LINE, "All").row.id
    changed = put(session, "version: 1\nrate_limits: {All: {max_concurrent: 7, is_active: false}}\n")
    assert wording.diff(changed).splitlines()[:4] == [
        "~ rate_limits.All",
        "    is_active: true -> false",
        "    max_concurrent: nothing -> 7",
        "    requests_per_minute: 600 -> nothing",
    ]
    row = rate_limits.get_by_name(session, COMMAND_LINE, "All").row
    assert (row.id, row.requests_per_minute, row.max_concurrent) == (before, None, 7)
    rate_limits.update(session, admin, id_of(row), {"max_concurrent": 8})
    with pytest.raises(Conflict) as conflict:
        put(session, "version: 1\nrate_limits: {All: {max_concurrent: 9}}\n")
    assert conflict.value.changes == {"rate_limits.All.max_concurrent": ("8", "9")}
    put(session, "version: 1\nrate_limits: {Everything: {max_concurrent: 8}}\n", prune=True, take=True)
    assert [each.row.name for each in rate_limits.list_all(session, COMMAND_LINE)] == ["Everything"]


REFUSED = [
    ({}, "a.requests_per_minute", "is needed, or one of the other two"),
    ({"requests_per_minute": 0}, "a.requests_per_minute", "a whole number from 1"),
    ({"max_concurrent": 1, "provider_id": 7}, "a.provider_id", "is not a field here"),
    ({"max_concurrent": 1, "provider": "nobody"}, "a.provider", "the provider nobody, which is neither"),
    ({"max_concurrent": 1, "organization": "nobody"}, "a.organization", "the organisation nobody"),
    ({"max_concurrent": 1, "feature": "nobody"}, "a.feature", "the feature nobody"),
    ({"max_concurrent": 1, "in_use": 7}, "a.in_use", "is not a field here"),
]


def test_refused_by_path(session: Session) -> None:
    """Before anything is written."""
    for part, path, rule in REFUSED:
        with pytest.raises(Invalid) as refused:
            put(session, json.dumps({"version": 1, "rate_limits": {"a": part}}))
        assert rule in refused.value.fields[f"rate_limits.{path}"], part
    assert rate_limits.list_all(session, COMMAND_LINE) == []
