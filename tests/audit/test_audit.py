"""The audit: one event a change, in the same transaction, in a chain that nobody edits unseen."""

import csv
import inspect
import io
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from core.access import sessions, sign_in, tokens, users
from core.actors import COMMAND_LINE, Actor
from core.audit import chain as audit_chain
from core.audit.record import Target, changes_between, record
from core.calling import log_writer
from core.crypto import KeyRing, generate_key
from core.errors import Forbidden, Invalid, NotFound
from core.govern import audit_log
from core.govern.audit_log import EventFilters, as_csv
from core.manage import env_import, keys, providers, seed, settings
from core.models import catalogue
from core.resolve import Resolver
from core.spreadsheet import harmless
from core.store import db, grants, migrate
from core.store.records import AuditCheckpoint, AuditEvent
from core.store.tables import METADATA
from tests.audit import organization_writes
from tests.audit.aging import age_events
from tests.calling.test_log_writer import CALL
from tests.calling.test_log_writer import settings as called
from tests.conftest import ENCRYPTION_KEY, PASSWORD, ROOT, named
from tests.processes import core, environment

CANARY = "sk-proj-canary-0123456789abcdefghijklmnopqrstuvwxyz"
ACME = {"name": "acme", "display_name": "Acme", "kind": "openai", "available_models": ["m", "n"], "default_model": "m"}


def events(session: Session, action: str = "") -> list[AuditEvent]:
    found = session.exec(select(AuditEvent).order_by(col(AuditEvent.id)))
    return [event for event in found if event.action.startswith(action)]


def pairs(event: AuditEvent) -> dict[str, tuple[object, object]]:
    return {name: (pair["before"], pair["after"]) for name, pair in event.changes.items()}


# What is recorded


def _provider(session: Session, actor: Actor, **more: object) -> int:
    return providers.create(session, actor, {**ACME, **more}).id or 0


def _row(session: Session, actor: Actor, **patch: object) -> int:
    return settings.upsert_global(session, actor, None, {"temperature": 0.2, **patch}).id or 0


def _user(session: Session, actor: Actor) -> int:
    return users.add(session, actor, "grace", PASSWORD, "analyst").id or 0


def _unbound(session: Session, actor: Actor) -> int:
    number = _provider(session, actor, api_key=CANARY)
    session.execute(text("UPDATE llm_providers SET api_key_key_id = NULL, api_key_binding = NULL"))
    session.expire_all()
    return number


def _old_token(session: Session, actor: Actor) -> int:
    row, _ = tokens.create(session, actor, {"name": "old", "role": "metrics"})
    session.execute(text("UPDATE api_tokens SET expires_at = now() - interval '366 days'"))
    return row.id or 0


def _nothing(_session: Session, _actor: Actor) -> int:
    return 0


MASKED = f"sk-proj...**** #{KeyRing(ENCRYPTION_KEY).fingerprint(CANARY)}"
Work = Callable[[Session, Actor, int], object]
WRITES: dict[str, tuple[Callable[[Session, Actor], int], Work, str, dict[str, tuple[object, object]]]] = {
    "providers.create": (
        _nothing,
        lambda s, a, _: providers.create(s, a, {**ACME, "api_key": CANARY}),
        "provider.create",
        {"name": (None, "acme"), "available_models": (None, ["m", "n"]), "api_key": (None, MASKED)},
    ),
    "providers.update": (
        _provider,
        lambda s, a, n: providers.update(s, a, n, {"display_name": "Acme 2", "default_model": "n"}),
        "provider.update",
        {"display_name": ("Acme", "Acme 2"), "default_model": ("m", "n")},
    ),
    "providers.delete": (
        _provider,
        providers.delete,
        "provider.delete",
        {"name": ("acme", None), "available_models": (["m", "n"], None)},
    ),
    "providers.set_api_key": (
        _provider,
        lambda s, a, n: providers.set_api_key(s, a, n, CANARY),
        "provider.set_key",
        {"api_key": (None, MASKED)},
    ),
    "providers.remove_api_key": (
        lambda s, a: _provider(s, a, api_key=CANARY),
        providers.remove_api_key,
        "provider.remove_key",
        {"api_key": (MASKED, None)},
    ),
    "providers.adopt_api_key": (
        _unbound,
        providers.adopt_api_key,
        "provider.adopt_key",
        {"api_key": (MASKED, MASKED)},
    ),
    "settings.upsert_global": (
        _nothing,
        lambda s, a, _: settings.upsert_global(s, a, None, {"temperature": 0}),
        "settings.create",
        {"temperature": (None, 0)},
    ),
    "settings.update": (
        _row,
        lambda s, a, n: settings.update(s, a, n, {"temperature": 0, "omitted_parameters": ["top_p"]}),
        "settings.update",
        {"temperature": (0.2, 0), "omitted_parameters": (None, ["top_p"])},
    ),
    "settings.delete": (
        _row,
        settings.delete,
        "settings.delete",
        {"temperature": (0.2, None)},
    ),
    "users.add": (
        _nothing,
        lambda s, a, _: users.add(s, a, "grace", PASSWORD, "analyst"),
        "user.add",
        {"role": (None, "analyst")},
    ),
    "users.bootstrap": (
        lambda s, _: s.execute(text("DELETE FROM users")) and 0,
        lambda s, _a, _n: users.bootstrap(s, "root", PASSWORD),
        "user.add",
        {"role": (None, "admin")},
    ),
    "users.set_password": (
        _user,
        lambda s, a, n: users.set_password(s, a, n, "another " + PASSWORD),
        "user.set_password",
        {},
    ),
    "users.set_role": (
        _user,
        lambda s, a, n: users.set_role(s, a, n, "admin"),
        "user.set_role",
        {"role": ("analyst", "admin")},
    ),
    "users.set_active": (
        _user,
        lambda s, a, n: users.set_active(s, a, n, active=False),
        "user.set_active",
        {"is_active": (True, False)},
    ),
    "users.set_break_glass": (
        _user,
        lambda s, a, n: users.set_break_glass(s, a, n, on=True),
        "user.set_break_glass",
        {"break_glass": (False, True)},
    ),
    "tokens.create": (
        _nothing,
        lambda s, a, _: tokens.create(s, a, {"name": "billing", "role": "analyst"}),
        "token.create",
        {"role": (None, "analyst")},
    ),
    "tokens.revoke": (
        lambda s, a: tokens.create(s, a, {"name": "billing", "role": "analyst"})[0].id or 0,
        tokens.revoke,
        "token.revoke",
        {},
    ),
    "tokens.drop_ended": (
        _old_token,
        lambda s, a, _: tokens.drop_ended(s, a),
        "token.purge",
        {"names": (["old"], None)},
    ),
    "users.change_password": (
        _user,
        lambda s, _, n: users.change_password(s, Actor("grace", n, 1), "another " + PASSWORD, PASSWORD),
        "user.change_password",
        {},
    ),
    **organization_writes.WRITES,
}


@pytest.mark.parametrize("name", WRITES)
def test_every_write_leaves_one_event(session: Session, admin: Actor, name: str) -> None:
    """Each public write of core leaves exactly one event: who, what, and each field before and after."""
    prepare, work, action, changes = WRITES[name]
    target = prepare(session, admin)
    before = len(events(session))
    work(session, admin, target)

    (event,) = events(session)[before:]
    assert event.action == action
    assert event.actor in {"ada", "grace", "first start"}
    assert changes.items() <= pairs(event).items()
    assert CANARY not in repr(event.changes)
    assert PASSWORD not in repr(event.changes)


def test_every_write_is_in_the_table() -> None:
    """A new public function that takes an actor, or makes a user, has to be put into the table above."""
    found = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (providers, settings, tokens, users, *organization_writes.MODULES)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and "actor" in inspect.signature(function).parameters
    }

    assert (found | {"users.bootstrap"}) - organization_writes.READS - organization_writes.SHARED == set(WRITES)


def test_write_that_changes_nothing_leaves_no_event(session: Session, admin: Actor) -> None:
    """Saving what is stored already, enabling who is enabled, removing a key that is not there: no event."""
    provider, row, user = _provider(session, admin), _row(session, admin), _user(session, admin)
    before = len(events(session))
    providers.update(session, admin, provider, ACME)
    providers.remove_api_key(session, admin, provider)
    settings.update(session, admin, row, {"temperature": 0.2})
    settings.upsert_global(session, admin, None, {})
    users.set_role(session, admin, user, "analyst")
    users.set_active(session, admin, user, active=True)

    assert events(session)[before:] == []


def test_new_key_with_the_same_mask_is_recorded(session: Session, admin: Actor) -> None:
    """A key set anew is an event even where its mask is that of the one before."""
    provider = _provider(session, admin, api_key=CANARY)
    providers.update(session, admin, provider, {"api_key": CANARY + "2"})

    other = f"sk-proj...**** #{KeyRing(ENCRYPTION_KEY).fingerprint(CANARY + '2')}"
    assert pairs(events(session)[-1]) == {"api_key": (MASKED, other)}
    assert other != MASKED


def test_deleting_a_provider_names_what_went(session: Session, admin: Actor) -> None:
    """CHECKS 60: the event of a deletion has the provider's fields, the key's mask and its settings rows."""
    provider = _provider(session, admin, api_key=CANARY)
    settings.upsert_global(session, admin, provider, {"temperature": 0.1, "preferred_model": "n"})
    providers.delete(session, admin, provider)

    event = events(session)[-1]
    assert (event.action, event.target, event.target_id) == ("provider.delete", "acme", provider)
    went = pairs(event)
    assert went["api_key"] == (MASKED, None)
    assert went["settings"] == ([{"preferred_model": "n", "temperature": 0.1, "is_active": True}], None)
    assert went["display_name"] == ("Acme", None)


def test_seed_and_import_are_recorded(session: Session) -> None:
    """Seeding and importing keys go through the same functions: each provider is an event of the command line."""
    seed.seed(session, COMMAND_LINE)
    env_import.import_env(session, COMMAND_LINE, {"OPENAI_API_KEY": CANARY})

    found = [(event.actor, event.action, event.target) for event in events(session, "provider")]
    assert ("command line", "provider.create", "openai") in found
    assert found[-1] == ("command line", "provider.update", "openai")
    assert CANARY not in repr([event.changes for event in events(session)])


def test_denial_is_recorded_though_its_transaction_is_rolled_back(admin: Actor, analyst: Actor) -> None:
    """CHECKS 3: who tried what without the right, and from where."""
    at_home = Actor(analyst.name, analyst.user_id, analyst.auth_epoch, address="203.0.113.7")
    with pytest.raises(Forbidden), db.transaction() as session:
        providers.create(session, at_home, ACME)

    with db.transaction() as session:
        (event,) = events(session, "denied")
        assert (event.actor, event.actor_id, event.address) == ("alan", analyst.user_id, "203.0.113.7")
        assert (event.target, pairs(event)) == ("provider.create", {"reason": (None, "Admin access required")})
        assert providers.list_all(session) == []
        assert admin


def test_values_are_capped_and_storable(session: Session) -> None:
    """A very long value keeps its beginning and its length; NUL and half characters become storable."""
    long, odd = "x" * 100_000, "a\x00b\ud800c"
    record(
        session, Actor(odd), "test", Target("provider", None, odd), {"long": (long, [long]), "odd": (odd, {odd: odd})}
    )

    event = events(session)[-1]
    assert event.actor == event.target == "a\ufffdb\ufffdc"
    before, after = pairs(event)["long"]
    assert str(before).endswith("(cut: 100000 characters in all)")
    assert len(str(after)) < 3_000
    assert pairs(event)["odd"] == ("a\ufffdb\ufffdc", {"a\ufffdb\ufffdc": "a\ufffdb\ufffdc"})


def test_secrets_in_values_are_redacted(session: Session, admin: Actor) -> None:
    """custom_settings may hold a secret: by its look, by its name, or because this process knows it, it is masked."""
    custom = {"team": "x", "deep": [{"password": "hunter2hunter2", "note": f"use {CANARY}"}], CANARY: 1}
    settings.upsert_global(session, admin, None, {"custom_settings": custom})
    record(session, Actor(CANARY), "test", Target("provider", None, CANARY))

    row = repr([(e.actor, e.target, e.changes) for e in events(session)])
    assert "hunter2" not in row
    assert CANARY[8:] not in row
    assert "'team': 'x'" in row


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
)
def test_changes_are_what_differs(before: dict[str, int], after: dict[str, int]) -> None:
    """changes_between names each field that differs, and no other."""
    assert changes_between(before, after, "abc") == {
        n: (before.get(n), after.get(n)) for n in "abc" if before.get(n) != after.get(n)
    }


# Together or not at all


@pytest.mark.parametrize(
    "fault", ["ALTER TABLE audit_events ADD CHECK (action <> 'provider.create')", "DROP TABLE audit_head"]
)
def test_failed_audit_rolls_the_change_back(committed: str, fault: str) -> None:
    """CHECKS 64: an event that cannot be written, or not be linked at commit, takes its change with it."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(fault)
    with pytest.raises(DBAPIError), db.transaction() as session:
        providers.create(session, COMMAND_LINE, ACME)

    with db.transaction() as session:
        assert providers.list_all(session) == []
        assert events(session) == []


WRITER = """
import sys
from core.store import db
from core.manage import providers
from core.actors import COMMAND_LINE
for turn in range(int(sys.argv[1])):
    with db.transaction() as session:
        providers.update(session, COMMAND_LINE, 1, {"description": str(turn)})
"""


@contextmanager
def _writer(url: str, turns: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(turns)], env=environment(DATABASE_URL=url), cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _wait(connection: psycopg.Connection, query: str) -> None:
    deadline = time.monotonic() + 20
    while not connection.execute(query).fetchone():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _descriptions(url: str) -> tuple[object, list[object]]:
    """The stored description, and those of the events, oldest first, once no other session is at work."""
    with psycopg.connect(url, autocommit=True) as connection:
        others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        _wait(
            connection,
            f"SELECT 1 WHERE NOT EXISTS ({others} AND starts_with(application_name, 'llm-settings/') AND state <> 'idle')",
        )
        stored = connection.execute("SELECT description FROM llm_providers").fetchone()
        found = connection.execute(
            "SELECT changes -> 'description' ->> 'after' FROM audit_events WHERE action = 'provider.update' ORDER BY seq"
        ).fetchall()
    return stored[0] if stored else None, [after for (after,) in found]


@pytest.mark.kill
@pytest.mark.parametrize(
    "lock",
    [
        "LOCK TABLE audit_events IN SHARE MODE",  # the row is written, the event waits to be
        "SELECT 1 FROM settings_generation FOR UPDATE",  # both are written, the commit waits to link them
    ],
)
def test_kill_between_row_and_event_leaves_both_or_none(committed: str, lock: str) -> None:
    """CHECKS 63: a process that is killed between the row, the event and the commit leaves both or neither."""
    with db.transaction() as session:
        providers.create(session, COMMAND_LINE, ACME)
    with psycopg.connect(committed) as holder, psycopg.connect(committed, autocommit=True) as watcher:
        holder.execute(lock)
        with _writer(committed, 1) as process:
            _wait(
                watcher,
                "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'llm-settings/%' AND wait_event_type = 'Lock'",
            )
            process.kill()
            process.wait(10)
        holder.rollback()

    stored, told = _descriptions(committed)
    assert told == ([] if stored is None else [stored])
    assert _verdict().problem == ""


@pytest.mark.kill
def test_kill_at_any_moment_leaves_both_or_none(committed: str) -> None:
    """CHECKS 63: of a process that writes and writes and is killed at some moment, each change has its event."""
    with db.transaction() as session:
        providers.create(session, COMMAND_LINE, ACME)
    for number in range(4):
        before = _descriptions(committed)[1]
        with _writer(committed, 100_000) as process, psycopg.connect(committed, autocommit=True) as watcher:
            _wait(watcher, f"SELECT 1 FROM audit_head WHERE seq > {len(before) + 3}")
            time.sleep(0.017 * number)
            process.kill()
            process.wait(10)
        stored, told = _descriptions(committed)
        assert told[-1] == stored
        assert told[len(before) + 1 :] == [str(turn) for turn in range(1, len(told) - len(before))]
    assert _verdict().problem == ""


def _chain(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT seq, action, target FROM audit_events ORDER BY seq").fetchall()


def _verdict(head: audit_chain.Head | None = None) -> audit_chain.ChainVerdict:
    with db.transaction() as session:
        return audit_chain.verify(session, head)


def _five(url: str) -> None:
    for number in range(5):
        with db.transaction() as session:
            record(
                session,
                Actor("ada", 1, address="::1"),
                "test",
                Target("provider", number, f"p{number}"),
                {"n": (None, "ü🦜")},
            )
    assert [seq for seq, *_ in _chain(url)] == [1, 2, 3, 4, 5]


# The chain


def test_python_computes_the_same_hashes(committed: str) -> None:
    """The chain computed in Python fits what the database linked; nothing is open to doubt about the empty one either."""
    assert _verdict() == (0, (0, "0" * 64), (0, "0" * 64), "")
    _five(committed)

    verdict = _verdict()
    assert verdict.problem == ""
    assert verdict.checked == verdict.head.seq == 5
    assert _verdict(verdict.head).problem == ""


def test_raw_sql_is_chained_too(committed: str) -> None:
    """An event inserted by hand gets its number and hash; time, number and hash that were given are ignored."""
    with psycopg.connect(committed) as connection:
        connection.execute(
            "INSERT INTO audit_events (actor, action, target_type, target, seq, hash, at)"
            " VALUES ('dba', 'x', 'y', 'z', 99, 'forged', '2001-01-01')"
        )
    with psycopg.connect(committed) as connection:
        row = connection.execute("SELECT seq, at > now() - interval '1 minute' FROM audit_events").fetchone()

    assert row == (1, True)
    assert _verdict().problem == ""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'nobody'",
        "UPDATE audit_events SET hash = NULL",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ],
)
def test_nobody_edits_by_mistake(committed: str, statement: str) -> None:
    """Append-only for the owner and superusers as well, until they switch the triggers off on purpose."""
    _five(committed)
    with (
        psycopg.connect(committed) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute(statement)


EDITS = {
    "seq": "seq = 9",
    "hash": "hash = repeat('a', 64)",
    "id": "id = 99",
    "at": "at = at + interval '1 microsecond'",
    "at infinity": "at = 'infinity'",
    "actor": "actor = 'bob'",
    "actor_id": "actor_id = NULL",
    "address": "address = NULL",
    "action": "action = 'tesT'",
    "target_type": "target_type = 'user'",
    "target_id": "target_id = 7",
    "target": "target = 'q'",
    "changes": "changes = '{}'",
    "parts moved": "action = action || '4:prov', target_type = substr(target_type, 5)",
}
TAMPERING = {
    **{name: (f"UPDATE audit_events SET {edit} WHERE seq = 3", "") for name, edit in EDITS.items()},
    "deleted": ("DELETE FROM audit_events WHERE seq = 3", "Event 3 is missing"),
    "two deleted": ("DELETE FROM audit_events WHERE seq IN (2, 3)", "Events 2 to 3 are missing"),
    "first deleted": ("DELETE FROM audit_events WHERE seq = 1", "Event 1 is missing"),
    "swapped": ("UPDATE audit_events SET seq = CASE seq WHEN 2 THEN 3 ELSE 2 END WHERE seq IN (2, 3)", "not as it was"),
    "twice": ("UPDATE audit_events SET seq = 2 WHERE seq = 3", "Number 2 is there twice"),
    "tail cut": ("DELETE FROM audit_events WHERE seq > 3", "ends at event 3, and its head says 5"),
    "all cut": ("DELETE FROM audit_events", "ends at event 0, and its head says 5"),
    "head's number": ("UPDATE audit_head SET seq = 4", "head was changed"),
    "head's hash": ("UPDATE audit_head SET hash = repeat('a', 64)", "head was changed"),
    "head gone": ("DELETE FROM audit_head", "head was changed"),
    "number taken": ("UPDATE audit_events SET seq = NULL, hash = NULL WHERE seq = 3", "1 event without a number"),
    "checkpoint forged": (
        """INSERT INTO audit_checkpoints (seq, hash, by, removed) SELECT 3, hash, 'x', 3 FROM audit_events WHERE seq = 3;
        DELETE FROM audit_events WHERE seq <= 3""",
        "no event tells of a purge",
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found(committed: str, name: str) -> None:
    """Each column changed, rows deleted, swapped or doubled, the tail cut, the head rewritten: verify says where."""
    statement, message = TAMPERING[name]
    _five(committed)
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # triggers off: a superuser can
        if name in {"twice", "swapped"}:
            connection.execute("DROP INDEX audit_events_seq_idx")
        if name == "id":
            connection.execute("ALTER TABLE audit_events ALTER id DROP IDENTITY")
        for part in statement.split(";"):
            connection.execute(part)

    problem = _verdict().problem
    assert problem
    assert message in problem


def test_rewritten_chain_is_found_by_the_head_kept_elsewhere(committed: str) -> None:
    """Who owns the database can compute a whole new chain; the head noted before tells."""
    _five(committed)
    kept = _verdict().head
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE audit_events SET actor = 'bob' WHERE seq = 2")
        connection.execute(
            """DO $$ DECLARE e audit_events; last text := repeat('0', 64); BEGIN
                FOR e IN SELECT * FROM audit_events ORDER BY seq LOOP
                    last := llm_audit_hash(last, e);
                    UPDATE audit_events SET hash = last WHERE id = e.id;
                END LOOP;
                UPDATE audit_head SET hash = last;
            END $$"""
        )
    assert _verdict().problem == ""
    assert "written anew" in _verdict(kept).problem

    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM audit_events WHERE seq > 3")
        connection.execute("UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_events WHERE seq = 3)")
    assert _verdict().problem == ""
    assert "ends at event 3, before the head given (5)" in _verdict(kept).problem


@pytest.mark.parametrize("head", ["", "5", "5:abc", "x:" + "0" * 64, "1:" + "g" * 64, "-1:" + "0" * 64])
def test_head_that_is_none_is_refused(head: str) -> None:
    """A head is a number and 64 hex digits."""
    with pytest.raises(Invalid):
        audit_chain.parse_head(head)


def _age(url: str, up_to: int, days: int = 100) -> None:
    """Rewrite the chain as if its first events were older."""
    with psycopg.connect(url, autocommit=True) as connection:
        age_events(connection, up_to, days)


def _purge(days: int, *, dry_run: bool = False) -> audit_log.Purge:
    with db.transaction() as session:
        return audit_log.purge(session, COMMAND_LINE, older_than=days, dry_run=dry_run)


def test_purge_leaves_a_checkpoint_and_an_event(committed: str) -> None:
    """The oldest events go, the rest verifies from the checkpoint, and the purge itself is on record."""
    _five(committed)
    _age(committed, 3)
    kept, early = _verdict().head, audit_chain.Head(2, "a" * 64)

    assert _purge(30, dry_run=True) == (3, 3)
    assert len(_chain(committed)) == 5
    assert _purge(30) == (3, 3)
    assert _purge(30) == (0, 0)

    assert _chain(committed)[-1] == (6, "audit.purge", "events up to 3")
    verdict = _verdict(kept)
    assert (verdict.problem, verdict.checked, verdict.start.seq) == ("", 3, 3)
    with db.transaction() as session:
        (checkpoint,) = session.exec(select(AuditCheckpoint)).all()
        assert (checkpoint.seq, checkpoint.by, checkpoint.removed) == (3, "command line", 3)
        assert audit_log.figures(session, COMMAND_LINE)[::3] == (3, 6)
    assert "was purged (up to 3)" in _verdict(early).problem
    assert _verdict(verdict.start).problem == ""
    assert "another hash" in _verdict(audit_chain.Head(3, "a" * 64)).problem


def test_purge_of_everything_and_again(committed: str) -> None:
    """Purging all there is leaves the event of the purge; a second purge takes that one with it."""
    _five(committed)
    _age(committed, 5)
    assert _purge(1) == (5, 5)
    assert _verdict()[0] == 1
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE audit_events SET at = at - interval '9 days'")
        connection.execute("UPDATE audit_events e SET hash = llm_audit_hash(c.hash, e) FROM audit_checkpoints c")
        connection.execute("UPDATE audit_head SET hash = e.hash FROM audit_events e")
    assert _purge(1) == (1, 6)

    verdict = _verdict()
    assert (verdict.problem, verdict.checked, verdict.start.seq, verdict.head.seq) == ("", 1, 6, 7)


def test_purge_keeps_what_is_numbered_behind_a_younger_event(committed: str) -> None:
    """Only a beginning of the chain goes: no hole is cut into it."""
    _five(committed)
    _age(committed, 5)
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE audit_events SET at = now() WHERE seq = 2")

    assert _purge(30, dry_run=True) == (1, 1)


@pytest.mark.parametrize("days", [0, -1, 10**9])
def test_purge_wants_a_number_of_days(session: Session, days: int) -> None:
    """No day, and more than a hundred years, are refused."""
    with pytest.raises(Invalid):
        audit_log.purge(session, COMMAND_LINE, older_than=days)


@pytest.mark.usefixtures("committed")
def test_threads_neither_deadlock_nor_leave_gaps() -> None:
    """8 threads, 50 commits each, of settings changes, sign-ins and both, in either order: the chain verifies, no gap."""
    with db.transaction() as session:
        ids = [providers.create(session, COMMAND_LINE, {**ACME, "name": f"p{n}"}).id or 0 for n in range(4)]

    def change(session: Session, seed: int, turn: int) -> None:
        def settings() -> None:
            providers.update(session, COMMAND_LINE, ids[turn % 4], {"display_name": f"{seed}.{turn}"})

        def sign_in() -> None:
            record(session, Actor(f"user {seed}"), "session.sign_in", Target("session", seed, f"user {seed}"))

        steps = [settings] * (turn % 3 != 1) + [sign_in] * (turn % 3 > 0)
        for step in steps if seed % 2 else reversed(steps):  # at commit the triggers run in this order
            step()

    def work(seed: int) -> None:
        for turn in range(50):
            with db.transaction() as session:  # no retry: a deadlock would be an error here
                change(session, seed, turn)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    verdict = _verdict()
    expected = 4 + 8 * sum((turn % 3 != 1) + (turn % 3 > 0) for turn in range(50))
    assert (verdict.problem, verdict.checked, verdict.head.seq) == ("", expected, expected)


def test_long_transaction_blocks_no_other(committed: str) -> None:
    """The chain is taken at commit: an open transaction with an event holds nobody up."""
    with db.transaction() as slow:
        record(slow, COMMAND_LINE, "test", Target("provider", 1, "slow"))
        with db.transaction() as quick:
            record(quick, COMMAND_LINE, "test", Target("provider", 2, "quick"))

    assert [target for _, _, target in _chain(committed)] == ["quick", "slow"]


# The application's role


@pytest.fixture(scope="module")
def migrated_by_owner(server: str) -> Iterator[tuple[str, str, str]]:
    """A database that a plain role migrated and owns, to copy: its name, and the names of that role and the application's."""
    mark = uuid.uuid4().hex[:12]
    owner, app, database = f"owner_{mark}", f"app_{mark}", f"t_owned_{mark}"
    with psycopg.connect(server, autocommit=True) as connection:
        for role in (owner, app):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        connection.execute(f"CREATE DATABASE {database} OWNER {owner}")
        engine = _engine_of(server, database, owner)
        try:
            migrate.upgrade(engine)
            engine.dispose()  # nobody may be connected to what is copied
            yield database, owner, app
        finally:
            engine.dispose()
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
            for role in (owner, app):
                connection.execute(f"DROP ROLE {role}")


def _engine_of(server: str, database: str, role: str) -> Engine:
    address = make_url(named(server, database)).set(username=role, password="x")
    return db.make_engine(address.render_as_string(hide_password=False))


@pytest.fixture
def two_roles(server: str, migrated_by_owner: tuple[str, str, str]) -> Iterator[tuple[Engine, Engine, str]]:
    """A database owned by a plain role that migrated it, and engines of the owner and of the application's role."""
    template, owner, app = migrated_by_owner
    database = f"t_roles_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database} TEMPLATE {template} OWNER {owner} STRATEGY file_copy")
        engines = [_engine_of(server, database, role) for role in (owner, app)]
        try:
            with Session(engines[0]) as session, session.begin():
                grants.grant_app(session, app)
            yield engines[0], engines[1], named(server, database)
        finally:
            for engine in engines:
                engine.dispose()
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.mark.long
def test_app_role_does_its_work(two_roles: tuple[Engine, Engine, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's role makes every write of core, sign-ins and rotation included, and the chain verifies."""
    _, app, _ = two_roles
    monkeypatch.setattr(db, "get_engine", lambda: app)
    with db.transaction() as session:
        users.bootstrap(session, "root", PASSWORD)
        seed.seed(session, COMMAND_LINE)
        env_import.import_env(session, COMMAND_LINE, {"OPENAI_API_KEY": CANARY})
        admin = users.add(session, COMMAND_LINE, "ada", PASSWORD, "admin")
        actor = Actor("ada", admin.id, admin.auth_epoch)
    for prepare, work, *_ in (write for name, write in WRITES.items() if name != "users.bootstrap"):
        with db.transaction() as session:
            nested = session.begin_nested()
            work(session, actor, prepare(session, actor))
            nested.rollback()
    with db.transaction() as session:
        number = sign_in.admit(session, "ada", "::1")
        sign_in.succeeded(session, number)
        user = users.find(session, "ada")
        assert user is not None
        signed_in, _ = sessions.begin(session, user, "::1", "agent", ticket=False)
        sessions.end(session, signed_in, signed_in.session_id or 0)
    later = KeyRing(generate_key(), [ENCRYPTION_KEY])
    assert sum(batch.moved for batch in keys.rotate(db.retrying, COMMAND_LINE, later, force=True)) == 1
    migrate.check(app)

    with db.transaction() as session:
        made = [event.action for event in events(session)]
    assert made == [
        "user.add",
        *["provider.create"] * len(catalogue.SEEDED),
        "provider.update",
        "user.add",
        "session.sign_in",
        "session.sign_out",
        "keys.rotate",
    ]
    verdict = _verdict()
    assert verdict.problem == ""
    assert verdict.checked == len(made)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'nobody'",
        "UPDATE audit_events SET seq = 1, hash = ''",
        "DELETE FROM audit_events",
        "SELECT set_config('llm_settings.audit_purge', 'on', true); DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "INSERT INTO audit_events (actor, action, target_type, target, seq) VALUES ('a', 'b', 'c', 'd', 9)",
        "INSERT INTO audit_events (actor, action, target_type, target, at) VALUES ('a', 'b', 'c', 'd', now())",
        "UPDATE audit_head SET seq = 0",
        "DELETE FROM audit_head",
        "INSERT INTO audit_checkpoints (seq, hash, by, removed) VALUES (1, '', '', 1)",
        "UPDATE alembic_version SET version_num = ''",
        "DROP TRIGGER audit_events_chain ON audit_events",
        "DROP TRIGGER audit_events_guard ON audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "DROP TABLE audit_events",
        "CREATE OR REPLACE FUNCTION llm_audit_hash(previous text, event audit_events) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION convert_to(text, text) RETURNS bytea LANGUAGE sql AS 'SELECT null::bytea'",
        "SET session_replication_role = replica",
        "SELECT llm_chain_event()",
        "LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE",
    ],
)
def test_app_role_cannot_touch_the_audit(two_roles: tuple[Engine, Engine, str], statement: str) -> None:
    """What changes or removes events, the head, the triggers or the functions is refused to the application's role."""
    _, app, _ = two_roles
    with Session(app) as session, session.begin():
        record(session, COMMAND_LINE, "test", Target("provider", 1, "a"))
    with (
        app.connect() as connection,
        pytest.raises(DBAPIError, match=r"denied|must be owner|can only be called as|append-only"),
    ):
        connection.exec_driver_sql(statement)


def test_temporary_tables_and_search_path_trick_nobody(
    two_roles: tuple[Engine, Engine, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary tables named as ours, and another search_path, do not come between an event and the chain."""
    _, app, _ = two_roles
    with app.begin() as connection:
        for statement in (
            "CREATE TEMP TABLE audit_head AS SELECT 1 AS id, 100::bigint AS seq, 'x' AS hash",
            "CREATE TEMP TABLE settings_generation AS SELECT 1 AS id",
            "CREATE TEMP TABLE audit_events (LIKE public.audit_events)",
            "CREATE FUNCTION pg_temp.llm_audit_hash(text, public.audit_events) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$",
            "CREATE FUNCTION pg_temp.octet_length(bytea) RETURNS int LANGUAGE sql AS $$ SELECT 0 $$",
            "CREATE FUNCTION pg_temp.to_jsonb(public.audit_events) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$",
            "SET search_path = pg_temp, public, pg_catalog",
            "INSERT INTO public.audit_events (actor, action, target_type, target) VALUES ('a', 'b', 'c', 'd')",
        ):
            connection.exec_driver_sql(statement)
    app.dispose()

    monkeypatch.setattr(db, "get_engine", lambda: app)
    verdict = _verdict()
    assert (verdict.problem, verdict.checked) == ("", 1)


def test_app_role_cannot_purge_and_the_owner_can(two_roles: tuple[Engine, Engine, str]) -> None:
    """Purging as the application's role is refused in one sentence; the owner, no superuser, may."""
    owner, app, superuser = two_roles
    with Session(app) as session, session.begin():
        record(session, COMMAND_LINE, "test", Target("provider", 1, "a"))
    _age(superuser, 1)

    with Session(app) as session, session.begin(), pytest.raises(Forbidden, match="role that owns the tables"):
        audit_log.purge(session, COMMAND_LINE, older_than=1)
    with Session(owner) as session, session.begin():
        assert audit_log.purge(session, COMMAND_LINE, older_than=1) == (1, 1)


def test_grants_are_complete_and_come_again(two_roles: tuple[Engine, Engine, str]) -> None:
    """Every table is in the list of rights; a second run takes away what was granted too much."""
    owner, app, _ = two_roles
    role = app.url.username or ""
    assert set(grants.RIGHTS) == {*METADATA.tables, "alembic_version"}
    with Session(owner) as session, session.begin():
        session.execute(text(f"GRANT ALL ON audit_events, audit_head TO {role}"))
    with Session(owner) as session, session.begin():
        assert f"REVOKE ALL ON public.audit_events FROM {role}" in grants.grant_app(session, role)

    with app.connect() as connection, pytest.raises(DBAPIError, match="denied"):
        connection.exec_driver_sql("DELETE FROM audit_events")


@pytest.mark.long
def test_grant_app_as_a_command(two_roles: tuple[Engine, Engine, str]) -> None:
    """`grant-app` prints what it granted; only the owner may run it, and only for a role that is there."""
    owner, app, _ = two_roles
    urls = [engine.url.set(drivername="postgresql").render_as_string(hide_password=False) for engine in (owner, app)]
    granted = core("grant-app", app.url.username or "", DATABASE_URL=urls[0])
    missing = core("grant-app", "nobody-here", DATABASE_URL=urls[0])
    refused = core("grant-app", app.url.username or "", DATABASE_URL=urls[1])

    assert granted.returncode == 0, granted.stderr
    assert "GRANT SELECT, INSERT (actor, " in granted.stdout
    assert (missing.returncode, refused.returncode) == (1, 1)
    assert "nobody-here" in missing.stderr
    assert "takes the role that owns the tables" in refused.stderr


def test_role_that_cannot_be_limited_is_refused(two_roles: tuple[Engine, Engine, str]) -> None:
    """The owner, a superuser, a member of the owner, one who may create tables, and nobody are refused with the reason."""
    owner, app, _ = two_roles
    name, role = owner.url.username or "", app.url.username or ""
    with Session(owner) as session, session.begin():
        with pytest.raises(Invalid, match="nothing can be kept from it"):
            grants.grant_app(session, name)
        with pytest.raises(NotFound):
            grants.grant_app(session, "no'body; DROP TABLE users")
        session.execute(text("GRANT CREATE ON SCHEMA public TO PUBLIC"))
        with pytest.raises(Invalid, match="REVOKE CREATE ON SCHEMA public FROM PUBLIC"):
            grants.grant_app(session, role)


# The role of services


def test_reader_role_resolves_and_does_nothing_else(two_roles: tuple[Engine, Engine, str]) -> None:
    """What `grant-reader` grants is enough to resolve and to see a change; all else is refused, also other columns."""
    owner, app, _ = two_roles
    urls = [engine.url.set(drivername="postgresql").render_as_string(hide_password=False) for engine in (owner, app)]
    with Session(owner) as session, session.begin():
        env_import.import_env(session, COMMAND_LINE, {"OPENAI_API_KEY": CANARY})
    granted = core("grant-reader", app.url.username or "", DATABASE_URL=urls[0])
    refused = core("grant-reader", app.url.username or "", DATABASE_URL=urls[1])
    resolver = Resolver(urls[1], ring=KeyRing(ENCRYPTION_KEY))
    try:
        first = resolver.resolve("openai")
        key = first.api_key()
        with Session(owner) as session, session.begin():
            settings.upsert_global(session, COMMAND_LINE, None, {"temperature": 0.125})
        seen = resolver.wait_for(first.generation + 1, 5)
        then = resolver.resolve("openai").temperature
    finally:
        resolver.close()

    assert granted.returncode == 0, granted.stderr
    assert "GRANT SELECT (id, name, " in granted.stdout
    assert (refused.returncode, key, seen, then) == (1, CANARY, True, 0.125)
    readable = set()
    with app.connect() as connection:
        for table in grants.RIGHTS:
            for verb in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
                assert not connection.exec_driver_sql(f"SELECT has_table_privilege('{table}', '{verb}')").scalar()
                if verb in {"INSERT", "UPDATE", "REFERENCES"}:
                    assert not connection.exec_driver_sql(
                        f"SELECT has_any_column_privilege('{table}', '{verb}')"
                    ).scalar()
            if connection.exec_driver_sql(f"SELECT has_any_column_privilege('{table}', 'SELECT')").scalar():
                readable.add(table)
    assert readable == set(grants.READER)
    for statement in (
        "SELECT api_key_masked FROM llm_providers",
        "SELECT * FROM llm_providers",
        "SELECT password_hash FROM users",
        "SELECT * FROM auth_sessions",
        "SELECT token_hash FROM api_tokens",
        "SELECT * FROM audit_events",
        "UPDATE settings_generation SET generation = 1",
        "DELETE FROM settings_changes",
        "SELECT nextval('llm_providers_id_seq')",
        "CREATE TABLE x ()",
    ):
        with app.connect() as connection, pytest.raises(DBAPIError, match=r"denied|must be owner"):
            connection.exec_driver_sql(statement)


def test_reader_role_that_logs_calls(two_roles: tuple[Engine, Engine, str]) -> None:
    """With `--log` the role adds to the request log, the figures are added up for it, and it reads neither."""
    owner, app, _ = two_roles
    urls = [engine.url.set(drivername="postgresql").render_as_string(hide_password=False) for engine in (owner, app)]

    granted = core("grant-reader", app.url.username or "", "--log", DATABASE_URL=urls[0])
    writer = log_writer.Writer(urls[1])
    writer.put(called(), CALL)
    written = writer.flush(10)
    writer.close()

    assert granted.returncode == 0, granted.stderr
    assert written
    with owner.connect() as connection:
        found = connection.exec_driver_sql("SELECT l.model, u.calls FROM llm_logs l, llm_usage u").one()
        assert tuple(found) == ("m1", 1)
    for statement in (
        "SELECT id FROM llm_logs",
        "UPDATE llm_logs SET cost = 0",
        "DELETE FROM llm_logs",
        "INSERT INTO llm_logs (id) OVERRIDING SYSTEM VALUE VALUES (1)",
        "SELECT * FROM llm_usage",
        "INSERT INTO llm_usage (calls) VALUES (1)",
    ):
        with app.connect() as connection, pytest.raises(DBAPIError, match="denied"):
            connection.exec_driver_sql(statement)


# Reading


@pytest.fixture
def some(session: Session, admin: Actor) -> Session:
    """Five events of two people."""
    provider = _provider(session, admin)
    providers.set_api_key(session, COMMAND_LINE, provider, CANARY)
    providers.update(session, COMMAND_LINE, provider, {"name": "a_b", "display_name": "=cmd()"})
    settings.upsert_global(session, admin, None, {"temperature": 0})
    settings.upsert_global(session, admin, provider, {"temperature": 1})
    return session


def _targets(session: Session, reader: Actor, /, **filters: Any) -> list[str]:
    return [event.target for event in audit_log.search(session, reader, EventFilters(**filters)).rows]


def test_search_filters(some: Session, admin: Actor) -> None:
    """By actor, action, group of actions, target and time; newest first."""
    now = datetime.now(UTC)

    assert _targets(some, admin) == ["a_b", "all providers", "a_b", "acme", "acme"]
    assert _targets(some, admin, actor="ada", action="settings.*") == ["a_b", "all providers"]
    assert _targets(some, admin, action="provider.set_key") == ["acme"]
    assert _targets(some, admin, action="provider.*") == ["a_b", "acme", "acme"]
    assert _targets(some, admin, action="nothing.*") == []
    assert _targets(some, admin, target_type="settings") == ["a_b", "all providers"]
    assert _targets(some, admin, target="all") == ["all providers"]
    assert _targets(some, admin, target="a_") == ["a_b", "a_b"]
    assert _targets(some, admin, target="a%") == _targets(some, admin, target="ac_") == []
    assert _targets(some, admin, since=now + timedelta(hours=1)) == []
    assert len(_targets(some, admin, until=now + timedelta(hours=1), since=now - timedelta(hours=1))) == 5


def test_search_pages(some: Session, admin: Actor) -> None:
    """Pages follow each other without a gap or a double, also where many events have the same time."""
    some.execute(text("SET LOCAL session_replication_role = replica"))
    some.execute(text("UPDATE audit_events SET at = now() WHERE id % 2 = 0"))
    found: list[int] = []
    before = None
    for _ in range(3):
        page = audit_log.search(some, admin, before=before, limit=2)
        found += [event.id for event in page.rows]
        before = page.older

    assert before is None
    assert len(found) == len(set(found)) == 5


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE users; --", "%", "_", "\\", "a\x00b", "\ud800", "*", "' OR 1=1", "x" * 100_000, "€🦜"]
)
def test_hostile_filters_find_nothing(some: Session, admin: Actor, hostile: str) -> None:
    """CHECKS 57: SQL strings, wildcards, NUL and half characters are looked for literally in every filter."""
    for name in set(EventFilters._fields) - {"since", "until"}:
        if name == "action" and hostile == "*":
            continue  # the group of all
        assert _targets(some, admin, **{name: hostile}) == []
    assert len(_targets(some, admin)) == 5


def test_only_admins_read(some: Session, analyst: Actor) -> None:
    """Every reading function asks for the role."""
    for read in (
        audit_log.search,
        audit_log.choices,
        audit_log.figures,
        lambda s, a: audit_log.export(s, a, EventFilters()),
    ):
        with pytest.raises(Forbidden):
            read(some, analyst)


def test_choices_and_figures(some: Session, admin: Actor) -> None:
    """What occurs can be chosen; the figures count denials of a day."""
    record(some, admin, "denied", Target("action", None, "x"))
    choices = audit_log.choices(some, admin)

    assert choices.actors == ["ada", "command line"]
    assert choices.actions == ["denied", "provider.create", "provider.set_key", "provider.update", "settings.create"]
    assert audit_log.figures(some, admin).denials == 1


# CSV

HOSTILE = [
    "=cmd()",
    "+1",
    "-1+1|cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    '"=1',
    "'=1",
    "\u00a0=1",
    "\uff1d1",
    "a;=1",
    'a",=1',
    "a\n=1",
]


@pytest.mark.parametrize("cell", HOSTILE)
def test_formula_is_made_harmless(cell: str) -> None:
    """CHECKS 52: what a spreadsheet would run gets an apostrophe, wherever a cell could begin."""
    assert harmless(cell).replace("'", "") == cell.replace("'", "")
    assert not re.search(r"(?:^|[,;|\t\r\n])[\s\"]*[=+\-@\uff1d]", harmless(cell))


TEXTS = st.text(st.sampled_from("=+-@\t\r\n \"',;|a1\uff1d") | st.characters(codec="utf-8"), max_size=30)


@given(TEXTS, TEXTS, TEXTS)
def test_csv_reads_back(name: str, before: str, after: str) -> None:
    """CHECKS 52: any text is one cell again when read back, harmless, and itself but for apostrophes."""
    event = audit_log.Event(
        1, 1, datetime.now(UTC), name, 1, None, "a.b", "provider", 1, name, {name: {"before": before, "after": after}}
    )
    file = io.StringIO("".join(as_csv([event])), newline="")
    header, row = csv.reader(file)

    assert tuple(header) == audit_log.COLUMNS
    assert row[2] == harmless(name)
    for cell, given_text in zip(row[-3:], (name, before, after), strict=True):
        assert cell.replace("'", "") == given_text.replace("'", "")
        assert not re.match(r"[\s\"]*[=+\-@\uff1d]|[\t\r\n]", cell)


def test_event_without_changes_is_a_line(some: Session, admin: Actor) -> None:
    """An event without fields is one line; numbers and lists are JSON; the key is a mask."""
    record(some, admin, "user.set_password", Target("user", 1, "grace"))
    lines = list(csv.DictReader(io.StringIO("".join(as_csv(audit_log.export(some, admin, EventFilters()))))))

    assert (lines[0]["action"], lines[0]["field"], lines[0]["before"]) == ("user.set_password", "", "")
    assert ("temperature", "", "1.0") in [(line["field"], line["before"], line["after"]) for line in lines]
    assert ("display_name", "Acme", "'=cmd()") in [(line["field"], line["before"], line["after"]) for line in lines]
    assert CANARY not in repr(lines)


# The command line


@pytest.mark.long
def test_commands(committed: str, tmp_path: Path) -> None:
    """head, verify, export and purge as an operator runs them; a broken chain is exit 1."""
    url = {"DATABASE_URL": committed}
    core("seed", **url)
    head = core("audit", "head", **url).stdout.strip()
    good = core("audit", "verify", "--head", head, **url)
    file = tmp_path / "audit.csv"
    export = core("audit", "export", "--since", "2020-01-01", str(file), **url)
    stdout = core("audit", "export", "-", **url)
    purge = core("audit", "purge", "--older-than", "1", "--dry-run", **url)
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE audit_events SET target = 'x' WHERE seq = 2")
    bad = core("audit", "verify", **url)

    assert re.fullmatch(r"[1-9]\d*:[0-9a-f]{64}", head)
    assert good.returncode == 0, good.stderr
    assert f"Head: {head}" in good.stdout
    assert export.stdout == f"Wrote {file}.\n"
    assert file.read_bytes().decode("utf-8-sig") == stdout.stdout.replace("\n", "\r\n")
    assert "Nothing to do" in purge.stdout
    assert bad.returncode == 1
    assert "BROKEN: Event 2 is not as it was written" in bad.stdout
    assert "Traceback" not in bad.stderr
    assert "number, a colon" in core("audit", "verify", "--head", "x", **url).stderr
    assert "cannot be written" in core("audit", "export", str(tmp_path / "no" / "x.csv"), **url).stderr


def test_migration_is_recorded(committed: str) -> None:
    """`migrate` is the first event of a new database; with nothing to do it is none."""
    migrate.downgrade(db.get_engine(), "base")
    core("migrate", DATABASE_URL=committed)
    core("migrate", DATABASE_URL=committed)

    assert _chain(committed) == [(1, "schema.migrate", migrate.head())]


def test_key_is_nowhere(committed: str) -> None:
    """CHECKS 31: no row of the audit has a plain key, nor its sealed form."""
    with db.transaction() as session:
        provider = _provider(session, COMMAND_LINE, api_key=CANARY)
        providers.set_api_key(session, COMMAND_LINE, provider, CANARY + "2")
        providers.delete(session, COMMAND_LINE, provider)
    with psycopg.connect(committed) as connection:
        rows = connection.execute("SELECT to_jsonb(e)::text FROM audit_events e").fetchall()

    assert len(rows) == 3
    assert CANARY[8:] not in repr(rows)
    assert "encrypted" not in repr(rows)
