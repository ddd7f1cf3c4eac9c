"""Organisations, their names, members, providers and own keys; features; settings of both; what the installation decides.

Nothing reads any of it yet, and what was there answers as before: rows of ``llm_settings`` that name an organisation were
passed over, and are. Organisations are made for those that raw SQL has named there: ``org-42`` for 42, with the same id.
A change of what belongs to an organisation is noted as a change of that organisation, once a transaction: readers of the
versions before pass it by. Roles that read settings read the new tables too, and roles that change settings write them.

Down keeps what belongs to no organisation and to no feature. Users and tokens that may see one organisation only may see
nothing then: such a token is gone, such a user disabled.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

STAMPED = ("feature_llm_overrides", "installation", "llm_features", "organization_providers", "organizations")
COUNTED = (*STAMPED, "organization_names")
FINGERPRINT = "^[0-9a-f]{8}@[0-9a-f]{8}$"
AUDITED = "(changes #>> '{organization_id,after}')"

# As in 0007. What has an organisation is noted as that organisation, the old one and the new one; the same note is written
# once, however many rows of it a transaction changes. What keeps a history of rows will do so in the loop, where the number
# is known.
COUNT = """
CREATE OR REPLACE FUNCTION llm_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint := nullif(current_setting('llm_settings.generation', true), '');
    one record;
    organization integer;
    note text;
BEGIN
    IF number IS NULL THEN
        UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
        PERFORM set_config('llm_settings.generation', number::text, true);
        PERFORM pg_notify('llm_settings', number::text);
        IF number % 1000 = 0 THEN
            DELETE FROM settings_changes WHERE generation < number - 10000;
        END IF;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM settings_changes WHERE generation = number;
        UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
        PERFORM set_config('llm_settings.generation', number::text, true);
        RETURN NULL;
    END IF;
    FOR turn IN 1..2 LOOP
        CONTINUE WHEN TG_OP = CASE turn WHEN 1 THEN 'INSERT' ELSE 'DELETE' END;
        IF turn = 1 THEN one := OLD; ELSE one := NEW; END IF;
        organization := NULL;
        IF TG_TABLE_NAME = 'organizations' THEN
            organization := one.id;
        ELSIF TG_TABLE_NAME IN ('llm_settings', 'feature_llm_overrides', 'organization_providers', 'organization_names') THEN
            organization := one.organization_id;
        END IF;
        IF organization IS NULL THEN
            INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, one.id)
                ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        note := number || ' ' || organization;
        IF note IS DISTINCT FROM current_setting('llm_settings.noted', true) THEN
            INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, 'organizations', organization)
                ON CONFLICT DO NOTHING;
            PERFORM set_config('llm_settings.noted', note, true);
        END IF;
    END LOOP;
    RETURN NULL;
END $$
"""
BEFORE = """
CREATE OR REPLACE FUNCTION llm_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint := nullif(current_setting('llm_settings.generation', true), '');
BEGIN
    IF number IS NULL THEN
        UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
        PERFORM set_config('llm_settings.generation', number::text, true);
        PERFORM pg_notify('llm_settings', number::text);
        IF number % 1000 = 0 THEN
            DELETE FROM settings_changes WHERE generation < number - 10000;
        END IF;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM settings_changes WHERE generation = number;
        UPDATE settings_generation SET generation = generation + 1 RETURNING generation INTO number;
        PERFORM set_config('llm_settings.generation', number::text, true);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, OLD.id)
            ON CONFLICT DO NOTHING;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO settings_changes (generation, table_name, row_id) VALUES (number, TG_TABLE_NAME, NEW.id)
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$
"""

# An organisation for each number that settings name, with its number as id; one below 1 gets another, for no id is.
NAMED = (
    """
    INSERT INTO organizations (id, slug, name)
        SELECT DISTINCT organization_id, 'org-' || organization_id, 'Organisation ' || organization_id
        FROM llm_settings WHERE organization_id > 0
    """,
    "SELECT setval(pg_get_serial_sequence('organizations', 'id'), max(id)) FROM organizations HAVING max(id) IS NOT NULL",
    """
    WITH odd AS (
        SELECT organization_id AS number, nextval(pg_get_serial_sequence('organizations', 'id')) AS id
        FROM (SELECT DISTINCT organization_id FROM llm_settings WHERE organization_id <= 0) AS odd
    ), made AS (
        INSERT INTO organizations (id, slug, name)
            SELECT id, CASE number WHEN 0 THEN 'org-0' ELSE 'org-minus' || number END, 'Organisation ' || number FROM odd
    )
    UPDATE llm_settings s SET organization_id = odd.id FROM odd WHERE s.organization_id = odd.number
    """,
    "INSERT INTO organization_names (name, organization_id, kind) SELECT slug, id, 'slug' FROM organizations",
    "SET CONSTRAINTS ALL IMMEDIATE",  # else the trigger that counts changes is still pending on the table
    "SET CONSTRAINTS ALL DEFERRED",
)

# The owner has everything by itself. A role may read settings by columns or by the whole table.
GRANT = """
DO $$
DECLARE
    role name;
    held name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM (
            SELECT (aclexplode(attacl)).* FROM pg_attribute
                WHERE attrelid = 'llm_settings'::regclass AND attname = 'omitted_parameters'
            UNION ALL SELECT (aclexplode(relacl)).* FROM pg_class WHERE oid = 'llm_settings'::regclass
        ) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE acl.privilege_type = 'SELECT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT (default_provider_id) ON llm_settings TO %I', role);
        EXECUTE format('GRANT SELECT (id, slug, kind, template_id, shares_keys, is_active, deleted_at)
            ON organizations TO %I', role);
        EXECUTE format('GRANT SELECT ON organization_names TO %I', role);
        EXECUTE format('GRANT SELECT (id, organization_id, provider_id, is_allowed, requires_own_key, allowed_models,
            own_models, api_key_encrypted, api_key_key_id, api_key_binding) ON organization_providers TO %I', role);
        EXECUTE format('GRANT SELECT (id, name, is_active) ON llm_features TO %I', role);
        EXECUTE format('GRANT SELECT (id, organizations) ON installation TO %I', role);
        EXECUTE format('GRANT SELECT (id, organization_id, feature_id, provider_id, default_provider_id, is_active, version,
            field_changes, preferred_model, omitted_parameters, custom_settings, extra_parameters, temperature, max_tokens,
            top_p, frequency_penalty, presence_penalty, reasoning_effort, stop, unfit_parameters, max_retries,
            retry_backoff_ms, request_timeout_ms, enable_logging, log_level, log_request_data, log_response_data)
            ON feature_llm_overrides TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        FOREACH held IN ARRAY '{feature_llm_overrides,llm_features,organization_members,organization_names,
            organization_providers,organizations}'::name[]
        LOOP
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', held, role);
        END LOOP;
        FOREACH held IN ARRAY '{feature_llm_overrides,llm_features,organization_providers,organizations}'::name[] LOOP
            EXECUTE format('GRANT USAGE ON SEQUENCE %I TO %I', held || '_id_seq', role);
        END LOOP;
        EXECUTE format('GRANT SELECT, UPDATE ON installation TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_logs'::regclass AND a.attname = 'tags' AND acl.privilege_type = 'INSERT'
    LOOP
        EXECUTE format('GRANT INSERT (organization_id, feature) ON llm_logs TO %I', role);
    END LOOP;
END $$
"""


def _stamps() -> list[sa.Column[object]]:
    return [
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
    ]


def _flag(name: str, default: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text(default), nullable=False)


def _checks(table: str, **rules: str) -> list[sa.CheckConstraint]:
    return [sa.CheckConstraint(rule, name=op.f(f"{table}_{name}_check")) for name, rule in rules.items()]


def _to(table: str, column: str, other: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"{table}_{column}_fkey"), ondelete=ondelete)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"{table}_pkey"))


def _index(table: str, *columns: str, unique: bool = False, where: str = "") -> None:
    condition = {"postgresql_where": sa.text(where)} if where else {}
    op.create_index(op.f(f"{table}_{'_'.join(columns)}_idx"), table, list(columns), unique=unique, **condition)


def _organizations() -> None:
    table = "organizations"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("'organization'"), nullable=False),
        sa.Column("template_id", sa.Integer(), nullable=True),
        _flag("shares_keys", "true"),
        _flag("is_active", "true"),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        *_stamps(),
        *_checks(
            table,
            slug="slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$'",
            name="char_length(name) BETWEEN 1 AND 200",
            kind="kind IN ('organization', 'template')",
            template_id="template_id IS NULL OR (kind = 'organization' AND template_id <> id)",
        ),
        _to(table, "template_id", "organizations"),
        _key(table, "id"),
        comment="Tenants of the services that resolve, and templates that they build on",
    )
    op.create_index(
        "organizations_live_slug_key", table, ["slug"], unique=True, postgresql_where=sa.text("deleted_at IS NULL")
    )
    _index(table, "template_id", where="template_id IS NOT NULL")

    table = "organization_names"
    op.create_table(
        table,
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        *_checks(table, name="char_length(name) BETWEEN 1 AND 200", kind="kind IN ('slug', 'external', 'former')"),
        _to(table, "organization_id", "organizations", "CASCADE"),
        _key(table, "name"),
        comment="Names by which services ask for organisations",
    )
    op.create_index(op.f(f"{table}_name_idx"), table, ["name"], postgresql_ops={"name": "text_pattern_ops"})
    op.create_index(
        f"{table}_slug_key", table, ["organization_id"], unique=True, postgresql_where=sa.text("kind = 'slug'")
    )
    _index(table, "organization_id")

    table = "organization_members"
    op.create_table(
        table,
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("organization_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        *_checks(table, role="role IN ('admin', 'analyst')"),
        _to(table, "user_id", "users", "CASCADE"),
        _to(table, "organization_id", "organizations", "CASCADE"),
        _key(table, "user_id", "organization_id"),
        comment="Who belongs to an organisation, and as what",
    )
    _index(table, "organization_id")


def _organization_providers() -> None:
    table = "organization_providers"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("provider_id", sa.Integer(), nullable=False),
        sa.Column("is_allowed", sa.Boolean(), nullable=True),
        _flag("requires_own_key", "false"),
        sa.Column("allowed_models", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("own_models", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("api_key_encrypted", sa.Text(), nullable=True),
        sa.Column("api_key_masked", sa.Text(), nullable=True),
        sa.Column("api_key_key_id", sa.Text(), nullable=True),
        sa.Column("api_key_binding", sa.Text(), nullable=True),
        sa.Column("api_key_set_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("api_key_fingerprint", sa.Text(), nullable=True),
        *_stamps(),
        *_checks(
            table,
            allowed_models="allowed_models IS NULL OR jsonb_typeof(allowed_models) = 'array'",
            own_models="jsonb_typeof(own_models) = 'array'",
            api_key_fingerprint=f"api_key_fingerprint ~ '{FINGERPRINT}'",
        ),
        _to(table, "organization_id", "organizations", "CASCADE"),
        _to(table, "provider_id", "llm_providers", "CASCADE"),
        _key(table, "id"),
        comment="What an organisation may of a provider, and its own key there",
    )
    _index(table, "organization_id", "provider_id", unique=True)
    _index(table, "provider_id")


def _features() -> None:
    table = "llm_features"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        _flag("is_active", "true"),
        *_stamps(),
        *_checks(
            table,
            name="name ~ '^[a-z0-9][a-z0-9._-]{0,99}$'",
            display_name="char_length(display_name) BETWEEN 1 AND 100",
            description="char_length(description) <= 2000",
        ),
        _key(table, "id"),
        comment="What programs use models for",
    )
    _index(table, "name", unique=True)

    table = "feature_llm_overrides"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.Integer(), nullable=True),
        sa.Column("default_provider_id", sa.Integer(), nullable=True),
        sa.Column("preferred_model", sa.Text(), nullable=True),
        *(
            sa.Column(name, sa.Double(), nullable=True)
            for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty")
        ),
        *(
            sa.Column(name, sa.Integer(), nullable=True)
            for name in ("max_tokens", "max_retries", "retry_backoff_ms", "request_timeout_ms")
        ),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("reasoning_effort", "unfit_parameters", "log_level")),
        *(
            sa.Column(name, sa.Boolean(), nullable=True)
            for name in ("enable_logging", "log_request_data", "log_response_data")
        ),
        *(
            sa.Column(name, postgresql.JSONB(none_as_null=True), nullable=True)
            for name in ("stop", "omitted_parameters", "custom_settings", "extra_parameters")
        ),
        _flag("is_active", "true"),
        *_stamps(),
        *_checks(
            table,
            temperature="temperature BETWEEN 0.0 AND 2.0",
            max_tokens="max_tokens BETWEEN 1 AND 1000000",
            top_p="top_p BETWEEN 0.0 AND 1.0",
            frequency_penalty="frequency_penalty BETWEEN -2.0 AND 2.0",
            presence_penalty="presence_penalty BETWEEN -2.0 AND 2.0",
            max_retries="max_retries BETWEEN 0 AND 10",
            retry_backoff_ms="retry_backoff_ms BETWEEN 100 AND 10000",
            request_timeout_ms="request_timeout_ms BETWEEN 1000 AND 3600000",
            log_level="log_level IN ('full', 'minimal', 'errors_only')",
            unfit_parameters="unfit_parameters IN ('leave_out', 'send')",
            reasoning_effort="reasoning_effort ~ '^[a-z][a-z-]{0,19}$'",
            stop="stop IS NULL OR CASE WHEN jsonb_typeof(stop) = 'array' THEN jsonb_array_length(stop) BETWEEN 1 AND 16"
            " ELSE false END",
            preferred_model="preferred_model IS NULL OR provider_id IS NOT NULL",
            default_provider_id="default_provider_id IS NULL OR provider_id IS NULL",
            omitted_parameters="jsonb_typeof(omitted_parameters) = 'array'",
            custom_settings="jsonb_typeof(custom_settings) = 'object' AND octet_length(custom_settings::text) <= 32768",
            extra_parameters="jsonb_typeof(extra_parameters) = 'object' AND octet_length(extra_parameters::text) <= 32768",
        ),
        _to(table, "feature_id", "llm_features", "CASCADE"),
        _to(table, "organization_id", "organizations", "CASCADE"),
        _to(table, "provider_id", "llm_providers", "CASCADE"),
        _to(table, "default_provider_id", "llm_providers"),
        _key(table, "id"),
        comment="Stored parameters of a feature; NULL inherits",
    )
    op.create_index(
        f"{table}_active_scope_key",
        table,
        ["organization_id", "feature_id", "provider_id"],
        unique=True,
        postgresql_where=sa.text("is_active"),
        postgresql_nulls_not_distinct=True,
    )
    for name in ("feature_id", "organization_id", "provider_id"):
        _index(table, name)
    _index(table, "default_provider_id", where="default_provider_id IS NOT NULL")


def _installation() -> None:
    table = "installation"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("organizations", sa.Text(), server_default=sa.text("'closed'"), nullable=False),
        *_stamps(),
        *_checks(table, one_row="id = 1", organizations="organizations IN ('closed', 'open')"),
        _key(table, "id"),
        comment="What an admin decides for the whole store",
    )
    op.execute("INSERT INTO installation (id) VALUES (1)")


def _columns() -> None:
    """Give the tables there were their new columns; those that are checked against what is there are validated last."""
    for statement in NAMED:
        op.execute(statement)
    op.add_column("llm_settings", sa.Column("default_provider_id", sa.Integer(), nullable=True))
    op.create_check_constraint(
        op.f("llm_settings_default_provider_id_check"),
        "llm_settings",
        "default_provider_id IS NULL OR provider_id IS NULL",
    )
    _index("llm_settings", "default_provider_id", where="default_provider_id IS NOT NULL")
    for column, other, ondelete in (
        ("organization_id", "organizations", "CASCADE"),
        ("default_provider_id", "llm_providers", None),
    ):
        name = op.f(f"llm_settings_{column}_fkey")
        op.create_foreign_key(
            name, "llm_settings", other, [column], ["id"], ondelete=ondelete, postgresql_not_valid=True
        )
        op.execute(f"ALTER TABLE llm_settings VALIDATE CONSTRAINT {name}")

    op.add_column("api_tokens", sa.Column("organization_id", sa.Integer(), nullable=True))
    op.add_column("api_tokens", sa.Column("organization_role", sa.Text(), nullable=True))
    op.create_foreign_key(
        op.f("api_tokens_organization_id_fkey"),
        "api_tokens",
        "organizations",
        ["organization_id"],
        ["id"],
        ondelete="CASCADE",
    )
    _roles("'admin', 'analyst', 'member'", "'admin', 'analyst', 'metrics', 'member'")
    for check in ("organization_role", "organization_id"):
        op.create_check_constraint(op.f(f"api_tokens_{check}_check"), "api_tokens", TOKENS[check])
    _index("api_tokens", "organization_id", where="organization_id IS NOT NULL")

    op.add_column("llm_logs", sa.Column("feature", sa.Text(), nullable=True))
    for name in ("organization_id", "feature"):
        _index("llm_logs", name, "at", "id", where=f"{name} IS NOT NULL")
    op.create_index(
        "audit_events_organization_at_idx",
        "audit_events",
        [sa.text(AUDITED), "at"],
        postgresql_where=sa.text(f"{AUDITED} IS NOT NULL"),
    )


TOKENS = {
    "organization_role": "organization_role IN ('admin', 'analyst')",
    "organization_id": "(role = 'member') = (organization_id IS NOT NULL)"
    " AND (role = 'member') = (organization_role IS NOT NULL)",
}


def _roles(users: str, tokens: str) -> None:
    for table, roles in (("users", users), ("api_tokens", tokens)):
        name = op.f(f"{table}_role_check")
        op.drop_constraint(name, table, type_="check")
        op.create_check_constraint(name, table, f"role IN ({roles})")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(COUNT)
    _organizations()
    _organization_providers()
    _features()
    _installation()
    _columns()
    for table in COUNTED:
        if table in STAMPED:
            op.execute(
                f"CREATE TRIGGER {table}_stamp BEFORE INSERT OR UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION llm_stamp_row()"
            )
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table}_count AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_truncate AFTER TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION llm_count_change()"
        )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("TRUNCATE installation")  # resolvers read everything anew: what it said would hold for ever
    op.execute("DELETE FROM llm_settings WHERE organization_id IS NOT NULL")
    op.execute("DELETE FROM api_tokens WHERE role = 'member'")
    op.execute(
        "UPDATE users SET role = 'analyst', is_active = false, auth_epoch = auth_epoch + 1 WHERE role = 'member'"
    )
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else the trigger that counts changes is still pending on the table
    op.drop_index("audit_events_organization_at_idx", "audit_events")
    op.drop_index(op.f("llm_logs_organization_id_at_id_idx"), "llm_logs")
    op.drop_column("llm_logs", "feature")
    _roles("'admin', 'analyst'", "'admin', 'analyst', 'metrics'")
    for check in TOKENS:
        op.drop_constraint(op.f(f"api_tokens_{check}_check"), "api_tokens", type_="check")
    op.drop_column("api_tokens", "organization_role")
    op.drop_column("api_tokens", "organization_id")
    op.drop_constraint(op.f("llm_settings_organization_id_fkey"), "llm_settings", type_="foreignkey")
    op.drop_column("llm_settings", "default_provider_id")
    for table in (
        *("feature_llm_overrides", "llm_features", "organization_providers", "organization_members"),
        *("organization_names", "organizations", "installation"),
    ):
        op.drop_table(table)
    op.execute(BEFORE)
