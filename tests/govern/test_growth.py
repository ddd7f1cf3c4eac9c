"""Sizes, age and pace of the tables, from statistics and index look-ups: no row is counted."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.govern import growth
from core.store import db
from core.store.tables import METADATA

CALLS = """
    INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation)
    SELECT now() - make_interval(mins => :last - n), 'acme', 'm', 'ok', 1, n % 2000, 1 FROM generate_series(1, :last) AS n
"""
"""One call a minute, up to now."""
DAY = 24 * 60


def found(session: Session) -> dict[str, growth.TableSize]:
    return {table.name: table for table in growth.tables(session)}


def test_an_empty_store(session: Session) -> None:
    """All of our tables, the largest first; what has no row is not old, and has no pace."""
    sizes = growth.tables(session)

    assert {table.name for table in sizes} == set(METADATA.tables)
    assert [table.size for table in sizes] == sorted((table.size for table in sizes), reverse=True)
    assert all((table.oldest, table.rows_a_day, table.bytes_a_day) == (None, None, None) for table in sizes)


@pytest.mark.parametrize(("days", "pace"), [(0.5, None), (3, DAY), (20, DAY)])
def test_pace(committed: str, days: float, pace: float | None) -> None:
    """Rows a day of the last week, or of the time since the first one; not of less than a day. And how many bytes they are."""
    del committed
    with db.transaction() as session:
        session.execute(text(CALLS), {"last": int(days * DAY)})
        session.execute(text("ANALYZE"))
    with db.transaction() as session:
        log = found(session)["llm_logs"]
        oldest = session.scalar(text("SELECT min(at) FROM llm_logs"))

    assert log.rows == pytest.approx(days * DAY, rel=0.02)
    assert log.oldest == oldest
    assert log.rows_a_day == (None if pace is None else pytest.approx(pace, rel=0.02))
    assert log.bytes_a_day == (None if pace is None else pytest.approx(log.size / days, rel=0.05))


def test_pace_of_events_and_figures(committed: str) -> None:
    """The audit by its numbers, figures by what there is of them since the first."""
    del committed
    with db.transaction() as session:
        session.execute(text(CALLS), {"last": 4 * DAY})
        session.execute(
            text(
                "INSERT INTO llm_usage_days SELECT now()::date - n, 'a', 'm', 'ok', 1, 1, 1, 1, 1, 1 FROM generate_series(1, 10) AS n"
            )
        )
        session.execute(text("ALTER TABLE audit_events DISABLE TRIGGER USER"))
        session.execute(
            text(
                "INSERT INTO audit_events (seq, hash, at, actor, action, target_type, target)"
                " SELECT n, 'x', now() - make_interval(hours => 240 - n), 'ada', 'x', 'y', 'z' FROM generate_series(1, 240) AS n"
            )
        )
        session.execute(text("ANALYZE"))
    with db.transaction() as session:
        sizes = found(session)

    assert sizes["audit_events"].rows_a_day == pytest.approx(24, rel=0.02)
    assert sizes["llm_usage"].rows_a_day == pytest.approx(sizes["llm_usage"].rows / 4, rel=0.02)
    assert sizes["llm_usage_days"].rows_a_day == pytest.approx(1, rel=0.1)
    assert sizes["llm_providers"].rows_a_day is None


def test_no_row_is_counted(committed: str) -> None:
    """Of twenty thousand calls, with events and figures, some few rows are read: it costs the same at any number."""
    del committed
    with db.transaction() as session:
        session.execute(text(CALLS), {"last": 20_000})
        session.execute(text("ANALYZE"))
    with db.transaction() as session:
        growth.tables(session)
        read: Any = session.execute(
            text("SELECT sum(seq_tup_read), sum(coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
        ).one()
    assert read[0] < 20
    assert read[1] < 50
