"""The history over REST: lists by page and filter, differences, settings as they were, and restoring."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from core.actors import COMMAND_LINE, Actor
from core.govern.history_moments import newest
from core.manage import organizations, providers, settings
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.table import id_of
from tests.rest import data, error, token, token_of

HISTORY = "/api/llm/history"
MADE = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m"], "default_model": "m"}


def _write(*values: dict[str, Any], of: int | None = None, by: str = "ada") -> list[int]:
    found = []
    for each in values:
        with db.transaction() as session:
            settings.upsert(session, Actor(by), SettingsScope(organization_id=of), each)
        with db.transaction() as session:
            found.append(newest(session).generation)
    return found


@pytest.mark.usefixtures("committed")
def test_the_history_over_rest(client: TestClient) -> None:
    """Who raised max_tokens is found, what was in force then is read, and it is put back, by one who looked at what is there now."""
    with db.transaction() as session:
        providers.create(session, COMMAND_LINE, {**MADE, "api_key": "sk-proj-canary-0123456789abcdef"})
        acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    first, _, last = _write({"max_tokens": 100}, {"max_tokens": 100, "top_p": 0.5}, {"max_tokens": 9000})
    _write({"max_tokens": 1}, {"max_tokens": 2}, of=acme, by="bob")
    admin, analyst, of_acme = token("admin"), token("analyst"), token_of(acme, "admin")

    found = data(
        client.get(HISTORY, params={"table": "llm_settings", "field": "maxTokens", "by": "ada"}, headers=admin)
    )
    assert [each["fields"]["maxTokens"] for each in found] == [
        {"before": 100, "after": 9000},
        {"before": None, "after": 100},
    ]
    page = data(client.get(HISTORY, params={"limit": "2"}, headers=admin))
    rest = data(client.get(HISTORY, params={"limit": "100", "after": page[-1]["place"]}, headers=admin))
    whole = data(client.get(HISTORY, params={"limit": "100"}, headers=admin))
    assert page + rest == whole
    assert "canary" not in str(whole)
    assert {each["organizationId"] for each in data(client.get(HISTORY, headers=of_acme))} == {acme}

    then = client.get(
        "/api/llm/settings", params={"provider": "openai", "at": str(first), "explain": "true"}, headers=admin
    )
    assert (data(then)["maxTokens"], data(then)["topP"], data(then)["status"]) == (100, 1.0, "ok")
    (said,) = [each for each in data(then)["explain"] if each["name"] == "maxTokens"]
    assert (said["source"]["changedBy"], said["source"]["layer"]) == ("ada", "all_providers")
    query = {"provider": "openai", "organization": "acme", "at": str(last + 1)}
    assert data(client.get("/api/llm/settings", params=query, headers=of_acme))["maxTokens"] == 1
    assert len(data(client.get("/api/llm/settings", params={"at": "2999-01-01"}, headers=analyst))) == 1
    error(client.get("/api/llm/settings", params={"at": "2001-01-01T09:00Z"}, headers=admin), 410, "GONE")
    error(client.get("/api/llm/settings", params={"at": "0"}, headers=admin), 410, "GONE")
    error(client.get("/api/llm/settings", params={"at": "yesterday"}, headers=admin), 422, "VALIDATION_ERROR")

    differs = data(client.get(f"{HISTORY}/difference", params={"from": str(first), "to": str(last)}, headers=analyst))
    assert [row["fields"] for row in differs["rows"]] == [
        {"maxTokens": {"before": 100, "after": 9000}, "topP": {"before": None, "after": 0.5}}
    ]
    row = differs["rows"][0]["row"]
    body = {"table": "llm_settings", "row": row, "generation": first, "version": 2, "fields": ["maxTokens"]}
    refused = error(client.post(f"{HISTORY}/restore", json=body, headers=admin), 409, "CONFLICT")
    assert refused["changes"]["maxTokens"] == {"stored": 9000, "yours": 100}
    error(client.post(f"{HISTORY}/restore", json=body, headers=analyst), 403, "FORBIDDEN")
    error(client.post(f"{HISTORY}/restore", json=body, headers=of_acme), 404, "NOT_FOUND")
    error(client.post(f"{HISTORY}/restore", json={**body, "fields": ["nope"]}, headers=admin), 422, "VALIDATION_ERROR")
    tried = data(client.post(f"{HISTORY}/restore", json={**body, "version": 3, "dryRun": True}, headers=admin))
    done = data(client.post(f"{HISTORY}/restore", json={**body, "version": 3}, headers=admin))
    assert done["outcomes"] == tried["outcomes"]
    assert done["outcomes"][0]["fields"] == {"maxTokens": {"before": 9000, "after": 100}}

    whole_of = {"organization": "acme", "at": last + 1}
    tried = data(client.post(f"{HISTORY}/restore", json={**whole_of, "dryRun": True}, headers=of_acme))
    done = data(client.post(f"{HISTORY}/restore", json={**whole_of, "lookedAt": tried["lookedAt"]}, headers=of_acme))
    assert [each["done"] for each in done["outcomes"]] == ["changed"]
    assert data(client.get(HISTORY, params={"organization": "acme"}, headers=of_acme))[0]["fields"] == {
        "maxTokens": {"before": 2, "after": 1}
    }


@pytest.mark.usefixtures("committed")
def test_another_s_history_is_not_there(client: TestClient) -> None:
    """To acme's token beta, its row and its moments answer as what does not exist: the same body, and the attempt is on record."""
    with db.transaction() as session:
        acme, beta = (
            id_of(organizations.create_one(session, COMMAND_LINE, {"slug": s, "name": s})) for s in ("acme", "beta")
        )
    (generation,) = _write({"max_tokens": 1}, of=beta)
    headers, at = token_of(acme, "admin"), str(generation)
    for name in ("beta", "none"):
        for path, params in (
            (HISTORY, {}),
            (f"{HISTORY}/difference", {"from": "1", "to": at}),
            ("/api/llm/settings", {"at": at}),
        ):
            error(client.get(path, params={**params, "organization": name}, headers=headers), 404, "NOT_FOUND")
        error(
            client.post(f"{HISTORY}/restore", json={"organization": name, "at": 1}, headers=headers), 404, "NOT_FOUND"
        )
    bodies = []
    for row in (1, 999):
        body = {"table": "llm_settings", "row": row, "generation": generation}
        answer = client.post(f"{HISTORY}/restore", json=body, headers=headers)
        bodies.append(error(answer, 404, "NOT_FOUND")["message"].replace(f" {row} ", " N "))
    assert bodies[0] == bodies[1]
