"""The tables of organisations, their features, and what the installation decides for all of them. Raw SQL meets their CHECKs too."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Identity, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from .parameter_columns import Parameters, checks
from .table import (
    FINGERPRINT_PATTERN,
    Table,
    active_column,
    changes_column,
    now_column,
    off_column,
    one_of,
    reference,
    version_column,
)

SLUG_PATTERN = "^[a-z0-9][a-z0-9_-]{0,62}$"
FEATURE_PATTERN = "^[a-z0-9][a-z0-9._-]{0,99}$"
ORGANIZATION_KINDS = ("organization", "template")
NAME_KINDS = ("slug", "external", "former")
MEMBER_ROLES = ("admin", "analyst")
ORGANIZATIONS_ARE = ("closed", "open")
LIMIT_OWNERS = ("installation", "organization")
MAX_LIMITS = 16_384
"""Bytes of the rules of one row of limits, as PostgreSQL writes them."""
MAX_NOTE = 500
"""Characters."""


class Organization(Table, table=True):
    """A tenant of the services that resolve, or a template, which others build on and nobody resolves.

    A deleted one keeps its row, its names and all it has, so that it can be restored, until it is purged; a name of it is
    free to be taken by another. The last columns are written by a trigger.
    """

    __tablename__ = "organizations"
    __table_args__ = (
        CheckConstraint(f"slug ~ '{SLUG_PATTERN}'", name="slug"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name"),
        CheckConstraint(one_of("kind", ORGANIZATION_KINDS), name="kind"),
        CheckConstraint("template_id IS NULL OR (kind = 'organization' AND template_id <> id)", name="template_id"),
        CheckConstraint("keep_calls_days BETWEEN 1 AND 36500", name="keep_calls_days"),
        Index("organizations_live_slug_key", "slug", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index(None, "template_id", postgresql_where=text("template_id IS NOT NULL")),
        {"comment": "Tenants of the services that resolve, and templates that they build on"},
    )

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    kind: str = Field(
        default="organization", sa_column=Column(Text, nullable=False, server_default=text("'organization'"))
    )
    template_id: int | None = Field(default=None, sa_column=reference("organizations"))
    shares_keys: bool = Field(default=True, sa_column=active_column())
    """Whether the installation's keys serve it where it has none of its own."""
    is_active: bool = Field(default=True, sa_column=active_column())
    keep_calls_days: int | None = Field(default=None, sa_column=Column(Integer))
    """So many days its calls stay in the request log, if the installation does not say fewer; NULL: as it says."""
    deleted_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class OrganizationName(Table, table=True):
    """A name by which services ask for an organisation: its slug, one of their own (external), or a slug it had (former)."""

    __tablename__ = "organization_names"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name"),
        CheckConstraint(one_of("kind", NAME_KINDS), name="kind"),
        Index("organization_names_name_idx", "name", postgresql_ops={"name": "text_pattern_ops"}),
        Index("organization_names_slug_key", "organization_id", unique=True, postgresql_where=text("kind = 'slug'")),
        Index(None, "organization_id"),
        {"comment": "Names by which services ask for organisations"},
    )

    name: str = Field(sa_column=Column(Text, primary_key=True))
    organization_id: int = Field(sa_column=reference("organizations", nullable=False, ondelete="CASCADE"))
    kind: str = Field(sa_type=Text)
    id: int | None = Field(default=None, sa_column=Column(Integer, Identity(), nullable=False))
    """By which its history is kept."""


class OrganizationMember(Table, table=True):
    """A user who may manage an organisation (admin), or see what is in force there (analyst)."""

    __tablename__ = "organization_members"
    __table_args__ = (
        CheckConstraint(one_of("role", MEMBER_ROLES), name="role"),
        Index(None, "organization_id"),
        {"comment": "Who belongs to an organisation, and as what"},
    )

    user_id: int = Field(
        sa_column=Column(Integer, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    )
    organization_id: int = Field(
        sa_column=Column(
            Integer, ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
        )
    )
    role: str = Field(sa_type=Text)


class OrganizationProvider(Table, table=True):
    """What one organisation may of one provider, and its own key there. The last columns are written by a trigger."""

    __tablename__ = "organization_providers"
    __table_args__ = (
        CheckConstraint(
            "allowed_models IS NULL OR jsonb_typeof(allowed_models) = 'array'",
            name="allowed_models",
        ),
        CheckConstraint("jsonb_typeof(own_models) = 'array'", name="own_models"),
        CheckConstraint(f"api_key_fingerprint ~ '{FINGERPRINT_PATTERN}'", name="api_key_fingerprint"),
        Index(None, "organization_id", "provider_id", unique=True),
        Index(None, "provider_id"),
        {"comment": "What an organisation may of a provider, and its own key there"},
    )

    id: int | None = Field(default=None, primary_key=True)
    organization_id: int = Field(sa_column=reference("organizations", nullable=False, ondelete="CASCADE"))
    provider_id: int = Field(sa_column=reference("llm_providers", nullable=False, ondelete="CASCADE"))
    is_allowed: bool | None = None
    """NULL: as the template says, and if that says nothing: yes."""
    requires_own_key: bool = Field(default=False, sa_column=off_column())
    """Whether the installation's key does not serve it here, whatever ``shares_keys`` says."""
    allowed_models: list[str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    """NULL: all; an empty list: none."""
    own_models: list[str] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False, server_default=text("'[]'::jsonb"))
    )
    """Beside the provider's; they count only together with an own key."""
    api_key_encrypted: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    api_key_masked: str | None = Field(default=None, sa_type=Text)
    api_key_key_id: str | None = Field(default=None, sa_type=Text)
    api_key_binding: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    api_key_set_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    api_key_fingerprint: str | None = Field(default=None, sa_type=Text, exclude=True)
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class LlmFeature(Table, table=True):
    """A purpose of the programs that resolve, as ``summarise``. The last columns are written by a trigger."""

    __tablename__ = "llm_features"
    __table_args__ = (
        CheckConstraint(f"name ~ '{FEATURE_PATTERN}'", name="name"),
        CheckConstraint("char_length(display_name) BETWEEN 1 AND 100", name="display_name"),
        CheckConstraint("char_length(description) <= 2000", name="description"),
        Index(None, "name", unique=True),
        {"comment": "What programs use models for"},
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    display_name: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    is_active: bool = Field(default=True, sa_column=active_column())
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class FeatureLlmOverride(Parameters, table=True):
    """Stored parameters of a feature, perhaps of one organisation, perhaps of one provider; NULL inherits.

    In a table of its own: versions before read every row of ``llm_settings`` without an organisation as one of all features.
    """

    __tablename__ = "feature_llm_overrides"
    __table_args__ = (
        *checks(),
        Index(
            "feature_llm_overrides_active_scope_key",
            "organization_id",
            "feature_id",
            "provider_id",
            unique=True,
            postgresql_where=text("is_active"),
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "feature_id"),
        Index(None, "organization_id"),
        Index(None, "provider_id"),
        Index(None, "default_provider_id", postgresql_where=text("default_provider_id IS NOT NULL")),
        {"comment": "Stored parameters of a feature; NULL inherits"},
    )

    id: int | None = Field(default=None, primary_key=True)
    feature_id: int = Field(sa_column=reference("llm_features", nullable=False, ondelete="CASCADE"))
    organization_id: int | None = Field(default=None, sa_column=reference("organizations", ondelete="CASCADE"))
    provider_id: int | None = Field(default=None, sa_column=reference("llm_providers", ondelete="CASCADE"))
    default_provider_id: int | None = Field(default=None, sa_column=reference("llm_providers"))
    is_active: bool = Field(default=True, sa_column=active_column())
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class LlmLimits(Table, table=True):
    """What settings of a scope, and of all above it, may say of parameters: field -> rule. The last columns are written by a trigger.

    In ``field_changes`` each field that is limited has a stamp of its own, as ``limits.max_tokens``.
    """

    __tablename__ = "llm_limits"
    __table_args__ = (
        CheckConstraint(one_of("owner", LIMIT_OWNERS), name="owner"),
        CheckConstraint("owner = 'installation' OR organization_id IS NOT NULL", name="organization_id"),
        CheckConstraint(
            f"jsonb_typeof(limits) = 'object' AND octet_length(limits::text) <= {MAX_LIMITS}", name="limits"
        ),
        CheckConstraint(f"char_length(note) BETWEEN 1 AND {MAX_NOTE}", name="note"),
        Index(
            "llm_limits_scope_key",
            "owner",
            "organization_id",
            "feature_id",
            "provider_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "organization_id"),
        Index(None, "feature_id"),
        Index(None, "provider_id"),
        {"comment": "What may be said of parameters at all, and who says so"},
    )

    id: int | None = Field(default=None, primary_key=True)
    owner: str = Field(sa_type=Text)
    organization_id: int | None = Field(default=None, sa_column=reference("organizations", ondelete="CASCADE"))
    feature_id: int | None = Field(default=None, sa_column=reference("llm_features", ondelete="CASCADE"))
    provider_id: int | None = Field(default=None, sa_column=reference("llm_providers", ondelete="CASCADE"))
    limits: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    """Field -> rule, as :mod:`core.resolving.limits` reads it."""
    note: str | None = Field(default=None, sa_type=Text)
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class Installation(Table, table=True):
    """One row: what an admin decides for the whole store. The last columns are written by a trigger."""

    __tablename__ = "installation"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint(one_of("organizations", ORGANIZATIONS_ARE), name="organizations"),
        CheckConstraint("keep_history_days BETWEEN 1 AND 36500", name="keep_history_days"),
        CheckConstraint("keep_calls_days BETWEEN 1 AND 36500", name="keep_calls_days"),
        CheckConstraint("keep_audit_days BETWEEN 30 AND 36500", name="keep_audit_days"),
        {"comment": "What an admin decides for the whole store"},
    )

    id: int = Field(default=1, sa_column=Column(Integer, primary_key=True, autoincrement=False))
    organizations: str = Field(
        default="closed", sa_column=Column(Text, nullable=False, server_default=text("'closed'"))
    )
    """``closed``: a name that nobody registered has no key; ``open``: it is served as without an organisation."""
    require_reason: bool = Field(default=False, sa_column=off_column())
    """Whether each change needs a reason: see :mod:`core.audit.reasons`."""
    keep_history_days: int | None = Field(default=None, sa_column=Column(Integer))
    """So many days the history is kept; NULL: for ever."""
    keep_calls_days: int | None = Field(default=None, sa_column=Column(Integer))
    """So many days calls stay in the request log; NULL: for ever, unless LLM_LOG_DAYS says fewer."""
    keep_audit_days: int | None = Field(default=None, sa_column=Column(Integer))
    """So many days events stay in the audit; NULL: for ever."""
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())
