"""A rotation locks nobody out: connected processes say their keys, and one that lacks the new key stops it."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from httpx2 import Client

from core.crypto import KeyRing
from core.errors import OutdatedEncryptionKey, ProcessesLackKey
from core.manage import keys, providers, readable, services
from core.postgres import names
from core.store import db
from tests.clusters import soon
from tests.conftest import ROOT
from tests.manage.test_keys import CANARY, NEW, NEW_ID, OLD, OLD_ID, fill, plain_key, rotate, sql
from tests.processes import core, environment, running_app

SERVICE = """
import sys, time
from core.resolve import resolve
while True:
    found = resolve("p1")
    print(found.status, found.api_key() if found.status == "ok" else "-", flush=True)
    time.sleep(0.05)
"""


class Service:
    """A service in a process of its own, which says what it reads."""

    def __init__(self, url: str, log: Path, primary: str, *extra: str) -> None:
        self.log = log
        ring = {"LLM_ENCRYPTION_KEY": primary, "LLM_ENCRYPTION_KEYS_EXTRA": ",".join(extra)}
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVICE],
                cwd=ROOT,
                env=environment(DATABASE_URL=url, **ring),
                stdout=out,
                stderr=out,
            )

    def says(self, words: str, seconds: float = 30) -> None:
        """Wait until the last thing it has said is this."""
        deadline = time.monotonic() + seconds
        while (self.log.read_text().splitlines() or [""])[-1] != words:
            assert time.monotonic() < deadline, self.log.read_text()[-500:]
            time.sleep(0.05)


@contextlib.contextmanager
def service(url: str, log: Path, primary: str, *extra: str) -> Iterator[Service]:
    made = Service(url, log, primary, *extra)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait(10)


WORKS = f"ok {plain_key(1)}"


@pytest.mark.long
def test_rotation_stops_for_a_service_without_the_new_key_and_has_a_way_back(committed: str, tmp_path: Path) -> None:
    """Two services, one with the old key alone: `keys rotate` names it and changes nothing; forced, it loses its keys, and the documented way back gives them again."""
    fill(3)
    new = {"DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": NEW, "LLM_ENCRYPTION_KEYS_EXTRA": OLD}
    back = {"DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": OLD, "LLM_ENCRYPTION_KEYS_EXTRA": NEW}
    with (
        service(committed, tmp_path / "old", OLD) as old,
        service(committed, tmp_path / "both", NEW, OLD) as both,
    ):
        old.says(WORKS)
        both.says(WORKS)
        db.get_engine().dispose()  # this process is one with the old key alone, too

        refused = core("keys", "rotate", **new)
        dry = core("keys", "rotate", "--dry-run", **new)
        status = core("keys", "status", **new)
        assert refused.returncode == 1
        for words in (
            f":{old.process.pid}",
            f"keys {OLD_ID}",
            f"lacks encryption key {NEW_ID}",
            "--force",
            "3 API keys",
        ):
            assert words in refused.stderr
        assert f":{both.process.pid}" not in refused.stderr
        for listed in (dry.stdout, status.stdout):
            assert f":{old.process.pid}, keys {OLD_ID}. LACKS {NEW_ID}" in listed
            assert f":{both.process.pid}, keys {NEW_ID}+{OLD_ID}." in listed
        assert dry.returncode == 0
        with db.transaction() as session:
            assert keys.sealed.held(session) == {OLD_ID: 3}
        db.get_engine().dispose()

        forced = core("keys", "rotate", "--force", **new)
        assert forced.returncode == 0, forced.stderr
        assert f":{old.process.pid}, keys {OLD_ID} loses 3 API keys" in forced.stdout
        old.says("key_unreadable -")
        both.says(WORKS)

        again = core("keys", "rotate", **back)
        assert again.returncode == 0, again.stderr
        old.says(WORKS)
        both.says(WORKS)
        with db.transaction() as session:
            assert keys.sealed.held(session) == {OLD_ID: 3}
            assert keys.look_at_canary(session, KeyRing(OLD)).state == "ok", "the old key is the newest one again"


@pytest.mark.long
def test_app_with_the_old_key_alone_says_so_and_stores_nothing_new(committed: str, tmp_path: Path) -> None:
    """`ready` says `degraded` as soon as a key of an active provider cannot be opened; a new key is refused with its cure, other changes are not."""
    fill(2)
    env = {"DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": OLD}
    token = core("tokens", "create", "root", "--role", "admin", **env).stdout.strip()
    with (
        running_app(tmp_path / "log", **env) as app,
        Client(base_url=app.url, timeout=60, headers={"Authorization": f"Bearer {token}"}) as client,
    ):
        assert _key_ring(client) == "ok"
        new = {"DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": NEW, "LLM_ENCRYPTION_KEYS_EXTRA": OLD}
        refused = core("keys", "rotate", **new)
        assert "app 0." in refused.stderr
        assert core("keys", "rotate", "--force", **new).returncode == 0
        soon(lambda: _key_ring(client) == "degraded", 20)  # it is looked at once a second
        stored = client.post("/api/llm/providers/1/api-key", json={"apiKey": CANARY})
        assert (stored.status_code, stored.json()["error"]["code"]) == (503, "OUTDATED_ENCRYPTION_KEY")
        assert NEW_ID in stored.text
        renamed = client.put("/api/llm/providers/1", json={"displayName": "Renamed", "version": 1})
        assert renamed.status_code == 200, renamed.text


def _key_ring(client: Client) -> str:
    answer = client.get("/api/health/ready")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["checks"]["keyRing"])


def test_process_that_says_no_keys_stops_it_too(committed: str) -> None:
    """One of the version before does not say its keys: that is told, and it may have the key, so `force` is the operator's to say."""
    fill(1)
    with psycopg.connect(committed, application_name=names.RESOLVER):
        with pytest.raises(ProcessesLackKey, match=r"service 0\.1\.0 at .* it does not say its keys"):
            rotate(NEW, OLD)
        assert rotate(NEW, OLD, dry_run=True) == (1, [])
        assert rotate(NEW, OLD, force=True) == (1, [])
    with psycopg.connect(committed) as other:  # the server ends a connection a moment after it is closed
        others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        soon(lambda: other.execute(others, [names.RESOLVER]).fetchone() == (0,))
    assert rotate(NEW, OLD) == (0, [])


@pytest.mark.parametrize(
    ("name", "has"),
    [
        (f"llm-settings resolver/0.2.0 {NEW_ID}+{OLD_ID} a:1", True),
        (f"llm-settings resolver/0.2.0 {OLD_ID}+{NEW_ID} a:1", True),
        (f"llm-settings resolver/0.2.0 {OLD_ID} a:1", False),
        ("llm-settings resolver/0.2.0 none a:1", False),
        (f"llm-settings app/0.2.0 {OLD_ID}+ a:1", None),
        (f"llm-settings/0.2.0 {OLD_ID} a:1", False),
    ],
)
def test_who_has_the_key(committed: str, name: str, has: bool | None) -> None:
    """As a ring says it; where there was no room for all of it, it cannot be told."""
    with psycopg.connect(committed, application_name=name), db.transaction() as session:
        found = [process for process in services.processes(session) if process.place == "a:1"]
        assert [process.has(NEW_ID) for process in found] == [has]
        assert bool(services.lacking(session, NEW_ID)) == (has is not True)


def test_an_app_and_its_resolver_are_one_process(committed: str) -> None:
    """Several connections of one process are one row, and it is an app."""
    with contextlib.ExitStack() as stack:
        for what in ("resolver", "app", "app"):
            name = f"llm-settings {what}/0.2.0 {OLD_ID} a:1"
            stack.enter_context(psycopg.connect(committed, application_name=name))
        with db.transaction() as session:
            found = [str(one) for one in services.processes(session) if one.place == "a:1"]
    assert found == [f"app 0.2.0 at a:1, keys {OLD_ID}"]


def test_old_ring_stores_nothing_once_a_newer_key_is_in_use(committed: str) -> None:  # noqa: ARG001 - real commits
    """Not while the newer key holds nothing; then no longer, unless the ring has it too; --old-key-lost takes it back."""
    fill(2)
    with db.transaction() as session:
        keys.check_canary(session, KeyRing(NEW, [OLD]))
        keys.require_known(session, KeyRing(OLD))
    rotate(NEW, OLD)
    with db.transaction() as session:
        keys.require_known(session, KeyRing(OLD, [NEW]))
        assert keys.look_at_canary(session, KeyRing(OLD)).known == (NEW_ID,)
        with pytest.raises(OutdatedEncryptionKey, match=NEW_ID):
            keys.require_known(session, KeyRing(OLD))
    with pytest.raises(OutdatedEncryptionKey):
        rotate(OLD)
    rotate(OLD, old_key_lost=True)
    with db.transaction() as session:
        keys.require_known(session, KeyRing(OLD))


def test_readable_looks_again_after_a_change(committed: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - real commits
    """A key of another ring, and a damaged one, count where their provider is active."""
    monkeypatch.setattr(readable, "AGAIN", 0.0)
    monkeypatch.setattr(readable, "_last", None)
    fill(2)

    def is_open(*ring: str) -> bool:
        with db.transaction() as session:
            return readable.all_open(session, KeyRing(ring[0], ring[1:]))

    assert is_open(OLD)
    assert is_open(NEW, OLD)
    assert not is_open(NEW)
    sql("UPDATE llm_providers SET api_key_encrypted = 'x' WHERE id = 1")
    assert not is_open(OLD)
    sql("UPDATE llm_providers SET is_active = false WHERE id = 1")
    assert is_open(OLD)
    with db.transaction() as session:
        assert providers.get_by_name(session, "p1").api_key_encrypted == "x"
