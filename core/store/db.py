"""The connection to PostgreSQL: one engine a process, one transaction a user event."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session

from .. import crypto
from ..config import get_config
from ..errors import BadKey, SchemaMismatch, StoreUnavailable
from ..once import Once
from ..postgres import dsn, embedded, names
from ..resolving.merge import read_json
from . import outages, revisions, waits

MIN_SERVER_VERSION = 150000
RETRYABLE = {"40001", "40P01"}
"""SQLSTATE of a serialization failure and of a deadlock."""
ATTEMPTS = 3
MAX_OVERFLOW = 5
OPTIONS = f"-c statement_timeout={waits.STATEMENT:.0f}s -c lock_timeout={waits.LOCK * 1000:.0f}ms -c idle_in_transaction_session_timeout=30s"

T = TypeVar("T")
_AFTER_ROLLBACK = "after_rollback"
_OTHER_SCHEMA = "other_schema"
_log = logging.getLogger(__name__)


def make_engine(url: str) -> Engine:
    """Make an engine for *url* that gives up in seconds and never prints a parameter.

    Five connections, five more under load; none free for 1.5 s is an error. How long an answer may take: :mod:`.waits`.
    The engine's own URL is for people: it has no password. Raises BadConfig if *url* has words that the driver does not know.
    """
    arguments = dsn.arguments(url, name="", connect_timeout=2, options=OPTIONS)
    shown: dict[str, str | tuple[str, ...]] = {
        name: str(arguments[name]) for name in ("host", "port") if name in arguments
    }
    engine = create_engine(
        URL.create("postgresql+psycopg", arguments.get("user"), database=arguments.get("dbname"), query=shown),
        creator=waits.opener(url, arguments, _name),  # libpq reads the URL: SQLAlchemy reads some of it otherwise
        json_deserializer=read_json,
        hide_parameters=True,  # a database error would print the sealed key, or a plain one
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=MAX_OVERFLOW,
        poolclass=waits.Pool,
    )
    waits.bound(engine)
    event.listen(engine, "connect", _check_server)
    event.listen(engine, "handle_error", _drop_what_refuses)
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))  # the parent's sockets are the parent's
    return engine


def be(what: str) -> None:
    """Have the connections of this process be called so in the server's list: ``app``; else it is the command line."""
    global _what  # noqa: PLW0603 - a fact of the process
    _what = what


_what = ""


def _name() -> str:
    try:
        keys = crypto.ids_of(get_config())
    except (BadKey, OSError):  # which the start says in words
        keys = ()
    return names.written(_what, keys)


def _check_server(connection: Any, _record: object) -> None:
    if connection.info.server_version < MIN_SERVER_VERSION:
        major = connection.info.server_version // 10_000
        raise SchemaMismatch(f"The database server is PostgreSQL {major}; LLM Settings needs PostgreSQL 15 or newer.")


def _drop_what_refuses(context: Any) -> None:
    """After a failover the old connections lead to what is a replica now: new ones may find the primary."""
    if getattr(context.original_exception, "sqlstate", None) == outages.READ_ONLY:
        context.is_disconnect = True


@Once
def get_engine() -> Engine:
    """Return the engine of this process, made on first use; without ``DATABASE_URL`` the embedded server is started."""
    config = get_config()
    return make_engine(config.database_url.reveal() if config.database_url else embedded.start(config.data_dir))


def close_engine() -> None:
    """Close the connections of this process's engine, if it was made."""
    if get_engine.is_made:
        get_engine().dispose()


def pool_figures() -> tuple[int, int]:
    """Return how many connections this process may have open, and how many are in use now."""
    pool = getattr(get_engine(), "pool", None)
    return (pool.size() + MAX_OVERFLOW, pool.checkedout()) if isinstance(pool, QueuePool) else (0, 0)


@contextmanager
def transaction() -> Iterator[Session]:
    """One unit of work: commits on leaving, rolls back on any error.

    Raises:
        StoreUnavailable: If the database cannot be reached, or does not answer in time.
    """
    saving = False
    try:
        with Session(get_engine(), expire_on_commit=False) as session:
            try:
                with session.begin():
                    yield session
                    session.flush()
                    saving = True
            except BaseException:
                _run_after_rollback(session)
                raise
    except SQLAlchemyError as error:
        unavailable = outages.outage_of(error, saving=saving)
        if unavailable is None:
            raise
        raise unavailable from error


def _shorten_locks(_session: Session, _transaction: object, connection: Connection) -> None:
    waits.shorten_locks(connection)


event.listen(Session, "after_begin", _shorten_locks)


def after_rollback(session: Session, work: Callable[[Session], object]) -> None:
    """Have *work* run in a transaction of its own, should this one be rolled back: what happened is lost, that it was refused is not."""
    session.info.setdefault(_AFTER_ROLLBACK, []).append(work)


def _run_after_rollback(session: Session) -> None:
    for work in session.info.pop(_AFTER_ROLLBACK, ()):
        try:
            with transaction() as later:
                work(later)
        except Exception:  # noqa: BLE001 - the first error is the one to be told
            _log.exception("A refusal could not be put on record")


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what keeps the database from its work into :class:`StoreUnavailable`; other database errors pass."""
    try:
        yield
    except SQLAlchemyError as error:
        unavailable = outages.outage_of(error)
        if unavailable is None:
            raise
        raise unavailable from error


def retrying(work: Callable[[Session], T]) -> T:
    """Run *work* in a transaction; again, up to three times in all, when it lost to a concurrent one.

    Raises:
        StoreUnavailable: If it lost each time, or the database cannot be reached.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction() as session:
                return work(session)
        except (DBAPIError, StoreUnavailable) as error:
            cause = error if isinstance(error, DBAPIError) else error.__cause__
            if getattr(getattr(cause, "orig", None), "sqlstate", None) not in RETRYABLE:
                raise
            if attempt == ATTEMPTS:
                raise StoreUnavailable(
                    "The database is busy with conflicting changes. Try again in a moment."
                ) from error
            threading.Event().wait(0.02 * attempt)
    raise AssertionError  # pragma: no cover - the loop returns or raises


class Transact(Protocol):
    """Runs work in a transaction of its own, as :func:`retrying`: for work that takes many of them."""

    def __call__(self, work: Callable[[Session], T]) -> T:
        """Return what *work* returns, once it is committed."""


def set_actor(session: Session, name: str) -> None:
    """Tell the triggers who changes rows in this transaction; raw SQL without it is put down to its database role.

    The same statement, so at no cost, asks for the schema's revision: see :func:`require_writable`.
    """
    query = "SELECT set_config('llm_settings.actor', :name, true), (SELECT version_num FROM alembic_version)"
    _, revision = session.execute(text(query), {"name": name}).one()
    if revision != revisions.head():
        session.info[_OTHER_SCHEMA] = revision


def require_writable(session: Session, *_: object) -> None:
    """Return when this version may write what the database has; each flush, and each event of the audit, asks.

    Raises:
        SchemaMismatch: If it may not: it was migrated meanwhile. Says what to do.
    """
    if _OTHER_SCHEMA in session.info:
        revisions.require_writable(session.connection(), session.info[_OTHER_SCHEMA])


event.listen(Session, "before_flush", require_writable)


def distinct(session: Session, column: Any, limit: int) -> list[str]:
    """Return the values of an indexed column, by one look-up each: a scan of a million rows would take a second."""
    found = select(func.min(column).label("value")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > found.c.value).scalar_subquery()
    found = found.union_all(select(following).where(found.c.value.is_not(None)))
    query = select(found.c.value).where(found.c.value.is_not(None)).limit(limit)
    return list(session.scalars(query))
