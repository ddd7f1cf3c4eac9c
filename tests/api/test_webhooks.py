"""Webhooks over REST: made, changed, tested and deleted by admins; the secret is in one answer and in no other."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from core import config
from core.store import db
from core.store.notification_schemas import EVENTS
from tests.receivers import MailServer, Receiver, is_signed
from tests.rest import data, error, hook, serving, token

URL = "/api/llm/webhooks"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API, with an admin's token; receivers on this machine are allowed."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    with serving(monkeypatch) as client:
        client.headers.update(token("admin"))
        yield client


def test_from_first_to_last(root: TestClient) -> None:
    """Added, read, changed, given another secret, tested, deleted; the two secrets are told of once each."""
    with Receiver() as receiver:
        added = root.post(URL, json={"name": "ops", "url": receiver.url})
        made = data(added, 201)
        one = f"{URL}/{made['id']}"
        assert added.headers["Location"] == f"webhooks/{made['id']}"
        secret = made.pop("secret")
        assert data(root.get(one)) == made
        assert data(root.get(URL)) == [made]
        assert (made["isActive"], made["offReason"], made["events"]) == (True, None, list(EVENTS))

        other = data(root.post(f"{one}/secret", json={}))
        assert other["secret"] != secret
        assert other["secretFingerprint"] != made["secretFingerprint"]
        assert other["bothUntil"] is not None
        assert data(root.post(f"{one}/test")) == {"ok": True, "status": 200, "error": None}
        (got,) = receiver.got
        assert [is_signed(got, each) for each in (secret, other["secret"])] == [True, True]
        (sent,) = data(root.get(f"{one}/deliveries"))
        assert (sent["event"], sent["state"], sent["lastStatus"], sent["tries"]) == ("webhook.test", "done", 200, 1)
        assert sent["webhookId"] == got.headers["webhook-id"]
        assert data(root.get(f"{one}/deliveries?before={sent['id']}")) == []

        whole = data(root.get(one))
        off = data(root.put(one, json={**whole, "isActive": False}))
        assert (off["isActive"], off["offReason"]) == (False, None)
        error(root.put(one, json={"name": "x", "version": whole["version"]}), 409, "CONFLICT")
        error(root.put(one, json={"name": "x"}), 428, "VERSION_REQUIRED")
        assert data(root.delete(one)) == {"id": made["id"], "deleted": ["ops"]}
        error(root.get(one), 404, "NOT_FOUND")
    everything = root.get(URL).text + root.get("/api/llm/webhooks").text
    assert "whsec_" not in everything


def test_what_is_refused(root: TestClient) -> None:
    """Each with its field and the rule; no answer repeats a password that stood in a URL."""
    wrong = {
        "url": "https://ada:pass-word-1@hooks.example.com/x",
        "name": "",
        "events": ["settings.changed", "made.up"],
    }
    fields = error(root.post(URL, json=wrong), 422, "VALIDATION_ERROR")["fields"]
    assert set(fields) == set(wrong)
    assert "user name" in fields["url"]
    assert "pass-word-1" not in str(fields)
    for url in ("http://hooks.example.com/x", "https://169.254.169.254/x", "ftp://x/y", "https://10.0.0.1/"):
        assert set(error(root.post(URL, json={"name": "a", "url": url}), 422, "VALIDATION_ERROR")["fields"]) == {"url"}
    data(root.post(URL, json={"name": "ops", "url": "https://hooks.example.com/x?token=1"}), 201)
    error(root.post(URL, json={"name": "ops", "url": "https://hooks.example.com/x"}), 409, "ALREADY_EXISTS")
    number = data(root.get(URL))[0]["id"]
    error(root.post(f"{URL}/{number}/secret", json={"atOnce": 1}), 422, "VALIDATION_ERROR")


def test_resend(root: TestClient) -> None:
    """What was given up waits again; what waits, a test, and what is of another webhook is not sent again."""
    with db.transaction() as session:
        number, message = hook(session)
        other, _ = hook(session, "other")
    again = f"{URL}/{number}/deliveries/{message}/resend"

    assert data(root.post(again))["state"] == "waiting"
    assert "waits" in error(root.post(again), 422, "VALIDATION_ERROR")["fields"]["delivery"]
    error(root.post(f"{URL}/{other}/deliveries/{message}/resend"), 404, "NOT_FOUND")
    data(root.post(f"{URL}/{number}/test"))
    test = data(root.get(f"{URL}/{number}/deliveries"))[0]
    assert (test["state"], test["lastStatus"]) == ("failed", None)
    assert (
        "test"
        in error(root.post(f"{URL}/{number}/deliveries/{test['id']}/resend"), 422, "VALIDATION_ERROR")["fields"][
            "delivery"
        ]
    )
    data(root.put(f"{URL}/{number}", json={"isActive": False}, headers={"If-Match": "*"}))
    assert "off" in error(root.post(again), 422, "VALIDATION_ERROR")["fields"]["receiver"]


def test_slack_and_people(root: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds, from first to last: what was read can be sent back whole, a test is sent, and no answer has Slack's URL."""
    with Receiver() as receiver, MailServer() as server:
        receiver.says = "ok"
        monkeypatch.setenv("LLM_SMTP_URL", f"smtp://127.0.0.1:{server.port}?tls=none")
        monkeypatch.setenv("LLM_SMTP_FROM", "llm@corp.example")
        config.get_config.cache_clear()
        slack = data(root.post(URL, json={"name": "channel", "kind": "slack", "url": receiver.url}), 201)
        mail = data(root.post(URL, json={"name": "people", "kind": "email", "recipients": ["ops@corp.example"]}), 201)
        assert (slack["secret"], slack["url"], slack["recipients"]) == (None, receiver.url.partition("/hooks")[0], None)
        assert (mail["secret"], mail["url"], mail["recipients"]) == (None, None, ["ops@corp.example"])
        for made in (slack, mail):
            one = f"{URL}/{made['id']}"
            whole = data(root.get(one))
            changed = data(root.put(one, json={**whole, "name": f"{whole['name']} two"}))
            assert changed["version"] == whole["version"] + 1
            sent = data(root.post(f"{one}/test"))
            assert (sent["ok"], sent["error"]) == (True, None)
        error(root.put(one, json={"kind": "slack"}, headers={"If-Match": "*"}), 422, "VALIDATION_ERROR")
        error(root.post(f"{one}/secret", json={}), 422, "VALIDATION_ERROR")
        assert "very-secret" not in root.get(URL).text + root.get(f"{URL}/{slack['id']}/deliveries").text
    assert (len(receiver.got), server.got[0].to) == (1, ["ops@corp.example"])
