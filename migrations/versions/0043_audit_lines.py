"""Up to which event of the audit was written to standard output, and of which API keys' age somebody was told.

Down: both are forgotten. The audit is written from its newest event on after the next upgrade, and keys are told of once more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# Who may add sign-ins is the application: it has the new tables, too.
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class t, aclexplode(t.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE t.oid = 'auth_sessions'::regclass AND acl.privilege_type = 'INSERT' AND r.oid <> t.relowner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON audit_lines TO %I', role);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON key_notices TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "audit_lines",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("run_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("target", name=op.f("audit_lines_pkey")),
        comment="Up to which event the audit was written out",
    )
    op.create_table(
        "key_notices",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "row_id", "set_at", name=op.f("key_notices_pkey")),
        comment="Of which API keys' age somebody was told",
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("key_notices")
    op.drop_table("audit_lines")
