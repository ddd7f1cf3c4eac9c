"""The Alerts page: what is listed first, who may answer, what is done to one or several, and where links of messages lead."""

import dataclasses
import re
from functools import partial

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select
from streamlit.testing.v1 import AppTest

from core import config
from core.actors import COMMAND_LINE, Actor
from core.govern import alerts, outbox_words
from core.manage import budgets, features, organization_members, organizations
from core.store.records import AuditEvent
from core.store.table import id_of
from tests.conftest import make_user
from tests.screens import click, everything, has, open_page
from tests.store.test_budget_alerts import made
from ui.alerts import listing

page = partial(open_page, "alerts")
LONG = "ميزانية " * 12


def alert(session: Session, name: str, spent: str = "60", **more: object) -> int:
    """An alert of a budget's threshold; returns its number."""
    number = session.scalar(text("SELECT count(*) FROM org_llm_budgets"))
    feature = features.create(session, COMMAND_LINE, {"name": f"f{number}", "display_name": "F"})
    budget = made(session, name=name, feature_id=id_of(feature), thresholds=[50], **more)
    budgets.correct(session, COMMAND_LINE, budget, spent, "the bill")
    return int(session.scalars(text("SELECT max(id) FROM llm_alerts")).one())


def listed(at: AppTest) -> list[str]:
    """Return the alerts that are shown, in their order."""
    shown = (re.match(r":material/\w+: \W*?(\w.*?)\W*: \$", each.value.replace("\\", "")) for each in at.markdown)
    return [each[1] for each in shown if each]


@pytest.mark.usefixtures("session")
def test_nothing_to_look_at(admin: Actor) -> None:
    """The page says what stands here once something does; what the address asks for and is not there is told."""
    at = page(admin)
    assert "There is no budget yet: its thresholds are set with it, on the Costs page" in everything(at)
    said = everything(page(admin, show="Shut", kind="Fire", after="x"))
    for name in ("show=Shut", "kind=Fire", "after=x"):
        assert f"The address says {name}" in said.replace("\\", "")


def test_answered_by_one_and_by_several(session: Session, admin: Actor) -> None:
    """Open ones first; one is acknowledged by its row, several that are ticked are resolved, with one reason on record."""
    first, second, third = (alert(session, name) for name in ("a", "b", LONG.strip()))
    at = page(admin)
    assert listed(at) == [LONG.strip(), "b", "a"]
    assert at.button(key="alerts_resolve").disabled
    click(at, f"acknowledge_{third}")
    at.text_input(key="reason_dialog").set_value("I call the vendor").run()
    click(at, "alerts_save")
    assert listed(at) == ["b", "a", LONG.strip()]
    assert "acknowledged by ada" in everything(at)
    assert not has(at, f"acknowledge_{third}")

    click(at, "alerts_pick_all")
    assert (at.button(key="alerts_acknowledge").label, at.button(key="alerts_resolve").label) == (
        "Acknowledge 2 alerts",
        "Resolve 3 alerts",
    )
    at.checkbox(key=f"alert_pick_{second}").uncheck().run()
    click(at, "alerts_resolve")
    alerts.resolve_alert(session, COMMAND_LINE, first)  # somebody was quicker: it stays resolved
    click(at, "alerts_save")
    assert listed(at) == ["b"]
    states = session.execute(text("SELECT id, state, resolved_by FROM llm_alerts ORDER BY id")).all()
    assert [tuple(row)[1:] for row in states] == [
        ("resolved", "command line"),
        ("open", None),
        ("resolved", "ada"),
    ]
    event = session.exec(select(AuditEvent).where(col(AuditEvent.action) == "alert.acknowledge")).one()
    assert event.changes["comment"]["after"] == "I call the vendor"


def test_filters_and_links_of_messages(session: Session, admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Budget, kind and state narrow the list by the address; a message leads to its alert first; open ones stay first from page to page."""
    monkeypatch.setattr(listing, "PAGE_SIZE", 2)
    numbers = [alert(session, f"b{n}") for n in range(5)]
    alerts.acknowledge_alert(session, admin, numbers[4])
    alerts.resolve_alert(session, admin, numbers[1])
    at = page(admin)
    assert listed(at) == ["b3", "b2"]
    click(at, "alerts_next")
    assert listed(at) == ["b0", "b4"]
    assert listed(page(admin, after=f"acknowledged-{numbers[4] + 1}", of_budget="b4")) == ["b4"]
    assert listed(page(admin, show="Resolved", kind="Threshold")) == ["b1"]
    assert "No alert fits" in everything(page(admin, of_budget="b1"))
    monkeypatch.setenv("LLM_PUBLIC_URL", "https://llm.example.com")
    config.get_config.cache_clear()
    link = outbox_words.of("budget.threshold", {"data": {"alert": numbers[1], "text": "x"}}).link
    address, _, query = link.partition("?")
    assert address == "https://llm.example.com/alerts"
    assert listed(page(admin, **dict(each.split("=") for each in query.split("&"))))[0] == "b1"


def test_who_sees_and_who_answers(session: Session, admin: Actor, analyst: Actor) -> None:
    """Analysts read all; an organisation's admins answer what is of theirs, its analysts read it; nobody sees another's."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    alert(session, "all")
    number = alert(session, "acme", organization_id=acme)
    people = {}
    for name, role in (("boss", "admin"), ("reader", "analyst")):
        user = make_user(name, "member")
        organization_members.set_member(session, COMMAND_LINE, acme, user.own_id(), role)
        people[name] = dataclasses.replace(user, auth_epoch=2)  # they signed in again
    at = page(analyst)
    assert (listed(at), has(at, f"resolve_{number}"), has(at, "alerts_pick_all")) == (["acme", "all"], False, False)
    at = page(people["reader"])
    assert (listed(at), has(at, f"resolve_{number}")) == (["acme"], False)
    at = page(people["boss"])
    assert listed(at) == ["acme"]
    click(at, f"resolve_{number}")
    click(at, "alerts_save")
    assert listed(at) == []
    assert alerts.get_alert(session, admin, number).row.resolved_by == "boss"
