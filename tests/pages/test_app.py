"""The app as a process: starting, stopping however it comes, and a database that is away."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import uvicorn

from core.postgres import embedded
from core.store import db
from tests.conftest import PASSWORD, ROOT, named
from tests.processes import QUIETLY, App, core, environment, free_port, running_app


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder with a short path (it holds a socket), and nothing left of it."""
    folder = Path(tempfile.mkdtemp(prefix="llm-"))
    yield folder
    embedded.start(folder)  # whoever was killed left the server running: the last one to leave stops it
    embedded.stop(folder)
    shutil.rmtree(folder)


@pytest.mark.kill
def test_first_start_and_every_way_to_stop(data_dir: Path, tmp_path: Path) -> None:
    """The first start says the password once; after SIGTERM, Ctrl-C and kill -9 the next start works, on the same data."""
    log = tmp_path / "app.log"
    for order in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        app = App(log, LLM_DATA_DIR=str(data_dir))
        try:
            app.wait_until_served()
        finally:
            code = app.stop(order)
        assert code in {0, -order}  # uvicorn ends by the signal it was sent, after its work
        with psycopg.connect(embedded.url_of(data_dir)) if order == signal.SIGKILL else pytest.raises(psycopg.Error):
            psycopg.connect(embedded.url_of(data_dir)).close()
    text = app.output()

    assert text.count("shown only now: ") == 1
    assert "Traceback" not in text
    listed = core("users", "list", LLM_DATA_DIR=str(data_dir))
    assert listed.stdout.split()[:3] == ["admin", "admin", "active"]


@pytest.mark.kill
def test_killed_postmaster_is_restarted(data_dir: Path, tmp_path: Path) -> None:
    """A killed embedded server is back within seconds, without restarting the app; nothing acknowledged is lost."""
    with running_app(tmp_path / "log", LLM_DATA_DIR=str(data_dir)):
        url = embedded.url_of(data_dir)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE llm_providers SET description = 'kept' WHERE name = 'openai'")
            row = connection.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
        assert row is not None
        postmaster = int(Path(f"/proc/{row[0]}/stat").read_text().rpartition(")")[2].split()[1])
        subprocess.run(["kill", "-9", str(postmaster)], check=True)
        begun = time.monotonic()
        while True:
            try:
                with psycopg.connect(url, connect_timeout=2) as connection:
                    kept = connection.execute("SELECT description FROM llm_providers WHERE name = 'openai'").fetchone()
                break
            except psycopg.OperationalError:
                assert time.monotonic() - begun < 30
                time.sleep(0.05)

    assert kept == ("kept",)


@pytest.mark.program
def test_operators_database_is_not_migrated_behind_their_back(committed: str, tmp_path: Path) -> None:
    """With DATABASE_URL at a database without our tables the app starts, says which command to run, and makes none."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with running_app(tmp_path / "log", DATABASE_URL=committed) as app:
        text = app.output()
    with psycopg.connect(committed) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)

    assert "Run: python -m core migrate" in text
    assert "Traceback" not in text


@pytest.mark.program
def test_malformed_encryption_key_ends_the_start(committed: str) -> None:
    """CHECKS 22: a malformed LLM_ENCRYPTION_KEY ends the start with the exact reason, and no stack trace."""
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "asgi:app", "--port", str(free_port()), *QUIETLY],
        cwd=ROOT,
        env=environment(DATABASE_URL=committed, LLM_ENCRYPTION_KEY="ab" * 31),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert "LLM_ENCRYPTION_KEY has 62 characters; it must be 64 hex digits" in done.stderr
    assert "Traceback" not in done.stderr
    assert "abab" not in done.stderr


@pytest.mark.program
def test_no_encryption_key_starts_sealed(committed: str, tmp_path: Path) -> None:
    """CHECKS 22: with DATABASE_URL and no key the app starts sealed and says so; LLM_ADMIN_PASSWORD makes the first admin."""
    with running_app(
        tmp_path / "log", DATABASE_URL=committed, LLM_ENCRYPTION_KEY="", LLM_ADMIN_PASSWORD=PASSWORD
    ) as app:
        text = app.output()
    listed = core("users", "list", DATABASE_URL=committed)

    assert "Started sealed: LLM_ENCRYPTION_KEY is not set" in text
    assert PASSWORD not in text
    assert listed.stdout.split() == ["admin", "admin", "active"]


@pytest.mark.program
def test_database_that_is_away_at_start(committed: str, tmp_path: Path) -> None:
    """CHECKS 65: the app starts without its database, answers, and does its first-start work as soon as it is there."""
    name = committed.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(named(committed, "postgres"), autocommit=True) as admin:
        db.get_engine().dispose()
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        with running_app(tmp_path / "log", DATABASE_URL=committed, LLM_ADMIN_PASSWORD=PASSWORD) as app:
            away = app.output()
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            with urllib.request.urlopen(app.url, timeout=5) as answer:
                status = answer.status

    assert "The database cannot be reached" in away
    assert "Traceback" not in away
    assert status == 200


@pytest.mark.program
def test_database_that_is_read_only_at_start(committed: str, tmp_path: Path) -> None:
    """A replica, or a primary in trouble: the app starts, says what it is, and works once changes are taken."""
    name = committed.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(named(committed, "postgres"), autocommit=True) as admin:
        db.get_engine().dispose()
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with running_app(tmp_path / "log", DATABASE_URL=committed, LLM_ADMIN_PASSWORD=PASSWORD) as app:
            away = app.output()
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{app.url}/api/health/ready", timeout=10)
            checks = refused.value.read().decode()
            admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            deadline = time.monotonic() + 10
            while True:
                try:
                    with urllib.request.urlopen(f"{app.url}/api/health/ready", timeout=10) as answer:
                        status = answer.status
                    break
                except urllib.error.HTTPError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)

    assert "The database is read-only" in away
    assert "Traceback" not in away
    assert (refused.value.code, '"read_only"' in checks) == (503, True)
    assert status == 200


def test_accepted_socket_has_nodelay(committed: str) -> None:  # noqa: ARG001 - the app's database
    """uvicorn's accepted sockets have TCP_NODELAY: under `streamlit run` each small answer would wait 40 ms."""

    async def plain(scope: dict[str, object], receive: object, send: object) -> None:  # noqa: ARG001 - the protocol's
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})  # type: ignore[operator]
        await send({"type": "http.response.body"})  # type: ignore[operator]

    async def look() -> list[int]:
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(plain, port=port, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readline()
        found = [
            connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for connection in server.server_state.connections
        ]
        writer.close()
        server.should_exit = True
        await serving
        return found

    with ThreadPoolExecutor(1) as thread:  # Playwright keeps an event loop running in the thread of the tests
        found = thread.submit(asyncio.run, look()).result()
    assert [bool(option) for option in found] == [True]
