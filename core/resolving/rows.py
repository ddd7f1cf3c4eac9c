"""Rows as PostgreSQL's COPY sends them, and as they are kept: lines of text, read when somebody asks. No I/O."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from .columns import Columns

if TYPE_CHECKING:
    from psycopg import Cursor

NULL: Final = rb"\N"
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def read(line: bytes, columns: Columns, null: bytes = NULL) -> dict[str, Any]:
    """Read a line of COPY's text format: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2."""
    parts = line.split(b"\t")
    return {
        name: None if part == null else kind(text(part))
        for (name, kind), part in zip(columns.items(), parts, strict=True)
    }


def text(part: bytes) -> str:
    """Return a value's text."""
    found = part.decode("utf-8", "replace")
    return _ESCAPED.sub(lambda one: _ESCAPES.get(one[1], one[1]), found) if "\\" in found else found


def line_of(values: "list[bytes | None]", null: bytes = NULL) -> bytes:
    """Return the line that COPY would have sent of *values*."""
    return b"\t".join(null if value is None else _escaped(value) for value in values)


def values_of(cursor: "Cursor[Any]") -> "Iterator[list[bytes | None]]":
    """Yield the rows of a result, in PostgreSQL's own text."""
    result = cursor.pgresult
    if result is None:
        return
    for row in range(result.ntuples):
        yield [result.get_value(row, column) for column in range(result.nfields)]


def _escaped(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def second(line: bytes) -> bytes:
    """Return what the second column of a line has."""
    return line.partition(b"\t")[2].partition(b"\t")[0]


def put(rows: dict[int, bytes], index: dict[bytes, tuple[int, ...]], row_id: int, line: bytes | None) -> None:
    """Put a row in place of the one before, and in the index by what its second column has."""
    if row_id in rows:
        scope = second(rows.pop(row_id))
        index[scope] = tuple(row for row in index[scope] if row != row_id)
    if line is not None:
        rows[row_id] = line
        index[second(line)] = (*index.get(second(line), ()), row_id)


def indexed(rows: Mapping[int, bytes]) -> dict[bytes, tuple[int, ...]]:
    """Return what the second column has -> the rows that have it."""
    index: dict[bytes, tuple[int, ...]] = {}
    for row_id, line in rows.items():
        index[second(line)] = (*index.get(second(line), ()), row_id)
    return index
