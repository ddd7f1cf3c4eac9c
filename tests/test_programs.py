"""Services as people run them, each a small real program in tests/programs: each of their workers sees a change."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from core.actors import COMMAND_LINE
from core.config import get_config
from core.manage import providers, settings
from core.parameters import SENDABLE
from core.store.db import transaction
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
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%resolver/%'"
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


# docs/services.md

CHAT = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello from chat."}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
}
MESSAGE = {
    "id": "1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
    "content": [{"type": "text", "text": "Hello from messages."}],
}


class Vendor(BaseHTTPRequestHandler):
    """Answers as the vendors do, and keeps what it was sent."""

    asked: ClassVar[list[tuple[str, str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("x-api-key") or self.headers["Authorization"].removeprefix("Bearer ")
        self.asked.append((self.path, key, sent))
        body = json.dumps(MESSAGE if self.path.endswith("/messages") else CHAT).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def vendor() -> Iterator[str]:
    """The address of a vendor on this machine."""
    Vendor.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_snippets_for_services(committed: str, vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every snippet of docs/services.md runs as it stands, with the vendors' own SDKs; key, model and parameters arrive."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    get_config.cache_clear()
    with transaction() as session:
        for name, kind, path in (("openai", "openai_compatible", "/v1"), ("anthropic", "anthropic", "")):
            made = providers.create(
                session,
                COMMAND_LINE,
                {
                    "name": name,
                    "display_name": name,
                    "kind": kind,
                    "api_base_url": vendor + path,
                    "available_models": ["m"],
                    "default_model": "m",
                    "api_key": f"{KEY}-{name}",
                },
            )
            omitted = ["top_p"] if name == "openai" else list(SENDABLE[:1]) + list(SENDABLE[2:])
            settings.upsert_global(session, COMMAND_LINE, made.id, {"max_tokens": 77, "omitted_parameters": omitted})
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/services.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    script = tmp_path / "snippets.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment(DATABASE_URL=committed),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert len(blocks) >= 6
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == ["Hello from chat.", "Hello from messages.", "11 4"]
    assert "No API key for provider 'opnai' (unknown_provider): there is no provider of that name" in done.stdout
    (chat, message, counted) = Vendor.asked
    assert chat[:2] == ("/v1/chat/completions", f"{KEY}-openai")
    assert message[:2] == ("/v1/messages", f"{KEY}-anthropic")
    assert (chat[2]["model"], chat[2]["temperature"], chat[2]["max_tokens"]) == ("m", 0.7, 77)
    assert "top_p" not in chat[2]
    assert (message[2]["model"], message[2]["max_tokens"]) == ("m", 77)
    assert "temperature" not in message[2]
    assert counted[2]["max_tokens"] == 500
