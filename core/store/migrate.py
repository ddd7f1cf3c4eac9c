"""Bring the database's schema to this version's, by Alembic."""

from collections.abc import Callable

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from ..errors import StoreUnavailable
from . import blockers, drift, outages, revisions, waits
from .db import ATTEMPTS, RETRYABLE, store_errors
from .tables import METADATA

_LOCK = 0x6C6C6D73  # "llms": two processes that migrate at once take turns
_IN_ORDER = ("users", "api_tokens", "llm_providers", "llm_settings")
"""Tables that a request reads one after the other, in this order. A migration that had a later one already, and wanted an
earlier one, would make a deadlock with it, and the server might end the request."""
_OWNERS = (
    "The database role may not do this: migrating takes the role that owns the tables, or may create them. Name it in "
    "DATABASE_URL. The schema is as it was."
)


def upgrade(engine: Engine, revision: str = "head") -> bool:
    """Migrate up to *revision*; returns whether anything was done. Two at once are safe: the second waits, then finds it done.

    Raises:
        SchemaMismatch: If the schema is newer than this version.
        StoreUnavailable: If the database cannot be reached, or somebody holds a table locked.
    """
    return _again(lambda: _run(engine, command.upgrade, revision))


def downgrade(engine: Engine, revision: str, after: Callable[[Connection], object] = lambda _: None) -> bool:
    """Migrate down to *revision*; ``base`` removes everything this product stores.

    *after* is called in the same transaction, once the step is done: what has to be on record with it.
    """
    return _again(lambda: _run(engine, command.downgrade, revision, after))


def upgrade_within(connection: Connection) -> None:
    """Make this version's tables in the transaction of *connection*, which its caller commits; for a database that has none.

    Raises:
        SQLAlchemyError: What the server says.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    _apply(connection, command.upgrade, "head")


def downgrade_within(connection: Connection, revision: str) -> None:
    """Migrate down to *revision* in the transaction of *connection*, which its caller commits, or rolls back to see what goes."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    _refuse_newer(connection)
    _apply(connection, command.downgrade, revision)


def _again(work: Callable[[], bool]) -> bool:
    """Do it again when it lost to a writer: a migration locks tables one after the other, and so do those who write meanwhile."""
    for _ in range(ATTEMPTS - 1):
        try:
            return work()
        except StoreUnavailable as error:
            if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) not in RETRYABLE:
                raise
    return work()


def _lock(connection: Connection) -> None:
    """Lock what requests read, in their order, for the moment that a migration takes: it waits for them, not they for it."""
    there = [table for table in _IN_ORDER if connection.scalar(text("SELECT to_regclass(:table)"), {"table": table})]
    if there:
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(text(f"LOCK TABLE {', '.join(there)} IN ACCESS EXCLUSIVE MODE"))


def _apply(connection: Connection, step: object, revision: str) -> None:
    if _current(connection) != (head() if revision == "head" else revision):
        _lock(connection)
    config = AlembicConfig(attributes={"connection": connection, "metadata": METADATA})
    config.set_main_option("script_location", str(revisions.scripts_folder()).replace("%", "%%"))
    step(config, revision)  # type: ignore[operator]  # alembic.command's functions are untyped
    revisions.note(connection)


def _run(engine: Engine, step: object, revision: str, after: Callable[[Connection], object] = lambda _: None) -> bool:
    with store_errors(), engine.connect() as connection, blockers.named(engine, connection):
        connection.execute(text("SET statement_timeout = 0"))
        waits.allow(connection, None)
        connection.execute(text("SET lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        try:
            before = _current(connection)
            _refuse_newer(connection)
            _apply(connection, step, revision)
            changed = _current(connection) != before
            if changed:
                after(connection)
            connection.commit()
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != outages.NO_RIGHT:
                raise
            raise StoreUnavailable(_OWNERS) from error
        else:
            return changed
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.execute(text("RESET ALL"))
            connection.commit()


def check(engine: Engine) -> revisions.SchemaState:
    """Return what the schema is to this version, when it may work there: ``ok``, or a newer one that says so.

    Raises:
        SchemaMismatch: If it is older, newer or missing; names the command to run.
        StoreUnavailable: If the database cannot be reached.
    """
    with store_errors(), engine.connect() as connection:
        current = _current(connection)
        found = revisions.state(connection, current)
    if found not in {"ok", "newer", "newer_read_only"}:
        raise revisions.mismatch(found, current)
    return found


def differences(engine: Engine) -> list[object]:
    """Return how the migrated schema differs from what this version describes; empty when it does not.

    As ``alembic check`` sees it, and what that does not see: CHECKs, defaults, triggers, functions (:mod:`.drift`).
    """
    with engine.connect() as connection:
        found = list(compare_metadata(MigrationContext.configure(connection), METADATA))
    return [*found, *drift.differences(engine)]


def revision_of(connection: Connection) -> str | None:
    """Return the revision that the database says it is at, also one that this version does not know; None without any."""
    return _current(connection)


def head() -> str:
    """Return the newest revision this version knows."""
    return revisions.head()


def _current(connection: Connection) -> str | None:
    return revisions.current(connection)


def _refuse_newer(connection: Connection) -> None:
    found = revisions.state(connection)
    if found in {"newer", "newer_read_only", "unknown"}:
        raise revisions.mismatch("unknown", _current(connection))
