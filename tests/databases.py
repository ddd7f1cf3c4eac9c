"""Databases of tests' own: copies of a template, made ahead of who takes them and dropped behind them, by one thread a worker.

Making one takes little work, but waits for two checkpoints, as dropping it does: with a test behind each of them that was
time in which nothing was done.
"""

import contextlib
import functools
import threading
import uuid
from collections import defaultdict, deque

import psycopg

AHEAD = 1
"""How many copies of a template wait for the next test, once one was taken."""


class Databases:
    """Those of one worker on one server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._changed = threading.Condition()
        self._wanted: dict[str, int] = defaultdict(int)
        """Template -> how many copies of it ought to be ready."""
        self._ready: dict[str, deque[str]] = defaultdict(deque)
        self._over: deque[str] = deque()
        self._error: BaseException | None = None
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="databases of tests", daemon=True)
        self._thread.start()

    def take(self, template: str) -> str:
        """Return the name of a new copy of *template*, which nobody may be connected to."""
        with self._changed:
            self._wanted[template] = AHEAD
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ready[template] or self._error)
            self._raise()
            self._changed.notify_all()  # the next one
            return self._ready[template].popleft()

    def give_back(self, name: str) -> None:
        """Have it dropped soon, whoever is still connected."""
        with self._changed:
            self._over.append(name)
            self._changed.notify_all()

    def forget(self, template: str) -> None:
        """Make no more copies of a template, and drop those that wait; afterwards nothing connects to it."""
        with self._changed:
            self._wanted[template] = 0
            self._over.extend(self._ready.pop(template, ()))
            self._changed.notify_all()

    def close(self) -> None:
        """Drop all that is left, and end."""
        with self._changed:
            self._ends = True
            for template in list(self._ready):
                self.forget(template)
        self._thread.join(60)
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise RuntimeError("a test's database could not be made, or dropped") from self._error

    def _run(self) -> None:
        try:
            with psycopg.connect(self._server, autocommit=True) as connection:
                while self._step(connection):
                    pass
        except BaseException as error:  # noqa: BLE001 - whoever takes the next one has it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _step(self, connection: "psycopg.Connection[object]") -> bool:
        """Make one, or drop one where none is to be made; wait where there is nothing to do. False: it is time to end."""
        with self._changed:
            template = self._missing()
            while template is None and not self._over:
                if self._ends:
                    return False
                self._changed.wait()
                template = self._missing()
            gone = None if template else self._over.popleft()
        if template is None:
            connection.execute(f"DROP DATABASE {gone} WITH (FORCE)")  # type: ignore[call-overload]  # psycopg wants a literal
            return True
        name = f"t_{uuid.uuid4().hex[:12]}"
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # type: ignore[call-overload]  # as above
        with self._changed:
            self._ready[template].append(name)
            self._changed.notify_all()
        return True

    def _missing(self) -> str | None:
        """Return a template of which a copy is to be made."""
        if self._ends:
            return None
        with contextlib.suppress(StopIteration):
            return next(one for one, wanted in self._wanted.items() if len(self._ready[one]) < wanted)
        return None


@functools.cache
def databases_of(server: str) -> Databases:
    """Return this worker's databases on *server*."""
    return Databases(server)
