"""Real processes for tests: the command line and the app, on a database and in a folder of the test's own."""

import atexit
import functools
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.conftest import ENCRYPTION_KEY, ROOT

OURS = ("LLM_", "DATABASE_URL", "PG")
"""How the names of variables begin that we read, and Python itself does not."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: nothing of ours from outside, the encryption key of the tests, and *more*."""
    ours = (*OURS, "PYTHONDONTWRITEBYTECODE")  # the last makes every start take a second more
    clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return {**clean, "PYTHONPATH": str(ROOT), "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "PYTHONUNBUFFERED": "1", **more}


def python(code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a few lines."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(**env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def core(*arguments: str, stdin: str | bytes = "", cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m core``: a process of its own, which has its libraries imported already (tests/prepared.py)."""
    return _forked("core", arguments, stdin.encode() if isinstance(stdin, str) else stdin, cwd, env)


def program(code: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a few lines, as :func:`python` does, in a process that has the vendors' SDKs imported already."""
    return _forked("tests.programs.program", (code, *arguments), b"", ROOT, env)


def _forked(
    module: str, arguments: tuple[str, ...], given: bytes, cwd: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(given)
        source.seek(0)
        streams = [source.fileno(), out.fileno(), err.fileno()]
        run = Forked(module, list(arguments), streams, environment(**env), cwd)
        try:
            status = run.wait(60)
        except subprocess.TimeoutExpired:
            run.kill()
            raise
        written = []
        for stream in (out, err):
            stream.seek(0)
            written.append(io.TextIOWrapper(stream, encoding="utf-8").read())
    return subprocess.CompletedProcess([module, *arguments], status, *written)


class Forked:
    """``python -m`` *module*, begun by a process that has its libraries imported already (tests/prepared.py); as Popen has it."""

    def __init__(self, module: str, arguments: list[str], streams: list[int], env: dict[str, str], cwd: Path) -> None:
        question = json.dumps({"module": module, "arguments": arguments, "env": env, "cwd": str(cwd)}).encode()
        self.returncode: int | None = None
        self._asked = socket.socket(socket.AF_UNIX)
        self._asked.settimeout(180)  # the first one waits until all is imported
        self._asked.connect(_prepared(module))
        socket.send_fds(self._asked, [b"?"], streams)
        self._asked.sendall(struct.pack("!I", len(question)) + question)
        self.pid: int = struct.unpack("!i", self._asked.recv(4, socket.MSG_WAITALL))[0]

    def poll(self) -> int | None:
        """Return its status; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return its status once it has ended; raises TimeoutExpired."""
        if self.returncode is None:
            self._asked.settimeout(timeout)
            try:
                told = self._asked.recv(4, socket.MSG_WAITALL)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self.returncode = struct.unpack("!i", told)[0]
            self._asked.close()
        return self.returncode

    def send_signal(self, order: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, order)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _prepared(module: str) -> str:
    """Start the process that runs of ``python -m`` *module* are forked from, once a worker; return its address."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # a name of Linux's choice, in no folder
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.prepared", str(listener.fileno()), module],
            env=environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        atexit.register(process.communicate)  # it ends with its standard input
        return listener.getsockname()


def free_port() -> int:
    """A port nobody listens on now, below those that the kernel hands out: no other test is given it in the meantime."""
    first = 20_000 + 2_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = first + random.randrange(2_000)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


QUIETLY = ("--no-access-log", "--lifespan", "on", "--timeout-graceful-shutdown", "3")


class App:
    """``uvicorn asgi:app`` as a process, or another *entry*; the words *before* it run it as somebody else.

    It is a fork of one that has its libraries imported already, unless it is told to begin in another way.
    """

    def __init__(
        self, log: Path, cwd: Path = ROOT, before: tuple[str, ...] = (), entry: str = "asgi:app", **env: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.database = ""
        """URL of its database, of an app that a fixture has given one."""
        words = [entry, "--port", str(self.port), *QUIETLY]
        self.process: subprocess.Popen[bytes] | Forked
        with log.open("a", encoding="utf-8") as out, Path(os.devnull).open("rb") as nothing:
            if not before and cwd == ROOT and all(name.startswith(OURS) for name in env):
                streams = [nothing.fileno(), out.fileno(), out.fileno()]
                self.process = Forked("uvicorn", words, streams, environment(**env), cwd)
            else:  # another interpreter, or one that starts in another way
                self.process = subprocess.Popen(
                    [*before, sys.executable, "-m", "uvicorn", *words],
                    cwd=cwd,
                    env=environment(**env),
                    stdin=nothing,
                    stdout=out,
                    stderr=out,
                )

    def wait_until_served(self, seconds: float = 60) -> None:
        """Return when the first page is answered."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"the app ended: {self.output()}"
            assert time.monotonic() < deadline, f"the app does not answer: {self.output()}"
            try:
                with urllib.request.urlopen(self.url, timeout=2):
                    return
            except OSError:
                time.sleep(0.1)

    def output(self) -> str:
        """What it has printed and logged."""
        return self.log.read_text(encoding="utf-8")

    def stop(self, order: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, and return its exit code; a hanging one is killed."""
        if self.process.poll() is None:
            self.process.send_signal(order)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(5)


@contextmanager
def running_app(log: Path, **env: str) -> Iterator[App]:
    """The app, answering; stopped on leaving."""
    app = App(log, **env)
    try:
        app.wait_until_served()
        yield app
    finally:
        app.stop()


def apart(work: Callable[[], Any]) -> Any:
    """Do something in a thread that has no event loop: Playwright leaves one running in the thread of the tests."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result(60)
