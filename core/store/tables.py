"""The tables of what people set, and of who may. Ranges and shapes are CHECKs as well as rules of :mod:`core.store.schemas`: raw SQL meets them too."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from ..kinds import KINDS
from . import (  # noqa: F401  # load their tables: METADATA has them too
    budget_tables,
    history_tables,
    notification_tables,
    personal_data_tables,
    preset_tables,
    rate_tables,
    records,
    spend_tables,
)
from .organization_tables import MEMBER_ROLES
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

USERNAME_PATTERN = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
ROLES = ("admin", "analyst")
TOKEN_ROLES = (*ROLES, "metrics")
MEMBER = "member"
"""The role of a user, or of a token, that sees nothing but its organisations. Versions before know no such role, and let
whoever has it do nothing."""
SECRET_USES = ("header", "query", "next_key")
NEXT_KEY_NAMES = ("next", "former")
FACT_ORIGINS = ("operator", "observed", "imported")
_NO_ADDRESS = tuple(kind.name for kind in KINDS.values() if kind.base_url is None)


class LlmProvider(Table, table=True):
    """One LLM vendor or endpoint. ``version``, ``updated_*`` and ``field_changes`` are written by a trigger."""

    __tablename__ = "llm_providers"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9_-]{1,50}$'", name="name"),
        CheckConstraint("char_length(display_name) BETWEEN 1 AND 100", name="display_name"),
        CheckConstraint("char_length(description) <= 2000", name="description"),
        CheckConstraint(one_of("kind", tuple(KINDS)), name="kind"),
        CheckConstraint("api_base_url ~ '^https?://' AND char_length(api_base_url) <= 500", name="api_base_url"),
        CheckConstraint(f"{one_of('kind NOT', _NO_ADDRESS)} OR api_base_url IS NOT NULL", name="api_base_url_present"),
        CheckConstraint(
            "CASE WHEN jsonb_typeof(available_models) = 'array' THEN jsonb_array_length(available_models) > 0 ELSE false END",
            name="available_models",
        ),
        CheckConstraint("jsonb_exists(available_models, default_model)", name="default_model"),
        CheckConstraint(f"api_key_fingerprint ~ '{FINGERPRINT_PATTERN}'", name="api_key_fingerprint"),
        Index(None, "name", unique=True),
        Index(None, "is_active"),
        {"comment": "LLM vendors and endpoints"},
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    display_name: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    kind: str = Field(sa_type=Text)
    api_key_encrypted: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    api_key_masked: str | None = Field(default=None, sa_type=Text)
    api_key_key_id: str | None = Field(default=None, sa_type=Text)
    api_key_binding: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    api_key_set_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    api_key_fingerprint: str | None = Field(default=None, sa_type=Text, exclude=True)
    """See :func:`core.store.sealed.fingerprint_of`, which reads it."""
    api_base_url: str | None = Field(default=None, sa_type=Text)
    needs_key: bool = Field(default=True, sa_column=active_column())
    available_models: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    default_model: str | None = Field(default=None, sa_type=Text)
    is_active: bool = Field(default=True, sa_column=active_column())
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class LlmProviderSecret(Table, table=True):
    """What a provider's calls carry besides its key, and its next key; plain or sealed, never both.

    ``use``: ``header`` and ``query`` are sent with each call; ``next_key`` waits to be promoted (name ``next``), or was the
    current key before that (``former``). ``version``, ``updated_*`` and ``field_changes`` are written by a trigger.
    """

    __tablename__ = "llm_provider_secrets"
    __table_args__ = (
        CheckConstraint(one_of("use", SECRET_USES), name="use"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
        CheckConstraint(f"use <> 'next_key' OR {one_of('name', NEXT_KEY_NAMES)}", name="next_key"),
        CheckConstraint("char_length(plain_value) <= 8192", name="plain_value"),
        CheckConstraint(
            "(plain_value IS NULL) <> (value_encrypted IS NULL) AND (use <> 'next_key' OR plain_value IS NULL)",
            name="one_value",
        ),
        CheckConstraint(f"value_fingerprint ~ '{FINGERPRINT_PATTERN}'", name="value_fingerprint"),
        Index(
            "llm_provider_secrets_header_key",
            "provider_id",
            text("lower(name)"),
            unique=True,
            postgresql_where=text("use = 'header'"),
        ),
        Index(
            "llm_provider_secrets_query_key", "provider_id", "name", unique=True, postgresql_where=text("use = 'query'")
        ),
        Index(
            "llm_provider_secrets_next_key_key", "provider_id", unique=True, postgresql_where=text("use = 'next_key'")
        ),
        Index(None, "provider_id"),
        {"comment": "Headers, query parameters and next keys of providers"},
    )

    id: int | None = Field(default=None, primary_key=True)
    provider_id: int = Field(
        sa_column=Column(Integer, ForeignKey("llm_providers.id", ondelete="CASCADE"), nullable=False)
    )
    use: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    plain_value: str | None = Field(default=None, sa_type=Text)
    value_encrypted: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    value_masked: str | None = Field(default=None, sa_type=Text)
    value_key_id: str | None = Field(default=None, sa_type=Text)
    value_binding: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    value_set_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    value_fingerprint: str | None = Field(default=None, sa_type=Text, exclude=True)
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class LlmSettings(Parameters, table=True):
    """Stored parameters of one scope; NULL inherits. The last five columns are written by a trigger."""

    __tablename__ = "llm_settings"
    __table_args__ = (
        *checks(),
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
        Index(None, "default_provider_id", postgresql_where=text("default_provider_id IS NOT NULL")),
        {"comment": "Stored parameters of one scope; NULL inherits"},
    )

    id: int | None = Field(default=None, primary_key=True)
    organization_id: int | None = Field(default=None, sa_column=reference("organizations", ondelete="CASCADE"))
    provider_id: int | None = Field(default=None, sa_column=reference("llm_providers", ondelete="CASCADE"))
    default_provider_id: int | None = Field(default=None, sa_column=reference("llm_providers"))
    is_active: bool = Field(default=True, sa_column=active_column())
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class LlmModelFacts(Table, table=True):
    """What is known of the models whose names match a pattern. The last five columns are written by a trigger.

    ``origin``: ``operator`` is an admin's word, ``observed`` a vendor's own list, ``imported`` a newer catalogue.
    """

    __tablename__ = "llm_model_facts"
    __table_args__ = (
        CheckConstraint(one_of("origin", FACT_ORIGINS), name="origin"),
        CheckConstraint("char_length(api) BETWEEN 1 AND 300", name="api"),
        CheckConstraint("char_length(pattern) BETWEEN 1 AND 300", name="pattern"),
        CheckConstraint(
            "jsonb_typeof(facts) = 'object' AND octet_length(facts::text)"
            " <= CASE origin WHEN 'operator' THEN 65536 ELSE 16384 END",
            name="facts",
        ),
        CheckConstraint(
            "char_length(why) BETWEEN 1 AND 2000 AND (why IS NOT NULL OR origin <> 'operator')", name="why"
        ),
        Index(
            "llm_model_facts_active_key",
            "origin",
            "api",
            "pattern",
            unique=True,
            postgresql_where=text("is_active"),
            postgresql_nulls_not_distinct=True,
        ),
        {
            "comment": "What is known of models beside the catalogue: by an admin, the vendors' lists, an imported catalogue"
        },
    )

    id: int | None = Field(default=None, primary_key=True)
    api: str | None = Field(default=None, sa_type=Text)
    """A key of :data:`core.models.apis.APIS`, perhaps with ``@`` and a host; NULL: wherever the model is called."""
    pattern: str = Field(sa_type=Text)
    origin: str = Field(sa_type=Text)
    facts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    why: str | None = Field(default=None, sa_type=Text)
    as_of: datetime = Field(default=None, sa_column=now_column())
    is_active: bool = Field(default=True, sa_column=active_column())
    version: int = Field(default=None, sa_column=version_column())
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())
    updated_by: str | None = Field(default=None, sa_type=Text)
    field_changes: dict[str, Any] = Field(default=None, sa_column=changes_column())


class User(Table, table=True):
    """A person who signs in. ``auth_epoch`` grows when the password, the role or ``is_active`` changes.

    Who signs in at an identity provider is known by its issuer and subject, and needs no password here.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"username ~ '{USERNAME_PATTERN}'", name="username"),
        CheckConstraint(one_of("role", (*ROLES, MEMBER)), name="role"),
        CheckConstraint(
            "(sso_issuer IS NULL) = (sso_subject IS NULL) AND (password_hash IS NOT NULL OR sso_subject IS NOT NULL)",
            name="signs_in",
        ),
        CheckConstraint("char_length(sso_issuer) <= 2000", name="sso_issuer"),
        CheckConstraint("char_length(sso_subject) BETWEEN 1 AND 255", name="sso_subject"),
        CheckConstraint("NOT break_glass OR password_hash IS NOT NULL", name="break_glass"),
        Index(None, "username", unique=True),
        Index(
            "users_sso_key", "sso_issuer", "sso_subject", unique=True, postgresql_where=text("sso_subject IS NOT NULL")
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(sa_type=Text)
    password_hash: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    """None: no password signs this user in."""
    role: str = Field(sa_type=Text)
    is_active: bool = Field(default=True, sa_column=active_column())
    auth_epoch: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default=text("1")))
    must_change_password: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )
    sso_issuer: str | None = Field(default=None, sa_type=Text)
    sso_subject: str | None = Field(default=None, sa_type=Text)
    break_glass: bool = Field(default=False, sa_column=off_column())
    """Whether the password signs in also where ``LLM_OIDC_ONLY`` refuses those of others."""
    created_at: datetime = Field(default=None, sa_column=now_column())
    updated_at: datetime = Field(default=None, sa_column=now_column())


class AuthSession(Table, table=True):
    """One sign-in. The browser holds the secret, the table its SHA-256; a ticket is exchanged for it once."""

    __tablename__ = "auth_sessions"
    __table_args__ = (
        Index(None, "sid_hash", unique=True),
        Index(None, "ticket_hash", unique=True),
        Index(None, "user_id"),
        Index(None, "sso_sid", postgresql_where=text("sso_sid IS NOT NULL")),
    )

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(sa_column=Column(Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False))
    auth_epoch: int
    sid_hash: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    ticket_hash: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    ticket_expires_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    created_at: datetime = Field(default=None, sa_column=now_column())
    last_seen_at: datetime = Field(default=None, sa_column=now_column())
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    revoked_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    revoked_because: str | None = Field(default=None, sa_type=Text)
    address: str | None = Field(default=None, sa_type=Text)
    user_agent: str | None = Field(default=None, sa_type=Text)
    sso_sid: str | None = Field(default=None, sa_type=Text)
    """The identity provider's own session, by which it ends this one; empty if it names none. None: by a password."""


class SecondFactor(Table, table=True):
    """The second factor of a user: the sealed seed of the codes that an app shows. It counts once it is confirmed by a code."""

    __tablename__ = "second_factors"
    __table_args__ = (Index(None, "user_id", unique=True),)

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(sa_column=Column(Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False))
    seed_encrypted: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    seed_key_id: str | None = Field(default=None, sa_type=Text)
    seed_binding: str | None = Field(default=None, sa_type=Text, repr=False, exclude=True)
    last_step: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Of the last code that was used, in 30 seconds since 1970: none before it counts any more."""
    created_at: datetime = Field(default=None, sa_column=now_column())
    confirmed_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class RecoveryCode(Table, table=True):
    """A code that stands for the second factor once; the table has its SHA-256."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index(None, "user_id", "code_hash", unique=True),)

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(sa_column=Column(Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False))
    code_hash: str = Field(sa_type=Text, repr=False, exclude=True)
    used_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))


class SecondFactorStep(Table, table=True):
    """Somebody between the right password and the code, as SHA-256; good once, for five minutes."""

    __tablename__ = "second_factor_steps"
    __table_args__ = (Index(None, "user_id"), Index(None, "expires_at"))

    digest: str = Field(sa_column=Column(Text, primary_key=True), repr=False)
    user_id: int = Field(sa_column=Column(Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False))
    auth_epoch: int
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class SsoUsed(Table, table=True):
    """What counts once: numbers of logout tokens, and states of sign-ins at an identity provider, as SHA-256, until they are too old anyway."""

    __tablename__ = "sso_used"
    __table_args__ = (Index(None, "expires_at"),)

    digest: str = Field(sa_column=Column(Text, primary_key=True), repr=False)
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class ApiToken(Table, table=True):
    """How a program signs in to the REST API. It holds the token, the table its SHA-256; a revoked one stays listed."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
        CheckConstraint(one_of("role", (*TOKEN_ROLES, MEMBER)), name="role"),
        CheckConstraint(one_of("organization_role", MEMBER_ROLES), name="organization_role"),
        CheckConstraint(
            f"(role = '{MEMBER}') = (organization_id IS NOT NULL) AND (role = '{MEMBER}') = (organization_role IS NOT NULL)",
            name="organization_id",
        ),
        Index(None, "token_hash", unique=True),
        Index(None, "organization_id", postgresql_where=text("organization_id IS NOT NULL")),
        Index("api_tokens_live_name_key", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(sa_type=Text)
    token_hash: str = Field(sa_type=Text, repr=False, exclude=True)
    hint: str = Field(sa_type=Text)
    role: str = Field(sa_type=Text)
    organization_id: int | None = Field(default=None, sa_column=reference("organizations", ondelete="CASCADE"))
    """The one organisation that it may see; its role is ``member`` then, and what it may there is the next column."""
    organization_role: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(default=None, sa_column=now_column())
    created_by: str = Field(sa_type=Text)
    expires_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    last_used_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    last_used_from: str | None = Field(default=None, sa_type=Text)
    revoked_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))
    revoked_by: str | None = Field(default=None, sa_type=Text)


class EncryptionCanary(Table, table=True):
    """A sealed sample for each encryption key that was ever primary: it tells a wrong key from a damaged row."""

    __tablename__ = "encryption_canaries"

    key_id: str = Field(sa_column=Column(Text, primary_key=True))
    blob: str = Field(sa_type=Text, repr=False, exclude=True)
    binding: str = Field(sa_type=Text, repr=False, exclude=True)
    created_at: datetime = Field(default=None, sa_column=now_column())


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


METADATA = Table.metadata
"""All tables: those of this room, of :mod:`~.organization_tables`, of :mod:`~.history_tables`, of :mod:`~.notification_tables`, of
:mod:`~.preset_tables`, of :mod:`~.budget_tables`, of :mod:`~.rate_tables` and of :mod:`~.records`."""
