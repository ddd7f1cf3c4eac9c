"""What COPY sends, taken as it comes: one turn at the interpreter for many rows.

The driver's own reader takes a turn, and starts a wait, for each row: of a million rows that would be most of the time.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn


def rows(connection: "Connection[Any]", statement: str) -> "Iterator[list[bytes]]":
    """Yield what ``COPY … TO STDOUT`` sends, as many rows at once as have come; each has the line feed that ends it.

    Raises:
        psycopg.Error: What the server, or the line to it, says.
    """
    with connection.cursor() as cursor, cursor.copy(statement.encode()):
        is_done = False
        while not is_done:
            come, is_done = connection.wait(_come(connection.pgconn))
            if come:
                yield come


def _come(pgconn: "PGconn") -> "PQGen[tuple[list[bytes], bool]]":
    """Return the rows that have come, one at least, and whether they are the last; the end may come without any."""
    from psycopg.waiting import WAIT_R  # noqa: PLC0415 - keeps the import of the resolver lean

    come: list[bytes] = []
    take = pgconn.get_copy_data
    while True:
        size, block = take(1)
        if size > 0:
            come.append(bytes(block))
        elif size < 0:
            break
        elif come:
            return come, False
        else:
            while not (yield WAIT_R):
                pass
            pgconn.consume_input()
    yield from _ended(pgconn)
    return come, True


def _ended(pgconn: "PGconn") -> "PQGen[None]":
    """Take over how it went, so that the connection is free for the next statement."""
    from psycopg import errors, pq  # noqa: PLC0415 - as above
    from psycopg.waiting import WAIT_R  # noqa: PLC0415 - as above

    failed = None
    while True:
        while pgconn.is_busy():
            while not (yield WAIT_R):
                pass
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            break
        failed = failed or (None if result.status == pq.ExecStatus.COMMAND_OK else result)
    if failed is not None:
        raise errors.error_from_result(failed)
