"""reasoning_effort and stop are parameters of their own.

A role that resolves may read the new columns as well: else a service of the new version would read nothing at all until its
role is granted anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_settings'::regclass AND a.attname = 'custom_settings' AND acl.privilege_type = 'SELECT'
    LOOP
        EXECUTE format('GRANT SELECT (reasoning_effort, stop) ON llm_settings TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("llm_settings", sa.Column("reasoning_effort", sa.Text(), nullable=True))
    op.add_column("llm_settings", sa.Column("stop", postgresql.JSONB(none_as_null=True), nullable=True))
    op.create_check_constraint(
        op.f("llm_settings_reasoning_effort_check"), "llm_settings", "reasoning_effort ~ '^[a-z][a-z-]{0,19}$'"
    )
    op.create_check_constraint(
        op.f("llm_settings_stop_check"),
        "llm_settings",
        "stop IS NULL OR CASE WHEN jsonb_typeof(stop) = 'array' THEN jsonb_array_length(stop) BETWEEN 1 AND 16 ELSE false END",
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("llm_settings", "stop")
    op.drop_column("llm_settings", "reasoning_effort")
