"""Providers, settings and users."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
before_reads = True
before_writes = True


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "llm_providers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_key_encrypted", sa.Text(), nullable=True),
        sa.Column("api_key_masked", sa.Text(), nullable=True),
        sa.Column("api_key_key_id", sa.Text(), nullable=True),
        sa.Column("api_key_binding", sa.Text(), nullable=True),
        sa.Column("api_key_set_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("api_base_url", sa.Text(), nullable=True),
        sa.Column("available_models", postgresql.JSONB(), nullable=False),
        sa.Column("default_model", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint(
            "CASE WHEN jsonb_typeof(available_models) = 'array' THEN jsonb_array_length(available_models) > 0 ELSE false END",
            name=op.f("llm_providers_available_models_check"),
        ),
        sa.CheckConstraint(
            "api_base_url ~ '^https?://' AND char_length(api_base_url) <= 500",
            name=op.f("llm_providers_api_base_url_check"),
        ),
        sa.CheckConstraint(
            "kind <> 'openai_compatible' OR api_base_url IS NOT NULL",
            name=op.f("llm_providers_api_base_url_present_check"),
        ),
        sa.CheckConstraint(
            "kind IN ('openai', 'anthropic', 'google', 'openai_compatible')", name=op.f("llm_providers_kind_check")
        ),
        sa.CheckConstraint("name ~ '^[a-z0-9_-]{1,50}$'", name=op.f("llm_providers_name_check")),
        sa.CheckConstraint("char_length(description) <= 2000", name=op.f("llm_providers_description_check")),
        sa.CheckConstraint(
            "char_length(display_name) BETWEEN 1 AND 100", name=op.f("llm_providers_display_name_check")
        ),
        sa.CheckConstraint(
            "jsonb_exists(available_models, default_model)", name=op.f("llm_providers_default_model_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_providers_pkey")),
        comment="LLM vendors and endpoints",
    )
    op.create_index(op.f("llm_providers_is_active_idx"), "llm_providers", ["is_active"], unique=False)
    op.create_index(op.f("llm_providers_name_idx"), "llm_providers", ["name"], unique=True)
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("auth_epoch", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('admin', 'analyst')", name=op.f("users_role_check")),
        sa.CheckConstraint("username ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'", name=op.f("users_username_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
    )
    op.create_index(op.f("users_username_idx"), "users", ["username"], unique=True)
    op.create_table(
        "llm_settings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.Integer(), nullable=True),
        sa.Column("preferred_model", sa.Text(), nullable=True),
        sa.Column("temperature", sa.Double(), nullable=True),
        sa.Column("max_tokens", sa.Integer(), nullable=True),
        sa.Column("top_p", sa.Double(), nullable=True),
        sa.Column("frequency_penalty", sa.Double(), nullable=True),
        sa.Column("presence_penalty", sa.Double(), nullable=True),
        sa.Column("max_retries", sa.Integer(), nullable=True),
        sa.Column("retry_backoff_ms", sa.Integer(), nullable=True),
        sa.Column("request_timeout_ms", sa.Integer(), nullable=True),
        sa.Column("enable_logging", sa.Boolean(), nullable=True),
        sa.Column("log_level", sa.Text(), nullable=True),
        sa.Column("log_request_data", sa.Boolean(), nullable=True),
        sa.Column("log_response_data", sa.Boolean(), nullable=True),
        sa.Column("omitted_parameters", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("custom_settings", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint(
            "jsonb_typeof(custom_settings) = 'object' AND octet_length(custom_settings::text) <= 32768",
            name=op.f("llm_settings_custom_settings_check"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(omitted_parameters) = 'array'", name=op.f("llm_settings_omitted_parameters_check")
        ),
        sa.CheckConstraint(
            "log_level IN ('full', 'minimal', 'errors_only')", name=op.f("llm_settings_log_level_check")
        ),
        sa.CheckConstraint("frequency_penalty BETWEEN -2.0 AND 2.0", name=op.f("llm_settings_frequency_penalty_check")),
        sa.CheckConstraint("max_retries BETWEEN 0 AND 10", name=op.f("llm_settings_max_retries_check")),
        sa.CheckConstraint("max_tokens BETWEEN 1 AND 100000", name=op.f("llm_settings_max_tokens_check")),
        sa.CheckConstraint(
            "preferred_model IS NULL OR provider_id IS NOT NULL", name=op.f("llm_settings_preferred_model_check")
        ),
        sa.CheckConstraint("presence_penalty BETWEEN -2.0 AND 2.0", name=op.f("llm_settings_presence_penalty_check")),
        sa.CheckConstraint(
            "request_timeout_ms BETWEEN 1000 AND 300000", name=op.f("llm_settings_request_timeout_ms_check")
        ),
        sa.CheckConstraint("retry_backoff_ms BETWEEN 100 AND 10000", name=op.f("llm_settings_retry_backoff_ms_check")),
        sa.CheckConstraint("temperature BETWEEN 0.0 AND 2.0", name=op.f("llm_settings_temperature_check")),
        sa.CheckConstraint("top_p BETWEEN 0.0 AND 1.0", name=op.f("llm_settings_top_p_check")),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["llm_providers.id"], name=op.f("llm_settings_provider_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_settings_pkey")),
        comment="Stored parameters of one scope; NULL inherits",
    )
    op.create_index(
        "llm_settings_active_scope_key",
        "llm_settings",
        ["organization_id", "provider_id"],
        unique=True,
        postgresql_where=sa.text("is_active"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(op.f("llm_settings_is_active_idx"), "llm_settings", ["is_active"], unique=False)
    op.create_index(op.f("llm_settings_organization_id_idx"), "llm_settings", ["organization_id"], unique=False)
    op.create_index(
        op.f("llm_settings_organization_id_provider_id_idx"),
        "llm_settings",
        ["organization_id", "provider_id"],
        unique=False,
    )
    op.create_index(op.f("llm_settings_provider_id_idx"), "llm_settings", ["provider_id"], unique=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("llm_settings")
    op.drop_table("users")
    op.drop_table("llm_providers")
