"""Headers, query parameters and next keys of providers; and fingerprints beside the masks of keys.

Roles that read providers' keys read the new table too, and roles that add providers write it: else a service of the new
version would not see what a provider's calls need, until its role is granted anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLE = "llm_provider_secrets"

# As in 0002, with the columns of the new table, and the fingerprints: they change with the ciphertext.
STAMP = """
CREATE OR REPLACE FUNCTION llm_stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ignored constant text[] := '{id,version,created_at,updated_at,updated_by,field_changes,
        api_key_encrypted,api_key_key_id,api_key_binding,api_key_masked,api_key_fingerprint,
        value_encrypted,value_key_id,value_binding,value_masked,value_fingerprint}';
    who constant text := coalesce(nullif(current_setting('llm_settings.actor', true), ''), session_user || ' (SQL)');
    before jsonb := '{}';
    changed text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := to_jsonb(OLD);
        NEW.version := OLD.version;
        NEW.created_at := OLD.created_at;
        NEW.updated_at := OLD.updated_at;
        NEW.updated_by := OLD.updated_by;
        NEW.field_changes := OLD.field_changes;
    ELSE
        NEW.version := 0;
        NEW.created_at := clock_timestamp();
        NEW.field_changes := '{}';
    END IF;
    SELECT array_agg(CASE key WHEN 'api_key_set_at' THEN 'api_key' WHEN 'value_set_at' THEN 'value'
            WHEN 'plain_value' THEN 'value' ELSE key END) INTO changed
        FROM jsonb_each(to_jsonb(NEW)) AS field (key, value)
        WHERE key <> ALL (ignored) AND value IS DISTINCT FROM coalesce(before -> key, 'null');
    IF changed IS NOT NULL THEN
        NEW.version := NEW.version + 1;
        NEW.updated_at := clock_timestamp();
        NEW.updated_by := who;
        SELECT NEW.field_changes
                || jsonb_object_agg(name, jsonb_build_object('by', who, 'at', NEW.updated_at, 'version', NEW.version))
            INTO NEW.field_changes FROM unnest(changed) AS name;
    END IF;
    RETURN NEW;
END $$
"""
BEFORE = """
CREATE OR REPLACE FUNCTION llm_stamp_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ignored constant text[] := '{id,version,created_at,updated_at,updated_by,field_changes,
        api_key_encrypted,api_key_key_id,api_key_binding,api_key_masked}';
    who constant text := coalesce(nullif(current_setting('llm_settings.actor', true), ''), session_user || ' (SQL)');
    before jsonb := '{}';
    changed text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := to_jsonb(OLD);
        NEW.version := OLD.version;
        NEW.created_at := OLD.created_at;
        NEW.updated_at := OLD.updated_at;
        NEW.updated_by := OLD.updated_by;
        NEW.field_changes := OLD.field_changes;
    ELSE
        NEW.version := 0;
        NEW.created_at := clock_timestamp();
        NEW.field_changes := '{}';
    END IF;
    SELECT array_agg(CASE key WHEN 'api_key_set_at' THEN 'api_key' ELSE key END) INTO changed
        FROM jsonb_each(to_jsonb(NEW)) AS field (key, value)
        WHERE key <> ALL (ignored) AND value IS DISTINCT FROM coalesce(before -> key, 'null');
    IF changed IS NOT NULL THEN
        NEW.version := NEW.version + 1;
        NEW.updated_at := clock_timestamp();
        NEW.updated_by := who;
        SELECT NEW.field_changes
                || jsonb_object_agg(name, jsonb_build_object('by', who, 'at', NEW.updated_at, 'version', NEW.version))
            INTO NEW.field_changes FROM unnest(changed) AS name;
    END IF;
    RETURN NEW;
END $$
"""

# The owner has everything by itself. A role may read the keys by columns or by the whole table.
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM (
            SELECT (aclexplode(attacl)).* FROM pg_attribute
                WHERE attrelid = 'llm_providers'::regclass AND attname = 'api_key_encrypted'
            UNION ALL SELECT (aclexplode(relacl)).* FROM pg_class WHERE oid = 'llm_providers'::regclass
        ) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE acl.privilege_type = 'SELECT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT (id, provider_id, use, name, plain_value, value_encrypted, value_key_id, value_binding)
            ON llm_provider_secrets TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_providers'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_provider_secrets TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE llm_provider_secrets_id_seq TO %I', role);
    END LOOP;
END $$
"""
FINGERPRINT = "^[0-9a-f]{8}@[0-9a-f]{8}$"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(STAMP)
    op.add_column("llm_providers", sa.Column("api_key_fingerprint", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("llm_providers_api_key_fingerprint_check"), "llm_providers", f"api_key_fingerprint ~ '{FINGERPRINT}'"
    )
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("provider_id", sa.Integer(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plain_value", sa.Text(), nullable=True),
        sa.Column("value_encrypted", sa.Text(), nullable=True),
        sa.Column("value_masked", sa.Text(), nullable=True),
        sa.Column("value_key_id", sa.Text(), nullable=True),
        sa.Column("value_binding", sa.Text(), nullable=True),
        sa.Column("value_set_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("value_fingerprint", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("use IN ('header', 'query', 'next_key')", name=op.f("llm_provider_secrets_use_check")),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f("llm_provider_secrets_name_check")),
        sa.CheckConstraint(
            "use <> 'next_key' OR name IN ('next', 'former')", name=op.f("llm_provider_secrets_next_key_check")
        ),
        sa.CheckConstraint("char_length(plain_value) <= 8192", name=op.f("llm_provider_secrets_plain_value_check")),
        sa.CheckConstraint(
            "(plain_value IS NULL) <> (value_encrypted IS NULL) AND (use <> 'next_key' OR plain_value IS NULL)",
            name=op.f("llm_provider_secrets_one_value_check"),
        ),
        sa.CheckConstraint(
            f"value_fingerprint ~ '{FINGERPRINT}'", name=op.f("llm_provider_secrets_value_fingerprint_check")
        ),
        sa.ForeignKeyConstraint(
            ["provider_id"],
            ["llm_providers.id"],
            name=op.f("llm_provider_secrets_provider_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_provider_secrets_pkey")),
        comment="Headers, query parameters and next keys of providers",
    )
    for use, name in (("header", sa.text("lower(name)")), ("query", "name"), ("next_key", None)):
        op.create_index(
            f"{TABLE}_{use}_key",
            TABLE,
            ["provider_id", *([] if name is None else [name])],
            unique=True,
            postgresql_where=sa.text(f"use = '{use}'"),
        )
    op.create_index(op.f(f"{TABLE}_provider_id_idx"), TABLE, ["provider_id"], unique=False)
    op.execute(
        f"CREATE TRIGGER {TABLE}_stamp BEFORE INSERT OR UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION llm_stamp_row()"
    )
    op.execute(
        f"CREATE CONSTRAINT TRIGGER {TABLE}_count AFTER INSERT OR UPDATE OR DELETE ON {TABLE} "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_truncate AFTER TRUNCATE ON {TABLE} "
        "FOR EACH STATEMENT EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"TRUNCATE {TABLE}")  # resolvers read everything anew: headers would be sent for ever
    op.drop_table(TABLE)
    op.drop_constraint(op.f("llm_providers_api_key_fingerprint_check"), "llm_providers", type_="check")
    op.drop_column("llm_providers", "api_key_fingerprint")
    op.execute(BEFORE)
