"""Alerts as people see and answer them, and as receivers are told."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid, NotFound
from core.govern import alert_events, alert_words, alerts
from core.govern.alerts import AlertFilters
from core.manage import budgets, notifications, organization_members, organizations
from core.store.table import id_of
from tests.conftest import make_user
from tests.store.test_budget_alerts import MONTH, Process, made

AT = datetime(2026, 11, 18, 12, tzinfo=UTC)
FACTS: dict[str, Any] = {"amount": "90", "carried": "0", "topped_up": "10", "unpriced": 0, "presumed": "0"}
WORDS = [  # kind, what is spent and known besides, days of the period left, the words
    ("threshold", {"spent": "80.12"}, 12.9, "Summaries, monthly: $80.12 of $100.00 spent (80 %), 12 days left"),
    ("threshold", {"spent": "85"}, 1.5, "Summaries, monthly: $85.00 of $100.00 spent (85 %), 36 hours left"),
    ("threshold", {"spent": "99.999"}, 0.01, "Summaries, monthly: $100.00 of $100.00 spent (99 %), 14 minutes left"),
    ("threshold", {"spent": "0.0015"}, None, "Summaries, monthly: $0.0015 of $100.00 spent (0 %)"),
    ("threshold", {"spent": "1", "amount": "-10"}, -1, "Summaries, monthly: $1.00 of $0.00 spent"),
    (
        "unpriced",
        {"spent": "5", "unpriced": 1},
        2,
        "at least $5.00 of $100.00 spent (5 %), 2 days left. Enter the price",
    ),
    ("presumed", {"spent": "5", "presumed": "4"}, 2, "$4.00 count as spent by calls of a process that is gone"),
    ("forecast", {"spent": "60", "spent_on": "24 November"}, 12, "12 days left; at this pace spent on 24 November"),
    ("spike", {"of": "acme", "cost": "40", "usual": "5", "hour": "2026-11-18 11:00"}, None, "acme: $40.00 in the hour"),
    (
        "delivery",
        {"target_kind": "webhook", "name": "ops", "why": "is switched off: 410"},
        None,
        "webhook ops is switched",
    ),
]


@pytest.mark.parametrize(("kind", "facts", "days", "said"), WORDS)
def test_words(kind: str, facts: dict[str, Any], days: float | None, said: str) -> None:
    """What is spent of how much, and how long it has to last; never a percentage that means what is left."""
    ends = None if days is None else AT + timedelta(days=days)
    found = alert_words.words_of_alert(kind, FACTS | facts, AT, "Summaries, monthly", ends)
    assert said in found
    assert "threshold" not in found


def test_who_sees_and_who_answers(session: Session, admin: Actor, analyst: Actor) -> None:
    """Admins answer, analysts read; an organisation's people have what is of its budgets, by right there."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    for name, of in {"all": {}, "acme": {"organization_id": acme}}.items():
        budgets.correct(session, COMMAND_LINE, made(session, name=name, thresholds=[50], **of), "60", "the bill")
    boss, reader = make_user("boss", "member"), make_user("reader", "member")
    for who, role in ((boss, "admin"), (reader, "analyst")):
        organization_members.set_member(session, COMMAND_LINE, acme, who.user_id or 0, role)
    boss, reader = (dataclasses.replace(who, auth_epoch=2) for who in (boss, reader))  # they signed in again
    of_all, of_acme = sorted(each.id for each in alerts.search_alerts(session, admin).rows)
    assert [each.budget for each in alerts.search_alerts(session, analyst).rows] == ["acme", "all"]
    for member in (boss, reader):
        assert [each.budget for each in alerts.search_alerts(session, member).rows] == ["acme"]
        assert [each.row.name for each in budgets.list_all(session, member)] == ["acme"]
        for refused in (
            lambda who=member: alerts.get_alert(session, who, of_all),
            lambda: alerts.get_alert(session, admin, 9**9),
        ):
            with pytest.raises(NotFound):
                refused()
    for who, number, error in ((analyst, of_all, Forbidden), (reader, of_acme, Forbidden), (boss, of_all, NotFound)):
        for answer in (alerts.acknowledge_alert, alerts.resolve_alert):
            with pytest.raises(error):
                answer(session, who, number)
    assert alerts.acknowledge_alert(session, boss, of_acme).row.acknowledged_by == "boss"
    assert alerts.acknowledge_alert(session, admin, of_acme).row.acknowledged_by == "boss"  # who did so first stays
    assert alerts.resolve_alert(session, admin, of_acme).row.state == "resolved"
    with pytest.raises(Invalid, match="resolved"):
        alerts.acknowledge_alert(session, admin, of_acme)

    def listed(**filters: Any) -> list[int]:
        return [each.id for each in alerts.search_alerts(session, admin, AlertFilters(**filters)).rows]

    assert (listed(state="live"), listed(state="resolved"), listed(kind="unpriced")) == ([of_all], [of_acme], [])
    first = alerts.search_alerts(session, admin, limit=1)
    assert first.older is not None
    assert [each.id for each in alerts.search_alerts(session, admin, before=first.rows[-1].id).rows] == [of_all]
    with pytest.raises(Invalid, match="state"):
        listed(state="shut")


def test_receivers_are_told_once(session: Session, admin: Actor) -> None:
    """Who hears of its kind, when it is new; of what passed together the highest; one that is made later hears of later ones."""
    hears = {"url": "https://hooks.example.com/x", "events": ["budget.threshold"]}
    for name, more in {"all": {}, "other": {"events": ["spend.spike"]}, "off": {"is_active": False}}.items():
        notifications.create(session, admin, {"name": name, **hears, **more})
    budget, process = made(session), Process(session)
    process.tell(budget, "81", u=1)
    assert session.scalar(alert_events.WAITING)
    assert alert_events.fan_out_alerts(session) == 3
    assert alert_events.fan_out_alerts(session) == 0
    notifications.create(session, admin, {"name": "late", **hears})
    process.tell(budget, "19")
    alert_events.fan_out_alerts(session)
    query = "SELECT t.name, d.event, d.payload -> 'data' AS data FROM notification_deliveries d JOIN notification_targets t ON t.id = d.target_id ORDER BY d.id"
    told = session.execute(text(query)).all()
    assert [(row.name, row.event, row.data["threshold"]) for row in told] == [
        ("all", "budget.threshold", 80),
        ("all", "budget.threshold", 100),
        ("late", "budget.threshold", 100),
    ]
    data = told[0].data
    assert {name: data[name] for name in ("budget", "scope", "crossed", "spent", "limit", "unpriced")} == {
        "budget": MONTH["name"],
        "scope": "everything",
        "crossed": [50, 80],
        "spent": "81",
        "limit": "100",
        "unpriced": 1,
    }
    assert data["text"].startswith("Summaries, monthly: at least $81.00 of $100.00 spent (81 %), ")
    assert "forecast" not in data


def test_an_alert_of_yesterday_is_no_news(session: Session, admin: Actor) -> None:
    """Where nothing was sent for a day it is listed, and nobody is told."""
    notifications.create(session, admin, {"name": "w", "url": "https://hooks.example.com/x"})
    Process(session).tell(made(session, thresholds=[50]), "60")
    session.execute(text("UPDATE llm_alerts SET at = now() - interval '25 hours'"))
    assert alert_events.fan_out_alerts(session) == 1
    assert session.scalar(text("SELECT count(*) FROM notification_deliveries")) == 0
