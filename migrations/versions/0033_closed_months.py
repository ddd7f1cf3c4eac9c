"""Months of spend that are closed: what was charged back of them stands, whatever is told later."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
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
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_spend_closings, llm_spend_closed TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "llm_spend_closings",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.CheckConstraint("extract(day FROM month) = 1", name=op.f("llm_spend_closings_month_check")),
        sa.PrimaryKeyConstraint("month", name=op.f("llm_spend_closings_pkey")),
        comment="Months of spend that are closed",
    )
    op.create_table(
        "llm_spend_closed",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("organization_id", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("feature", "cost_centre")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("calls", "input_tokens", "output_tokens")),
        *(sa.Column(name, sa.Numeric(20, 10), nullable=False) for name in ("cost", "estimated")),
        sa.Column("unpriced", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["month"], ["llm_spend_closings.month"], name=op.f("llm_spend_closed_month_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "month", "organization_id", "feature", "cost_centre", name=op.f("llm_spend_closed_pkey")
        ),
        comment="What was counted of a month when it was closed",
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("llm_spend_closed")
    op.drop_table("llm_spend_closings")
