"""Months on the Costs page: what is counted and charged, what vendors charge, closing and opening again, and who may do what."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.actors import COMMAND_LINE, Actor
from core.govern import bills, closing
from core.manage import organization_members, organizations
from core.store.spend_tables import LlmSpendClosing, LlmVendorBill
from core.store.table import id_of
from core.store.tables import MEMBER
from tests.conftest import make_user
from tests.govern.test_spend import told
from tests.pages.test_costs import read
from tests.pages.test_costs_budgets import again
from tests.screens import click, has, open_page, toasts
from ui.costs import months

page = partial(open_page, "costs")
LAST = (datetime.now(UTC).date().replace(day=1) - timedelta(days=1)).replace(day=1)
NAME = f"{LAST:%Y-%m}"
HOSTILE = "[y](javascript:z) $e$"
CHANGES = ("close", "reopen", "bill", "upload", "remove")


def spent(session: Session, *rows: tuple[int, str, str, str]) -> None:
    """Tell of spend of last month: organisation, provider, cost centre, US dollars."""
    told(
        session, *((f"{LAST}T10:00:00Z", (of, "chat", name, "m", "answered", k), cost, 0) for of, name, k, cost in rows)
    )


def tables(at: AppTest, column: str) -> dict[str, dict[str, Any]]:
    """Return the table with *column* by its first cell."""
    found = next(table.value for table in at.table if column in table.value)
    rows = found.replace("\\\\", "", regex=True).to_dict("records")
    return {next(iter(row.values())): row for row in rows}


def buttons(at: AppTest) -> list[str]:
    return [action for action in CHANGES if has(at, f"month_{action}_button")]


@pytest.mark.usefixtures("session")
def test_no_month_yet(admin: Actor) -> None:
    """Without spend one sentence says what would be here."""
    at = page(admin)
    assert "No month with spend yet" in read(at)
    assert not [each for each in at.selectbox if each.key == "month"]


def test_a_month_is_closed_and_opened_again(session: Session, admin: Actor) -> None:
    """An admin closes a month in a zone, a wrong one stays typed; what comes later stands apart, in the file too; then it is open again."""
    spent(session, (0, "openai", "K-1", "7"))
    at = page(admin, month=NAME)
    assert buttons(at) == ["close", "bill", "upload"]

    at = click(at, "month_close_button")
    at.text_input(key="month_zone").set_value("Mars/Olympus").run()
    at = click(at, "month_dialog_save")
    assert [each for each in at.error if "zone" in each.value]
    assert at.text_input(key="month_zone").value == "Mars/Olympus"
    at.text_input(key="month_zone").set_value("UTC").run()
    at.text_input(key="reason_dialog").set_value("The quarter").run()
    at = click(at, "month_dialog_save")
    assert toasts(at) == [f"{LAST:%B %Y} is closed\\."]

    spent(session, (0, "openai", "K-1", "2"))
    at = page(admin, month=NAME)
    said = read(at).replace("**", "")
    assert f"Closed just now by {admin.name}. {LAST:%B %Y}, UTC: $7.00; " in said
    assert "; $2.00 told after closing." in said
    assert tables(at, "After closing")["no organisation"]["After closing"] == "$2.00"
    lines = list(
        csv.DictReader(io.StringIO(months.export_csv(admin, LAST, "UTC", None).decode("utf-8-sig"), newline=""))
    )
    assert [(line["cost_centre"], Decimal(line["cost"]), line["part"]) for line in lines] == [
        ("K-1", Decimal(7), "closed"),
        ("K-1", Decimal(2), "after closing"),
    ]
    assert buttons(at) == ["reopen", "bill", "upload"]
    at = click(click(at, "month_reopen_button"), "month_dialog_save")
    assert session.exec(select(LlmSpendClosing)).all() == []
    assert buttons(at) == ["close", "bill", "upload"]


def test_bills_typed_and_uploaded(session: Session, admin: Actor) -> None:
    """Each provider's figure stands beside what was counted, the difference in dollars, per cent, a word; refusals keep what was typed."""
    spent(session, (0, "openai", "", "8"), (0, HOSTILE, "", "2"))
    at = click(page(admin, month=NAME), "month_bill_button")
    at.selectbox(key="bill_provider").set_value("openai").run()
    at.text_input(key="bill_amount").set_value("ten").run()
    at = click(at, "month_dialog_save")
    assert at.error
    assert at.text_input(key="bill_amount").value == "ten"
    at.text_input(key="bill_amount").set_value("10").run()
    at = click(at, "month_dialog_save")
    rows = tables(at, "Vendor's figure")
    assert rows["openai"]["Difference"] == ":material/trending_up: $2.00 more, +20.0 %"
    assert rows["openai"]["Vendor's figure"] == "$10.00 (typed)"
    assert "not entered" in rows[HOSTILE]["Vendor's figure"]

    at = click(at, "month_upload_button")
    at = click(at, "month_dialog_save")
    assert "Must be chosen" in read(at)
    at = click(at, "month_dialog_cancel")
    at = click(click(at, "month_remove_button"), "month_dialog_save")
    assert session.exec(select(LlmVendorBill)).all() == []


def test_two_admins_enter_one_bill(session: Session, admin: Actor) -> None:
    """Who is second is told who was quicker, what was typed stays, and the next press writes it; of a bill that was there, too."""
    spent(session, (0, "openai", "", "8"))
    for typed, others, version in (("10", "11", 0), ("12", "13", 2)):
        at = click(page(admin, month=NAME), "month_bill_button")
        at.selectbox(key="bill_provider").set_value("openai").run()
        at.text_input(key="bill_amount").set_value(typed).run()
        data = {"provider": "openai", "month": NAME, "amount": others}
        bills.set_bill(session, COMMAND_LINE, data, version=version)
        at = click(at, "month_dialog_save")
        assert "changed it meanwhile. What you typed is still there" in "".join(
            each.value for each in at.warning
        ).replace("\\", "")
        assert at.text_input(key="bill_amount").value == typed
        assert session.exec(select(LlmVendorBill.amount)).one() == Decimal(others)
        at = click(at, "month_dialog_save")
        assert session.exec(select(LlmVendorBill.amount)).one() == Decimal(typed)


def test_who_sees_what(session: Session, admin: Actor, analyst: Actor) -> None:
    """Analysts read all and change nothing; an organisation's admin reads what is of theirs, and no vendor's bill."""
    acme, beta = (id_of(organizations.create_one(session, admin, {"slug": s, "name": s})) for s in ("acme", "beta"))
    spent(session, (acme, "openai", "K-1", "4"), (beta, "google", "K-2", "2"))
    bills.set_bill(session, COMMAND_LINE, {"provider": "google", "month": NAME, "amount": "1.5"})
    closing.close(session, COMMAND_LINE, LAST)
    eve = make_user("eve", MEMBER)
    organization_members.set_member(session, admin, acme, eve.own_id(), "admin")
    eve = again(session, eve)

    at = page(analyst, month=NAME)
    assert tables(at, "Vendor's figure")["google"]["Difference"] == ":material/trending_down: $0.50 less, -33.3 %"
    assert buttons(at) == []

    at = page(eve, month=NAME)
    assert {name: row["Counted"] for name, row in tables(at, "After closing").items()} == {"acme": "$4.00"}
    assert "What vendors charge" not in read(at)
    assert buttons(at) == []
    assert b"beta" not in months.export_csv(eve, LAST, "UTC", acme)


def test_a_month_that_is_not_over_or_is_none(session: Session, admin: Actor) -> None:
    """The month that is now cannot be closed; one of the address without spend is explained."""
    now = datetime.now(UTC)
    told(session, (f"{now:%Y-%m-%dT%H:00:00Z}", (0, "", "openai", "m", "answered", ""), "4", 0))
    at = page(admin, month=f"{now:%Y-%m}")
    assert "Under way" in read(at)
    assert buttons(at) == ["bill", "upload"]
    at = page(admin, month=f"{date(1999, 1, 1):%Y-%m}")
    assert at.warning
    assert buttons(at) == []
