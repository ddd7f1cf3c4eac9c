"""The Notifications page: what it lists, and what adding, testing, switching and deleting do and refuse."""

import re
from functools import partial

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from core import config
from core.actors import COMMAND_LINE, Actor
from core.govern import outbox_sending
from core.manage import notifications
from core.store import db
from core.store.table import id_of
from tests.conftest import ROOT
from tests.receivers import Receiver, is_signed
from tests.rest import hook
from tests.screens import click, everything, open_page, pick

page = partial(open_page, "webhooks")


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receivers of these tests are on this machine."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()


def made(url: str = "https://hooks.example.com/x", name: str = "ops") -> int:
    with db.transaction() as session:
        return id_of(notifications.create(session, COMMAND_LINE, {"name": name, "url": url})[0])


def test_empty_page_says_what_to_do(admin: Actor) -> None:
    """Without a webhook the page says what one is for, with the button."""
    at = page(admin)

    assert "Nobody is told yet. Add a program" in everything(at)
    assert at.button(key="add_webhook").label == "Add receiver"


def test_analysts_see_nothing_of_it(analyst: Actor) -> None:
    """The page is an admin's: a URL may have a token in it."""
    made()
    at = AppTest.from_file(str(ROOT / "pages/webhooks.py"), default_timeout=30)
    at.session_state["actor"] = analyst
    at.run()

    assert "Admin access required" in everything(at)
    assert "hooks.example.com" not in everything(at)


def test_a_secret_is_shown_once(admin: Actor) -> None:
    """What is wrong stands beside its field and nothing typed is lost; then the secret is shown, and forgotten after Done."""
    at = click(page(admin), "add_webhook")
    at.text_input(key="webhook_url").set_value("http://hooks.example.com/x").run()
    click(at, "webhook_save")
    assert "Must be 1 to 100 characters" in everything(at)
    at.text_input(key="webhook_name").set_value("ops").run()
    click(at, "webhook_save")
    assert "Must begin with https://" in everything(at).replace("\\", "").replace("\u2060", "")
    assert at.text_input(key="webhook_name").value == "ops"
    at.text_input(key="webhook_url").set_value("https://hooks.example.com/x").run()
    click(at, "webhook_save")

    secret = next(code.value for code in at.code if code.value.startswith("whsec_"))
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    click(at, "webhook_done")
    assert secret not in everything(at)
    assert secret not in repr(at.session_state)
    assert "ops" in everything(at)


def test_test_says_what_came_of_it(admin: Actor) -> None:
    """A receiver that takes it, and one that does not: the page says so at once, with what to look at."""
    with Receiver(lambda n: 200 if n == 1 else 404) as receiver:
        number = made(receiver.url)
        at = click(page(admin), f"test_{number}")
        assert "ops took the test: it answered 200" in everything(at).replace("\\", "")
        click(at, f"test_{number}")
        said = everything(at).replace("\\", "")
        assert "ops did not take the test. The receiver answered 404. Look at its URL" in said
        with db.transaction() as session:
            secret = notifications.exchange_secret(session, admin, number)[1]
        click(at, f"test_{number}")
    assert is_signed(receiver.got[2], secret)


def test_states_and_messages(admin: Actor) -> None:
    """What was switched off says why and what to do; messages have their answer, and one that was given up is sent again."""
    with db.transaction() as session:
        number, message = hook(session)
        off, _ = hook(session, "gone")
        of_alert = "INSERT INTO notification_deliveries (target_id, event, webhook_id, payload, next_at) VALUES (:id, 'spend.spike', 'msg_x', '{}', now())"
        session.execute(text(of_alert), {"id": number})
        outbox_sending.switch_off(session, off, "The receiver answered 410: it is gone for good")
    at = page(admin)
    said = everything(at).replace("\\", "")
    assert "Switched off" in said
    assert "it is gone for good. Mend the receiver, send a test, and switch it on." in said

    click(at, f"messages_{number}")
    assert "Given up" in everything(at)
    assert "**A spike of spend**" in everything(at)
    click(at, f"resend_{message}")
    assert "Waits" in everything(at)
    with db.transaction() as session:
        assert (
            session.scalar(text("SELECT failed_at FROM notification_deliveries WHERE id = :id"), {"id": message})
            is None
        )
    click(at, "messages_close")
    assert "Given up" not in everything(at)


def test_off_on_edited_and_deleted(admin: Actor) -> None:
    """The menu of a row: switched off and on, edited with what it was before it, told of what was chosen, another secret, and deleted by its name."""
    number = made()
    at = page(admin)
    pick(at, f"more_{number}", "Switch off")
    assert "Off" in everything(at)
    pick(at, f"more_{number}", "Switch on")
    assert "On" in everything(at)
    pick(at, f"more_{number}", "Edit")
    assert at.text_input(key="webhook_url").value == "https://hooks.example.com/x"
    at.text_input(key="webhook_name").set_value("ops two")
    at.multiselect(key="webhook_events").set_value([]).run()
    click(at, "webhook_save")
    assert "Must be a list of some of" in everything(at)
    at.multiselect(key="webhook_events").set_value(["spend.spike", "budget.threshold"]).run()
    click(at, "webhook_save")
    with db.transaction() as session:
        assert notifications.get(session, COMMAND_LINE, number).events == ["budget.threshold", "spend.spike"]
    pick(at, f"more_{number}", "New secret")
    click(at, "webhook_save")
    assert [code.value[:6] for code in at.code] == ["whsec_"]
    click(at, "webhook_done")
    assert "two secrets sign" in everything(at)
    pick(at, f"more_{number}", "Delete")
    at.text_input(key="delete_name").set_value("ops two").run()
    click(at, "delete_confirm")
    assert "Nobody is told yet" in everything(at)


def test_somebody_else_was_quicker(admin: Actor) -> None:
    """A press on what was deleted meanwhile says so, and the page goes on."""
    number = made()
    at = page(admin)
    with db.transaction() as session:
        notifications.remove(session, COMMAND_LINE, number)

    click(at, f"test_{number}")

    assert not at.exception
    assert "There is no receiver" in everything(at).replace("\\", "")


def test_slack_and_people(admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of each kind: what is wrong stands beside its field; Slack's URL is shown to nobody, and stays where none is typed."""
    monkeypatch.delenv("LLM_SMTP_URL", raising=False)
    config.get_config.cache_clear()
    at = click(page(admin), "add_webhook")
    at.text_input(key="webhook_name").set_value("channel").run()
    at.segmented_control(key="webhook_kind").set_value("slack").run()
    assert at.text_input(key="webhook_name").value == "channel"
    at.text_input(key="webhook_slack").set_value("https://hooks.slack.com/workflows/x").run()
    click(at, "webhook_save")
    assert "that of an incoming webhook" in everything(at)
    at.text_input(key="webhook_slack").set_value("https://hooks.slack.com/services/one/two/path-canary").run()
    click(at, "webhook_save")
    said = everything(at).replace("\\", "").replace("\u2060", "")
    assert "Slack · " in said
    assert "hooks.slack.com/…" in said
    assert "canary" not in said + repr(at.session_state)

    click(at, "add_webhook")
    at.segmented_control(key="webhook_kind").set_value("email").run()
    assert "No mail server is named" in everything(at)
    at.text_input(key="webhook_name").set_value("people").run()
    at.text_area(key="webhook_recipients").set_value("ops@corp.example, Ada\nada@corp.example").run()
    click(at, "webhook_save")
    assert "ddress 2 is no address" in everything(at)
    at.text_area(key="webhook_recipients").set_value("ops@corp.example,\nada@corp.example;").run()
    click(at, "webhook_save")
    assert "ops@corp.example, ada@corp.example" in everything(at).replace("\\", "").replace("\u2060", "")
    with db.transaction() as session:
        found = {each.row.name: id_of(each.row) for each in notifications.list_all(session, COMMAND_LINE)}
    pick(at, f"more_{found['channel']}", "Edit")
    at.text_input(key="webhook_name").set_value("channel two").run()
    click(at, "webhook_save")
    assert "channel two" in everything(at)
    click(at, f"test_{found['people']}")
    assert "LLM_SMTP_URL is not set" in everything(at).replace("\\", "")
