"""What becomes of personal data, for each scope. A store that has calls in its log keeps what it wrote there: somebody decides."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLE = "llm_pii_settings"
LISTS = {"types": 50, "countries": 300, "patterns": 20, "allow": 200}
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_pii_settings TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE llm_pii_settings_id_seq TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_providers'::regclass AND acl.privilege_type = 'SELECT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON llm_pii_settings TO %I', 'id, organization_id, feature_id, provider_id, version, '
            'field_changes, logs, prompts, answers, restore, types, countries, engine, patterns, allow, on_failure, is_active', role);
    END LOOP;
END $$
"""


def _check(name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"{TABLE}_{name}_check"))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    moment, now, json = sa.DateTime(timezone=True), sa.text("now()"), postgresql.JSONB()
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("feature_id", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.Integer(), nullable=True),
        sa.Column("logs", sa.Text(), nullable=True),
        sa.Column("prompts", sa.Text(), nullable=True),
        sa.Column("answers", sa.Text(), nullable=True),
        sa.Column("restore", sa.Boolean(), nullable=True),
        sa.Column("types", json, nullable=True),
        sa.Column("countries", json, nullable=True),
        sa.Column("engine", sa.Text(), nullable=True),
        sa.Column("patterns", json, nullable=True),
        sa.Column("allow", json, nullable=True),
        sa.Column("on_failure", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("awaits_decision", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", moment, server_default=now, nullable=False),
        sa.Column("updated_at", moment, server_default=now, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", json, server_default=sa.text("'{}'::jsonb"), nullable=False),
        _check("logs", "logs IN ('off', 'mask')"),
        _check("prompts", "prompts IN ('off', 'mask', 'refuse')"),
        _check("answers", "answers IN ('off', 'mask')"),
        _check("on_failure", "on_failure IN ('refuse', 'send')"),
        _check("engine", "char_length(engine) BETWEEN 1 AND 100"),
        *(
            _check(
                name,
                f"{name} IS NULL OR CASE WHEN jsonb_typeof({name}) = 'array' THEN jsonb_array_length({name}) <= {most}"
                f" AND octet_length({name}::text) <= 262144 ELSE false END",
            )
            for name, most in LISTS.items()
        ),
        *(
            sa.ForeignKeyConstraint(
                [f"{column}_id"], [f"{table}.id"], name=op.f(f"{TABLE}_{column}_id_fkey"), ondelete="CASCADE"
            )
            for column, table in (
                ("organization", "organizations"),
                ("feature", "llm_features"),
                ("provider", "llm_providers"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"{TABLE}_pkey")),
        comment="What becomes of personal data; NULL inherits",
    )
    op.create_index(
        f"{TABLE}_scope_key",
        TABLE,
        ["organization_id", "feature_id", "provider_id"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    for column in ("feature_id", "provider_id"):
        op.create_index(op.f(f"{TABLE}_{column}_idx"), TABLE, [column])
    op.execute(
        f"CREATE TRIGGER {TABLE}_stamp BEFORE INSERT OR UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION llm_stamp_row()"
    )
    op.execute(
        f"CREATE CONSTRAINT TRIGGER {TABLE}_count AFTER INSERT OR UPDATE OR DELETE ON {TABLE} "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_truncate AFTER TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(GRANT)
    op.execute(
        f"INSERT INTO {TABLE} (logs, awaits_decision) SELECT 'off', true WHERE EXISTS (SELECT FROM llm_logs)"  # noqa: S608 - a name of ours
    )
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a migration after this one may change what has a change that waits
    op.execute("SET CONSTRAINTS ALL DEFERRED")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # of a change before, in this transaction
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute("DELETE FROM settings_history WHERE table_name = 'llm_pii_settings'")
    op.drop_table(TABLE)
