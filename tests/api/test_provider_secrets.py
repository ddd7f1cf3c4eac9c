"""Headers, query parameters and next keys over REST: what goes in, what never comes out, and who was faster."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session
from starlette.testclient import TestClient

from core import config
from core.access import ratelimit
from core.manage import providers
from core.store import db
from tests.rest import NEW, data, error, serving, token
from tests.vendors import KEY, Vendor

CANARY = "hdr-canary-0123456789abcdefghij"
NEXT = KEY.replace("right", "later")
WORDS = {"name": "Ocp-Apim-Subscription-Key", "value": CANARY}


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API, with an admin's token, and without limits."""
    for name in ("GENERAL", "SENSITIVE"):
        monkeypatch.setenv(f"LLM_RATE_LIMIT_{name}", "100000 per minute")
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    with serving(monkeypatch) as client:
        client.headers.update(token("admin"))
        yield client


@pytest.fixture
def url(root: TestClient) -> str:
    """The path of a provider with a key."""
    made = data(root.post("/api/llm/providers", json={**NEW, "apiKey": KEY}), 201)
    return f"/api/llm/providers/{made['id']}"


@pytest.mark.parametrize("use", ["headers", "query"])
def test_a_sealed_value_never_comes_out(root: TestClient, url: str, use: str, session: Session) -> None:
    """It is told by mask and fingerprint; a plain one as it is; in no answer, and in no audit, is the sealed one."""
    made = data(root.post(f"{url}/{use}", json=WORDS), 201)
    assert (made["name"], made["sealed"], made["value"], made["valueMasked"]) == (
        WORDS["name"],
        True,
        None,
        "hdr-can...****",
    )
    assert made["valueFingerprint"][0] == "#"
    plain = data(root.post(f"{url}/{use}", json={"name": "api-version", "value": "2026-01-01", "sealed": False}), 201)
    assert (plain["value"], plain["valueMasked"], plain["valueFingerprint"]) == ("2026-01-01", None, None)

    listed = root.get(f"{url}/{use}")
    assert {one["name"] for one in data(listed)} == {"api-version", WORDS["name"]}
    assert data(root.get(f"{url}/{'query' if use == 'headers' else 'headers'}")) == []
    gone = root.request("DELETE", f"{url}/{use}", params={"name": WORDS["name"]})
    assert data(gone)["deleted"] == [f"the {'header' if use == 'headers' else 'query parameter'} {WORDS['name']}"]
    error(root.request("DELETE", f"{url}/{use}", params={"name": WORDS["name"]}), 404, "NOT_FOUND")
    written = str(session.scalars(text("SELECT changes::text FROM audit_events")).all())
    assert "hdr-can...****" in written
    assert all(CANARY not in told for told in (listed.text, gone.text, written))


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({"name": "Host", "value": "x"}, "name", "written by the HTTP client"),
        ({"name": "authorization", "value": "x"}, "name", "carries the API key already"),
        ({"name": "X Y", "value": "x"}, "name", "letters, digits and hyphens"),
        ({"name": "X", "value": "a\nb"}, "value", "line break"),
        ({"name": "X", "value": "\u20ac"}, "value", "no ASCII"),
        ({"name": "X", "value": "x" * 9000}, "value", "8,192"),
        ({"name": "X", "value": "hdr-can...****"}, "value", "is the mask"),
        ({"name": "X"}, "value", "is needed"),
        ({"value": "x"}, "name", "is needed"),
        ({"name": 5, "value": "x"}, "name", "string"),
        ({"name": "X", "value": 5}, "value", "string"),
        ({"name": "X", "value": "x", "sealed": "no"}, "sealed", "bool"),
        ({"name": "X", "value": "x", "secret": True}, "secret", "is not a field here"),
    ],
)
def test_field_and_rule_are_named(root: TestClient, url: str, body: dict[str, Any], field: str, rule: str) -> None:
    """422 names the field at fault and the rule, and never the value."""
    told = error(root.post(f"{url}/headers", json=body), 422, "VALIDATION_ERROR")

    assert list(told["fields"]) == [field]
    assert rule in told["fields"][field]
    assert data(root.get(f"{url}/headers")) == []


def test_who_was_faster(root: TestClient, url: str) -> None:
    """A row's version goes out as its ETag; a stale one is 409 with who and when; a row that is gone is 404."""
    first = root.post(f"{url}/headers", json=WORDS)
    etag = first.headers["ETag"]
    assert etag == f'"{data(first, 201)["version"]}"'
    again = root.post(
        f"{url}/headers", json={**WORDS, "name": WORDS["name"].upper(), "value": "other"}, headers={"If-Match": etag}
    )
    assert data(again)["version"] == 2  # of headers case does not count
    told = error(root.post(f"{url}/headers", json={**WORDS, "version": 1}), 409, "CONFLICT")
    assert (told["version"], told["changedBy"][:6]) == (2, "token:")
    assert CANARY not in str(told)
    removing = {"params": {"name": WORDS["name"]}, "headers": {"If-Match": etag}}
    error(root.request("DELETE", f"{url}/headers", **removing), 409, "CONFLICT")
    data(root.request("DELETE", f"{url}/headers", params={"name": WORDS["name"]}, headers={"If-Match": '"2"'}))
    error(root.post(f"{url}/headers", json={**WORDS, "version": 2}), 404, "NOT_FOUND")


def test_a_key_is_exchanged(root: TestClient, url: str) -> None:
    """Add, promote, retire: which is which is told by fingerprint at each step, and no key comes out."""
    error(root.get(f"{url}/next-key"), 404, "NOT_FOUND")
    error(root.post(f"{url}/next-key/promote"), 422, "VALIDATION_ERROR")
    before = data(root.get(url))
    added = root.post(f"{url}/next-key", json={"apiKey": NEXT})
    following = data(added, 201)
    assert (following["state"], following["apiKeyMasked"]) == ("next", before["apiKeyMasked"])
    assert following["apiKeyFingerprint"] != before["apiKeyFingerprint"]
    error(root.post(f"{url}/next-key/promote", headers={"If-Match": '"9"'}), 409, "CONFLICT")
    promoted = data(root.post(f"{url}/next-key/promote", headers={"If-Match": added.headers["ETag"]}))
    assert promoted["apiKeyFingerprint"] == following["apiKeyFingerprint"]
    former = root.get(f"{url}/next-key")
    assert (data(former)["state"], data(former)["apiKeyFingerprint"]) == ("former", before["apiKeyFingerprint"])
    with db.transaction() as session:
        assert providers.open_api_key(session, promoted["id"]) == NEXT
    (told,) = data(root.request("DELETE", f"{url}/next-key"))["deleted"]
    assert told == f"the former key {before['apiKeyMasked']} {before['apiKeyFingerprint']}"
    error(root.request("DELETE", f"{url}/next-key"), 422, "VALIDATION_ERROR")
    assert all(key not in str(found) for key in (KEY, NEXT) for found in (added.text, former.text, promoted))


def test_the_next_key_is_tested(root: TestClient) -> None:
    """Before it is promoted: its refusal is told at its stage, and the current key is not sent."""
    with Vendor(keys=(KEY,)) as vendor:
        own = {**NEW, "apiBaseUrl": vendor.base_url("openai"), "apiKey": KEY}
        url = f"/api/llm/providers/{data(root.post('/api/llm/providers', json=own), 201)['id']}"
        data(root.post(f"{url}/next-key", json={"apiKey": NEXT}), 201)
        refused = data(root.post(f"{url}/next-key/test"))
        vendor.keys[:] = [NEXT]
        assert data(root.post(f"{url}/next-key/test"))["state"] == "verified"

    assert refused["state"] == "refused"
    assert next(stage["state"] for stage in refused["stages"] if stage["name"] == "key") == "refused"
    assert NEXT not in str(refused)
    assert not any(KEY in str(asked.headers) for asked in vendor.asked)


def test_a_provider_is_sent_back_whole(root: TestClient, url: str) -> None:
    """The fingerprint is read-only: sent back as it was read it is ignored, with another value refused."""
    read = data(root.get(url))
    assert data(root.put(url, json={**read, "description": "new"}))["apiKeyFingerprint"] == read["apiKeyFingerprint"]
    told = error(
        root.put(url, json={"apiKeyFingerprint": "#00000000", "version": read["version"] + 1}), 422, "VALIDATION_ERROR"
    )
    assert list(told["fields"]) == ["apiKeyFingerprint"]
