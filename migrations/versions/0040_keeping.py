"""How long calls and the audit are kept stands in the store: of the installation, and of calls by each organisation.

The oldest events of the audit are purged by a function: the application's role cuts so much of the chain's old end as was decided,
thirty days at least are left, and it leaves a checkpoint. What it cuts is on record beside it, in an event of the same transaction.
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

# The lock is that of `audit purge`: two purges take turns.
PURGE = """
CREATE FUNCTION llm_purge_audit(up_to bigint, purger text, OUT removed bigint, OUT cut_hash text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    kept integer;
BEGIN
    PERFORM pg_advisory_xact_lock(1819045232);
    SELECT keep_audit_days INTO kept FROM installation WHERE id = 1;
    SELECT hash INTO cut_hash FROM audit_events WHERE seq = up_to;
    IF kept IS NULL OR cut_hash IS NULL OR EXISTS (
        SELECT FROM audit_events WHERE seq <= up_to AND at >= clock_timestamp() - make_interval(days => greatest(kept, 30))
    ) THEN
        RAISE EXCEPTION 'these events are kept' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('llm_settings.audit_purge', 'on', true);
    DELETE FROM audit_events WHERE seq <= up_to;
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('llm_settings.audit_purge', '', true);
    INSERT INTO audit_checkpoints (seq, hash, by, removed) VALUES (up_to, cut_hash, purger, removed);
END $$
"""
FUNCTION = "llm_purge_audit(bigint, text)"
# A role that does periodic work does this too; and who may purge the log may take a person out of it.
GRANT = f"""
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class t, aclexplode(t.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE t.oid = 'jobs'::regclass AND acl.privilege_type = 'INSERT' AND r.oid <> t.relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION {FUNCTION} TO %I', role);
        EXECUTE format('GRANT SELECT ON audit_checkpoints, organizations TO %I', role);
        EXECUTE format(
            'GRANT UPDATE (user_id, prompt, parameters, response, error, tags, correlation_id) ON llm_logs TO %I', role
        );
    END LOOP;
END $$
"""  # noqa: S608 - our own words
COLUMNS = (
    ("installation", "keep_calls_days", 1),
    ("installation", "keep_audit_days", 30),
    ("organizations", "keep_calls_days", 1),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else a trigger may still be pending on the tables
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    for table, column, least in COLUMNS:
        op.add_column(table, sa.Column(column, sa.Integer(), nullable=True))
        op.create_check_constraint(op.f(f"{table}_{column}_check"), table, f"{column} BETWEEN {least} AND 36500")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(PURGE.replace("{schema}", schema))
    op.execute(f"REVOKE ALL ON FUNCTION {FUNCTION} FROM PUBLIC")
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute(f"DROP FUNCTION {FUNCTION}")
    for table, column, _ in reversed(COLUMNS):
        op.drop_constraint(op.f(f"{table}_{column}_check"), table, type_="check")
        op.drop_column(table, column)
