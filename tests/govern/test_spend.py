"""What calls have cost, as it is read: by what, of whom, of which days; totals have what the rows have."""

import csv
import io
import json
import uuid
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.errors import Invalid
from core.govern import spend
from core.manage import organizations
from core.store import db
from core.store.table import id_of

NAMES = ("organization_id", "feature", "provider", "model", "outcome", "cost_centre")


def told(session: Session, *spent: tuple[str, tuple[Any, ...], str, int]) -> None:
    """Tell of each: when, the names, US dollars (half of them estimated), and how many of two calls are unpriced."""
    said = [
        {"at": at, **dict(zip(NAMES, names, strict=True)), "calls": 2, "input_tokens": 10, "output_tokens": 5}
        | {"cost": cost, "estimated": str(Decimal(cost) / 2), "unpriced": unpriced}
        for at, names, cost, unpriced in spent
    ]
    given = {"holder": uuid.uuid4(), "said": json.dumps(said)}
    session.execute(text("SELECT llm_tell_spend(:holder, 1, 'web-1:17', CAST(:said AS jsonb))"), given)


def fill(session: Session) -> int:
    """Spend of an organisation and of none, at the edges of October; return the organisation."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    told(
        session,
        ("2026-10-01T00:10:00Z", (acme, "chat", "openai", "m1", "answered", "K-1"), "1.0000000002", 0),
        ("2026-10-31T23:10:00Z", (acme, "chat", "openai", "m2", "cancelled", "K-1"), "2", 1),
        ("2026-10-31T23:10:00Z", (0, "", "openai", "m1", "answered", ""), "4", 0),
        ("2026-11-01T00:10:00Z", (acme, "", "google", "m1", "answered", ""), "8", 0),
    )
    return acme


OCTOBER = (date(2026, 10, 1), date(2026, 10, 31))
READ: list[tuple[tuple[str, ...], dict[str, Any], dict[tuple[str, ...], str]]] = [
    ((), {}, {}),
    (("organization",), {}, {("",): "4", ("acme",): "3.0000000002"}),
    (("model", "outcome"), {}, {("m1", "answered"): "5.0000000002", ("m2", "cancelled"): "2"}),
    (("cost_centre",), {}, {("",): "4", ("K-1",): "3.0000000002"}),
    (("feature",), {"organization_id": -1}, {("chat",): "3.0000000002"}),
    (("day",), {}, {("2026-10-31",): "6", ("2026-10-01",): "1.0000000002"}),
    # In Berlin it is summer on the first and winter on the last day: 22:00 to 23:00, UTC.
    (("day",), {"zone": "Europe/Berlin"}, {("2026-10-01",): "1.0000000002"}),
    (("provider",), {"zone": "America/New_York"}, {("openai",): "6", ("google",): "8"}),
]


@pytest.mark.parametrize(("by", "how", "rows"), READ)
def test_spend_is_added_up(by: tuple[str, ...], how: dict[str, Any], rows: dict[tuple[str, ...], str]) -> None:
    """By each dimension, of one organisation, in the days of a zone, which may have 25 hours; the dearest first."""
    with db.transaction() as session:
        acme = fill(session)
        if "organization_id" in how:
            how = {**how, "organization_id": acme}
        found = spend.spent(session, COMMAND_LINE, by, *OCTOBER, **how)

    costs = {row.names: f"{row.sums.cost.normalize():f}" for row in found.rows}
    assert costs == rows
    if by:
        assert list(costs.values()) == sorted(costs.values(), key=Decimal, reverse=True)
        for at, total in enumerate(found.whole):
            assert sum(row.sums[at] for row in found.rows) == total
        assert found.whole.estimated * 2 == found.whole.cost
    else:
        assert found.whole == (
            6,
            30,
            15,
            Decimal("7.0000000002"),
            Decimal("3.5000000001"),
            1,
        )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"by": ("user",)}, "by"),
        ({"by": ("model", "model")}, "by"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"first": date(2026, 10, 2), "last": date(2026, 10, 1)}, "to"),
        ({"first": date(1, 1, 1), "last": date(1, 1, 2), "zone": "Asia/Tokyo"}, "from"),
        ({"first": date(1900, 1, 1), "last": date(2026, 10, 1)}, "to"),
    ],
)
def test_what_cannot_be_asked(given: dict[str, Any], field: str) -> None:
    """It is refused by the field, the rule and the cure."""
    with db.transaction() as session, pytest.raises(Invalid) as caught:
        spend.spent(session, COMMAND_LINE, given.pop("by", ("model",)), **given)
    assert list(caught.value.fields) == [field]


def test_a_month_as_csv() -> None:
    """All of it, to the last digit, by organisation, feature and cost centre; a name that a spreadsheet would run is harmless."""
    with db.transaction() as session:
        acme = fill(session)
        told(session, ("2026-10-05T00:00:00Z", (acme, "=cmd()", "openai", "m1", "answered", ""), "0.0000000002", 0))
        lines = "".join(spend.month_as_csv(session, COMMAND_LINE, date(2026, 10, 9)))

    head, *rows = csv.reader(io.StringIO(lines))
    assert head == ["organization", "feature", "cost_centre", *spend.SpendSums._fields]
    assert [row[:4] + row[6:7] for row in rows] == [
        ["", "", "", "2", "4.0000000000"],
        ["acme", "'=cmd()", "", "2", "0.0000000002"],
        ["acme", "chat", "K-1", "4", "3.0000000002"],
    ]
