"""How a process follows the store: one background thread reads what was changed, and publishes a new snapshot.

:mod:`core.resolve` answers from it. The driver is imported by the thread.
"""

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import get_config
from ..crypto import KeyRing, ids_of, load_ring
from ..errors import BadKey, CoreError, StoreUnavailable
from ..models.knowledge import vendored
from ..postgres import lines, names, probe, threads
from . import reading, snapshot_file, unread
from .answering import Key
from .effective import EffectiveSettings
from .snapshot import Snapshot

if TYPE_CHECKING:
    from psycopg import Connection

CHANNEL = "llm_settings"
FIRST_WAIT = 2.0
"""Longest that a caller waits, in seconds, for the first snapshot; after that nobody waits for anything."""
FILE_WAIT = 0.03
"""The same where there is a snapshot file, and the database does not answer at once."""
HEARTBEAT = 2.0
"""Seconds after which the generation is read even without a notice: one may have been lost."""
UNTOLD_HEARTBEAT = 1.0
"""The same where no notices come: from a replica, or through a pooler. A change is there within 2 seconds."""
POLL = 0.5
"""Longest wait for one notice, in seconds; how soon a closed resolver's thread ends."""
SPACING = 0.02
"""Shortest time between two looks, in seconds: a burst of changes is read once."""
BACKOFF = (0.1, 2.0)
REFUSED_BACKOFF = 5.0
"""Longest wait, in seconds, before a database is asked again that has refused this process, or had no room for it."""
MOST_REASONS = 5
"""So many lines of one outage are logged: the first, and one for each reason for which the database refuses."""
FILE_SPACING, FILE_EVERY = 1.0, 300.0
"""Seconds after which the snapshot file is written again: at the earliest, and even without a change, as it says when it was
last right."""
FILE_SHARE = 5.0
"""So many times as long as the last one took it is not written again: with a million rows that is some seconds."""

_log = logging.getLogger("core.resolve")


class Started:
    """A resolver that was started: ``await`` it, or ``wait()`` for it, before the first call. Neither is needed."""

    __slots__ = ("_resolver",)

    def __init__(self, resolver: "Following") -> None:
        self._resolver = resolver

    def wait(self, timeout: float = FIRST_WAIT) -> bool:
        """Wait until the database was read, or could not be, at most *timeout* seconds; return whether it was read."""
        if self._resolver._thread is not None:  # noqa: SLF001 - same module
            self._resolver._tried.wait(timeout)  # noqa: SLF001 - same module
        return not self._resolver.stale

    def __await__(self) -> Generator[Any, Any, bool]:
        """As :meth:`wait`, in a thread of the event loop: the loop goes on."""
        import asyncio  # noqa: PLC0415 - keeps the import of this module lean

        return (yield from asyncio.to_thread(self.wait).__await__())


class Following:
    """What a process has of the store, kept up to date by one thread; see :class:`core.resolve.Resolver`."""

    __slots__ = (
        "__weakref__",
        "_answers",
        "_changed",
        "_connected",
        "_deadline",
        "_file",
        "_file_at",
        "_file_took",
        "_file_written",
        "_first",
        "_not_before",
        "_only",
        "_reason",
        "_reasons",
        "_ring",
        "_ring_given",
        "_scoped",
        "_snapshot",
        "_stop",
        "_thread",
        "_tried",
        "_url",
        "_verified_at",
    )
    _not_before: float

    def __init__(
        self,
        url: str | None = None,
        *,
        ring: KeyRing | None = None,
        snapshot_file: Path | None = None,
        organizations: Iterable[str] | None = None,
    ) -> None:
        self._url, self._ring_given, self._file = url, ring, snapshot_file
        self._only = None if organizations is None else tuple(organizations)
        self._ring = ring or KeyRing(None)
        self._answers: dict[str | None, EffectiveSettings] = {}
        self._scoped: dict[Key, EffectiveSettings] = {}
        self._snapshot: Snapshot | None = None
        self._verified_at = float("-inf")
        self._connected: bool | None = None
        self._reason: str | None = None
        self._reasons: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None
        self._file_at, self._file_written, self._file_took = float("-inf"), True, 0.0
        self._reset()
        _resolvers.add(self)

    def start(self) -> Started:
        """Start the refresh thread, if it is not running yet; does not wait for it. What it returns can be awaited.

        Where no thread can be started it does not raise: :attr:`EffectiveSettings.cure` says why, and it is tried again.
        """
        with self._changed:
            if self._thread is None and not self._stop.is_set() and time.monotonic() >= self._not_before:
                if self._url is None:
                    with contextlib.suppress(CoreError):  # the thread meets it again, and says so
                        self._file = self._file or get_config().snapshot_file
                        self._only = self._only if self._only is not None else get_config().organizations
                self._deadline = time.monotonic() + (FILE_WAIT if self._file else FIRST_WAIT)
                try:
                    self._thread = threads.start(self._run, "llm-settings", self._stop)
                except threads.NoThread as error:
                    self._not_before = time.monotonic() + threads.AGAIN
                    self._note(connected=False, why=error)
                self._answer_from(self._snapshot)
        return Started(self)

    def close(self) -> None:
        """End the refresh thread; what was resolved stays as it is."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(POLL * 4)

    @property
    def generation(self) -> int:
        """The generation of the snapshot; -1 before the first."""
        return -1 if self._snapshot is None else self._snapshot.generation

    @property
    def stale(self) -> bool:
        """Whether the store is out of reach, so that changes are not seen."""
        return not self._connected

    @property
    def unread(self) -> tuple[str, ...]:
        """What is known of models and cannot be read, and why, in sentences: the catalogue's and the database's rows.

        Settings are resolved without it. Empty if all is well.
        """
        return (vendored() if self._snapshot is None else self._snapshot.knowledge).problems

    def age(self) -> float:
        """Return the seconds since the snapshot was last known to agree with the store; infinity before the first.

        After a start from the snapshot file this goes by the machine's clock, later by one that nobody sets.
        """
        return time.monotonic() - self._verified_at

    def names(self) -> list[str]:
        """Return the names of all providers of the snapshot, sorted; waits as the first :meth:`resolve` does."""
        found = self._snapshot or self._first_snapshot()
        return found.names() if found else []

    def wait_for(self, generation: int, timeout: float) -> bool:
        """Wait until the snapshot has reached *generation*, at most *timeout* seconds; returns whether it has."""
        self.start()
        with self._changed:
            return self._changed.wait_for(lambda: self.generation >= generation, timeout)

    def _first_snapshot(self) -> Snapshot | None:
        self.start()
        while (
            self._thread is not None and (left := self._deadline - time.monotonic()) > 0 and not self._first.wait(left)
        ):
            pass  # the deadline is put off once the database has answered
        self._fall_back()
        return self._snapshot

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._first, self._tried = threading.Event(), threading.Event()
        self._thread = None
        self._deadline = 0.0
        self._not_before = float("-inf")

    def _after_fork(self) -> None:
        """In the child: the snapshot stays, the thread is gone; the connection is the parent's and is not touched."""
        running, closed = self._thread is not None, self._stop.is_set()
        self._reset()
        if closed:
            self._stop.set()
        elif running:
            self.start()

    def _run(self, stop: threading.Event) -> None:
        import random  # noqa: PLC0415 - keeps the import of this module lean

        least, most = BACKOFF
        wait = least
        unread.look_at_catalogue()
        if self._file is not None and self._snapshot is None:
            self._look_before()
        while not stop.is_set():
            try:
                with self._connection() as connection:
                    self._follow(connection, stop)
                    wait = least
            except Exception as error:  # noqa: BLE001 - whatever ends a connection, the next one is tried
                if stop.is_set():
                    return  # nobody asks any more: that the database goes too is no news
                wait = least if self._connected else wait
                self._fall_back()
                most = REFUSED_BACKOFF if self._note(connected=False, why=error) else BACKOFF[1]
                self._first.set()
                self._tried.set()
            stop.wait(wait * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, not a secret
            wait = min(wait * 2, most)

    def _look_before(self) -> None:
        """Let the first callers wait for a database that answers, and have the file's settings where it does not."""
        with contextlib.suppress(CoreError):
            url = self._url if self._url is not None else get_config().database_url
            if url is None or probe.answers(url if isinstance(url, str) else url.reveal()):
                self._deadline += FIRST_WAIT
                return
        self._fall_back()
        if self._snapshot is not None:
            self._note(connected=False, why=StoreUnavailable("no answer: check DATABASE_URL, and that the server runs"))
            self._first.set()

    def _fall_back(self) -> None:
        """Take the snapshot file, where there is nothing better."""
        with self._changed:
            if self._file is None or self._snapshot is not None:
                return
            saved = snapshot_file.read(self._file)
            if saved is not None:
                self._verified_at = time.monotonic() - (time.time() - saved.verified_at)
                self._publish(saved.snapshot)

    def _explain(self, reason: str) -> None:
        """Keep for `cure` why the database is out of reach; answers that say otherwise are made anew."""
        if reason != self._reason:
            self._reason = reason
            if self._snapshot is not None and not self._snapshot.has_keys:
                self._snapshot.answers.clear()
                self._snapshot.scoped.clear()

    def _publish(self, found: Snapshot) -> None:
        self._snapshot = found
        self._answer_from(found)
        self._changed.notify_all()

    def _answer_from(self, found: Snapshot | None) -> None:
        """Have callers look up what was merged already; without a thread each of them comes by :meth:`miss`."""
        if found is None or self._thread is None:
            self._answers, self._scoped = {}, {}
        else:
            self._answers, self._scoped = found.answers, found.scoped

    @contextlib.contextmanager
    def _connection(self) -> "Iterator[Connection[Any]]":
        url = self._url if self._url is not None else lines.find_store()
        connection = lines.connect(url, names.written("resolver", self._key_ids()))
        with contextlib.closing(connection):
            yield connection

    def _key_ids(self) -> tuple[str, ...]:
        if self._ring_given is not None:
            return self._ring_given.ids
        with contextlib.suppress(CoreError, OSError):  # loading the ring says what is wrong
            return ids_of(get_config())
        return ()

    def _follow(self, connection: "Connection[Any]", stop: threading.Event) -> None:
        self._ring = self._ring_given or _environment_ring()
        is_told = _listen(connection)  # before the first load: a notice sent in between is not lost
        self._refresh(connection, afresh=True)  # the database may be another one: restored, or a replica that took over
        self._note(connected=True)
        self._tried.set()
        heard = time.monotonic()
        while not stop.is_set():
            self._keep()
            notices = list(connection.notifies(timeout=POLL, stop_after=1))
            since = time.monotonic() - heard
            if not notices and since < (HEARTBEAT if is_told else UNTOLD_HEARTBEAT):
                continue
            if since < SPACING:
                stop.wait(SPACING - since)
                for _ in connection.notifies(timeout=0):
                    pass  # the rest of a burst
            heard = time.monotonic()
            is_told = is_told or _listen(connection)  # a replica may have been promoted
            self._refresh(connection)

    def _refresh(self, connection: "Connection[Any]", *, afresh: bool = False) -> None:
        """Take over what was committed since the last look."""
        asked_at, old = time.monotonic(), self._snapshot
        new = None if old is None or afresh else reading.update(connection, old)
        new = new or reading.load(connection, self._only)
        self._verified_at = asked_at
        if new is not old and (old is None or not new.is_like(old)):
            unread.look(new, old)
            with self._changed:
                self._publish(new)
            self._file_written = False
            self._has_changed()
        self._first.set()

    def _has_changed(self) -> None:
        """What follows a change that is in force: for whoever builds on this to say."""

    def _keep(self) -> None:
        """Write the snapshot file, where there is one, and something to say."""
        if self._file is None or self._snapshot is None:
            return
        now = time.monotonic()
        spacing = FILE_EVERY if self._file_written else FILE_SPACING
        if now - self._file_at < max(spacing, FILE_SHARE * self._file_took):
            return
        self._file_written, self._file_at = True, now
        try:
            snapshot_file.write(self._file, self._snapshot, time.time() - self.age())
        except OSError as error:
            _log.warning("The snapshot file %s cannot be written: %s.", self._file, error.strerror)
        self._file_took = time.monotonic() - now

    def _note(self, *, connected: bool, why: Exception | None = None) -> bool:
        """Keep the state and its reason, and log what is new; return whether the database refuses, which waits longer."""
        reason, refuses = ("", False) if why is None else _reason(why)
        if not connected:
            self._explain(f"The database cannot be reached: {reason.rstrip('.')}.")
        if connected is self._connected and (
            not refuses or reason in self._reasons or len(self._reasons) >= MOST_REASONS
        ):
            return refuses
        self._reasons = frozenset({reason, *(self._reasons if connected is self._connected else ())})
        self._connected = connected
        found = self._snapshot
        if connected:
            _log.info("Settings are up to date: generation %d, %d providers.", self.generation, len(self.names()))
            return refuses
        kept = "built-in defaults"
        if found is not None:
            name = "the last snapshot" if found.has_keys else f"the snapshot file, {self.age():.0f} seconds old,"
            kept = f"{name} (generation {found.generation})"
        _log.warning("The settings database is out of reach (%s); answering from %s.", reason, kept)
        return refuses


def _listen(connection: "Connection[Any]") -> bool:
    """Have changes told on *connection*, where that holds; return whether they are."""
    if not lines.is_direct(connection):
        return False
    connection.execute(f"LISTEN {CHANNEL}")
    return True


def _reason(error: Exception) -> tuple[str, bool]:
    """Return what *error* is to people, and whether the database refuses; a driver's own text may name a password."""
    from ..postgres import refusals  # noqa: PLC0415 - keeps the import of this module lean

    if isinstance(error, CoreError | threads.NoThread):
        return str(error), False
    if isinstance(error, ImportError):
        return "the database driver cannot be loaded: install psycopg[binary]", True
    found = refusals.read(error)
    if found is None:
        return f"{type(error).__name__}: check DATABASE_URL and that the server runs", False
    return str(found), found.lasting or found.sqlstate == refusals.FULL


def _environment_ring() -> KeyRing:
    try:
        return load_ring(get_config())
    except BadKey as error:
        _log.warning("API keys cannot be opened: %s", error)
        return KeyRing(None)


_resolvers: "weakref.WeakSet[Following]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in list(_resolvers):
        each._after_fork()  # noqa: SLF001 - same module


os.register_at_fork(after_in_child=_after_fork_in_child)
