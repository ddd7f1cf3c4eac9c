"""What every table has: one way to name constraints, columns that many have, and an id once it is stored."""

from datetime import datetime
from typing import Any, Literal, NoReturn, Protocol

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


FINGERPRINT_PATTERN = "^[0-9a-f]{8}@[0-9a-f]{8}$"


class Table(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMING))):
    """Base of every table. A registry of its own survives Streamlit's hot reload.

    ``exclude=True`` keeps a column out of ``model_dump``, whoever asks for it: what is sealed, hashed or bound.
    """

    def __reduce__(self) -> NoReturn:
        raise TypeError("A row is not pickled: it may hold a sealed key or the hash of a password.")


class Numbered(Protocol):
    """A row with an id."""

    id: int | None


def id_of(row: Numbered) -> int:
    """Return the id of a stored row.

    Raises:
        ValueError: If it has none: it was not written yet.
    """
    if row.id is None:
        raise ValueError(f"This {type(row).__name__} has no id: it was not written yet")
    return row.id


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return the CHECK that *column* has one of *values*."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def active_column() -> Column[bool]:
    """Return a flag that is true unless somebody says otherwise."""
    return Column(Boolean, nullable=False, server_default=text("true"))


def off_column() -> Column[bool]:
    """Return a flag that is false unless somebody says otherwise."""
    return Column(Boolean, nullable=False, server_default=text("false"))


def reference(table: str, *, nullable: bool = True, ondelete: Literal["CASCADE"] | None = None) -> Column[int]:
    """Return the id of a row of another table; without *ondelete* that row cannot be deleted while this one names it."""
    return Column(Integer, ForeignKey(f"{table}.id", ondelete=ondelete), nullable=nullable)


def version_column() -> Column[int]:
    """Return the number that a trigger raises with each change, from 1."""
    return Column(Integer, nullable=False, server_default=text("1"))


def changes_column() -> Column[Any]:
    """Return what a trigger, or an event, says of the fields that changed."""
    return Column(JSONB, nullable=False, server_default=text("'{}'::jsonb"))


def now_column() -> Column[datetime]:
    """Return a time with its zone; the database's clock gives it."""
    return Column(DateTime(timezone=True), nullable=False, server_default=func.now())
