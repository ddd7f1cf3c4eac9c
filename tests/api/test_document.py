"""The document over REST: read, compared and applied as one write; references are refused, and nothing of the server comes out."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from core.actors import COMMAND_LINE
from core.manage import organizations, settings
from core.store import db
from core.store.table import id_of
from tests.conftest import ENCRYPTION_KEY
from tests.rest import KEY, data, error, serving, token, token_of

URL = "/api/llm/document"
PROVIDER = {"display_name": "O", "kind": "openai", "available_models": ["gpt-6"], "settings": {"temperature": 0.5}}


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The API with an admin's token."""
    monkeypatch.setenv("LLM_RATE_LIMIT_SENSITIVE", "1000 per minute")
    with serving(monkeypatch) as client:
        client.headers.update(token("admin"))
        yield client


def test_it_is_read_compared_and_applied(root: TestClient) -> None:
    """What GET gives is no change; a change wants the generation it is based on, is tried by a dry run, and done once."""
    before = root.get(URL)
    document = {**data(before), "providers": {"openai": PROVIDER}}
    error(root.put(URL, json=document), 428, "VERSION_REQUIRED")
    tried = data(root.put(f"{URL}?dryRun=true", json=document))
    assert (tried["applied"], tried["summary"]) == (False, "2 to add.")
    assert [change["path"] for change in tried["changes"]] == ["providers.openai", "providers.openai.settings"]
    assert tried["changes"][1]["fields"] == [{"name": "temperature", "before": None, "after": 0.5}]
    assert root.get(URL).headers["ETag"] == before.headers["ETag"]
    assert data(root.put(URL, json=document, headers={"If-Match": "*"}))["applied"]
    assert data(root.put(URL, json=data(root.get(URL)), headers={"If-Match": "*"}))["summary"] == "Nothing to change."
    stale = error(root.put(URL, json=document, headers={"If-Match": '"999"'}), 409, "CONFLICT")
    assert stale["changes"]["generation"]["yours"] == 999
    with db.transaction() as session:
        row = session.connection().exec_driver_sql("SELECT id FROM llm_settings").scalar_one()
        settings.update(session, COMMAND_LINE, row, {"temperature": 0.9})
    disputed = error(root.put(URL, json=document, headers={"If-Match": "*"}), 409, "CONFLICT")
    assert disputed["changes"] == {"providers.openai.settings.temperature": {"stored": "0.9", "yours": "0.5"}}
    assert disputed["changedBy"] == "command line"
    assert data(root.put(f"{URL}?take=true", json=document, headers={"If-Match": "*"}))["applied"]


@pytest.mark.parametrize(
    ("secret", "rule"),
    [
        ({"env": "LLM_ENCRYPTION_KEY"}, "only the command line resolves"),
        ({"file": "/etc/passwd"}, "only the command line resolves"),
        (KEY, "must not be written out"),
        (f"{KEY[:7]}...****", "is the mask"),
        ({"set": True, "env": "HOME"}, "must be one of"),
    ],
)
def test_no_secret_goes_in_or_out(root: TestClient, secret: Any, rule: str) -> None:
    """A reference, a key and a mask are refused by path, on a dry run too; neither they nor what they name stand in the answer."""
    document = {
        "version": 1,
        "providers": {"openai": {**PROVIDER, "api_base_url": "http://127.0.0.1:9/v1", "api_key": secret}},
    }
    for how in ("", "?dryRun=true"):
        answer = root.put(f"{URL}{how}", json=document, headers={"If-Match": "*"})
        fields = error(answer, 422, "VALIDATION_ERROR")["fields"]
        assert rule in fields["providers.openai.api_key"]
        assert not any(plain in answer.text for plain in (KEY, ENCRYPTION_KEY, "root:"))
    assert "providers" not in data(root.get(URL))


def test_an_organisations_own(root: TestClient) -> None:
    """Its admin reads and applies its document; another's and the whole are refused, the first as if it were not there."""
    with db.transaction() as session:
        for slug in ("acme", "beta"):
            organizations.create_one(session, COMMAND_LINE, {"slug": slug, "name": slug})
        acme = id_of(organizations.get_by_name(session, COMMAND_LINE, "acme"))
    mine = {**token_of(acme, "admin"), "If-Match": "*"}
    own = data(root.get(f"{URL}?organization=acme", headers=mine))
    assert list(own["organizations"]) == ["acme"]
    own["organizations"]["acme"]["settings"] = {"temperature": 0.4}
    assert data(root.put(f"{URL}?organization=acme", json=own, headers=mine))["applied"]
    others = error(root.get(f"{URL}?organization=beta", headers=mine), 404, "NOT_FOUND")
    nobodys = error(root.get(f"{URL}?organization=nobody", headers=mine), 404, "NOT_FOUND")
    assert others["message"].replace("beta", "nobody") == nobodys["message"]
    error(root.get(URL, headers=mine), 403, "FORBIDDEN")
    error(root.put(URL, json=own, headers=mine), 403, "FORBIDDEN")
    own["organizations"]["acme"]["shares_keys"] = False
    error(root.put(f"{URL}?organization=acme", json=own, headers=mine), 403, "FORBIDDEN")
