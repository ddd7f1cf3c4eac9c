"""Rate limits on calls: how many requests, tokens and calls at once go to vendors."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLE = "llm_rate_limits"
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_rate_limits TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE llm_rate_limits_id_seq TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_providers'::regclass AND acl.privilege_type = 'SELECT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON llm_rate_limits TO %I', 'id, organization_id, feature_id, provider_id, name, '
            'model, requests_per_minute, tokens_per_minute, max_concurrent, burst_seconds, when_full, max_wait_ms, is_active', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    moment, now = sa.DateTime(timezone=True), sa.text("now()")
    figures = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("feature_id", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.Integer(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        *(sa.Column(figure, sa.Integer(), nullable=True) for figure in figures),
        sa.Column("burst_seconds", sa.Double(), server_default=sa.text("6"), nullable=False),
        sa.Column("when_full", sa.Text(), server_default=sa.text("'wait'"), nullable=False),
        sa.Column("max_wait_ms", sa.Integer(), server_default=sa.text("2000"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", moment, server_default=now, nullable=False),
        sa.Column("updated_at", moment, server_default=now, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f("llm_rate_limits_name_check")),
        sa.CheckConstraint("char_length(model) BETWEEN 1 AND 200", name=op.f("llm_rate_limits_model_check")),
        *(sa.CheckConstraint(f"{figure} >= 1", name=op.f(f"llm_rate_limits_{figure}_check")) for figure in figures),
        sa.CheckConstraint(f"num_nonnulls({', '.join(figures)}) > 0", name=op.f("llm_rate_limits_figures_check")),
        sa.CheckConstraint("burst_seconds BETWEEN 0.1 AND 60", name=op.f("llm_rate_limits_burst_seconds_check")),
        sa.CheckConstraint("when_full IN ('wait', 'refuse')", name=op.f("llm_rate_limits_when_full_check")),
        sa.CheckConstraint("max_wait_ms BETWEEN 0 AND 60000", name=op.f("llm_rate_limits_max_wait_ms_check")),
        *(
            sa.ForeignKeyConstraint(
                [f"{column}_id"], [f"{table}.id"], name=op.f(f"llm_rate_limits_{column}_id_fkey"), ondelete="CASCADE"
            )
            for column, table in (
                ("organization", "organizations"),
                ("feature", "llm_features"),
                ("provider", "llm_providers"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_rate_limits_pkey")),
        comment="How many calls go to vendors",
    )
    op.create_index(op.f("llm_rate_limits_name_idx"), TABLE, ["name"], unique=True)
    op.create_index(
        "llm_rate_limits_active_scope_key",
        TABLE,
        ["organization_id", "feature_id", "provider_id", "model"],
        unique=True,
        postgresql_where=sa.text("is_active"),
        postgresql_nulls_not_distinct=True,
    )
    for column in ("organization_id", "feature_id", "provider_id"):
        op.create_index(op.f(f"llm_rate_limits_{column}_idx"), TABLE, [column])
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


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # of a change before, in this transaction
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute("DELETE FROM settings_history WHERE table_name = 'llm_rate_limits'")
    op.drop_table(TABLE)
