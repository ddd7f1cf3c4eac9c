"""Named sets of parameters, and four of them to begin with: once, so that what an admin deletes stays away.

Services read none of it. A role that changes settings may change presets.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

TABLE = "settings_presets"
FIRST = (
    (
        "deterministic",
        "The same question gets the same answer, as far as the model can: for extraction, classification and tests.",
        {"temperature": 0.0, "frequency_penalty": 0.0, "presence_penalty": 0.0},
    ),
    (
        "balanced",
        "Neither dry nor adventurous: for assistants and everyday text.",
        {"temperature": 0.7, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0},
    ),
    (
        "creative",
        "More variety, and fewer words twice: for ideas, names and stories.",
        {"temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.3, "presence_penalty": 0.3},
    ),
    (
        "cheap-and-short",
        "Short answers and little reasoning: for labels, summaries and quick checks.",
        {"temperature": 0.3, "max_tokens": 500, "reasoning_effort": "low"},
    ),
)
# As 0022 gives the rows of its day a first version: the triggers come after the rows.
VERSIONS = """
INSERT INTO settings_history (table_name, row_id, generation, at, op, by, version, image, field_changes)
    SELECT 'settings_presets', p.id, s.generation, s.at, '=', p.updated_by, p.version, llm_image(to_jsonb(p), true), p.field_changes
    FROM settings_presets p, (SELECT * FROM settings_generations ORDER BY generation DESC LIMIT 1) s
"""
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON settings_presets TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE settings_presets_id_seq TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    made = op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("fields", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("name ~ '^[a-z0-9][a-z0-9._-]{0,99}$'", name=op.f("settings_presets_name_check")),
        sa.CheckConstraint("char_length(description) <= 2000", name=op.f("settings_presets_description_check")),
        sa.CheckConstraint(
            "jsonb_typeof(fields) = 'object' AND octet_length(fields::text) <= 65536",
            name=op.f("settings_presets_fields_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("settings_presets_pkey")),
        comment="Named sets of parameters, copied when they are applied",
    )
    op.create_index(op.f("settings_presets_name_idx"), TABLE, ["name"], unique=True)
    op.bulk_insert(
        made,
        [
            {"name": name, "description": description, "fields": fields, "updated_by": "migration 0027"}
            for name, description, fields in FIRST
        ],
    )
    op.execute(VERSIONS)
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
    op.execute("DELETE FROM settings_history WHERE table_name = 'settings_presets'")
    op.drop_table(TABLE)
