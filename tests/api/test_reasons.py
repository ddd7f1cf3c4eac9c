"""Why something is changed, over REST: the header Change-Comment, at every write, in any language."""

from typing import Any

import pytest
from sqlmodel import col, select
from starlette.testclient import TestClient

from api.app import make
from api.callers import REASON
from core.actors import COMMAND_LINE
from core.manage import installation
from core.store import db
from core.store.records import AuditEvent
from tests.rest import NEW, data, error

PROVIDERS, SETTINGS, INSTALLATION = "/api/llm/providers", "/api/llm/settings/global", "/api/llm/installation"


def last() -> Any:
    """The reason of the newest event."""
    with db.transaction() as session:
        query = select(AuditEvent.changes).order_by(col(AuditEvent.id).desc()).limit(1)
        return session.exec(query).one().get("comment", {}).get("after")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"ticket 4711", "ticket 4711"),
        ("höhere Grenze, 組織".encode(), "höhere Grenze, 組織"),
        (b"h%C3%B6here%20Grenze", "höhere Grenze"),
        (b"10% more, then 20%", "10% more, then 20%"),
        ("höher".encode("latin-1"), "höher"),
        (b"%FF is no UTF-8", "%FF is no UTF-8"),
        (b"", None),
    ],
)
def test_the_header_stands_in_the_audit(root: TestClient, sent: bytes, kept: str | None) -> None:
    """As UTF-8, percent-encoded, or as a client that knows Latin-1 alone sends it."""
    data(root.post(PROVIDERS, json=NEW, headers=[(REASON.encode(), sent)]), 201)

    assert last() == kept


def test_where_each_change_needs_one(root: TestClient) -> None:
    """Refused without, with the field and the cure; with it POST, PUT and DELETE go; reading needs none. It is turned on here."""
    made = data(root.put(INSTALLATION, json={"requireReason": True, "version": 1}))
    assert (made["requireReason"], made["organizations"]) == (True, "closed")
    told = error(root.post(PROVIDERS, json=NEW), 422, "VALIDATION_ERROR")
    assert list(told["fields"]) == ["comment"]
    assert REASON in told["fields"]["comment"]
    assert data(root.get(PROVIDERS)) == []

    why = {REASON: "ticket 1"}
    number = data(root.post(PROVIDERS, json=NEW, headers=why), 201)["id"]
    row = data(root.post(SETTINGS, json={"providerId": number, "temperature": 0.1}, headers=why), 201)
    url = f"/api/llm/settings/{row['id']}"
    error(root.put(url, json={"temperature": 0.2, "version": 1}), 422, "VALIDATION_ERROR")
    data(root.put(url, json={"temperature": 0.2, "version": 1}, headers=why))
    error(root.delete(url), 422, "VALIDATION_ERROR")
    data(root.delete(url, headers={REASON: "ticket 2"}))
    assert last() == "ticket 2"
    told = error(root.delete(f"{PROVIDERS}/{number}", headers={REASON: "x" * 501}), 422, "VALIDATION_ERROR")
    assert told["fields"] == {"comment": "must be at most 500 characters; this has 501"}
    with db.transaction() as session:
        assert installation.get(session, COMMAND_LINE).version == 2


def test_openapi_has_it_at_every_write_and_nowhere_else() -> None:
    """Also at those of later versions: it is written where the description is made."""
    for path, operations in make().openapi()["paths"].items():
        for method, operation in operations.items():
            named = [each["name"] for each in operation.get("parameters", ())]
            assert (REASON in named) is (method != "get"), (method, path)
