"""Organisations and features over REST: made, changed, found and deleted by the installation's admins."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import config
from core.access import ratelimit
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from tests.rest import KEYS, ORGANIZATIONS, Tenant, data, error, token

SCRIPTS = [
    *("Ünïcödé GmbH", "組織・東京", "شرکت نمونه", "ארגון לדוגמה", "Организация", "संगठन", "องค์กร", "🦜🌍"),
    *("'; DROP TABLE organizations; --", "%_\\", "x" * 200, "組" * 200),
]


def added(root: TestClient, slug: str = "acme", **more: Any) -> tuple[dict[str, Any], str]:
    """Make an organisation; its answer and path."""
    made = data(root.post(ORGANIZATIONS, json={"slug": slug, "name": slug.title(), **more}), 201)
    return made, f"{ORGANIZATIONS}/{made['id']}"


def test_an_organisation_from_first_to_last(root: TestClient) -> None:
    """Made, read, renamed, deleted and restored; whoever was faster is heard of."""
    tier, _ = added(root, "tier", kind="template")
    answer = root.post(ORGANIZATIONS, json={"slug": "acme", "name": "Acme", "templateId": tier["id"]})
    made, url = data(answer, 201), f"{ORGANIZATIONS}/{answer.json()['data']['id']}"

    assert answer.headers["Location"] == f"organizations/{made['id']}"
    assert answer.headers["ETag"] == f'"{made["version"]}"'
    assert data(root.get(url)) == made
    assert [each["slug"] for each in data(root.get(ORGANIZATIONS))] == ["acme", "tier"]
    assert data(root.get(f"{ORGANIZATIONS}?kind=organization")) == [made]
    renamed = data(root.put(url, json={**made, "slug": "acme-2"}))
    assert (renamed["slug"], renamed["formerSlugs"], renamed["version"]) == ("acme-2", ["acme"], 2)
    stale = error(root.put(url, json={"name": "Other", "version": 1}), 409, "CONFLICT")
    assert stale["changes"]["name"] == {"stored": "Acme", "yours": "Other"}
    error(root.put(url, json={"name": "Other"}), 428, "VERSION_REQUIRED")
    for wrong, field in (
        ({"slug": "Acme"}, "slug"),
        ({"templateId": made["id"]}, "templateId"),
        ({"kind": "template"}, "kind"),
        ({"name": ""}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"externalNames": ["x"]}, "externalNames"),
        ({"deletedAt": "2026-01-01T00:00:00+00:00"}, "deletedAt"),
        ({"shares_keys": False}, "shares_keys"),
    ):
        told = error(root.put(url, json={**wrong, "version": 2}), 422, "VALIDATION_ERROR")
        assert list(told["fields"]) == [field]
    in_use = error(root.delete(f"{ORGANIZATIONS}/{tier['id']}"), 422, "VALIDATION_ERROR")
    assert "acme-2" in in_use["fields"]["template"]
    error(root.delete(url, headers={"If-Match": '"1"'}), 409, "CONFLICT")
    assert data(root.delete(url, headers={"If-Match": '"2"'}))["deleted"] == ["the organisation acme-2"]
    error(root.delete(url), 404, "NOT_FOUND")
    assert data(root.get(f"{ORGANIZATIONS}?kind=organization")) == []
    assert [each["id"] for each in data(root.get(f"{ORGANIZATIONS}?deleted=true"))] == [made["id"]]
    assert data(root.get(url))["deletedAt"]
    added(root, "acme-2")
    taken = error(root.post(f"{url}/restore"), 409, "ALREADY_EXISTS")
    assert taken["fields"] == {"slug": "is taken"}
    back = data(root.post(f"{url}/restore?slug=acme-3"))
    assert (back["slug"], back["deletedAt"], back["templateId"]) == ("acme-3", None, tier["id"])
    error(root.post(f"{url}/restore"), 404, "NOT_FOUND")
    error(root.post(ORGANIZATIONS, json={"slug": "acme", "name": "A"}), 409, "ALREADY_EXISTS")
    assert (
        data(root.post(f"{ORGANIZATIONS}?takeFormer=true", json={"slug": "acme", "name": "A"}), 201)["slug"] == "acme"
    )


def test_pages_of_a_list(root: TestClient) -> None:
    """By slug, so many at a time, each once; deleted ones that had one slug too; what is no slug is refused."""
    for _ in range(3):
        _, url = added(root, "same")
        data(root.delete(url))
    for number in range(5):
        added(root, f"o{number}", name=f"Number {number}")

    def pages(query: str, after: Callable[[dict[str, Any]], str]) -> list[int]:
        seen: list[dict[str, Any]] = []
        while page := data(root.get(f"{ORGANIZATIONS}?{query}&limit=2{after(seen[-1]) if seen else ''}")):
            seen += page
        return [each["id"] for each in seen]

    live = pages("search=o", lambda last: f"&after={last['slug']}")
    gone = pages("deleted=true", lambda last: f"&after={last['slug']}&afterId={last['id']}")
    assert (len(live), len(set(live))) == (5, 5)
    assert (len(gone), len(set(gone))) == (3, 3)
    assert data(root.get(f"{ORGANIZATIONS}?search=number 3"))[0]["slug"] == "o3"
    for query in ("after=A%00", "limit=0", "limit=101", "kind=tenant", "after=", "afterId=-1", "page=2"):
        error(root.get(f"{ORGANIZATIONS}?{query}"), 422, "VALIDATION_ERROR")


def test_a_thousand_at_once(root: TestClient) -> None:
    """One write, counted once, with an outcome each; names come back letter by letter; what is wrong with one keeps none of the others."""
    entries: list[dict[str, Any]] = [
        {"slug": f"o{n}", "name": SCRIPTS[n % len(SCRIPTS)], "externalNames": [f"crm-{n}"]} for n in range(994)
    ]
    entries[: len(SCRIPTS)] = [{**each, "externalNames": [each["name"]]} for each in entries[: len(SCRIPTS)]]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"slug": "Upper", "name": "U"}, "slug"),
        ({"slug": "o1", "name": "twice"}, "slug"),
        ({"slug": "fresh", "name": "F", "externalNames": ["crm-99"]}, "externalNames"),
        ({"slug": "child", "name": "C", "templateId": 999_999}, "templateId"),
        ({"slug": "odd", "name": "O", "surprise": 1}, "surprise"),
        ({"slug": "snake", "name": "S", "external_names": []}, "external_names"),
    ]
    before = root.post(ORGANIZATIONS, json={"organizations": []})
    answer = root.post(ORGANIZATIONS, json={"organizations": [*entries, *(each for each, _ in wrong)]})

    outcomes = data(answer)
    made = [each["organization"] for each in outcomes[:994]]
    assert [(each["slug"], each["name"], each["externalNames"]) for each in made] == [
        (each["slug"], each["name"], each["externalNames"]) for each in entries
    ]
    refused = outcomes[994:]
    assert [each["organization"] for each in refused] == [None] * 6
    assert [list(each["error"]["fields"]) for each in refused] == [[field] for _, field in wrong]
    assert [each["error"]["code"] for each in refused] == [
        *("VALIDATION_ERROR", "ALREADY_EXISTS", "ALREADY_EXISTS"),
        *("VALIDATION_ERROR",) * 3,
    ]
    remaining = [int(each.headers["RateLimit-Remaining"]) for each in (before, answer)]
    assert remaining[0] - remaining[1] == 1
    for body in (
        {"organizations": [{}] * 1001},
        {"organizations": {}},
        {"organizations": [1]},
        {"organizations": None},
    ):
        assert "organizations" in error(root.post(ORGANIZATIONS, json=body), 422, "VALIDATION_ERROR")["fields"]
    beside = error(root.post(ORGANIZATIONS, json={"organizations": [], "slug": "x"}), 422, "VALIDATION_ERROR")
    assert list(beside["fields"]) == ["slug"]


def test_names(root: TestClient) -> None:
    """All external names at once, based on those that were read; each is one organisation's."""
    _, url = added(root, externalNames=["crm-1"])
    added(root, "beta", externalNames=["crm-2"])
    names = f"{url}/names"

    assert data(root.get(names)) == {"slug": "acme", "externalNames": ["crm-1"], "formerSlugs": []}
    done = data(root.put(names, json={"externalNames": ["erp 組織", "crm-1"], "was": ["crm-1"]}))
    assert done["externalNames"] == ["crm-1", "erp 組織"]
    stale = error(root.put(names, json={"externalNames": [], "was": ["crm-1"]}), 409, "CONFLICT")
    assert stale["changes"]["externalNames"] == {"stored": ["crm-1", "erp 組織"], "yours": []}
    error(root.put(names, json={"externalNames": []}), 428, "VERSION_REQUIRED")
    taken = error(
        root.put(names, json={"externalNames": ["crm-2"], "was": done["externalNames"]}), 409, "ALREADY_EXISTS"
    )
    assert taken["fields"] == {"externalNames": "is taken"}
    for body, field in (
        ({"was": []}, "externalNames"),
        ({"externalNames": [" x"], "was": []}, "externalNames"),
        ({"externalNames": [], "was": [1]}, "was"),
        ({"externalNames": [], "was": [], "slug": "x"}, "slug"),
    ):
        assert field in error(root.put(names, json=body), 422, "VALIDATION_ERROR")["fields"]
    assert data(root.put(names, json={"externalNames": []}, headers={"If-Match": "*"}))["externalNames"] == []


def test_members(root: TestClient) -> None:
    """By username in, by id out; who is no user is missed, and a role that is none is named."""
    _, url = added(root)
    with db.transaction() as session:
        eve = User(username="eve", role="member", password_hash="*")
        session.add(eve)
        session.flush()
        number = id_of(eve)
    members = f"{url}/members"

    made = data(root.post(members, json={"username": "EVE", "role": "admin"}), 201)
    assert made == {"userId": number, "username": "eve", "role": "admin", "isActive": True}
    assert data(root.post(members, json={"username": "eve", "role": "analyst"}))["role"] == "analyst"
    assert [each["role"] for each in data(root.get(members))] == ["analyst"]
    error(root.post(members, json={"username": "nobody", "role": "admin"}), 404, "NOT_FOUND")
    for body, fields in (
        ({"username": "eve", "role": "owner"}, ["role"]),
        ({"username": 5, "role": "admin"}, ["username"]),
        ({}, ["username", "role"]),
        ({"username": "eve", "role": "admin", "id": 1}, ["id"]),
    ):
        assert list(error(root.post(members, json=body), 422, "VALIDATION_ERROR")["fields"]) == fields
    assert root.post(members, content=b'{"username": "\\ud800", "role": "admin"}', headers=JSON).status_code == 404
    assert data(root.delete(f"{members}/{number}"))["id"] == number
    error(root.delete(f"{members}/{number}"), 404, "NOT_FOUND")
    assert data(root.get(members)) == []


JSON = {"Content-Type": "application/json"}


def test_what_an_organisation_may_of_a_provider(root: TestClient, provider_id: int) -> None:
    """Nothing is stored: version 0. A key is told by mask and fingerprint; what is odd is named by its field."""
    _, url = added(root)
    of = f"{url}/providers/{provider_id}"

    nothing = root.get(of)
    assert (data(nothing)["version"], data(nothing)["isAllowed"], nothing.headers["ETag"]) == (0, None, '"0"')
    assert data(root.get(f"{url}/providers")) == []
    first = data(root.put(of, json={**data(nothing), "allowedModels": ["m1"]}))
    assert (first["version"], first["allowedModels"], first["apiKeyMasked"]) == (1, ["m1"], None)
    error(root.put(of, json={**data(nothing), "allowedModels": []}), 409, "CONFLICT")
    error(root.put(of, json={"allowedModels": []}), 428, "VERSION_REQUIRED")
    keyed = root.post(f"{of}/api-key", json={"apiKey": KEYS["acme"]}, headers={"If-Match": '"1"'})
    assert (data(keyed)["apiKeyMasked"], data(keyed)["requiresOwnKey"]) == ("sk-proj...****", True)
    assert data(keyed)["apiKeyFingerprint"].startswith("#")
    assert data(root.get(f"{url}/providers")) == [data(root.get(of))] == [data(keyed)]
    error(root.post(f"{of}/api-key", json={"apiKey": KEYS["beta"]}, headers={"If-Match": '"1"'}), 409, "CONFLICT")
    for body, field in (({"apiKey": ""}, "apiKey"), ({}, "apiKey"), ({"apiKey": None}, "apiKey"), ({"key": 1}, "key")):
        assert list(error(root.post(f"{of}/api-key", json=body), 422, "VALIDATION_ERROR")["fields"]) == [field]
    for patch, field in (
        ({"allowedModels": "m1"}, "allowedModels"),
        ({"isAllowed": 1}, "isAllowed"),
        ({"apiKeyMasked": "sk"}, "apiKeyMasked"),
        ({"apiKey": "x" * 30}, "apiKey"),
    ):
        told = error(root.put(of, json={**patch, "version": data(keyed)["version"]}), 422, "VALIDATION_ERROR")
        assert list(told["fields"]) == [field]
    gone = data(root.delete(f"{of}/api-key"))
    assert (gone["apiKeyMasked"], gone["apiKeyFingerprint"], gone["requiresOwnKey"]) == (None, None, True)
    error(root.delete(f"{of}/api-key"), 404, "NOT_FOUND")
    error(root.get(f"{url}/providers/999999"), 404, "NOT_FOUND")
    tier, _ = added(root, "tier", kind="template")
    asked = root.post(f"{ORGANIZATIONS}/{tier['id']}/providers/{provider_id}/api-key", json={"apiKey": KEYS["acme"]})
    assert "template" in error(asked, 422, "VALIDATION_ERROR")["fields"]["apiKey"]


def test_features(root: TestClient) -> None:
    """Registered, found, changed and deleted, with what goes along."""
    made = root.post("/api/llm/features", json={"name": "classify", "displayName": "Classify 組織"})
    feature, url = data(made, 201), f"/api/llm/features/{made.json()['data']['id']}"

    assert made.headers["Location"] == f"features/{feature['id']}"
    assert data(root.get(url)) == feature
    assert data(root.get("/api/llm/features?search=組織")) == [feature]
    assert data(root.get("/api/llm/features?after=classify")) == []
    error(root.get("/api/llm/features?after=%00"), 422, "VALIDATION_ERROR")
    taken = error(root.post("/api/llm/features", json={"name": "classify", "displayName": "C"}), 409, "ALREADY_EXISTS")
    assert taken["fields"] == {"name": "is taken"}
    wrong = error(root.post("/api/llm/features", json={"name": "Bad", "displayName": ""}), 422, "VALIDATION_ERROR")
    assert set(wrong["fields"]) == {"name", "displayName"}
    assert data(root.put(url, json={**feature, "isActive": False}))["version"] == 2
    error(root.put(url, json={"isActive": True, "version": 1}), 409, "CONFLICT")
    row = data(root.post(f"/api/llm/settings/feature/{feature['id']}", json={"providerId": None, "topP": 0.5}), 201)
    assert data(root.delete(url))["deleted"] == ["the feature classify", "its 1 override"]
    error(root.delete(f"/api/llm/overrides/{row['id']}"), 404, "NOT_FOUND")


def test_settings_of_a_scope(root: TestClient, two: list[Tenant], provider_id: int) -> None:
    """Rows of an organisation, a feature, and both: made, found, changed where they stand, and deleted; what overrides a value is said."""
    acme, beta = two
    of = f"/api/llm/settings/organization/{acme.organization}"

    rows = data(root.get(of))
    assert [(each["id"], each["featureId"]) for each in rows] == [(acme.settings, None), (acme.override, acme.feature)]
    body = {"providerId": provider_id, "featureId": acme.feature, "preferredModel": "m2"}
    made = data(root.post(of, json=body), 201)
    assert (made["organizationId"], made["featureId"], made["providerId"]) == (
        *(acme.organization, acme.feature, provider_id),
    )
    assert [each["id"] for each in data(root.get(f"{of}?providerId={provider_id}"))] == [made["id"]]
    assert len(data(root.get(f"{of}?featureId={acme.feature}"))) == 2
    assert data(root.get(f"{of}?featureId={beta.feature}")) == []
    changed = data(root.post(of, json={**made, "topP": 1, "preferredModel": None}))
    assert (changed["id"], changed["version"]) == (made["id"], 2)
    error(root.post(of, json={**body, "version": 1}), 409, "CONFLICT")
    again = data(root.put(f"/api/llm/overrides/{made['id']}", json={**changed, "maxTokens": 9}))
    assert again["maxTokens"] == 9
    error(root.put(f"/api/llm/overrides/{made['id']}", json={"maxTokens": 8, "version": 2}), 409, "CONFLICT")
    error(root.put(f"/api/llm/overrides/{made['id']}", json={"maxTokens": 8}), 428, "VERSION_REQUIRED")
    told = error(
        root.put(f"/api/llm/overrides/{made['id']}", json={"featureId": beta.feature, "version": 3}),
        *(422, "VALIDATION_ERROR"),
    )
    assert list(told["fields"]) == ["featureId"]
    whole = data(
        root.put(
            f"/api/llm/settings/{acme.settings}", json={"topP": 0.75, "defaultProviderId": provider_id}, headers=ANY
        )
    )
    assert (whole["defaultProviderId"], whole["organizationId"]) == (provider_id, acme.organization)
    assert whole["warnings"] == ["top_p: overridden by 2 rows of 1 organisation and 1 feature."]
    common = data(root.post("/api/llm/settings/global", json={"providerId": None, "topP": 0.125}), 201)
    assert common["warnings"] == ["top_p: overridden by 5 rows of 2 organisations and 2 features."]
    for sent, field in (
        ({"topP": 1}, "providerId"),
        ({"providerId": True}, "providerId"),
        ({"providerId": None, "featureId": "x"}, "featureId"),
        ({"providerId": None, "topP": 3}, "topP"),
        ({"providerId": None, "preferredModel": "m1"}, "preferredModel"),
        ({"providerId": provider_id, "preferredModel": "m9"}, "preferredModel"),
        ({"providerId": provider_id, "defaultProviderId": provider_id}, "defaultProviderId"),
        ({"providerId": None, "surprise": 1}, "surprise"),
    ):
        assert list(error(root.post(of, json=sent), 422, "VALIDATION_ERROR")["fields"]) == [field], sent
    for sent in ({"providerId": 999_999}, {"providerId": None, "featureId": 999_999}):
        error(root.post(of, json=sent), 404, "NOT_FOUND")
    nobodys = f"/api/llm/settings/feature/{acme.feature}"
    assert data(root.get(nobodys)) == []
    shared = data(root.post(nobodys, json={"providerId": provider_id, "stop": ["END"]}), 201)
    assert data(root.get(f"{nobodys}?providerId={provider_id}")) == [shared]
    for path in (f"overrides/{shared['id']}", f"overrides/{made['id']}", f"settings/{acme.settings}"):
        data(root.delete(f"/api/llm/{path}"))
        error(root.delete(f"/api/llm/{path}"), 404, "NOT_FOUND")


ANY = {"If-Match": "*"}


def test_the_store_is_opened_and_closed(root: TestClient) -> None:
    """What is decided for all: read, changed, and not past somebody who was faster."""
    first = root.get("/api/llm/installation")
    assert (data(first)["organizations"], first.headers["ETag"]) == ("closed", '"1"')
    assert data(root.put("/api/llm/installation", json={**data(first), "organizations": "open"}))["version"] == 2
    error(root.put("/api/llm/installation", json={**data(first), "organizations": "closed"}), 409, "CONFLICT")
    error(root.put("/api/llm/installation", json={"organizations": "closed"}), 428, "VERSION_REQUIRED")
    told = error(
        root.put("/api/llm/installation", json={"organizations": "ajar"}, headers=ANY), 422, "VALIDATION_ERROR"
    )
    assert list(told["fields"]) == ["organizations"]


def test_a_limit_of_their_own(client: TestClient, monkeypatch: pytest.MonkeyPatch, provider_id: int) -> None:
    """Committed writes of organisations count on it, refused ones on the general limit; settings and features on the sensitive one."""
    for name, number in {"PROVISIONING": 3, "SENSITIVE": 1, "GENERAL": 4}.items():
        monkeypatch.setenv(f"LLM_RATE_LIMIT_{name}", f"{number} per 5 minutes")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    client.headers.update(token("admin"))

    made, url = added(client)
    named = client.put(f"{url}/names", json={"externalNames": ["crm"], "was": []})
    assert (named.headers["RateLimit-Limit"], named.headers["RateLimit-Remaining"]) == ("3", "1")
    error(client.post(ORGANIZATIONS, json={"slug": "acme", "name": "A"}), 409, "ALREADY_EXISTS")
    data(client.post(f"{url}/providers/{provider_id}/api-key", json={"apiKey": KEYS["acme"]}))
    error(client.delete(url), 429, "TOO_MANY_REQUESTS")
    row = client.post(f"/api/llm/settings/organization/{made['id']}", json={"providerId": None, "topP": 1})
    assert (data(row, 201)["topP"], row.headers["RateLimit-Limit"]) == (1, "1")
    error(client.post("/api/llm/features", json={"name": "f", "displayName": "F"}), 429, "TOO_MANY_REQUESTS")
    assert client.get(url).headers["RateLimit-Remaining"] == "2"
