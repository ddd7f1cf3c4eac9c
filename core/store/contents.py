"""What a store holds, table by table: counted, summed up, and copied to another server.

Copied by COPY in text between two connections, into tables that the migrations have made there: so it works from any
supported major of PostgreSQL to any other. pg_dump and pg_restore do not: of an archive by 18 those of 15 read nothing, and
what those of 18 write has settings that 15 does not know.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from .tables import METADATA

MADE_ANEW: Final = ("alembic_version",)
"""Tables that the migrations fill: they are not copied."""
_ALIKE: Final = (
    *("SET LOCAL datestyle = 'ISO, MDY'", "SET LOCAL extra_float_digits = 1", "SET LOCAL bytea_output = 'hex'"),
    *("SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0"),
)
"""So that both servers write a value the same way, and neither tires while the other works."""
# For names of our tables and columns, and of sequences as PostgreSQL quotes them:
_COUNT: Final = "SELECT count(*), pg_total_relation_size('{0}') FROM {0}"
_SUM: Final = "SELECT count(*), coalesce(sum({0}), 0)::numeric(40) FROM {1}"
_EMPTY: Final = "DELETE FROM {0}"
_PLACE: Final = "SELECT last_value, is_called FROM {0}"
_SEQUENCES: Final = """
    SELECT t.relname, a.attname, quote_ident(n.nspname) || '.' || quote_ident(s.relname)
      FROM pg_class s JOIN pg_namespace n ON n.oid = s.relnamespace
      JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
           AND d.refclassid = 'pg_class'::regclass
      JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
     WHERE s.relkind = 'S' AND n.nspname = current_schema()
"""


class Held(NamedTuple):
    """One table, and what is in it."""

    table: str
    rows: int
    size: int
    """Bytes on disk, its indexes among them."""


class Sum(NamedTuple):
    """One table's rows, so that two servers can be compared."""

    rows: int
    digest: int
    """The same for the same rows, in whatever order they are stored."""


def tables() -> list[str]:
    """Return our tables, each behind those that its rows refer to."""
    return [table.name for table in METADATA.sorted_tables]


def look_alike(connection: Connection) -> None:
    """Have this transaction write values as any other server does, and take its time."""
    for statement in _ALIKE:
        connection.exec_driver_sql(statement)


def held(connection: Connection) -> list[Held]:
    """Count the rows of our tables, and what they take."""
    return [Held(name, *connection.exec_driver_sql(_COUNT.format(name)).one()) for name in tables()]


def sums(connection: Connection) -> dict[str, Sum]:
    """Return a sum over each table's rows; the transaction is one that :func:`look_alike` was called in."""
    return {name: Sum(*connection.exec_driver_sql(_summing(name)).one()) for name in tables()}


def _summing(name: str) -> str:
    digits = f"('x' || left(md5(ROW({_columns(name)})::text), 15))::bit(60)::bigint"
    return _SUM.format(digits, name)


def copy_all(source: Connection, target: Connection) -> Iterator[Held]:
    """Put the rows of *source* in place of those of *target*, in its transaction; yields each table as it is done.

    The target has our tables, of the same revision, and its role owns them: our triggers are off meanwhile, so that numbers,
    times and hashes stay as they are. Each sequence goes on where the source's does.

    Raises:
        SQLAlchemyError, psycopg.Error: What either server says; the caller rolls back.
    """
    for name in tables():
        target.exec_driver_sql(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    for name in reversed(tables()):
        target.exec_driver_sql(_EMPTY.format(name))
    for name in tables():
        rows = _copy(source, target, name)
        target.exec_driver_sql(f"ANALYZE {name}")
        yield Held(name, rows, 0)
    for name in tables():
        target.exec_driver_sql(f"ALTER TABLE {name} ENABLE TRIGGER USER")
    _go_on_counting(source, target)


def _copy(source: Connection, target: Connection, name: str) -> int:
    columns = _columns(name)
    reader: Any = source.connection.driver_connection
    writer: Any = target.connection.driver_connection
    with reader.cursor() as reading, writer.cursor() as writing:
        with (
            reading.copy(f"COPY {name} ({columns}) TO STDOUT") as lines,
            writing.copy(f"COPY {name} ({columns}) FROM STDIN") as into,
        ):
            for line in lines:
                into.write(line)
        return int(writing.rowcount)


def _columns(name: str) -> str:
    return ", ".join(f'"{column.name}"' for column in METADATA.tables[name].columns)


def _sequences(connection: Connection) -> dict[tuple[str, str], str]:
    return {(table, column): name for table, column, name in connection.execute(text(_SEQUENCES))}


def _go_on_counting(source: Connection, target: Connection) -> None:
    there = _sequences(target)
    for place, name in _sequences(source).items():
        if place in there:
            last, called = source.exec_driver_sql(_PLACE.format(name)).one()
            target.execute(
                text("SELECT setval(CAST(:name AS regclass), :last, :called)"),
                {"name": there[place], "last": last, "called": called},
            )


def switched_off(connection: Connection) -> list[str]:
    """Return the triggers of our tables that do not fire, PostgreSQL's own for foreign keys among them."""
    found = connection.scalars(
        text(
            "SELECT c.relname || '.' || t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relname = ANY (:tables)"
            " AND t.tgenabled = 'D'"
        ),
        {"tables": tables()},
    )
    return sorted(found)
