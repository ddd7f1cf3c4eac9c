"""Each migration of money, rates and privacy by itself, down and up, with rows in its tables and in all others, and roles that have rights."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from core.calling.leases import Leases
from core.calling.rates import Rates
from core.resolving.budgets import Budget
from core.resolving.rate_limits import RateLimit
from core.store import db, migrate

BEFORE = """
INSERT INTO llm_providers (id, name, display_name, kind, available_models) VALUES (1, 'p', 'P', 'openai', '["m"]');
INSERT INTO organizations (id, slug, name) VALUES (1, 'o', 'O');
INSERT INTO llm_features (id, name, display_name) VALUES (1, 'f', 'F');
INSERT INTO llm_settings (provider_id, temperature) VALUES (1, 0.1);
INSERT INTO org_llm_budgets (name, amount, period, mode, unpriced, when_away) VALUES ('b', 10, 'total', 'hard', 'refuse', 'closed');
SELECT llm_adjust_budget(id, 'top_up', 5, 'admin', 'more') FROM org_llm_budgets;
INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation) VALUES (now(), 'p', 'm', 'ok', 1, 5, 1);
INSERT INTO llm_spend (slot, organization_id, feature, provider, model, outcome, cost_centre, calls, input_tokens, output_tokens, cost, estimated, unpriced)
    VALUES (date_trunc('hour', now()), 1, 'f', 'p', 'm', 'answered', '', 1, 5, 5, 0.5, 0, 0);
INSERT INTO notification_targets (name, kind, url, events, generation) VALUES ('w', 'webhook', 'https://w.example', '["a"]', 1);
INSERT INTO jobs (name, next_at) VALUES ('later', now());
"""
FILLED = {
    "0031": "INSERT INTO llm_vendor_bills (provider, month, amount, source, updated_by) VALUES ('p', '2026-01-01', 1, 'typed', 'a')",
    "0032": """INSERT INTO llm_budget_ledger (period_id, kind, amount, by, reason)
        SELECT id, 'repriced', 0.25, 'admin', 'a new price' FROM llm_budget_periods""",
    "0033": """INSERT INTO llm_spend_closings (month, zone, closed_by) VALUES ('2026-01-01', 'UTC', 'a');
        INSERT INTO llm_spend_closed VALUES ('2026-01-01', 1, 'f', '', 1, 1, 1, 0.5, 0, 0)""",
    "0034": """INSERT INTO notification_targets (name, kind, recipients, events, generation)
        VALUES ('e', 'email', '["a@b.example"]', '["a"]', 1)""",
    "0035": "INSERT INTO llm_rate_limits (name, provider_id, requests_per_minute) VALUES ('r', 1, 600)",
    "0036": """INSERT INTO llm_rate_levels (rate_limit_id, requests, tokens, filled_at) SELECT id, 1, 1, now() FROM llm_rate_limits;
        INSERT INTO llm_rate_leases SELECT gen_random_uuid(), id, 1, 1, 1, 1, 1, now(), 'n' FROM llm_rate_limits;
        INSERT INTO llm_rate_hours (rate_limit_id, slot) SELECT id, now() FROM llm_rate_limits;
        INSERT INTO llm_vendor_rates (provider_id, fingerprint, model, heard_at) VALUES (1, 'x', 'm', now())""",
    "0037": """UPDATE org_llm_budgets SET thresholds = '{50}', forecast = true;
        INSERT INTO org_llm_budgets (name, amount, period, mode, unpriced, when_away, carry) VALUES ('c', 1, 'month', 'soft', 'count', 'open', 'unused');
        INSERT INTO llm_budget_periods (budget_id, starts_at, amount, topped_up, carried)
            SELECT id, '2020-01-01', 1, 2, 0.5 FROM org_llm_budgets WHERE name = 'c';
        INSERT INTO llm_budget_ledger (period_id, kind, amount, by) SELECT id, 'carry', 0.5, 'x' FROM llm_budget_periods WHERE carried > 0;
        INSERT INTO llm_alerts (period_id, kind, threshold, facts) SELECT id, 'threshold', 50, '{}' FROM llm_budget_periods""",
    "0038": "INSERT INTO llm_pii_settings (organization_id, logs) VALUES (1, 'mask')",
    "0039": "UPDATE llm_logs SET pii = '{\"email\": 1}'",
    "0040": "UPDATE installation SET keep_calls_days = 5, keep_audit_days = 40; UPDATE organizations SET keep_calls_days = 3",
    "0041": "UPDATE org_llm_budgets SET amount = 12 WHERE name = 'b'",
}
"""What each has rows of."""
LEFT = {
    "0032": (
        "SELECT kind, amount FROM llm_budget_ledger WHERE reason = 'a new price'",
        [("correction", Decimal("0.25"))],
    ),
    "0034": ("SELECT name, kind FROM notification_targets", [("w", "webhook")]),
    "0035": ("SELECT count(*) FROM settings_history WHERE table_name = 'llm_rate_limits'", [(0,)]),
    "0037": (
        "SELECT p.topped_up, l.kind FROM llm_budget_periods p JOIN llm_budget_ledger l ON l.period_id = p.id WHERE p.starts_at < '2021-01-01'",
        [(Decimal("2.5"), "top_up")],
    ),
    "0038": ("SELECT count(*) FROM settings_history WHERE table_name = 'llm_pii_settings'", [(0,)]),
}
"""What the version before makes of some of it."""
AGAIN = "DELETE FROM llm_budget_ledger WHERE reason = 'a new price' OR by = 'x'; DELETE FROM org_llm_budgets WHERE name = 'c'"
"""Before it is filled a second time."""
STAYS = {"0040": ("audit_checkpoints", "organizations", "llm_logs")}
"""Tables of which a right is left: a role that does periodic work may have had it before, and nobody knows."""
STAMPS = {"version", "updated_at", "updated_by", "field_changes", "epoch", "generation"}
CATALOGUE = """
SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'may call', p.oid::regprocedure::text, a.grantee::regrole::text
    FROM pg_proc p, aclexplode(p.proacl) a WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'check', conrelid::regclass::text, conname || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'column', attrelid::regclass::text, attname || ' ' || format_type(atttypid, atttypmod) || attnotnull
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'right', c.oid::regclass::text, a.grantee::regrole || ' ' || a.privilege_type
    FROM pg_class c, aclexplode(c.relacl) a WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'right', attrelid::regclass::text, attname || ' ' || a.grantee::regrole || ' ' || a.privilege_type
    FROM pg_attribute, aclexplode(attacl) a WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    AND NOT attisdropped
"""


@pytest.fixture
def connection(database: str) -> Iterator[Any]:
    """The owner's, as the version before 0031 left the database, with rows and two roles: one writes, one calls."""
    assert migrate.downgrade(db.make_engine(database), "0030")
    with psycopg.connect(database, autocommit=True) as opened:
        opened.execute(BEFORE)
        opened.execute("CREATE ROLE step_app; CREATE ROLE step_service")
        opened.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO step_app")
        opened.execute(
            "GRANT INSERT (at) ON llm_logs TO step_service; GRANT SELECT (id) ON llm_providers TO step_service"
        )
        yield opened
        opened.execute("DROP OWNED BY step_app, step_service; DROP ROLE step_app, step_service")


def _catalogue(connection: Any, *, but: tuple[str, ...] = ()) -> set[tuple[str, str, str]]:
    return {row for row in connection.execute(CATALOGUE) if not (row[0] == "right" and row[1] in but)}


def _rows(connection: Any) -> dict[str, list[str]]:
    """Of each table its rows, but for stamps and for columns that are empty: a step may bring those."""
    names = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    found = {}
    for name in set(names) - {"alembic_version", "settings_history"}:
        rows = [row[0] for row in connection.execute(f"SELECT to_jsonb(t) FROM {name} t")]
        kept = [
            {key: value for key, value in row.items() if key not in STAMPS and value not in (None, False)}
            for row in rows
        ]
        found[name] = sorted(json.dumps(row, sort_keys=True) for row in kept)
    return found


@pytest.mark.long
def test_each_step_down_and_up(connection: Any, database: str) -> None:
    """What the step has made is gone without a trace, all else is there; up again is the same again, and processes go on by it."""
    engine = db.make_engine(database)
    for step, filled in FILLED.items():
        before, had, stays = f"{int(step) - 1:04}", _rows(connection), STAYS.get(step, ())
        was = _catalogue(connection, but=stays)
        assert migrate.upgrade(engine, step)
        made = _catalogue(connection)
        connection.execute(filled)

        assert migrate.downgrade(engine, before)

        assert _catalogue(connection, but=stays) == was, step
        lost = {name: set(rows) - set(_rows(connection)[name]) for name, rows in had.items()}
        assert {name: rows for name, rows in lost.items() if rows and step != "0041"} == {}, step
        if step in LEFT:
            query, wanted = LEFT[step]
            assert connection.execute(query).fetchall() == wanted, step
        connection.execute(AGAIN)
        assert migrate.upgrade(engine, step)
        assert _catalogue(connection) == made, step
        connection.execute(filled)
    migrate.upgrade(engine)
    migrate.check(engine)
    assert migrate.differences(engine) == []
    _calls(connection, database)


def _calls(connection: Any, url: str) -> None:
    """Reserve, settle, pass and end as a service does."""
    one = Budget(
        *connection.execute("SELECT id, name, mode, unpriced, when_away FROM org_llm_budgets ORDER BY id").fetchone()
    )
    limit = RateLimit(*connection.execute(f"SELECT {', '.join(RateLimit._fields)} FROM llm_rate_limits").fetchone())
    leases, rates = Leases(url), Rates(url)
    leases.settle(leases.reserve([one], Decimal(2)), Decimal(1))
    rates.end(rates.enter([limit], 0, None, patience=3), 0)
    assert leases.flush()
    assert rates.flush(3)
    for each in (leases, rates):
        each.close()
    assert connection.execute("SELECT max(spent) FROM llm_budget_periods").fetchone() == (1,)
    assert connection.execute("SELECT sum(requests)::int FROM llm_rate_hours").fetchone() == (1,)
