"""A list that is read a page at a time, newest first, by where each page begins: no page is counted off from the first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

MAX_PAGE: Final = 500
MAX_CHOICES: Final = 200
"""So many names are offered in a filter."""

RowPlace = tuple[datetime, int]
"""Where a page begins: after the row of that time and id."""


class Listed(Protocol):
    """A row of a list."""

    @property
    def id(self) -> int:
        """Its id: what orders rows of the same moment."""

    @property
    def at(self) -> datetime:
        """When it was written."""


R = TypeVar("R", bound=Listed)


class Page(NamedTuple, Generic[R]):
    """Some rows, newest first."""

    rows: list[R]
    older: RowPlace | None
    """Where the next page begins; None on the last one."""


def within(limit: int) -> int:
    """Return *limit*, but at least 1 and at most :data:`MAX_PAGE`."""
    return max(1, min(limit, MAX_PAGE))


def page_of(rows: Sequence[R], limit: int) -> Page[R]:
    """Return the page of the first *limit* of *rows*; a row more tells that there is another page."""
    shown = list(rows[:limit])
    return Page(shown, (shown[-1].at, shown[-1].id) if len(rows) > limit else None)


def last_of(newer: Sequence[R], limit: int) -> RowPlace | None:
    """Return where the page begins that *newer* ends: its rows, oldest first, and one more if there is a newer page."""
    return (newer[limit].at, newer[limit].id) if len(newer) > limit else None
