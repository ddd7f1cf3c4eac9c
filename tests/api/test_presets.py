"""Presets over REST: made, changed and deleted by the installation's admins, applied by whoever may change a scope."""

from starlette.testclient import TestClient

from tests.rest import Tenant, data, error, token, token_of

PRESETS = "/api/llm/presets"
TERSE = {"name": "terse", "description": "One sentence", "fields": {"maxTokens": 80, "omittedParameters": ["topP"]}}


def test_a_preset_from_first_to_last(root: TestClient) -> None:
    """Made, read, sent back whole, changed, refused with the field, deleted."""
    assert [each["name"] for each in data(root.get(PRESETS))] == [
        "balanced",
        "cheap-and-short",
        "creative",
        "deterministic",
    ]
    told = error(root.post(PRESETS, json=TERSE), 422, "VALIDATION_ERROR")
    assert list(told["fields"]) == ["fields.omittedParameters"]
    made = data(root.post(PRESETS, json=TERSE | {"fields": {"maxTokens": 80, "omittedParameters": ["top_p"]}}), 201)
    url = f"{PRESETS}/{made['id']}"
    assert data(root.get(url)) == made
    assert made["fields"] == {"maxTokens": 80, "omittedParameters": ["top_p"]}
    same = data(root.put(url, json=made))
    assert (same["version"], same["fields"]) == (1, made["fields"])
    changed = data(root.put(url, json={"fields": {"temperature": 0}, "version": 1}))
    assert changed["fields"] == {"temperature": 0}
    for wrong, field in (
        ({"fields": {"max_tokens": 1}}, "fields.max_tokens"),
        ({"fields": {"preferredModel": "m"}}, "fields.preferredModel"),
        ({"fields": {}}, "fields"),
        ({"surprise": 1}, "surprise"),
    ):
        told = error(root.put(url, json={**wrong, "version": 2}), 422, "VALIDATION_ERROR")
        assert list(told["fields"]) == [field]
    error(root.put(url, json={"name": "curt"}), 428, "VERSION_REQUIRED")
    error(root.put(url, json={"name": "curt", "version": 1}), 409, "CONFLICT")
    error(root.post(PRESETS, json={"name": "creative", "fields": {"temperature": 1}}), 409, "ALREADY_EXISTS")
    assert data(root.delete(url, headers={"If-Match": '"2"'}))["deleted"] == ["the preset terse"]
    error(root.get(url), 404, "NOT_FOUND")


def test_it_is_applied(root: TestClient, two: list[Tenant], provider_id: int) -> None:
    """A dry run says what would change; an organisation's admin applies one to its own scopes, and to nobody else's."""
    acme, beta = two
    number = next(each["id"] for each in data(root.get(PRESETS)) if each["name"] == "creative")
    url = f"{PRESETS}/{number}/apply"
    own = {"providerId": None, "organizationId": acme.organization}
    client, mine = root, token_of(acme.organization, "admin")
    found = data(client.post(f"{url}?dryRun=true", json=own, headers=mine))
    assert {each["field"]: (each["before"], each["after"]) for each in found["changes"]}["topP"] == ("0.5", "1")
    row = data(client.post(url, json={**own, "version": found["version"]}, headers=mine))
    assert (row["organizationId"], row["topP"], row["version"]) == (acme.organization, 1, found["version"] + 1)
    error(client.post(url, json={**own, "version": found["version"]}, headers=mine), 409, "CONFLICT")
    assert data(client.post(f"{url}?dryRun=true", json=own, headers=mine)) == {"changes": [], "version": row["version"]}
    for other in ({"providerId": provider_id}, {"providerId": None, "organizationId": beta.organization}):
        assert client.post(url, json=other, headers=mine).status_code in {403, 404}
    assert client.post(PRESETS, json=TERSE, headers=mine).status_code == 403
    assert client.get(PRESETS, headers=token("analyst")).status_code == 403
    whole = {"providerId": provider_id, "organizationId": acme.organization, "featureId": acme.feature}
    assert data(client.post(url, json=whole, headers=mine))["featureId"] == acme.feature
    for wrong, field in (({}, "providerId"), ({"providerId": "x"}, "providerId"), ({**own, "team": 1}, "team")):
        assert list(error(client.post(url, json=wrong), 422, "VALIDATION_ERROR")["fields"]) == [field]
