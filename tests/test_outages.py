"""What docs/operations.md says of a failing database is what a page, REST, `ready`, the log and a service show."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from httpx2 import Client, Response

from core.crypto import KeyRing
from core.postgres import embedded
from core.resolve import Resolver
from tests.clusters import soon
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.processes import App, core, running_app
from tests.rest import KEY
from tests.streamlit_client import streamlit_client
from web.request import COOKIE

pytestmark = pytest.mark.kill  # a server and an app of its own, which are made to fail

AS_ROOT = os.geteuid() == 0
SECRET = secrets.token_urlsafe(32)
BOUND = 3 * 2.0
"""Three times what is promised: two cores, many tests."""
SECTION = "## When the database fails"


class Store(NamedTuple):
    """A server on a small disk, and what works on it."""

    folder: Path
    url: str
    app: App
    client: Client
    resolver: Resolver
    cookie: str

    def sql(self, *statements: str) -> None:
        """Run statements as the server's owner."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def reads_only(self) -> bool:
        """Tell whether a new connection may write nothing."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)

    def processes(self) -> list[int]:
        """The server's, its first one first."""
        master = int((self.folder / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """Everything, working."""
    home = Path(tempfile.mkdtemp(prefix="o"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        folder = home / "data"
        folder.mkdir()
        if AS_ROOT:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=220m", "none", folder], check=True)
            stack.callback(subprocess.run, ["umount", "-l", folder], check=True)
        env = {"DATABASE_URL": embedded.start(folder)}
        stack.callback(embedded.stop, folder)
        assert core("migrate", **env).returncode == 0
        assert core("seed", **env).returncode == 0
        token = core("tokens", "create", "root", "--role", "admin", **env).stdout.strip()
        limits = {f"LLM_RATE_LIMIT_{name}": "1000000 per minute" for name in ("GENERAL", "SENSITIVE")}
        app = stack.enter_context(
            running_app(home / "log", **env, **limits, LLM_ADMIN_PASSWORD="a sentence of one's own")
        )
        client = stack.enter_context(Client(base_url=app.url, timeout=60, headers={"Authorization": f"Bearer {token}"}))
        resolver = Resolver(env["DATABASE_URL"], ring=KeyRing(ENCRYPTION_KEY))
        stack.callback(resolver.close)
        made = Store(folder, env["DATABASE_URL"], app, client, resolver, f"{COOKIE}={SECRET}")
        made.sql(
            "UPDATE users SET must_change_password = false",
            "INSERT INTO auth_sessions (user_id, auth_epoch, sid_hash, expires_at) SELECT id, auth_epoch,"
            f" '{hashlib.sha256(SECRET.encode()).hexdigest()}', clock_timestamp() + interval '1 hour' FROM users",
        )
        assert client.post("/api/llm/providers", json={**body(), "name": "acme", "apiKey": KEY}).status_code == 201
        deadline = time.monotonic() + 20
        while (found := resolver.resolve("acme").status) != "ok":
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        yield made


def body() -> dict[str, Any]:
    """A new provider, of some size."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    return {
        "name": name,
        "displayName": name,
        "kind": "openai",
        "availableModels": ["m"],
        "defaultModel": "m",
        "isActive": True,
        "description": "d" * 900,
    }


def write(store: Store) -> Response:
    return store.client.post("/api/llm/providers", json=body())


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.monotonic()
    return work(), time.monotonic() - begun


@contextlib.contextmanager
def killed(store: Store) -> Iterator[None]:
    os.kill(store.processes()[0], signal.SIGKILL)
    time.sleep(0.5)
    yield
    embedded.start(store.folder)


@contextlib.contextmanager
def stopped(store: Store) -> Iterator[None]:
    with ThreadPoolExecutor(6) as crew:  # a warm pool
        assert {answer.status_code for answer in crew.map(lambda _: write(store), range(6))} == {201}
    pids = store.processes()
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1)  # what was seen of `ready` is old now
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def full(store: Store) -> Iterator[None]:
    """The server gives room back now and then, as with a file that it makes anew: it is taken again at once."""
    store.sql("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()", "CHECKPOINT")
    ballast = store.folder / "ballast"
    ends = threading.Event()

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            while not ends.is_set():
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * 4096)
                ends.wait(0.005)

    with ThreadPoolExecutor(1) as crew:
        filling = crew.submit(fill)
        try:
            deadline = time.monotonic() + 60
            refused = 0
            while refused < 20:  # the server has nothing in reserve any more
                refused = 0 if write(store).status_code == 201 else refused + 1
                assert time.monotonic() < deadline
            time.sleep(1.1)  # what was seen of `ready` is old now
            yield
        finally:
            ends.set()
            filling.result()
            ballast.unlink()
    store.sql("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")


@contextlib.contextmanager
def read_only(store: Store) -> Iterator[None]:
    store.sql("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    soon(store.reads_only, 20)
    time.sleep(1.1)  # what was seen of `ready` is old now
    yield
    store.sql("SET default_transaction_read_only = off", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
    soon(lambda: not store.reads_only(), 20)


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Forty programs write what somebody has locked, again and again: no connection of the pool is free for long."""
    ends = threading.Event()

    def writer() -> float:
        longest = 0.0
        while not ends.is_set():
            answer, took = timed(lambda: write(store))
            assert answer.status_code == 503, answer.text
            longest = max(longest, took)
        return longest

    with psycopg.connect(store.url) as connection, ThreadPoolExecutor(40) as crew:
        connection.execute("LOCK TABLE llm_providers IN SHARE MODE")
        waiting = [crew.submit(writer) for _ in range(40)]
        time.sleep(0.5)
        try:
            yield
        finally:
            ends.set()
        assert max(each.result() for each in waiting) < BOUND
        connection.rollback()


FAULTS = {
    "killed": killed,
    "silent": stopped,
    "disk full": full,
    "read-only": read_only,
    "connections in use": locked,
}


def documented() -> dict[str, dict[str, str]]:
    """The table of docs/operations.md: fault -> column -> cell."""
    section = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition(SECTION)[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    head, _, *rows = lines[: next((i for i, cells in enumerate(lines) if len(cells) != len(lines[0])), len(lines))]
    return {cells[0].partition(":")[0]: dict(zip(head, cells, strict=True)) for cells in rows}


def quoted(cell: str) -> list[str]:
    return re.findall(r"“([^”]+)”", cell)


def test_every_fault_is_in_the_table() -> None:
    """The table has a row for each fault that is tried here, and no other."""
    assert list(documented()) == list(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_everybody_sees(store: Store, fault: str) -> None:
    """CHECKS 65, 67, 71, 79: each cell of the table: statuses, the words in quotes, and that every answer comes in time; then all is back."""
    if fault == "disk full" and not AS_ROOT:
        pytest.skip("!!! SKIPPED: a small disk takes root to mount !!!")
    row = documented()[fault]
    before = len(store.app.output())
    get = store.client.get
    works: dict[str, Callable[[], Response]] = {
        "REST, reading": lambda: get("/api/llm/providers"),
        "REST, writing": lambda: write(store),
        "`ready`": lambda: get("/api/health/ready"),
    }
    with streamlit_client(store.app.port, cookie=store.cookie) as page, FAULTS[fault](store):
        with ThreadPoolExecutor(4) as crew:
            drawn = crew.submit(timed, lambda: page.open("providers"))
            asked = {name: crew.submit(timed, work) for name, work in works.items()}
        again = {name: timed(work) for name, work in works.items()}
        settings, took = timed(lambda: store.resolver.resolve("acme"))
        assert (settings.status, settings.api_key()) == ("ok", KEY)
        assert took < 0.1
    for name in works:
        allowed = {int(code) for code in re.findall(r"\b[1-5]\d\d\b", row[name])}
        for answer, took in (asked[name].result(), again[name]):
            assert answer.status_code in allowed, (name, answer.text)
            assert took < BOUND, (name, took)
            assert any(words in answer.text for words in quoted(row[name]) or [""]), (name, answer.text)
            if answer.status_code == 503 and name != "`ready`":
                assert int(answer.headers["Retry-After"]) >= 1
    _, took = drawn.result()
    assert took < 2 * BOUND, "several transactions"
    shown = " ".join([*page.titles(), *page.alerts(), *page.texts()])
    assert any(words in shown for words in quoted(row["a page"])), shown
    log = store.app.output()[before:]
    assert all(words in log for words in quoted(row["the log"])), log
    assert "Traceback" not in log
    assert log.count("A request was refused") <= 4, "a line a minute for each cause"
    begun = time.monotonic()
    while write(store).status_code != 201 or get("/api/health/ready").status_code != 200:
        assert time.monotonic() - begun < 3 * 1.0, "all is back within a second"
        time.sleep(0.02)
