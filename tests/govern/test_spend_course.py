"""How spend went: bars of a time in a zone, the eight dearest and all other, the time before, who spent most, and this month's forecast."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid, NotFound
from core.govern import pace, spend_course
from core.govern.spend_course import SpendScope, bounds_of, look
from core.manage import organization_members, organizations
from core.store.table import id_of
from core.store.tables import MEMBER
from tests.conftest import make_user
from tests.govern.test_spend import told

D = Decimal
TIMES = [  # time, zone, now -> first step, end, steps, first step before
    ("month", "Europe/Berlin", "2026-02-28T23:30+00:00", "2026-03-01", "2026-04-01", 31, "2026-02-01"),
    ("last", "UTC", "2026-01-31T10:00+00:00", "2025-12-01", "2026-01-01", 31, "2025-11-01"),
    ("day", "Asia/Kolkata", "2026-03-10T12:10+00:00", "2026-03-09T18:00", "2026-03-10T18:00", 24, "2026-03-08T18:00"),
    ("week", "UTC", "2026-03-10T12:10+00:00", "2026-03-04", "2026-03-11", 7, "2026-02-25"),
    ("weeks", "UTC", "2026-03-10T12:10+00:00", "2025-12-10", "2026-03-11", 13, "2025-09-10"),
    ("year", "UTC", "2026-03-10T12:10+00:00", "2025-04-01", "2026-04-01", 12, "2024-04-01"),
]


@pytest.mark.parametrize(("time", "zone", "now", "first", "ends", "number", "before"), TIMES)
def test_a_time_spans_all_its_steps(
    time: str, zone: str, now: str, first: str, ends: str, number: int, before: str
) -> None:
    """Empty days too, by the clock of the zone; the time before is as long."""
    found = bounds_of(time, datetime.fromisoformat(now), zone)

    said = [datetime.fromisoformat(moment) for moment in (first, ends, before)]
    assert [found.steps[0], found.ends, found.before[0]] == said
    assert len(found.steps) == number
    assert {time[0] for time in TIMES} == set(spend_course.TIMES)


def test_course_of_a_week(session: Session) -> None:
    """Nine models: eight dearest and all other; two days in New York; the week before by day; what is of another time is left out."""
    today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    yesterday, earlier = today - timedelta(days=1), today - timedelta(days=8)
    spent = [(yesterday.isoformat(), (0, "f", "p", f"m{n}", "answered", ""), str(n + 1), 1) for n in range(9)]
    told(
        session,
        *spent,
        ((today - timedelta(days=2)).isoformat(), (0, "f", "p", "m8", "answered", ""), "5", 0),
        (earlier.isoformat(), (0, "f", "p", "gone", "answered", ""), "7", 0),
        ((today - timedelta(days=40)).isoformat(), (0, "f", "p", "m1", "answered", ""), "100", 0),
    )

    course = look(session, COMMAND_LINE, "week", "model", zone="America/New_York").course

    last = {point.name: point.sums.cost for point in course.points if point.at.date() == yesterday.date()}
    assert last == {"all other": D(1), **{f"m{n}": D(n + 1) for n in range(1, 9)}}
    assert [point.is_other for point in course.points if point.name == "all other"] == [True]
    assert (course.whole.cost, course.whole.unpriced, course.whole.estimated) == (D(50), 9, D(25))
    week = timedelta(days=7)
    assert course.before == [D(7 * ((step - week).date() == earlier.date())) for step in course.steps]
    assert (course.whole_before, course.so_far_before) == (D(7), D(7))


def test_tops_and_scope(session: Session) -> None:
    """Each list by itself, the dearest first; of an organisation, a feature and a provider alone where these are asked for."""
    acme = id_of(organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"}))
    now = datetime.now(UTC).isoformat()
    told(
        session,
        (now, (acme, "chat", "openai", "m1", "answered", "K-1"), "1", 0),
        (now, (0, "", "openai", "m2", "answered", "K-1"), "4", 0),
        (now, (0, "chat", "google", "m1", "answered", ""), "2", 0),
    )

    found = look(session, COMMAND_LINE, "month", "organization")
    said = {by: [(each.name, each.sums.cost) for each in each_by] for by, each_by in found.tops.items()}
    assert said == {
        "organization": [("", D(6)), ("acme", D(1))],
        "feature": [("", D(4)), ("chat", D(3))],
        "model": [("m2", D(4)), ("m1", D(3))],
        "cost_centre": [("K-1", D(5)), ("", D(2))],
    }
    assert {(point.name, point.sums.cost) for point in found.course.points} == {("", D(6)), ("acme", D(1))}
    for scope, cost in (
        (SpendScope(acme), 1),
        (SpendScope(None, "chat"), 3),
        (SpendScope(None, None, "openai"), 5),
        (SpendScope(acme, "chat", "google"), 0),
    ):
        found = look(session, COMMAND_LINE, "month", "model", scope=scope)
        assert (found.course.whole.cost, found.month.sums.cost) == (cost, cost), scope


def test_file_runs_in_no_spreadsheet(session: Session) -> None:
    """Each day's combinations with all digits; a cost centre that would be a formula is none."""
    now = datetime.now(UTC)
    told(session, (now.isoformat(), (0, "", "openai", "m1", "answered", "=1+1"), "0.0000000001", 1))

    (row,) = csv.DictReader(spend_course.as_csv(session, COMMAND_LINE, "month"))
    assert row == {
        "day": f"{now:%Y-%m-%d}",
        "provider": "openai",
        "model": "m1",
        "feature": "",
        "organization": "",
        "cost_centre": "'=1+1",
        "calls": "2",
        "input_tokens": "10",
        "output_tokens": "5",
        "cost": "0.0000000001",
        "estimated": "0.0000000001",
        "unpriced": "1",
    }


def test_who_may_look(session: Session, admin: Actor, analyst: Actor) -> None:
    """Admins and analysts; of an organisation its own people too, and of no other."""
    acme, beta = (id_of(organizations.create_one(session, admin, {"slug": s, "name": s})) for s in ("acme", "beta"))
    eve = make_user("eve", MEMBER)
    organization_members.set_member(session, admin, acme, eve.own_id(), "analyst")
    epoch = session.scalar(text("SELECT auth_epoch FROM users WHERE username = 'eve'"))
    eve = Actor(eve.name, eve.user_id, epoch)

    assert look(session, analyst, "day", "model").course.whole.calls == 0
    assert look(session, eve, "day", "model", scope=SpendScope(acme)).course.whole.calls == 0
    for scope, error in ((SpendScope(), Forbidden), (SpendScope(beta), NotFound)):
        with pytest.raises(error):
            look(session, eve, "day", "model", scope=scope)
        with pytest.raises(error):
            spend_course.as_csv(session, eve, "day", scope=scope)
    with pytest.raises(Invalid, match="time zone"):
        look(session, admin, "day", "model", zone="Berlin")


def test_pace_is_that_of_the_weekday() -> None:
    """Mondays cost 10, of which one cost 24 and one nothing; other days 1, of four weeks; days before the first do not count."""
    today = date(2026, 11, 30)  # a Monday
    first = today - timedelta(days=28)
    spent = {first + timedelta(days=n): D(1) for n in range(28) if n % 7}
    spent |= {first: D(16), first + timedelta(days=7): D(24), first + timedelta(days=21): D(0)}

    found = pace.paces(spent, today)

    assert found is not None
    assert found[0] == (D(10), D(0), D(24))
    assert found[1] == (D(1), D(1), D(1))
    assert pace.paces({today: D(1)}, today) is None
    assert pace.paces({today - timedelta(days=1): D(3), today: D(1)}, today) == [(D(3), D(3), D(3))] * 7
    long_ago = {today - timedelta(days=50): D(900), today - timedelta(days=49): D(49)}
    assert [each.mean for each in pace.paces(long_ago, today) or ()] == [D(7), *[D(0)] * 6]


def test_outlook_counts_what_is_left_of_today() -> None:
    """4 of today's 10 are spent: 6 more come, at least none; then each day its own."""
    pace_of = [pace.Pace(D(10), D(2), D(24)), *[pace.Pace(D(1), D(1), D(1))] * 6]
    today = date(2026, 11, 30)

    assert pace.outlooks(D(104), D(4), today, date(2026, 12, 1), pace_of) == [
        (today, D(110), D(104), D(124)),
        (date(2026, 12, 1), D(111), D(105), D(125)),
    ]
