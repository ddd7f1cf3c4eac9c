"""Bring the database's schema to this version's, by Alembic."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from ..errors import SchemaMismatch, StoreUnavailable
from . import drift, waits
from .db import ATTEMPTS, RETRYABLE, store_errors
from .tables import Table

_LOCK = 0x6C6C6D73  # "llms": two processes that migrate at once take turns
_CORE = Path(__file__).parent.parent


def scripts_folder() -> Path:
    """Return the folder of the migrations: inside the package in a wheel, beside it in a checkout."""
    packed = _CORE / "migrations"
    return packed if packed.is_dir() else _CORE.parent / "migrations"


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
    _refuse_newer(_current(connection))
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


def _apply(connection: Connection, step: object, revision: str) -> None:
    config = AlembicConfig(attributes={"connection": connection, "metadata": Table.metadata})
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    step(config, revision)  # type: ignore[operator]  # alembic.command's functions are untyped


def _run(engine: Engine, step: object, revision: str, after: Callable[[Connection], object] = lambda _: None) -> bool:
    with store_errors(), engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        waits.allow(connection, None)
        connection.execute(text("SET lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        try:
            before = _current(connection)
            _refuse_newer(before)
            _apply(connection, step, revision)
            changed = _current(connection) != before
            if changed:
                after(connection)
            connection.commit()
            return changed
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.execute(text("RESET ALL"))
            connection.commit()


def check(engine: Engine) -> None:
    """Return when the schema is this version's.

    Raises:
        SchemaMismatch: If it is older, newer or missing; names the command to run.
        StoreUnavailable: If the database cannot be reached.
    """
    with store_errors(), engine.connect() as connection:
        current = _current(connection)
    _refuse_newer(current)
    if current != head():
        state = "is older than this version needs" if current else "has no tables of LLM Settings yet"
        raise SchemaMismatch(f"The database {state}. Run: python -m core migrate")


def differences(engine: Engine) -> list[object]:
    """Return how the migrated schema differs from what this version describes; empty when it does not.

    As ``alembic check`` sees it, and what that does not see: CHECKs, defaults, triggers, functions (:mod:`.drift`).
    """
    with engine.connect() as connection:
        found = list(compare_metadata(MigrationContext.configure(connection), Table.metadata))
    return [*found, *drift.differences(engine)]


def revision_of(connection: Connection) -> str | None:
    """Return the revision that the database says it is at, also one that this version does not know; None without any."""
    return _current(connection)


def head() -> str:
    """Return the newest revision this version knows."""
    return _scripts().get_current_head() or ""


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(scripts_folder()))


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(current: str | None) -> None:
    if current is not None and current not in {script.revision for script in _scripts().walk_revisions()}:
        raise SchemaMismatch(
            f"The database was migrated by a newer version of LLM Settings (revision {current[:20]}). "
            "Install that version, or a newer one."
        )
