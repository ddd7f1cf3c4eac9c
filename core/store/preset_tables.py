"""The table of named sets of parameters. Not to be taken for :mod:`core.presets`, which has the facts of vendors."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from .parameter_columns import MAX_JSON
from .table import Table, changes_column, now_column, version_column

NAME_PATTERN = "^[a-z0-9][a-z0-9._-]{0,99}$"


class SettingsPreset(Table, table=True):
    """A named set of parameters: copied into a settings row when it is applied. The last columns are written by a trigger."""

    __tablename__ = "settings_presets"
    __table_args__ = (
        CheckConstraint(f"name ~ '{NAME_PATTERN}'", name="name"),
        CheckConstraint("char_length(description) <= 2000", name="description"),
        CheckConstraint(
            f"jsonb_typeof(fields) = 'object' AND octet_length(fields::text) <= {2 * MAX_JSON}", name="fields"
        ),
        Index(None, "name", unique=True),
        {"comment": "Named sets of parameters, copied when they are applied"},
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    fields: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'::jsonb"))
    )
    """Field of a settings row -> its value; what is not named stays as it is."""
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())
