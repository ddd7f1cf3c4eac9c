"""What of rate limits on calls is left, what of them is lent to processes, what went through by the hour, and what vendors allow.

Processes that call models have no right on these tables: they call ``llm_sync_rates``, as their owner. Roles that may add to the
request log may call it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None
before_reads = True
before_writes = True

LEVELS, LEASES, HOURS, VENDORS = "llm_rate_levels", "llm_rate_leases", "llm_rate_hours", "llm_vendor_rates"
# One statement for all that a holder says. `told` has `limits`, an array of objects: l rate limit; for requests (r) and tokens (t): u used
# since the last word (below 0: what was not used after all comes back), k kept of what is lent, n needed beside it by calls that
# wait, h by the first of these, a asked for in all; for places: pu in use, pk kept (these among it), pn needed, pa asked for, pm most in use since; w calls
# that waited, wm for how many milliseconds, x refused. And `gates`: p provider, f fingerprint of the key, m model, r, t, i, o what the vendor
# allows of requests, tokens, those of the input and those of the output, c for how many seconds it lets nothing through (0: it does again;
# null: nothing new).
# A bucket's level and what is lent of it are at most the burst together, so that what is lent is no second burst. A number that was heard
# before changes nothing. All durations are by this server's clock.
SYNC = """
CREATE FUNCTION llm_sync_rates(the_holder uuid, the_number bigint, the_name text, lives double precision, told jsonb)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    m record;
    r llm_rate_limits%ROWTYPE;
    v llm_rate_levels%ROWTYPE;
    h llm_rate_leases%ROWTYPE;
    is_new boolean;
    moment timestamptz;
    since double precision;
    life interval := make_interval(secs => least(greatest(lives, 0.5), 10));
    rate double precision;
    burst double precision;
    room double precision;
    give double precision;
    free integer;
    lent integer;
    lacks boolean;
    answers jsonb := '[]';
    gates jsonb;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    -- As who deletes does: first what others refer to.
    PERFORM 1 FROM llm_providers q
        WHERE q.id IN (SELECT t.p FROM jsonb_to_recordset(told -> 'gates') AS t(p integer)) ORDER BY q.id FOR KEY SHARE;
    PERFORM 1 FROM llm_rate_limits q
        WHERE q.id IN (SELECT t.l FROM jsonb_to_recordset(told -> 'limits') AS t(l integer)) ORDER BY q.id FOR KEY SHARE;
    INSERT INTO llm_rate_levels (rate_limit_id, requests, tokens, filled_at)
        SELECT q.id, coalesce(q.requests_per_minute, 0) / 60.0 * q.burst_seconds,
            coalesce(q.tokens_per_minute, 0) / 60.0 * q.burst_seconds, clock_timestamp()
        FROM llm_rate_limits q WHERE q.id IN (SELECT t.l FROM jsonb_to_recordset(told -> 'limits') AS t(l integer))
            AND NOT EXISTS (SELECT 1 FROM llm_rate_levels x WHERE x.rate_limit_id = q.id)
        ORDER BY q.id ON CONFLICT DO NOTHING;
    PERFORM 1 FROM llm_rate_levels q
        WHERE q.rate_limit_id IN (SELECT t.l FROM jsonb_to_recordset(told -> 'limits') AS t(l integer))
        ORDER BY q.rate_limit_id FOR NO KEY UPDATE;
    moment := clock_timestamp();
    FOR m IN
        SELECT t.l, coalesce(t.ru, 0) AS ru, greatest(t.rk, 0) AS rk, greatest(t.rn, 0) AS rn, greatest(t.rh, 0) AS rh,
            greatest(t.ra, 0) AS ra, coalesce(t.tu, 0) AS tu, greatest(t.tk, 0) AS tk, greatest(t.tn, 0) AS tn, greatest(t.th, 0) AS th,
            greatest(t.ta, 0) AS ta, greatest(t.pu, 0) AS pu, greatest(t.pk, t.pu, 0) AS pk, greatest(t.pn, 0) AS pn,
            greatest(t.pa, 0) AS pa, greatest(t.pm, t.pu, 0) AS pm, greatest(t.w, 0) AS w, greatest(t.wm, 0) AS wm,
            greatest(t.x, 0) AS x
        FROM jsonb_to_recordset(told -> 'limits') AS t(
            l integer, ru double precision, rk double precision, rn double precision, rh double precision, ra double precision,
            tu double precision, tk double precision, tn double precision, th double precision, ta double precision,
            pu integer, pk integer, pn integer, pa integer, pm integer, w integer, wm bigint, x integer
        ) ORDER BY t.l
    LOOP
        CONTINUE WHEN NOT abs(m.ru) + m.rk + m.rn + m.rh + m.ra + abs(m.tu) + m.tk + m.tn + m.th + m.ta < 1e15;
        SELECT * INTO r FROM llm_rate_limits q WHERE q.id = m.l;
        CONTINUE WHEN NOT FOUND;
        SELECT * INTO v FROM llm_rate_levels q WHERE q.rate_limit_id = m.l;
        CONTINUE WHEN NOT FOUND;
        SELECT * INTO h FROM llm_rate_leases q WHERE q.holder = the_holder AND q.rate_limit_id = m.l;
        is_new := NOT FOUND;
        IF is_new THEN
            h.requests := 0;
            h.tokens := 0;
            h.places := 0;
            h.in_use := 0;
            h.expires_at := moment + life;
        END IF;
        IF is_new OR the_number > h.number THEN
            IF m.rn + m.tn + m.pn > 0 OR v.swept_at < moment - interval '1 second' THEN
                UPDATE llm_rate_leases q SET requests = 0, tokens = 0, places = 0, in_use = 0
                    WHERE q.rate_limit_id = m.l AND q.holder <> the_holder AND q.expires_at <= moment
                        AND (q.requests > 0 OR q.tokens > 0 OR q.places > 0);
                DELETE FROM llm_rate_leases q
                    WHERE q.rate_limit_id = m.l AND q.holder <> the_holder AND q.expires_at < moment - interval '1 hour';
                SELECT coalesce(sum(q.requests), 0), coalesce(sum(q.tokens), 0), coalesce(sum(q.places), 0),
                        coalesce(sum(q.in_use), 0), count(*) FILTER (WHERE q.expires_at > moment)
                    INTO v.lent_requests, v.lent_tokens, v.lent_places, v.in_use, v.holders
                    FROM llm_rate_leases q WHERE q.rate_limit_id = m.l AND q.holder <> the_holder;
                v.swept_at := moment;
            ELSE
                v.lent_requests := greatest(v.lent_requests - h.requests, 0);
                v.lent_tokens := greatest(v.lent_tokens - h.tokens, 0);
                v.lent_places := greatest(v.lent_places - h.places, 0);
                v.in_use := greatest(v.in_use - h.in_use, 0);
            END IF;
            since := greatest(extract(epoch FROM moment - v.filled_at), 0);
            v.filled_at := moment;
            lacks := false;
            -- requests
            rate := coalesce(r.requests_per_minute, 0) / 60.0;
            burst := rate * r.burst_seconds;
            room := burst - v.lent_requests - m.rk;
            v.requests := least(v.requests + rate * since + h.requests - m.ru - m.rk, room);
            give := 0;
            IF r.requests_per_minute IS NULL THEN
                v.requests := 0;
            ELSIF m.rn > 0 AND v.requests < m.rh AND v.requests >= room - burst * 0.05 THEN
                give := m.rh;  -- it is as full as it can be now: the level goes below 0
            ELSIF v.requests > 0 THEN
                give := least(m.rn, v.requests, greatest(v.requests / (v.holders + 1), m.rh));
                IF give >= m.rn THEN
                    give := greatest(give, least(m.ra, v.requests / 2 / (v.holders + 1)));
                END IF;
            END IF;
            lacks := lacks OR (r.requests_per_minute IS NOT NULL AND m.rn > give AND v.lent_requests > 0);
            v.requests := v.requests - give;
            h.requests := m.rk + give;
            -- tokens
            rate := coalesce(r.tokens_per_minute, 0) / 60.0;
            burst := rate * r.burst_seconds;
            room := burst - v.lent_tokens - m.tk;
            v.tokens := least(v.tokens + rate * since + h.tokens - m.tu - m.tk, room);
            give := 0;
            IF r.tokens_per_minute IS NULL THEN
                v.tokens := 0;
            ELSIF m.tn > 0 AND v.tokens < m.th AND v.tokens >= room - burst * 0.05 THEN
                give := m.th;
            ELSIF v.tokens > 0 THEN
                give := least(m.tn, v.tokens, greatest(v.tokens / (v.holders + 1), m.th));
                IF give >= m.tn THEN
                    give := greatest(give, least(m.ta, v.tokens / 2 / (v.holders + 1)));
                END IF;
            END IF;
            lacks := lacks OR (r.tokens_per_minute IS NOT NULL AND m.tn > give AND v.lent_tokens > 0);
            v.tokens := v.tokens - give;
            h.tokens := m.tk + give;
            -- places
            IF r.max_concurrent IS NULL THEN
                h.places := m.pk;
            ELSE
                free := r.max_concurrent - v.lent_places;
                IF h.expires_at <= moment AND NOT is_new THEN
                    m.pk := m.pu;  -- others may have had the rest since
                END IF;
                free := greatest(free - m.pk, 0);
                lent := least(m.pn, greatest(free / (v.holders + 1), 1), free);
                IF lent >= m.pn THEN
                    lent := greatest(lent, least(m.pa, free / 2 / (v.holders + 1)));
                END IF;
                lacks := lacks OR m.pn > lent;
                h.places := m.pk + lent;
            END IF;
            IF lacks THEN
                v.recall_at := moment;
            END IF;
            h.in_use := m.pu;
            h.number := the_number;
            h.expires_at := moment + life;
            INSERT INTO llm_rate_leases (holder, rate_limit_id, requests, tokens, places, in_use, number, expires_at, name)
                VALUES (the_holder, m.l, h.requests, h.tokens, h.places, h.in_use, h.number, h.expires_at, left(the_name, 200))
                ON CONFLICT ON CONSTRAINT llm_rate_leases_pkey DO UPDATE SET requests = excluded.requests,
                    tokens = excluded.tokens, places = excluded.places, in_use = excluded.in_use, number = excluded.number,
                    expires_at = excluded.expires_at, name = excluded.name;
            v.lent_requests := v.lent_requests + h.requests;
            v.lent_tokens := v.lent_tokens + h.tokens;
            v.lent_places := v.lent_places + h.places;
            v.in_use := v.in_use + h.in_use;
            IF v.minute IS DISTINCT FROM date_trunc('minute', moment, 'UTC') THEN
                IF date_trunc('hour', v.minute, 'UTC') IS DISTINCT FROM date_trunc('hour', moment, 'UTC') THEN
                    DELETE FROM llm_rate_hours q WHERE q.rate_limit_id = m.l AND q.slot < moment - interval '30 days';
                END IF;
                v.minute := date_trunc('minute', moment, 'UTC');
                v.minute_requests := 0;
                v.minute_tokens := 0;
            END IF;
            v.minute_requests := v.minute_requests + m.ru;
            v.minute_tokens := v.minute_tokens + m.tu;
            UPDATE llm_rate_levels q SET requests = v.requests, tokens = v.tokens, filled_at = v.filled_at,
                lent_requests = v.lent_requests, lent_tokens = v.lent_tokens, lent_places = v.lent_places, in_use = v.in_use,
                holders = v.holders, recall_at = v.recall_at, swept_at = v.swept_at, minute = v.minute,
                minute_requests = v.minute_requests, minute_tokens = v.minute_tokens WHERE q.rate_limit_id = m.l;
            IF m.ru <> 0 OR m.tu <> 0 OR m.w > 0 OR m.x > 0 THEN
                INSERT INTO llm_rate_hours AS q (rate_limit_id, slot, requests, tokens, waited, waited_ms, refused,
                        peak_requests, peak_tokens, peak_places)
                    VALUES (m.l, date_trunc('hour', moment, 'UTC'), m.ru, m.tu, m.w, m.wm, m.x,
                        greatest(v.minute_requests, 0), greatest(v.minute_tokens, 0),
                        v.in_use - m.pu + m.pm)
                    ON CONFLICT ON CONSTRAINT llm_rate_hours_pkey DO UPDATE SET requests = q.requests + excluded.requests,
                        tokens = q.tokens + excluded.tokens, waited = q.waited + excluded.waited,
                        waited_ms = q.waited_ms + excluded.waited_ms, refused = q.refused + excluded.refused,
                        peak_requests = greatest(q.peak_requests, excluded.peak_requests),
                        peak_tokens = greatest(q.peak_tokens, excluded.peak_tokens),
                        peak_places = greatest(q.peak_places, excluded.peak_places);
            END IF;
        END IF;
        answers := answers || jsonb_build_object('l', m.l, 'r', h.requests, 't', h.tokens, 'p', h.places,
            'rl', v.requests, 'tl', v.tokens, 'life', extract(epoch FROM h.expires_at - moment),
            'recalled', coalesce(v.recall_at >= moment - interval '0.5 seconds', false));
    END LOOP;
    IF told ? 'gates' THEN
        DELETE FROM llm_vendor_rates q WHERE q.heard_at < moment - interval '30 days';
        INSERT INTO llm_vendor_rates AS q (provider_id, fingerprint, model, requests, tokens, input_tokens, output_tokens,
                closed_until, heard_at)
            SELECT DISTINCT ON (t.p, t.f, t.m) t.p, t.f, t.m, t.r, t.t, t.i, t.o,
                CASE WHEN t.c IS NOT NULL THEN moment + make_interval(secs => least(greatest(t.c, 0), 120)) END, moment
            FROM jsonb_to_recordset(told -> 'gates') AS t(
                p integer, f text, m text, r bigint, t bigint, i bigint, o bigint, c double precision
            )
            WHERE char_length(t.f) BETWEEN 1 AND 40 AND char_length(t.m) BETWEEN 1 AND 200
                AND EXISTS (SELECT 1 FROM llm_providers x WHERE x.id = t.p)
            ORDER BY t.p, t.f, t.m LIMIT 1000
            ON CONFLICT ON CONSTRAINT llm_vendor_rates_pkey DO UPDATE SET
                requests = coalesce(excluded.requests, q.requests), tokens = coalesce(excluded.tokens, q.tokens),
                input_tokens = coalesce(excluded.input_tokens, q.input_tokens),
                output_tokens = coalesce(excluded.output_tokens, q.output_tokens),
                closed_until = coalesce(excluded.closed_until, q.closed_until), heard_at = excluded.heard_at;
    END IF;
    SELECT coalesce(jsonb_agg(jsonb_build_object('p', q.provider_id, 'f', q.fingerprint, 'm', q.model,
            'c', extract(epoch FROM q.closed_until - moment))), '[]')
        INTO gates FROM (
            SELECT * FROM llm_vendor_rates x WHERE x.closed_until > moment ORDER BY x.closed_until DESC LIMIT 1000
        ) q;
    RETURN jsonb_build_object('limits', answers, 'gates', gates);
END $$
"""
SIGNATURE = "llm_sync_rates(uuid, bigint, text, double precision, jsonb)"
GRANT = """
DO $$
DECLARE
    role name;
BEGIN
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE c.oid = 'llm_settings'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT SELECT ON llm_rate_levels, llm_rate_leases, llm_rate_hours, llm_vendor_rates TO %I', role);
        EXECUTE format('GRANT EXECUTE ON FUNCTION llm_sync_rates(uuid, bigint, text, double precision, jsonb) TO %I', role);
    END LOOP;
    FOR role IN
        SELECT DISTINCT r.rolname FROM pg_attribute a, aclexplode(a.attacl) acl JOIN pg_roles r ON r.oid = acl.grantee
        WHERE a.attrelid = 'llm_logs'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee <> acl.grantor
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION llm_sync_rates(uuid, bigint, text, double precision, jsonb) TO %I', role);
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    moment, now, nothing = sa.DateTime(timezone=True), sa.text("now()"), sa.text("0")

    def none(name: str, kind: sa.types.TypeEngine[object]) -> sa.Column[object]:
        return sa.Column(name, kind, server_default=nothing, nullable=False)

    def of_limit(table: str) -> sa.ForeignKeyConstraint:
        name = op.f(f"{table}_rate_limit_id_fkey")
        return sa.ForeignKeyConstraint(["rate_limit_id"], ["llm_rate_limits.id"], name=name, ondelete="CASCADE")

    op.create_table(
        LEVELS,
        sa.Column("rate_limit_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("requests", sa.Double(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("filled_at", moment, nullable=False),
        none("lent_requests", sa.Double()),
        none("lent_tokens", sa.Double()),
        none("lent_places", sa.Integer()),
        none("in_use", sa.Integer()),
        none("holders", sa.Integer()),
        sa.Column("recall_at", moment, nullable=True),
        sa.Column("swept_at", moment, server_default=now, nullable=False),
        sa.Column("minute", moment, nullable=True),
        none("minute_requests", sa.BigInteger()),
        none("minute_tokens", sa.BigInteger()),
        of_limit(LEVELS),
        sa.PrimaryKeyConstraint("rate_limit_id", name=op.f(f"{LEVELS}_pkey")),
        comment="What of rate limits on calls is left",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        LEASES,
        sa.Column("holder", postgresql.UUID(), nullable=False),
        sa.Column("rate_limit_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("requests", sa.Double(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("in_use", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        of_limit(LEASES),
        sa.PrimaryKeyConstraint("holder", "rate_limit_id", name=op.f(f"{LEASES}_pkey")),
        comment="What of a rate limit on calls is lent to a process",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(op.f(f"{LEASES}_rate_limit_id_idx"), LEASES, ["rate_limit_id"])
    op.create_table(
        HOURS,
        sa.Column("rate_limit_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", moment, nullable=False),
        none("requests", sa.BigInteger()),
        none("tokens", sa.BigInteger()),
        none("waited", sa.BigInteger()),
        none("waited_ms", sa.BigInteger()),
        none("refused", sa.BigInteger()),
        none("peak_requests", sa.BigInteger()),
        none("peak_tokens", sa.BigInteger()),
        none("peak_places", sa.Integer()),
        of_limit(HOURS),
        sa.PrimaryKeyConstraint("rate_limit_id", "slot", name=op.f(f"{HOURS}_pkey")),
        comment="What counted against a rate limit on calls, by the hour",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        VENDORS,
        sa.Column("provider_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("requests", "tokens")),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("input_tokens", "output_tokens")),
        sa.Column("closed_until", moment, nullable=True),
        sa.Column("heard_at", moment, nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["llm_providers.id"], name=op.f(f"{VENDORS}_provider_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("provider_id", "fingerprint", "model", name=op.f(f"{VENDORS}_pkey")),
        comment="What vendors said they allow a key a minute",
    )
    op.create_index(op.f(f"{VENDORS}_closed_until_idx"), VENDORS, ["closed_until"])
    op.execute(SYNC)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(GRANT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    for table in (VENDORS, HOURS, LEASES, LEVELS):
        op.drop_table(table)
