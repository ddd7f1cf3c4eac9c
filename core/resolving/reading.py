"""The snapshot is read from the database: whole, or what was changed since. No I/O but what is asked of a connection."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..errors import StoreUnavailable
from ..models import overlay
from ..postgres import copying
from ..postgres.lines import begin
from . import carried, organizations, rows
from .columns import (
    ACTIVE,
    BUDGETS,
    BUDGETS_CONDITION,
    FACTS,
    FACTS_CONDITION,
    FEATURES,
    INSTALLATION,
    LIMITS,
    OVERRIDES,
    PERSONAL_DATA,
    PROVIDERS,
    RATE_LIMITS,
    RATE_LIMITS_CONDITION,
    SECRETS,
    SETTINGS,
    Columns,
)
from .organizations import Organizations
from .rows import NULL
from .snapshot import Snapshot

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

_NONE: Final[Mapping[int, Any]] = MappingProxyType({})
_FIRST: Final = f"ORDER BY origin <> 'operator', id LIMIT {overlay.MOST_ROWS + 1}"
"""Raw SQL may have put any number of them there; the one too many is for saying so."""
_TABLES: Final[Mapping[str, tuple[Columns, Mapping[str, str], str]]] = {
    "llm_providers": (PROVIDERS, {"field_changes": "field_changes -> 'default_model'"}, "true"),
    "llm_settings": (SETTINGS, {}, ACTIVE),
    carried.TABLE: (SECRETS, {}, "use <> 'next_key'"),
    overlay.TABLE: (FACTS, {"as_of": "to_char(as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD')"}, FACTS_CONDITION),
    "llm_features": (FEATURES, {}, "true"),
    "feature_llm_overrides": (OVERRIDES, {}, ACTIVE),
    "installation": (INSTALLATION, {}, "true"),
    "llm_limits": (LIMITS, {}, "organization_id IS NULL"),
    "org_llm_budgets": (BUDGETS, {}, BUDGETS_CONDITION),
    "llm_rate_limits": (RATE_LIMITS, {}, RATE_LIMITS_CONDITION),
    "llm_pii_settings": (PERSONAL_DATA, {}, ACTIVE),
}
"""Table -> its columns, those that are read by another expression, and of which rows; but for what organisations have."""
ADDED: Final[Mapping[str, Mapping[str, str]]] = {
    "llm_providers": {"needs_key": "true"},
    "llm_settings": {
        "extra_parameters": "NULL",
        "reasoning_effort": "NULL",
        "stop": "NULL",
        "unfit_parameters": "NULL",
        "default_provider_id": "NULL",
    },
}
"""Table -> column that a schema one version older does not have -> what stands for it there: services may be upgraded first."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_UNDEFINED_COLUMN: Final = "42703"
"""SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
_GENERATION: Final = "SELECT generation, epoch FROM settings_generation"
_ORGANIZATIONS: Final = "organizations"
_LATER: Final = (
    *(carried.TABLE, overlay.TABLE),
    *("llm_features", "feature_llm_overrides", "installation", "llm_limits", "org_llm_budgets"),
    *("llm_rate_limits", "llm_pii_settings", _ORGANIZATIONS),
)
"""Tables that a database of a version before has not."""
_ARE_THERE: Final = "SELECT " + ", ".join(f"to_regclass('{table}') IS NOT NULL" for table in _LATER)


def load(connection: "Connection[Any]", only: tuple[str, ...] | None = None) -> Snapshot:
    """Read everything, as it is at one moment; from a schema one version older too.

    Args:
        connection: Of :func:`core.postgres.lines.connect`.
        only: Names of the organisations that are read, with their templates; None: all.
    """
    try:
        return _load(connection, only, is_older=False)
    except Exception as error:
        if getattr(error, "sqlstate", None) != _UNDEFINED_COLUMN:
            raise
    connection.execute(b"ROLLBACK")
    return _load(connection, only, is_older=True)


def _load(connection: "Connection[Any]", only: tuple[str, ...] | None, *, is_older: bool) -> Snapshot:
    cursor = begin(connection, f"{_GENERATION}; {_ARE_THERE}", _BEGIN)
    generation, epoch = _generation(cursor)
    cursor.nextset()
    absent = {table for table, is_there in zip(_LATER, cursor.fetchone() or (), strict=True) if not is_there}
    providers, settings, secrets, facts, features, overrides, installation, limits, budgets, rates, personal = (
        _NONE if table in absent else _copied(connection, table, is_older=is_older) for table in _TABLES
    )
    new = Snapshot(
        generation,
        epoch,
        providers,
        settings,
        secrets,
        facts=facts,
        features=features,
        overrides=overrides,
        installation=installation,
        limits=limits,
        budgets=budgets,
        rate_limits=rates,
        personal_data=personal,
        organizations=Organizations({}, only)
        if _ORGANIZATIONS in absent
        else organizations.load(connection, only, absent),
        is_older=is_older or bool(absent),
    )
    connection.execute(b"COMMIT")
    return new


def update(connection: "Connection[Any]", old: Snapshot) -> Snapshot | None:
    """Read what was changed since *old*, in two round trips: where threads compute, each costs turns at the interpreter.

    Numbers are given at commit, under a lock that is held until then: who sees generation n sees all changes up to n.

    Returns:
        *old* itself if nothing was changed; None if everything has to be read: the generation or the epoch went back, or
        not every change is known.
    """
    changes_since = f"SELECT generation, table_name, row_id FROM settings_changes WHERE generation > {old.generation}"  # noqa: S608 - a number
    cursor = begin(connection, f"{_GENERATION}; {changes_since}", _BEGIN)
    generation, epoch = _generation(cursor)
    cursor.nextset()
    changes = cursor.fetchall()
    found: dict[str, dict[int, bytes | None]] = {table: {} for table in _TABLES}
    changed = {row_id for _, table, row_id in changes if table == _ORGANIZATIONS}
    for _, table, row_id in changes:
        if table in found:  # a newer version may list others
            found[table][row_id] = None
    if (old.is_older and changes) or len(changed) > organizations.MOST_CHANGED:
        connection.execute(
            b"COMMIT"
        )  # an older schema may have been migrated meanwhile: asked for what is new, it says so
        return None
    tables = [table for table in _TABLES if found[table]]
    queries = [f"{_selected(table)} AND id IN ({', '.join(map(str, found[table]))})" for table in tables]
    if changed:
        queries += organizations.queries(connection, changed, old.organizations.only)
    cursor = connection.execute("; ".join((*queries, "COMMIT")).encode())
    if epoch != old.epoch or len({number for number, _, _ in changes}) != generation - old.generation:
        return None
    if not changes:
        return old
    for table in tables:
        found[table] |= _fetched(cursor)
        cursor.nextset()
    after = organizations.fetched(cursor, changed, old.organizations) if changed else old.organizations
    if after is None or len(old.facts) + len(found[overlay.TABLE]) > overlay.MOST_ROWS:
        return None  # which of the facts are read is decided with all in view
    return old.after(generation, found, organizations=after, changed=changed)


def _selected(table: str, *, is_older: bool = False) -> str:
    columns, expressions, condition = _TABLES[table]
    expressions = {**expressions, **(ADDED.get(table, {}) if is_older else {})}
    values = ", ".join(expressions.get(name, name) for name in columns)
    return f"SELECT {values} FROM {table} WHERE {condition}"  # noqa: S608 - names of ours


def _generation(cursor: "Cursor[Any]") -> tuple[int, str]:
    row = cursor.fetchone()
    if row is None:
        raise StoreUnavailable("The table settings_generation is empty.")
    return row[0], row[1]


def _copied(connection: "Connection[Any]", table: str, *, is_older: bool) -> dict[int, bytes]:
    first = _FIRST if table == overlay.TABLE else ""
    query = f"COPY ({_selected(table, is_older=is_older)} {first}) TO STDOUT"
    lines = (row[:-1] for block in copying.rows(connection, query) for row in block)
    return {
        int(line.partition(b"\t")[0]): line for line in lines if not line.startswith(NULL)
    }  # as raw SQL may leave it


def _fetched(cursor: "Cursor[Any]") -> dict[int, bytes]:
    """Return the rows of a result as the lines that COPY would have sent."""
    lines = [rows.line_of(values) for values in rows.values_of(cursor)]
    return {int(line.partition(b"\t")[0]): line for line in lines}
