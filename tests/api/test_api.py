"""The REST API: who may do what, what is refused and how, and what is answered."""

import json
import re
import time
from collections.abc import Iterator
from datetime import date
from typing import Any, NoReturn
from urllib.parse import urljoin

import pytest
from httpx2 import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for
from sqlalchemy import text
from starlette.requests import Request
from starlette.testclient import TestClient

from api import effective, organization_schemas, request_schemas, wire, wire_providers
from api.app import make
from api.body import read_json
from api.errors import STATUSES, Refused
from core import errors
from core.access import ratelimit
from core.actors import Actor
from core.errors import CoreError, KeyUnreadable
from core.govern import bills, closing
from core.manage import (
    budgets,
    model_facts,
    next_keys,
    organization_deletion,
    personal_data,
    provider_secrets,
    providers,
    rate_limits,
    settings_presets,
)
from core.manage import settings as rows
from core.resolve import Resolver
from core.resolving.merge import ProviderFacts, build
from core.store import db
from core.store.tables import User
from core.store.values import MAX_MODELS_TEXT
from tests.conftest import run_async, statements
from tests.rest import HOST, KEY, NEW, as_written, cookie, data, error, hook, serving, tenant, token, token_of
from tests.routes import BODIES, NAMED
from tests.shares import share
from web.answers import security_headers

TOKEN_SECONDS = effective.TOKEN_SECONDS
ANYBODY, SIGNED_IN, ADMIN, METRICS = "anybody", "signed in", "admin", "metrics"
ROUTES = {
    ("GET", "/llm/providers"): ADMIN,
    ("POST", "/llm/providers"): ADMIN,
    ("GET", "/llm/providers/{id}"): ADMIN,
    ("PUT", "/llm/providers/{id}"): ADMIN,
    ("DELETE", "/llm/providers/{id}"): ADMIN,
    ("POST", "/llm/providers/{id}/api-key"): ADMIN,
    ("POST", "/llm/providers/{id}/test"): ADMIN,
    ("GET", "/llm/providers/{id}/headers"): ADMIN,
    ("POST", "/llm/providers/{id}/headers"): ADMIN,
    ("DELETE", "/llm/providers/{id}/headers"): ADMIN,
    ("GET", "/llm/providers/{id}/query"): ADMIN,
    ("POST", "/llm/providers/{id}/query"): ADMIN,
    ("DELETE", "/llm/providers/{id}/query"): ADMIN,
    ("GET", "/llm/providers/{id}/next-key"): ADMIN,
    ("POST", "/llm/providers/{id}/next-key"): ADMIN,
    ("DELETE", "/llm/providers/{id}/next-key"): ADMIN,
    ("POST", "/llm/providers/{id}/next-key/promote"): ADMIN,
    ("POST", "/llm/providers/{id}/next-key/test"): ADMIN,
    ("GET", "/llm/history"): SIGNED_IN,
    ("GET", "/llm/history/difference"): SIGNED_IN,
    ("POST", "/llm/history/restore"): ADMIN,
    ("GET", "/llm/models"): SIGNED_IN,
    ("GET", "/llm/models/{api}"): SIGNED_IN,
    ("GET", "/llm/models/{api}/{model}"): SIGNED_IN,
    ("GET", "/llm/model-facts"): SIGNED_IN,
    ("GET", "/llm/model-facts/{id}"): SIGNED_IN,
    ("POST", "/llm/model-facts"): ADMIN,
    ("DELETE", "/llm/model-facts/{id}"): ADMIN,
    ("GET", "/llm/settings"): SIGNED_IN,
    ("GET", "/llm/settings/global"): ADMIN,
    ("POST", "/llm/settings/global"): ADMIN,
    ("PUT", "/llm/settings/{id}"): ADMIN,
    ("DELETE", "/llm/settings/{id}"): ADMIN,
    ("GET", "/llm/settings/organization/{orgId}"): ADMIN,
    ("POST", "/llm/settings/organization/{orgId}"): ADMIN,
    ("GET", "/llm/settings/feature/{featureId}"): ADMIN,
    ("POST", "/llm/settings/feature/{featureId}"): ADMIN,
    ("PUT", "/llm/overrides/{id}"): ADMIN,
    ("DELETE", "/llm/overrides/{id}"): ADMIN,
    ("GET", "/llm/organizations"): SIGNED_IN,
    ("POST", "/llm/organizations"): ADMIN,
    ("GET", "/llm/organizations/{id}"): SIGNED_IN,
    ("PUT", "/llm/organizations/{id}"): ADMIN,
    ("DELETE", "/llm/organizations/{id}"): ADMIN,
    ("POST", "/llm/organizations/{id}/restore"): ADMIN,
    ("GET", "/llm/organizations/{id}/names"): SIGNED_IN,
    ("PUT", "/llm/organizations/{id}/names"): ADMIN,
    ("GET", "/llm/organizations/{id}/members"): SIGNED_IN,
    ("POST", "/llm/organizations/{id}/members"): ADMIN,
    ("DELETE", "/llm/organizations/{id}/members/{userId}"): ADMIN,
    ("GET", "/llm/organizations/{id}/providers"): ADMIN,
    ("GET", "/llm/organizations/{id}/providers/{providerId}"): ADMIN,
    ("PUT", "/llm/organizations/{id}/providers/{providerId}"): ADMIN,
    ("POST", "/llm/organizations/{id}/providers/{providerId}/api-key"): ADMIN,
    ("DELETE", "/llm/organizations/{id}/providers/{providerId}/api-key"): ADMIN,
    ("GET", "/llm/features"): SIGNED_IN,
    ("POST", "/llm/features"): ADMIN,
    ("GET", "/llm/features/{id}"): SIGNED_IN,
    ("PUT", "/llm/features/{id}"): ADMIN,
    ("DELETE", "/llm/features/{id}"): ADMIN,
    ("GET", "/llm/budgets"): SIGNED_IN,
    ("POST", "/llm/budgets"): ADMIN,
    ("GET", "/llm/budgets/{id}"): SIGNED_IN,
    ("PUT", "/llm/budgets/{id}"): ADMIN,
    ("DELETE", "/llm/budgets/{id}"): ADMIN,
    ("GET", "/llm/budgets/{id}/periods"): SIGNED_IN,
    ("POST", "/llm/budgets/{id}/top-ups"): ADMIN,
    ("GET", "/llm/pii-settings"): ADMIN,
    ("POST", "/llm/pii-settings"): ADMIN,
    ("GET", "/llm/pii-settings/{id}"): ADMIN,
    ("PUT", "/llm/pii-settings/{id}"): ADMIN,
    ("DELETE", "/llm/pii-settings/{id}"): ADMIN,
    ("GET", "/llm/rate-limits"): ADMIN,
    ("POST", "/llm/rate-limits"): ADMIN,
    ("GET", "/llm/rate-limits/{id}"): ADMIN,
    ("PUT", "/llm/rate-limits/{id}"): ADMIN,
    ("DELETE", "/llm/rate-limits/{id}"): ADMIN,
    ("POST", "/llm/budgets/{id}/corrections"): ADMIN,
    ("GET", "/llm/alerts"): SIGNED_IN,
    ("GET", "/llm/alerts/{id}"): SIGNED_IN,
    ("POST", "/llm/alerts/{id}/acknowledge"): ADMIN,
    ("POST", "/llm/alerts/{id}/resolve"): ADMIN,
    ("GET", "/llm/presets"): ADMIN,
    ("POST", "/llm/presets"): ADMIN,
    ("GET", "/llm/presets/{id}"): ADMIN,
    ("PUT", "/llm/presets/{id}"): ADMIN,
    ("DELETE", "/llm/presets/{id}"): ADMIN,
    ("POST", "/llm/presets/{id}/apply"): ADMIN,
    ("GET", "/llm/document"): ADMIN,
    ("PUT", "/llm/document"): ADMIN,
    ("POST", "/llm/logs/erasures"): ADMIN,
    ("POST", "/llm/organizations/{id}/erasures"): ADMIN,
    ("GET", "/llm/spend"): SIGNED_IN,
    ("GET", "/llm/spend/charges"): SIGNED_IN,
    ("GET", "/llm/spend/closings"): SIGNED_IN,
    ("POST", "/llm/spend/closings"): ADMIN,
    ("DELETE", "/llm/spend/closings"): ADMIN,
    ("GET", "/llm/spend/bills"): SIGNED_IN,
    ("PUT", "/llm/spend/bills"): ADMIN,
    ("DELETE", "/llm/spend/bills"): ADMIN,
    ("GET", "/llm/limits"): SIGNED_IN,
    ("POST", "/llm/limits"): ADMIN,
    ("POST", "/llm/limits/preview"): ADMIN,
    ("GET", "/llm/limits/{id}"): SIGNED_IN,
    ("PUT", "/llm/limits/{id}"): ADMIN,
    ("DELETE", "/llm/limits/{id}"): ADMIN,
    ("POST", "/llm/limits/{id}/clear"): ADMIN,
    ("GET", "/llm/webhooks"): ADMIN,
    ("POST", "/llm/webhooks"): ADMIN,
    ("GET", "/llm/webhooks/{id}"): ADMIN,
    ("PUT", "/llm/webhooks/{id}"): ADMIN,
    ("DELETE", "/llm/webhooks/{id}"): ADMIN,
    ("POST", "/llm/webhooks/{id}/secret"): ADMIN,
    ("POST", "/llm/webhooks/{id}/test"): ADMIN,
    ("GET", "/llm/webhooks/{id}/deliveries"): ADMIN,
    ("POST", "/llm/webhooks/{id}/deliveries/{deliveryId}/resend"): ADMIN,
    ("GET", "/llm/installation"): ADMIN,
    ("PUT", "/llm/installation"): ADMIN,
    ("GET", "/health/live"): ANYBODY,
    ("GET", "/health/ready"): ANYBODY,
    ("GET", "/metrics"): METRICS,
    ("GET", "/openapi.json"): ADMIN,
    ("GET", "/docs"): ADMIN,
    ("GET", "/docs/{file}"): ADMIN,
}
"""(method, path) -> who may. A route that is not here fails a test."""

IN_PATHS = {"file": "start.js", "api": "openai", "model": "gpt-4o"} | dict.fromkeys(
    ("orgId", "featureId", "providerId", "userId", "deliveryId"), "1"
)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API; nobody is signed in."""
    with serving(monkeypatch) as client:
        yield client


@pytest.fixture
def root(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The API, with an admin's token, and without limits."""
    monkeypatch.setenv("LLM_RATE_LIMIT_GENERAL", "100000 per minute")
    monkeypatch.setenv("LLM_RATE_LIMIT_SENSITIVE", "100000 per minute")
    db_config_again()
    client.headers.update(token("admin"))
    return client


def db_config_again() -> None:
    """Have this process read its environment anew."""
    from core import config  # noqa: PLC0415 - the name is a local's elsewhere

    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()


@pytest.fixture
def acme(root: TestClient) -> dict[str, Any]:
    """A provider, as the API answers it."""
    made: dict[str, Any] = data(root.post("/api/llm/providers", json=NEW), 201)
    return made


def test_every_route_is_in_the_table() -> None:
    """CHECKS 24: whoever adds a route says who may use it."""
    found = {(method, route.path_format) for route in make().routes for method in route.methods}  # type: ignore[attr-defined]

    assert found == set(ROUTES)


@pytest.mark.long
def test_who_may(client: TestClient, analyst: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 24, 30: every route x {anonymous, a made-up token, metrics, analyst by token and by cookie, admin}."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    db_config_again()
    with db.transaction() as session:
        admin = Actor("seed")
        nobody = {"kind": "openai_compatible", "api_base_url": "http://127.0.0.1:9/v1"}  # the test of it dials there
        made = providers.create(
            session, admin, {"name": "acme", "display_name": "A", "available_models": ["m1"], **nobody}
        )
        row = rows.upsert_global(session, admin, made.id, {"temperature": 1.0})
        said = model_facts.set_facts(session, admin, "o3", {"context": 4}, why="tried")
        providers.set_api_key(session, admin, made.id or 0, KEY)
        next_keys.add(session, admin, made.id or 0, f"{KEY}-2")
        for use in ("header", "query"):
            provider_secrets.set_value(session, admin, made.id or 0, use, "X", value="x", sealed=True)
        preset = settings_presets.get_by_name(session, admin, "creative").id
        budget = budgets.create(session, admin, {"name": "b", "amount": 1, "period": "month"}).row.id
        bills.set_bill(session, admin, {"provider": "acme", "month": "2026-10", "amount": 1})
        closing.close(session, admin, date(2026, 10, 1))
        personal = personal_data.create(session, admin, {"logs": "off", "provider_id": made.id}).row.id
        rate = rate_limits.create(session, admin, {"name": "r", "model": "m", "max_concurrent": 9}).row.id
        budgets.correct(session, admin, budget or 0, "0.5", "the bill")
        alert = session.scalar(text("SELECT id FROM llm_alerts"))
        acme = tenant(session, "acme", made.id or 0)
        session.add(User(username="mel", role="member", password_hash="*"))
        webhook, message = hook(session)
    of = {"organizations": acme.organization, "features": acme.feature, "overrides": acme.override, "presets": preset}
    of |= {"limits": acme.limits, "budgets": budget, "rate-limits": rate, "alerts": alert, "webhooks": webhook}
    of |= {"pii-settings": personal}
    in_path = {"orgId": acme.organization, "featureId": acme.feature, "userId": acme.member, "providerId": made.id}
    in_path |= {"deliveryId": message, "api": "openai", "model": "gpt-4o", "file": "swagger-ui.css"}
    identities = {
        "anonymous": {},
        "nonsense": {"Authorization": "Bearer llms_" + "x" * 43},
        "metrics": token("metrics"),
        "analyst": token("analyst"),
        "cookie": {**cookie(analyst), "Origin": HOST},
        "admin": token("admin"),  # last: what an admin writes is written
    }
    connection: Any = db.get_engine()
    odd = []
    for (method, path), who in ROUTES.items():
        number = next((number for name, number in of.items() if path.startswith(f"/llm/{name}/")), made.id)
        number = said.id if "model-facts" in path else row.id if "settings" in path else number
        url = f"/api{path.format(**{'id': number, **in_path})}"
        undone = connection.begin_nested()  # each route has all that was made
        ratelimit.get_limiter.cache_clear()
        if path.endswith("/restore") and "organizations" in path:
            with db.transaction() as session:
                organization_deletion.delete(session, admin, acme.organization)
        for identity, headers in identities.items():
            answer = client.request(
                method, url, headers=headers, json=BODIES.get((method, path)), params=_in_query(method, path)
            )
            if not _is_due(answer, identity, who):
                odd.append((method, path, identity, answer.status_code, answer.text[:300]))
        undone.rollback()

    assert odd == []


def _in_query(method: str, path: str) -> Any:
    """Return what a route's address has after the path."""
    asked = method == "DELETE" or (method, path) == ("PUT", "/llm/document") or "{api}" in path or "history" in path
    return NAMED.get(path) if asked else None


def _is_due(answer: Response, identity: str, who: str) -> bool:
    """Tell whether *identity* has the answer that is due to it where *who* may ask."""
    allowed = {
        ANYBODY: {"anonymous", "nonsense", "metrics", "analyst", "cookie", "admin"},
        SIGNED_IN: {"analyst", "cookie", "admin"},
        METRICS: {"metrics", "admin"},
        ADMIN: {"admin"},
    }[who]
    if identity in allowed:
        return answer.status_code in {200, 201}
    status, code = (401, "UNAUTHENTICATED") if identity in {"anonymous", "nonsense"} else (403, "FORBIDDEN")
    if answer.status_code != status:
        return False
    error(answer, status, code)
    return status == 403 or answer.headers["WWW-Authenticate"].startswith("Bearer")


def _all_errors(kind: type[CoreError]) -> set[type[CoreError]]:
    return {kind, *(found for below in kind.__subclasses__() for found in _all_errors(below))}


def test_every_error_has_a_status() -> None:
    """One table from errors to statuses: an error of core that is not in it fails here."""
    known = {kind for kind in _all_errors(CoreError) if kind.__module__ == errors.__name__}

    assert known == set(STATUSES)
    assert all(STATUSES[kind] >= 400 for kind in known)


def test_providers_from_first_to_last(root: TestClient) -> None:
    """A provider is added, read, changed, given a key, and deleted; the key never comes back."""
    added = root.post("/api/llm/providers", json={**NEW, "apiKey": KEY})
    made = data(added, 201)
    url = f"/api/llm/providers/{made['id']}"

    assert urljoin("/api/llm/providers", added.headers["Location"]) == url
    assert made["apiKeyMasked"] == "sk-proj...****"
    assert data(root.get(url)) == made
    assert data(root.get("/api/llm/providers")) == [made]
    assert data(root.get("/api/llm/providers?active=false")) == []
    assert data(root.get("/api/llm/providers?search=M2")) == [made]
    changed = data(root.put(url, json={"description": "x", "version": made["version"]}))
    assert changed["description"] == "x"
    assert changed["defaultModel"] == "m1"
    keyed = root.post(f"{url}/api-key", json={"apiKey": "other-" + KEY})
    assert data(keyed)["apiKeyMasked"] == "other-s...****"
    gone = data(root.delete(url))
    assert gone["id"] == made["id"]
    assert any("API key" in word for word in gone["deleted"])
    error(root.get(url), 404, "NOT_FOUND")
    assert KEY not in added.text + keyed.text + root.get("/api/llm/providers").text
    assert "ncrypted" not in added.text


def test_settings_from_first_to_last(root: TestClient, acme: dict[str, Any]) -> None:
    """A row is made by the upsert, changed by it and by PUT, listed, and deleted."""
    made = data(root.post("/api/llm/settings/global", json={"providerId": acme["id"], "topP": 0.0}), 201)
    again = data(root.post("/api/llm/settings/global", json={"providerId": acme["id"], "maxTokens": 7}))
    common = data(root.post("/api/llm/settings/global", json={"providerId": None, "temperature": 1.5}), 201)
    url = f"/api/llm/settings/{made['id']}"

    assert again["id"] == made["id"]
    assert (again["topP"], again["maxTokens"], again["organizationId"]) == (0.0, 7, None)
    assert common["providerId"] is None
    put = data(root.put(url, json={"topP": None}, headers={"If-Match": f'"{again["version"]}"'}))
    assert put["topP"] is None
    assert data(root.get("/api/llm/settings/global")) == [common, put]
    assert data(root.get(f"/api/llm/settings/global?providerId={acme['id']}")) == [put]
    error(root.get("/api/llm/settings/global?providerId=999999"), 404, "NOT_FOUND")
    data(root.delete(url))
    assert data(root.get(f"/api/llm/settings/global?providerId={acme['id']}")) == []


def test_effective_settings(root: TestClient, client: TestClient, acme: dict[str, Any]) -> None:
    """GET /api/llm/settings: for one, for all active ones, explained; an analyst sees neither mask nor base URL."""
    data(
        root.post(
            "/api/llm/settings/global",
            json={"providerId": None, "temperature": 1.5, "customSettings": {"snake_key": 1}},
        ),
        201,
    )
    data(
        root.post("/api/llm/settings/global", json={"providerId": acme["id"], "temperature": 0, "logLevel": "minimal"}),
        201,
    )
    data(root.post("/api/llm/providers", json={**NEW, "name": "off", "isActive": False}), 201)

    one = data(root.get("/api/llm/settings?provider=acme"))
    seen = data(client.get("/api/llm/settings?provider=acme", headers=token("analyst")))
    explained = {
        item["name"]: item for item in data(root.get("/api/llm/settings?provider=acme&explain=true"))["explain"]
    }

    assert (one["temperature"], one["maxTokens"], one["model"], one["status"]) == (0, 2000, "m1", "no_key")
    assert (one["isOverridden"], one["organizationId"], one["preferredModel"]) == (False, None, "m1")
    assert one["customSettings"] == {"snake_key": 1}
    assert one["provider"] == data(root.get(f"/api/llm/providers/{acme['id']}"))
    assert one["provider"].keys() - seen["provider"].keys() == {
        *("apiKeyMasked", "apiKeyFingerprint", "apiBaseUrl", "needsKey")
    }
    assert "explain" not in one
    assert explained["temperature"]["source"]["layer"] == "provider"
    assert [s["value"] for s in explained["temperature"]["shadows"]] == [1.5, 0.7]
    assert explained["temperature"]["source"]["changedBy"].startswith("token:admin-")
    assert explained["customSettings.snake_key"]["value"] == 1
    assert [found["provider"]["name"] for found in data(root.get("/api/llm/settings"))] == ["acme"]
    error(root.get("/api/llm/settings?provider=none"), 404, "NOT_FOUND")
    assert data(root.get("/api/llm/settings?provider=off"))["status"] == "disabled"


def test_poll_costs_nothing_while_nothing_changes(root: TestClient, acme: dict[str, Any]) -> None:
    """ETag and 304, weakly compared; a change of what the answer holds, and only that, gives another ETag."""
    url = "/api/llm/settings?provider=acme"
    first = root.get(url)
    etag = first.headers["ETag"]

    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = root.get(url, headers={"If-None-Match": sent})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    assert root.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    data(root.post("/api/llm/providers", json={**NEW, "name": "elsewhere"}), 201)
    assert root.get(url, headers={"If-None-Match": etag}).status_code == 304
    data(root.put(f"/api/llm/providers/{acme['id']}", json={"defaultModel": "m2", "version": 1}))
    assert data(root.get(url, headers={"If-None-Match": etag}))["model"] == "m2"
    head = root.head(url)
    assert head.status_code == 200
    assert "authorization" in first.headers["Vary"]
    assert first.headers["Cache-Control"] == "private, no-cache"


def test_stale_writes_are_told_both_values(root: TestClient, acme: dict[str, Any]) -> None:
    """CHECKS 59: PUT names its version in the body or as If-Match; without it 428, with an old one 409 and both values."""
    url = f"/api/llm/providers/{acme['id']}"
    data(root.put(url, json={"description": "hers", "displayName": "Hers", "version": 1}))

    for sent in (
        {"json": {"description": "mine", "version": 1}},
        {"json": {"description": "mine"}, "headers": {"If-Match": '"1"'}},
    ):
        told = error(root.put(url, **sent), 409, "CONFLICT")
        assert told["changes"] == {"description": {"stored": "hers", "yours": "mine"}}
        assert (told["version"], told["changedBy"][:11]) == (2, "token:admin")
    error(root.put(url, json={"description": "mine"}), 428, "VERSION_REQUIRED")
    error(root.delete(url, headers={"If-Match": '"1"'}), 409, "CONFLICT")
    for wrong in ("1", '"x"', '"99999999999"', "W/1"):
        error(root.put(url, json={"description": "mine"}, headers={"If-Match": wrong}), 422, "VALIDATION_ERROR")
    both = root.put(url, json={"description": "mine", "version": 1}, headers={"If-Match": '"2"'})
    assert "version" in error(both, 422, "VALIDATION_ERROR")["fields"]
    assert data(root.get(url))["description"] == "hers"
    assert data(root.put(url, json={"description": "mine"}, headers={"If-Match": 'W/"2"'}))["version"] == 3
    assert data(root.put(url, json={"description": "forced"}, headers={"If-Match": "*"}))["description"] == "forced"
    upsert = {"providerId": acme["id"], "temperature": 1}
    data(root.post("/api/llm/settings/global", json={**upsert, "version": 0}), 201)
    data(root.post("/api/llm/settings/global", json={**upsert, "temperature": 0.5, "version": 1}))
    told = error(root.post("/api/llm/settings/global", json={**upsert, "version": 1}), 409, "CONFLICT")
    assert told["changes"]["temperature"] == {"stored": 0.5, "yours": 1}


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "NOT_JSON"),
        (b"", "application/json", 400, "NOT_JSON"),
        (b"\xff\xfe{}", "application/json", 400, "NOT_JSON"),
        ("{}".encode("utf-16"), "application/json", 400, "NOT_JSON"),
        ('{"temperature":"é"}'.encode("latin-1"), "application/json", 400, "NOT_JSON"),
        ("{\u00e9}".encode("utf-8-sig"), "application/json", 400, "NOT_JSON"),
        (b"[" * 100_000, "application/json", 400, "NOT_JSON"),
        (b'{"customSettings":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_001, "application/json", 400, "NOT_JSON"),
        (b"[1]", "application/json", 422, "VALIDATION_ERROR"),
        (b"null", "application/json", 422, "VALIDATION_ERROR"),
        (b'{"temperature":1,"temperature":2}', "application/json", 422, "VALIDATION_ERROR"),
        (b'{"customSettings":{"a":1,"a":2}}', "application/json", 422, "VALIDATION_ERROR"),
        (b'{"pad":"' + b"x" * (2 << 20) + b'"}', "application/json", 413, "TOO_LARGE"),
        (b"x" * 10_000_000, "application/json", 413, "TOO_LARGE"),
        (b'{"temperature":1}', "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"temperature=1", "application/x-www-form-urlencoded", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"temperature":1}', "application/json; charset=latin-1", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"temperature":1}', "", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
def test_bodies_that_are_refused(root: TestClient, body: bytes, kind: str, status: int, code: str) -> None:
    """CHECKS 27, 55: 413, 400, 422 and 415; nothing is stored, and nothing of the body is in the answer."""
    answer = root.post("/api/llm/settings/global", content=body, headers={"Content-Type": kind})

    error(answer, status, code)
    assert data(root.get("/api/llm/settings/global")) == []


def test_chunked_body_is_cut_off(root: TestClient) -> None:
    """A body without an announced length is not read further than the limit."""
    part, kind = b" " * 65_536, {"Content-Type": "application/json"}
    error(root.post("/api/llm/settings/global", content=iter([part] * 33), headers=kind), 413, "TOO_LARGE")

    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": part, "more_body": True}

    request = Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)
    with pytest.raises(Refused):
        run_async(read_json(request))
    assert read == 33


ODD = [
    *(None, True, 0, 1, -1, 1.5, 3, 2**31, 1e30, [], ["a"], ["a", "a"], [None], [""], {}, {"a": {"b": [1]}}),
    *("", " ", "\t", "\n", "x", " x\n", "two\nlines", "A", "full", "openai", "https://x?y=1"),
    *("odd-" * 15, "odd-" * 75, "\x1c\n" + "odd-" * 150),
]


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "path", "schema"),
    [
        ("POST", "/providers", request_schemas.NEW_PROVIDER),
        ("PUT", "/providers/{id}", request_schemas.CHANGED_PROVIDER),
        ("POST", "/providers/{id}/api-key", request_schemas.API_KEY),
        ("POST", "/settings/global", request_schemas.UPSERTED_SETTINGS),
        ("PUT", "/settings/{id}", request_schemas.CHANGED_SETTINGS),
        ("POST", "/model-facts", request_schemas.MODEL_FACTS),
        ("POST", "/organizations", organization_schemas.NEW_ORGANIZATION),
        ("POST", "/features", organization_schemas.NEW_FEATURE),
    ],
)
def test_what_the_schema_forbids_is_refused(root: TestClient, method: str, path: str, schema: dict[str, Any]) -> None:
    """Every field with values of every kind: what a client made from the schema cannot send is not taken either."""
    made = data(root.post("/api/llm/providers", json=NEW), 201)
    row = data(root.post("/api/llm/settings/global", json={"providerId": made["id"]}), 201)
    url = f"/api/llm{path.format(id=row['id'] if 'settings' in path else made['id'])}"
    base: dict[str, Any] = {**NEW, "name": "another"} if path == "/providers" else {}
    base |= BODIES["POST", f"/llm{path}"] if path in {"/model-facts", "/features", "/organizations"} else {}
    valid = validator_for(schema)
    connection: Any = db.get_engine()
    refused = 0

    def send(*names: str, value: Any) -> Response:
        body = {**base, **dict.fromkeys(names, value)}
        undone = connection.begin_nested()  # else each version is one more to read past
        answer = root.request(method, url, json=body, headers={"If-Match": "*"} if method == "PUT" else {})
        undone.rollback()
        assert answer.status_code < 500
        return answer

    odd = share(f"odd {method} {path}", ODD)
    for value in odd:
        forbidden = [name for name in schema["properties"] if not valid.is_valid({**base, name: value})]
        told: set[str] = set()
        for first in range(0, len(forbidden), 20):  # an answer names no more; who is named need not be sent alone
            several = forbidden[first : first + 20]
            answer = send(*several, value=value)
            assert answer.status_code in {409, 422}, (several, value, answer.text)
            told |= answer.json()["error"].get("fields", {}).keys()
        refused += len(forbidden)
        for name in schema["properties"]:
            if name in forbidden and name in told:
                continue
            answer = send(name, value=value)
            assert name not in forbidden or answer.status_code in {409, 422}, (name, value, answer.text)
    assert refused > len(schema["properties"]) * len(odd) / 6


def test_a_change_answers_what_is_not_sent_as_it_is_set(root: TestClient) -> None:
    """Of one provider, and of all: nothing is refused for it, and GET says nothing of it."""
    made = data(
        root.post("/api/llm/providers", json={**NEW, "availableModels": ["gpt-5.5"], "defaultModel": "gpt-5.5"}), 201
    )
    body = {"providerId": made["id"], "temperature": 0.3, "maxTokens": 500}
    own = data(root.post("/api/llm/settings/global", json=body), 201)
    mended = data(root.put(f"/api/llm/settings/{own['id']}", json={"temperature": None}, headers={"If-Match": "*"}))
    common = data(root.post("/api/llm/settings/global", json={"providerId": None, "temperature": 0.4}), 201)

    assert own["temperature"] == 0.3
    (warning,) = own["warnings"]
    assert warning.startswith("temperature")
    assert "warnings" not in mended
    (warning,) = common["warnings"]
    assert warning.startswith("temperature: 0 of 1 providers take it. ")
    assert all("warnings" not in row for row in data(root.get("/api/llm/settings/global")))


@pytest.mark.parametrize("key", [None, "", " " * 20])
def test_an_empty_key_is_refused(root: TestClient, key: str | None) -> None:
    """It may mean "none", "as it was" or "take it away": not for the API to guess."""
    told = error(root.post("/api/llm/providers", json={**NEW, "apiKey": key}), 422, "VALIDATION_ERROR")
    assert told["fields"] == {"apiKey": "must be 1 to 8,192 characters"}
    assert data(root.get("/api/llm/providers")) == []

    made = data(root.post("/api/llm/providers", json={**NEW, "apiKey": KEY}), 201)
    url = f"/api/llm/providers/{made['id']}"
    error(root.put(url, json={"apiKey": key, "version": 1}), 422, "VALIDATION_ERROR")
    error(root.post(f"{url}/test", json={"apiKey": key}), 422, "VALIDATION_ERROR")
    assert data(root.get(url)) == made


def test_largest_provider_is_taken(root: TestClient) -> None:
    """What the rules allow fits into a body, however it is written: here each character takes twelve bytes."""
    models = [f"{number:03}".ljust(200, "\N{BRAIN}") for number in range(MAX_MODELS_TEXT // 200)]
    body = {"name": "large", "displayName": "Large", "kind": "openai", "availableModels": models}

    assert data(root.post("/api/llm/providers", json=body), 201)["availableModels"] == models


def test_many_names_at_fault_are_told_in_short(root: TestClient) -> None:
    """An answer names twenty: it does not grow with what was sent."""
    unknown = {"providerId": None} | {f"field{number}": 1 for number in range(100_000)}
    told = error(root.post("/api/llm/settings/global", json=unknown), 422, "VALIDATION_ERROR")
    assert told["fields"] == {f"field{number}": "is not a field here" for number in range(20)}

    twice = "{" + ",".join(f'"field{number // 2}":1' for number in range(100_000)) + "}"
    told = error(
        root.post("/api/llm/settings/global", content=twice, headers={"Content-Type": "application/json"}),
        422,
        "VALIDATION_ERROR",
    )
    assert told["fields"] == {f"field{number}": "stands twice" for number in range(20)}


def test_charset_and_case_of_the_content_type_do_not_matter(root: TestClient) -> None:
    """`Application/JSON; charset="UTF-8"` is JSON in UTF-8."""
    kind = {"Content-Type": 'Application/JSON; charset="UTF-8"'}

    data(root.post("/api/llm/settings/global", content=b'{"providerId":null,"temperature":1}', headers=kind), 201)


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1e308", "1e999", '"0.7"', "true", "1" + "0" * 400, "9" * 5000, "[]", "{}"],
)
@pytest.mark.parametrize("field", ["temperature", "maxTokens", "version", "providerId"])
def test_numbers_that_are_none(root: TestClient, field: str, number: str) -> None:
    """CHECKS 53: refused with the field's name, never stored, never a 500."""
    scope = "" if field == "providerId" else '"providerId":null,'
    body = f'{{{scope}"{field}":{number}}}'.encode()

    answer = root.post("/api/llm/settings/global", content=body, headers={"Content-Type": "application/json"})

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {field}
    assert data(root.get("/api/llm/settings/global")) == []


def test_minus_zero_is_zero_and_zero_is_a_value(root: TestClient) -> None:
    """CHECKS 53: -0.0 is stored as 0.0."""
    made = data(root.post("/api/llm/settings/global", json={"providerId": None, "temperature": -0.0}), 201)

    assert str(made["temperature"]) == "0.0"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_custom_settings_hold_json_only(root: TestClient, number: str) -> None:
    """A number that JSON does not have is refused inside customSettings too."""
    body = f'{{"providerId":null,"customSettings":{{"a":[{number}]}}}}'.encode()

    answer = root.post("/api/llm/settings/global", content=body, headers={"Content-Type": "application/json"})

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {"customSettings"}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"role": "admin"}, "role"),
        ({"is_admin": True}, "is_admin"),
        ({"id": 7}, "id"),
        ({"api_key_encrypted": "x"}, "api_key_encrypted"),
        ({"apiKeyEncrypted": "x"}, "apiKeyEncrypted"),
        ({"api_key": KEY}, "api_key"),
        ({"display_name": "x"}, "display_name"),
        ({"version": 1}, "version"),
        ({"createdAt": "2026-01-01"}, "createdAt"),
        ({"\ud800": 1}, "\ud800"),
        ({"x" * 500: 1}, "x" * 50),
        ({"availableModels": ["a", "a"]}, "availableModels"),
        ({"availableModels": []}, "availableModels"),
        ({"defaultModel": "none"}, "defaultModel"),
        ({"kind": "nope"}, "kind"),
        ({"apiBaseUrl": "http://169.254.169.254/"}, "apiBaseUrl"),
        ({"apiKey": "short"}, "apiKey"),
        ({"apiKey": "with\x00nul-0123456789"}, "apiKey"),
    ],
)
def test_fields_that_are_refused(root: TestClient, more: dict[str, Any], field: str) -> None:
    """CHECKS 25, 56: 422 that names the field as it was sent, and never the value."""
    answer = root.post(
        "/api/llm/providers", content=json.dumps({**NEW, **more}), headers={"Content-Type": "application/json"}
    )

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {field}
    assert KEY not in answer.text
    assert data(root.get("/api/llm/providers")) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    word=st.text(st.characters(codec=None), max_size=120),
    field=st.sampled_from(["name", "displayName", "description", "defaultModel", "apiBaseUrl", "apiKey"]),
)
def test_text_of_any_kind(root: TestClient, word: str, field: str) -> None:
    """CHECKS 54, 57: NUL, half characters, zero-width, emoji, SQL: refused with the field's name or stored as text."""
    answer = root.post(
        "/api/llm/providers", content=json.dumps({**NEW, field: word}), headers={"Content-Type": "application/json"}
    )

    if answer.status_code == 201:
        root.delete(f"/api/llm/providers/{data(answer, 201)['id']}")
    else:
        assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) & {field}


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("\u202eabc", "abc"),
        ("\u2066Acme\u2069", "Acme"),
        ("A\U000e0041\u200fcme", "Acme"),
        ("\u202e", None),
        ("\U000e0041\U000e0042", None),
        ("\u2066 \u2069\u200f", None),
    ],
)
def test_names_are_seen_as_they_are(root: TestClient, typed: str, kept: str | None) -> None:
    """What is not seen, or turns a name round, is taken away; a name of nothing else is none."""
    made = root.post("/api/llm/providers", json={**NEW, "displayName": typed})

    if kept is None:
        assert "displayName" in error(made, 422, "VALIDATION_ERROR")["fields"]
    else:
        assert data(made, 201)["displayName"] == kept


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE llm_providers; --", "<script>alert(1)</script>", "![](http://x)", "=cmd()"]
)
def test_hostile_names_are_text(root: TestClient, hostile: str) -> None:
    """CHECKS 51, 57: stored and answered literally, as JSON that no browser takes for a page."""
    made = root.post("/api/llm/providers", json={**NEW, "displayName": hostile})

    assert data(made, 201)["displayName"] == hostile
    assert made.headers["Content-Type"] == "application/json"
    assert made.headers["X-Content-Type-Options"] == "nosniff"
    assert len(data(root.get("/api/llm/providers", params={"search": hostile}))) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?sort=name", "sort"),
        ("?active=maybe", "active"),
        ("?active=true&active=false", "active"),
        ("?search=" + "x" * 101, "search"),
        ("?%ff=1", "\ufffd"),
    ],
)
def test_parameters_that_are_refused(root: TestClient, query: str, field: str) -> None:
    """CHECKS 57: an unknown parameter is an error: a misspelt filter must not mean everything."""
    told = error(root.get(f"/api/llm/providers{query}"), 422, "VALIDATION_ERROR")

    assert set(told["fields"]) == {field}


@pytest.mark.parametrize(
    "query",
    ["?provder=acme", "?explain=1", "?explain=true&explain=true", "?provider=a&provider=b", "?x=1" * 20, "?%ff"],
)
def test_effective_parameters_that_are_refused(root: TestClient, query: str) -> None:
    """The polled route reads its query by itself, as strictly."""
    error(root.get(f"/api/llm/settings{query}"), 422, "VALIDATION_ERROR")


@pytest.mark.parametrize("given_id", ["0", "2147483648", "9999999999"])
def test_ids_that_are_none(root: TestClient, given_id: str) -> None:
    """A number that no row has as its id."""
    answer = root.get(f"/api/llm/providers/{given_id}")

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {"id"}


@pytest.mark.parametrize(
    "given_id", ["-1", "x", "1.0", "99999999999", "%00", "1_0", "+1", "\u0661", "a%0Ab", "9" * 5000]
)
def test_paths_whose_id_is_no_number(root: TestClient, given_id: str) -> None:
    """There is nothing at such a path."""
    error(root.get(f"/api/llm/providers/{given_id}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("given_id", ["-1", "x", "1.0", "0", "", "99999999999", "9" * 5000])
def test_ids_in_queries_that_are_none(root: TestClient, given_id: str) -> None:
    """A query is told what it may have."""
    answer = root.get(f"/api/llm/settings/global?providerId={given_id}")

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {"providerId"}


def test_paths_and_methods_that_are_none(root: TestClient) -> None:
    """404 and 405 in the same envelope; Allow names every method of the path."""
    error(root.get("/api/nothing"), 404, "NOT_FOUND")
    error(root.get("/api/llm/settings/"), 404, "NOT_FOUND")
    answer = root.patch("/api/llm/providers/1")
    error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "DELETE, GET, PUT"
    answer = root.post("/api/llm/settings", json={})
    error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET"


def test_moved_key_is_refused(root: TestClient, acme: dict[str, Any]) -> None:
    """CHECKS 41: the base URL's host, or the kind, changes only with the key typed again."""
    url = f"/api/llm/providers/{acme['id']}"
    version = data(root.post(f"{url}/api-key", json={"apiKey": KEY}))["version"]

    for change in ({"apiBaseUrl": "https://evil.example/v1"}, {"kind": "anthropic"}):
        told = error(root.put(url, json={**change, "version": version}), 422, "VALIDATION_ERROR")
        assert "type the API key again" in next(iter(told["fields"].values()))
    moved = root.put(url, json={"apiBaseUrl": "https://proxy.example/v1", "apiKey": KEY, "version": version})
    assert data(moved)["apiBaseUrl"] == "https://proxy.example/v1"


def test_a_provider_that_needs_no_key(root: TestClient) -> None:
    """`needsKey` goes in and out; its status is ok without a key, and the refusals name field and rule."""
    own = {**NEW, "kind": "openai_compatible", "apiBaseUrl": "http://127.0.0.1:11434/v1", "needsKey": False}
    made = data(root.post("/api/llm/providers", json=own), 201)
    url = f"/api/llm/providers/{made['id']}"

    assert (made["needsKey"], made["apiKeyMasked"]) == (False, None)
    assert data(root.get("/api/llm/settings", params={"providerId": made["id"]}))["status"] == "ok"
    assert (
        "would not be used"
        in error(root.post(f"{url}/api-key", json={"apiKey": KEY}), 422, "VALIDATION_ERROR")["fields"]["apiKey"]
    )
    told = error(
        root.put(url, json={"apiBaseUrl": "https://api.openai.com/v1", "version": made["version"]}),
        422,
        "VALIDATION_ERROR",
    )
    assert told["fields"] == {"needsKey": "must be true: OpenAI answers nobody without a key"}
    for wrong in (None, 0, "false"):
        assert list(
            error(root.put(url, json={"needsKey": wrong, "version": 1}), 422, "VALIDATION_ERROR")["fields"]
        ) == ["needsKey"]
    back = root.put(url, json={**data(root.get(url)), "needsKey": True})
    assert data(back)["needsKey"] is True
    assert data(root.get("/api/llm/settings", params={"providerId": made["id"]}))["status"] == "no_key"


@pytest.mark.usefixtures("acme")
def test_two_of_a_kind(root: TestClient) -> None:
    """A name that is taken is a 409 that names the field."""
    assert error(root.post("/api/llm/providers", json=NEW), 409, "ALREADY_EXISTS")["fields"] == {"name": "is taken"}


def test_without_an_encryption_key_nothing_is_sealed(
    root: TestClient, acme: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without an encryption key says so, with the cure; the rest works."""
    from core import crypto  # noqa: PLC0415 - for this test alone

    monkeypatch.delenv("LLM_ENCRYPTION_KEY")
    db_config_again()
    crypto.get_ring.cache_clear()

    told = error(root.post(f"/api/llm/providers/{acme['id']}/api-key", json={"apiKey": KEY}), 503, "SEALED")
    assert "generate-key" in told["message"]
    assert data(root.get("/api/llm/providers"))


# The browser's cookie


def test_cookie_signs_in(client: TestClient, admin: Actor) -> None:
    """A signed-in browser reads, and writes from our own page."""
    signed_in = cookie(admin)

    data(client.get("/api/llm/providers", headers=signed_in))
    data(client.post("/api/llm/providers", json=NEW, headers={**signed_in, "Origin": HOST}), 201)


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example", "http://127.0.0.1:9999", "http://127.0.0.1:8501.evil.example", "http://["],
)
def test_cookie_from_elsewhere_writes_nothing(client: TestClient, admin: Actor, origin: str | None) -> None:
    """CHECKS 27: with a cookie and a foreign Origin, or none, a write is refused; a token needs none."""
    sent = {"Origin": origin} if origin is not None else {}

    error(client.post("/api/llm/providers", json=NEW, headers={**cookie(admin), **sent}), 403, "FOREIGN_ORIGIN")
    assert data(client.get("/api/llm/providers", headers=cookie(admin))) == []
    data(client.post("/api/llm/providers", json=NEW, headers={**token("admin"), **sent}), 201)


def test_a_token_counts_more_than_a_cookie(client: TestClient, admin: Actor) -> None:
    """An analyst's token in an admin's browser is an analyst; a wrong one is nobody."""
    both = {**cookie(admin), **token("analyst")}

    error(client.get("/api/llm/providers", headers=both), 403, "FORBIDDEN")
    error(
        client.get("/api/llm/providers", headers={**cookie(admin), "Authorization": "Bearer x"}), 401, "UNAUTHENTICATED"
    )
    error(
        client.get("/api/llm/settings", headers={**cookie(admin), "Authorization": "Basic eDp5"}),
        401,
        "UNAUTHENTICATED",
    )


def test_two_authorizations_are_none(client: TestClient) -> None:
    """Two tokens at once are no token: who is meant?"""
    one, other = token("admin")["Authorization"], token("analyst")["Authorization"]

    for path in ("/api/llm/providers", "/api/llm/settings"):
        error(client.get(path, headers=[("Authorization", one), ("Authorization", other)]), 401, "UNAUTHENTICATED")


def test_our_own_header_from_outside_is_nobody(client: TestClient, admin: Actor) -> None:
    """CHECKS 7: what the middleware tells the API cannot be said by a client."""
    secret = cookie(admin)["Cookie"].partition("=")[2]

    for path in ("/api/llm/providers", "/api/llm/settings"):
        error(client.get(path, headers={"X-LLM-Settings-Session": secret}), 401, "UNAUTHENTICATED")


def test_first_password_comes_first(client: TestClient, admin: Actor) -> None:
    """Somebody who has to choose a password does so before anything else."""
    with db.transaction() as session:
        session.execute(text("UPDATE users SET must_change_password = true"))

    for path in ("/api/llm/providers", "/api/llm/settings"):
        error(client.get(path, headers=cookie(admin)), 403, "PASSWORD_CHANGE_NEEDED")


def test_second_factor_comes_first(client: TestClient, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose role needs a second factor sets one up before anything else; tokens are not asked."""
    monkeypatch.setenv("LLM_REQUIRE_SECOND_FACTOR", "admin")
    db_config_again()

    for path in ("/api/llm/providers", "/api/llm/settings"):
        error(client.get(path, headers=cookie(admin)), 403, "SECOND_FACTOR_NEEDED")
        data(client.get(path, headers=token("admin")))


def test_signed_out_is_signed_out_at_once(client: TestClient, admin: Actor) -> None:
    """A sign-in is looked up each time, also by the polled route."""
    signed_in = cookie(admin)
    data(client.get("/api/llm/settings", headers=signed_in))

    with db.transaction() as session:
        session.execute(text("UPDATE auth_sessions SET revoked_at = clock_timestamp()"))

    for path in ("/api/llm/providers", "/api/llm/settings"):
        error(client.get(path, headers=signed_in), 401, "UNAUTHENTICATED")


def test_revoked_token_stops_within_a_second(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is looked at again after 0.8 s by the polled route, and each time by the others."""
    monkeypatch.setattr(effective, "TOKEN_SECONDS", TOKEN_SECONDS)
    now = [1000.0]
    monkeypatch.setattr(effective.time, "monotonic", lambda: now[0])
    headers = token("admin")
    data(client.get("/api/llm/settings", headers=headers))

    with db.transaction() as session:
        session.execute(text("UPDATE api_tokens SET revoked_at = clock_timestamp()"))

    error(client.get("/api/llm/providers", headers=headers), 401, "UNAUTHENTICATED")
    data(client.get("/api/llm/settings", headers=headers))  # still in memory
    assert TOKEN_SECONDS < 1
    now[0] += TOKEN_SECONDS
    error(client.get("/api/llm/settings", headers=headers), 401, "UNAUTHENTICATED")


@pytest.mark.long
@pytest.mark.usefixtures("committed")
def test_revoked_token_stops_while_it_is_in_use(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is used all the time is looked at beside the answers; no request begun a second later is served."""
    monkeypatch.setattr(effective, "TOKEN_SECONDS", TOKEN_SECONDS)
    monkeypatch.setenv("LLM_RATE_LIMIT_GENERAL", "1000000 per minute")
    db_config_again()
    headers = token("analyst")
    began = time.monotonic()
    while time.monotonic() < began + 2 * TOKEN_SECONDS:  # it is looked at several times meanwhile
        data(client.get("/api/llm/settings", headers=headers))

    with db.transaction() as session:
        session.execute(text("UPDATE api_tokens SET revoked_at = clock_timestamp()"))
    revoked = time.monotonic()

    last_served = revoked
    while time.monotonic() < revoked + 1.5:
        asked = time.monotonic()
        if client.get("/api/llm/settings", headers=headers).status_code == 200:
            last_served = asked
    assert last_served - revoked < 1
    error(client.get("/api/llm/settings", headers=headers), 401, "UNAUTHENTICATED")


@pytest.mark.usefixtures("committed")
def test_exhausted_pool_is_told_and_passes(root: TestClient) -> None:
    """CHECKS 71: with every connection in use a request is told so, 503 with Retry-After; afterwards it is served."""
    headers = token("admin")
    engine = db.get_engine()
    held = [engine.connect() for _ in range(db.pool_figures()[0])]

    refused = root.get("/api/llm/providers", headers=headers)
    error(refused, 503, "STORE_UNAVAILABLE")
    assert refused.headers["Retry-After"]
    for connection in held:
        connection.close()
    assert data(root.get("/api/llm/providers", headers=headers)) == []


@pytest.mark.usefixtures("committed")
def test_who_writes_reads_what_they_wrote(root: TestClient, committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a resolver that follows the database, a write is answered once the settings in memory have it."""
    resolver = Resolver(committed)
    monkeypatch.setattr(effective, "resolver", resolver)
    monkeypatch.setattr(effective, "_picture", None)
    resolver.start()
    assert resolver.wait_for(0, 10)
    made = data(root.post("/api/llm/providers", json=NEW), 201)
    try:
        for number in range(30):
            body = {"providerId": made["id"], "maxTokens": number + 1}
            assert root.post("/api/llm/settings/global", json=body).status_code in {200, 201}
            answer = root.get("/api/llm/settings?provider=acme")
            assert data(answer)["maxTokens"] == number + 1
            assert int(answer.headers["LLM-Settings-Generation"]) == resolver.generation
        loads = 0

        def counted(session: object) -> object:
            nonlocal loads
            loads += 1
            return load(session)

        load: Any = rows.load
        monkeypatch.setattr(rows, "load", counted)
        for _ in range(20):
            data(root.get("/api/llm/settings?provider=acme"))
        assert loads == 0
        away = db.make_engine("postgresql://nobody@127.0.0.1:1/none")
        monkeypatch.setattr(db, "get_engine", lambda: away)
        effective.caught_up()  # a database that goes away after the commit makes no error of what was committed
        away.dispose()
    finally:
        resolver.close()


@pytest.mark.usefixtures("committed")
def test_settings_of_an_organisation_and_a_feature(
    root: TestClient, committed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered from the resolver's memory, as soon as they are written; what is not there is 404, and nothing else of it is told."""
    resolver = Resolver(committed)
    monkeypatch.setattr(effective, "resolver", resolver)
    monkeypatch.setattr(effective, "_picture", None)
    made = data(root.post("/api/llm/providers", json={**NEW, "apiKey": KEY}), 201)
    with db.transaction() as session:
        session.execute(
            text(
                "INSERT INTO organizations (id, slug, name) VALUES (7, 'acme', 'Acme'), (8, 'beta', 'Beta');"
                "INSERT INTO organization_names VALUES ('acme', 7, 'slug'), ('crm 7', 7, 'external'), ('beta', 8, 'slug');"
                "INSERT INTO llm_features (id, name, display_name) VALUES (1, 'classify', 'Classify');"
                "INSERT INTO llm_settings (organization_id, max_tokens) VALUES (7, 70);"
                f"INSERT INTO feature_llm_overrides (feature_id, organization_id, provider_id, temperature) VALUES (1, 7, {made['id']}, 0)"
            )
        )
    resolver.start()
    effective.caught_up()
    path = "/api/llm/settings?provider=acme"
    try:
        acme = root.get(f"{path}&organization=crm%207&feature=classify&explain=true")
        assert {name: data(acme)[name] for name in ("maxTokens", "temperature", "isOverridden", "keyOwner")} == {
            "maxTokens": 70,
            "temperature": 0,
            "isOverridden": True,
            "keyOwner": "installation",
        }
        assert (data(acme)["organizationId"], data(acme)["organization"], data(acme)["feature"]) == (
            7,
            "acme",
            "classify",
        )
        sources = {item["name"]: item["source"] for item in data(acme)["explain"]}
        assert sources["temperature"]["layer"] == "organization+feature+provider"
        assert (sources["temperature"]["scope"], sources["maxTokens"]["scope"]) == ("acme · classify", "acme")
        beta, nobody = data(root.get(f"{path}&organization=beta")), data(root.get(path))
        assert (beta["isOverridden"], beta["maxTokens"], nobody["organization"]) == (False, nobody["maxTokens"], None)
        assert [each["maxTokens"] for each in data(root.get("/api/llm/settings?organization=acme"))] == [70]
        assert root.get(f"{path}&organization=acme", headers={"If-None-Match": "*"}).status_code == 304
        with db.transaction() as session:
            session.execute(text("UPDATE llm_settings SET max_tokens = 71 WHERE organization_id = 7"))
        effective.caught_up()
        assert data(root.get(f"{path}&organization=acme"))["maxTokens"] == 71
        _limited(root, f"{path}&organization=acme&explain=true")
        for missing in ("organization=acmee", "organization=", "feature=clasify", "organization=7"):
            error(root.get(f"{path}&{missing}"), 404, "NOT_FOUND")
        _own_alone(root, path)
    finally:
        resolver.close()


def _limited(root: TestClient, path: str) -> None:
    """A limit is in force with the answer to its POST, and explained; to the organisation's own people the installation set it."""
    limited = {"organizationId": 7, "limits": {"maxTokens": {"max": 50}, "topP": {"send": False}}, "note": "contract"}
    url = f"/api/llm/limits/{data(root.post('/api/llm/limits', json=limited), 201)['id']}"
    why, theirs = (
        {item["name"]: item for item in data(root.get(path, headers=headers))["explain"]}
        for headers in ({}, token_of(7, "analyst"))
    )
    by = why["maxTokens"]["limitedBy"]
    assert (why["maxTokens"]["value"], why["maxTokens"]["wanted"], by["bound"], by["note"]) == (50, 71, 50, "contract")
    assert (why["topP"]["sent"], why["topP"]["omissionLimitedBy"]["rule"]) == (False, "send")
    assert theirs["maxTokens"]["limitedBy"] == by | {"changedBy": "installation"}
    data(root.delete(url))


def _own_alone(root: TestClient, path: str) -> None:
    """A token of an organisation reads its settings, and of no other; explain names nobody of the installation."""
    theirs = token_of(7, "analyst") | {"X-Request-ID": "0123456789abcdef"}
    own = root.get(f"{path}&organization=crm%207&explain=true", headers=theirs)
    assert (data(own)["maxTokens"], "apiKeyMasked" in data(own)["provider"]) == (71, False)
    names = {item["name"]: item["source"]["changedBy"] for item in data(own)["explain"]}
    assert (names["maxTokens"], names["temperature"]) == ("installation", None)
    answers = {
        name: [
            _all_of(root, f"{path}&organization={name}{more}", theirs)
            for more in ("", "&feature=clasify", "&explain=true")
        ]
        for name in ("beta", "nota")
    }
    assert answers["beta"] == answers["nota"]
    assert {status for status, *_ in answers["beta"]} == {404}
    assert set(error(root.get(path, headers=theirs), 422, "VALIDATION_ERROR")["fields"]) == {"organization"}
    assert root.get("/api/llm/models", headers=theirs).status_code == 403
    with db.transaction() as session:
        reasons = session.scalars(text("SELECT changes::text FROM audit_events WHERE action = 'denied'")).all()
    assert [sum(name in reason for reason in reasons) for name in ("beta", "nota")] == [3, 3]


def _all_of(root: TestClient, url: str, headers: dict[str, str]) -> tuple[int, str, dict[str, str], list[str]]:
    """All that can be seen of an answer: status, body, headers without what is counted, and statements."""
    with statements() as run:
        got = root.get(url, headers=headers)
    kept = {name: value for name, value in got.headers.items() if not name.startswith("ratelimit-re")}
    return got.status_code, got.text.replace("'beta'", "'nota'"), kept, run


def test_denials_are_put_on_record(client: TestClient) -> None:
    """Whoever tries more than they may is in the audit."""
    headers = token("analyst")

    error(client.delete("/api/llm/providers/1", headers=headers), 403, "FORBIDDEN")

    with db.transaction() as session:
        found = session.execute(text("SELECT actor, target FROM audit_events WHERE action = 'denied'")).one()
    assert found.actor.startswith("token:analyst-")
    assert found.target == "rest.write"


def test_cure_of_an_unreadable_key_is_for_admins() -> None:
    """An analyst is told that the key cannot be opened, and whom to ask; which encryption key it needs is for admins."""

    def open_box() -> NoReturn:
        raise KeyUnreadable("unknown_key", "Sealed with encryption key 1a2b3c4d. Add it to LLM_ENCRYPTION_KEYS_EXTRA.")

    facts = ProviderFacts(
        7, "acme", "Acme", "openai", None, "m1", is_active=True, version=1, changes={}, open_box=open_box
    )
    settings = build(facts, [])
    assert settings.status == "key_unreadable"
    row = dict.fromkeys([*wire_providers.Provider.model_fields, "api_key_encrypted"]) | {"is_active": True}

    for brief in (False, True):
        told = wire.effective(settings, row, brief=brief)["cure"]
        assert ("1a2b3c4d" in told) == (not brief)
        assert ("LLM_ENCRYPTION" in told) == (not brief)
    assert told.endswith("Ask an admin.")


# Spellings


def _spellings(path: str) -> Iterator[str]:
    """Other ways to write a path, which some server or proxy somewhere takes for the same."""
    first, _, rest = path[1:].partition("/")
    for end in (
        "%0a",
        "%0A",
        "%0d%0a",
        "%00",
        "%20",
        "%09",
        "%2f",
        "%3b",
        "%23",
        "%3f",
        "/",
        "//",
        "/.",
        "/%2e",
        ";a=b",
        ".",
        "%c2%85",
    ):
        yield f"{path}{end}"
    for begin in ("/", "/.", "/%2e", "/x/..", "/x/%2e%2e", "/%2f", "/%5c", "/%0a"):
        yield begin + path
    yield path.replace("/", "//", 1) if rest else f"//{first}"
    yield path.replace("/", "%2f")
    yield path.replace("/", "%2F")
    yield path.replace("/", "/./")
    yield path.replace("/", "%5c")
    yield path.upper()
    yield f"/{first[0].upper()}{first[1:]}" + (f"/{rest}" if rest else "")
    yield f"/%{ord(first[0]):02x}{first[1:]}" + (f"/{rest}" if rest else "")
    yield f"/%25{ord(first[0]):02x}{first[1:]}" + (f"/{rest}" if rest else "")
    yield f"/{first[:-1]}%{ord(first[-1]):02X}" + (f"/{rest}" if rest else "")
    yield f"/{first[0]}\N{COMBINING ACUTE ACCENT}{first[1:]}" + (f"/{rest}" if rest else "")


@pytest.mark.long
@pytest.mark.usefixtures("acme")
def test_a_route_has_one_spelling(root: TestClient) -> None:
    """Any other spelling of a route's path is 404, in our form, whoever asks; nothing else of it runs."""
    with db.transaction() as session:
        before = session.execute(text("SELECT count(*) FROM audit_events")).scalar()
    odd = []
    for method, path in ROUTES:
        real = path.format(id=1, **IN_PATHS)
        whole = {f"/api{each}" for each in _spellings(real)}
        whole |= {
            each for each in (f"//api{real}", f"/%61pi{real}", f"/api%2f{real[1:]}", f"/ap%69{real}") if "%" in each
        }
        if "{id}" in path:
            wrong = ("01", "+1", "1.0", "%31", "1_0", "\N{FULLWIDTH DIGIT ONE}")
            whole |= {f"/api{path.format(id=each, **IN_PATHS)}" for each in wrong}
        answers = [(method, each, *as_written(root, method, each)) for each in sorted(whole)]
        odd += [each for each in answers if each[2] != 404 or each[3].get("cache-control") != "no-store"]
        with db.transaction() as session:
            if session.execute(text("SELECT count(*) FROM audit_events")).scalar() != before:
                odd.append((method, path, 0, {}))

    assert odd == []


@pytest.mark.parametrize(
    "each", ["/API/llm/settings", "//api/llm/settings", "/Api", "/api;/llm/settings", "/./api/llm/settings"]
)
def test_what_is_meant_for_the_api_is_no_page(root: TestClient, each: str) -> None:
    """Nor does a page answer where the API was meant."""
    assert as_written(root, "GET", each)[0] == 404


@given(
    st.sampled_from(sorted({path for _, path in ROUTES})),
    st.text(st.sampled_from("%0a2fE.;/\\ \n\0AbI"), min_size=1, max_size=6),
    st.integers(0, 40),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_spelling_is_a_fault(root: TestClient, path: str, more: str, where: int) -> None:
    """Whatever is put into a path: refused by its own status, never 5xx."""
    real = path.format(id=1, **IN_PATHS)
    assert as_written(root, "GET", f"/api{real[:where]}{more}{real[where:]}")[0] < 500


# Health, metrics and the description


def test_health(client: TestClient, root: TestClient) -> None:
    """Live asks nobody; ready names its checks to strangers, and details to admins alone."""
    stranger = {"Authorization": ""}

    assert data(client.get("/api/health/live", headers=stranger)) == {"status": "live"}
    seen = data(client.get("/api/health/ready", headers=stranger))
    assert seen["checks"] == {"database": "ok", "schema": "ok", "keyRing": "ok", "snapshot": "none", "rateLimits": "ok"}
    assert seen["status"] == "degraded"  # nothing listens to the database in this test
    assert "details" not in seen
    assert data(root.get("/api/health/ready"))["details"]["schema"]
    assert "details" not in data(client.get("/api/health/ready", headers=token("analyst")))


@pytest.mark.parametrize("role", ["metrics", "analyst", "admin"])
def test_probes_are_not_put_on_record(client: TestClient, role: str) -> None:
    """Whoever asks for health with whatever token is answered, and the audit has nothing of it: probes come by the thousand."""
    headers = token(role)
    for _ in range(3):
        seen = data(client.get("/api/health/ready", headers=headers))
        assert ("details" in seen) == (role == "admin")
    with db.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM audit_events WHERE action = 'denied'")).scalar() == 0


def test_not_ready_without_the_database(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 65: 503 and the check that fails; live goes on; a read is 503 with Retry-After."""
    from api import readiness  # noqa: PLC0415 - its memory is set back

    monkeypatch.setattr(readiness, "_last", None)
    away = db.make_engine("postgresql://nobody@127.0.0.1:1/none")
    headers = token("admin")
    monkeypatch.setattr(db, "get_engine", lambda: away)

    answer = client.get("/api/health/ready")
    told = error(answer, 503, "NOT_READY")
    monkeypatch.setattr(readiness, "_last", None)

    assert told["checks"]["database"] == "unreachable"
    assert "127.0.0.1" not in answer.text
    data(client.get("/api/health/live"))
    for path in ("/api/llm/providers", "/api/llm/settings"):
        refused = client.get(path, headers=headers)
        error(refused, 503, "STORE_UNAVAILABLE")
        assert int(refused.headers["Retry-After"]) >= 1
    away.dispose()


@pytest.mark.usefixtures("acme")
def test_metrics(root: TestClient) -> None:
    """Requests by route and status, answers, age, pool: in Prometheus' format, without a name of ours in a label."""
    for _ in range(2):
        root.get("/api/llm/settings?provider=acme")
    root.get("/api/nothing-at-all")

    lines = root.get("/api/metrics", headers=token("metrics")).text.splitlines()

    for name in ("llm_settings_resolved_total", "llm_settings_snapshot_age_seconds", "llm_settings_pool_used"):
        assert any(line.startswith(name) for line in lines)
    assert any('route="/llm/settings",status="200"' in line for line in lines)
    assert any('route="none",status="404"' in line for line in lines)
    assert not any("acme" in line or "nothing-at-all" in line for line in lines)


@pytest.mark.parametrize(
    ("sent", "fits"), [("", True), ("https://acme.example/v1", True), ("x", False), ("ftp://x", False)]
)
def test_described_base_url_is_what_is_taken(root: TestClient, sent: str, *, fits: bool) -> None:
    """What the description lets through is stored, and the rest refused; an empty text is none."""
    described = root.get("/api/openapi.json").json()["paths"]["/llm/providers"]["post"]
    body = described["requestBody"]["content"]["application/json"]["schema"]
    (text, _) = body["properties"]["apiBaseUrl"]["anyOf"]

    assert (re.search(text["pattern"], sent) is not None) == fits
    answer = root.post("/api/llm/providers", json={**NEW, "apiBaseUrl": sent, "defaultModel": ""})
    assert answer.status_code == (201 if fits else 422)
    if fits:
        assert data(answer, 201)["apiBaseUrl"] == (sent or None)


def test_description_is_whole(root: TestClient) -> None:
    """OpenAPI 3.1: every route for programs, with examples for request_schemas, and a failure for each status."""
    described = root.get("/api/openapi.json").json()

    assert described["openapi"].startswith("3.1")
    documented = {(m.upper(), path) for path, item in described["paths"].items() for m in item}
    assert documented == {route for route in ROUTES if route[1] not in {"/openapi.json", "/docs", "/docs/{file}"}}
    for path, item in described["paths"].items():
        for operation in item.values():
            assert operation["summary"]
            if "requestBody" in operation:
                assert operation["requestBody"]["content"]["application/json"]["schema"]["example"]
            if ROUTES[next(m for m in ROUTES if m[1] == path)] != ANYBODY:
                assert {"401", "403"} <= operation["responses"].keys()


def test_docs_page_loads_from_here_alone(root: TestClient) -> None:
    """The page and what it loads come from our own host: the content security policy allows nothing else."""
    page = root.get("/api/docs")

    assert page.headers["Content-Type"].startswith("text/html")
    for file in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        assert f'docs/{file}"' in page.text
        assert root.get(f"/api/docs/{file}").status_code == 200
    assert "//" not in page.text.replace("<!doctype", "")
    error(root.get("/api/docs/..%2fapp.py"), 404, "NOT_FOUND")
    error(root.get("/api/docs/none.js"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "path", ["/api/health/live", "/api/llm/providers", "/api/llm/settings", "/api/nothing", "/api/docs"]
)
def test_security_headers_are_on_every_answer(client: TestClient, path: str) -> None:
    """CHECKS 82: served or refused; and what is not for polling is not kept."""
    for headers in ({}, token("admin")):
        answer = client.get(path, headers=headers)
        for name, value in security_headers():
            assert answer.headers[name.decode()] == value.decode()
        assert answer.headers["Cache-Control"] in {"no-store", "private, no-cache"}


def test_a_fault_is_told_without_details(root: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is a 500 in the envelope, with nothing of the exception; on the polled route too."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr(providers, "list_all", broken)
    monkeypatch.setattr(rows, "load", broken)

    for path in ("/api/llm/providers", "/api/llm/settings"):
        answer = root.get(path)
        error(answer, 500, "INTERNAL_ERROR")
        assert KEY not in answer.text


@pytest.mark.parametrize(
    "key", [f"Bearer {KEY}", f"OPENAI_API_KEY={KEY}", "sk-proj...****", "${OPENAI_API_KEY}", KEY + "—"]
)
def test_a_text_that_is_no_key_is_refused(root: TestClient, key: str) -> None:
    """POST, PUT, the key's own route and the test refuse it with the rule, and the stored key stays."""
    made = data(root.post("/api/llm/providers", json={**NEW, "apiKey": KEY}), 201)
    url = f"/api/llm/providers/{made['id']}"
    for answer in (
        root.post("/api/llm/providers", json={**NEW, "name": "other", "apiKey": key}),
        root.put(url, json={"apiKey": key, "version": 1}),
        root.post(f"{url}/api-key", json={"apiKey": key}),
        root.post(f"{url}/test", json={"apiKey": key}),
    ):
        told = error(answer, 422, "VALIDATION_ERROR")
        assert list(told["fields"]) == ["apiKey"]
        assert KEY not in answer.text
    assert data(root.get(url))["version"] == made["version"]


def test_keys_of_a_server_of_ones_own_may_be_short(root: TestClient) -> None:
    """The kind decides how short a key may be: EMPTY is one for a server on one's own network, and none for OpenAI."""
    own = {**NEW, "kind": "openai_compatible", "apiBaseUrl": "http://vllm:8000/v1", "apiKey": "EMPTY"}
    assert data(root.post("/api/llm/providers", json=own), 201)["apiKeyMasked"] == "****"
    told = error(root.post("/api/llm/providers", json={**NEW, "name": "b", "apiKey": "EMPTY"}), 422, "VALIDATION_ERROR")
    assert told["fields"] == {"apiKey": "must be 10 to 8,192 characters"}


def test_bodies_as_powershell_sends_them(root: TestClient) -> None:
    """A mark before UTF-8 is skipped; what is in another encoding is told as that."""
    kind = {"Content-Type": "application/json"}
    marked = json.dumps(NEW).encode("utf-8-sig")
    data(root.post("/api/llm/providers", content=marked, headers=kind), 201)
    for encoding in ("utf-16", "latin-1"):
        raw = json.dumps({**NEW, "name": "b", "displayName": "K\u00f6ln"}, ensure_ascii=False).encode(encoding)
        told = error(root.post("/api/llm/providers", content=raw, headers=kind), 400, "NOT_JSON")
        assert "not in UTF-8" in told["message"]
