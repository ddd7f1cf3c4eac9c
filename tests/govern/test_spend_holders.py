"""Processes that are long gone are forgotten, and nothing of what they told."""

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.govern import jobs, spend_holders
from tests.govern.test_spend import told


def test_old_holders_go_and_their_money_stays(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches; who told within 400 days is kept, as its last number may be told again."""
    monkeypatch.setattr(spend_holders, "AT_ONCE", 2)
    for _ in range(6):
        told(session, ("2026-10-01T00:10:00Z", (0, "", "p", "m", "answered", ""), "1", 0))
    ages = "UPDATE llm_spend_holders h SET at = now() - make_interval(days => 396 + n) FROM (SELECT holder, row_number() OVER ()::int AS n FROM llm_spend_holders) o WHERE o.holder = h.holder"
    session.execute(text(ages))
    assert jobs.run("spend-holders") == 3  # 400 days and a moment, 401, 402
    kept = session.execute(text("SELECT count(*), min(at) > now() - interval '401 days' FROM llm_spend_holders")).one()
    assert tuple(kept) == (3, True)
    assert session.execute(text("SELECT sum(cost) FROM llm_spend")).scalar_one() == 6
    assert jobs.run("spend-holders") == 0
