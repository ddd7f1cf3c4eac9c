"""Spend that had no known price is priced anew, and what budgets count in the period that is now is corrected by the ledger.

The application's role has no right on spend and periods: it calls this function, which changes only sums that are still as they were
read.
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

SIGNATURE = "llm_reprice_spend(jsonb, text, text)"
REPRICE = """
CREATE FUNCTION llm_reprice_spend(changed jsonb, the_actor text, the_reason text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    x record;
    done jsonb;
BEGIN
    WITH wanted AS (
        SELECT * FROM jsonb_to_recordset(changed) AS w(slot timestamptz, organization_id integer, feature text, provider text,
            model text, outcome text, cost_centre text, calls bigint, was numeric, was_unpriced bigint, cost numeric,
            estimated numeric)
        WHERE w.cost >= w.estimated AND w.estimated >= 0 AND w.cost < 'NaN'
    ), before AS (
        SELECT s.*, w.cost AS now_cost, w.estimated AS now_estimated FROM llm_spend s
        JOIN wanted w USING (slot, organization_id, feature, provider, model, outcome, cost_centre)
        WHERE s.calls = w.calls AND s.cost = w.was AND s.unpriced = w.was_unpriced
        ORDER BY s.slot, s.organization_id, s.feature, s.provider, s.model, s.outcome, s.cost_centre FOR UPDATE OF s
    ), written AS (
        UPDATE llm_spend s SET cost = b.now_cost, estimated = b.now_estimated, unpriced = 0 FROM before b
        WHERE (s.slot, s.organization_id, s.feature, s.provider, s.model, s.outcome, s.cost_centre)
            = (b.slot, b.organization_id, b.feature, b.provider, b.model, b.outcome, b.cost_centre)
        RETURNING b.slot, b.organization_id, b.feature, b.provider, b.now_cost - b.cost AS added,
            b.now_estimated - b.estimated AS estimated, b.unpriced
    )
    SELECT jsonb_agg(to_jsonb(written)) INTO done FROM written;
    FOR x IN
        SELECT b.id, p.id AS period, sum(d.added) AS added, sum(d.estimated) AS estimated, sum(d.unpriced) AS unpriced
        FROM jsonb_to_recordset(coalesce(done, '[]')) AS d(slot timestamptz, organization_id integer, feature text,
            provider text, added numeric, estimated numeric, unpriced integer)
        JOIN org_llm_budgets b ON b.is_active
            AND coalesce(b.organization_id, d.organization_id) = d.organization_id
            AND (b.feature_id IS NULL OR d.feature = (SELECT f.name FROM llm_features f WHERE f.id = b.feature_id))
            AND (b.provider_id IS NULL OR d.provider = (SELECT q.name FROM llm_providers q WHERE q.id = b.provider_id))
        JOIN llm_budget_periods p ON p.budget_id = b.id AND p.starts_at <= clock_timestamp()
            AND coalesce(p.ends_at > clock_timestamp(), true) AND d.slot >= greatest(p.starts_at, b.created_at)
        GROUP BY b.id, p.id ORDER BY b.id
    LOOP
        UPDATE llm_budget_periods p SET spent = p.spent + x.added, estimated = greatest(p.estimated + x.estimated, 0),
            unpriced = greatest(p.unpriced - x.unpriced, 0) WHERE p.id = x.period;
        INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
            VALUES (x.period, 'repriced', x.added, the_actor, the_reason);
        IF to_regprocedure('llm_note_alerts(bigint)') IS NOT NULL THEN  -- of a later migration
            EXECUTE 'SELECT llm_note_alerts($1)' USING x.period;
        END IF;
    END LOOP;
    RETURN coalesce(jsonb_array_length(done), 0);
END $$
"""
GRANT = f"""
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION {SIGNATURE} TO %I', role);
    END LOOP;
END $$
"""  # noqa: S608 - our own words


KINDS = "'top_up', 'correction', 'presumed', 'taken_back'"


def _kinds(kinds: str) -> None:
    op.drop_constraint(op.f("llm_budget_ledger_kind_check"), "llm_budget_ledger", type_="check")
    op.create_check_constraint(op.f("llm_budget_ledger_kind_check"), "llm_budget_ledger", f"kind IN ({kinds})")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _kinds(f"{KINDS}, 'repriced'")
    op.execute(REPRICE)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(GRANT)


def downgrade() -> None:
    """What was priced anew is a correction to the version before: the sums stay."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("UPDATE llm_budget_ledger SET kind = 'correction' WHERE kind = 'repriced'")
    _kinds(KINDS)
    op.execute(f"DROP FUNCTION {SIGNATURE}")
