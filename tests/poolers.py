"""PgBouncer as a process, on loopback, in front of a test's database."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg

from tests.conftest import require
from tests.processes import free_port
from tests.proxy import Proxy

PASSWORD = "right-0123456789"


class Pooler:
    """A running PgBouncer; ``url`` leads through it."""

    def __init__(self, port: int, database: str, folder: Path, password: str) -> None:
        self.port, self.folder = port, folder
        self.url = f"postgresql://pooled:{password}@127.0.0.1:{port}/{database}"

    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text(errors="replace")


@contextlib.contextmanager
def pooler(database: str, mode: str, *, port: int = 0, password: str = PASSWORD, **settings: str) -> Iterator[Pooler]:
    """Run PgBouncer as Debian installs it, in pool mode *mode*, before the database with the URL *database*.

    Args:
        database: A URL with a socket's folder in it.
        mode: ``session``, ``transaction`` or ``statement``.
        port: Where it listens; 0: anywhere.
        password: Of the one user.
        **settings: More lines of its section ``[pgbouncer]``.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    require("pgbouncer", program)
    parts = urlsplit(database)
    query = parse_qs(parts.query)
    name, port = parts.path.strip("/"), port or free_port()
    folder = Path(tempfile.mkdtemp(prefix="llm-pgb-"))
    if program is None:
        raise AssertionError
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "plain",
        "auth_file": str(folder / "users"),
        "pool_mode": mode,
        "logfile": str(folder / "log"),
        "verbose": "1",
        **settings,
    }
    socket = f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
    (folder / "users").write_text(f'"pooled" "{password}"\n')
    (folder / "log").touch()
    with Proxy(socket) as proxy:  # the socket's folder is closed to others
        target = f"host=127.0.0.1 port={proxy.port} dbname={name} user={parts.username}"
        section = "".join(f"{key} = {value}\n" for key, value in lines.items())
        (folder / "ini").write_text(f"[databases]\n{name} = {target}\n[pgbouncer]\n{section}")
        try:
            with _running(program, folder) as process:
                made = Pooler(port, name, folder, password)
                _await(made, process)
                yield made
        finally:
            shutil.rmtree(folder)


@contextlib.contextmanager
def _running(program: str, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    how: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "postgres")
        how = {"user": "postgres", "group": "postgres", "extra_groups": []}
    process = subprocess.Popen(
        [program, "-q", folder / "ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **how
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _await(made: Pooler, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(made.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert process.poll() is None, made.log()
            assert time.monotonic() < deadline, made.log()
            time.sleep(0.02)
        else:
            return
