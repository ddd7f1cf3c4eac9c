"""Periodic work, which one of all processes does at a time; and the figures of calls by days, for what is long ago.

A role that runs the app may use both, and delete tokens that ended long ago: else the app of the new version could do none
of its periodic work until its role is granted anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
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
        SELECT DISTINCT r.rolname FROM pg_class t, aclexplode(t.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE t.oid = 'llm_usage'::regclass AND acl.privilege_type = 'DELETE' AND r.oid <> t.relowner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_usage_days TO %I', role);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON jobs TO %I', role);
        EXECUTE format('GRANT DELETE ON api_tokens TO %I', role);
    END LOOP;
END $$
"""
# Figures of a day go back to its first five minutes, so that no figure is lost on the way down.
BACK = """
INSERT INTO llm_usage AS u
    (slot, provider, model, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost)
SELECT day::timestamp AT TIME ZONE 'UTC', provider, model, status, latency_bucket, calls, priced, input_tokens,
    output_tokens, cost FROM llm_usage_days
ON CONFLICT (slot, provider, model, status, latency_bucket) DO UPDATE SET
    calls = u.calls + excluded.calls,
    priced = u.priced + excluded.priced,
    input_tokens = u.input_tokens + excluded.input_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens,
    cost = u.cost + excluded.cost
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("run_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("outcome IN ('done', 'unfinished', 'failed')", name=op.f("jobs_outcome_check")),
        sa.PrimaryKeyConstraint("name", name=op.f("jobs_pkey")),
    )
    op.create_table(
        "llm_usage_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("latency_bucket", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("priced", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Numeric(20, 10), nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "provider", "model", "status", "latency_bucket", name=op.f("llm_usage_days_pkey")
        ),
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(BACK)
    op.drop_table("llm_usage_days")
    op.drop_table("jobs")
