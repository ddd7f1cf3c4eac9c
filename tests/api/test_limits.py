"""Limits over REST: a whole life by the names of the wire, counted before they are saved."""

from fastapi.testclient import TestClient

from core.actors import COMMAND_LINE
from core.manage import providers
from core.store import db
from core.store.table import id_of
from tests.rest import KEY, data, error, tenant, token, token_of

LIMITS = "/api/llm/limits"


def test_limits_over_rest(client: TestClient) -> None:
    """POST, preview, refused save, PUT with what GET gave, clear, DELETE; an organisation's admin sets its own alone."""
    with db.transaction() as session:
        made = {"name": "openai", "display_name": "O", "kind": "openai", "available_models": ["m"], "api_key": KEY}
        provider = id_of(providers.create(session, COMMAND_LINE, made | {"default_model": "m"}))
        acme = tenant(session, "acme", provider)
    admin, theirs = token("admin"), token_of(acme.organization, "admin")
    client.headers.update(admin)
    row = f"/api/llm/settings/organization/{acme.organization}"
    data(client.post(row, json={"providerId": provider, "maxTokens": 9000}), 201)
    wanted = {"organizationId": acme.organization, "limits": {"maxTokens": {"max": 4000}}, "note": "contract"}
    wanted["limits"] |= {"defaultProvider": {"in": [provider]}, "customSettings.a_b": {"lock": True}}

    seen = data(client.post(f"{LIMITS}/preview", json=wanted))
    assert (seen["rows"], seen["organizations"], seen["fields"]) == (1, 1, {"maxTokens": 1})
    assert seen["listed"][0]["provider"] == "openai"
    assert seen["holds"] == "It holds everywhere."
    answer = client.post(LIMITS, json=wanted)
    found = data(answer, 201)
    assert (found["limits"], found["effect"]["rows"], answer.headers["ETag"]) == (wanted["limits"], 1, '"1"')
    url = f"{LIMITS}/{found['id']}"
    assert answer.headers["Location"] == f"limits/{found['id']}"

    refused = error(client.post(row, json={"providerId": provider, "maxTokens": 8000}), 422, "VALIDATION_ERROR")
    assert refused["fields"]["maxTokens"].startswith("at most 4,000 here: limit of ")

    read = data(client.get(url))
    assert read["effect"] is None
    assert data(client.put(url, json=read | {"note": "new"}))["version"] == 2
    error(client.put(url, json={"note": "x", "version": 1}), 409, "CONFLICT")
    error(client.put(url, json={"owner": "organization", "version": 2}), 422, "VALIDATION_ERROR")
    assert error(client.post(LIMITS, json=wanted | {"limits": {"max_tokens": {"max": 1}}}), 422, "VALIDATION_ERROR")[
        "fields"
    ]
    error(client.post(LIMITS, json=wanted), 409, "ALREADY_EXISTS")
    assert [each["id"] for each in data(client.get(LIMITS, headers=theirs))] == [acme.limits, found["id"]]
    narrowed = {
        "field=maxTokens": 1,
        "field=customSettings": 1,
        "field=customSettings.a_b": 1,
        "field=topP": 0,
        f"providerId={provider}": 0,
        "featureId=1": 0,
        "owner=organization&field=max_tokens": 0,
    }
    of = f"{LIMITS}?organizationId={acme.organization}"
    there = {each["id"] for each in data(client.get(of))} - {acme.limits}
    for query, number in narrowed.items():
        assert len({each["id"] for each in data(client.get(f"{of}&{query}"))} & there) == number, query
    error(client.get(f"{of}&owner=nobody"), 422, "VALIDATION_ERROR")
    error(client.put(url, json={"note": "ours", "version": 2}, headers=theirs), 403, "FORBIDDEN")
    own = {
        "owner": "organization",
        "organizationId": acme.organization,
        "providerId": provider,
        "limits": {"topP": {"max": 0.5}},
    }
    assert data(client.post(LIMITS, json=own, headers=theirs), 201)["limits"] == {"topP": {"max": 0.5}}
    assert data(client.post(f"{url}/clear")) == {"cleared": 1, "left": 0}
    data(client.delete(url))
    error(client.get(url), 404, "NOT_FOUND")
