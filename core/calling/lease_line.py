"""The line on which a process tells the store what it spent, and is lent more: one statement for all its budgets."""

import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString
from uuid import UUID

from ..config import get_config
from ..errors import CoreError
from ..postgres import lines, refusals

if TYPE_CHECKING:
    from psycopg import Connection

LEASES: Final = "SELECT * FROM llm_sync_leases({}, {}, {}, {}, {})"
"""Asks for money."""
RATES: Final = "SELECT llm_sync_rates({}, {}, {}, {}, {}) AS answer"
"""Asks for requests, tokens and places."""


class Unanswered(Exception):
    """The store did not answer, or refused; it says why, and the cure.

    Attributes:
        lasting: Whether it stays so until somebody changes something.
    """

    def __init__(self, text: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


class LeaseLine:
    """A connection of its own to the primary, opened when there is something to say.

    Args:
        url: Of the primary; None: as the environment says.
        holder: Whose leases they are.
        lives: Seconds that a lease lives.
        asks: By which statement.
        name: What the server's list of connections shows.
    """

    def __init__(
        self,
        url: str | None,
        holder: UUID,
        lives: float,
        *,
        asks: LiteralString = LEASES,
        name: str = "llm-settings leases",
    ) -> None:
        self._url, self._holder, self._lives, self._asks, self._name = url, holder, lives, asks, name
        self._connection: Connection[Any] | None = None

    def ask(self, number: int, told: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> list[Any]:
        """Tell the store, and return its rows, as named tuples.

        Args:
            number: Of the message: the same again changes nothing.
            told: What of each meter; see the migration.

        Raises:
            Unanswered: Whatever is the matter. Whether it has heard is not known: say the same again.
        """
        try:
            return self._asked(number, told)
        except Exception as error:  # noqa: BLE001 - whatever it is, calls go on or are told
            self.close()
            why, lasting = _why(error)
            raise Unanswered(why, lasting=lasting) from None

    def _asked(self, number: int, told: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> list[Any]:
        from psycopg import sql  # noqa: PLC0415 - the driver comes with the first call
        from psycopg.rows import namedtuple_row  # noqa: PLC0415 - as above

        if self._connection is None:
            self._connection = lines.connect(self._url or lines.find_primary(), self._name)
            self._connection.row_factory = namedtuple_row
        process = f"{socket.gethostname()}, process {os.getpid()}"
        given = (self._holder, number, process, self._lives, json.dumps(told))
        statement = sql.SQL(self._asks).format(*map(sql.Literal, given)).as_string(self._connection)
        return lines.begin(self._connection, f"{statement}; COMMIT", "BEGIN").fetchall()

    def close(self) -> None:
        """Close the connection, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def _why(error: Exception) -> tuple[str, bool]:
    if isinstance(error, CoreError):
        return str(error).rstrip("."), False
    variable = "DATABASE_URL"
    with contextlib.suppress(CoreError):
        variable = "LLM_WRITE_DATABASE_URL" if get_config().write_database_url is not None else variable
    refusal = refusals.read(error, variable=variable, grant="grant-reader ROLE --log")
    if refusal is None:
        return f"the database does not answer ({type(error).__name__})", False
    return str(refusal).rstrip("."), refusal.lasting
