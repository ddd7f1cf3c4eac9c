"""The whole store, from the server it is on to another one: what docs/backup.md calls the move.

All or nothing: the target is written in one transaction, which is committed once everything in it was found to be as it is
here. The source is read, kept from being written meanwhile, and left as it is.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from ..actors import Actor
from ..audit import chain
from ..audit.record import Target, record
from ..crypto import KeyRing
from ..errors import Forbidden, Invalid, StoreUnavailable
from ..postgres.names import RESOLVER
from ..store import contents, db, migrate, sealed, waits
from ..wording import counted
from . import keys

PACE: Final = 6_000_000
"""Bytes of tables and indexes a second, copied and checked: rather less than was measured."""
_MADE: Final = ("schema.migrate", "schema.migrate_down")
"""What may be on record in tables that nobody has used yet."""
_NOT_DATA: Final = {
    *("audit_events", "audit_head", "settings_generation", "encryption_canaries", "jobs", "installation"),
    *("settings_generations", "settings_history", "settings_presets"),
}
"""Tables that have rows before anybody has stored something; the events in them are looked at one by one."""


class Plan(NamedTuple):
    """What a move would do."""

    tables: tuple[contents.Held, ...]
    """Those that have rows."""
    seconds: int
    """How long it takes, about."""
    replaces: bool
    """Whether the target has our tables, made and not used yet, which would be made anew."""


class Moved(NamedTuple):
    """What a move has done, and found to be the same on both servers."""

    rows: int
    generation: int
    head: chain.Head
    """Of the audit as it was before the move, whose event comes after it."""
    chain: str
    """What is wrong in the audit's chain, there as here; empty if nothing is."""
    canary: keys.Canary
    api_keys: int
    unreadable: int
    """Of these, here as there."""


class _State(NamedTuple):
    """What has to be the same on both sides."""

    rows: dict[str, contents.Sum]
    generation: int
    verdict: chain.ChainVerdict
    canary: keys.Canary
    keys: tuple[sealed.Tried, ...]


def plan(source: Engine, target: Engine) -> Plan:
    """Return what :func:`move` would do; changes nothing.

    Raises:
        Forbidden, Invalid: If it would be refused; says why, and the cure.
        StoreUnavailable: If one of the two cannot be reached, or is of a version before 15.
    """
    with db.store_errors():
        with source.connect() as here:
            _require_source(here)
            found = [table for table in contents.held(here) if table.rows]
        with target.connect() as there:
            replaces = _require_target(there)
    size = sum(table.size for table in found)
    return Plan(tuple(found), 1 + size // PACE, replaces)


def move(source: Engine, target: Engine, actor: Actor, ring: KeyRing, done: Callable[[contents.Held], object]) -> Moved:
    """Copy everything from *source* to *target*, compare, and commit.

    Args:
        source: The store as it is; its schema is this version's.
        target: A database without data. Its role becomes the tables' owner.
        actor: For the event that the target's audit gets.
        ring: Of this process: what it can open here it has to open there.
        done: Is called with each table once it is copied.

    Raises:
        Forbidden, Invalid, StoreUnavailable: As :func:`plan`; nothing is changed then.
    """
    with db.store_errors(), source.connect() as here, target.connect() as there:
        for connection in (here, there):
            waits.allow(connection, None)
        here.execution_options(isolation_level="REPEATABLE READ")
        with here.begin(), there.begin():
            _lock_tables(here)
            _require_source(here)
            if _require_target(there):
                migrate.downgrade_within(there, "base")
            migrate.upgrade_within(there)
            for connection in (here, there):
                contents.look_alike(connection)
            for table in contents.copy_all(here, there):
                done(table)
            before = _state(here, ring)
            _compare(before, _state(there, ring), contents.switched_off(there))
            rows = sum(found.rows for found in before.rows.values())
            there.execute(text("UPDATE settings_generation SET epoch = gen_random_uuid()::text"))  # another history
            with Session(there) as session:
                record(session, actor, "store.move", Target("schema", None, migrate.head()), {"rows": (None, rows)})
                session.flush()
    bad = sum(one.state != "ok" for one in before.keys)
    verdict = before.verdict
    return Moved(rows, before.generation, verdict.head, verdict.problem, before.canary, len(before.keys), bad)


def _require_source(here: Connection) -> None:
    owns = "SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = 'audit_events'::regclass"
    if not here.scalar(text(owns)):
        raise Forbidden("Moving takes the role that owns the tables: name it in DATABASE_URL.")
    others: Any = here.execute(  # of another role's session an owner sees the name, and not what sort it is
        text(
            "SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND usesysid IS NOT NULL"
            " AND coalesce(backend_type, 'client backend') = 'client backend' AND NOT starts_with(application_name, :name)"
            " ORDER BY pid"
        ),
        {"name": RESOLVER},
    )
    if named := [f"{name or 'a program without a name'} (pid {pid})" for pid, name in others]:
        raise Invalid(
            {
                "store": f"is in use by {', '.join(named[:5])}{' and others' if len(named) > 5 else ''}: what they wrote "  # noqa: PLR2004 - five are enough to see which
                "meanwhile would stay behind. Stop the app and whatever else writes, then run this again; services may go on"
            }
        )


def _lock_tables(here: Connection) -> None:
    """Keep everybody from writing; in the transaction's first statement, so that nothing comes before its snapshot."""
    try:
        here.exec_driver_sql(f"LOCK TABLE {', '.join(contents.tables())} IN SHARE MODE")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        raise Forbidden("Moving takes the role that owns the tables: name it in DATABASE_URL.") from error


def _require_target(there: Connection) -> bool:
    """Return whether there are tables of ours, made and not used yet; raises if *there* cannot be moved to."""
    schema, may_create, encoding, read_only = there.execute(
        text(
            "SELECT current_schema(), has_schema_privilege(current_schema(), 'CREATE'), current_setting('server_encoding'),"
            " current_setting('transaction_read_only')"
        )
    ).one()
    if read_only == "on":
        raise Invalid({"to": "is read-only, as a replica is: name the primary"})
    if encoding != "UTF8":
        raise Invalid(
            {
                "to": f"keeps text as {encoding}, not UTF8: make it by CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            }
        )
    names = [*contents.tables(), *contents.MADE_ANEW]
    taken = (
        set(
            there.scalars(
                text(
                    "SELECT relname FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace) AND relname = ANY (:n)"
                ),
                {"schema": schema, "n": names},
            )
        )
        if schema
        else set()
    )
    if not may_create:
        raise Invalid({"to": "names a role that may not make tables there: name the owner of the database"})
    if not taken:
        return False
    revision = migrate.revision_of(there) if "alembic_version" in taken else None
    if revision != migrate.head() or taken != set(names):
        raise Invalid(
            {
                "to": f"has tables of the same names already ({', '.join(sorted(taken)[:5])}), of another version or another "
                "program: name an empty database"
            }
        )
    if used := _used(there):
        raise Invalid(
            {
                "to": f"has data already ({used}), and nothing is put over it: name an empty database, or empty that one by "
                "`python -m core migrate --down base` there"
            }
        )
    return True


def _used(there: Connection) -> str:
    """Say what of ours is in a database that somebody has worked with; empty if nobody has."""
    rows = {table.table: table.rows for table in contents.held(there) if table.table not in _NOT_DATA}
    rows["audit_events"] = (
        there.scalar(text("SELECT count(*) FROM audit_events WHERE action <> ALL (:made)"), {"made": list(_MADE)}) or 0
    )
    return ", ".join(f"{counted(number, 'row')} in {name}" for name, number in rows.items() if number)


def _state(connection: Connection, ring: KeyRing) -> _State:
    with Session(connection) as session:
        generation = session.scalar(text("SELECT generation FROM settings_generation")) or 0
        verdict = chain.verify_within(session)
        canary = keys.look_at_canary(session, ring)
        tried = tuple(sealed.open_all(session, ring))
    return _State(contents.sums(connection), generation, verdict, canary, tried)


def _compare(here: _State, there: _State, off: list[str]) -> None:
    differs = [name for name, found in here.rows.items() if there.rows[name] != found]
    differs += [
        what
        for what, one, other in (
            ("the generation", here.generation, there.generation),
            ("the audit's chain", here.verdict, there.verdict),
            ("the canary", here.canary, there.canary),
            ("API keys", here.keys, there.keys),
        )
        if one != other
    ]
    if differs or off:
        raise StoreUnavailable(
            f"Not everything arrived as it is here: {', '.join([*differs, *off])}. Nothing was changed there."
        )
