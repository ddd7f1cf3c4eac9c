"""The store as it was: a session whose SELECTs read past rows in place of the tables', from their history.

Each statement gets, for the tables that it names, a part ``WITH table AS (the newest version of each row, up to a generation)``:
so whatever reads settings reads those of then, tables and columns of later migrations too, and there is no second reader.
Where a key or another sealed value was set, the past has :data:`SET` in the place of the ciphertext: there is none to open.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Connection, Table, event, text
from sqlmodel import Session

from .tables import METADATA

SET: Final = "set"
"""What stands in the place of something sealed."""
_PAST: Final = "past"
_STAMPS: Final = {
    "version": "coalesce(h.version, 1)",
    "created_at": "h.at",
    "updated_at": "coalesce((SELECT max(value ->> 'at') FROM jsonb_each(h.field_changes))::timestamptz, h.at)",
    "updated_by": "h.by",
    "field_changes": "{schema}.llm_field_changes(h.table_name, h.row_id, {generation})",
}
"""Column that triggers write -> what it was, of a version ``h``: who set which field is read off all versions up to it."""
_NEWEST: Final = """
    SELECT v.* FROM (
        SELECT DISTINCT ON (row_id) row_id, generation FROM {schema}.settings_history
        WHERE table_name = '{table}' AND generation <= {generation}{of} ORDER BY row_id, generation DESC
    ) k CROSS JOIN LATERAL (
        SELECT * FROM {schema}.settings_history
        WHERE table_name = '{table}' AND row_id = k.row_id AND generation = k.generation LIMIT 1
    ) v"""
# From row to row by the index, past all versions of each: what is nobody's are few rows, and may have many versions.
_NOBODYS: Final = """
    WITH RECURSIVE k AS (
        (SELECT row_id FROM {schema}.settings_history WHERE table_name = '{table}' AND organization_id IS NULL
            ORDER BY row_id LIMIT 1)
        UNION ALL
        SELECT (SELECT o.row_id FROM {schema}.settings_history o WHERE o.table_name = '{table}' AND o.organization_id IS NULL
            AND o.row_id > k.row_id ORDER BY o.row_id LIMIT 1) FROM k WHERE k.row_id IS NOT NULL
    )
    SELECT v.* FROM k CROSS JOIN LATERAL (
        SELECT * FROM {schema}.settings_history
        WHERE table_name = '{table}' AND row_id = k.row_id AND organization_id IS NULL AND generation <= {generation}
        ORDER BY generation DESC LIMIT 1
    ) v"""
_NO_NEWER: Final = """ AND NOT EXISTS (SELECT FROM {schema}.settings_history n
        WHERE n.table_name = h.table_name AND n.row_id = h.row_id AND n.generation > h.generation AND n.generation <= {generation})"""
# By the trigger: what has it has a history.
_KEPT: Final = """
    SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgfoid = to_regproc('llm_count_change') AND t.tgdeferrable AND c.relnamespace = CAST(current_schema() AS regnamespace)
"""


class Past(NamedTuple):
    """What of the past is read."""

    generation: int
    organizations: tuple[int, ...] | None
    """Of which organisations, beside what is nobody's; None: of all, which takes seconds for a hundred thousand."""


def is_past(session: Session) -> bool:
    """Tell whether *session* reads the past: keys are not to be opened there."""
    return _PAST in session.info


@contextmanager
def reading(session: Session, past: Past) -> Iterator[Session]:
    """Give a session that reads the past, in the transaction of *session*, which is not to be used meanwhile.

    What has no history, such as users, it reads as it is. It writes nothing.
    """
    connection = session.connection()
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    sources = _Sources(connection, past, schema)
    event.listen(connection, "before_cursor_execute", sources.put, retval=True)
    then = Session(connection, autoflush=False, join_transaction_mode="rollback_only")
    then.info[_PAST] = past
    try:
        yield then
    finally:
        event.remove(connection, "before_cursor_execute", sources.put)
        then.close()


class _Sources:
    """What stands for each table that has a history."""

    def __init__(self, connection: Connection, past: Past, schema: str) -> None:
        kept = set(connection.scalars(text(_KEPT)))
        self._tables = {table.name: table for table in METADATA.sorted_tables if table.name in kept}
        self._past, self._schema = past, schema
        generation = f"SELECT id, {past.generation}::bigint AS generation, epoch FROM {schema}.settings_generation"  # noqa: S608 - of ours
        self._queries: dict[str, str] = {"settings_generation": generation}
        self._named = re.compile(rf"\b({'|'.join((*self._tables, *self._queries))})\b")

    def _query(self, name: str) -> str:
        if name not in self._queries:
            self._queries[name] = query_of(self._tables[name], self._past, self._schema)
        return self._queries[name]

    def put(
        self,
        _connection: Any,
        _cursor: Any,
        statement: str,
        parameters: Any,
        _context: Any,
        _many: bool,  # noqa: FBT001 - SQLAlchemy's
    ) -> tuple[str, Any]:
        """Put the past into a statement."""
        begins = statement.lstrip()
        if begins[:6].upper() in {"INSERT", "UPDATE", "DELETE"}:
            raise RuntimeError("The past is not written")
        word = next((word for word in ("WITH RECURSIVE ", "WITH ", "SELECT ") if begins.upper().startswith(word)), None)
        named = set(self._named.findall(statement))
        if word is None or not named:
            return statement, parameters
        parts = ", ".join(f"{name} AS NOT MATERIALIZED ({self._query(name)})" for name in sorted(named))
        if word == "SELECT ":
            return f"WITH {parts} {begins}", parameters
        return f"{word}{parts}, {begins[len(word) :]}", parameters


def query_of(table: Table, past: Past, schema: str) -> str:
    """Return the query for the rows of *table* as they were."""
    names = {"schema": schema, "table": table.name, "generation": past.generation}
    if past.organizations is None:
        found, newest = _NEWEST.format(of="", **names), ""
    else:
        parts = [_NOBODYS.format(**names)]
        if past.organizations:
            of = f" AND organization_id IN ({', '.join(map(str, past.organizations))})"
            parts.append(_NEWEST.format(of=of, **names))
        # A row that has gone from one organisation to another is of the one that its newest version says
        found, newest = " UNION ALL ".join(f"({part})" for part in parts), _NO_NEWER.format(**names)
    columns = ", ".join(_value(column, names) for column in table.columns)
    record = f"jsonb_populate_record(NULL::{schema}.{table.name}, {_defaults(table.columns)} || h.image)"
    return f"""
        SELECT {columns} FROM ({found}) h CROSS JOIN LATERAL {record} r WHERE h.op <> '-'{newest}
    """  # noqa: S608 - names of ours


def _value(column: Column[Any], names: Mapping[str, Any]) -> str:
    if column.name in _STAMPS:
        return f"{_STAMPS[column.name].format(**names)} AS {column.name}"
    if column.name.endswith("_encrypted"):
        sealed = column.name.removesuffix("_encrypted")
        return f"CASE WHEN jsonb_exists(h.image, '{sealed}') THEN '{SET}' END AS {column.name}"
    return f'r."{column.name}"'


def _defaults(columns: Iterable[Column[Any]]) -> str:
    """Return what columns have that a version of before their migration does not know: their own default."""
    known = {
        column.name: column.server_default.arg
        for column in columns
        if column.server_default is not None and hasattr(column.server_default, "arg") and column.name not in _STAMPS
    }
    values = ", ".join(f"'{name}', {default}" for name, default in known.items())
    return f"jsonb_build_object({values})"
