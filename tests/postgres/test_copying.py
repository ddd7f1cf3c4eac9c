"""Rows of COPY come as the driver's own reader gives them, many at once; an error is the server's, and the line goes on."""

import psycopg
import pytest

from core.postgres import copying, lines


def test_rows_are_those_of_the_driver(database: str) -> None:
    """None, some, and more than one answer of the network holds; a turn of the interpreter takes many."""
    with lines.connect(database, "test") as connection:
        for query in (
            "SELECT 1 WHERE false",
            "SELECT n, E'a\\tb\\n' || n, NULL FROM generate_series(1, 20000) AS n",
            "SELECT repeat('x', 300000) FROM generate_series(1, 3)",
        ):
            statement = f"COPY ({query}) TO STDOUT"
            blocks = list(copying.rows(connection, statement))
            with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                assert [row for block in blocks for row in block] == [bytes(row) for row in copy]
            assert len(blocks) <= 3000
            assert all(blocks)


def test_an_error_is_the_servers_and_the_connection_goes_on(database: str) -> None:
    """Before the first row, after some thousand, and where the reader has lost interest."""
    with lines.connect(database, "test") as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            list(copying.rows(connection, "COPY (SELECT 1 FROM nowhere) TO STDOUT"))
        with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero"):
            list(copying.rows(connection, "COPY (SELECT 1 / (9000 - n) FROM generate_series(1, 10000) AS n) TO STDOUT"))
        some = copying.rows(connection, "COPY (SELECT n FROM generate_series(1, 100000) AS n) TO STDOUT")
        assert next(some)
        some.close()  # type: ignore[attr-defined]  # a generator
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_is_gone_is_an_error(database: str) -> None:
    """Not the end of the rows."""
    with lines.connect(database, "test") as connection, psycopg.connect(database, autocommit=True) as other:
        some = copying.rows(connection, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT")
        assert next(some)
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            list(some)
