"""What calls have cost, by hours: told by the services that make them, whatever the request log keeps.

A function adds what a process tells under a number of its own; a number that was told before adds nothing, so that a process
whose confirmation was lost may tell it again. Roles that may add to the request log may call it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

OUTCOMES = "'answered', 'broken_off', 'cancelled', 'failed', 'refused', 'timed_out'"
FUNCTION = "llm_tell_spend(uuid, bigint, text, jsonb)"
# The holder's row is locked first: a second telling of the same number waits for the first one, and sees what became of it.
TELL = """
CREATE FUNCTION llm_tell_spend(teller uuid, told bigint, place text, sums jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO llm_spend_holders AS h (holder, number, name, at) VALUES (teller, told, place, clock_timestamp())
    ON CONFLICT (holder) DO UPDATE SET number = excluded.number, name = excluded.name, at = excluded.at
    WHERE h.number < excluded.number;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT FROM jsonb_to_recordset(sums)
            AS s(calls bigint, input_tokens bigint, output_tokens bigint, cost numeric, estimated numeric, unpriced bigint)
        WHERE NOT (calls > 0 AND input_tokens >= 0 AND output_tokens >= 0 AND estimated >= 0 AND cost >= estimated AND cost < 'NaN'
            AND unpriced BETWEEN 0 AND calls) IS TRUE
    ) THEN
        RAISE check_violation USING MESSAGE = 'what was spent is no less than nothing';
    END IF;
    INSERT INTO llm_spend AS l
        (slot, organization_id, feature, provider, model, outcome, cost_centre,
            calls, input_tokens, output_tokens, cost, estimated, unpriced)
    SELECT date_bin('1 hour', least(s.at, clock_timestamp()), 'epoch'), s.organization_id, s.feature, s.provider, s.model,
        s.outcome, s.cost_centre, sum(s.calls), sum(s.input_tokens), sum(s.output_tokens), sum(s.cost), sum(s.estimated),
        sum(s.unpriced)
    FROM jsonb_to_recordset(sums) AS s(at timestamptz, organization_id integer, feature text, provider text, model text,
        outcome text, cost_centre text, calls bigint, input_tokens bigint, output_tokens bigint, cost numeric,
        estimated numeric, unpriced bigint)
    GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (slot, organization_id, feature, provider, model, outcome, cost_centre) DO UPDATE SET
        calls = l.calls + excluded.calls,
        input_tokens = l.input_tokens + excluded.input_tokens,
        output_tokens = l.output_tokens + excluded.output_tokens,
        cost = l.cost + excluded.cost,
        estimated = l.estimated + excluded.estimated,
        unpriced = l.unpriced + excluded.unpriced;
    RETURN true;
END $$
"""
# Who adds to the request log calls models; who reads it reads what they cost; who purges it purges.
GRANT = f"""
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_logs'::regclass AND a.attname = 'error' AND acl.privilege_type = 'INSERT'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION {FUNCTION} TO %I', found.rolname);
    END LOOP;
    FOR found IN
        SELECT DISTINCT r.rolname, acl.privilege_type FROM pg_class c, aclexplode(c.relacl) acl
        JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_logs'::regclass AND acl.privilege_type IN ('SELECT', 'DELETE') AND acl.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON llm_spend_holders TO %I', found.privilege_type, found.rolname);
        IF found.privilege_type = 'SELECT' THEN
            EXECUTE format('GRANT SELECT ON llm_spend TO %I', found.rolname);
        END IF;
    END LOOP;
END $$
"""  # noqa: S608 - our own words


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "llm_spend",
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("organization_id", sa.Integer(), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("feature", "provider", "model", "outcome", "cost_centre")
        ),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("calls", "input_tokens", "output_tokens")),
        *(sa.Column(name, sa.Numeric(20, 10), nullable=False) for name in ("cost", "estimated")),
        sa.Column("unpriced", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(f"outcome IN ({OUTCOMES})", name=op.f("llm_spend_outcome_check")),
        sa.CheckConstraint(
            "calls >= 0 AND input_tokens >= 0 AND output_tokens >= 0 AND estimated >= 0 AND cost >= estimated"
            " AND unpriced BETWEEN 0 AND calls",
            name=op.f("llm_spend_sums_check"),
        ),
        sa.PrimaryKeyConstraint(
            *("slot", "organization_id", "feature", "provider", "model", "outcome", "cost_centre"),
            name=op.f("llm_spend_pkey"),
        ),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(
        op.f("llm_spend_organization_id_slot_idx"),
        "llm_spend",
        ["organization_id", "slot"],
        postgresql_where=sa.text("organization_id <> 0"),
    )
    op.create_table(
        "llm_spend_holders",
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("holder", name=op.f("llm_spend_holders_pkey")),
        postgresql_with={"fillfactor": 50},
    )
    schema = op.get_bind().execute(sa.text("SELECT quote_ident(current_schema())")).scalar()
    op.execute(TELL.format(schema=schema))
    op.execute(f"REVOKE ALL ON FUNCTION {FUNCTION} FROM PUBLIC")
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP FUNCTION {FUNCTION}")
    op.drop_table("llm_spend_holders")
    op.drop_table("llm_spend")
