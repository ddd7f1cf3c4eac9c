"""Webhooks are an admin's; each write is on record, with no secret and no path of a URL in it."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from core import config
from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid, KeyUnreadable
from core.manage import notification_secrets, notifications
from core.store.table import id_of

ENTRY = {"name": "ops", "url": "https://hooks.example.com/path-canary?token=query-canary"}


@pytest.fixture(autouse=True)
def _configured() -> None:
    config.get_config.cache_clear()


WRITES: dict[str, Callable[[Session, Actor, int], Any]] = {
    "webhook.create": lambda s, a, _: notifications.create(s, a, {**ENTRY, "name": "another"}),
    "webhook.update": lambda s, a, n: notifications.update_target(s, a, n, {"is_active": False}),
    "webhook.delete": notifications.remove,
    "webhook.exchange_secret": notifications.exchange_secret,
    "webhook.test": notifications.begin_test,
    "webhook.resend": lambda s, a, n: notifications.resend(s, a, n, given_up(s, n)),
}
READS: dict[str, Callable[[Session, Actor, int], Any]] = {
    "list_all": lambda s, a, _: notifications.list_all(s, a),
    "get": notifications.get,
    "by_name": lambda s, a, _: notifications.by_name(s, a, "ops"),
    "deliveries": notifications.deliveries,
}


def given_up(session: Session, number: int) -> int:
    found = session.scalar(
        text(
            "INSERT INTO notification_deliveries (target_id, event, webhook_id, payload, failed_at)"
            " VALUES (:id, 'settings.changed', 'msg_1', '{}', now()) RETURNING id"
        ),
        {"id": number},
    )
    return int(found or 0)


def made(session: Session) -> tuple[int, str]:
    row, secret = notifications.create(session, COMMAND_LINE, ENTRY)
    return id_of(row), secret


@pytest.mark.parametrize("action", WRITES)
def test_each_write_is_an_admins_and_on_record(session: Session, admin: Actor, analyst: Actor, action: str) -> None:
    """An analyst may not; of an admin's the audit has who and what, and no secret."""
    number, secret = made(session)
    with pytest.raises(Forbidden):
        WRITES[action](session, analyst, number)

    found = WRITES[action](session, admin, number)

    event = session.execute(
        text("SELECT actor, action, target, changes::text FROM audit_events ORDER BY id DESC LIMIT 1")
    ).one()
    assert (event.actor, event.action) == ("ada", action)
    secrets = [secret, *(found[1:] if isinstance(found, tuple) else ())]
    assert not [word for word in ("canary", *secrets) if word in str(event)]


@pytest.mark.parametrize("name", READS)
def test_each_look_is_an_admins(session: Session, analyst: Actor, name: str) -> None:
    """A URL may have a token in it."""
    number, _ = made(session)

    with pytest.raises(Forbidden):
        READS[name](session, analyst, number)


def test_all_of_them_are_here() -> None:
    """Whatever the module offers to others beside those tables is internal, and listed."""
    offered = {
        name
        for name, each in vars(notifications).items()
        if callable(each) and getattr(each, "__module__", "") == notifications.__name__ and not name.startswith("_")
    }
    writes = {"create", "update_target", "remove", "exchange_secret", "begin_test", "resend"}
    assert offered == writes | set(READS) | {"ListedWebhook", "give_up"}


def test_another_host_keeps_the_secret(session: Session, admin: Actor) -> None:
    """The secret is bound to the new host by who may; by raw SQL it is not, and opens no more."""
    number, secret = made(session)
    notifications.exchange_secret(session, admin, number)
    row = notifications.update_target(session, admin, number, {"url": "https://other.example.com/path-canary"})
    assert notification_secrets.open_secrets(session, row)[1] == secret
    changes = session.scalar(text("SELECT changes FROM audit_events ORDER BY id DESC LIMIT 1")) or {}
    assert changes["url"] == {"before": "https://hooks.example.com:443/…", "after": "https://other.example.com:443/…"}

    session.execute(text("UPDATE notification_targets SET url = 'https://evil.example.com/x'"))
    session.refresh(row)
    with pytest.raises(KeyUnreadable):
        notification_secrets.open_secrets(session, row)


def test_no_more_than_twenty(session: Session, admin: Actor) -> None:
    """Each may have a thread of its own: the twenty-first is refused, in words."""
    for number in range(notifications.MOST):
        notifications.create(session, admin, {**ENTRY, "name": f"hook {number}"})

    with pytest.raises(Invalid, match="there are at most 20 receivers"):
        notifications.create(session, admin, {**ENTRY, "name": "one more"})


def test_sending_makes_no_form_stale(session: Session, admin: Actor) -> None:
    """What the sending notes of a webhook is no version of it; what a person sets is, by whom and in which fields."""
    number, _ = made(session)
    before = notifications.get(session, admin, number).version
    session.execute(text("UPDATE notification_targets SET failing_since = now(), generation = generation + 1"))
    assert notifications.get(session, admin, number).version == before

    row = notifications.update_target(session, admin, number, {"name": "ops two"}, version=before)

    assert (row.version, row.updated_by, row.field_changes["name"]["by"]) == (before + 1, "ada", "ada")


SLACK = {"name": "channel", "kind": "slack", "url": "https://hooks.slack.com/services/one/two/path-canary"}
MAIL = {"name": "people", "kind": "email", "recipients": ["ops@corp.example"]}


def test_slacks_url_is_a_secret(session: Session, admin: Actor) -> None:
    """It is sealed, bound to its host, and in no column or event; as it was read it stays; another one is sealed anew, and a new version."""
    row, secret = notifications.create(session, admin, SLACK)
    number = id_of(row)
    assert (row.url, secret) == ("https://hooks.slack.com", "")
    assert notification_secrets.open_secrets(session, row) == [SLACK["url"]]
    same = notifications.update_target(session, admin, number, {"url": row.url, "name": "two", "recipients": None})
    assert notification_secrets.open_secrets(session, same) == [SLACK["url"]]
    before = same.version
    other = notifications.update_target(session, admin, number, {"url": f"{SLACK['url']}-2"}, version=before)
    assert notification_secrets.open_secrets(session, other) == [f"{SLACK['url']}-2"]
    assert (other.version, "secret" in other.field_changes) == (before + 1, True)
    stored = session.scalars(text("SELECT t::text FROM notification_targets t")).all()
    events = session.scalars(text("SELECT e::text FROM audit_events e")).all()
    assert "canary" not in str([*stored, *events])
    with pytest.raises(Invalid, match="only webhooks have"):
        notifications.exchange_secret(session, admin, number)
    session.execute(text("UPDATE notification_targets SET url = 'https://evil.example.com'"))
    session.refresh(other)
    with pytest.raises(KeyUnreadable):
        notification_secrets.open_secrets(session, other)


@pytest.mark.parametrize(
    ("given", "field", "rule"),
    [
        ({**SLACK, "url": "https://hooks.slack.com/workflows/T0/A0/1"}, "url", "that of an incoming webhook"),
        ({**SLACK, "url": "https://mattermost.example.com/"}, "url", "the path that is its secret"),
        ({**SLACK, "url": "http://hooks.slack.com/services/one/two/x"}, "url", "must begin with https://"),
        ({**SLACK, "url": "https://169.254.169.254/services/x"}, "url", "link-local"),
        ({**SLACK, "url": None}, "url", "https URL"),
        ({**SLACK, "recipients": ["a@b.example"]}, "recipients", "not a field"),
        ({**MAIL, "url": "https://x.example"}, "url", "not a field"),
        ({**MAIL, "recipients": []}, "recipients", "1 to 20 addresses"),
        ({**MAIL, "recipients": [f"a{n}@b.example" for n in range(21)]}, "recipients", "1 to 20 addresses"),
        ({**MAIL, "recipients": ["a@b.example", "A@B.example"]}, "recipients", "each address once"),
        (
            {**MAIL, "recipients": ["a@b.example", "Ada <ada@b.example>"]},
            "recipients",
            "address 2 must be an address alone",
        ),
        ({**MAIL, "recipients": ["a@b.example\r\nBcc: eve@evil.example"]}, "recipients", "control characters"),
        ({**MAIL, "kind": "pager"}, "kind", "must be one of webhook, slack, email"),
        ({**MAIL, "kind": []}, "kind", "must be one of webhook, slack, email"),
    ],
)
def test_what_is_refused_of_each_kind(
    session: Session, admin: Actor, given: dict[str, Any], field: str, rule: str
) -> None:
    """With its field and the rule; nothing repeats what was typed."""
    with pytest.raises(Invalid) as refused:
        notifications.create(session, admin, given)
    assert set(refused.value.fields) == {field}
    assert rule in refused.value.fields[field]
    assert "evil" not in str(refused.value)


def test_people_by_e_mail(session: Session, admin: Actor) -> None:
    """Their addresses are on record, as who was told matters; a kind stays what it is; raw SQL meets the same rules."""
    row, secret = notifications.create(session, admin, MAIL)
    assert (row.url, row.signing_encrypted, secret) == (None, None, "")
    changed = notifications.update_target(session, admin, id_of(row), {"recipients": ["a@b.example"], "url": None})
    assert (changed.recipients, changed.field_changes["recipients"]["by"]) == (["a@b.example"], "ada")
    changes = session.scalar(text("SELECT changes FROM audit_events ORDER BY id DESC LIMIT 1")) or {}
    assert changes["recipients"] == {"before": ["ops@corp.example"], "after": ["a@b.example"]}
    with pytest.raises(Invalid, match="cannot be changed"):
        notifications.update_target(session, admin, id_of(row), {"kind": "slack"})
    for wrong in (
        "recipients = NULL",
        "recipients = '[]'",
        "url = 'https://x.example'",
        "kind = 'slack'",
        "kind = 'pager'",
    ):
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(text(f"UPDATE notification_targets SET {wrong}"))
