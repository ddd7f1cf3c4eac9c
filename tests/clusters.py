"""Servers of a test's own, that may be killed, and the words in which tests speak of a resolver."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import psycopg
from sqlalchemy import NullPool, create_engine

from core.crypto import KeyRing, Place
from core.kinds import origin_of
from core.resolve import Resolver
from core.store import migrate
from tests.conftest import ENCRYPTION_KEY, named, require
from tests.proxy import Proxy

Connection = psycopg.Connection[Any]

KEY = "sk-canary-0123456789abcdef"
RING = KeyRing(ENCRYPTION_KEY)
LISTENERS = "FROM pg_stat_activity WHERE application_name LIKE '%resolver%' AND datname = current_database()"


def soon(fact: Callable[[], object], seconds: float = 5.0) -> float:
    """Wait until *fact* holds; return how long it took."""
    begun = time.monotonic()
    while not fact():
        assert time.monotonic() - begun < seconds, f"did not come true in {seconds} seconds"
        time.sleep(0.005)
    return time.monotonic() - begun


def connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True)


def add(connection: Connection, name: str, says: str = "as added", *, key: str | None = None) -> int:
    """Insert a provider whose display name is *says*; return its id."""
    row = connection.execute(
        "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
        " VALUES (%s, %s, 'openai', '[\"m1\", \"m2\"]', 'm1') RETURNING id",
        [name, says],
    ).fetchone()
    assert row is not None
    if key is not None:
        sealed = RING.seal(key, Place("llm_providers", row[0], "api_key", origin_of("openai", None)))
        connection.execute(
            "UPDATE llm_providers SET api_key_encrypted = %s, api_key_key_id = %s, api_key_binding = %s WHERE id = %s",
            [*sealed, row[0]],
        )
    return int(row[0])


def say(connection: Connection, name: str, words: str) -> None:
    """Change a provider: its display name is what a test tells versions apart by."""
    connection.execute("UPDATE llm_providers SET display_name = %s WHERE name = %s", [words, name])


def said(resolver: Resolver, name: str = "openai") -> str | None:
    """Return what the resolver knows of it; None if it does not know the provider."""
    answer = resolver.resolve(name)
    return None if answer.status == "unknown_provider" else answer.display_name


def hears(resolver: Resolver, words: str, seconds: float = 5.0, name: str = "openai") -> None:
    """Wait until the resolver knows what was said."""
    soon(lambda: said(resolver, name) == words, seconds)


def is_told(resolver: Resolver, connection: Connection) -> None:
    """Assert that notices arrive: ten changes, one after the other, in less time than five heartbeats."""
    begun = time.monotonic()
    for turn in range(10):
        say(connection, "openai", f"told {turn}")
        hears(resolver, f"told {turn}")
    assert time.monotonic() - begun < 10


def generation_of(connection: Connection) -> int:
    row = connection.execute("SELECT generation FROM settings_generation").fetchone()
    assert row is not None
    return int(row[0])


def listeners(connection: Connection) -> list[int]:
    """Return the backends of the resolvers on this database."""
    return [row[0] for row in connection.execute(f"SELECT pid {LISTENERS}").fetchall()]


@contextlib.contextmanager
def resolving(url: str, *, ring: KeyRing = RING) -> Iterator[Resolver]:
    resolver = Resolver(url, ring=ring)
    try:
        yield resolver
    finally:
        resolver.close()


def by_proxy(url: str, *proxies: Proxy) -> str:
    """Return *url* by way of the proxies instead of the socket's folder."""
    parts = urlsplit(url)
    hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    return f"postgresql://{parts.username}@{hosts}{parts.path}"


def socket_of(url: str) -> str:
    query = parse_qs(urlsplit(url).query)
    return f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}"


class Sampler:
    """A thread that looks all the time, and keeps what it saw: each value once, in the order it came."""

    def __init__(self, look: Callable[[], object], *, every: float = 0.0005) -> None:
        self.seen: list[Any] = []
        self._look, self._every = look, every
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._leaving.wait(self._every):
            if (found := self._look()) != (self.seen[-1] if self.seen else None):
                self.seen.append(found)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()


# Servers of their own


class Cluster:
    """A PostgreSQL server of a test's own, on a Unix socket; it may be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.url = f"postgresql://postgres@/llm?host={folder}"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: dict[str, str] = {}

    def make(self) -> None:
        """Make a server without a database of ours; it is not started."""
        command = [str(_tools() / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run([*command, "-E", "UTF8", "--locale=C"], check=True, capture_output=True, **_as_owner())

    def initdb(self) -> None:
        """Make a server with a migrated database and two providers with keys; it is stopped."""
        self.make()
        self.start()
        with connect(named(self.url, "postgres")) as connection:
            connection.execute("CREATE DATABASE llm")
        migrate.upgrade(create_engine(self.url.replace(":", "+psycopg:", 1), poolclass=NullPool))
        with connect(self.url) as connection:
            add(connection, "openai", "before", key=KEY)
            add(connection, "other", "before", key=KEY)
        self.stop()

    def start(self, **settings: str) -> None:
        """Launch it, and return as soon as it accepts connections."""
        self._settings = settings or self._settings
        deadline = time.monotonic() + 30
        while True:
            if self._process is None or self._process.poll() is not None:  # the rest of a killed one is still there
                self._launch()
            try:
                connect(named(self.url, "postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.01)
            else:
                return

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "dynamic_shared_memory_type": "mmap",  # in the folder: a killed server leaves nothing in /dev/shm
            "shared_buffers": "16MB",
            "fsync": "off",  # nobody cuts the power
            "log_line_prefix": "%a|",
            **self._settings,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [_tools() / "postgres", "-D", self.folder / "data", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_owner(),
            )

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the server's own programs, as pg_dump."""
        how: dict[str, Any] = {"capture_output": True, "text": True, **_as_owner()}
        return subprocess.run([_tools() / program, *arguments], check=False, **how)

    def kill(self) -> None:
        """As the kernel does when memory runs out: the postmaster is gone at once, its children follow."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_a_backend(self) -> None:
        """Kill -9 one of its processes: the postmaster ends all others, and starts anew."""
        with connect(self.url) as connection:
            [victim, *_] = listeners(connection)
        os.kill(victim, signal.SIGKILL)

    def stop(self) -> None:
        """Shut down fast, as ``systemctl restart`` does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all its processes where they are: connections hold, the kernel accepts new ones, nobody answers."""
        assert self._process is not None
        with connect(self.url) as connection:
            row = connection.execute("SELECT array_agg(pid) FROM pg_stat_activity").fetchone()
        assert row is not None
        pids = [self._process.pid, *row[0]]
        try:
            _send(signal.SIGSTOP, pids)
            yield
        finally:
            _send(signal.SIGCONT, pids)

    def remove(self) -> None:
        """End it, and leave nothing behind: of a killed one not even its shared memory."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
            subprocess.run(["ipcrm", "-m", lines[6].split()[1]], check=False, capture_output=True)
        shutil.rmtree(self.folder)


def _tools() -> Path:
    return min(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3])).parent


def _as_owner() -> dict[str, Any]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    how: dict[str, Any] = {"env": clean | {"LC_ALL": "C"}, "cwd": "/"}
    if os.geteuid() == 0:
        how |= {"user": "postgres", "group": "postgres", "extra_groups": []}
    return how


def _send(order: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, order)


def own_postgresql() -> Iterator[Cluster]:
    """A server of the operator's own, of the oldest major on this machine, started: the body of a fixture."""
    require("postgresql", list(Path("/usr/lib/postgresql").glob("*/bin/postgres")))
    cluster = Cluster(new_folder())
    try:
        cluster.make()
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="llm-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    return folder
