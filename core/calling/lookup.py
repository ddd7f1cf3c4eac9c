"""Names to addresses. The system's look-up has no timeout: it is made in a thread, and a hung one is shared, not repeated."""

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")

AT_ONCE: Final = 16
"""Threads that look up at the same time, in all: so many a name server that hangs can cost."""


class Crowded(OSError):
    """All threads for look-ups wait for a name server."""


class Lookups:
    """The look-ups that run now."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all: the threads are the parent's after a fork."""
        self._lock = threading.Lock()
        self._running: dict[Any, Future[Any]] = {}

    def begin(self, name: object, work: Callable[[], T]) -> "Future[T]":
        """Return the future of *work*, begun now, or by whoever wanted the same *name* before and still waits for it."""
        with self._lock:
            if (running := self._running.get(name)) is not None:
                return running
            done: Future[T] = Future()
            done.set_running_or_notify_cancel()  # one who gives up waiting must not cancel it for the others
            if len(self._running) >= AT_ONCE:
                done.set_exception(Crowded(f"{AT_ONCE} look-ups wait for the name server"))
                return done
            self._running[name] = done
        try:
            threading.Thread(target=self._do, args=(name, work, done), daemon=True, name="llm-settings look-up").start()
        except RuntimeError as error:  # no thread can be started: then this one looks up, however long it takes
            del error
            self._do(name, work, done)
        return done

    def _do(self, name: object, work: Callable[[], T], done: "Future[T]") -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - raised where the future is asked
            self._ended(name)
            done.set_exception(error)
        else:
            self._ended(name)
            done.set_result(found)

    def _ended(self, name: object) -> None:
        with self._lock:
            self._running.pop(name, None)


def addresses_of(host: str, port: int) -> "Future[list[str]]":
    """Return the future addresses of *host*; OSError or UnicodeError if there are none."""
    return lookups.begin((host, port), lambda: _system(host, port))


def _system(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


lookups: Final = Lookups()
"""Those of this process."""
os.register_at_fork(after_in_child=lookups.reset)
