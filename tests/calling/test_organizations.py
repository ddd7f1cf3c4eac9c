"""Calls for organisations and features: their settings, their keys, and rows of the log that say whose they were."""

from typing import Any

import psycopg
import pytest

from core import ai, logs, resolve
from core.calling import clients, log_writer
from core.crypto import KeyRing
from core.errors import ApiKeyUnavailable, Invalid, OrganizationMissing
from core.kinds import origin_of
from core.resolving.tenant import place_of_own_key
from core.testing import override
from tests.calls import WAYS, logged, settle
from tests.conftest import ENCRYPTION_KEY
from tests.vendors import KEY, TEXT, Vendor

pytest_plugins = ["tests.calls"]

OWN, NEXT = "sk-own-of-acme-0123456789", "sk-next-of-acme-012345678"
SOME = """
INSERT INTO organizations (id, slug, name) VALUES (7, 'acme', 'Acme'), (8, 'beta', 'Beta');
INSERT INTO organization_names (name, organization_id, kind) VALUES ('acme', 7, 'slug'), ('crm-7', 7, 'external'), ('beta', 8, 'slug');
INSERT INTO llm_features (id, name, display_name) VALUES (1, 'classify', 'Classify');
INSERT INTO llm_settings (organization_id, temperature, default_provider_id)
    SELECT 7, 0.9, id FROM llm_providers WHERE name = 'openai_compatible';
INSERT INTO feature_llm_overrides (feature_id, temperature) VALUES (1, 0);
"""


def _set_key(connection: psycopg.Connection[Any], key: str) -> None:
    """Give acme a key of its own for openai."""
    row = connection.execute("SELECT id, kind, api_base_url FROM llm_providers WHERE name = 'openai'").fetchone()
    assert row is not None
    place = place_of_own_key(3, 7, row[0], origin_of(row[1], row[2]))
    connection.execute(
        "INSERT INTO organization_providers (id, organization_id, provider_id, api_key_encrypted, api_key_key_id, api_key_binding)"
        " VALUES (3, 7, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET api_key_encrypted = EXCLUDED.api_key_encrypted,"
        " api_key_key_id = EXCLUDED.api_key_key_id, api_key_binding = EXCLUDED.api_key_binding",
        [row[0], *KeyRing(ENCRYPTION_KEY).seal(key, place)],
    )


def _key(vendor: Vendor) -> str:
    return vendor.calls()[-1].headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
def owner(store: str) -> Any:
    """A connection to the store, with two organisations and a feature; the first has a key of its own."""
    with psycopg.connect(store, autocommit=True) as connection:
        connection.execute(SOME)  # type: ignore[arg-type]  # statements of ours
        _set_key(connection, OWN)
        settle()
        yield connection


@pytest.mark.parametrize("way", WAYS)
def test_calls_are_of_whom_they_are_made_for(store: str, vendor: Vendor, owner: Any, way: str) -> None:
    """Key, parameters and the row in the log; with the feature its own temperature; the default provider is asked for."""
    assert owner
    vendor.keys.append(OWN)
    asked = [{"organization": "crm-7"}, {"organization": "beta", "feature": "classify"}, {"feature": "unheard-of"}]
    for how in asked:
        assert WAYS[way]("Hi", provider="openai", **how).text == TEXT
    sent = [(call.headers["authorization"], call.body["temperature"]) for call in vendor.calls()]
    assert sent == [(f"Bearer {OWN}", 0.9), (f"Bearer {KEY}", 0), (f"Bearer {KEY}", 0.7)]
    assert WAYS[way]("Hi", organization="acme", feature="classify").provider == "openai_compatible"
    assert WAYS[way]("Hi").provider == "openai"

    rows = [(row["organization_id"], row["feature"], row["provider"]) for row in logged(store)]
    assert rows == [
        (7, None, "openai"),
        (8, "classify", "openai"),
        (None, "unheard-of", "openai"),
        (7, "classify", "openai_compatible"),
        (None, None, "openai"),
    ]


def test_client_of_a_key_goes_with_it(vendor: Vendor, owner: Any) -> None:
    """A change of an organisation's key drops the client of the old one alone; the installation's, which others use, stays."""
    vendor.keys += [OWN, NEXT]
    ai.complete("Hi", provider="openai", organization="acme")
    ai.complete("Hi", provider="openai", organization="beta")
    before = {wanted.key: client for wanted, client in clients.clients.shared.items()}
    assert {OWN, KEY} <= set(before)

    _set_key(owner, NEXT)
    settle()
    ai.complete("Hi", provider="openai", organization="acme")
    assert _key(vendor) == NEXT
    after = {wanted.key: client for wanted, client in clients.clients.shared.items()}
    assert OWN not in after
    assert after[KEY] is before[KEY]


def test_organisation_that_is_not_there_calls_nobody(vendor: Vendor, owner: Any) -> None:
    """Unknown, disabled, not allowed: an error of its own, and nothing is sent; a provider that is allowed may stand in."""
    with pytest.raises(OrganizationMissing, match="unknown_organization"):
        ai.complete("Hi", provider="openai", organization="acmee")
    owner.execute("UPDATE organization_providers SET is_allowed = false")
    settle()
    with pytest.raises(ApiKeyUnavailable, match="not_allowed"):
        ai.complete("Hi", provider="openai", organization="acme")
    assert vendor.calls() == []
    assert (
        ai.complete("Hi", provider="openai", organization="acme", fallback=["openai_compatible"]).provider
        == "openai_compatible"
    )


def test_log_of_an_older_role_goes_without(store: str, vendor: Vendor, owner: Any) -> None:
    """A table, or a role, that has no room for organisation and feature gets the rest of the row."""
    assert vendor
    owner.execute("ALTER TABLE llm_logs DROP COLUMN feature")
    settings = resolve.resolve("openai", "acme", "classify")
    logs.record(settings, latency_ms=5, prompt="Hi")
    (row,) = logged(store)

    assert (row["organization_id"], row["prompt"]) == (7, "Hi")
    assert "feature" not in row
    assert log_writer.dropped() == 0


def test_preparing_for_an_organisation(vendor: Vendor, owner: Any) -> None:
    """Its client is there before the first call; what is no name is refused by the settings, not by an exception of Python's."""
    assert owner
    ai.prepare("openai", "acme")
    assert any(wanted.key == OWN for wanted in clients.clients.shared)
    with pytest.raises(ApiKeyUnavailable):
        ai.prepare("openai", ["acme"])  # type: ignore[arg-type]  # that is the point
    with pytest.raises(Invalid):
        ai.complete("", organization="acme")
    assert vendor.calls() == []


def test_override_answers_for_all_of_them() -> None:
    """In a unit test one override answers calls of any organisation and feature, unless it names one."""
    with override("openai", answer="all"), override("openai", organization="acme", answer="acme's"):
        assert ai.complete("Hi", provider="openai", organization="beta", feature="x").text == "all"
        assert ai.complete("Hi", organization="acme").text == "acme's"
        assert ai.complete("Hi").text == "all"
