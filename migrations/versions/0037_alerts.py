"""What a budget carries over to its next period, and alerts: found in the transaction that adds the money.

Nothing here is called by roles of services: what they call is ``llm_sync_leases``, as in 0029.
"""

import importlib.util
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

BUDGETS, PERIODS, LEDGER, ALERTS = "org_llm_budgets", "llm_budget_periods", "llm_budget_ledger", "llm_alerts"
# Which thresholds are reached. Of nothing allowed each is, once something is spent; of nothing spent none.
CROSSED = """
CREATE FUNCTION llm_crossed(thresholds smallint[], spent numeric, allowed numeric) RETURNS smallint[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(t ORDER BY t), '{}') FROM unnest(thresholds) t WHERE spent > 0 AND spent * 100 >= t * allowed
$$
"""
# What a period that begins then has of the one before. What is lent there counts as spent until it comes back. In a period
# between them nobody called: it left all that it had.
CARRIED = """
CREATE FUNCTION llm_carried(b org_llm_budgets, before llm_budget_periods, starts timestamptz) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    cap numeric := coalesce(b.carry_cap, b.amount);
    remains numeric := before.amount + before.carried + before.topped_up - before.spent - before.leased;
    carried numeric;
    last numeric;
    reached timestamptz := before.ends_at;
BEGIN
    IF b.carry = 'none' THEN
        RETURN 0;
    END IF;
    LOOP
        carried := least(remains, cap);
        carried := greatest(carried, CASE b.carry WHEN 'unused' THEN 0 ELSE -cap END);
        EXIT WHEN reached >= starts OR carried = last;  -- and so on
        SELECT ends INTO reached FROM llm_budget_bounds(b, reached);
        last := carried;
        remains := b.amount + carried;
    END LOOP;
    RETURN carried;
END $$
"""
# Leases that ended with calls under way: these count as spent, until their process says otherwise. Returns how much.
SWEEP = """
CREATE FUNCTION llm_sweep_leases(the_period bigint, but uuid, moment timestamptz) RETURNS numeric
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    x record;
    presumed numeric := 0;
BEGIN
    FOR x IN SELECT * FROM llm_leases q
        WHERE q.period_id = the_period AND q.holder IS DISTINCT FROM but AND q.expires_at <= moment AND q.granted > 0
    LOOP
        IF x.in_flight > 0 THEN
            presumed := presumed + x.in_flight;
            INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
                VALUES (the_period, 'presumed', x.in_flight, x.name, 'in flight when it was last heard of');
        END IF;
        UPDATE llm_leases q SET granted = 0, in_flight = 0, presumed = q.presumed + x.in_flight
            WHERE q.holder = x.holder AND q.period_id = the_period;
    END LOOP;
    RETURN presumed;
END $$
"""
# The alerts of a period, as it is now: what holds has one that is not over, what does not has none. Who calls holds the period's row.
# Of thresholds that are passed in one step the highest is told, and names the others.
NOTE = """
CREATE FUNCTION llm_note_alerts(the_period bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    p llm_budget_periods%ROWTYPE;
    b org_llm_budgets%ROWTYPE;
    lives boolean;
    crossed smallint[] := '{}';
    presumed numeric := 0;
    moment timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO p FROM llm_budget_periods WHERE id = the_period;
    SELECT * INTO b FROM org_llm_budgets WHERE id = p.budget_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    lives := b.is_active AND p.closed_at IS NULL;
    IF lives THEN
        crossed := llm_crossed(b.thresholds, p.spent, p.amount + p.carried + p.topped_up);
        presumed := (SELECT coalesce(sum(l.presumed), 0) FROM llm_leases l WHERE l.period_id = p.id);
    END IF;
    UPDATE llm_alerts a SET cleared_at = moment, state = 'resolved', resolved_at = coalesce(a.resolved_at, moment)
        WHERE a.period_id = p.id AND a.cleared_at IS NULL AND NOT (lives AND CASE a.kind
            WHEN 'threshold' THEN a.threshold = ANY (crossed) WHEN 'unpriced' THEN p.unpriced > 0
            WHEN 'presumed' THEN presumed > 0 ELSE true END);
    IF NOT lives THEN
        RETURN;
    END IF;
    INSERT INTO llm_alerts (at, budget_id, period_id, organization_id, kind, threshold, occurrence, facts)
        SELECT moment, b.id, p.id, b.organization_id, w.kind, w.threshold,
            1 + (SELECT count(*) FROM llm_alerts a
                WHERE a.period_id = p.id AND a.kind = w.kind AND a.threshold IS NOT DISTINCT FROM w.threshold),
            jsonb_strip_nulls(jsonb_build_object('spent', p.spent::text, 'estimated', p.estimated::text, 'amount', p.amount::text,
                'carried', p.carried::text, 'topped_up', p.topped_up::text, 'unpriced', p.unpriced,
                'presumed', presumed::text, 'crossed', CASE WHEN w.kind = 'threshold' THEN to_jsonb(crossed) END,
                'told_with', CASE WHEN w.threshold < max(w.threshold) OVER (PARTITION BY w.kind) THEN max(w.threshold)
                    OVER (PARTITION BY w.kind) END))
        FROM (
            SELECT 'threshold' AS kind, t AS threshold FROM unnest(crossed) t
            UNION ALL SELECT 'unpriced', NULL WHERE p.unpriced > 0
            UNION ALL SELECT 'presumed', NULL WHERE presumed > 0
        ) w
        WHERE NOT EXISTS (SELECT FROM llm_alerts a WHERE a.period_id = p.id AND a.kind = w.kind
            AND a.threshold IS NOT DISTINCT FROM w.threshold AND a.cleared_at IS NULL)
        ORDER BY w.kind, w.threshold;
END $$
"""
# From the period before this one, if it is not closed, to the last: what each has of the one before it, by the ledger. A period is
# closed once it is over and nothing of it is lent; what comes later all the same is carried over too. Less is said at once, more when the
# period before is closed: calls under way give back what they do not need one by one. Who calls holds these rows.
CARRY_OVER = """
CREATE FUNCTION llm_carry_over(the_budget integer, the_period bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    b org_llm_budgets%ROWTYPE;
    p llm_budget_periods%ROWTYPE;
    before llm_budget_periods%ROWTYPE;
    since timestamptz;
    presumed numeric;
    target numeric;
    moment timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO b FROM org_llm_budgets WHERE id = the_budget;
    since := (SELECT q.starts_at FROM llm_budget_periods q WHERE q.id = the_period);
    SELECT * INTO p FROM llm_budget_periods q WHERE q.budget_id = the_budget AND q.starts_at < since
        ORDER BY q.starts_at DESC LIMIT 1;
    IF FOUND AND p.closed_at IS NULL THEN
        since := p.starts_at;
    END IF;
    FOR p IN SELECT * FROM llm_budget_periods q WHERE q.budget_id = the_budget AND q.starts_at >= since ORDER BY q.starts_at LOOP
        IF before.id IS NOT NULL AND b.carry <> 'none' THEN
            target := llm_carried(b, before, p.starts_at);
            IF target < p.carried OR (target > p.carried AND before.closed_at IS NOT NULL) THEN
                UPDATE llm_budget_periods q SET carried = target WHERE q.id = p.id;
                INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
                    VALUES (p.id, 'carry', target - p.carried, 'carry-over', 'settled late in the period before');
                p.carried := target;
                PERFORM llm_note_alerts(p.id);
            END IF;
        END IF;
        IF p.closed_at IS NULL AND p.ends_at <= moment THEN
            presumed := llm_sweep_leases(p.id, NULL, moment);
            p.spent := p.spent + presumed;
            p.leased := (SELECT coalesce(sum(q.granted), 0) FROM llm_leases q WHERE q.period_id = p.id);
            IF p.leased = 0 AND p.ends_at < moment - interval '15 seconds' THEN
                p.closed_at := moment;
            END IF;
            UPDATE llm_budget_periods q SET spent = p.spent, leased = p.leased, closed_at = p.closed_at WHERE q.id = p.id;
            IF presumed > 0 OR p.closed_at IS NOT NULL THEN
                PERFORM llm_note_alerts(p.id);
            END IF;
        END IF;
        before := p;
    END LOOP;
END $$
"""
# By hand, or by a document: what may be spent is another amount at once, and alerts go by it.
CHANGED = """
CREATE FUNCTION llm_budget_changed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    the_period bigint;
    moment timestamptz := clock_timestamp();
BEGIN
    UPDATE llm_budget_periods q SET amount = NEW.amount WHERE q.id = (
        SELECT id FROM llm_budget_periods WHERE budget_id = NEW.id AND starts_at <= moment AND (ends_at IS NULL OR ends_at > moment)
        ORDER BY starts_at DESC LIMIT 1
    ) RETURNING q.id INTO the_period;
    PERFORM llm_note_alerts(the_period);
    RETURN NULL;
END $$
"""
# As in 0029, but for periods: one may begin with what the one before left.
OPEN = """
CREATE OR REPLACE FUNCTION llm_open_budget_period(the_budget integer) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    b org_llm_budgets%ROWTYPE;
    before llm_budget_periods%ROWTYPE;
    bounds record;
    carry numeric := 0;
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
    SELECT * INTO before FROM llm_budget_periods WHERE budget_id = the_budget AND ends_at <= moment
        ORDER BY starts_at DESC LIMIT 1;
    IF FOUND THEN
        bounds.starts := greatest(bounds.starts, before.ends_at);
        carry := llm_carried(b, before, bounds.starts);
    END IF;
    INSERT INTO llm_budget_periods (budget_id, starts_at, ends_at, amount, carried)
        VALUES (the_budget, bounds.starts, bounds.ends, b.amount, carry) ON CONFLICT (budget_id, starts_at) DO NOTHING
        RETURNING id INTO the_period;
    IF FOUND AND carry <> 0 THEN
        INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
            VALUES (the_period, 'carry', carry, 'carry-over', 'left by the period before');
    END IF;
    DELETE FROM llm_leases l USING llm_budget_periods p  -- of processes that are gone; what they are presumed to have spent is in the ledger
        WHERE p.budget_id = the_budget AND l.period_id = p.id AND l.expires_at < moment - interval '7 days';
    SELECT id INTO the_period FROM llm_budget_periods WHERE budget_id = the_budget AND starts_at = bounds.starts;
    RETURN the_period;
EXCEPTION WHEN foreign_key_violation THEN
    RETURN NULL;  -- deleted meanwhile
END $$
"""
# As in 0029, but for what is carried over and for alerts. Of a budget all periods after one that is told of are locked, and the one before
# the one that is now until it is closed.
SYNC = """
CREATE OR REPLACE FUNCTION llm_sync_leases(the_holder uuid, the_number bigint, the_name text, lives double precision, told jsonb)
RETURNS TABLE (
    budget_id integer, period_id bigint, granted numeric, lives_for double precision, ends_in double precision,
    allowed numeric, spent numeric, others numeric, recalled boolean, ends_at timestamptz, ends_there text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    m record;
    b org_llm_budgets%ROWTYPE;
    p llm_budget_periods%ROWTYPE;
    l llm_leases%ROWTYPE;
    is_new boolean;
    is_over boolean;
    is_told boolean;
    ids bigint[] := '{}';
    also bigint[];
    behind integer[];
    was smallint[];
    presumed numeric;
    taken_back boolean;
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
    SELECT array_agg(more.id), array_agg(t.budget_id) INTO also, behind
        FROM llm_budget_periods t, LATERAL (
            SELECT r.id FROM llm_budget_periods r WHERE r.budget_id = t.budget_id AND r.starts_at > t.starts_at
            UNION ALL SELECT r.id FROM (
                SELECT q.id, q.closed_at FROM llm_budget_periods q WHERE q.budget_id = t.budget_id AND q.starts_at < t.starts_at
                ORDER BY q.starts_at DESC LIMIT 1
            ) r WHERE r.closed_at IS NULL
        ) more WHERE t.id = ANY (ids);
    PERFORM 1 FROM llm_budget_periods q WHERE q.id = ANY (ids || also) ORDER BY q.id FOR NO KEY UPDATE;
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
            IF m.b = ANY (behind) THEN
                PERFORM llm_carry_over(m.b, p.id);
                SELECT * INTO p FROM llm_budget_periods q WHERE q.id = m.period;
            END IF;
            p.amount := b.amount;
        END IF;
        was := llm_crossed(b.thresholds, p.spent, p.amount + p.carried + p.topped_up);
        is_told := p.unpriced > 0;
        SELECT * INTO l FROM llm_leases q WHERE q.holder = the_holder AND q.period_id = p.id;
        is_new := NOT FOUND;
        IF is_new THEN
            l.granted := 0;
            l.in_flight := 0;
            l.presumed := 0;
            l.expires_at := moment + life;
        END IF;
        IF is_new OR (m.p IS NOT NULL AND the_number > l.number) THEN
            presumed := 0;
            taken_back := l.presumed > 0;
            IF taken_back THEN
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
                presumed := llm_sweep_leases(p.id, the_holder, moment);
                p.spent := p.spent + presumed;
                DELETE FROM llm_leases q WHERE q.period_id = p.id AND q.holder <> the_holder
                    AND q.granted = 0 AND q.presumed = 0 AND q.expires_at < moment - interval '1 day';
                SELECT coalesce(sum(q.granted), 0), count(*) FILTER (WHERE q.granted > 0) INTO p.leased, p.holders
                    FROM llm_leases q WHERE q.period_id = p.id AND q.holder <> the_holder;
                p.swept_at := moment;
            END IF;
            room := p.amount + p.carried + p.topped_up - p.spent - p.leased - m.f;
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
                unpriced = p.unpriced, leased = p.leased, holders = p.holders, recall_at = p.recall_at, swept_at = p.swept_at,
                closed_at = CASE WHEN p.leased = 0 THEN p.closed_at END WHERE q.id = p.id;
            IF presumed > 0 OR taken_back OR (p.unpriced > 0 AND NOT is_told)
                OR was <> llm_crossed(b.thresholds, p.spent, p.amount + p.carried + p.topped_up)
            THEN
                PERFORM llm_note_alerts(p.id);
            END IF;
            IF is_over THEN
                PERFORM llm_carry_over(m.b, p.id);
            END IF;
        END IF;
        budget_id := p.budget_id;
        period_id := p.id;
        granted := l.granted;
        lives_for := extract(epoch FROM l.expires_at - moment);
        ends_in := extract(epoch FROM p.ends_at - moment);
        allowed := p.amount + p.carried + p.topped_up;
        spent := p.spent;
        others := greatest(p.leased - l.granted, 0);
        recalled := coalesce(p.recall_at >= moment - interval '0.5 seconds', false);
        ends_at := p.ends_at;
        ends_there := to_char(p.ends_at AT TIME ZONE b.time_zone, 'FMDD FMMonth YYYY, HH24:MI ') || b.time_zone;
        RETURN NEXT;
    END LOOP;
END $$
"""
# As in 0029; `repriced`: a price was entered late.
ADJUST = """
CREATE OR REPLACE FUNCTION llm_adjust_budget(the_budget integer, the_kind text, the_amount numeric, the_actor text, the_reason text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    period bigint := llm_open_budget_period(the_budget);
BEGIN
    IF the_kind NOT IN ('top_up', 'correction', 'repriced') THEN
        RAISE EXCEPTION 'no such kind';
    END IF;
    UPDATE llm_budget_periods SET
        topped_up = topped_up + CASE the_kind WHEN 'top_up' THEN the_amount ELSE 0 END,
        spent = spent + CASE the_kind WHEN 'top_up' THEN 0 ELSE the_amount END
        WHERE id = period;
    IF FOUND THEN
        INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
            VALUES (period, the_kind, the_amount, the_actor, the_reason);
        PERFORM llm_note_alerts(period);
    END IF;
    RETURN period;
END $$
"""
NEW = {
    "llm_crossed(smallint[], numeric, numeric)": CROSSED,
    "llm_carried(org_llm_budgets, llm_budget_periods, timestamptz)": CARRIED,
    "llm_sweep_leases(bigint, uuid, timestamptz)": SWEEP,
    "llm_note_alerts(bigint)": NOTE,
    "llm_carry_over(integer, bigint)": CARRY_OVER,
    "llm_budget_changed()": CHANGED,
}
ONLY_RECKON = list(NEW)[:2]
THRESHOLDS = (
    "cardinality(thresholds) <= 10 AND 1 <= ALL (thresholds) AND 1000 >= ALL (thresholds) AND array_position(thresholds, NULL) IS NULL"
    + "".join(f" AND coalesce(thresholds[{n}] < thresholds[{n + 1}], true)" for n in range(1, 10))
)
KINDS = "'top_up', 'correction', 'presumed', 'taken_back', 'repriced'"
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON llm_alerts TO %I', role);
        EXECUTE format('GRANT USAGE ON SEQUENCE llm_alerts_id_seq TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    moment = sa.DateTime(timezone=True)
    money = sa.Numeric(20, 10)
    for column in (
        sa.Column(
            "thresholds",
            postgresql.ARRAY(sa.SmallInteger()),
            server_default=sa.text("'{50,80,100}'::smallint[]"),
            nullable=False,
        ),
        sa.Column("forecast", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("carry", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("carry_cap", money, nullable=True),
    ):
        op.add_column(BUDGETS, column)
    for name, words in (
        ("thresholds", THRESHOLDS),
        ("carry", "carry IN ('none', 'unused', 'both') AND (carry = 'none' OR period <> 'total')"),
        ("carry_cap", "carry_cap >= 0"),
    ):
        op.create_check_constraint(op.f(f"{BUDGETS}_{name}_check"), BUDGETS, words)
    op.add_column(PERIODS, sa.Column("carried", money, server_default=sa.text("0"), nullable=False))
    op.add_column(PERIODS, sa.Column("closed_at", moment, nullable=True))
    op.execute("UPDATE llm_budget_periods SET closed_at = ends_at WHERE ends_at <= clock_timestamp()")
    _ledger(f"{KINDS}, 'carry'")
    op.create_table(
        ALERTS,
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("budget_id", sa.Integer(), nullable=True),
        sa.Column("period_id", sa.BigInteger(), nullable=True),
        sa.Column("organization_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("threshold", sa.SmallInteger(), nullable=True),
        sa.Column("occurrence", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("acknowledged_at", moment, nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("resolved_at", moment, nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("cleared_at", moment, nullable=True),
        sa.Column("told_at", moment, nullable=True),
        sa.CheckConstraint(
            "kind IN ('threshold', 'unpriced', 'presumed', 'forecast', 'spike', 'delivery')",
            name=op.f("llm_alerts_kind_check"),
        ),
        sa.CheckConstraint("state IN ('open', 'acknowledged', 'resolved')", name=op.f("llm_alerts_state_check")),
        sa.CheckConstraint("(kind = 'threshold') = (threshold IS NOT NULL)", name=op.f("llm_alerts_threshold_check")),
        sa.CheckConstraint(
            "(state = 'resolved') = (resolved_at IS NOT NULL)", name=op.f("llm_alerts_resolved_at_check")
        ),
        sa.ForeignKeyConstraint(
            ["period_id"], [f"{PERIODS}.id"], name=op.f("llm_alerts_period_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("llm_alerts_pkey")),
        sa.UniqueConstraint(
            "period_id",
            "kind",
            "threshold",
            "occurrence",
            name=op.f("llm_alerts_period_id_kind_threshold_occurrence_key"),
            postgresql_nulls_not_distinct=True,
        ),
        comment="What somebody is to look at: of budgets, of spend, of messages that fail",
    )
    op.create_index("llm_alerts_untold_idx", ALERTS, ["id"], postgresql_where=sa.text("told_at IS NULL"))
    op.create_index("llm_alerts_live_idx", ALERTS, ["id"], postgresql_where=sa.text("state <> 'resolved'"))
    op.create_index("llm_alerts_holds_idx", ALERTS, ["kind"], postgresql_where=sa.text("cleared_at IS NULL"))
    for signature, statement in NEW.items():
        op.execute(statement)
        if signature not in ONLY_RECKON:
            op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for statement in (OPEN, SYNC, ADJUST):
        op.execute(statement)
    op.execute(
        f"CREATE TRIGGER {BUDGETS}_alerts AFTER UPDATE OF amount, thresholds, is_active ON {BUDGETS} FOR EACH ROW"
        " EXECUTE FUNCTION llm_budget_changed()"
    )
    op.execute(GRANT)


def downgrade() -> None:
    """What was carried over is a top-up to the version before: the sums stay."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # of a change before, in this transaction
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute(f"DROP TRIGGER {BUDGETS}_alerts ON {BUDGETS}")
    for name in ("OPEN", "SYNC", "ADJUST"):
        op.execute(getattr(_before(), name).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    for signature in reversed(NEW):
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table(ALERTS)
    op.execute("UPDATE llm_budget_ledger SET kind = 'top_up' WHERE kind = 'carry'")
    op.execute("UPDATE llm_budget_periods SET topped_up = topped_up + carried WHERE carried <> 0")
    _ledger(KINDS)
    for table, columns in (
        (PERIODS, ("closed_at", "carried")),
        (BUDGETS, ("carry_cap", "carry", "forecast", "thresholds")),
    ):
        for column in columns:
            op.drop_column(table, column)


def _ledger(kinds: str) -> None:
    name = op.f(f"{LEDGER}_kind_check")
    op.drop_constraint(name, LEDGER, type_="check")
    op.create_check_constraint(name, LEDGER, f"kind IN ({kinds})")


def _before() -> Any:
    """Return the migration whose functions are changed here: it has them as they were."""
    spec: Any = importlib.util.spec_from_file_location("budgets_0029", Path(__file__).with_name("0029_budgets.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
