"""The client that the owner's plan writes down: its eleven methods work as they are written there."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from core.access import ratelimit
from core.config import get_config
from tests.rest import KEY, data, error, serving, token

OPENAI = {"name": "openai", "displayName": "OpenAI", "availableModels": ["gpt-4"], "defaultModel": "gpt-4"}
"""As the plan's ``Partial<LLMProvider>``: it has no kind."""


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API with an admin's token, and limits that do not matter here."""
    monkeypatch.setenv("LLM_RATE_LIMIT_SENSITIVE", "1000 per minute")
    get_config.cache_clear()
    ratelimit.get_limiter.cache_clear()
    with serving(monkeypatch) as client:
        client.headers.update(token("admin"))
        yield client


@pytest.fixture
def openai(root: TestClient) -> dict[str, Any]:
    """A provider, made as the plan makes it."""
    made: dict[str, Any] = data(root.post("/api/llm/providers", json=OPENAI), 201)
    return made


def test_the_eleven_methods(root: TestClient, openai: dict[str, Any]) -> None:
    """getProviders … deleteSettings, in the order of the plan, with the bodies that it sends."""
    url = f"/api/llm/providers/{openai['id']}"
    assert data(root.get("/api/llm/providers")) == [openai]
    assert data(root.get(url)) == openai
    renamed = data(root.put(url, json={**openai, "displayName": "OpenAI Inc"}))
    assert renamed["displayName"] == "OpenAI Inc"
    assert data(root.post(f"{url}/api-key", json={"apiKey": KEY}))["apiKeyMasked"] == "sk-proj...****"

    made = data(root.post("/api/llm/settings/global", json={"providerId": openai["id"], "maxTokens": 2000.0}), 201)
    assert data(root.get("/api/llm/settings/global", params={"providerId": openai["id"]})) == [made]
    row = f"/api/llm/settings/{made['id']}"
    assert data(root.put(row, json={**made, "topP": 0.5}))["topP"] == 0.5
    (effective,) = data(root.get("/api/llm/settings"))
    assert (effective["maxTokens"], effective["topP"], effective["isOverridden"]) == (2000, 0.5, False)
    assert data(root.delete(row))["id"] == made["id"]
    assert data(root.delete(url))["id"] == openai["id"]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "openai"),
        ({"name": "anthropic"}, "anthropic"),
        ({"name": " google "}, "google"),
        ({"name": "work", "apiBaseUrl": "https://api.anthropic.com/"}, "anthropic"),
        ({"name": "openai", "apiBaseUrl": "https://llm.acme.example/v1"}, "openai_compatible"),
        ({"name": "local", "apiBaseUrl": "http://127.0.0.1:11434/v1"}, "openai_compatible"),
        ({"name": "openai", "kind": "google"}, "google"),
    ],
)
def test_kind_follows_from_address_or_name(root: TestClient, more: dict[str, Any], kind: str) -> None:
    """A kind that is named counts; else a vendor's own address, any other address, and last the name."""
    assert data(root.post("/api/llm/providers", json=OPENAI | more), 201)["kind"] == kind


@pytest.mark.parametrize("name", ["acme", "openai_compatible", 7, None])
def test_kind_that_nothing_tells_is_asked_for(root: TestClient, name: Any) -> None:
    """The field is named; nothing is guessed."""
    assert (
        "kind"
        in error(root.post("/api/llm/providers", json=OPENAI | {"name": name}), 422, "VALIDATION_ERROR")["fields"]
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 999),
        ("id", True),
        ("apiKeyMasked", "sk-other...****"),
        ("createdAt", "2020-01-01T00:00:00+00:00"),
        ("updatedAt", None),
    ],
)
def test_read_only_fields_cannot_be_changed(root: TestClient, openai: dict[str, Any], field: str, value: Any) -> None:
    """What GET gave may come back as it was; another value is refused by its name, and nothing is changed."""
    url = f"/api/llm/providers/{openai['id']}"
    answer = root.put(url, json={**openai, "displayName": "New", field: value})

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {field}
    assert data(root.get(url)) == openai


def test_a_moment_may_be_written_in_another_form(root: TestClient, openai: dict[str, Any]) -> None:
    """JavaScript writes milliseconds and Z where the answer had microseconds and an offset."""
    theirs = {name: openai[name][:23] + "Z" for name in ("createdAt", "updatedAt")}

    data(root.put(f"/api/llm/providers/{openai['id']}", json={**openai, **theirs}))


def test_a_stale_object_is_a_conflict(root: TestClient, openai: dict[str, Any]) -> None:
    """Its version counts before its other fields: who was faster is what has to be heard."""
    url = f"/api/llm/providers/{openai['id']}"
    data(root.put(url, json={**openai, "description": "first"}))

    error(root.put(url, json={**openai, "description": "second"}), 409, "CONFLICT")


def test_a_settings_row_stays_in_its_scope(root: TestClient, openai: dict[str, Any]) -> None:
    """PUT takes providerId and organizationId as they were read, and no others."""
    made = data(root.post("/api/llm/settings/global", json={"providerId": openai["id"]}), 201)
    url = f"/api/llm/settings/{made['id']}"

    for change in ({"providerId": None}, {"organizationId": 1}):
        assert set(error(root.put(url, json=made | change), 422, "VALIDATION_ERROR")["fields"]) == set(change)
    assert data(root.put(url, json=made))["providerId"] == openai["id"]


def test_a_missing_provider_is_not_all_providers(root: TestClient) -> None:
    """JSON drops what is undefined in JavaScript: that must not change every provider. null is all of them."""
    answer = root.post("/api/llm/settings/global", json={"maxRetries": 0})

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {"providerId"}
    assert data(root.get("/api/llm/settings/global")) == []
    assert (
        data(root.post("/api/llm/settings/global", json={"providerId": None, "maxRetries": 0}), 201)["maxRetries"] == 0
    )


@pytest.mark.parametrize(("given", "stored"), [(3.0, 3), (0.0, 0), (-0.0, 0), (10, 10)])
def test_a_whole_number_may_be_written_with_a_point(root: TestClient, given: float, stored: int) -> None:
    """To JSON 3.0 is 3; what is below the top level is the user's own and stays."""
    body = {"providerId": None, "maxRetries": given, "customSettings": {"x": 1.0}}
    made = data(root.post("/api/llm/settings/global", json=body), 201)

    assert made["maxRetries"] == stored
    assert isinstance(made["customSettings"]["x"], float)


@pytest.mark.parametrize("given", [3.5, 1e300, 2.0**60, "3.0", True])
def test_other_numbers_are_no_whole_ones(root: TestClient, given: Any) -> None:
    """A fraction, a huge one, a text and true are refused as before."""
    answer = root.post("/api/llm/settings/global", json={"providerId": None, "maxRetries": given})

    assert set(error(answer, 422, "VALIDATION_ERROR")["fields"]) == {"maxRetries"}


def test_one_effective_answer(root: TestClient, openai: dict[str, Any]) -> None:
    """By name or by id one object, with every field of the plan's type; the row is the provider's own, else that of all."""
    ask = "/api/llm/settings?providerId="
    bare = data(root.get(f"{ask}{openai['id']}"))
    common = data(root.post("/api/llm/settings/global", json={"providerId": None, "topP": 0.1}), 201)
    shared = data(root.get(f"{ask}{openai['id']}"))
    own = data(root.post("/api/llm/settings/global", json={"providerId": openai["id"], "topP": 0.2}), 201)
    last = data(root.get(f"{ask}{openai['id']}"))

    assert (bare["id"], bare["createdAt"], bare["updatedAt"]) == (None, None, None)
    assert shared["id"] == common["id"]
    assert {name: last[name] for name in ("id", "createdAt", "updatedAt")} == {
        name: own[name] for name in ("id", "createdAt", "updatedAt")
    }
    assert last == data(root.get("/api/llm/settings?provider=openai"))
    error(root.get(f"{ask}999999"), 404, "NOT_FOUND")
    for bad in ("0", "x", "-1", "٣", "99999999999999999999", "1&provider=openai", ""):
        assert set(error(root.get(ask + bad), 422, "VALIDATION_ERROR")["fields"]) == {"providerId"}
