"""The request log, and its figures, which a trigger adds up so that the Usage page need not."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# With the owner's rights: a role for services may add to the log, and to nothing else. A bucket of latency is a tenth wider
# than the one before. The order makes two batches at once wait for each other, never deadlock.
ADD = """
CREATE FUNCTION llm_add_usage() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO llm_usage AS u
        (slot, provider, model, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost)
    SELECT date_bin('5 minutes', at, 'epoch'), provider, model, status, floor(ln(greatest(latency_ms, 1)) / ln(1.1)) AS b,
        count(*), count(cost), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cost), 0)
    FROM fresh GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (slot, provider, model, status, latency_bucket) DO UPDATE SET
        calls = u.calls + excluded.calls,
        priced = u.priced + excluded.priced,
        input_tokens = u.input_tokens + excluded.input_tokens,
        output_tokens = u.output_tokens + excluded.output_tokens,
        cost = u.cost + excluded.cost;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "llm_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.Integer(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("token_usage", postgresql.JSONB(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("cost", sa.Numeric(20, 10), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('ok', 'error', 'cancelled')", name=op.f("llm_logs_status_check")),
        sa.CheckConstraint("attempts >= 0 AND latency_ms >= 0", name=op.f("llm_logs_counts_check")),
        sa.CheckConstraint("cost >= 0", name=op.f("llm_logs_cost_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_logs_pkey")),
    )
    op.create_index(op.f("llm_logs_at_id_idx"), "llm_logs", ["at", "id"])
    op.create_index(op.f("llm_logs_provider_at_id_idx"), "llm_logs", ["provider", "at", "id"])
    op.create_index(op.f("llm_logs_model_at_id_idx"), "llm_logs", ["model", "at", "id"])
    op.create_index(
        op.f("llm_logs_user_id_at_id_idx"),
        "llm_logs",
        ["user_id", "at", "id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_index("llm_logs_failed_idx", "llm_logs", ["at", "id"], postgresql_where=sa.text("status = 'error'"))
    op.create_table(
        "llm_usage",
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("latency_bucket", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("priced", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Numeric(20, 10), nullable=False),
        sa.PrimaryKeyConstraint("slot", "provider", "model", "status", "latency_bucket", name=op.f("llm_usage_pkey")),
    )
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar()
    op.execute(ADD.format(schema=schema))
    op.execute("REVOKE ALL ON FUNCTION llm_add_usage() FROM PUBLIC")
    op.execute(
        "CREATE TRIGGER llm_logs_usage AFTER INSERT ON llm_logs REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION llm_add_usage()"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("llm_usage")
    op.drop_table("llm_logs")
    op.execute("DROP FUNCTION llm_add_usage()")
