"""A night in fast motion: an old release with data is upgraded, rotated, fails over, is restored, runs full, is purged, goes back and up.

Writers and services of both releases run all the while. ``LLM_TEST_NIGHT`` is how many seconds they have between two events,
and with more than one second the store is a large one; see `.ci/nightly`.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.crypto import KeyRing, Place
from core.kinds import origin_of
from core.store import migrate
from core.version import VERSION
from tests.clusters import Cluster, connect, new_folder, soon
from tests.conftest import ENCRYPTION_KEY, ROOT, named, require
from tests.processes import environment
from tests.stores import API_KEY, verdict_of

pytestmark = pytest.mark.kill

PAUSE = float(os.environ.get("LLM_TEST_NIGHT", "0.3"))
LARGE = PAUSE > 1
PROVIDERS, EVENTS, LOGS = (2_000, 100_000, 300_000) if LARGE else (100, 1_000, 3_000)
WRITTEN = [f"w{number}" for number in range(4 if LARGE else 2)]
NEXT_KEY = "fedcba9876543210" * 4
BOTH = {"LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "LLM_ENCRYPTION_KEYS_EXTRA": NEXT_KEY}
ROTATED = {"LLM_ENCRYPTION_KEY": NEXT_KEY, "LLM_ENCRYPTION_KEYS_EXTRA": ENCRYPTION_KEY}
DISK = "900m" if LARGE else "400m"


AS_ROOT = os.geteuid() == 0


class Release:
    """A checkout of ours, and the database it works on."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def start(self, program: str, **env: str) -> subprocess.Popen[str]:
        """Start one of the night's programs."""
        return subprocess.Popen(
            [sys.executable, ROOT / "tests" / "programs" / f"{program}.py", *WRITTEN],
            cwd=self.folder,
            env=environment(**{"DATABASE_URL": self.url, **BOTH, **env, "PYTHONPATH": str(self.folder)}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def core(self, *words: str, **env: str) -> str:
        """Run a command, which succeeds; return what it prints."""
        code, said = self.run(*words, **env)
        assert code == 0, f"{words}: {said}"
        return said

    def run(self, *words: str, **env: str) -> tuple[int, str]:
        """Run a command; return its exit code, and what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "core", *words],
            cwd=self.folder,
            env=environment(**{"DATABASE_URL": self.url, **BOTH, **env, "PYTHONPATH": str(self.folder)}),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


def ask(program: subprocess.Popen[str], words: str) -> Any:
    """Say a line to a program; return its answer."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(f"{words}\n")
    program.stdin.flush()
    return json.loads(program.stdout.readline())


class Night:
    """The servers, the releases, and who is at work."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.servers = [Cluster(new_folder()), Cluster(new_folder())]
        for server in self.servers:
            stack.callback(server.remove)
        if AS_ROOT:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", self.servers[1].folder], check=True)
            stack.callback(self._unmount)
            shutil.chown(self.servers[1].folder, "postgres")
        hosts = ",".join(str(server.folder) for server in self.servers)
        url = f"postgresql://postgres@/llm?host={hosts}&port=5432,5432&target_session_attrs=read-write"
        self.url = url
        self.old, self.new = Release(last_release(folder), url), Release(ROOT, url)
        self.writer: subprocess.Popen[str] | None = None
        self.readers: dict[str, subprocess.Popen[str]] = {}
        self.writes = 0
        self.lost: list[str] = []
        self.took: dict[str, float] = {}

    def _unmount(self) -> None:
        subprocess.run(["umount", "-l", self.servers[1].folder], check=True)

    @contextlib.contextmanager
    def event(self, name: str) -> Iterator[None]:
        """One event of the night: timed, and followed by a while of work."""
        begun = time.monotonic()
        yield
        self.took[name] = round(time.monotonic() - begun, 1)
        time.sleep(PAUSE)

    def write_by(self, release: Release) -> None:
        """Have one release's writers work, and no others."""
        self.rest()
        self.writer = release.start("night_writer")
        self.stack.callback(self.writer.kill)
        ask(self.writer, "go")

    def rest(self) -> None:
        """End the writers, and add up."""
        if self.writer is not None:
            answer = ask(self.writer, "end")
            self.writes += answer["writes"]
            self.lost += answer["lost"]
            assert self.writer.wait(10) == 0
            self.writer = None

    def right(self) -> bool:
        """Whether each service, of both releases, says what is stored, and opens the key."""
        with connect(self.url) as connection:
            names = connection.execute(
                "SELECT name, display_name FROM llm_providers WHERE name = ANY (%s)", [WRITTEN]
            ).fetchall()
        expected = {name: ["ok", says, API_KEY[-4:]] for name, says in names}
        return all(ask(reader, "look") == expected for reader in self.readers.values())

    def sql(self, *statements: str) -> None:
        """Run statements on whichever server takes writes."""
        with connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]  # psycopg wants a literal


def last_release(folder: Path) -> Path:
    """The last commit before this version's number was set, unpacked."""
    found = ["git", "log", "-n1", "--format=%H", f'-SVERSION = "{VERSION}"', "--", "core/version.py"]
    commit = subprocess.run(found, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    require("history", commit)
    packed = subprocess.run(["git", "archive", f"{commit}^"], cwd=ROOT, capture_output=True, check=False).stdout
    require("history", packed)
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder / "release", filter="data")
    return folder / "release"


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    """An old release with data on a server of its own; its writers, and services of both releases, are at work."""
    require("postgresql", list(Path("/usr/lib/postgresql").glob("*/bin/postgres")))
    with contextlib.ExitStack() as stack:
        made = Night(tmp_path, stack)
        first = made.servers[0]
        first.make()
        first.start()
        with connect(named(first.url, "postgres")) as connection:
            connection.execute("CREATE DATABASE llm")
        made.old.core("migrate")
        fill(made)
        made.write_by(made.old)
        for name, release in (("old", made.old), ("new", made.new)):
            made.readers[name] = release.start("night_reader")
            stack.callback(made.readers[name].kill)
        yield made


def fill(night: Night) -> None:
    """Data of the old release: providers with keys and settings, a year of events, a month of calls."""
    ring = KeyRing(ENCRYPTION_KEY)
    with connect(night.url) as connection:
        connection.execute(
            "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
            " SELECT name, 'n0', 'openai', '[\"m\"]', 'm'"
            " FROM (SELECT unnest(%s::text[]) UNION ALL SELECT 'p' || n FROM generate_series(1, %s) AS n) AS names (name)",
            [WRITTEN, PROVIDERS],
        )
        rows = connection.execute("SELECT id FROM llm_providers").fetchall()
        origin = origin_of("openai", None)
        sealed = [
            (*ring.seal(API_KEY, Place("llm_providers", number, "api_key", origin)), number) for (number,) in rows
        ]
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE llm_providers SET api_key_encrypted = %s, api_key_key_id = %s, api_key_binding = %s WHERE id = %s",
                sealed,
            )
        connection.execute("INSERT INTO llm_settings (provider_id, temperature) SELECT id, 0.5 FROM llm_providers")
        for begin in range(0, EVENTS, 500):
            connection.execute(
                "INSERT INTO audit_events (actor, action, target_type, target_id, target, changes)"
                " SELECT 'ada', 'provider.update', 'provider', n, 'p' || n, jsonb_build_object('n', n)"
                " FROM generate_series(%s::int, %s::int) AS n",
                [begin, begin + 499],
            )
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE audit_events SET at = at - interval '100 days' WHERE seq <= %s", [EVENTS // 2])
        connection.execute(
            """DO $$ DECLARE e audit_events; last text := repeat('0', 64); BEGIN
                FOR e IN SELECT * FROM audit_events ORDER BY seq LOOP
                    last := llm_audit_hash(last, e);
                    UPDATE audit_events SET hash = last WHERE id = e.id;
                END LOOP;
                UPDATE audit_head SET hash = last;
            END $$"""
        )
        connection.execute("RESET session_replication_role")
        connection.execute(
            "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation, prompt)"
            " SELECT now() - n * interval '60 days' / %s, 'p1', 'm', 'ok', 1, n %% 3000, 1, 'a prompt'"
            " FROM generate_series(1, %s) AS n",
            [LOGS, LOGS],
        )


def test_a_night_in_fast_motion(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    """No acknowledged write is lost, whatever happens; each service, old and new, is right after each event; the chain holds."""
    events: dict[str, Callable[[Night], None]] = {
        "upgrade": upgrade,
        "rotate": rotate,
        "fail over": fail_over,
        "restore in place": restore_in_place,
        "fill the disk": fill_the_disk,
        "purge": purge,
        "downgrade": downgrade,
        "upgrade again": upgrade,
    }
    for name, happens in events.items():
        with night.event(name):
            happens(night)
        if night.writer is not None:
            ask(night.writer, "hold")
        soon(night.right, 30)
        if night.writer is not None:
            ask(night.writer, "go")
    night.rest()
    soon(night.right, 30)
    verdict = verdict_of(night.url)
    checked = night.new.core("keys", "check", **ROTATED)

    figures = f"{night.writes:,} writes, {len(night.lost)} lost, {verdict.checked:,} events; seconds: {night.took}"
    with capsys.disabled():
        print(f"\nNight: {figures}")  # noqa: T201 - the figures are what the night is run for
    assert night.lost == []
    assert night.writes > 20 * len(WRITTEN)
    assert verdict.problem == ""
    assert f"{PROVIDERS + len(WRITTEN):,} API keys, ok" in checked


def upgrade(night: Night) -> None:
    """The old release writes while the schema changes; then the new one takes over."""
    night.new.core("migrate")
    night.write_by(night.new)


def rotate(night: Night) -> None:
    """All keys move, while everybody has both: the old service has too, and does not say so, hence `--force`.

    A row that a writer has locked in each pass is left, told, and moved by the next run.
    """
    for _ in range(10):
        code, said = night.new.run("keys", "rotate", "--force", **ROTATED)
        assert "it does not say its keys" in said, said
        if code == 0:
            return
        assert "Must stay" in said, said
    raise AssertionError(said)


def fail_over(night: Night) -> None:
    """A replica is made, and waited for by each commit; the primary is killed, the replica promoted."""
    first, second = night.servers
    copied = second.run(
        "pg_basebackup",
        "-D",
        str(second.folder / "data"),
        "-R",
        "-X",
        "stream",
        "-c",
        "fast",
        "-d",
        named(first.url, "postgres"),
    )
    assert copied.returncode == 0, copied.stderr
    second.start(max_wal_size="128MB")
    night.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    soon(lambda: _one(first.url, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1, 30)
    time.sleep(PAUSE)
    first.kill()
    with connect(named(second.url, "postgres")) as connection:
        connection.execute("SELECT pg_promote()")
    soon(lambda: _one(second.url, "SELECT pg_is_in_recovery()") is False, 30)


def restore_in_place(night: Night) -> None:
    """A dump, more writes, and the dump again, under the services that run: what was written since goes, as it should."""
    assert night.writer is not None
    server = night.servers[1]
    file = str(server.folder / "night.dump")
    before = ask(night.writer, "hold")["confirmed"]
    dumped = server.run("pg_dump", "--format=custom", f"--file={file}", server.url)
    assert dumped.returncode == 0, dumped.stderr
    ask(night.writer, "go")
    time.sleep(PAUSE)
    ask(night.writer, "hold")
    restored = server.run(
        "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction", f"--dbname={server.url}", file
    )
    assert restored.returncode == 0, restored.stderr
    night.sql("UPDATE settings_generation SET epoch = gen_random_uuid()::text")
    Path(file).unlink()
    assert ask(night.writer, "anew")["confirmed"] == before
    ask(night.writer, "go")


def fill_the_disk(night: Night) -> None:
    """No room under the server until writes are refused, and for a while; then there is room again."""
    require("root", AS_ROOT)
    server = night.servers[1]
    ballast = server.folder / "ballast"
    refused, deadline = 0, time.monotonic() + 60
    with ballast.open("wb", buffering=0) as file:
        while refused < 5:
            assert time.monotonic() < deadline, "the disk did not run full"
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 65536)
            try:
                night.sql(
                    "INSERT INTO llm_logs (provider, model, status, attempts, latency_ms, generation, prompt)"
                    " SELECT 'p1', 'm', 'ok', 1, 1, 1, repeat(md5(n::text), 30) FROM generate_series(1, 500) AS n"
                )
            except psycopg.Error:
                refused += 1
                time.sleep(PAUSE / 10)
    ballast.unlink()
    server.start()


def purge(night: Night) -> None:
    """Half of the log and of the audit go."""
    gone = night.new.core("logs", "purge", "--older-than", "30"), night.new.core("audit", "purge", "--older-than", "50")
    assert all("Deleted" in words or "Purged" in words for words in gone), gone


def downgrade(night: Night) -> None:
    """Back to the old release's schema, which its writers go on with."""
    night.rest()
    said = night.new.core("migrate", "--down", _head_of(night.old), "--yes")
    assert "Migrated" in said
    night.write_by(night.old)


def _head_of(release: Release) -> str:
    names = sorted(path.name for path in (release.folder / "migrations" / "versions").glob("0*.py"))
    assert names[-1][:4] < migrate.head()
    return names[-1][:4]


def _one(url: str, query: str) -> Any:
    with connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]  # psycopg wants a literal
    assert row is not None
    return row[0]
