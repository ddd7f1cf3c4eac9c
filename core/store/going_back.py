"""What a migration down takes away, with figures: found out by running it, in a transaction that is rolled back."""

from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine, text

from . import contents, migrate, waits
from .db import store_errors

_COLUMNS: Final = """
    SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relname = ANY (:tables)
       AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum
"""
_COUNT: Final = "SELECT count(*), {0} FROM {1} WHERE {2}"
"""For names of our own."""
_LATER: Final = "generation > (SELECT min(generation) FROM settings_generations)"
_STORED: Final = {
    "installation": "version > 1",
    "settings_presets": "version > 1 OR updated_by <> 'migration 0027'",
    "settings_generations": _LATER,
    "settings_history": _LATER,
}
"""Table -> which of its rows somebody has stored; the others are as the migrations made them, and make them again."""


class Loss(NamedTuple):
    """What goes of one table."""

    table: str
    column: str
    """Whose values go, of rows that stay; empty: rows go."""
    number: int


class _Table(NamedTuple):
    rows: int
    values: dict[str, int]
    """Column -> how many rows have a value there."""


def losses(engine: Engine, revision: str) -> list[Loss]:
    """Return which rows and values would be gone after ``migrate --down`` *revision*; nothing is changed.

    Our tables are locked for as long as the step down takes.

    Raises:
        CommandError: If there is no such revision; of Alembic.
        SchemaMismatch: If the schema is newer than this version.
        StoreUnavailable: If the database cannot be reached, or somebody holds a table locked.
    """
    with store_errors(), engine.connect() as connection:
        waits.allow(connection, None)
        with connection.begin() as rehearsal:
            contents.look_alike(connection)
            before = _counted(connection)
            migrate.downgrade_within(connection, revision)
            after = _counted(connection)
            rehearsal.rollback()
    return [loss for table, found in before.items() for loss in _losses(table, found, after.get(table))]


def _losses(name: str, before: _Table, after: _Table | None) -> list[Loss]:
    if after is None or after.rows < before.rows:
        gone = before.rows - (after.rows if after else 0)
        return [Loss(name, "", gone)] if gone else []
    missing = {column: number - after.values.get(column, 0) for column, number in before.values.items()}
    return [Loss(name, column, number) for column, number in missing.items() if number > 0]


def _counted(connection: Connection) -> dict[str, _Table]:
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(text(_COLUMNS), {"tables": contents.tables()}):
        columns.setdefault(table, []).append(column)
    found = {}
    for table, names in columns.items():
        counts = ", ".join(f'count("{name}")' for name in names)
        rows, *values = connection.exec_driver_sql(_COUNT.format(counts, table, _STORED.get(table, "true"))).one()
        found[table] = _Table(rows, dict(zip(names, values, strict=True)))
    return found
