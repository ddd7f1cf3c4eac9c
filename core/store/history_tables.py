"""The tables of history: when each generation came, and what each row was from then on. Triggers write them, the application's role reads."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from .table import Table, one_of

OPERATIONS = ("+", "=", "-")


class GenerationRecord(Table, table=True):
    """When a generation came: never before the one before, whatever the clock says; by whom, and why."""

    __tablename__ = "settings_generations"
    __table_args__ = (
        Index(None, "at", "generation"),
        {"comment": "When each generation came, by whom, and why"},
    )

    generation: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    by: str = Field(sa_type=Text)
    comment: str | None = Field(default=None, sa_type=Text)


class RowVersion(Table, table=True):
    """What a row was from a generation on: ``+`` made, ``=`` changed, ``-`` gone.

    ``image`` is the row without NULLs, without its stamps and without what is sealed: of a sealed value it says that there
    is one, and the fingerprint. ``field_changes`` is there in a version with nothing before it: who had set which field until then.
    """

    __tablename__ = "settings_history"
    __table_args__ = (
        CheckConstraint(one_of("op", OPERATIONS), name="op"),
        CheckConstraint("(op = '-') = (image IS NULL)", name="image"),
        Index(None, "generation"),
        Index(None, "organization_id", "generation", postgresql_where=text("organization_id IS NOT NULL")),
        Index(
            "settings_history_global_idx",
            "table_name",
            "row_id",
            text("generation DESC"),
            postgresql_where=text("organization_id IS NULL"),
        ),
        Index(
            "settings_history_organization_name_idx",
            text("(image ->> 'name')"),
            postgresql_where=text("table_name = 'organization_names'"),
        ),
        {"comment": "A version of each row at each generation that changed it, without what is sealed"},
    )

    table_name: str = Field(sa_column=Column(Text, primary_key=True))
    row_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    generation: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    organization_id: int | None = Field(default=None, sa_column=Column(Integer))
    op: str = Field(sa_type=Text)
    by: str = Field(sa_type=Text)
    version: int | None = Field(default=None, sa_column=Column(Integer))
    """Of the row."""
    image: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    field_changes: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
