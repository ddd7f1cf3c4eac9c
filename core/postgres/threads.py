"""Background threads of a library: some processes cannot have any, and are told so in a sentence."""

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any

AGAIN = 1.0
"""Seconds after which a thread that could not be started is tried again."""


class NoThread(Exception):
    """No thread can be started here, and why.

    Attributes:
        lasting: Whether it stays so as long as the process lives.
    """

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


def start(run: Callable[..., object], name: str, *args: Any) -> threading.Thread:
    """Start a thread that nobody waits for at exit.

    Raises:
        NoThread: If this process cannot have one, now or ever.
    """
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        # Its threads are greenlets, and the driver's wait for the server in C would hold them all, for ever.
        raise NoThread(
            "eventlet has replaced this process's threads, and the database driver would block them all: call "
            "eventlet.monkey_patch(thread=False), or use gevent or ordinary threads",
            lasting=True,
        )
    if _is_sub_interpreter():
        # Daemon threads are refused in a new one; in mod_wsgi's, the driver's C code and the interpreter's end abort the
        # process: https://docs.python.org/3/c-api/init.html#sub-interpreter-support
        raise NoThread(
            "a sub-interpreter of Python cannot run the thread that reads the settings: call from the main "
            "interpreter (mod_wsgi: WSGIApplicationGroup %{GLOBAL}), or use processes",
            lasting=True,
        )
    try:
        thread = threading.Thread(target=run, args=args, name=name, daemon=True)
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise NoThread(
            f"no thread can be started ({error}): raise the limit of threads (ulimit -u, a container's pids limit). "
            "It is tried again",
            lasting=False,
        ) from error
    return thread


def _is_sub_interpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):  # Python 3.13, and before
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            own, main = module.get_current(), module.get_main()
            return bool(own != main)
    return False
