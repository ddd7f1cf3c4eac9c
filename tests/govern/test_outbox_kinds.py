"""Slack and e-mail in the outbox: each fault of each kind ends as it should, and what is said is in words, without a secret."""

import email
import email.policy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from core import config
from core.actors import COMMAND_LINE
from core.audit.record import explained
from core.calling import mail, webhook
from core.govern import history, outbox_sending, outbox_words
from core.govern.history_queries import Filters, VersionPlace
from core.manage import features, notifications
from core.store import db
from core.store.table import id_of
from tests.govern.test_outbox import make_due, once, sql
from tests.receivers import HANG, RESET, MailServer, Receiver

EVIL = "<!channel> & \r\nBcc: eve@evil.example"
FAULTS = ("silent", "refuses", "4xx", "5xx", "gone", "closes")


@pytest.fixture(autouse=True)
def _allowed(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receivers of these tests are on this machine."""
    assert committed
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    monkeypatch.setenv("LLM_SMTP_FROM", "llm@corp.example")
    monkeypatch.setattr(mail, "SECONDS", 1.0)
    monkeypatch.setattr(webhook, "SECONDS", 1.0)
    config.get_config.cache_clear()


def use(server: MailServer | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have e-mail go to *server*; None: nowhere."""
    url = f"smtp://127.0.0.1:{server.port}?tls=none" if server else "smtp://127.0.0.1:9?tls=none"
    monkeypatch.setenv("LLM_SMTP_URL", url)
    config.get_config.cache_clear()


def add(kind: str, url: str, name: str = "people") -> int:
    given = {"recipients": ["ops@corp.example", "ada@corp.example"]} if kind == "email" else {"url": url}
    with db.transaction() as session:
        return id_of(notifications.create(session, COMMAND_LINE, {"name": name, "kind": kind, **given})[0])


def change(name: str = "feature", why: str = "") -> None:
    with db.transaction() as session, explained(session, why):
        features.create(session, COMMAND_LINE, {"name": name, "display_name": name})


HTTP: dict[str, Any] = {"silent": HANG, "4xx": 429, "5xx": 503, "gone": 410, "closes": RESET}
SMTP: dict[str, dict[str, str | Callable[[str], str]]] = {
    "silent": {"greet": HANG},
    "4xx": {"MAIL": "451 4.3.0 later"},
    "5xx": {"MAIL": "550 5.7.1 never"},
    "gone": {"RCPT": "550 5.1.1 nobody"},
    "closes": {"DATA": RESET},
}


@contextmanager
def failing(kind: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A receiver of *kind* with *fault*; its URL."""
    if kind == "email":
        if fault == "refuses":
            use(None, monkeypatch)
            yield ""
            return
        with MailServer(SMTP[fault]) as server:
            use(server, monkeypatch)
            yield ""
    else:
        with Receiver(HTTP.get(fault, 200)) as receiver:
            if fault == "refuses":
                receiver.__exit__()
            yield receiver.url


@pytest.mark.parametrize("kind", ["webhook", "slack", "email"])
def test_what_becomes_of_a_fault(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, or given up where that is for good, or the receiver is switched off; the page has why; no secret is in it."""
    for fault in FAULTS:
        with failing(kind, fault, monkeypatch) as url:
            number = add(kind, url)
            change(f"{kind}-{fault}")
            once()
        row = sql("SELECT tries, failed_at, done_at, last_error FROM notification_deliveries")[0]
        given_up = fault == "gone" or (kind == "email" and fault == "5xx")
        assert (fault, row.tries, row.failed_at is not None, row.done_at) == (fault, 1, given_up, None)
        assert row.last_error
        assert "secret" not in row.last_error
        off = fault == "gone" and kind != "email"
        target = sql("SELECT is_active, failing_since IS NULL AS well FROM notification_targets")[0]
        assert (fault, target.is_active, target.well) == (fault, not off, False)
        with db.transaction() as session:
            notifications.remove(session, COMMAND_LINE, number)


def test_what_people_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack and e-mail say what has changed, by whom and why, and lead to the history; nothing that people wrote has effect."""
    monkeypatch.setenv("LLM_PUBLIC_URL", "https://llm.corp.example/")
    with Receiver() as slack, MailServer() as server:
        slack.says = "ok"
        use(server, monkeypatch)
        add("slack", slack.url, "channel")
        add("email", "")
        change("summaries", "cheaper <!channel> summaries")
        once()
        place = VersionPlace.parse(f"{sql('SELECT generation FROM settings_generation')[0][0]}::0")
        monkeypatch.delenv("LLM_PUBLIC_URL")
        config.get_config.cache_clear()
        change("other")
        once()

    with db.transaction() as session:
        listed = history.changes(session, COMMAND_LINE, Filters(), after=place)
    assert (listed.rows[0].generation, listed.rows[0].name) == (place.generation, "summaries")
    link = f"https://llm.corp.example/history?after={place}"
    first, second = (json.loads(got.body)["text"] for got in slack.got)
    assert first == (
        "*Settings changed: feature summaries added*\nfeature summaries added\nBy command line\n"
        f"Reason: cheaper &lt;!channel&gt; summaries\n<{link}|See the history>"
    )
    assert "https" not in second
    letter = email.message_from_bytes(server.got[0].raw, policy=email.policy.default)
    assert letter["subject"] == "Settings changed: feature summaries added"
    said = letter.get_content()
    assert "Reason: cheaper <!channel> summaries" in said
    assert f"See the history: {link}" in said
    assert server.got[0].to == ["ops@corp.example", "ada@corp.example"]
    assert "https" not in email.message_from_bytes(server.got[1].raw, policy=email.policy.default).get_content()


def test_one_recipient_is_tried_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who took it gets it once, whatever becomes of the others; a receiver that somebody can be reached at does not fail."""
    late = {"ada@corp.example": "450 4.2.2 full"}
    with MailServer({"RCPT": lambda address: late.get(address, "250 ok")}) as server:
        use(server, monkeypatch)
        add("email", "")
        change()
        once()
        left = sql("SELECT recipients, done_at, last_error FROM notification_deliveries")[0]
        assert (left.recipients, left.done_at) == (["ada@corp.example"], None)
        assert "ada@corp.example (450 4.2.2 full)" in left.last_error
        assert sql("SELECT failing_since FROM notification_targets")[0][0] is None
        late.clear()
        sql("UPDATE notification_deliveries SET next_at = clock_timestamp()")
        once()

    assert [letter.to for letter in server.got] == [["ops@corp.example"], ["ada@corp.example"]]
    assert sql("SELECT done_at IS NULL, last_error FROM notification_deliveries") == [(False, None)]


def test_without_a_mail_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: the message waits, and says what the operator has to set."""
    monkeypatch.delenv("LLM_SMTP_URL", raising=False)
    config.get_config.cache_clear()
    add("email", "")
    change()
    once()
    row = sql("SELECT tries, failed_at, last_error FROM notification_deliveries")[0]
    assert (row.tries, row.failed_at) == (1, None)
    assert "LLM_SMTP_URL is not set" in row.last_error
    with MailServer() as server:
        use(server, monkeypatch)
        make_due(after=outbox_sending.PAUSES[0] * 2)
        once()
    assert len(server.got) == 1


def test_words_of_any_payload() -> None:
    """Whatever stands in a payload, one of a later version too, the words are lines of text."""
    payloads: list[dict[str, Any]] = [
        {},
        {"data": None},
        {"data": {"total": 3, "changes": []}},
        {
            "data": {
                "total": 1,
                "changes": [{"table": "x", "name": EVIL, "op": "changed", "fields": [EVIL], "by": EVIL}],
            }
        },
        {
            "data": {
                "total": 900,
                "changes": [{"table": "llm_settings", "op": "deleted"}] * 100,
                "comment": EVIL,
                "by": EVIL,
            }
        },
        {"data": {"webhook": EVIL}},
        {
            "data": {
                "alert": 1,
                "text": EVIL,
                "budget": EVIL,
                "period": {"zone": "Nowhere/At_all", "starts": "2026-11-01"},
            }
        },
        {"data": {"alert": 1, "budget": EVIL, "spent": "x", "limit": "NaN", "period": {"starts": EVIL}, "scope": EVIL}},
        {"data": {"alert": 1, "budget": "b", "spent": "1", "limit": "0", "period": None}},
    ]
    for event in ("settings.changed", "webhook.test", "budget.threshold", "spend.spike", "of.later"):
        for payload in payloads:
            words = outbox_words.of(event, payload)
            assert words.subject.strip()
            assert all(line.isprintable() for line in (words.subject, *words.lines))
            assert len(words.lines) <= outbox_words.MOST_LINES + 3


def test_words_of_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budget and per cent in the subject; amounts, scope and the period by the clock of its zone in the text; the link leads to it."""
    monkeypatch.setenv("LLM_PUBLIC_URL", "https://llm.corp.example")
    config.get_config.cache_clear()
    data = {
        "alert": 7,
        "budget": "Summaries, monthly",
        "scope": "acme · summaries",
        "text": "Summaries, monthly: $80.12 of $100.00 spent (80 %), 12 days left",
        "spent": "80.12",
        "limit": "100",
        "period": {
            "kind": "month",
            "starts": "2026-10-31T23:00:00+00:00",
            "ends": "2026-11-30T23:00:00+00:00",
            "zone": "Europe/Berlin",
        },
    }
    words = outbox_words.of("budget.threshold", {"data": data})
    assert words.subject == "Budget Summaries, monthly: 80 % of $100.00 spent"
    assert words.lines == (
        "Summaries, monthly: $80.12 of $100.00 spent (80 %), 12 days left",
        "Counts: acme · summaries",
        "Period: from 1 November 2026, 00:00 to 1 December 2026, 00:00 (Europe/Berlin)",
    )
    assert words.link == "https://llm.corp.example/alerts?show=All&after=8"


def test_nothing_stored_or_told_has_slacks_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sealed alone: no other column, no event of the audit, no message and no export has its path."""
    monkeypatch.setattr(webhook, "SECONDS", 1.0)
    with Receiver(500) as receiver:
        number = add("slack", receiver.url)
        with db.transaction() as session:
            notifications.update_target(session, COMMAND_LINE, number, {"url": f"{receiver.url}2"})
        change()
        once()
    with db.transaction() as session:
        tables = session.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace)"
            )
        ).all()
        stored = [session.scalar(text(f"SELECT string_agg(t::text, ' ') FROM {table} t")) for table in tables]
    assert "127.0.0.1" in str(stored)
    assert "very-secret-token" not in str(stored)
