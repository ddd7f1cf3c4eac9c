"""The request log counts what somebody chose and a call did not send as it was; figures have the calls in which there was such.

A role that may add to the log may add the new column as well: else a service of the new version would log no such count until
its role is granted anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
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
        EXECUTE format('GRANT INSERT (adjusted) ON llm_logs TO %I', role);
    END LOOP;
END $$
"""
# As in 0008, where its why stands; {name}, {value} and {sum} are the new column's.
ADD = """
CREATE OR REPLACE FUNCTION llm_add_usage() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO llm_usage AS u
        (slot, provider, model, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost{name})
    SELECT date_bin('5 minutes', at, 'epoch'), provider, model, status, floor(ln(greatest(latency_ms, 1)) / ln(1.1)) AS b,
        count(*), count(cost), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cost), 0){value}
    FROM fresh GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (slot, provider, model, status, latency_bucket) DO UPDATE SET
        calls = u.calls + excluded.calls,
        priced = u.priced + excluded.priced,
        input_tokens = u.input_tokens + excluded.input_tokens,
        output_tokens = u.output_tokens + excluded.output_tokens,
        cost = u.cost + excluded.cost{sum};
    RETURN NULL;
END $$
"""


def _add(**parts: str) -> None:
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar()
    op.execute(ADD.format(schema=schema, **parts))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("llm_logs", sa.Column("adjusted", sa.Integer(), server_default=sa.text("0"), nullable=False))
    for table in ("llm_usage", "llm_usage_days"):
        op.add_column(table, sa.Column("adjusted", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    _add(
        name=", adjusted",
        value=", count(*) FILTER (WHERE adjusted > 0)",
        sum=", adjusted = u.adjusted + excluded.adjusted",
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _add(name="", value="", sum="")
    for table in ("llm_usage_days", "llm_usage", "llm_logs"):
        op.drop_column(table, "adjusted")
