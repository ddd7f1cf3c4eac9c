"""The table of what becomes of personal data in calls: a row of settings for each scope that says something of it."""

from datetime import datetime
from typing import Any, Final, get_args

from sqlalchemy import CheckConstraint, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from ..resolving.personal_data import CHOICES, LONGEST_ENGINE
from .table import Table, active_column, changes_column, now_column, off_column, one_of, reference, version_column

MOST_PATTERNS: Final = 20
MOST_ALLOWED: Final = 200
MAX_PERSONAL_JSON: Final = 256 * 1024
"""Bytes of one list."""
_MOST: Final = {"types": 50, "countries": 300, "patterns": MOST_PATTERNS, "allow": MOST_ALLOWED}
_Json: Final = JSONB(none_as_null=True)


class LlmPiiSettings(Table, table=True):
    """What becomes of personal data in a scope; NULL inherits, and NULL in a scope's column is all. The last columns are written by a trigger."""

    __tablename__ = "llm_pii_settings"
    __table_args__ = (
        *(CheckConstraint(one_of(column, get_args(words)), name=column) for column, words in CHOICES.items()),
        CheckConstraint(f"char_length(engine) BETWEEN 1 AND {LONGEST_ENGINE}", name="engine"),
        *(
            CheckConstraint(
                f"{column} IS NULL OR CASE WHEN jsonb_typeof({column}) = 'array' THEN jsonb_array_length({column}) <= {most}"
                f" AND octet_length({column}::text) <= {MAX_PERSONAL_JSON} ELSE false END",
                name=column,
            )
            for column, most in _MOST.items()
        ),
        Index(
            "llm_pii_settings_scope_key",
            "organization_id",
            "feature_id",
            "provider_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "feature_id"),
        Index(None, "provider_id"),
        {"comment": "What becomes of personal data; NULL inherits"},
    )

    id: int | None = Field(default=None, primary_key=True)
    organization_id: int | None = Field(default=None, sa_column=reference("organizations", ondelete="CASCADE"))
    feature_id: int | None = Field(default=None, sa_column=reference("llm_features", ondelete="CASCADE"))
    provider_id: int | None = Field(default=None, sa_column=reference("llm_providers", ondelete="CASCADE"))
    logs: str | None = Field(default=None, sa_type=Text)
    prompts: str | None = Field(default=None, sa_type=Text)
    answers: str | None = Field(default=None, sa_type=Text)
    restore: bool | None = None
    types: list[str] | None = Field(default=None, sa_type=_Json)
    countries: list[str] | None = Field(default=None, sa_type=_Json)
    engine: str | None = Field(default=None, sa_type=Text)
    patterns: list[dict[str, Any]] | None = Field(default=None, sa_type=_Json)
    """Each with ``name``, ``pattern``, ``matches`` (an example that it finds) and ``spares`` (one that it does not)."""
    allow: list[str] | None = Field(default=None, sa_type=_Json)
    on_failure: str | None = Field(default=None, sa_type=Text)
    is_active: bool = Field(default=True, sa_column=active_column())
    awaits_decision: bool = Field(default=False, sa_column=off_column())
    """Written by an upgrade, and nobody has saved it since."""
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())
