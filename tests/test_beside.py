"""The last release and this version side by side behind a proxy, with data, while the schema changes under both.

``LLM_TEST_BESIDE=large`` takes 10,000 providers and settings, 100,000 events and 300,000 log rows; see `.ci/nightly`.
"""

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client

from core.store import migrate
from tests import test_night
from tests.clusters import Cluster, connect, new_folder, soon
from tests.conftest import named, require
from tests.processes import App, free_port
from tests.test_night import BOTH, WRITTEN, Night, Release, ask, fill, last_release

pytestmark = pytest.mark.kill

LARGE = os.environ.get("LLM_TEST_BESIDE") == "large"
SIZES = (10_000, 100_000, 300_000) if LARGE else (200, 1_000, 3_000)
WHILE = 10.0 if LARGE else 1.5
"""Seconds of work between two steps."""


class House(Night):
    """The servers and releases of the night; one server, and its data in place of the fixture's."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.servers = [Cluster(new_folder())]
        stack.callback(self.servers[0].remove)
        self.url = self.servers[0].url
        self.old, self.new = Release(last_release(folder), self.url), Release(test_night.ROOT, self.url)
        self.writer, self.readers = None, {}
        self.writes, self.lost, self.took = 0, [], {}


class Proxy:
    """nginx in front of some apps: each request goes to the next one, as a balancer does that knows of none of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def lead_to(self, *apps: App) -> None:
        """Have it send requests to these from now on; what is under way ends where it is."""
        servers = "\n".join(f"server 127.0.0.1:{app.port};" for app in apps)
        (self.folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;\n"
            f"fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;\n"
            f"upstream apps {{ {servers} }}\n"
            f"server {{ listen 127.0.0.1:{self.port}; location / {{ proxy_pass http://apps;\n"
            "proxy_set_header Host $http_host; proxy_next_upstream off; } } }\n"
        )
        command = ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        if self.process is None:
            self.process = subprocess.Popen([*command, "-e", str(self.folder / "error.log")])
            soon(self._answers, 20)
        else:
            subprocess.run([*command, "-s", "reload"], check=True, capture_output=True)
            time.sleep(0.5)

    def _answers(self) -> bool:
        with contextlib.suppress(Exception), Client(base_url=f"http://127.0.0.1:{self.port}", timeout=5) as client:
            return bool(client.get("/api/health/live").status_code == 200)
        return False

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)


class Callers(threading.Thread):
    """Somebody who reads and edits one provider by REST through the proxy, all the time; each answer counts."""

    def __init__(self, port: int, token: str, provider: int) -> None:
        super().__init__(daemon=True)
        self.url, self.token, self.provider = f"http://127.0.0.1:{port}", token, provider
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.bad: list[str] = []
        self.longest = 0.0
        self.last = ""
        self.ends = threading.Event()

    def run(self) -> None:
        """Read, edit, read, …"""
        headers = {"Authorization": f"Bearer {self.token}", "Connection": "close"}  # a reload of nginx ends idle lines
        number = 0
        with Client(base_url=self.url, timeout=30, headers=headers) as client:
            while not self.ends.is_set():
                number += 1
                stored = self._asked("GET", client, None)
                if stored is None:
                    continue
                if self.last and stored["description"] != self.last:
                    self.bad.append(f"{self.last} was acknowledged, {stored['description']} is stored")
                body = {"version": stored["version"], "description": f"edit {number}"}
                if self._asked("PUT", client, body) is not None:
                    self.last = body["description"]

    def _asked(self, method: str, client: Client, body: dict[str, Any] | None) -> dict[str, Any] | None:
        begun = time.monotonic()
        answer = client.request(method, f"/api/llm/providers/{self.provider}", json=body)
        self.longest = max(self.longest, time.monotonic() - begun)
        self.statuses[method, answer.status_code] += 1
        if answer.status_code == 200:
            return dict(answer.json()["data"])
        self.bad.append(f"{method} {answer.status_code}: {answer.text[:300]}")
        return None


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The last release's schema, with data."""
    require("postgresql", list(Path("/usr/lib/postgresql").glob("*/bin/postgres")))
    require("nginx", shutil.which("nginx"))
    for name, size in zip(("PROVIDERS", "EVENTS", "LOGS"), SIZES, strict=True):
        monkeypatch.setattr(test_night, name, size)
    with contextlib.ExitStack() as stack:
        made = House(tmp_path, stack)
        server = made.servers[0]
        server.make()
        server.start()
        with connect(named(server.url, "postgres")) as connection:
            connection.execute("CREATE DATABASE llm")
        made.old.core("migrate")
        fill(made)
        yield made


def _token(release: Release) -> str:
    made = re.search(r"llms_\S+", release.core("tokens", "create", "root", "--role", "admin"))
    assert made is not None
    return made[0]


def test_two_versions_behind_a_proxy(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the last release to this one, process by process: every request through the proxy is answered, no edit is lost, each service stays right."""
    token = _token(house.old)
    limits = {f"LLM_RATE_LIMIT_{kind}": "1000000 per minute" for kind in ("GENERAL", "SENSITIVE")}
    env = {"DATABASE_URL": house.url, **BOTH, **limits}
    folder = tmp_path / "nginx"
    folder.mkdir()
    proxy = Proxy(folder)
    house.stack.callback(proxy.stop)
    old = App(tmp_path / "old.log", house.old.folder, **{**env, "PYTHONPATH": str(house.old.folder)})
    house.stack.callback(old.stop)
    old.wait_until_served()
    for name, release in (("old", house.old), ("new", house.new)):
        house.readers[name] = release.start("night_reader")
        house.stack.callback(house.readers[name].kill)
    with connect(house.url) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM llm_providers WHERE name = ANY (%s)", [WRITTEN])]
    proxy.lead_to(old)
    callers = [Callers(proxy.port, token, number) for number in ids]
    for caller in callers:
        caller.start()
    time.sleep(WHILE)

    begun = time.monotonic()
    house.new.core("migrate")
    took = time.monotonic() - begun
    time.sleep(WHILE)
    new = App(tmp_path / "new.log", **env)
    house.stack.callback(new.stop)
    new.wait_until_served()
    proxy.lead_to(old, new)
    time.sleep(2 * WHILE)
    soon(house.right, 30)
    proxy.lead_to(new)
    old.stop()
    time.sleep(WHILE)
    for caller in callers:
        caller.ends.set()
        caller.join(30)

    statuses = sum((caller.statuses for caller in callers), Counter[tuple[str, int]]())
    longest = max(caller.longest for caller in callers)
    with capsys.disabled():
        print(f"\nBeside: {dict(statuses)}; migrate {took:.1f} s, longest answer {longest * 1000:.0f} ms")  # noqa: T201 - what it is run for
    assert [words for caller in callers for words in caller.bad] == []
    assert all(statuses[method, 200] > 20 for method in ("GET", "PUT"))
    soon(house.right, 30)
    with connect(house.url) as connection:
        assert migrate.head() in str(connection.execute("SELECT version_num FROM alembic_version").fetchone())
        for caller in callers:
            row = connection.execute(
                "SELECT description FROM llm_providers WHERE id = %s", [caller.provider]
            ).fetchone()
            assert row == (caller.last,)
    with Client(base_url=new.url, timeout=30) as client:
        ready = client.get("/api/health/ready").json()["data"]["checks"]
    assert (ready["database"], ready["schema"], ready["keyRing"]) == ("ok", "ok", "ok")
    assert ask(house.readers["new"], "look").keys() == set(WRITTEN)
