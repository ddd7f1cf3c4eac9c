"""What vendors charge by their own figure, beside what was counted: entered, replaced, taken back, on record."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import Actor
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.govern import bills
from core.store import db
from tests.govern.test_bill_files import OPENAI
from tests.govern.test_spend import fill, told
from tests.processes import core

OCTOBER = date(2026, 10, 1)
BILL = {"provider": "openai", "month": "2026-10", "amount": "10.0000000003"}


def test_difference(session: Session, admin: Actor) -> None:
    """Of each provider's month, in the zone of the vendor's; a provider with only one of the two is there as well."""
    fill(session)
    told(session, ("2026-10-02T00:00:00Z", (0, "", "free", "m1", "answered", ""), "0", 2))
    bills.set_bill(session, admin, {**BILL, "note": " Invoice  7 "})
    bills.set_bill(session, admin, {**BILL, "provider": "free", "amount": -2, "zone": "Asia/Tokyo"})
    bills.set_bill(session, admin, {**BILL, "provider": "google", "amount": "8.5", "zone": "America/New_York"})

    found = {each.provider: each for each in bills.comparison(session, admin, date(2026, 10, 31))}

    assert list(found) == ["free", "google", "openai"]
    openai, google, free = found["openai"], found["google"], found["free"]
    assert (openai.counted.cost, openai.difference, openai.per_cent) == (
        Decimal("7.0000000002"),
        Decimal("3.0000000001"),
        Decimal("30.0"),
    )
    assert (openai.bill and openai.bill.note, openai.counted.unpriced) == ("Invoice  7", 1)
    assert (google.counted.cost, google.difference, google.per_cent) == (8, Decimal("0.5"), Decimal("5.9"))
    assert (free.counted.unpriced, free.difference, free.per_cent) == (2, -2, Decimal("-100.0"))
    after = bills.comparison(session, admin, date(2026, 11, 1))
    assert [(each.provider, each.bill, each.difference) for each in after] == [("google", None, None)]


def test_a_bill_of_nothing(session: Session, admin: Actor) -> None:
    """Has a difference, and no share of it."""
    fill(session)
    bills.set_bill(session, admin, {**BILL, "amount": "0"})
    (found,) = bills.comparison(session, admin, OCTOBER)
    assert (found.difference, found.per_cent) == (Decimal("-7.0000000002"), None)


def test_replaced_and_on_record(session: Session, admin: Actor) -> None:
    """A second figure takes the place of the first; the same again is no change; who saw an older one is told of this."""
    fill(session)
    first = bills.set_bill(session, admin, BILL)
    assert bills.set_bill(session, admin, BILL, version=1).version == first.version == 1
    second = bills.set_bill(session, admin, {**BILL, "amount": 11}, version=1, source="uploaded")
    assert (second.version, second.amount, second.source) == (2, 11, "uploaded")
    for work in (
        lambda: bills.set_bill(session, admin, {**BILL, "amount": 12}, version=1),
        lambda: bills.remove(session, admin, "openai", OCTOBER, version=1),
    ):
        with pytest.raises(Conflict):
            work()
    bills.remove(session, admin, "openai", OCTOBER, version=2)
    with pytest.raises(NotFound):
        bills.remove(session, admin, "openai", OCTOBER)
    said = session.execute(
        text(
            "SELECT action, target, changes -> 'amount' ->> 'before', changes -> 'amount' ->> 'after' FROM audit_events WHERE target_type = 'bill' ORDER BY id"
        )
    )
    assert [tuple(row) for row in said] == [
        ("bill.set", "openai 2026-10", None, "10.0000000003"),
        ("bill.set", "openai 2026-10", "10.0000000003", "11"),
        ("bill.remove", "openai 2026-10", "11", None),
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"provider": "nobody"}, "provider"),
        ({"month": "2026-13"}, "month"),
        ({"month": "October"}, "month"),
        ({"amount": "ten"}, "amount"),
        ({"amount": "1e30"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": True}, "amount"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"note": "x" * 501}, "note"),
        ({"currency": "EUR"}, "currency"),
    ],
)
def test_refused(session: Session, admin: Actor, change: dict[str, Any], field: str) -> None:
    """By the field."""
    fill(session)
    with pytest.raises(Invalid) as caught:
        bills.set_bill(session, admin, {**BILL, **change})
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize(
    "work",
    [
        lambda s, a: bills.set_bill(s, a, BILL),
        lambda s, a: bills.take(s, a, "openai", OPENAI.encode()),
        lambda s, a: bills.remove(s, a, "openai", OCTOBER),
    ],
)
def test_admins_enter_analysts_read(session: Session, analyst: Actor, work: Callable[[Session, Actor], object]) -> None:
    """An analyst reads the comparison and enters nothing."""
    assert bills.comparison(session, analyst, OCTOBER) == []
    with pytest.raises(Forbidden):
        work(session, analyst)


def test_a_file_is_taken_whole_or_not_at_all(session: Session, admin: Actor) -> None:
    """Each month of it, marked as uploaded."""
    fill(session)
    found, rows = bills.take(session, admin, "openai", OPENAI.encode(), note="costs.csv")
    assert [(row.month.month, f"{row.amount:f}", row.source, row.note) for row in rows] == [
        (10, "0.0000420000", "uploaded", "costs.csv"),
        (11, "1.5000000000", "uploaded", "costs.csv"),
    ]
    assert found.amount_column == "amount_value"


@pytest.mark.long
def test_commands(database: str, tmp_path: Any) -> None:
    """A file is tried, taken and compared; what is wrong with one is said in a line."""
    env = {"DATABASE_URL": database}
    core("migrate", **env)
    engine = db.make_engine(database)
    with Session(engine) as session:
        told(session, ("2026-10-31T23:10:00Z", (0, "", "openai", "m", "answered", ""), "2.5", 0))
        session.commit()
    engine.dispose()
    file = tmp_path / "costs.csv"
    file.write_text(OPENAI, encoding="utf-8")
    tried = core("spend", "bill", "import", "openai", str(file), "--dry-run", **env)
    assert "Nothing was stored." in tried.stdout
    taken = core("spend", "bill", "import", "openai", str(file), "--month", "2026-11", "--comment", "monthly", **env)
    assert "1 line, charged from 2026-11-01 to 2026-11-01." in taken.stdout
    listed = core("spend", "bill", "list", "--month", "2026-11", **env).stdout.splitlines()
    assert listed == [
        "openai: counted $0.00 (estimated $0.00); the vendor's for 2026-11 in UTC $1.50 (uploaded); difference $1.50, +100.0 %"
    ]
    assert core("spend", "bill", "set", "openai", "2026-11", "--", "-3.5", **env).returncode == 0
    assert (
        "Removed the bill of openai, 2026-11: $-3.5."
        in core("spend", "bill", "remove", "openai", "2026-11", **env).stdout
    )
    file.write_text("date,amount,currency\n2026-10-01,1,EUR\n", encoding="utf-8")
    refused = core("spend", "bill", "import", "openai", str(file), **env)
    assert (refused.returncode, "line 2, EUR" in refused.stderr) == (1, True)
