"""Who keeps a migration waiting: looked at while it waits, since afterwards nobody can tell."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import StoreUnavailable
from ..redaction import harmless, scrub
from . import outages

EVERY: Final = 0.2
"""Seconds between two looks."""
SHOWN: Final = 5

_LOOK: Final = text("""
    SELECT coalesce(l.relation::regclass::text, ''), b.pid, coalesce(a.application_name, ''), coalesce(a.usename, ''),
        to_char(a.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS')
    FROM unnest(pg_blocking_pids(:pid)) AS b(pid)
    LEFT JOIN pg_locks l ON l.pid = :pid AND NOT l.granted
    LEFT JOIN pg_stat_activity a ON a.pid = b.pid
    ORDER BY a.xact_start
""")


@contextmanager
def named(engine: Engine, connection: Connection) -> Iterator[None]:
    """While *connection* migrates, watch who holds it up; a wait that was too long is told with their names.

    Raises:
        StoreUnavailable: If a lock was not to be had: which table, by which processes of the server, and what to do.
    """
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    connection.rollback()
    ends, seen = threading.Event(), list[Any]()

    def watch() -> None:
        with suppress(SQLAlchemyError), engine.connect() as other:
            while not ends.wait(EVERY):
                if found := other.execute(_LOOK, {"pid": pid}).all():
                    seen[:] = found
                other.rollback()

    watcher = threading.Thread(target=watch, name="llm-settings blockers", daemon=True)
    watcher.start()
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != outages.LOCKED or not seen:
            raise
        raise StoreUnavailable(_words(seen)) from error
    finally:
        ends.set()
        watcher.join(10)


def _words(seen: list[Any]) -> str:
    table = seen[0][0]
    what = f"Table {table}" if table else "What one migration at a time may hold"
    who = [
        f"process {pid} ({', '.join(filter(None, (harmless(scrub(name)) or 'no name', f'user {user}' if user else '', f'since {since} UTC' if since else '')))})"
        for _, pid, name, user, since in seen[:SHOWN]
    ]
    more = f" and {len(seen) - SHOWN} more" if len(seen) > SHOWN else ""
    return (
        f"{what} is in use by {', '.join(who)}{more}. The schema is as it was. Run it again when that is done, or end it: "
        f"SELECT pg_terminate_backend({seen[0][1]})."
    )
