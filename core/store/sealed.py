"""The sealed columns: where they are, how a row is opened, and how many values each encryption key holds.

A test fails for a sealed column that is not registered in :data:`SEALED`.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session

from ..crypto import KeyRing, Place
from ..errors import KeyUnreadable
from ..kinds import origin_of
from .tables import LlmProvider, Table


class SealedColumn(NamedTuple):
    """A column ``<name>_encrypted`` with ``<name>_key_id`` and ``<name>_binding`` beside it."""

    model: type[Table]
    name: str
    label: str
    """Column whose text names the row to people."""
    beside: tuple[str, ...]
    """Further columns that *place* reads."""
    place: Callable[[Any], Place]
    """Row -> where its value belongs."""

    @property
    def table(self) -> Any:
        """The SQLAlchemy table."""
        return self.model.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it

    def columns(self) -> tuple[Any, Any, Any]:
        """Return blob, key id and binding."""
        c = self.table.c
        return c[f"{self.name}_encrypted"], c[f"{self.name}_key_id"], c[f"{self.name}_binding"]

    def query(self) -> Any:
        """Select ``id, label, blob, key_id, binding`` and the columns beside, of rows that hold a value; by id."""
        c, (blob, key_id, binding) = self.table.c, self.columns()
        named = (c[self.label].label("label"), blob.label("blob"), key_id.label("key_id"), binding.label("binding"))
        return select(c.id, *named, *(c[name] for name in self.beside)).where(blob.is_not(None)).order_by(c.id)


def provider_place(row: Any) -> Place:
    """Return where the key of a provider belongs; *row* has ``id``, ``kind`` and ``api_base_url``."""
    return Place("llm_providers", row.id, "api_key", origin_of(row.kind, row.api_base_url))


SEALED: Final = (SealedColumn(LlmProvider, "api_key", "name", ("kind", "api_base_url"), provider_place),)


class Tried(NamedTuple):
    """One sealed value that was tried."""

    table: str
    row_id: int
    name: str
    key_id: str | None
    state: str
    """``ok``, or the reason of :class:`~core.errors.KeyUnreadable`."""
    message: str
    """For people: what is wrong and the cure; empty for ``ok``."""


def try_open(column: SealedColumn, row: Any, ring: KeyRing) -> tuple[Tried, str | None]:
    """Open a row of ``column.query()``; returns what became of it, and the plain value or None."""
    seen = (column.table.name, row.id, row.label, row.key_id)
    try:
        return Tried(*seen, "ok", ""), ring.open(row.blob, row.key_id, row.binding, column.place(row))
    except KeyUnreadable as error:
        return Tried(*seen, error.reason, str(error)), None


def open_all(session: Session, ring: KeyRing) -> list[Tried]:
    """Try every sealed value. The plain values are dropped at once."""
    return [try_open(column, row, ring)[0] for column in SEALED for row in session.execute(column.query())]


def held(session: Session) -> Counter[str]:
    """Count sealed values by encryption key, by what stands beside them: nothing is opened. ``""``: no key id."""
    found: Counter[str] = Counter()
    for column in SEALED:
        blob, key_id, _ = column.columns()
        named = func.coalesce(key_id, "")
        for name, number in session.execute(select(named, func.count()).where(blob.is_not(None)).group_by(named)):
            found[name] += number
    return found


def unbound(session: Session, ring: KeyRing) -> Counter[str]:
    """Count the values of other programs, not adopted yet, by the key of *ring* that opens them; ``""``: none does."""
    found: Counter[str] = Counter()
    for column in SEALED:
        blob, key_id, binding = column.columns()
        bare = select(blob).where(blob.is_not(None), func.coalesce(key_id, "") == "", func.coalesce(binding, "") == "")
        found.update(ring.find(text) or "" for text in session.scalars(bare))
    return found
