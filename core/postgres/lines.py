"""Where the store is, and a background thread's own connection to it, on which a line that fell silent is found out.

The connection may lead through a pooler that gives each transaction another session of the server. So nothing is asked
for at its start that PgBouncer refuses, nothing is set for longer than a transaction (it would stay on the shared session
for everybody else), and nothing is prepared: each transaction begins with what :func:`limits_of` says.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ..config import get_config
from ..errors import StoreUnavailable
from . import dsn

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

PATIENCE: Final = 10.0
"""Longest wait for an answer of the database, in seconds; then the line counts as dead."""
OWN_PATH: Final = "SET LOCAL search_path TO DEFAULT"
"""On a shared session another program may have left its own, as what pg_dump writes does."""
LIMITS: Final = f"SET LOCAL statement_timeout = '10s'; {OWN_PATH}"
"""The first statements of each transaction, where the URL has no limit of its own. No time zone: each moment that is written
or compared has one."""

_importing = threading.RLock()
"""Held while a thread imports the driver: a fork in the middle would leave the child half of it, for good."""
os.register_at_fork(before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release)


def connect(url: str, name: str) -> "Connection[Any]":
    """Return a connection that commits by itself; *name* is what the server's list of connections shows.

    Raises:
        BadConfig: If *url* has words that the driver does not know.
        psycopg.Error: If the server cannot be reached. On the connection itself StoreUnavailable, once the server has not
            answered for :data:`PATIENCE`.
    """
    with _importing:
        import psycopg  # noqa: PLC0415 - keeps the import of the resolver lean

    class Impatient(psycopg.Connection[Any]):
        """The kernel's keepalives see no more than the next machine, which may be a proxy."""

        limits = LIMITS

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            begun = time.monotonic()
            try:
                return super().wait(gen, interval, PATIENCE if timeout is None else timeout)
            except psycopg.OperationalError:
                if timeout is None and time.monotonic() - begun >= PATIENCE:
                    self.pgconn.finish()  # else ending what was begun would wait as long again
                    raise StoreUnavailable(f"no answer in {PATIENCE:.0f} seconds") from None
                raise

    watched = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2, "tcp_user_timeout": 9000}
    arguments = dsn.arguments(url, name=name, connect_timeout=2, options="")
    connection = Impatient.connect(autocommit=True, prepare_threshold=None, **{**watched, **arguments})
    connection.limits = OWN_PATH if "statement_timeout" in arguments.get("options", "") else LIMITS
    return connection


def limits_of(connection: "Connection[Any]") -> str:
    """Return the first statements of each transaction on *connection*; none is a limit where the URL has its own."""
    return str(getattr(connection, "limits", LIMITS))


def begin(connection: "Connection[Any]", statements: str, how: str) -> "Cursor[Any]":
    """Begin a transaction in one round trip with its limits; return the results of *statements*.

    Args:
        connection: Of :func:`connect`.
        statements: They go with it, and may end it.
        how: ``BEGIN``, with its modes.
    """
    before = f"{how}; {limits_of(connection)}"
    cursor = connection.execute(f"{before}; {statements}".encode())
    for _ in before.split(";"):
        cursor.nextset()
    return cursor


@contextlib.contextmanager
def transaction(connection: "Connection[Any]") -> "Iterator[None]":
    """A transaction with its limits; one inside another is a savepoint."""
    with connection.transaction():
        connection.execute(limits_of(connection))
        yield


def is_direct(connection: "Connection[Any]") -> bool:
    """Return whether LISTEN holds on *connection*: not where a pooler stands in between, nor on a replica.

    A pooler hands out numbers of its own for the server's processes. In PgBouncer's session mode LISTEN would hold, but
    nothing tells that mode from the others without leaving something behind in one of the others.
    """
    cursor = begin(connection, "SELECT pg_backend_pid(), pg_is_in_recovery(); COMMIT", "BEGIN READ ONLY")
    row = cursor.fetchone()
    return row is not None and row == (connection.info.backend_pid, False)


def find_primary() -> str:
    """Return the URL for what is written: ``LLM_WRITE_DATABASE_URL``, else as :func:`find_store`, and with its errors."""
    config = get_config()
    return config.write_database_url.reveal() if config.write_database_url is not None else find_store()


def find_store() -> str:
    """Return the URL of this process's database: ``DATABASE_URL``, or an existing embedded cluster, which is started.

    Raises:
        StoreUnavailable: If there is neither, or the cluster does not start.
        BadConfig: If the environment is wrong.
    """
    config = get_config()
    if config.database_url is not None:
        return config.database_url.reveal()
    from . import embedded  # noqa: PLC0415 - not where there is a DATABASE_URL

    if not embedded.exists(config.data_dir):
        raise StoreUnavailable("DATABASE_URL is not set, and there is no embedded cluster in this folder.")
    return embedded.start(config.data_dir, create=False)
