"""Webhooks are told of each generation once, by whichever process, whatever their receivers do; nobody waits for them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core import config, crypto
from core.actors import COMMAND_LINE
from core.audit.record import explained
from core.calling.webhook import Sent
from core.crypto import KeyRing
from core.govern import jobs, outbox_events, outbox_sending
from core.govern.outbox import Outbox
from core.manage import features, notification_secrets, notifications, providers
from core.manage.providers import create
from core.store import db
from tests.conftest import ROOT
from tests.processes import environment
from tests.receivers import HANG, Receiver, is_signed

PROVIDER = {"name": "acme", "display_name": "A", "kind": "openai", "available_models": ["m"], "is_active": True}
KEY = "sk-proj-canary-0123456789abcdefghijklmnop"


def sql(statement: str, **given: Any) -> Any:
    with db.transaction() as session:
        found: Any = session.execute(text(statement), given)
        return found.fetchall() if found.returns_rows else None


def until(fact: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _allowed(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receivers of these tests are on this machine."""
    assert committed
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()


def target(url: str, name: str = "hook") -> tuple[int, str]:
    with db.transaction() as session:
        row, secret = notifications.create(session, COMMAND_LINE, {"name": name, "url": url})
        assert row.id is not None
        return row.id, secret


def change(name: str = "feature") -> int:
    """Change something; returns the generation that it made."""
    with db.transaction() as session:
        features.create(session, COMMAND_LINE, {"name": name, "display_name": name})
    return int(sql("SELECT generation FROM settings_generation")[0][0])


def make_due(*, after: timedelta = timedelta(0)) -> None:
    """Have what waits be due, as if the clock had gone on."""
    sql("UPDATE notification_deliveries SET next_at = next_at - CAST(:after AS interval)", after=after)


def once() -> None:
    """Look once, and send what is due, in this thread."""
    with db.transaction() as session:
        outbox_events.fan_out(session)
    for (number,) in sql("SELECT id FROM notification_targets ORDER BY id"):
        while outbox_sending.send_next(number):
            pass


@contextmanager
def running(look: float = 0.05) -> Iterator[Outbox]:
    outbox = Outbox(look=look)
    outbox.start()
    try:
        yield outbox
    finally:
        outbox.close()


@contextmanager
def process(store: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that tells webhooks."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.outbox_runner", "0.05"],
        env=environment(DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        yield child
    finally:
        child.kill()
        child.communicate()


# What is told


def test_what_is_told() -> None:
    """A message a generation: which rows, which fields, by whom and when; of no value, key or secret a word."""
    with Receiver() as receiver:
        _, secret = target(receiver.url)
        with db.transaction() as session, explained(session, "for canaries"):
            row = create(session, COMMAND_LINE, {**PROVIDER, "description": "canary-description", "api_key": KEY})
        first = int(sql("SELECT generation FROM settings_generation")[0][0])
        once()
        with db.transaction() as session:
            providers.update(session, COMMAND_LINE, row.id or 0, {"display_name": "canary-name"})
        once()
        with db.transaction() as session:
            providers.delete(session, COMMAND_LINE, row.id or 0)
        once()

    told = [json.loads(got.body) for got in receiver.got]
    assert [message["type"] for message in told] == ["settings.changed"] * 3
    made, renamed, deleted = (message["data"] for message in told)
    (provider,) = (each for each in made["changes"] if each["table"] == "llm_providers")
    assert told[0]["timestamp"] == provider["at"]
    assert (provider["name"], provider["by"]) == ("acme", "command line")
    assert {"name", "kind", "api_key", "display_name"} <= set(provider["fields"])
    (provider,) = (each for each in renamed["changes"] if each["table"] == "llm_providers")
    assert provider["fields"] == ["display_name"]
    assert [data["generation"] for data in (made, renamed, deleted)] == [first, first + 1, first + 2]
    assert [data["since"] for data in (made, renamed, deleted)] == [first - 1, first, first + 1]
    assert all(data["total"] == len(data["changes"]) for data in (made, renamed, deleted))
    (provider,) = (each for each in deleted["changes"] if each["table"] == "llm_providers")
    assert (provider["name"], provider["op"], provider["fields"]) == ("acme", "deleted", [])
    assert (made["by"], made["comment"]) == ("command line", "for canaries")
    assert all(is_signed(got, secret) for got in receiver.got)
    everything = b"".join(got.body + str(got.headers).encode() for got in receiver.got)
    for canary in (b"canary", KEY.encode(), b"sk-proj", secret.encode()):
        assert canary not in everything


def test_storm_is_one_message() -> None:
    """Ten thousand rows of one generation: one message of a bounded size, which says how many there were."""
    with Receiver() as receiver:
        target(receiver.url)
        sql(
            "INSERT INTO llm_features (name, display_name) SELECT 'feature-' || n, 'f' FROM generate_series(1, 10000) n"
        )
        once()

    (got,) = receiver.got
    data = json.loads(got.body)["data"]
    assert data["total"] == 10_000
    assert 0 < len(data["changes"]) <= outbox_events.MOST_CHANGES
    assert len(got.body) < outbox_events.MOST_BYTES + 1_000


def test_far_behind_is_one_message() -> None:
    """A webhook that is more than a thousand generations behind is told once that it is; then one by one again."""
    with Receiver() as receiver:
        number, _ = target(receiver.url)
        sql("UPDATE settings_generation SET generation = generation + :many", many=outbox_events.MOST_BEHIND + 1)
        generation = sql("SELECT generation FROM settings_generation")[0][0]
        once()
        change()
        once()

    skipped, after = (json.loads(got.body)["data"] for got in receiver.got)
    assert (skipped["generation"], skipped["since"]) == (generation, generation - outbox_events.MOST_BEHIND - 1)
    assert (skipped["total"], skipped["changes"]) == (None, [])
    assert (after["since"], after["total"]) == (generation, 1)
    assert sql("SELECT generation FROM notification_targets WHERE id = :id", id=number)[0][0] == generation + 1


def test_what_rows_are_called() -> None:
    """A row of settings is named by its scope, one of another table by what is in it; one of a later table too."""
    with Receiver() as receiver:
        target(receiver.url)
        with db.transaction() as session:
            provider = create(session, COMMAND_LINE, PROVIDER)
            feature = features.create(session, COMMAND_LINE, {"name": "summaries", "display_name": "S"})
        sql("INSERT INTO organizations (slug, name) VALUES ('acme-inc', 'A')")
        sql("INSERT INTO llm_settings (temperature) VALUES (0.5)")
        sql(
            "INSERT INTO feature_llm_overrides (feature_id, organization_id, provider_id, temperature)"
            " SELECT :feature, id, :provider, 0.5 FROM organizations",
            feature=feature.id,
            provider=provider.id,
        )
        once()

    changes = [change for got in receiver.got for change in json.loads(got.body)["data"]["changes"]]
    assert {(change["table"], change["name"]) for change in changes} >= {
        ("llm_providers", "acme"),
        ("llm_features", "summaries"),
        ("organizations", "acme-inc"),
        ("llm_settings", "all providers"),
        ("feature_llm_overrides", "acme-inc / summaries / acme"),
    }


def test_who_is_told() -> None:
    """One that is off hears nothing, nor later of what was meanwhile; a new one hears of what comes after it."""
    with Receiver() as receiver:
        number, _ = target(receiver.url)
        with db.transaction() as session:
            notifications.update_target(session, COMMAND_LINE, number, {"is_active": False})
        change("one")
        once()
        with db.transaction() as session:
            notifications.update_target(session, COMMAND_LINE, number, {"is_active": True})
        once()
        assert receiver.got == []
        generation = change("two")
        once()

    (data,) = (json.loads(got.body)["data"] for got in receiver.got)
    assert (data["generation"], data["changes"][0]["name"]) == (generation, "two")


# When


def test_soon_and_once() -> None:
    """Of thirty changes each is told of once, within seconds, in the order that they were made."""
    with Receiver() as receiver, running():
        target(receiver.url)
        generations = [change(f"f{n}") for n in range(30)]
        until(lambda: len(receiver.got) >= 30)
        time.sleep(0.3)

    assert [json.loads(got.body)["data"]["generation"] for got in receiver.got] == generations
    assert len(set(receiver.ids())) == 30


def test_nobody_waits_for_a_receiver() -> None:
    """Beside one that never answers the others are told, saving is as quick as ever, and the process ends at once."""
    with Receiver(HANG) as bad, Receiver() as good:
        for place in range(3):
            target(bad.url, f"bad {place}")
        target(good.url, "good")
        with running() as outbox:
            change("first")
            until(lambda: len(bad.got) == 3)
            began = time.monotonic()
            change("second")
            until(lambda: len(good.got) == 2, 6)
            outbox.close()
            assert time.monotonic() - began < 8  # each try of the bad ones has ten seconds


def test_tries_and_their_pauses() -> None:
    """Seven, with the pauses of the specification, about; then it is given up, and stays so until somebody sends it again."""
    with Receiver(500) as receiver:
        number, _ = target(receiver.url)
        change()
        pauses = []
        for tries in range(1, 8):
            once()
            assert len(receiver.got) == tries
            once()  # it is not due
            assert len(receiver.got) == tries
            row = sql("SELECT *, extract(epoch FROM next_at - last_at)::float AS pause FROM notification_deliveries")[0]
            assert (row.tries, row.last_status, row.last_error) == (tries, 500, "The receiver answered 500")
            pauses.append(row.pause)
            make_due(after=timedelta(hours=12))
        once()
        assert (len(receiver.got), row.failed_at is None) == (7, False)
        for pause, wanted in zip(pauses, outbox_sending.PAUSES, strict=False):
            assert 0.9 <= pause / wanted.total_seconds() <= 1.1
        assert sql("SELECT failing_since IS NULL, is_active FROM notification_targets")[0] == (False, True)

        receiver.does = 200
        with db.transaction() as session:
            notifications.resend(session, COMMAND_LINE, number, row.id)
        once()

    assert set(receiver.ids()) == {row.webhook_id}
    assert sql("SELECT done_at IS NULL FROM notification_deliveries")[0][0] is False
    assert sql("SELECT failing_since FROM notification_targets")[0][0] is None


def test_a_receiver_that_is_busy_is_left_alone() -> None:
    """Not tried before its Retry-After has passed, with what else waits for it; a longer pause of ours stays; then all is sent."""
    with Receiver(429) as receiver:
        target(receiver.url)
        receiver.retry_after = "600"
        change("a")
        change("b")
        change("c")
        once()
        assert len(receiver.got) == 1
        pauses = sql(
            "SELECT tries, extract(epoch FROM next_at - clock_timestamp())::float FROM notification_deliveries"
        )
        assert [tries for tries, _ in pauses] == [1, 0, 0]
        assert all(590 < pause <= 600 for _, pause in pauses)
        for shortest, longest in ((600, 601), (1620, 1981)):  # five minutes of ours are less, half an hour is more
            sql("UPDATE notification_deliveries SET next_at = clock_timestamp() WHERE tries > 0")
            once()
            found = sql("SELECT extract(epoch FROM next_at - last_at) FROM notification_deliveries WHERE tries > 0")
            assert shortest <= found[0][0] <= longest
        receiver.does, receiver.retry_after = 200, ""
        make_due(after=timedelta(hours=1))
        once()
    assert sql("SELECT count(*) FROM notification_deliveries WHERE done_at IS NULL")[0][0] == 0


def test_gone_is_switched_off() -> None:
    """410: off at once, with the reason, on record; what waits is given up, and nothing more is written for it."""
    with Receiver(lambda n: 200 if n == 1 else 410) as receiver:
        target(receiver.url)
        for name in "abc":
            change(name)
        once()
        change("d")
        once()

    assert len(receiver.got) == 2
    row = sql("SELECT is_active, off_reason, off_at IS NULL FROM notification_targets")[0]
    assert row == (False, "The receiver answered 410: it is gone for good", False)
    ended = sql("SELECT done_at IS NULL, last_error FROM notification_deliveries ORDER BY id")
    assert ended == [
        (False, None),
        (True, "The receiver answered 410"),
        (True, "The receiver was switched off"),
    ]
    event = sql("SELECT actor, target FROM audit_events WHERE action = 'webhook.switch_off'")
    assert event == [("webhooks", "hook")]


@pytest.mark.parametrize(("days", "off"), [(4, False), (6, True)])
def test_five_days_of_failure(days: int, off: bool) -> None:
    """A message that is given up switches the webhook off if nothing was delivered for five days; not before."""
    with Receiver(500) as receiver:
        target(receiver.url)
        sql(
            "UPDATE notification_targets SET failing_since = clock_timestamp() - make_interval(days => :days)",
            days=days,
        )
        change()
        for _ in range(7):
            once()
            assert sql("SELECT is_active FROM notification_targets")[0][0] is not (off and len(receiver.got) == 7)
            make_due(after=timedelta(hours=12))


# Whoever dies


def test_two_processes_send_each_once(committed: str) -> None:
    """This process and another one, beside each other, send a hundred messages: each once."""
    with Receiver() as receiver, process(committed), running():
        target(receiver.url)
        for place in range(10):
            sql(
                "INSERT INTO notification_deliveries (target_id, event, webhook_id, payload) SELECT id, 'settings.changed',"
                " 'msg_' || :place || '_' || n, '{}' FROM notification_targets, generate_series(1, 10) n",
                place=place,
            )
        until(lambda: sql("SELECT count(*) FROM notification_deliveries WHERE done_at IS NULL")[0][0] == 0)

    assert (len(receiver.got), len(set(receiver.ids()))) == (100, 100)


def test_killed_between_sending_and_noting(committed: str) -> None:
    """The message is sent again once its lease has ended, with the id that it had, and no sooner."""
    with Receiver(HANG) as receiver:
        target(receiver.url)
        with process(committed) as child:
            change()
            until(lambda: receiver.got)  # the receiver has it, and nobody can note that yet
            child.send_signal(signal.SIGKILL)
            child.wait()
        receiver.does = 200
        once()
        assert len(receiver.got) == 1
        make_due(after=outbox_sending.LEASE)
        once()

    first, second = receiver.got
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert sql("SELECT tries, done_at IS NULL FROM notification_deliveries") == [(2, False)]


def test_one_who_was_too_slow_notes_nothing() -> None:
    """A process that was stopped longer than its lease does not overwrite what another one noted of a later try."""
    with Receiver() as receiver:
        number, _ = target(receiver.url)
        change()
        with db.transaction() as session:
            outbox_events.fan_out(session)
        slow = db.retrying(lambda s: outbox_sending._take(s, outbox_sending._NEXT, {"target": number}))
        assert slow is not None
        make_due(after=outbox_sending.LEASE)
        once()
        sent = Sent(ok=False, status=410, error="late")
        db.retrying(lambda session: outbox_sending.note(session, slow, sent))

    assert sql("SELECT last_status, done_at IS NULL FROM notification_deliveries") == [(200, False)]
    assert sql("SELECT is_active FROM notification_targets") == [(True,)]


def test_deleted_while_it_is_sent_to() -> None:
    """A webhook that is deleted meanwhile takes its messages along; what was sent is noted nowhere, and nothing fails."""
    with Receiver() as receiver:
        number, _ = target(receiver.url)

        def delete(_number: int) -> int:
            with db.transaction() as session:
                notifications.remove(session, COMMAND_LINE, number)
            return 500

        receiver.does = delete
        change()
        once()

    assert sql("SELECT * FROM notification_deliveries") == []


def test_secret_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent, no try is lost, and the message waits for a process that has the key."""
    with Receiver() as receiver:
        target(receiver.url)
        change()
        with monkeypatch.context() as patch:
            patch.setattr(notification_secrets, "get_ring", lambda: KeyRing("cd" * 32))
            once()
        row = sql("SELECT tries, last_error, next_at > clock_timestamp() AS waits FROM notification_deliveries")[0]
        assert (row.tries, row.waits, receiver.got) == (0, True, [])
        assert "is not in the key ring" in row.last_error
        make_due(after=outbox_sending.UNREADABLE)
        once()

    assert len(receiver.got) == 1


def test_url_changed_by_sql_gets_nothing() -> None:
    """The secret is bound to the host: where raw SQL leads a webhook elsewhere, that host gets no message."""
    with Receiver() as receiver, Receiver() as other:
        target(receiver.url)
        sql("UPDATE notification_targets SET url = :url", url=other.url)
        change()
        once()

    assert (receiver.got, other.got) == ([], [])


# Keys and age


def test_both_secrets_sign_while_one_is_exchanged(committed: str) -> None:
    """For a day messages have two signatures, then one; exchanged at once, the old secret signs no more."""
    assert crypto.get_ring().primary_id
    assert committed
    with Receiver() as receiver:
        number, first = target(receiver.url)
        with db.transaction() as session:
            _, second = notifications.exchange_secret(session, COMMAND_LINE, number)
        change("a")
        once()
        sql("UPDATE notification_targets SET both_until = clock_timestamp()")
        change("b")
        once()
        with db.transaction() as session:
            _, third = notifications.exchange_secret(session, COMMAND_LINE, number, at_once=True)
        change("c")
        once()
        jobs.run("webhook-purge")

    signed = [[is_signed(got, secret) for secret in (first, second, third)] for got in receiver.got]
    assert signed == [[True, True, False], [False, True, False], [False, False, True]]
    assert sql("SELECT former_encrypted FROM notification_targets")[0][0] is None


def test_old_messages_go() -> None:
    """Delivered ones after a week, given-up ones after a month; a test that nobody sent is ended; thousands at a time."""
    number, _ = target("https://hooks.example.com/x")
    sql(
        "INSERT INTO notification_deliveries (target_id, event, webhook_id, payload, done_at, failed_at) SELECT :id, 'x', 'm', '{}',"
        " CASE WHEN n % 2 = 0 THEN now() - make_interval(days => n) END, CASE WHEN n % 2 = 1 THEN now() - make_interval(days => n) END"
        " FROM generate_series(1, 40) n, generate_series(1, 300)",
        id=number,
    )
    with db.transaction() as session:
        test = notifications.begin_test(session, COMMAND_LINE, number)
    sql("UPDATE notification_deliveries SET created_at = now() - interval '1 hour' WHERE id = :id", id=test)

    assert jobs.run("webhook-purge") == (17 + 5) * 300

    assert sql("SELECT last_error FROM notification_deliveries WHERE id = :id", id=test) == [
        ("The process that sent it ended",)
    ]


@pytest.mark.parametrize(("does", "ok"), [(200, True), (410, False)])
def test_a_test(session: Session, does: int, ok: bool) -> None:
    """It is sent once, by who asked for it, to one that is off too; whatever comes of it, the webhook stays as it is."""
    del session
    with Receiver(does) as receiver:
        number, secret = target(receiver.url)
        with db.transaction() as other:
            delivery = notifications.begin_test(other, COMMAND_LINE, number)
        once()
        assert receiver.got == []
        found = outbox_sending.send_test(delivery)

    assert found is not None
    assert (found.ok, found.status) == (ok, does)
    (got,) = receiver.got
    assert json.loads(got.body)["type"] == "webhook.test"
    assert is_signed(got, secret)
    assert sql("SELECT is_active, failing_since FROM notification_targets") == [(True, None)]
    assert sql("SELECT count(*) FROM notification_deliveries WHERE done_at IS NULL AND failed_at IS NULL")[0][0] == 0
