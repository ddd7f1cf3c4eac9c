"""A month that is closed: what was charged stands, what was told later stands apart, and nothing is lost between them."""

import csv
import io
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import Actor
from core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from core.govern import closing, spend
from core.govern.spend import SpendSums
from core.store import db
from tests.govern.test_spend import fill, told
from tests.processes import core

OCTOBER = date(2026, 10, 1)
LATE = "0.0000000007"


def late(session: Session, organization: int) -> None:
    """What a process that was away tells in November of October."""
    told(
        session,
        ("2026-10-31T23:10:00Z", (organization, "chat", "openai", "m9", "answered", "K-1"), LATE, 0),
        ("2026-10-09T10:00:00Z", (organization, "new", "openai", "m1", "answered", "k-1"), "1", 2),
    )


def test_closed_and_later(session: Session, admin: Actor, analyst: Actor) -> None:
    """Each row as it was closed, beside it what came; both together are what is counted now, to the last digit."""
    acme = fill(session)
    before = closing.charged(session, analyst, OCTOBER)
    assert (before.closing, before.whole.cost, any(before.later)) == (None, Decimal("7.0000000002"), False)

    closing.close(session, admin, date(2026, 10, 30))
    late(session, acme)

    found = closing.charged(session, analyst, OCTOBER)
    assert found.closing is not None
    assert (found.closing.closed_by, found.whole) == (admin.name, before.whole)
    assert [(row.names, row.sums.cost, row.later.cost, row.later.unpriced) for row in found.rows] == [
        (("", "", ""), 4, 0, 0),
        (("acme", "chat", "K-1"), Decimal("3.0000000002"), Decimal(LATE), 0),
        (("acme", "new", "k-1"), 0, 1, 2),
    ]
    whole = spend.spent(session, admin, (), OCTOBER).whole
    assert SpendSums(*(map(sum, zip(found.whole, found.later, strict=True)))) == whole
    of_acme = closing.charged(session, admin, OCTOBER, organization_id=acme)
    assert [row.names[0] for row in of_acme.rows] == ["acme", "acme"]

    head, *rows = csv.reader(io.StringIO("".join(closing.as_csv(found))))
    assert head[-3:] == ["part", "closed_at", "closed_by"]
    assert [(*row[:3], row[6], row[-3], row[-1]) for row in rows] == [
        ("", "", "", "4.0000000000", "closed", admin.name),
        ("acme", "chat", "K-1", "3.0000000002", "closed", admin.name),
        ("acme", "chat", "K-1", LATE, "after closing", admin.name),
        ("acme", "new", "k-1", "1.0000000000", "after closing", admin.name),
    ]


def test_hostile_cost_centres(session: Session, admin: Actor) -> None:
    """Formulas, four bytes a letter, 64 of them, other capitals: each is a row of its own, and harmless in a spreadsheet."""
    names = ["=1+1", "@SUM(A1)", "\U0001d518" * 64, "K", "k", "a,b", '"', "", "+49"]
    for name in names:
        told(session, ("2026-10-09T10:00:00Z", (0, "", "p", "m", "answered", name), "1", 0))
    found = closing.close(session, admin, OCTOBER)
    cells = [row[2] for row in csv.reader(io.StringIO("".join(closing.as_csv(found))))][1:]
    assert sorted(cells) == sorted(f"'{name}" if name[:1] in {"=", "@", "+"} else name for name in names)


def test_zone_and_time(session: Session, admin: Actor) -> None:
    """A month is closed in one zone, once it is over there; and once."""
    fill(session)
    closing.close(session, admin, OCTOBER, zone="Europe/Berlin")  # the hour of 31 October, 23:10 UTC, is November there
    found = closing.charged(session, admin, OCTOBER)
    assert (found.zone, found.whole.cost) == ("Europe/Berlin", Decimal("1.0000000002"))
    with pytest.raises(Invalid, match="Europe/Berlin"):
        closing.charged(session, admin, OCTOBER, zone="UTC")
    with pytest.raises(AlreadyExists), session.begin_nested():
        closing.close(session, admin, OCTOBER)
    this = session.execute(text("SELECT date_trunc('month', now() AT TIME ZONE 'UTC')::date")).scalar_one()
    for month, zone in ((this, "UTC"), (date(2999, 1, 1), "UTC"), (date(2026, 9, 1), "Mars/Olympus")):
        with pytest.raises(Invalid):
            closing.close(session, admin, month, zone=zone)


def test_reopened(session: Session, admin: Actor, analyst: Actor) -> None:
    """What was kept goes; the audit has both; nobody but admins does either."""
    acme = fill(session)
    closing.close(session, admin, OCTOBER)
    late(session, acme)
    closing.reopen(session, admin, OCTOBER)
    again = closing.close(session, admin, OCTOBER)
    assert (again.whole.cost, any(again.later)) == (Decimal("8.0000000009"), False)
    assert [row.month for row in closing.list_closed(session, analyst)] == [OCTOBER]
    said = session.execute(text("SELECT action, target FROM audit_events WHERE target_type = 'spend' ORDER BY id"))
    assert [tuple(row) for row in said] == [
        ("spend.close", "2026-10"),
        ("spend.reopen", "2026-10"),
        ("spend.close", "2026-10"),
    ]
    with pytest.raises(NotFound):
        closing.reopen(session, admin, date(2026, 9, 1))
    for work in (closing.close, closing.reopen):
        with pytest.raises(Forbidden):
            work(session, analyst, OCTOBER)


@pytest.mark.long
def test_commands(database: str) -> None:
    """Closed, exported and opened again; a month that is not over is refused in a line."""
    env = {"DATABASE_URL": database}
    assert core("migrate", **env).returncode == 0
    engine = db.make_engine(database)
    with Session(engine) as session:
        told(session, ("2026-10-31T23:10:00Z", (0, "", "p", "m", "answered", "K-1"), "2.5", 0))
        session.commit()
    engine.dispose()
    assert core("spend", "close", "2026-10", **env).stdout == "Closed 2026-10 in UTC: $2.50.\n"
    exported = core("spend", "export", "--month", "2026-10", **env).stdout
    assert '"K-1","2","10","5","2.5000000000","1.2500000000","0","closed"' in exported
    assert core("spend", "export", "--month", "2026-10", "--by", "model", **env).stdout.count("2.5000000000") == 1
    assert core("spend", "close", "2999-01", **env).returncode == 1
    assert core("spend", "reopen", "2026-10", **env).stdout == "Opened 2026-10 again.\n"
    assert '"open",""' in core("spend", "export", "--month", "2026-10", **env).stdout
