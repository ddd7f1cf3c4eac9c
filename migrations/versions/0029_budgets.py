"""Budgets: what may be spent in a period, the periods, what of them is lent to processes, and what was changed by hand.

Processes that call models have no right on these tables: they call ``llm_sync_leases``, as their owner. Roles that may add to
the request log may call it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

BUDGETS, PERIODS, LEASES, LEDGER = "org_llm_budgets", "llm_budget_periods", "llm_leases", "llm_budget_ledger"
# A period is calendar time in the budget's zone.
BOUNDS = """
CREATE FUNCTION llm_budget_bounds(b org_llm_budgets, moment timestamptz, OUT starts timestamptz, OUT ends timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    here timestamp := moment AT TIME ZONE b.time_zone;
    begins timestamp;
    step interval;
    months integer;
BEGIN
    IF b.period = 'total' THEN
        starts := b.created_at;
        RETURN;
    END IF;
    LOOP
        begins := date_trunc('day', here);
        step := interval '1 day';
        IF b.period = 'week' THEN
            begins := begins - make_interval(days => (extract(isodow FROM begins)::integer - b.week_starts + 7) % 7);
            step := interval '7 days';
        ELSIF b.period <> 'day' THEN
            months := CASE b.period WHEN 'month' THEN 1 WHEN 'quarter' THEN 3 ELSE 12 END;
            begins := date_trunc('month', begins)
                - make_interval(months => (extract(month FROM begins)::integer - b.first_month + 12) % months);
            step := make_interval(months => months);
        END IF;
        starts := begins AT TIME ZONE b.time_zone;
        ends := (begins + step) AT TIME ZONE b.time_zone;
        EXIT WHEN starts <= moment;
        here := begins - interval '1 second';  -- midnight comes twice there today, and this is before the second
    END LOOP;
END $$
"""
# By this server's clock. A zone, a beginning of the week or of the year that was changed acts from the next period on: who finds
# one that has not ended takes it.
OPEN = """
CREATE FUNCTION llm_open_budget_period(the_budget integer) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    b org_llm_budgets%ROWTYPE;
    bounds record;
    the_period bigint;
    moment timestamptz := clock_timestamp();
BEGIN
    SELECT id INTO the_period FROM llm_budget_periods
        WHERE budget_id = the_budget AND starts_at <= moment AND (ends_at IS NULL OR ends_at > moment)
        ORDER BY starts_at DESC LIMIT 1;
    IF FOUND THEN
        RETURN the_period;
    END IF;
    SELECT * INTO b FROM org_llm_budgets WHERE id = the_budget;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO bounds FROM llm_budget_bounds(b, moment);
    bounds.starts := greatest(bounds.starts,
        (SELECT max(ends_at) FROM llm_budget_periods WHERE budget_id = the_budget AND ends_at <= moment));
    INSERT INTO llm_budget_periods (budget_id, starts_at, ends_at, amount)
        VALUES (the_budget, bounds.starts, bounds.ends, b.amount) ON CONFLICT (budget_id, starts_at) DO NOTHING;
    DELETE FROM llm_leases l USING llm_budget_periods p  -- of processes that are gone; what they are presumed to have spent is in the ledger
        WHERE p.budget_id = the_budget AND l.period_id = p.id AND l.expires_at < moment - interval '7 days';
    SELECT id INTO the_period FROM llm_budget_periods WHERE budget_id = the_budget AND starts_at = bounds.starts;
    RETURN the_period;
EXCEPTION WHEN foreign_key_violation THEN
    RETURN NULL;  -- deleted meanwhile
END $$
"""
# One statement for all meters of a holder. `told` is an array of objects: b budget, p period (null: the one that is now), s spent
# and e estimated since the last word, f in flight, k kept (what is in flight, and what of the lease is not given back), a asked
# for besides, n needed by calls that wait, l the least of these, u how many calls had no known price. A number that was heard before
# changes nothing; nor does a word about the period that is now where the holder has a lease of it already. What is below 0 counts as
# 0, and a budget of which something is no number is left out: nobody takes spending back here.
SYNC = """
CREATE FUNCTION llm_sync_leases(the_holder uuid, the_number bigint, the_name text, lives double precision, told jsonb)
RETURNS TABLE (
    budget_id integer, period_id bigint, granted numeric, lives_for double precision, ends_in double precision,
    allowed numeric, spent numeric, others numeric, recalled boolean, ends_at timestamptz, ends_there text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    m record;
    x record;
    b org_llm_budgets%ROWTYPE;
    p llm_budget_periods%ROWTYPE;
    l llm_leases%ROWTYPE;
    is_new boolean;
    is_over boolean;
    ids bigint[] := '{}';
    moment timestamptz;
    life interval := make_interval(secs => least(greatest(lives, 0.5), 10));
    room numeric;
    kept numeric;
    give numeric;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR m IN SELECT t.b, t.p FROM jsonb_to_recordset(told) AS t(b integer, p bigint) ORDER BY t.b, t.p LOOP
        ids := ids || coalesce(m.p, llm_open_budget_period(m.b));
    END LOOP;
    PERFORM 1 FROM llm_budget_periods q WHERE q.id = ANY (ids) ORDER BY q.id FOR NO KEY UPDATE;
    moment := clock_timestamp();
    FOR m IN
        SELECT t.b, t.p, greatest(t.s, 0) AS s, greatest(t.e, 0) AS e, greatest(t.f, 0) AS f, greatest(t.k, t.f, 0) AS k,
            greatest(t.a, 0) AS a, greatest(t.n, 0) AS n, greatest(t.l, 0) AS l, greatest(t.u, 0) AS u,
            ids[(row_number() OVER (ORDER BY t.b, t.p))::integer] AS period
        FROM jsonb_to_recordset(told) AS t(
            b integer, p bigint, s numeric, e numeric, f numeric, k numeric, a numeric, n numeric, l numeric, u integer
        ) ORDER BY t.b, t.p
    LOOP
        CONTINUE WHEN m.s + m.e + m.f + m.k + m.a + m.n + m.l = 'NaN';
        SELECT * INTO p FROM llm_budget_periods q WHERE q.id = m.period AND q.budget_id = m.b;
        CONTINUE WHEN NOT FOUND;
        SELECT * INTO b FROM org_llm_budgets q WHERE q.id = m.b;
        CONTINUE WHEN NOT FOUND;
        is_over := coalesce(p.ends_at <= moment, false);
        IF NOT is_over THEN
            p.amount := b.amount;
        END IF;
        SELECT * INTO l FROM llm_leases q WHERE q.holder = the_holder AND q.period_id = p.id;
        is_new := NOT FOUND;
        IF is_new THEN
            l.granted := 0;
            l.in_flight := 0;
            l.presumed := 0;
            l.expires_at := moment + life;
        END IF;
        IF is_new OR (m.p IS NOT NULL AND the_number > l.number) THEN
            IF l.presumed > 0 THEN
                p.spent := p.spent - l.presumed;
                INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
                    VALUES (p.id, 'taken_back', -l.presumed, l.name, 'it speaks again, and says itself what was spent');
                l.presumed := 0;
            END IF;
            p.spent := p.spent + m.s;
            p.estimated := p.estimated + m.e;
            p.unpriced := p.unpriced + m.u;
            p.leased := greatest(p.leased - l.granted, 0);
            IF m.n > 0 OR p.swept_at < moment - interval '1 second' THEN
                FOR x IN SELECT * FROM llm_leases q
                    WHERE q.period_id = p.id AND q.holder <> the_holder AND q.expires_at <= moment AND q.granted > 0
                LOOP
                    IF x.in_flight > 0 THEN
                        p.spent := p.spent + x.in_flight;
                        INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
                            VALUES (p.id, 'presumed', x.in_flight, x.name, 'in flight when it was last heard of');
                    END IF;
                    UPDATE llm_leases q SET granted = 0, in_flight = 0, presumed = q.presumed + x.in_flight
                        WHERE q.holder = x.holder AND q.period_id = p.id;
                END LOOP;
                DELETE FROM llm_leases q WHERE q.period_id = p.id AND q.holder <> the_holder
                    AND q.granted = 0 AND q.presumed = 0 AND q.expires_at < moment - interval '1 day';
                SELECT coalesce(sum(q.granted), 0), count(*) FILTER (WHERE q.granted > 0) INTO p.leased, p.holders
                    FROM llm_leases q WHERE q.period_id = p.id AND q.holder <> the_holder;
                p.swept_at := moment;
            END IF;
            room := p.amount + p.topped_up - p.spent - p.leased - m.f;
            kept := m.k - m.f;
            IF l.expires_at <= moment THEN
                kept := least(kept, greatest(room, 0));  -- others may have had it since
            END IF;
            room := room - kept;
            give := 0;
            IF b.mode = 'hard' AND NOT is_over AND room > 0 THEN
                IF m.n > 0 AND room >= m.l THEN
                    give := least(m.n, room);
                END IF;
                IF m.n <= give AND coalesce(p.recall_at < moment - interval '0.5 seconds', true) THEN
                    give := greatest(give, least(m.a, trunc(room / 2 / (p.holders + 1), 10)));
                END IF;
            END IF;
            IF m.n > give AND p.leased > 0 THEN
                p.recall_at := moment;
            END IF;
            l.granted := m.f + kept + give;
            l.in_flight := m.f;
            l.number := the_number;
            l.expires_at := moment + life;
            p.leased := p.leased + l.granted;
            INSERT INTO llm_leases (holder, period_id, granted, in_flight, presumed, number, expires_at, name)
                VALUES (the_holder, p.id, l.granted, l.in_flight, l.presumed, l.number, l.expires_at, left(the_name, 200))
                ON CONFLICT ON CONSTRAINT llm_leases_pkey DO UPDATE SET granted = excluded.granted,
                    in_flight = excluded.in_flight, presumed = excluded.presumed, number = excluded.number,
                    expires_at = excluded.expires_at, name = excluded.name;
            UPDATE llm_budget_periods q SET amount = p.amount, spent = p.spent, estimated = p.estimated,
                unpriced = p.unpriced, leased = p.leased, holders = p.holders, recall_at = p.recall_at, swept_at = p.swept_at WHERE q.id = p.id;
        END IF;
        budget_id := p.budget_id;
        period_id := p.id;
        granted := l.granted;
        lives_for := extract(epoch FROM l.expires_at - moment);
        ends_in := extract(epoch FROM p.ends_at - moment);
        allowed := p.amount + p.topped_up;
        spent := p.spent;
        others := greatest(p.leased - l.granted, 0);
        recalled := coalesce(p.recall_at >= moment - interval '0.5 seconds', false);
        ends_at := p.ends_at;
        ends_there := to_char(p.ends_at AT TIME ZONE b.time_zone, 'FMDD FMMonth YYYY, HH24:MI ') || b.time_zone;
        RETURN NEXT;
    END LOOP;
END $$
"""
# By hand: a top-up, or a correction of either sign. In the current period, with a row of the ledger.
ADJUST = """
CREATE FUNCTION llm_adjust_budget(the_budget integer, the_kind text, the_amount numeric, the_actor text, the_reason text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    period bigint := llm_open_budget_period(the_budget);
BEGIN
    IF the_kind NOT IN ('top_up', 'correction') THEN
        RAISE EXCEPTION 'no such kind';
    END IF;
    UPDATE llm_budget_periods SET
        topped_up = topped_up + CASE the_kind WHEN 'top_up' THEN the_amount ELSE 0 END,
        spent = spent + CASE the_kind WHEN 'correction' THEN the_amount ELSE 0 END
        WHERE id = period;
    IF FOUND THEN
        INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
            VALUES (period, the_kind, the_amount, the_actor, the_reason);
    END IF;
    RETURN period;
END $$
"""
SIGNATURES = (
    "llm_budget_bounds(org_llm_budgets, timestamptz)",
    "llm_open_budget_period(integer)",
    "llm_sync_leases(uuid, bigint, text, double precision, jsonb)",
    "llm_adjust_budget(integer, text, numeric, text, text)",
)
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON org_llm_budgets TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE org_llm_budgets_id_seq TO %I', role);
        EXECUTE format('GRANT SELECT ON llm_budget_periods, llm_leases, llm_budget_ledger TO %I', role);
        EXECUTE format('GRANT EXECUTE ON FUNCTION llm_open_budget_period(integer), '
            'llm_adjust_budget(integer, text, numeric, text, text), '
            'llm_sync_leases(uuid, bigint, text, double precision, jsonb) TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_providers'::regclass AND acl.privilege_type = 'SELECT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON org_llm_budgets TO %I', 'id, organization_id, feature_id, provider_id, name, '
            'mode, unpriced, when_away, is_active', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_logs'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION llm_sync_leases(uuid, bigint, text, double precision, jsonb) TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    money, moment = sa.Numeric(20, 10), sa.DateTime(timezone=True)
    nothing, now = sa.text("0"), sa.text("now()")
    op.create_table(
        BUDGETS,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("feature_id", sa.Integer(), nullable=True),
        sa.Column("provider_id", sa.Integer(), nullable=True),
        sa.Column("amount", money, nullable=False),
        sa.Column("currency", sa.Text(), server_default=sa.text("'USD'"), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column("week_starts", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("first_month", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("unpriced", sa.Text(), nullable=False),
        sa.Column("when_away", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", moment, server_default=now, nullable=False),
        sa.Column("updated_at", moment, server_default=now, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.Column("field_changes", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name=op.f("org_llm_budgets_name_check")),
        sa.CheckConstraint("amount >= 0", name=op.f("org_llm_budgets_amount_check")),
        sa.CheckConstraint("currency = 'USD'", name=op.f("org_llm_budgets_currency_check")),
        sa.CheckConstraint(
            "period IN ('day', 'week', 'month', 'quarter', 'year', 'total')", name=op.f("org_llm_budgets_period_check")
        ),
        sa.CheckConstraint("week_starts BETWEEN 1 AND 7", name=op.f("org_llm_budgets_week_starts_check")),
        sa.CheckConstraint("first_month BETWEEN 1 AND 12", name=op.f("org_llm_budgets_first_month_check")),
        sa.CheckConstraint("mode IN ('hard', 'soft')", name=op.f("org_llm_budgets_mode_check")),
        sa.CheckConstraint("unpriced IN ('refuse', 'count')", name=op.f("org_llm_budgets_unpriced_check")),
        sa.CheckConstraint("when_away IN ('closed', 'open')", name=op.f("org_llm_budgets_when_away_check")),
        *(
            sa.ForeignKeyConstraint(
                [f"{column}_id"], [f"{table}.id"], name=op.f(f"org_llm_budgets_{column}_id_fkey"), ondelete="CASCADE"
            )
            for column, table in (
                ("organization", "organizations"),
                ("feature", "llm_features"),
                ("provider", "llm_providers"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("org_llm_budgets_pkey")),
        comment="What may be spent in a period",
    )
    op.create_index(op.f("org_llm_budgets_name_idx"), BUDGETS, ["name"], unique=True)
    op.create_index(
        "org_llm_budgets_active_scope_key",
        BUDGETS,
        ["organization_id", "feature_id", "provider_id", "period"],
        unique=True,
        postgresql_where=sa.text("is_active"),
        postgresql_nulls_not_distinct=True,
    )
    for column in ("organization_id", "feature_id", "provider_id"):
        op.create_index(op.f(f"org_llm_budgets_{column}_idx"), BUDGETS, [column])
    op.create_table(
        PERIODS,
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("budget_id", sa.Integer(), nullable=False),
        sa.Column("starts_at", moment, nullable=False),
        sa.Column("ends_at", moment, nullable=True),
        sa.Column("amount", money, nullable=False),
        sa.Column("topped_up", money, server_default=nothing, nullable=False),
        sa.Column("spent", money, server_default=nothing, nullable=False),
        sa.Column("estimated", money, server_default=nothing, nullable=False),
        sa.Column("unpriced", sa.Integer(), server_default=nothing, nullable=False),
        sa.Column("leased", money, server_default=nothing, nullable=False),
        sa.Column("holders", sa.Integer(), server_default=nothing, nullable=False),
        sa.Column("recall_at", moment, nullable=True),
        sa.Column("swept_at", moment, server_default=now, nullable=False),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("llm_budget_periods_ends_at_check")),
        sa.ForeignKeyConstraint(
            ["budget_id"], [f"{BUDGETS}.id"], name=op.f("llm_budget_periods_budget_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_budget_periods_pkey")),
        sa.UniqueConstraint("budget_id", "starts_at", name=op.f("llm_budget_periods_budget_id_starts_at_key")),
        comment="The periods of budgets, and what was spent in each",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        LEASES,
        sa.Column("holder", postgresql.UUID(), nullable=False),
        sa.Column("period_id", sa.BigInteger(), nullable=False),
        sa.Column("granted", money, nullable=False),
        sa.Column("in_flight", money, nullable=False),
        sa.Column("presumed", money, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["period_id"], [f"{PERIODS}.id"], name=op.f("llm_leases_period_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("holder", "period_id", name=op.f("llm_leases_pkey")),
        comment="What of a budget's period is lent to a process",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(op.f("llm_leases_period_id_idx"), LEASES, ["period_id"])
    op.create_table(
        LEDGER,
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", moment, server_default=now, nullable=False),
        sa.Column("period_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", money, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('top_up', 'correction', 'presumed', 'taken_back')", name=op.f("llm_budget_ledger_kind_check")
        ),
        sa.ForeignKeyConstraint(
            ["period_id"], [f"{PERIODS}.id"], name=op.f("llm_budget_ledger_period_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_budget_ledger_pkey")),
        comment="What was added to a budget's period other than by calls",
    )
    op.create_index(op.f("llm_budget_ledger_period_id_idx"), LEDGER, ["period_id"])
    for statement in (BOUNDS, OPEN, SYNC, ADJUST):
        op.execute(statement)
    for signature in SIGNATURES[1:]:  # the first only reckons
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(
        f"CREATE TRIGGER {BUDGETS}_stamp BEFORE INSERT OR UPDATE ON {BUDGETS} FOR EACH ROW EXECUTE FUNCTION llm_stamp_row()"
    )
    op.execute(
        f"CREATE CONSTRAINT TRIGGER {BUDGETS}_count AFTER INSERT OR UPDATE OR DELETE ON {BUDGETS} "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(
        f"CREATE TRIGGER {BUDGETS}_truncate AFTER TRUNCATE ON {BUDGETS} FOR EACH STATEMENT EXECUTE FUNCTION llm_count_change()"
    )
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # of a change before, in this transaction
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute("DELETE FROM settings_history WHERE table_name = 'org_llm_budgets'")
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    for table in (LEDGER, LEASES, PERIODS, BUDGETS):
        op.drop_table(table)
