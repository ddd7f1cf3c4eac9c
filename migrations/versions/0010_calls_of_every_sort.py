"""The request log has embeddings too, the caller's tags, and what belongs together.

A role that may add to the log may add the new columns as well: else a service of the new version could log nothing until
its role is granted anew.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
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
        WHERE a.attrelid = 'llm_logs'::regclass AND a.attname = 'error' AND acl.privilege_type = 'INSERT'
    LOOP
        EXECUTE format('GRANT INSERT (operation, tags, correlation_id) ON llm_logs TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("llm_logs", sa.Column("operation", sa.Text(), server_default="chat", nullable=False))
    op.add_column("llm_logs", sa.Column("tags", postgresql.JSONB(), nullable=True))
    op.add_column("llm_logs", sa.Column("correlation_id", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("llm_logs_operation_check"), "llm_logs", "operation IN ('chat', 'embed')")
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint(op.f("llm_logs_operation_check"), "llm_logs", type_="check")
    for name in ("correlation_id", "tags", "operation"):
        op.drop_column("llm_logs", name)
