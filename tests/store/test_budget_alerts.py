"""Alerts of budgets are made in the transaction that adds the money: once for a budget, period and threshold."""

import json
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.errors import Invalid
from core.manage import budgets
from core.store import db, migrate
from core.store.table import id_of

D = Decimal
MONTH: dict[str, Any] = {"name": "Summaries, monthly", "amount": "100", "period": "month"}
SYNC = "SELECT * FROM llm_sync_leases(CAST(:holder AS uuid), CAST(:number AS bigint), 'svc', CAST(10 AS float8), CAST(:told AS jsonb))"
NOTHING = dict.fromkeys("sefkanl", "0") | {"u": 0}


class Process:
    """What one process tells of budgets."""

    def __init__(self, session: Session) -> None:
        self.session, self.holder, self.number = session, str(uuid.uuid4()), 0

    def tell(
        self, budget: int, spent: str = "0", *, period: int | None = None, again: bool = False, **more: Any
    ) -> Any:
        """Say what was spent since the last word; *again* repeats its number. Returns the answer."""
        self.number += not again
        if period is None:
            period = self.session.scalar(text("SELECT llm_open_budget_period(:of)"), {"of": budget})
        told = json.dumps([{"b": budget, "p": period, **NOTHING, "s": spent, **more}])
        given = {"holder": self.holder, "number": self.number, "told": told}
        return self.session.execute(text(SYNC), given).one()


def made(session: Session, **more: Any) -> int:
    """A budget."""
    return id_of(budgets.create(session, COMMAND_LINE, MONTH | more).row)


def alerts(session: Session, kind: str = "threshold") -> list[tuple[Any, ...]]:
    """Of each alert: its threshold, the how manieth it is, and how it is with it."""
    query = "SELECT threshold, occurrence, state FROM llm_alerts WHERE kind = :kind ORDER BY id"
    return [tuple(row) for row in session.execute(text(query), {"kind": kind})]


def period_of(session: Session, budget: int) -> Any:
    """The newest period of a budget."""
    query = "SELECT * FROM llm_budget_periods WHERE budget_id = :of ORDER BY starts_at DESC LIMIT 1"
    return session.execute(text(query), {"of": budget}).one()


def is_over(session: Session, budget: int, *, ago: str = "1 minute", lasted: str = "31 days") -> None:
    """Let the newest period have ended *ago*."""
    query = (
        "UPDATE llm_budget_periods SET ends_at = now() - CAST(:ago AS interval),"
        " starts_at = now() - CAST(:ago AS interval) - CAST(:lasted AS interval) WHERE id = :id"
    )
    session.execute(text(query), {"ago": ago, "lasted": lasted, "id": period_of(session, budget).id})


STEPS: list[tuple[str, dict[str, Any], list[Callable[..., Any]], list[tuple[Any, ...]]]] = [
    (
        "one after the other",
        {},
        ["50", "29.99", "0.01", "20", "5"],
        [(50, 1, "open"), (80, 1, "open"), (100, 1, "open")],
    ),
    ("below", {}, ["49.9999999999"], []),
    ("two in one step", {}, ["81"], [(50, 1, "open"), (80, 1, "open")]),
    ("above 100", {"thresholds": [150, 1000], "mode": "soft"}, ["149", "1"], [(150, 1, "open")]),
    ("none", {"thresholds": []}, ["500"], []),
    ("nothing allowed, nothing spent", {"amount": 0}, ["0"], []),
    ("nothing allowed", {"amount": 0, "thresholds": [100]}, ["0.0000000001"], [(100, 1, "open")]),
    ("off", {"is_active": False}, ["100"], []),
]  # type: ignore[list-item]  # words


@pytest.mark.parametrize(("name", "of", "spent", "expected"), STEPS, ids=[step[0] for step in STEPS])
def test_a_threshold_is_one_alert(
    session: Session, name: str, of: dict[str, Any], spent: list[str], expected: list[tuple[Any, ...]]
) -> None:
    """However many calls follow, and also where a number is told twice; in the transaction that adds the money."""
    budget = made(session, **of)
    process = Process(session)
    for amount in spent:
        period = process.tell(budget, amount).period_id
        process.tell(budget, amount, period=period, again=True)
    assert alerts(session) == expected, name


def test_when_a_threshold_is_reached(session: Session) -> None:
    """With exactly so many percent; without spending never, whatever is allowed."""
    for spent, allowed, wanted in (
        ("50", "100", [50]),
        ("49.9999999999", "100", []),
        ("80", "100", [50, 80]),
        ("0", "0", []),
        ("0.0000000001", "0", [50, 80]),
        ("0", "-10", []),
        ("-1", "-10", []),
        ("1", "-10", [50, 80]),
    ):
        found = session.scalar(
            text("SELECT llm_crossed('{80,50}', CAST(:spent AS numeric), CAST(:allowed AS numeric))"),
            {"spent": spent, "allowed": allowed},
        )
        assert found == wanted, (spent, allowed)


def test_of_one_step_the_highest_is_told(session: Session) -> None:
    """It names the others, and what there was to spend; money is text, to the last digit."""
    Process(session).tell(made(session), "81.0000000001")
    low, high = session.scalars(text("SELECT facts FROM llm_alerts ORDER BY threshold")).all()
    assert (low["told_with"], high.get("told_with")) == (80, None)
    assert (high["crossed"], high["spent"], high["amount"]) == ([50, 80], "81.0000000001", "100.0000000000")


def test_what_brings_it_below_resolves_and_crossing_anew_is_another(session: Session) -> None:
    """A top-up, a raised amount, a correction, a threshold that is none any more; one resolved by hand is not made again meanwhile."""
    budget, process = made(session, thresholds=[80]), Process(session)
    process.tell(budget, "80")
    budgets.top_up(session, COMMAND_LINE, budget, "20", "a longer campaign")  # 80 of 120
    assert alerts(session) == [(80, 1, "resolved")]
    process.tell(budget, "16")  # 96 of 120
    assert alerts(session) == [(80, 1, "resolved"), (80, 2, "open")]
    budgets.update(session, COMMAND_LINE, budget, {"amount": 200})
    assert [row[2] for row in alerts(session)] == ["resolved", "resolved"]
    budgets.correct(session, COMMAND_LINE, budget, "80", "the bill")  # 176 of 220
    session.execute(text("UPDATE llm_alerts SET state = 'resolved', resolved_at = now() WHERE occurrence = 3"))
    process.tell(budget, "10")
    assert alerts(session)[2:] == [(80, 3, "resolved")]
    budgets.correct(session, COMMAND_LINE, budget, "-100", "a credit")
    budgets.update(session, COMMAND_LINE, budget, {"amount": 50})  # lowered below what is spent: 86 of 70
    assert alerts(session)[3:] == [(80, 4, "open")]
    budgets.update(session, COMMAND_LINE, budget, {"thresholds": [90]})
    assert alerts(session)[3:] == [(80, 4, "resolved"), (90, 1, "open")]
    budgets.update(session, COMMAND_LINE, budget, {"is_active": False})
    assert alerts(session)[4:] == [(90, 1, "resolved")]


def test_calls_without_a_price_and_presumed_spend(session: Session) -> None:
    """An alert at the first of each; what a process takes back is over."""
    budget, one, other = made(session), Process(session), Process(session)
    one.tell(budget, u=1)
    one.tell(budget, u=5)
    assert alerts(session, "unpriced") == [(None, 1, "open")]
    one.tell(budget, f="90", k="90", n="90")
    session.execute(text("UPDATE llm_leases SET expires_at = now() - interval '1 hour'"))
    other.tell(budget, n="1")
    assert alerts(session, "presumed") == [(None, 1, "open")]
    assert alerts(session) == [(50, 1, "open"), (80, 1, "open")]
    one.tell(budget, "10")
    assert [row[2] for row in alerts(session, "presumed") + alerts(session)] == ["resolved"] * 3


def test_presumed_spend_that_passes_no_threshold(session: Session) -> None:
    """Is told, and is over when its process speaks again: neither needs a threshold that is passed."""
    budget, one, other = made(session, thresholds=[]), Process(session), Process(session)
    one.tell(budget, f="90", k="90", n="90")
    session.execute(text("UPDATE llm_leases SET expires_at = now() - interval '1 hour'"))
    other.tell(budget, n="1")
    assert alerts(session, "presumed") == [(None, 1, "open")]
    one.tell(budget)
    assert alerts(session, "presumed") == [(None, 1, "resolved")]


def test_a_period_that_ended_has_no_alert(session: Session) -> None:
    """It is resolved once nothing of it is lent; the next one begins without."""
    budget, process = made(session, thresholds=[80]), Process(session)
    process.tell(budget, "90")
    is_over(session, budget)
    process.tell(budget, "1")
    assert alerts(session) == [(80, 1, "resolved")]
    budgets.delete(session, COMMAND_LINE, budget)
    assert alerts(session) == []


def test_two_processes_cross_at_once(committed: str) -> None:
    """One alert; what is rolled back makes none."""
    with db.transaction() as session:
        budget = made(session, thresholds=[50])
        session.scalar(text("SELECT llm_open_budget_period(:of)"), {"of": budget})

    def spend(connection: psycopg.Connection[Any]) -> None:
        period: Any = connection.execute("SELECT id FROM llm_budget_periods").fetchone()
        told = json.dumps([{"b": budget, "p": period[0], **NOTHING, "s": "60"}])
        connection.execute("SELECT * FROM llm_sync_leases(gen_random_uuid(), 1, 's', 10, %s::jsonb)", [told])

    with psycopg.connect(committed) as gone:
        spend(gone)
        gone.rollback()
    with psycopg.connect(committed) as first, psycopg.connect(committed) as second:
        spend(first)
        waits = threading.Thread(target=spend, args=[second])
        waits.start()
        waits.join(0.2)
        assert waits.is_alive()
        first.commit()
        waits.join(10)
        second.commit()
    with db.transaction() as session:
        assert alerts(session) == [(50, 1, "open")]
        assert period_of(session, budget).spent == 120


CARRIES = [  # the rule, what was spent of 100 and topped up, what is carried
    ({"carry": "none"}, "40", "0", "0"),
    ({"carry": "unused"}, "40", "0", "60"),
    ({"carry": "unused"}, "140", "0", "0"),
    ({"carry": "unused"}, "40", "60", "100"),
    ({"carry": "unused", "carry_cap": "25.5"}, "40", "0", "25.5"),
    ({"carry": "unused", "carry_cap": 0}, "40", "0", "0"),
    ({"carry": "both"}, "130", "0", "-30"),
    ({"carry": "both"}, "300", "0", "-100"),
    ({"carry": "both", "carry_cap": 5}, "300", "0", "-5"),
]


@pytest.mark.parametrize(("of", "spent", "added", "carried"), CARRIES)
def test_what_a_period_carries(session: Session, of: dict[str, Any], spent: str, added: str, carried: str) -> None:
    """To the next one, within the cap, with a row of the ledger; it is shown before anybody calls, and may be spent."""
    budget, process = made(session, **of), Process(session)
    process.tell(budget, spent)
    if D(added):
        budgets.top_up(session, COMMAND_LINE, budget, added, "r")
    is_over(session, budget, ago="1 minute")
    shown = budgets.get(session, COMMAND_LINE, budget)
    assert (shown.period.id, shown.period.carried, shown.allowed) == (None, D(carried), 100 + D(carried))
    asked = str(100 + D(carried))
    answer = process.tell(budget, n=asked, l=asked)
    assert (answer.allowed, answer.granted) == (100 + D(carried),) * 2
    ledger = [row.amount for row in budgets.ledger(session, COMMAND_LINE, budget) if row.kind == "carry"]
    assert ledger == ([D(carried)] if D(carried) else [])


@pytest.mark.parametrize(
    ("of", "spent", "days", "carried"),
    [
        ({"carry": "unused", "carry_cap": 250}, "40", 2, "160"),
        ({"carry": "unused", "carry_cap": 250}, "40", 9, "250"),
        ({"carry": "both", "carry_cap": 250}, "350", 1, "-250"),
        ({"carry": "both", "carry_cap": 250}, "350", 2, "-150"),
        ({"carry": "both"}, "190", 400, "100"),
    ],
)
def test_a_period_in_which_nobody_called_carries_too(
    session: Session, of: dict[str, Any], spent: str, days: int, carried: str
) -> None:
    """It left all that it had. Days of a zone whose days are 23 and 25 hours long."""
    budget = made(session, mode="soft", period="day", time_zone="Europe/Berlin", **of)
    Process(session).tell(budget, spent)
    query = (
        "UPDATE llm_budget_periods SET starts_at = starts_at - interval '10 years', ends_at ="
        " (date_trunc('day', now() AT TIME ZONE 'Europe/Berlin') - make_interval(days => :days - 1)) AT TIME ZONE 'Europe/Berlin'"
    )
    session.execute(text(query), {"days": days})
    assert Process(session).tell(budget).allowed == 100 + D(carried)


def test_what_settles_late_corrects_the_next_period(session: Session) -> None:
    """By the ledger: less at once, more once the period before is closed; through all periods since; a total carries nothing."""
    budget, process, other = made(session, carry="both", mode="soft"), Process(session), Process(session)
    first = process.tell(budget, "10", f="40", k="40").period_id
    is_over(session, budget, ago="1 second")
    assert other.tell(budget).allowed == 150  # what is under way counts as spent until it is settled
    process.tell(budget, "60", period=first)
    assert period_of(session, budget).carried == 30  # it cost more than it held

    edges = "starts_at = CASE id WHEN :id THEN starts_at ELSE now() - interval '50 s' END, ends_at = CASE id WHEN :id THEN now() - interval '50 s' ELSE ends_at END"
    session.execute(text(f"UPDATE llm_budget_periods SET {edges}"), {"id": first})
    second = other.tell(budget, "130").period_id
    is_over(session, budget, ago="20 seconds", lasted="30 seconds")
    assert other.tell(budget).allowed == 100
    process.tell(budget, "5", period=first)
    found = session.execute(text("SELECT id, carried, closed_at IS NOT NULL FROM llm_budget_periods ORDER BY id")).all()
    assert [tuple(row)[1:] for row in found] == [(0, True), (25, True), (-5, False)]
    of = {"id": second}
    ledger = session.scalars(text("SELECT amount FROM llm_budget_ledger WHERE period_id = :id ORDER BY id"), of).all()
    assert ledger == [50, -20, -5]
    with pytest.raises(Invalid) as refused:
        made(session, name="b", period="total", carry="unused")
    assert list(refused.value.fields) == ["carry"]


def test_more_is_carried_once_the_period_before_is_closed(session: Session) -> None:
    """What was under way and cost less than it held comes to the next one in one step; meanwhile nobody has it twice."""
    budget, one, two = made(session, carry="unused", thresholds=[60]), Process(session), Process(session)
    first = one.tell(budget, f="30", k="30").period_id
    two.tell(budget, f="20", k="20")
    is_over(session, budget, ago="1 second")
    assert two.tell(budget, "90").allowed == 150
    assert alerts(session) == [(60, 1, "open")]
    one.tell(budget, "5", period=first)
    assert period_of(session, budget).carried == 50  # the other's is under way
    edge = "CASE id WHEN :id THEN {0} ELSE {1} END"
    edges = f"starts_at = {edge.format('starts_at', 'gone')}, ends_at = {edge.format('gone', 'ends_at')}"
    moved = f"UPDATE llm_budget_periods SET {edges} FROM (SELECT now() - interval '1 minute' AS gone) g"
    session.execute(text(moved), {"id": first})
    two.tell(budget, "5", period=first)
    assert (period_of(session, budget).carried, alerts(session)) == (90, [(60, 1, "resolved")])
    ledger = [row.amount for row in budgets.ledger(session, COMMAND_LINE, budget) if row.kind == "carry"]
    assert ledger == [40, 50]


def test_down_and_up_keep_the_money(database: str) -> None:
    """To the version before what is carried is a top-up; what may be spent stays."""
    engine = db.make_engine(database)
    with Session(engine) as session:
        budget, process = made(session, carry="unused"), Process(session)
        process.tell(budget, "60")
        is_over(session, budget)
        process.tell(budget, "70")
        session.execute(text("SELECT llm_adjust_budget(:of, 'repriced', 1.5, 'ada', 'r')"), {"of": budget})
        assert alerts(session) == [(50, 1, "resolved"), (50, 1, "open")]
        session.commit()

        def words() -> tuple[Any, Any]:
            period = period_of(session, budget)
            told = json.dumps([{"b": budget, "p": period.id, **NOTHING, "s": "1"}])
            given = {"holder": str(uuid.uuid4()), "number": 1, "told": told}
            answer = session.execute(text(SYNC), given).one()
            session.commit()
            return answer.allowed, answer.spent

        assert words() == (140, D("72.5"))
        assert migrate.downgrade(engine, "0036")
        assert words() == (140, D("73.5"))
        kinds = session.scalars(text("SELECT kind FROM llm_budget_ledger ORDER BY id")).all()
        session.commit()
        assert kinds == ["top_up", "repriced"]
        assert migrate.upgrade(engine)
        assert words() == (140, D("74.5"))
        assert [row[0] for row in alerts(session)] == []
        budgets.correct(session, COMMAND_LINE, budget, "1", "r")
        assert alerts(session) == [(50, 1, "open")]
    engine.dispose()
