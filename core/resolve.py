"""Resolve the LLM settings in force, and the key, in nanoseconds.

    from core.resolve import resolve

    settings = resolve("openai")
    client = openai.OpenAI(**settings.client_options())
    client.chat.completions.create(messages=..., **settings.request_options())

At import this module needs the standard library alone; the driver is imported by the refresh thread.
"""

import atexit
import contextlib
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core import embedded
from core.config import get_config
from core.crypto import KeyRing, load_ring
from core.effective import EffectiveSettings, Source, build, layer_of, provider_of, read_json
from core.errors import BadKey, CoreError, StoreUnavailable
from core.parameters import PARAMETERS

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import DictRow

__all__ = ["EffectiveSettings", "Resolver", "Source", "resolve"]

CHANNEL = "llm_settings"
FIRST_WAIT = 2.0
"""Longest that a caller waits, in seconds, for the first snapshot; after that nobody waits for anything."""
HEARTBEAT = 2.0
"""Seconds after which the generation is read even without a notice: one may have been lost."""
POLL = 0.5
"""Longest wait for one notice, in seconds; how soon a closed resolver's thread ends."""
SPACING = 0.02
"""Shortest time between two loads, in seconds: a burst of changes is read once."""
BACKOFF = (0.1, 2.0)

_PROVIDERS = """
    SELECT id, name, display_name, kind, api_base_url, default_model, is_active, version, field_changes,
           api_key_encrypted, api_key_key_id, api_key_binding
    FROM llm_providers
"""
_SETTINGS = f"""
    SELECT id, provider_id, version, field_changes, preferred_model, omitted_parameters, custom_settings,
           {", ".join(PARAMETERS)}
    FROM llm_settings WHERE is_active AND organization_id IS NULL
    ORDER BY provider_id NULLS FIRST
"""  # noqa: S608 - the names are constants of core.effective

_log = logging.getLogger(__name__)


class Resolver:
    """Answers from an immutable snapshot that one background thread keeps up to date.

    Args:
        url: The database; None: the one of the environment, else an existing embedded cluster.
        ring: The encryption keys; None: those of the environment.
    """

    __slots__ = (
        "__weakref__",
        "_answers",
        "_changed",
        "_connected",
        "_deadline",
        "_first",
        "_generation",
        "_ring",
        "_stop",
        "_thread",
        "_url",
        "_verified_at",
    )

    def __init__(self, url: str | None = None, *, ring: KeyRing | None = None) -> None:
        self._url, self._ring = url, ring
        self._answers: dict[str, EffectiveSettings] = {}
        self._generation = (-1, "")
        self._verified_at = float("-inf")
        self._connected: bool | None = None
        self._thread: threading.Thread | None = None
        self._reset()
        _resolvers.add(self)

    def resolve(self, provider: str) -> EffectiveSettings:
        """Return the effective settings of *provider*; never raises, never waits for the network once it has a snapshot.

        Only the first call of a process waits, at most ``FIRST_WAIT`` seconds. An unknown name, or no store and no
        snapshot, gives the built-in defaults with a ``status`` that says so.
        """
        try:
            return self._answers[provider]
        except (KeyError, TypeError):
            return self.miss(provider)

    def miss(self, provider: object) -> EffectiveSettings:
        """Answer for a name that is not in the snapshot; waits for the first one if there is none yet."""
        if self._generation[0] < 0:
            self.start()
            self._first.wait(max(0.0, self._deadline - time.monotonic()))
        name = provider if isinstance(provider, str) else f"<{type(provider).__name__}>"
        if self._generation[0] < 0:
            return build(None, (), name=name, missing="store_unavailable")
        return self._answers.get(name) or build(None, (), name=name, generation=self._generation[0])

    def start(self) -> None:
        """Start the refresh thread, if it is not running yet; does not wait for it."""
        with self._changed:
            if self._thread is None and not self._stop.is_set():
                self._deadline = time.monotonic() + FIRST_WAIT
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="llm-settings", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the refresh thread; what was resolved stays as it is."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(POLL * 4)

    @property
    def generation(self) -> int:
        """The generation of the snapshot; -1 before the first."""
        return self._generation[0]

    @property
    def stale(self) -> bool:
        """Whether the store is out of reach, so that changes are not seen."""
        return not self._connected

    def age(self) -> float:
        """Return the seconds since the snapshot was last known to agree with the store; infinity before the first."""
        return time.monotonic() - self._verified_at

    def wait_for(self, generation: int, timeout: float) -> bool:
        """Wait until the snapshot has reached *generation*, at most *timeout* seconds; returns whether it has."""
        self.start()
        with self._changed:
            return self._changed.wait_for(lambda: self._generation[0] >= generation, timeout)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._first = threading.Event()
        self._thread = None
        self._deadline = 0.0

    def _after_fork(self) -> None:
        """In the child: the snapshot stays, the thread is gone; the connection is the parent's and is not touched."""
        running, closed = self._thread is not None, self._stop.is_set()
        self._reset()
        if closed:
            self._stop.set()
        elif running:
            self.start()

    def _run(self, stop: threading.Event) -> None:
        least, most = BACKOFF
        wait = least
        while not stop.is_set():
            try:
                with self._listening() as connection:
                    wait = least
                    self._follow(connection, stop)
            except Exception as error:  # noqa: BLE001 - whatever ends a connection, the next one is tried
                self._note(connected=False, why=error)
                self._first.set()
            stop.wait(wait * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, not a secret
            wait = min(wait * 2, most)

    @contextlib.contextmanager
    def _listening(self) -> "Iterator[Connection[DictRow]]":
        import psycopg  # noqa: PLC0415 - keeps the import of this module lean
        from psycopg.rows import dict_row  # noqa: PLC0415 - keeps the import of this module lean
        from psycopg.types.json import set_json_loads  # noqa: PLC0415 - keeps the import of this module lean

        with psycopg.connect(
            self._find_store(),
            autocommit=True,
            row_factory=dict_row,
            application_name="llm-settings resolver",
            connect_timeout=2,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=2,
            tcp_user_timeout=9000,
            options="-c statement_timeout=10s -c timezone=UTC",
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            set_json_loads(read_json, connection)  # one row that cannot be read must not take the others down
            connection.execute(f"LISTEN {CHANNEL}")  # before the first load: a notice sent in between is not lost
            yield connection

    def _find_store(self) -> str:
        if self._url is not None:
            return self._url
        config = get_config()
        if config.database_url is not None:
            return config.database_url.reveal()
        if not embedded.exists(config.data_dir):
            raise StoreUnavailable("DATABASE_URL is not set, and there is no embedded cluster in this folder.")
        return embedded.start(config.data_dir, create=False)

    def _follow(self, connection: "Connection[DictRow]", stop: threading.Event) -> None:
        ring = self._ring or _environment_ring()
        self._refresh(connection, ring)
        self._note(connected=True)
        heard = loaded = time.monotonic()
        while not stop.is_set():
            notices = list(connection.notifies(timeout=POLL, stop_after=1))
            now = time.monotonic()
            if notices or now - heard >= HEARTBEAT:
                if notices and now - loaded < SPACING:
                    stop.wait(SPACING)
                if self._refresh(connection, ring):
                    loaded = time.monotonic()
                heard = now

    def _refresh(self, connection: "Connection[DictRow]", ring: KeyRing) -> bool:
        asked_at = time.monotonic()
        with connection.transaction():
            row = connection.execute("SELECT generation, epoch FROM settings_generation").fetchone()
            if row is None:
                raise StoreUnavailable("The table settings_generation is empty.")
            generation = (row["generation"], row["epoch"])
            newer = generation != self._generation  # also when it went back: a restored database
            if newer:
                providers = connection.execute(_PROVIDERS).fetchall()
                rows = connection.execute(_SETTINGS).fetchall()
        if newer:
            self._answers = snapshot(providers, rows, ring, generation[0])
        self._verified_at = asked_at
        if newer:
            with self._changed:
                self._generation = generation
                self._changed.notify_all()
            self._first.set()
        return newer

    def _note(self, *, connected: bool, why: Exception | None = None) -> None:
        if connected is self._connected:
            return
        self._connected = connected
        if connected:
            _log.info("Settings are up to date: generation %d, %d providers.", self._generation[0], len(self._answers))
            return
        kept = f"the last snapshot (generation {self._generation[0]})" if self._answers else "built-in defaults"
        reason = str(why) if isinstance(why, CoreError) else type(why).__name__  # a driver's text may name a password
        _log.warning("The settings database is out of reach (%s); answering from %s.", reason, kept)


def snapshot(
    providers: list[dict[str, Any]], rows: list[dict[str, Any]], ring: KeyRing, generation: int
) -> dict[str, EffectiveSettings]:
    """Merge stored rows, given as column -> value, into name -> effective settings."""
    common = [layer_of(row) for row in rows if row["provider_id"] is None]
    own: Mapping[int, Any] = {row["provider_id"]: layer_of(row) for row in rows if row["provider_id"] is not None}
    return {
        row["name"]: build(
            provider_of(row, ring),
            [*common, own[row["id"]]] if row["id"] in own else common,
            generation=generation,
        )
        for row in providers
    }


def _environment_ring() -> KeyRing:
    try:
        return load_ring(get_config())
    except BadKey as error:
        _log.warning("API keys cannot be opened: %s", error)
        return KeyRing(None)


_resolvers: "weakref.WeakSet[Resolver]" = weakref.WeakSet()
_default = Resolver()


def resolve(provider: str) -> EffectiveSettings:
    """Return the effective settings of *provider*, from this process's resolver; see :meth:`Resolver.resolve`."""
    try:
        return _default._answers[provider]  # noqa: SLF001 - one lookup is the whole hot path
    except (KeyError, TypeError):
        return _default.miss(provider)


def _after_fork_in_child() -> None:
    for resolver in list(_resolvers):
        resolver._after_fork()  # noqa: SLF001 - same module


@atexit.register
def _leave() -> None:
    _default._stop.set()  # noqa: SLF001 - same module


os.register_at_fork(after_in_child=_after_fork_in_child)
