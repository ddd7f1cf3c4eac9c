"""Alerts that need time: what a period will cost, an hour unlike the others, messages that cannot be sent; each ends by itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.config import get_config
from core.govern import alert_looks
from core.manage import budgets, notifications, organizations
from core.store.table import id_of
from tests.store.test_budget_alerts import Process, alerts, made, period_of

D = Decimal
MONDAY = datetime(2026, 11, 9, tzinfo=UTC)
SPENT = text("""
    INSERT INTO llm_spend (slot, organization_id, feature, provider, model, outcome, cost_centre, calls, input_tokens, output_tokens,
        cost, estimated, unpriced)
    VALUES (date_trunc('hour', clock_timestamp()) - CAST(:ago AS interval), :organization, '', 'p', 'm', 'answered', '', 1, 0, 0, :cost, 0, 0)
    ON CONFLICT (slot, organization_id, feature, provider, model, outcome, cost_centre) DO UPDATE SET cost = excluded.cost
""")


@pytest.fixture
def look(session: Session) -> Callable[[], int]:
    """One run of the job, in the transaction of the test."""

    def transact(work: Callable[[Session], Any]) -> Any:
        return work(session)

    return lambda: alert_looks.look_at_alerts(transact)


def spent(session: Session, ago: str, cost: float, organization: int = 0) -> None:
    """So much was spent in the hour so long ago."""
    session.execute(SPENT, {"ago": ago, "cost": cost, "organization": organization})


FORECASTS: list[
    tuple[str, float, dict[int, int] | None, str, int | None]
] = [  # spent, days gone, weekdays, expected, full after days
    ("30", 3, None, "300", 10),
    ("9", 3, None, "90", None),
    ("30", 3, {}, "30", None),
    ("30", 5, {6: 36, 7: 36}, "318", 7),  # Monday to Friday cost nothing: it is full with Sunday
    ("100", 5, None, "600", 5),
]


@pytest.mark.parametrize(("sum_", "gone", "weekdays", "expected", "full"), FORECASTS)
def test_what_a_period_will_have_cost(
    sum_: str, gone: int, weekdays: dict[int, int] | None, expected: str, full: int | None
) -> None:
    """By what such weekdays cost, else by the period's own pace; and when it is spent."""
    row = SimpleNamespace(starts_at=MONDAY, now=MONDAY + timedelta(days=gone), ends_at=MONDAY + timedelta(days=30))
    row.spent, row.amount, row.carried, row.topped_up = D(sum_), D(90), D(-10), D(20)
    means = None if weekdays is None else {day: D(cost) for day, cost in weekdays.items()}
    cost, at = alert_looks.forecast_of(row, means)
    assert round(cost, 6) == D(expected)
    assert (None if at is None else round((at - MONDAY).total_seconds() / 86_400)) == full


def test_forecast(session: Session, look: Callable[[], int]) -> None:
    """From a tenth of the period on and three days; it ends when it is not so any more, and begins anew as another."""
    budget = made(session, thresholds=[])
    quiet = made(session, name="quiet", period="quarter", thresholds=[], forecast=False)
    for each in (budget, quiet):
        Process(session).tell(each, "30")

    def now_is(day: float) -> None:
        edges = "starts_at = now() - make_interval(secs => :gone), ends_at = now() + make_interval(secs => :left)"
        given = {"gone": day * 86_400, "left": (30 - day) * 86_400}
        session.execute(text(f"UPDATE llm_budget_periods SET {edges}"), given)

    now_is(2.9)
    assert look() == 0
    now_is(3.1)
    assert (look(), look()) == (1, 0)
    assert alerts(session, "forecast") == [(None, 1, "open")]
    facts = session.scalars(text("SELECT facts FROM llm_alerts")).one()
    assert (facts["spent"], facts["forecast"]) == ("30.0000000000", "290.32")
    budgets.top_up(session, COMMAND_LINE, budget, 185, "more")  # 290 of 285: it does not come and go
    assert look() == 0
    budgets.top_up(session, COMMAND_LINE, budget, 100, "more")
    assert look() == 1
    Process(session).tell(budget, "60")
    assert look() == 1
    assert alerts(session, "forecast") == [(None, 1, "resolved"), (None, 2, "open")]
    for weeks in range(1, 5):  # but such weekdays cost nothing
        spent(session, f"{7 * weeks} days", 0)
    assert look() == 1
    assert alerts(session, "forecast")[1:] == [(None, 2, "resolved")]


def test_spike(session: Session, look: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """More than three times the dearest same hour of four weeks, and five dollars more; once a day; for all and for an organisation."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    spent(session, "0 hours", 100, acme)
    assert look() == 0  # nothing is known of it
    for ago, cost in (("13 days", 2), ("9 days 1 hour", 50)):
        spent(session, ago, cost, acme)
    assert look() == 0  # not for two weeks
    spent(session, "20 days", 10, acme)
    spent(session, "0 hours", 30, acme)
    assert look() == 0  # three times, not more
    spent(session, "0 hours", 30.01, acme)
    assert (look(), look()) == (2, 0)
    query = "SELECT organization_id, facts ->> 'of', facts ->> 'usual' FROM llm_alerts ORDER BY organization_id"
    assert [tuple(row) for row in session.execute(text(query))] == [
        (acme, "acme", "10.0000000000"),
        (None, "All calls", "10.0000000000"),
    ]
    spent(session, "0 hours", 1, acme)
    assert look() == 2
    spent(session, "0 hours", 40, acme)
    assert look() == 0  # once in 24 hours
    session.execute(text("UPDATE llm_alerts SET at = now() - interval '25 hours'"))
    assert look() == 2
    spent(session, "20 days", 1, acme)
    spent(session, "13 days", 0.5, acme)
    spent(session, "0 hours", 5, acme)
    assert look() == 2  # five times, and four dollars more: it is over
    session.execute(text("UPDATE llm_alerts SET at = now() - interval '25 hours'"))
    monkeypatch.setenv("LLM_SPIKE_USD", "3")
    get_config.cache_clear()
    assert look() == 2
    monkeypatch.setenv("LLM_SPIKE_TIMES", "6")
    get_config.cache_clear()
    assert look() == 2  # it is none any more


def test_messages_that_cannot_be_sent(session: Session, admin: Actor, look: Callable[[], int]) -> None:
    """A receiver that fails for minutes, or was switched off by itself; one that a person switched off is none."""
    made_ = {"url": "https://hooks.example.com/x"}
    for name in ("fails", "gone", "off", "fine"):
        notifications.create(session, admin, {"name": name, **made_, "is_active": name not in {"gone", "off"}})
    session.execute(text("UPDATE notification_targets SET off_reason = 'it answered 410' WHERE name = 'gone'"))
    session.execute(
        text("UPDATE notification_targets SET failing_since = now() - interval '5 minutes' WHERE name = 'fails'")
    )
    assert (look(), look()) == (2, 0)
    session.execute(text("UPDATE notification_targets SET failing_since = NULL"))
    assert look() == 1
    assert sorted(row[2] for row in alerts(session, "delivery")) == ["open", "resolved"]


def test_what_ended_is_put_away(session: Session, look: Callable[[], int]) -> None:
    """Alerts of a period that is over, though nobody calls; those that ended long ago are deleted."""
    budget = made(session, thresholds=[50])
    Process(session).tell(budget, "60")
    given = {"id": period_of(session, budget).id}
    session.execute(text("UPDATE llm_budget_periods SET ends_at = now() - interval '2 minutes' WHERE id = :id"), given)
    assert look() == 1
    assert alerts(session) == [(50, 1, "resolved")]
    session.execute(text("UPDATE llm_alerts SET cleared_at = now() - interval '401 days'"))
    assert look() == 1
    assert alerts(session) == []
