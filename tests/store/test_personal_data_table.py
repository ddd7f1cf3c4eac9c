"""Personal data in the schema: raw SQL meets the rules, and an upgrade lets a store that has a log decide."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from core.store import db, migrate

BEFORE = "0037"
RULES = [
    ("(logs) VALUES ('loud')", "logs"),
    ("(prompts) VALUES ('ask')", "prompts"),
    ("(answers) VALUES ('refuse')", "answers"),
    ("(on_failure) VALUES ('')", "on_failure"),
    ("(engine) VALUES ('')", "engine"),
    ("(types) VALUES ('{}')", "types"),
    ("(countries) VALUES ('\"DE\"')", "countries"),
    ("(patterns) SELECT jsonb_agg(n) FROM generate_series(1, 21) n", "patterns"),
    ("(allow) VALUES (jsonb_build_array(repeat('x', 262144)))", "allow"),
    ("(logs) VALUES ('off'), ('mask')", None),
]


def test_raw_sql_meets_the_rules(database: str) -> None:
    """Words and lists as the columns take them, and one row a scope, also of nobody's."""
    with psycopg.connect(database, autocommit=True) as connection:
        for values, name in RULES:
            with pytest.raises(psycopg.errors.IntegrityError) as caught:
                connection.execute(f"INSERT INTO llm_pii_settings {values}")  # type: ignore[arg-type]  # of ours
            found = caught.value.diag.constraint_name
            assert found == (f"llm_pii_settings_{name}_check" if name else "llm_pii_settings_scope_key"), values


@pytest.mark.long
def test_an_upgrade_lets_a_store_with_a_log_decide(database: str) -> None:
    """Where calls were logged, all providers keep their log as it was until somebody decides; a store without has nothing written."""
    engine = db.make_engine(database)
    rows = (
        "SELECT organization_id, feature_id, provider_id, logs, prompts, awaits_decision, version FROM llm_pii_settings"
    )

    def up(log: str | None) -> list[tuple[Any, ...]]:
        migrate.downgrade(engine, BEFORE)
        with engine.begin() as connection:
            if log is not None:
                connection.execute(text(log))
        migrate.upgrade(engine)
        with engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(rows))]

    assert up(None) == []
    assert up(
        "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation) VALUES (now(), 'openai', 'm', 'ok', 1, 5, 1)"
    ) == [(None, None, None, "off", None, True, 1)]
    with engine.begin() as connection:
        connection.execute(text("UPDATE llm_pii_settings SET logs = 'mask'"))
    migrate.downgrade(engine, BEFORE)
    with engine.begin() as connection:
        gone = "SELECT count(*) FROM settings_history WHERE table_name = 'llm_pii_settings'"
        assert connection.scalar(text(gone)) == 0
    migrate.upgrade(engine)
