"""Budgets on the Costs page: how they stand, who sees them, what is done to them in dialogs, and how one's money goes."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.errors import NotFound
from core.manage import budget_listing, budgets, features, organization_members, organizations
from core.store import db
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import MEMBER, User
from tests.conftest import make_user, statements
from tests.pages.test_costs import figures, read, spend
from tests.screens import click, has, open_page, pick

page = partial(open_page, "costs")
RTL = "ميزانية الملخصات " * 5
LONG = "b" * 100


def made(session: Session, **data: Any) -> int:
    wanted = {"name": "Summaries", "amount": "100", "period": "month", **data}
    return id_of(budgets.create(session, COMMAND_LINE, wanted).row)


def use(session: Session, budget: int, spent: str, held: str = "0") -> None:
    """Have a process spend and hold of a budget, as it tells it."""
    said = {"b": budget, "p": None, "s": spent, "e": "0", "f": held, "k": held, "a": "0", "n": "0", "l": "0", "u": 0}
    query = text("SELECT llm_sync_leases(:holder, 1, 'web-1:17', 10.0, CAST(:told AS jsonb))")
    session.execute(query, {"holder": uuid.uuid4(), "told": json.dumps([said])})


def rows(at: AppTest) -> list[str]:
    """Return how each budget of the list stands."""
    return [each.proto.text.replace("\\", "") for each in at.get("progress")]


def again(session: Session, person: Actor) -> Actor:
    user = session.get(User, person.own_id(), populate_existing=True)
    assert user is not None
    return Actor(person.name, person.user_id, user.auth_epoch)


@pytest.mark.usefixtures("session")
def test_no_budget_yet(admin: Actor, analyst: Actor) -> None:
    """Without a budget the page says what one is, with the button; analysts are told who makes them."""
    at = page(admin)
    assert "No budget yet. A budget is so much money" in read(at)
    assert has(at, "budgets_first_button")
    at = page(analyst)
    assert "Admins make them." in read(at)
    assert not has(at, "budgets_first_button")


def test_states_in_words(session: Session, admin: Actor) -> None:
    """Each state by a word and an icon; what is spent, held and left; names of any kind; the figure counts those near their limit."""
    states = {
        "a good": ({}, "10", "Within"),
        "b near": ({}, "80", "Near its limit"),
        "c spent": ({}, "100", "Spent"),
        "d over": ({"mode": "soft"}, "120", "Over"),
        "e off": ({"is_active": False}, "0", "Off"),
        "f blocked": ({"amount": "0"}, "0", "Blocked"),
        RTL.strip(): ({}, "0", "Within"),
        LONG: ({}, "0", "Within"),
    }
    for n, (name, (data, spent, _)) in enumerate(states.items()):
        feature = features.create(session, COMMAND_LINE, {"name": f"f{n}", "display_name": "F"})
        number = made(session, name=name, feature_id=id_of(feature), time_zone="Europe/Berlin", **data)
        if spent != "0":
            use(session, number, spent, "1.5" if name == "a good" else "0")

    at = page(admin)

    said = {name: word for name, (_, _, word) in states.items()}
    heads = [each.value for each in at.markdown if ":material/" in each.value and "a month" in each.value]
    assert len(heads) == len(states)
    for name, word in said.items():
        (head,) = [each for each in heads if name in each.replace("\\", "")]
        assert f" {word}]" in head, head
    lines = rows(at)
    assert any(line.startswith("$10.00 of $100.00 spent (10%), $1.50 held now, $88.50 left") for line in lines), lines
    assert any("$120.00 of $100.00 spent (120%), $20.00 more than that" in line for line in lines)
    assert all(" Europe/Berlin" in line for line in lines)
    assert figures(at)["Budgets near limit"] == "4"
    at.selectbox(key="state").set_value("Near its limit").run()
    assert len(rows(at)) == 4
    at.selectbox(key="state").set_value("Off").run()
    assert len(rows(at)) == 1
    at.selectbox(key="state").set_value(None)
    at.text_input(key="search").set_value("NEAR").run()
    assert len(rows(at)) == 1


def test_add_edit_and_switch(session: Session, admin: Actor) -> None:
    """What is wrong stands beside its field and nothing typed is lost; scope, calendar and what follows from soft; another amount; off and on."""
    acme = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    features.create(session, COMMAND_LINE, {"name": "chat", "display_name": "Chat"})
    at = click(page(admin), "budgets_first_button")
    at.text_input(key="budget_name").set_value("Chats")
    at.text_input(key="budget_amount").set_value("much")
    at.text_input(key="budget_organization").set_value("acme")
    at.text_input(key="budget_thresholds").set_value("90 half")
    at.selectbox(key="budget_feature").set_value("chat")
    at.selectbox(key="budget_period").set_value("week").run()
    at.selectbox(key="budget_week_starts").set_value(7)
    at.radio(key="budget_mode").set_value("soft").run()
    assert at.selectbox(key="budget_unpriced").value == "count"
    click(at, "budget_save")
    assert "Must be US dollars from 0" in read(at)
    assert "percentages from 1 to 1,000" in read(at)
    assert at.text_input(key="budget_name").value == "Chats"
    at.text_input(key="budget_amount").set_value("12.50")
    at.text_input(key="budget_thresholds").set_value("90, 50").run()
    at.text_input(key="budget_organization").set_value("nobody").run()
    click(at, "budget_save")
    assert "Is no name of an organisation" in read(at)
    at.text_input(key="budget_organization").set_value("acme").run()
    at.text_input(key="reason_dialog").set_value("the contract says so").run()
    click(at, "budget_save")

    row = budgets.get_by_name(session, admin, "Chats").row
    number = id_of(row)
    assert (row.organization_id, row.period, row.week_starts, row.mode, row.when_away) == (
        acme,
        "week",
        7,
        "soft",
        "open",
    )
    assert (row.thresholds, row.amount) == ([50, 90], Decimal("12.5"))
    pick(at, f"more_budget_{number}", "Edit")
    at.text_input(key="budget_amount").set_value("20").run()
    with db.transaction() as other:
        budgets.update(other, COMMAND_LINE, number, {"name": "Chats of acme"})
    click(at, "budget_save")
    assert "changed it" in read(at)
    click(at, "budget_save")
    session.refresh(row)
    assert (row.amount, row.name) == (20, "Chats")
    pick(at, f"more_budget_{number}", "Switch off")
    click(at, "budget_save")
    session.refresh(row)
    assert not row.is_active
    pick(at, f"more_budget_{number}", "Switch on")
    click(at, "budget_save")
    session.refresh(row)
    assert row.is_active
    events = session.exec(select(AuditEvent).where(col(AuditEvent.action) == "budget.create")).all()
    assert events[0].changes["comment"]["after"] == "the contract says so"


def test_top_up_correct_and_delete(session: Session, admin: Actor) -> None:
    """Each needs a reason, which the ledger has; deleting wants the name typed."""
    number = made(session)
    use(session, number, "100")
    at = page(admin)
    pick(at, f"more_budget_{number}", "Top up")
    at.text_input(key="budget_more").set_value("25").run()
    click(at, "budget_save")
    assert "A reason is needed: it stands in the ledger" in read(at)
    at.text_input(key="reason_dialog").set_value("campaign").run()
    click(at, "budget_save")
    pick(at, f"more_budget_{number}", "Correct")
    at.text_input(key="budget_more").set_value("-5").run()
    at.text_input(key="reason_dialog").set_value("the bill says so").run()
    click(at, "budget_save")
    assert rows(at)[0].startswith("$95.00 of $125.00 spent (76%), $30.00 left")

    click(at, f"burn_{number}")
    ledger = next(table.value for table in at.table if "Why" in table.value)
    assert [
        *zip(ledger["What"], ledger["US dollars"].str.replace("\\", ""), ledger["By"], ledger["Why"], strict=True)
    ] == [
        ("corrected", "-$5.00", admin.name, "the bill says so"),
        ("topped up", "+$25.00", admin.name, "campaign"),
    ]
    pick(at, f"more_budget_{number}", "Delete")
    click(at, "delete_confirm")
    assert "type Summaries exactly" in read(at).replace("Type", "type")
    at.text_input(key="delete_name").set_value("Summaries").run()
    click(at, "delete_confirm")
    with pytest.raises(NotFound):
        budgets.get(session, admin, number)
    assert "No budget yet" in read(at)


def test_burn_down(session: Session, admin: Actor) -> None:
    """Spent, plan, limit, thresholds, top-ups and the forecast's band, each named in the picture; in words and numbers beside."""
    number = made(session, period="total", time_zone="Asia/Tokyo", thresholds=[80, 100])
    session.execute(text("UPDATE org_llm_budgets SET created_at = now() - interval '20 days'"))
    spend(session, *((n, (0, "f", "p", "m", "answered", ""), "4", 0) for n in range(1, 11)))
    use(session, number, "40", "2")
    budgets.top_up(session, COMMAND_LINE, number, "10", "more")

    at = page(admin, budget=str(number))

    said = read(at)
    assert "$40.00 of $110.00 spent (36%), $2.00 held now, $68.00 left. At this pace it is spent on " in said
    (chart,) = at.get("vega_lite_chart")
    assert "At this pace" in chart.proto.alt
    names = json.dumps(json.loads(chart.proto.spec)["layer"])
    assert names.count('"type": "area"') == 1
    assert '"triangle-up"' in names
    numbers = next(table.value for table in at.table if "US dollars" in table.value and "" in table.value)
    assert "Held by calls under way" in [*numbers[""]]
    click(at, "budgets_first_button")
    assert "Over time" in [each.value for each in at.header]


def test_of_its_own_organisation(session: Session, admin: Actor, analyst: Actor) -> None:
    """An organisation's people see its budgets alone, without buttons, and no name of who works for the installation; analysts read all."""
    acme, beta = (id_of(organizations.create_one(session, admin, {"slug": s, "name": s})) for s in ("acme", "beta"))
    mine, theirs, everybodys = (
        made(session, name=name, organization_id=of) for name, of in (("A", acme), ("B", beta), ("C", None))
    )
    budgets.top_up(session, admin, mine, "1", "why not")
    eve = make_user("eve", MEMBER)
    organization_members.set_member(session, admin, acme, eve.own_id(), "admin")
    eve = again(session, eve)

    at = page(eve)
    assert [key for key in (f"burn_{n}" for n in (mine, theirs, everybodys)) if has(at, key)] == [f"burn_{mine}"]
    assert not at.get("menu_button")
    at = page(eve, budget=str(mine))
    ledger = next(table.value for table in at.table if "Why" in table.value)
    assert [*ledger["By"]] == ["installation"]
    for number in (theirs, everybodys, 999_999):
        assert "There is no such budget" in read(page(eve, budget=str(number)))
    assert [has(page(analyst), f"burn_{n}") for n in (mine, theirs, everybodys)] == [True] * 3


def test_a_thousand_budgets(session: Session, admin: Actor) -> None:
    """Paged by name, 25 at a time, in as many statements as one; the last page is reached."""
    session.execute(
        text(
            "INSERT INTO org_llm_budgets (name, amount, period, mode, unpriced, when_away, is_active)"
            " SELECT 'b ' || lpad(n::text, 4, '0'), 10, 'month', 'hard', 'refuse', 'closed', false FROM generate_series(1, 1000) n"
        )
    )
    at = page(admin)
    with statements() as run:
        at.run()
    assert len([each for each in run if "org_llm_budgets" in each]) <= 3, run
    assert len(rows(at)) == 25
    click(at, "budgets_next")
    assert "b 0026" in read(at)
    found = budget_listing.page_of(session, admin, after="b 0990")
    assert [each.now.row.name for each in found] == [f"b {n:04}" for n in range(991, 1001)]
    assert budget_listing.counts(session, admin) == (0, 0, 0)


def test_periods_before(session: Session, admin: Actor) -> None:
    """What was spent in periods before, of what might have been."""
    number = made(session, period="day")
    now = datetime.now(UTC)
    session.execute(
        text(
            "INSERT INTO llm_budget_periods (budget_id, starts_at, ends_at, amount, spent, unpriced)"
            " VALUES (:budget, :since, :until, 100, 60, 2)"
        ),
        {"budget": number, "since": now - timedelta(days=9), "until": now - timedelta(days=8)},
    )
    at = page(admin, budget=str(number))
    before = next(table.value for table in at.table if "Share" in table.value)
    assert [*before["Spent"].str.replace("\\", "")] == ["at least $60.00"]
    assert [*before["Share"]] == ["60%"]


@pytest.mark.parametrize(
    ("carry", "spent", "carried", "states"),
    [
        ("both", "190", "-90", ("good", "near")),
        ("both", "200", "-100", ("blocked", "spent")),
        ("unused", "0", "100", ("good", "good")),
    ],
)
def test_carried_money_counts(
    session: Session, admin: Actor, carry: str, spent: str, carried: str, states: tuple[str, str]
) -> None:
    """What the period before left or overspent is in what may be spent: in words, in the figure and in the filter, before a first call and after it."""
    number = made(session, period="day", carry=carry, thresholds=[])
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    session.execute(
        text(
            "INSERT INTO llm_budget_periods (budget_id, starts_at, ends_at, amount, spent) VALUES (:b, :since, :until, 100, :spent)"
        ),
        {"b": number, "since": now - timedelta(days=1), "until": now, "spent": spent},
    )
    for used, state in zip(("0", "9"), states, strict=True):
        if used != "0":
            use(session, number, used)
        (found,) = budget_listing.page_of(session, admin)
        assert (found.now.allowed, found.state) == (100 + Decimal(carried), state)
        near = 0 if state == "good" else 1
        assert len(budget_listing.page_of(session, admin, state="near")) == near
        assert budget_listing.counts(session, admin).near == near
    said = read(page(admin)).replace("\\", "")
    assert f"{'+' if carried == '100' else '-'}${carried.lstrip('-')}.00 carried over" in said
