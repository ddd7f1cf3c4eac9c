"""Services as people run them, each a small real program in tests/programs: each of their workers sees a change."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import providers, settings
from core.actors import COMMAND_LINE
from core.db import transaction
from tests.conftest import ROOT
from tests.processes import environment, free_port

pytestmark = pytest.mark.kill
KEY = "sk-proj-canary-0123456789abcdefghij"
Look = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def store(committed: str) -> str:
    """A database with one provider."""
    with transaction() as session:
        providers.create(
            session,
            COMMAND_LINE,
            {
                "name": "openai",
                "display_name": "OpenAI",
                "kind": "openai",
                "available_models": ["m"],
                "default_model": "m",
                "api_key": KEY,
            },
        )
    return committed


def change(temperature: float) -> None:
    """Commit a change."""
    with transaction() as session:
        openai = providers.get_by_name(session, "openai")
        settings.upsert_global(session, COMMAND_LINE, openai.id, {"temperature": temperature})


@contextmanager
def running(log: Path, *command: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A program with what it starts, all of it stopped on leaving; it ends by SIGTERM, without a traceback."""
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment(**env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        assert "Traceback" not in log.read_text(encoding="utf-8")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def get(url: str) -> dict[str, Any]:
    """Ask a service, which may still be starting."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.1)


def seen_by_all(look: Look, workers: int, temperature: float, seconds: float = 10) -> set[int]:
    """Look until every worker has the value; return who they are. All have the key."""
    deadline, have = time.monotonic() + seconds, dict[int, float]()
    while len(have) < workers or set(have.values()) != {temperature}:
        assert time.monotonic() < deadline, have
        for said in look():
            assert (said["status"], said["key"]) == ("ok", KEY[-4:])
            have[said["pid"]] = said["temperature"]
    return set(have)


def connections(url: str) -> set[int]:
    """The server's processes that serve resolvers."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%resolver'"
        )
        return {pid for (pid,) in rows}


def none_left(url: str) -> None:
    """What has ended leaves no connection."""
    deadline = time.monotonic() + 10
    while connections(url):
        assert time.monotonic() < deadline, "connections are left"
        time.sleep(0.05)


@pytest.mark.parametrize("preload", [False, True])
def test_gunicorn(store: str, tmp_path: Path, *, preload: bool) -> None:
    """Four prefork workers, forked from a master that has resolved or not: each has a connection of its own, each sees a change,
    and one that is killed is replaced by one that knows as much.
    """
    port = free_port()
    options = ["--workers", "4", "--bind", f"127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket"]
    more = ["--preload"] if preload else []
    env = {"DATABASE_URL": store} | ({"RESOLVE_AT_IMPORT": "1"} if preload else {})

    def look() -> list[dict[str, Any]]:
        return [get(f"http://127.0.0.1:{port}/")]

    with running(tmp_path / "log", "-m", "gunicorn", *options, *more, "tests.programs.gunicorn_app:app", **env):
        workers = seen_by_all(look, 4, 0.7, 30)
        change(0.25)
        assert seen_by_all(look, 4, 0.25) == workers
        assert len(connections(store)) == 4 + preload  # the master's, too
        os.kill(min(workers), signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (said := look()[0])["pid"] in workers:
            assert time.monotonic() < deadline, "the killed worker is not replaced"
        assert (said["status"], said["temperature"]) == ("ok", 0.25)
        change(0.5)
        deadline = time.monotonic() + 20
        while get(f"http://127.0.0.1:{port}/")["temperature"] != 0.5:
            assert time.monotonic() < deadline
    none_left(store)


def test_uvicorn(store: str, tmp_path: Path) -> None:
    """An asyncio service that has awaited `resolver.start()` answers from its first request on, and sees a change."""
    port = free_port()
    command = ("-m", "uvicorn", "tests.programs.asgi_app:app", "--port", str(port), "--log-level", "warning")
    with running(tmp_path / "log", *command, DATABASE_URL=store):
        assert seen_by_all(lambda: [get(f"http://127.0.0.1:{port}/")], 1, 0.7)
        change(0.25)
        assert seen_by_all(lambda: [get(f"http://127.0.0.1:{port}/")], 1, 0.25)
        assert len(connections(store)) == 1
    none_left(store)


def test_uvicorn_with_a_silent_database(tmp_path: Path) -> None:
    """The event loop never stands still for the database: neither at start nor while it does not answer."""
    port = free_port()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x"
        command = ("-m", "uvicorn", "tests.programs.asgi_app:app", "--port", str(port), "--log-level", "warning")
        with running(tmp_path / "log", *command, DATABASE_URL=url):
            for _ in range(20):
                said = get(f"http://127.0.0.1:{port}/")
                time.sleep(0.05)

    assert said["status"] == "store_unavailable"
    assert said["longest"] < 1  # waiting for the first snapshot on the loop would be 2


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_multiprocessing_pool(store: str, tmp_path: Path, how: str) -> None:
    """Each process of a pool sees a change by a connection of its own, whether it was forked from one that had resolved or not."""
    with running(tmp_path / "log", "-m", "tests.programs.pool", how, DATABASE_URL=store) as process:
        look = _asking(process)
        workers = seen_by_all(look, 3, 0.7, 30)
        change(0.25)
        assert seen_by_all(look, 3, 0.25) == workers
        assert len(connections(store)) == 4
    none_left(store)


def test_thread_pool(store: str, tmp_path: Path) -> None:
    """Eight threads that take jobs from a queue share one connection, and each sees a change."""
    with running(tmp_path / "log", "-m", "tests.programs.workers", DATABASE_URL=store) as process:
        look = _asking(process)
        workers = seen_by_all(look, 8, 0.7, 30)
        change(0.25)
        assert seen_by_all(look, 8, 0.25) == workers
        assert len(connections(store)) == 1
    none_left(store)


def _asking(process: subprocess.Popen[str]) -> Look:
    def look() -> list[dict[str, Any]]:
        assert process.stdin is not None
        assert process.stdout is not None
        print(file=process.stdin, flush=True)
        found: list[dict[str, Any]] = json.loads(process.stdout.readline())
        return found

    return look
