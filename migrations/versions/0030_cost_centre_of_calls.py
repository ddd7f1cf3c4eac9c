"""The request log has who pays for a call within the house.

A role that may add to the log may add the new column as well: else a service of the new version would log none until its role
is granted anew. Services of the version before go on without it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
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
        EXECUTE format('GRANT INSERT (cost_centre) ON llm_logs TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("llm_logs", sa.Column("cost_centre", sa.Text(), nullable=True))
    op.create_index(
        op.f("llm_logs_cost_centre_at_id_idx"),
        "llm_logs",
        ["cost_centre", "at", "id"],
        postgresql_where=sa.text("cost_centre IS NOT NULL"),
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("llm_logs", "cost_centre")
