"""The tables. Ranges and shapes are CHECKs as well as rules of :mod:`core.schemas`: raw SQL meets them too."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from core.parameters import KINDS, PARAMETERS

NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
USERNAME_PATTERN = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
ROLES = ("admin", "analyst")


class Table(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMING))):
    """Base of every table. A registry of its own survives Streamlit's hot reload."""


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _active() -> Column[bool]:
    return Column(Boolean, nullable=False, server_default=text("true"))


def _version() -> Column[int]:
    return Column(Integer, nullable=False, server_default=text("1"))


def _changes() -> Column[Any]:
    return Column(JSONB, nullable=False, server_default=text("'{}'::jsonb"))


def _now() -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=False, server_default=func.now())


class LlmProvider(Table, table=True):
    """One LLM vendor or endpoint. ``version``, ``updated_*`` and ``field_changes`` are written by a trigger."""

    __tablename__ = "llm_providers"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9_-]{1,50}$'", name="name"),
        CheckConstraint("char_length(display_name) BETWEEN 1 AND 100", name="display_name"),
        CheckConstraint("char_length(description) <= 2000", name="description"),
        CheckConstraint(_one_of("kind", tuple(KINDS)), name="kind"),
        CheckConstraint("api_base_url ~ '^https?://' AND char_length(api_base_url) <= 500", name="api_base_url"),
        CheckConstraint("kind <> 'openai_compatible' OR api_base_url IS NOT NULL", name="api_base_url_present"),
        CheckConstraint(
            "CASE WHEN jsonb_typeof(available_models) = 'array' THEN jsonb_array_length(available_models) > 0 ELSE false END",
            name="available_models",
        ),
        CheckConstraint("jsonb_exists(available_models, default_model)", name="default_model"),
        Index(None, "name", unique=True),
        Index(None, "is_active"),
        {"comment": "LLM vendors and endpoints"},
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    display_name: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    kind: str = Field(sa_type=Text)
    api_key_encrypted: str | None = Field(default=None, sa_type=Text, repr=False)
    api_key_masked: str | None = Field(default=None, sa_type=Text)
    api_key_key_id: str | None = Field(default=None, sa_type=Text)
    api_key_binding: str | None = Field(default=None, sa_type=Text, repr=False)
    api_key_set_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    api_base_url: str | None = Field(default=None, sa_type=Text)
    available_models: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    default_model: str | None = Field(default=None, sa_type=Text)
    is_active: bool = Field(default=True, sa_column=_active())
    version: int = Field(default=None, sa_column=_version())
    created_at: datetime = Field(default=None, sa_column=_now())
    updated_at: datetime = Field(default=None, sa_column=_now())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=_changes())


class LlmSettings(Table, table=True):
    """Stored parameters of one scope; NULL inherits. The last five columns are written by a trigger."""

    __tablename__ = "llm_settings"
    __table_args__ = (
        *(
            CheckConstraint(f"{p.name} BETWEEN {p.minimum} AND {p.maximum}", name=p.name)
            for p in PARAMETERS.values()
            if p.minimum is not None
        ),
        CheckConstraint(_one_of("log_level", PARAMETERS["log_level"].choices), name="log_level"),
        CheckConstraint("preferred_model IS NULL OR provider_id IS NOT NULL", name="preferred_model"),
        CheckConstraint("jsonb_typeof(omitted_parameters) = 'array'", name="omitted_parameters"),
        CheckConstraint(
            "jsonb_typeof(custom_settings) = 'object' AND octet_length(custom_settings::text) <= 32768",
            name="custom_settings",
        ),
        Index(
            "llm_settings_active_scope_key",
            "organization_id",
            "provider_id",
            unique=True,
            postgresql_where=text("is_active"),
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "organization_id", "provider_id"),
        Index(None, "organization_id"),
        Index(None, "provider_id"),
        Index(None, "is_active"),
        {"comment": "Stored parameters of one scope; NULL inherits"},
    )

    id: int | None = Field(default=None, primary_key=True)
    organization_id: int | None = None
    provider_id: int | None = Field(
        default=None, sa_column=Column(Integer, ForeignKey("llm_providers.id", ondelete="CASCADE"))
    )
    preferred_model: str | None = Field(default=None, sa_type=Text)
    temperature: float | None = Field(default=None, sa_type=Double)
    max_tokens: int | None = None
    top_p: float | None = Field(default=None, sa_type=Double)
    frequency_penalty: float | None = Field(default=None, sa_type=Double)
    presence_penalty: float | None = Field(default=None, sa_type=Double)
    max_retries: int | None = None
    retry_backoff_ms: int | None = None
    request_timeout_ms: int | None = None
    enable_logging: bool | None = None
    log_level: str | None = Field(default=None, sa_type=Text)
    log_request_data: bool | None = None
    log_response_data: bool | None = None
    omitted_parameters: list[str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    custom_settings: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    is_active: bool = Field(default=True, sa_column=_active())
    version: int = Field(default=None, sa_column=_version())
    created_at: datetime = Field(default=None, sa_column=_now())
    updated_at: datetime = Field(default=None, sa_column=_now())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=_changes())


class User(Table, table=True):
    """A person who signs in. ``auth_epoch`` grows when the password, the role or ``is_active`` changes."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"username ~ '{USERNAME_PATTERN}'", name="username"),
        CheckConstraint(_one_of("role", ROLES), name="role"),
        Index(None, "username", unique=True),
    )

    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(sa_type=Text)
    password_hash: str = Field(sa_type=Text, repr=False)
    role: str = Field(sa_type=Text)
    is_active: bool = Field(default=True, sa_column=_active())
    auth_epoch: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default=text("1")))
    created_at: datetime = Field(default=None, sa_column=_now())
    updated_at: datetime = Field(default=None, sa_column=_now())


class SettingsGeneration(Table, table=True):
    """One row: the counter that grows with every change, and the id of this database's history."""

    __tablename__ = "settings_generation"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(default=1, sa_column=Column(Integer, primary_key=True, autoincrement=False))
    generation: int = Field(default=0, sa_column=Column("generation", BigInteger, nullable=False))
    epoch: str = Field(
        default=None, sa_column=Column(Text, nullable=False, server_default=text("gen_random_uuid()::text"))
    )


class SettingsChange(Table, table=True):
    """Which rows each generation changed; a reader that is behind reads only these. Old ones are pruned."""

    __tablename__ = "settings_changes"

    generation: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    table_name: str = Field(sa_column=Column(Text, primary_key=True))
    row_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
