"""Encryption keys: nothing is lost while they change, and what is wrong is told: the key, or one row."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlmodel import Session, col, select

from core import config, crypto
from core.actors import COMMAND_LINE, Actor
from core.crypto import KeyRing, Place
from core.errors import (
    EncryptionKeyMissing,
    Forbidden,
    KeyUnreadable,
    OutdatedEncryptionKey,
    Sealed,
    WrongEncryptionKey,
)
from core.manage import bootstrap, keys, provider_keys, providers
from core.store import db, sealed
from core.store.records import AuditEvent
from core.store.tables import METADATA, EncryptionCanary
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.processes import core, environment, running_app

CANARY = "sk-canary-0123456789abcdef"
OLD, NEW, THIRD = ENCRYPTION_KEY, "fedcba9876543210" * 4, "00112233445566778899aabbccddeeff" * 2
OLD_ID, NEW_ID = (KeyRing(key).primary_id or "" for key in (OLD, NEW))
ORIGIN = "https://api.openai.com:443"


def use(monkeypatch: pytest.MonkeyPatch, primary: str, *extra: str) -> KeyRing:
    """Restart this process, as it were, with another key ring."""
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", primary)
    monkeypatch.setenv("LLM_ENCRYPTION_KEYS_EXTRA", ",".join(extra))
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()
    return crypto.get_ring()


def plain_key(number: int) -> str:
    return f"{CANARY}-{number}"


def fill(count: int, key: str = OLD) -> None:
    """Store *count* providers with a key each, sealed beforehand: quicker than one by one."""
    ring = KeyRing(key)
    with db.transaction() as session:
        keys.check_canary(session, ring)
        cursor = session.connection().connection.cursor()
        with cursor.copy(
            "COPY llm_providers (id, name, display_name, kind, available_models, default_model, api_key_encrypted,"
            " api_key_key_id, api_key_binding, api_key_masked, api_key_set_at) FROM STDIN"
        ) as copy:
            for number in range(1, count + 1):
                stored = ring.seal(plain_key(number), Place("llm_providers", number, "api_key", ORIGIN))
                name = f"p{number}"
                copy.write_row(
                    (number, name, name, "openai", '["m"]', "m", *stored, "sk-cana...****", "2020-01-01T00:00:00Z")
                )
        cursor.execute("SELECT setval('llm_providers_id_seq', %s)", [count])


def opened(*ring: str) -> dict[int, str]:
    """Every stored key, opened with this ring; of one that cannot be, the reason."""
    key_ring = KeyRing(ring[0], ring[1:])
    found = {}
    with db.transaction() as session:
        for row in session.execute(sealed.SEALED[0].query()):
            outcome, plain = sealed.try_open(sealed.SEALED[0], row, key_ring)
            found[row.id] = plain or outcome.state
    return found


def all_right(count: int) -> dict[int, str]:
    return {number: plain_key(number) for number in range(1, count + 1)}


def rotate(*ring: str, **options: Any) -> tuple[int, list[sealed.Tried]]:
    """Rotate in this process; returns how many moved, and what could not be opened."""
    batches = list(keys.rotate(db.retrying, COMMAND_LINE, KeyRing(ring[0], ring[1:]), **options))
    return sum(batch.moved for batch in batches), [row for batch in batches for row in batch.unreadable]


def state_of(*ring: str) -> keys.RingStatus:
    with db.transaction() as session:
        return keys.status(session, KeyRing(ring[0], ring[1:]))


def held(status: keys.RingStatus) -> list[tuple[str, str, int, bool]]:
    return [(key.key_id, key.role, key.rows, key.may_go) for key in status.keys]


def sql(statement: str) -> None:
    with db.transaction() as session:
        session.execute(text(statement))


def events() -> list[AuditEvent]:
    with db.transaction() as session:
        found = select(AuditEvent).where(col(AuditEvent.action).startswith("keys.")).order_by(col(AuditEvent.id))
        return list(session.exec(found))


# --- the registry ---


def test_every_sealed_column_is_registered() -> None:
    """A new column for a sealed value fails here until it is in the registry: else no rotation would move it."""
    registered = {(c.table.name, column.name) for c in sealed.SEALED for column in c.columns()}
    registered |= {("encryption_canaries", name) for name in ("key_id", "blob", "binding")}  # never moved: one a key
    looks_sealed = {
        (table.name, column.name)
        for table in METADATA.tables.values()
        for column in table.columns
        if column.name.endswith(("_encrypted", "_sealed", "_key_id", "_binding"))
        or any(word in column.name for word in ("blob", "cipher", "secret"))
    }

    assert looks_sealed <= registered


def test_registered_place_is_the_one_that_services_use(session: Session, admin: Actor) -> None:
    """What is sealed again for the registry's place opens where providers and the resolver look for it."""
    row = providers.create(
        session, admin, {"name": "p", "display_name": "P", "kind": "google", "available_models": ["m"]}
    )

    assert sealed.provider_place(row) == provider_keys.place_of(row)
    assert provider_keys.place_of(row).origin.startswith("https://")


# --- the canary: wrong key or damaged row ---


def test_first_use_makes_a_canary(session: Session) -> None:
    """An empty database takes the key it is first used with; looking alone writes nothing."""
    ring = KeyRing(OLD)

    assert keys.look_at_canary(session, ring).state == "first_use"
    assert keys.look_at_canary(session, ring).state == "first_use"
    assert keys.check_canary(session, ring) == ("first_use", "", ())
    assert keys.check_canary(session, ring) == ("ok", "", ())
    assert [row.key_id for row in session.exec(select(EncryptionCanary))] == [OLD_ID]


def test_next_key_becomes_primary(session: Session) -> None:
    """A new primary key is accepted while the ring still has one that this database knows; the old one stays known."""
    keys.check_canary(session, KeyRing(OLD))
    accepted = keys.check_canary(session, KeyRing(NEW, [OLD]))

    assert accepted.state == "new_primary"
    assert "keys rotate" in accepted.message
    assert keys.check_canary(session, KeyRing(NEW)).state == "ok"
    assert keys.check_canary(session, KeyRing(OLD)).state == "ok"


def test_wrong_key_is_told_and_seals_nothing(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 42: a key this database never knew is named as wrong, with those that are known, and gets no canary."""
    fill(1)
    ring = use(monkeypatch, NEW)
    said: list[str] = []
    bootstrap._look_at_encryption_key(said.append)

    assert keys.check_canary(session, ring).state == "wrong_key"
    assert f"LLM_ENCRYPTION_KEY ({NEW_ID}) is not the key this database was used with (known: {OLD_ID})" in said[0]
    with pytest.raises(WrongEncryptionKey), session.begin_nested():
        providers.set_api_key(session, admin, 1, CANARY)
    with pytest.raises(WrongEncryptionKey), session.begin_nested():
        list(keys.rotate(lambda work: work(session), admin, ring))
    assert keys.look_at_canary(session, ring).state == "wrong_key"
    assert opened(OLD) == all_right(1)


@pytest.mark.program
def test_app_with_a_wrong_key_starts_and_says_so(committed: str, tmp_path: Path) -> None:
    """CHECKS 22, 42: a real app with a wrong key serves, and its log says that it is the key; with the right one nothing."""
    fill(1)
    with running_app(tmp_path / "wrong", DATABASE_URL=committed, LLM_ENCRYPTION_KEY=NEW) as app:
        wrong = app.output()
    with running_app(tmp_path / "right", DATABASE_URL=committed) as app:
        right = app.output()

    assert f"LLM_ENCRYPTION_KEY ({NEW_ID}) is not the key this database was used with (known: {OLD_ID})" in wrong
    assert "Traceback" not in wrong
    assert NEW not in wrong
    assert "LLM_ENCRYPTION_KEY" not in right
    assert opened(OLD) == all_right(1)


def test_restored_backup_needs_the_key_of_its_time(session: Session) -> None:
    """A backup from before the change of keys: the new key alone is wrong, with the old one beside it all moves again."""
    fill(3)

    assert keys.check_canary(session, KeyRing(NEW)).known == (OLD_ID,)
    assert keys.check_canary(session, KeyRing(NEW, [OLD])).state == "new_primary"
    assert rotate(NEW, OLD) == (3, [])
    assert opened(NEW) == all_right(3)


def test_rows_older_than_the_canaries_tell_a_wrong_key(session: Session) -> None:
    """Without any canary, as in a backup from before they existed, the rows' key ids tell."""
    fill(2)
    sql("DELETE FROM encryption_canaries")

    assert keys.look_at_canary(session, KeyRing(NEW)).state == "wrong_key"
    assert keys.look_at_canary(session, KeyRing(NEW)).known == (OLD_ID,)
    assert keys.look_at_canary(session, KeyRing(NEW, [OLD])).state == "new_primary"


def test_the_old_key_is_not_new_after_an_upgrade_from_before_the_canaries(session: Session) -> None:
    """Without any canary the key that holds the rows is the right one: nothing is said of it, and it gets its canary."""
    fill(2)
    sql("DELETE FROM encryption_canaries")

    assert keys.check_canary(session, KeyRing(OLD)) == ("first_use", "", ())
    assert keys.look_at_canary(session, KeyRing(OLD)).state == "ok"
    assert keys.look_at_canary(session, KeyRing(NEW)).state == "wrong_key"


def test_a_process_without_a_key_is_told_which_one_is_needed(session: Session) -> None:
    """Where something is sealed, the key to set is named by its id, and where it should be; no new one is proposed first."""
    fill(1)
    by_file = keys.look_at_canary(session, KeyRing(None, kept_in="encryption.key"))
    by_variable = keys.look_at_canary(session, KeyRing(None))

    assert (by_file.state, by_variable.state) == ("sealed", "sealed")
    assert by_file.message.startswith(
        f"encryption.key is missing: put back the one with id {OLD_ID} into the data folder"
    )
    assert by_variable.message.startswith(f"LLM_ENCRYPTION_KEY is not set: set the one with id {OLD_ID}")
    for ring in (KeyRing(None), KeyRing(None, kept_in="encryption.key")):
        with pytest.raises(EncryptionKeyMissing):
            keys.require_known(session, ring)


def test_damaged_canary_is_the_row_and_not_the_key(session: Session, admin: Actor) -> None:
    """A canary that does not open under its own key's id is damaged; keys still open, and a rotation mends it."""
    fill(1)
    sql("UPDATE encryption_canaries SET blob = 'garbage'")
    ring = KeyRing(OLD)
    canary = keys.check_canary(session, ring)

    assert canary.state == "damaged"
    assert "the row in encryption_canaries, not the key" in canary.message
    assert opened(OLD) == all_right(1)
    list(keys.rotate(lambda work: work(session), admin, ring))
    assert keys.look_at_canary(session, ring).state == "ok"


def test_sealed_process_is_told(session: Session) -> None:
    """CHECKS 22: without a primary key nothing is checked and nothing sealed; what extra keys hold is counted."""
    fill(1)
    ring = KeyRing(None, [OLD])

    assert keys.check_canary(session, ring).state == "sealed"
    assert held(keys.status(session, ring)) == [(OLD_ID, "extra", 1, False)]
    with pytest.raises(Sealed):
        list(keys.rotate(db.retrying, COMMAND_LINE, ring))


def test_start_survives_whatever_the_check_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check at start is a sentence, never the end of the start; first use says nothing."""
    said: list[str] = []
    bootstrap._look_at_encryption_key(said.append)
    assert said == []
    sql("ALTER TABLE encryption_canaries RENAME TO elsewhere")
    bootstrap._look_at_encryption_key(said.append)
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", "12")
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()
    bootstrap._look_at_encryption_key(said.append)

    assert said[0].startswith(
        "The encryption key could not be checked: The database cannot be used: the tables are missing"
    )
    assert "LLM_ENCRYPTION_KEY has 2 characters" in said[1]


def test_two_first_users_with_two_keys(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """Two processes that are first at the same moment, with different keys: one is first, the other is told."""
    together = threading.Barrier(2)

    def first(key: str) -> str:
        def work(session: Session) -> str:
            keys.look_at_canary(session, KeyRing(key))
            together.wait(5)
            return keys.check_canary(session, KeyRing(key)).state

        return db.retrying(work)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(first, (OLD, NEW))) == ["first_use", "wrong_key"]


def test_lost_key_can_be_left_behind(session: Session) -> None:
    """Only when told that the old key is lost does the database take a foreign one; that is put on record."""
    fill(2)
    with pytest.raises(WrongEncryptionKey):
        rotate(NEW, dry_run=True, old_key_lost=True)
    moved, unreadable = rotate(NEW, old_key_lost=True)

    assert (moved, {row.name for row in unreadable}) == (0, {"p1", "p2"})
    assert {row.state for row in unreadable} == {"unknown_key"}
    assert [event.action for event in events()] == ["keys.old_key_lost"]
    assert keys.look_at_canary(session, KeyRing(NEW)).state == "ok"
    assert held(state_of(NEW)) == [(NEW_ID, "primary", 0, False), (OLD_ID, "unknown", 2, False)]


# --- rotation ---


def test_rotation_moves_everything_and_changes_nothing_else() -> None:
    """All keys open with the new key alone; time, mask, version and author of each stay; one event a batch."""
    fill(25)
    kept = (
        "SELECT id, version, updated_at, updated_by, field_changes, api_key_set_at, api_key_masked FROM llm_providers"
    )
    with db.transaction() as session:
        before = session.execute(text(kept + " ORDER BY id")).all()
    moved, unreadable = rotate(NEW, OLD, batch=10)
    with db.transaction() as session:
        after = session.execute(text(kept + " ORDER BY id")).all()

    assert (moved, unreadable) == (25, [])
    assert opened(NEW) == all_right(25)
    assert set(opened(OLD).values()) == {"unknown_key"}
    assert after == before
    assert [(event.actor, event.changes["rows"]["after"]) for event in events()] == [
        ("command line", {"count": 10, "first": 1, "last": 10}),
        ("command line", {"count": 10, "first": 11, "last": 20}),
        ("command line", {"count": 5, "first": 21, "last": 25}),
    ]
    assert events()[0].changes["encryption_key"] == {"before": [OLD_ID], "after": NEW_ID}
    assert CANARY not in "".join(event.model_dump_json() for event in events())
    assert rotate(NEW, OLD) == (0, [])


def test_status_says_which_key_may_go() -> None:
    """Before: it must stay, with the count. After: it holds nothing. A key that never was primary holds nothing yet."""
    fill(3)
    before, next_key = state_of(NEW, OLD), state_of(OLD, NEW)
    rotate(NEW, OLD)
    after, behind = state_of(NEW, OLD), state_of(OLD, NEW)

    assert held(before) == [(NEW_ID, "primary", 0, False), (OLD_ID, "extra", 3, False)]
    assert before.keys[1].advice.startswith("Must stay: 3 API keys still need it. Run `python -m core keys rotate`.")
    assert held(next_key) == [(OLD_ID, "primary", 3, False), (NEW_ID, "extra", 0, False)]
    assert "Holds nothing yet" in next_key.keys[1].advice
    assert held(after) == [(NEW_ID, "primary", 3, False), (OLD_ID, "extra", 0, True)]
    assert f"once every process uses {NEW_ID} as LLM_ENCRYPTION_KEY" in after.keys[1].advice
    assert held(behind) == [(OLD_ID, "primary", 0, False), (NEW_ID, "extra", 3, False)]


EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rows", "unbound", "since", "may_go", "says"),
    [
        (
            1,
            0,
            {OLD_ID: EARLY, NEW_ID: LATE},
            False,
            "Must stay: 1 API key still needs it. Run `python -m core keys ro",
        ),
        (2, 0, {}, False, "Must stay: 2 API keys still need it. Run `python -m core keys rotate`."),
        (0, 2, {OLD_ID: EARLY}, False, "Must stay: 2 API keys not adopted yet still need it. Adopt them on"),
        (1, 1, {}, False, "Must stay: 1 API key and 1 API key not adopted yet still need it. Run"),
        (0, 0, {OLD_ID: EARLY, NEW_ID: LATE}, True, "Holds nothing any more"),
        (0, 0, {OLD_ID: EARLY}, True, "Holds nothing any more"),
        (0, 0, {OLD_ID: LATE, NEW_ID: EARLY}, False, "Holds nothing yet"),
        (0, 0, {NEW_ID: LATE}, False, "Holds nothing yet"),
        (0, 0, {}, False, "Holds nothing yet"),
    ],
)
def test_when_a_key_may_go(rows: int, unbound: int, since: dict[str, datetime], says: str, *, may_go: bool) -> None:
    """If it is in the ring, holds nothing at all, and was primary before the one that is: never otherwise."""

    def of(key_id: str, *ring: str | None, state: Any = "ok") -> keys.HeldKeys:
        canary = keys.Canary(state, "")
        return keys._describe(key_id, rows, unbound, ring=KeyRing(ring[0], ring[1:]), since=since, canary=canary)  # type: ignore[arg-type]  # texts behind the first

    extra = of(OLD_ID, NEW, OLD)
    assert (extra.role, extra.may_go) == ("extra", may_go)
    assert extra.advice.startswith(says)
    primary, wrong, unknown = of(NEW_ID, NEW, OLD), of(NEW_ID, NEW, state="wrong_key"), of(OLD_ID, NEW)
    assert (primary.role, primary.may_go, primary.advice) == ("primary", False, "Seals every new API key.")
    assert (wrong.may_go, wrong.advice) == (False, "Seals nothing: it is the wrong key.")
    assert (unknown.role, unknown.may_go) == ("unknown", False)
    assert unknown.advice.startswith("Not in the key ring of this process")
    assert not of(OLD_ID, None, OLD).may_go


def test_next_key_is_not_called_old_where_it_is_not_primary_yet() -> None:
    """A process that is behind is not told that the newer key may go, though nothing is sealed with it yet."""
    fill(1)
    sql("UPDATE encryption_canaries SET created_at = now() - interval '1 day'")
    with db.transaction() as session:
        keys.check_canary(session, KeyRing(NEW, [OLD]))

    assert held(state_of(OLD, NEW))[1] == (NEW_ID, "extra", 0, False)


def test_dry_run_opens_everything_and_writes_nothing() -> None:
    """A dry run says what would move and what cannot be opened, and leaves rows, canaries and the audit as they are."""
    fill(12)
    sql("UPDATE llm_providers SET api_key_encrypted = 'garbage' WHERE name = 'p5'")
    moved, unreadable = rotate(NEW, OLD, dry_run=True, batch=5)

    assert moved == 11
    assert [(row.name, row.state) for row in unreadable] == [("p5", "damaged")]
    assert held(state_of(NEW, OLD)) == [(NEW_ID, "primary", 0, False), (OLD_ID, "extra", 12, False)]
    assert state_of(NEW, OLD).canary.state == "new_primary"
    assert events() == []


def test_one_damaged_row_among_a_hundred() -> None:
    """CHECKS 43: 99 move, the damaged one is left and named with its cure, and its key must stay."""
    fill(100)
    sql(
        "UPDATE llm_providers SET api_key_encrypted = overlay(api_key_encrypted PLACING 'ff' FROM 70) WHERE name = 'p42'"
    )
    moved, unreadable = rotate(NEW, OLD)

    assert moved == 99
    assert {(row.name, row.row_id, row.state) for row in unreadable} == {("p42", 42, "damaged")}
    assert "Enter the API key again" in unreadable[0].message
    assert opened(NEW, OLD) == {**all_right(100), 42: "damaged"}
    assert held(state_of(NEW, OLD))[1] == (OLD_ID, "extra", 1, False)
    assert state_of(NEW, OLD).canary.state == "ok"


TAMPERED = {
    "moved": "UPDATE llm_providers SET api_base_url = 'https://evil.example' WHERE id = 2",
    "unknown_key": "UPDATE llm_providers SET api_key_key_id = '00000000' WHERE id = 2",
}


@pytest.mark.parametrize("reason", list(TAMPERED))
def test_rotation_mends_no_tampering(reason: str) -> None:
    """A row that is refused is refused after a rotation as well: it is not sealed for the place it was moved to."""
    fill(3)
    sql(TAMPERED[reason])
    moved, unreadable = rotate(NEW, OLD)

    assert (moved, {row.state for row in unreadable}) == (2, {reason})
    assert opened(NEW, OLD)[2] == reason


def test_key_of_another_program_keeps_the_old_key() -> None:
    """What is not adopted is not moved, and the key that opens it must stay; what no key opens is counted apart."""
    fill(3)
    sql("UPDATE llm_providers SET api_key_key_id = NULL, api_key_binding = NULL WHERE id IN (1, 2)")
    sql("UPDATE llm_providers SET api_key_encrypted = 'garbage' WHERE id = 2")
    moved, unreadable = rotate(NEW, OLD)
    status = state_of(NEW, OLD)

    assert (moved, unreadable) == (1, [])
    assert (status.keys[1].unbound, status.keys[1].may_go, status.nobodys) == (1, False, 1)
    assert "1 API key not adopted yet still needs it" in status.keys[1].advice
    assert "Adopt" in status.keys[1].advice


@pytest.mark.parametrize("mangled", ["left(NEW.api_key_encrypted, -2)", "OLD.api_key_encrypted"])
def test_failed_read_back_rolls_the_batch_back(mangled: str) -> None:
    """What the database did not keep as it was written is noticed before the commit; the old blobs are still there."""
    fill(10)
    sql(
        f"CREATE FUNCTION mangle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 7 THEN "
        f"NEW.api_key_encrypted := {mangled}; END IF; RETURN NEW; END $$"
    )
    sql("CREATE TRIGGER mangle BEFORE UPDATE ON llm_providers FOR EACH ROW EXECUTE FUNCTION mangle()")
    with pytest.raises(KeyUnreadable, match="Not read back as written: p7") as caught:
        rotate(NEW, OLD, batch=5)

    assert CANARY not in str(caught.value)
    assert held(state_of(NEW, OLD)) == [(NEW_ID, "primary", 5, False), (OLD_ID, "extra", 5, False)]
    assert opened(NEW, OLD) == all_right(10)


def test_rotation_needs_an_admin(analyst: Actor) -> None:
    """An analyst rotates nothing."""
    fill(1)
    with pytest.raises(Forbidden):
        list(keys.rotate(db.retrying, analyst, KeyRing(NEW, [OLD])))
    assert opened(OLD) == all_right(1)


def test_row_that_an_admin_edits_is_met_again(committed: str) -> None:
    """A locked row is passed over, holds nothing up, and moves in a later pass; the edit is kept."""
    fill(30)
    with psycopg.connect(committed) as editor:
        editor.execute("UPDATE llm_providers SET display_name = 'Edited' WHERE id = 7")
        work = keys.rotate(db.retrying, COMMAND_LINE, KeyRing(NEW, [OLD]), batch=10)
        first_pass = [next(work), next(work), next(work), next(work)]
        meanwhile = opened(NEW, OLD)
        editor.commit()
    rest = list(work)

    assert sum(batch.moved for batch in first_pass) == 29
    assert sum(batch.moved for batch in rest) == 1
    assert meanwhile == opened(NEW, OLD) == all_right(30)
    with db.transaction() as session:
        assert providers.get(session, 7).display_name == "Edited"


def test_row_that_stays_locked_is_left(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that somebody never lets go ends the rotation after some passes; its key must stay."""
    fill(5)
    monkeypatch.setattr(keys, "PAUSE", 0.01)
    with psycopg.connect(committed) as editor:
        editor.execute("SELECT FROM llm_providers WHERE id = 3 FOR UPDATE")
        moved, unreadable = rotate(NEW, OLD)
        status = state_of(NEW, OLD)

    assert (moved, unreadable) == (4, [])
    assert held(status)[1] == (OLD_ID, "extra", 1, False)
    assert rotate(NEW, OLD) == (1, [])


def test_two_rotations_at_once(committed: str) -> None:  # noqa: ARG001 - the database it happens in
    """Two at the same time share the work: every key moves once, and the audit counts each one once."""
    fill(400)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(rotate, NEW, OLD, batch=10) for _ in range(2)]
        moved = [done.result()[0] for done in both]

    assert sum(moved) == 400
    assert opened(NEW) == all_right(400)
    assert sum(event.changes["rows"]["after"]["count"] for event in events()) == 400


def test_two_rotations_against_each_other_end(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - the database it happens in
    """Two processes with swapped keys, each moving to its own: a mistake that ends, and loses nothing."""
    fill(60)
    monkeypatch.setattr(keys, "PAUSE", 0.01)
    with db.transaction() as session:
        keys.check_canary(session, KeyRing(NEW, [OLD]))
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(rotate, *ring, batch=5) for ring in ((NEW, OLD), (OLD, NEW))]:
            done.result(timeout=30)

    assert opened(NEW, OLD) == all_right(60)


def test_process_that_still_seals_with_the_old_key_shows(
    session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key stored after the rotation by a process that was not restarted is seen in the status, and moved by the next run."""
    fill(2)
    rotate(NEW, OLD)
    use(monkeypatch, OLD, NEW)
    providers.set_api_key(session, admin, 2, "sk-typed-into-the-old-process")

    assert held(state_of(NEW, OLD)) == [(NEW_ID, "primary", 1, False), (OLD_ID, "extra", 1, False)]
    assert rotate(NEW, OLD) == (1, [])
    assert opened(NEW) == {1: plain_key(1), 2: "sk-typed-into-the-old-process"}


# --- the command line ---


def test_command_line(committed: str) -> None:
    """status, rotate --dry-run, rotate, check: what they say, and their exit codes."""
    fill(20)
    env = {"DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": NEW, "LLM_ENCRYPTION_KEYS_EXTRA": OLD}
    dry = core("keys", "rotate", "--dry-run", **env)
    sql("UPDATE llm_providers SET api_key_encrypted = 'garbage' WHERE name = 'p5'")
    db.get_engine().dispose()  # this process has the old key alone, and no rotation goes on while such a one is connected
    damaged = core("keys", "rotate", "--batch", "7", **env)
    checked = core("keys", "check", **env)
    sql("UPDATE llm_providers SET api_key_encrypted = NULL, api_key_key_id = NULL WHERE name = 'p5'")
    db.get_engine().dispose()
    done = core("keys", "rotate", **env)
    status = core("keys", "status", **env)
    wrong = core("keys", "check", DATABASE_URL=committed, LLM_ENCRYPTION_KEY=THIRD)

    assert (dry.returncode, damaged.returncode, checked.returncode, done.returncode, status.returncode) == (
        0,
        1,
        1,
        0,
        0,
    )
    assert f"20 API keys would move to {NEW_ID}." in dry.stdout
    assert "Dry run: nothing was changed." in dry.stdout
    assert f"19 API keys moved to {NEW_ID}." in damaged.stdout
    assert "Left as it is: p5 (damaged). The stored key is damaged. Enter the API key again." in damaged.stdout
    assert "Must stay: 1 API key still needs it." in damaged.stdout
    assert "known to this database" in checked.stdout
    assert "p5: The stored key is damaged." in checked.stdout
    assert f"{OLD_ID}  extra         0 API keys  Holds nothing any more: take it out" in done.stdout
    assert f"{NEW_ID}  primary      19 API keys" in status.stdout
    assert wrong.returncode == 1
    assert "is not the key this database was used with" in wrong.stdout
    for run in (dry, damaged, checked, done, status, wrong):
        assert "Traceback" not in run.stderr
        assert not any(secret in run.stdout + run.stderr for secret in (CANARY, OLD, NEW, THIRD))


@pytest.mark.kill
def test_rotation_killed_three_times(committed: str) -> None:
    """CHECKS 44: 10,000 rows, `keys rotate` killed by kill -9 three times and resumed: each key opens, none is lost.

    The old key removed early costs the rows it still holds, with a clear error each, and nothing else.
    """
    count = 10_000
    fill(count)
    env = environment(DATABASE_URL=committed, LLM_ENCRYPTION_KEY=NEW, LLM_ENCRYPTION_KEYS_EXTRA=OLD)

    def moved() -> int:
        with db.transaction() as session:
            return sealed.held(session)[NEW_ID]

    killed_at = []
    for least in (700, 3_000, 6_000):
        child = subprocess.Popen(
            [sys.executable, "-m", "core", "keys", "rotate", "--force"], env=env, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        while moved() < least:
            assert child.poll() is None, "it ended before it was killed"
            time.sleep(0.003)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        killed_at.append(moved())
        assert opened(NEW, OLD) == all_right(count)
    early = opened(NEW)
    resumed = core(
        "keys", "rotate", "--force", DATABASE_URL=committed, LLM_ENCRYPTION_KEY=NEW, LLM_ENCRYPTION_KEYS_EXTRA=OLD
    )

    assert killed_at == sorted(set(killed_at))
    assert killed_at[-1] < count
    assert {n for n, plain in early.items() if plain == plain_key(n)} == {
        n for n, plain in early.items() if plain != "unknown_key"
    }
    assert 0 < sum(plain == "unknown_key" for plain in early.values()) <= count - killed_at[-1]
    assert resumed.returncode == 0, resumed.stdout
    assert f"{OLD_ID}  extra         0 API keys  Holds nothing any more" in resumed.stdout
    assert opened(NEW) == all_right(count)


# --- several services ---

SERVICE = """
import json, sys, threading, time
from core.crypto import load_ring
from core.config import get_config
from core.resolve import Resolver

names, wrong, reads = [f"p{n}" for n in range(1, 21)], {}, 0
resolver = Resolver(ring=load_ring(get_config()))

def read():
    global reads
    while True:
        for name in names:
            settings = resolver.resolve(name)
            expected = "sk-canary-0123456789abcdef-" + name[1:]
            found = settings.api_key() if settings.status == "ok" else settings.status
            if found != expected:
                wrong[name] = settings.status
            reads += 1

resolver.resolve("p1")
threading.Thread(target=read, daemon=True).start()
for line in sys.stdin:
    caught_up, enough = resolver.wait_for(int(line), 10), reads + 2 * len(names)
    while reads < enough:
        time.sleep(0.001)
    print(json.dumps({"caught_up": caught_up, "wrong": wrong, "reads": reads}), flush=True)
"""


class Service:
    """A program that reads 20 keys in a loop, by the resolver, with a key ring of its own."""

    def __init__(self, url: str, *ring: str) -> None:
        env = environment(DATABASE_URL=url, LLM_ENCRYPTION_KEY=ring[0], LLM_ENCRYPTION_KEYS_EXTRA=",".join(ring[1:]))
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVICE], env=env, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def report(self) -> dict[str, Any]:
        """What it has read, once it has seen the newest generation."""
        with db.transaction() as session:
            generation = session.execute(text("SELECT generation FROM settings_generation")).scalar_one()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{generation}\n")
        self._process.stdin.flush()
        report: dict[str, Any] = json.loads(self._process.stdout.readline())
        return report

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def start(committed: str) -> Iterator[Callable[..., Service]]:
    """Start services; they are stopped at the end."""
    services: list[Service] = []

    def begin(*ring: str) -> Service:
        services.append(Service(committed, *ring))
        return services[-1]

    yield begin
    for service in services:
        service.stop()


@pytest.mark.kill
def test_two_services_through_a_whole_change(
    start: Callable[..., Service], admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented order, with two services that never read a wrong key or none, at any step of it."""
    fill(20)

    def fine(*services: Service) -> None:
        for service in services:
            report = service.report()
            assert report["caught_up"]
            assert report["wrong"] == {}
            assert report["reads"] >= 20

    def typed(number: int, *ring: str) -> None:
        """An admin enters the key again, in an app process with this ring."""
        use(monkeypatch, *ring)
        with db.transaction() as session:
            providers.set_api_key(session, admin, number, plain_key(number))

    a, b = start(OLD), start(OLD)
    fine(a, b)
    a.stop()
    a = start(OLD, NEW)  # 1: the new key into every ring, one process after the other
    fine(a, b)
    b.stop()
    b = start(OLD, NEW)
    a.stop()
    a = start(NEW, OLD)  # 2: it becomes primary, again one after the other
    typed(1, NEW, OLD)
    typed(2, OLD, NEW)
    fine(a, b)
    moved, unreadable = rotate(NEW, OLD, batch=1)  # 3, already while b's primary key is the old one
    fine(a, b)
    assert (moved, unreadable) == (19, [])
    typed(3, OLD, NEW)
    b.stop()
    b = start(NEW, OLD)
    assert held(state_of(NEW, OLD))[1] == (OLD_ID, "extra", 1, False)  # 4: the status tells of the straggler
    assert rotate(NEW, OLD) == (1, [])
    fine(a, b)
    assert held(state_of(NEW, OLD))[1] == (OLD_ID, "extra", 0, True)
    a.stop()
    a = start(NEW)  # 5: the old one retires
    fine(a, b)
    b.stop()
    b = start(NEW)
    fine(a, b)


# --- any order of everything ---

ALL_KEYS = [OLD, NEW, THIRD, "89abcdef01234567" * 4]
IDS = {KeyRing(key).primary_id or "": key for key in ALL_KEYS}


class KeyMachine(RuleBasedStateMachine):
    """CHECKS 45: providers, rings and rotations in any order, against a dict of what was typed and who sealed it."""

    def __init__(self) -> None:
        super().__init__()
        for table in ("llm_providers", "encryption_canaries"):
            sql(f"DELETE FROM {table}")
        self.typed: dict[str, tuple[str, str]] = {}
        """Provider -> (what was typed, the encryption key that holds it)."""
        self.ids: dict[str, int] = {}
        self.alive = list(ALL_KEYS)
        """Keys that nobody has lost."""
        self.known: list[str] = []
        """Keys that were primary here, the one that was first used, or rotated to, latest at the end."""
        self.ring: tuple[str, ...] = (OLD,)
        self.restart((OLD,))

    def restart(self, ring: tuple[str, ...]) -> None:
        self.ring = ring
        with db.transaction() as session:
            state = keys.check_canary(session, KeyRing(ring[0], ring[1:])).state
        expected = "ok"
        if ring[0] not in self.known:
            expected = "new_primary" if set(self.known) & set(ring) else "wrong_key" if self.known else "first_use"
        elif self.is_behind:
            expected = "behind"
        assert state == expected
        if state != "wrong_key" and ring[0] not in self.known:
            self.known.append(ring[0])

    @property
    def is_behind(self) -> bool:
        """A key that came later, and is not in the ring, holds something."""
        if self.ring[0] not in self.known:
            return False
        later = self.known[self.known.index(self.ring[0]) + 1 :]
        return any(key in later and key not in self.ring for _, key in self.typed.values())

    @property
    def accepted(self) -> bool:
        return self.ring[0] in self.known and not self.is_behind

    def key_ring(self) -> KeyRing:
        return KeyRing(self.ring[0], self.ring[1:])

    @rule(name=st.sampled_from(["a", "b", "c", "d"]), typed=st.text("abc-_~", min_size=10, max_size=20))
    def set(self, name: str, typed: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(provider_keys, "get_ring", self.key_ring)
            try:
                with db.transaction() as session:
                    if name not in self.ids:
                        data = {"name": name, "display_name": name, "kind": "openai", "available_models": ["m"]}
                        self.ids[name] = providers.create(session, COMMAND_LINE, data).id or 0
                with db.transaction() as session:
                    providers.set_api_key(session, COMMAND_LINE, self.ids[name], typed)
            except (WrongEncryptionKey, OutdatedEncryptionKey):
                assert not self.accepted
                return
        assert self.accepted
        self.typed[name] = (typed, self.ring[0])

    @rule(batch=st.integers(1, 3), dry_run=st.booleans())
    def rotate(self, batch: int, dry_run: bool) -> None:
        able = {name for name, (_, key) in self.typed.items() if key in self.ring[1:]}
        unable = {name for name, (_, key) in self.typed.items() if key not in self.ring}
        try:
            moved, unreadable = rotate(*self.ring, batch=batch, dry_run=dry_run)
        except (WrongEncryptionKey, OutdatedEncryptionKey):
            assert not self.accepted
            return
        assert self.accepted or (dry_run and self.is_behind)
        assert moved == len(able)
        assert {row.name for row in unreadable} == unable
        if not dry_run:
            self.typed.update({name: (self.typed[name][0], self.ring[0]) for name in able})
            self.known.remove(self.ring[0])
            self.known.append(self.ring[0])

    @rule(data=st.data())
    def restart_with_another_ring(self, data: st.DataObject) -> None:
        ring = data.draw(st.lists(st.sampled_from(self.alive), min_size=1, unique=True).map(tuple))
        self.restart(ring)

    @precondition(lambda self: len(self.alive) > 1)
    @rule(data=st.data())
    def drop_key(self, data: st.DataObject) -> None:
        lost = data.draw(st.sampled_from(self.alive))
        self.alive.remove(lost)
        rest = tuple(key for key in self.ring if key != lost)
        self.restart(rest or (self.alive[0],))

    @invariant()
    def reads(self) -> None:
        ring = self.key_ring()
        with db.transaction() as session:
            found = {row.name: row.state for row in sealed.open_all(session, ring)}
            status = keys.status(session, ring)
        assert found == {name: "ok" if key in self.ring else "unknown_key" for name, (_, key) in self.typed.items()}
        by_id = {
            self.ids[name]: text if key in self.ring else "unknown_key" for name, (text, key) in self.typed.items()
        }
        assert opened(*self.ring) == by_id
        counted = {IDS[key.key_id]: key.rows for key in status.keys}
        holders = [key for _, key in self.typed.values()]
        assert counted == {key: holders.count(key) for key in {*self.ring, *holders}}
        for key in status.keys:
            assert not (key.may_go and IDS[key.key_id] in {*holders, self.ring[0]})


def test_any_order_of_set_rotate_restart_drop_and_read() -> None:
    """CHECKS 45: whatever the order, each key opens exactly when the ring has what sealed it, to what was typed."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        KeyMachine,
        settings=settings(
            max_examples=60 if "LLM_TEST_STATES" in os.environ else 25,
            stateful_step_count=16,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
