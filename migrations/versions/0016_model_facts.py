"""What is known of models beside the catalogue of this version: an admin's word, the vendors' lists, imported catalogues.

Roles that read settings read the new table too, and roles that change settings write it: else a service of the new version
would not know what an admin says of a model, until its role is granted anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLE = "llm_model_facts"

# The owner has everything by itself. A role may read settings by columns or by the whole table.
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM (
            SELECT (aclexplode(attacl)).* FROM pg_attribute
                WHERE attrelid = 'llm_settings'::regclass AND attname = 'omitted_parameters'
            UNION ALL SELECT (aclexplode(relacl)).* FROM pg_class WHERE oid = 'llm_settings'::regclass
        ) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE acl.privilege_type = 'SELECT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT (id, api, pattern, origin, as_of, facts, is_active) ON llm_model_facts TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_model_facts TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE llm_model_facts_id_seq TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("api", sa.Text(), nullable=True),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("as_of", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("origin IN ('operator', 'observed', 'imported')", name=op.f("llm_model_facts_origin_check")),
        sa.CheckConstraint("char_length(api) BETWEEN 1 AND 300", name=op.f("llm_model_facts_api_check")),
        sa.CheckConstraint("char_length(pattern) BETWEEN 1 AND 300", name=op.f("llm_model_facts_pattern_check")),
        sa.CheckConstraint(
            "jsonb_typeof(facts) = 'object' AND octet_length(facts::text)"
            " <= CASE origin WHEN 'operator' THEN 65536 ELSE 16384 END",
            name=op.f("llm_model_facts_facts_check"),
        ),
        sa.CheckConstraint(
            "char_length(why) BETWEEN 1 AND 2000 AND (why IS NOT NULL OR origin <> 'operator')",
            name=op.f("llm_model_facts_why_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_model_facts_pkey")),
        comment="What is known of models beside the catalogue: by an admin, the vendors' lists, an imported catalogue",
    )
    op.create_index(
        f"{TABLE}_active_key",
        TABLE,
        ["origin", "api", "pattern"],
        unique=True,
        postgresql_where=sa.text("is_active"),
        postgresql_nulls_not_distinct=True,
    )
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
    op.execute(f"TRUNCATE {TABLE}")  # resolvers read everything anew: what it said would hold for ever
    op.drop_table(TABLE)
