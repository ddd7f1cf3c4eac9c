"""What an admin reads of the request log: figures, pages of calls, CSV, and purging."""

import csv
import io
import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid, NotFound
from core.govern import log_purge, usage
from core.govern.call_queries import CallFilters
from core.govern.paging import Page, RowPlace
from core.store import db
from tests.processes import core

NOW = datetime.now(UTC)
CALL = {
    "at": NOW,
    "user_id": "42",
    "provider_id": 1,
    "provider": "acme",
    "model": "m1",
    "status": "ok",
    "attempts": 1,
    "latency_ms": 1000,
    "generation": 3,
    "prompt": "the prompt",
    "parameters": '{"temperature": 0}',
    "response": "the answer",
    "token_usage": '{"input": 10, "output": 20}',
    "input_tokens": 10,
    "output_tokens": 20,
    "cost": Decimal("0.5"),
    "error": None,
    "adjusted": 0,
    "organization_id": None,
    "feature": None,
    "cost_centre": None,
}


def log(session: Session, *calls: dict[str, Any]) -> None:
    """Log calls, as the writer does: the trigger adds them up."""
    names = ", ".join(CALL)
    values = ", ".join(f":{name}" for name in CALL)
    session.execute(text(f"INSERT INTO llm_logs ({names}) VALUES ({values})"), [{**CALL, **call} for call in calls])


def failed(**more: Any) -> dict[str, Any]:
    """A call that failed."""
    nothing = dict.fromkeys(("response", "token_usage", "input_tokens", "output_tokens", "cost"))
    return {**nothing, "status": "error", "error": "it failed", **more}


def test_figures(session: Session, admin: Actor) -> None:
    """Calls, errors, tokens and cost are added up; an unknown price is counted, and is not zero."""
    calls = (
        {},
        {"cost": None},
        failed(adjusted=1),
        {"status": "cancelled", "cost": None},
        {"model": "m2", "adjusted": 3},
    )
    log(session, *calls)

    whole = usage.course(session, admin, "day", "provider").whole

    assert whole[:5] == (5, 1, 1, 40, 80)
    assert (whole.cost, whole.unpriced, whole.adjusted) == (Decimal(1), 1, 2)
    assert usage.course(session, admin, "day", "provider").whole == usage.course(session, admin, "hour", "model").whole


def test_calls_of_one_slot_add_up(session: Session, admin: Actor) -> None:
    """Calls that are alike share a row of figures: every one of its numbers grows."""
    log(session, *[{"adjusted": 1}] * 3)
    log(session, {}, {"adjusted": 2})

    whole = usage.course(session, admin, "hour", "model").whole

    assert (whole[:5], whole.cost, whole.unpriced, whole.adjusted) == ((5, 0, 0, 50, 100), Decimal("2.5"), 0, 4)
    assert session.execute(text("SELECT count(*) FROM llm_usage")).scalar() == 1


def test_no_known_price(session: Session, admin: Actor) -> None:
    """Where no price is known there is no sum, not even zero."""
    log(session, {"cost": None}, failed())

    whole = usage.course(session, admin, "day", "provider").whole

    assert (whole.cost, whole.unpriced) == (None, 1)


def test_nothing(session: Session, admin: Actor) -> None:
    """Without a call there is no percentile, and nothing to divide by."""
    found = usage.course(session, admin, "month", "model")

    assert found == ((0, 0, 0, 0, 0, Decimal(0), 0, None, None, 0), [], None)
    assert usage.choices(session, admin) == ([], [], [])
    assert usage.search(session, admin) == ([], None)


@pytest.mark.parametrize("shape", ["even", "long tail", "one", "zero"])
def test_percentiles(session: Session, admin: Actor, shape: str) -> None:
    """p50 and p95 from the buckets are those of the calls themselves, to 5 %; failed calls do not count."""
    chance = random.Random(7)
    took = {
        "even": [chance.randrange(100, 3000) for _ in range(999)],
        "long tail": [round(chance.lognormvariate(6.5, 1.2)) + 1 for _ in range(999)],
        "one": [1234],
        "zero": [0, 0, 1],
    }[shape]
    log(session, *({"latency_ms": ms} for ms in took), *(failed(latency_ms=90_000) for _ in range(50)))

    whole = usage.course(session, admin, "hour", "provider").whole

    ordered = sorted(took)
    for found, share in ((whole.p50_ms, 0.5), (whole.p95_ms, 0.95)):
        exact = ordered[min(len(ordered) - 1, int(len(ordered) * share))]
        assert found is not None
        assert abs(found - exact) <= max(0.06 * exact, 1)


def test_course(session: Session, admin: Actor) -> None:
    """A point for each step and provider; what is older than the span is left out; the points add up to the whole."""
    for hours in (0, 2, 5, 23, 30, 24 * 6, 24 * 20, 24 * 40):
        at = NOW - timedelta(hours=hours)
        log(session, {"at": at}, {"at": at, "provider": "other one"}, {"at": at})

    calls = {span: usage.course(session, admin, span, "provider").whole.calls for span in usage.SPANS}
    day = usage.course(session, admin, "day", "provider")

    assert calls == {"hour": 3, "day": 12, "week": 18, "month": 21, "quarter": 24, "year": 24}
    assert [point.name for point in day.points] == ["acme", "other one"] * 4
    assert sum(point.figures.calls for point in day.points) == 12
    assert [point.at for point in day.points] == sorted(point.at for point in day.points)
    for span, (_, back, step) in usage.SPANS.items():
        points = usage.course(session, admin, span, "provider").points
        assert all(point.at.timestamp() % step.total_seconds() == 0 for point in points)
        assert back / step <= 60


def test_course_of_one_provider(session: Session, admin: Actor) -> None:
    """The figures and points of a provider are its own, by five minutes and by days; an unknown one has none."""
    log(session, *[{}] * 3, {"provider": "zeta"}, {"provider": "zeta", "at": NOW - timedelta(days=3)})

    for span, calls in (("day", 1), ("week", 2), ("year", 2)):
        found = usage.course(session, admin, span, "model", "zeta")
        assert found.whole.calls == sum(point.figures.calls for point in found.points) == calls
    assert usage.course(session, admin, "year", "provider", "nul\0\ud800").points == []


@pytest.mark.parametrize(
    "filters", [CallFilters(), CallFilters(provider="acme", status="ok"), CallFilters(user_id="u")]
)
def test_the_page_before(session: Session, admin: Actor, filters: CallFilters) -> None:
    """From the first call of any page the one before is found, whether by an index or by way of the figures."""
    for n in range(40):
        log(session, {"user_id": "u", "at": NOW - timedelta(minutes=3 * (n // 2))}, {"provider": "zeta", "at": NOW})
    places: list[RowPlace | None] = [None]
    pages: list[Page[usage.LoggedCall]] = []
    while len(pages) < len(places):
        pages.append(usage.search(session, admin, filters, before=places[-1], limit=7))
        if pages[-1].older:
            places.append(pages[-1].older)
    assert len(pages) > 5

    for number in range(1, len(pages)):
        first = pages[number].rows[0]
        assert usage.begins(session, admin, filters, (first.at, first.id), limit=7) == places[number - 1]


def test_many_names(session: Session, admin: Actor) -> None:
    """Eight have a line of their own, the rest is one: nothing is left out of the sum."""
    log(session, *({"model": f"m{n}"} for n in range(20) for _ in range(20 - n)))

    found = usage.course(session, admin, "hour", "model")

    names = [point.name for point in found.points]
    assert sorted(names) == sorted([*(f"m{n}" for n in range(8)), usage.OTHER])
    assert sum(point.figures.calls for point in found.points) == found.whole.calls == 210


@pytest.fixture
def some(session: Session) -> Session:
    """Sixty calls, one a minute, of two providers, two users, and all statuses."""
    for n in range(60):
        more = {
            "at": NOW - timedelta(minutes=n),
            "provider": ("acme", "zeta")[n % 2],
            "user_id": f"user {n % 3}",
            "cost_centre": None if n % 5 else "K-1",
        }
        log(session, {**(failed() if n % 10 == 9 else {}), **more, "model": f"m{n % 4}"})
    return session


def test_pages(some: Session, admin: Actor) -> None:
    """Newest first, each call once, whatever comes meanwhile; without what was said."""
    _walk(some, admin, CallFilters(), range(60))
    _walk(some, admin, CallFilters(provider="acme", status="ok"), range(0, 60, 2))  # by way of the figures


def test_pages_of_one_moment(session: Session, admin: Actor) -> None:
    """Calls of the very same time are told apart: none is left out where a page ends among them, none comes twice."""
    log(session, *[{"at": NOW}] * 10)

    for filters in (CallFilters(), CallFilters(provider="acme", status="ok")):
        seen, before = list[int](), None
        while not seen or before:
            page = usage.search(session, admin, filters, before=before, limit=3)
            seen += [line.id for line in page.rows]
            before = page.older
        assert len(seen) == 10
        assert seen == sorted(set(seen), reverse=True)


def _walk(some: Session, admin: Actor, filters: CallFilters, minutes: range) -> None:
    seen, before = list[usage.LoggedCall](), None
    while True:
        page = usage.search(some, admin, filters, before=before, limit=7)
        seen += page.rows
        log(some, {"at": datetime.now(UTC)})  # it belongs before what was seen already
        if page.older is None:
            break
        before = page.older

    seen = [line for line in seen if line.at <= NOW]
    assert [line.at for line in seen] == [NOW - timedelta(minutes=n) for n in minutes]
    assert len({line.id for line in seen}) == len(minutes)
    assert not {"prompt", "response", "parameters"} & set(usage.LoggedCall._fields)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (CallFilters(), 60),
        (CallFilters(provider="acme"), 30),
        (CallFilters(model="m1"), 15),
        (CallFilters(status="error"), 6),
        (CallFilters(user_id="user 2"), 20),
        (CallFilters(provider="acme", model="m2"), 15),
        (CallFilters(provider="acme", model="m1"), 0),
        (CallFilters(status="ok", model="m3"), 12),
        (CallFilters(provider="zeta", status="error", user_id="user 0"), 2),
        (CallFilters(since=NOW - timedelta(minutes=9, seconds=30)), 10),
        (CallFilters(provider="acme'; DROP TABLE llm_logs; --"), 0),
        (CallFilters(user_id="nul\0\ud800"), 0),
        (CallFilters(cost_centre="K-1"), 12),
        (CallFilters(cost_centre="k-1"), 0),
        (CallFilters(cost_centre="K-1", model="m0", provider="acme"), 3),
    ],
    ids=itertools.count(),
)
def test_filters(some: Session, admin: Actor, filters: CallFilters, expected: int) -> None:
    """Each filter by itself and together, and what is no name at all."""
    assert len(usage.search(some, admin, filters, limit=500).rows) == expected


def test_one_call(some: Session, admin: Actor) -> None:
    """A call whole, with what was said; one that is gone is said to be."""
    newest = usage.search(some, admin, limit=1).rows[0]

    call = usage.get(some, admin, newest.id)

    assert (call.prompt, call.response, call.parameters) == ("the prompt", "the answer", {"temperature": 0})
    assert "the prompt" not in repr(call)
    with pytest.raises(NotFound):
        usage.get(some, admin, 2**40)


def test_choices(some: Session, admin: Actor) -> None:
    """What occurs, in order."""
    assert usage.choices(some, admin) == (["acme", "zeta"], ["m0", "m1", "m2", "m3"], [])


@pytest.mark.parametrize("contents", [False, True])
def test_csv(session: Session, admin: Actor, *, contents: bool) -> None:
    """Each call is a line; prompts only if wanted; no cell is run by a spreadsheet, and none breaks the file."""
    log(session, {"prompt": '=cmd()\n"x",y', "user_id": "@sum(a1)"}, failed(error="+1"))

    lines = "".join(usage.as_csv(session, admin, CallFilters(), contents=contents))

    rows = list(csv.DictReader(io.StringIO(lines, newline="")))
    by_status = {row["status"]: row for row in rows}
    assert (by_status["ok"]["user_id"], by_status["error"]["error"]) == ("'@sum(a1)", "'+1")
    assert (by_status["ok"]["cost"], by_status["error"]["cost"]) == ("0.5000000000", "")
    assert by_status["ok"].get("prompt") == ('\'=cmd()\n"x",y' if contents else None)


@pytest.mark.parametrize(
    "read",
    [
        lambda s, a: usage.course(s, a, "day", "model"),
        usage.search,
        lambda s, a: usage.get(s, a, 1),
        usage.choices,
        lambda s, a: usage.as_csv(s, a, CallFilters(), contents=True),
        lambda s, a: log_purge.purge(lambda work: work(s), a, older_than=1),
    ],
)
def test_for_admins(session: Session, analyst: Actor, read: Callable[[Session, Actor], object]) -> None:
    """Prompts are in it: an analyst sees none of it, and a stream is refused before its first line."""
    with pytest.raises(Forbidden):
        read(session, analyst)


# Purging


@pytest.fixture
def aged(committed: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Fifty calls, one a day, in a database of the test's own; a transaction purges ten."""
    monkeypatch.setattr(log_purge, "PURGED_AT_ONCE", 10)
    with db.transaction() as session:
        log(session, *({"at": NOW - timedelta(days=n, minutes=10)} for n in range(50)))
    return committed


def left() -> tuple[int, int]:
    """How many calls, and how many in the figures."""
    with db.transaction() as session:
        calls = session.scalar(text("SELECT count(*) FROM llm_logs"))
        both = "SELECT calls FROM llm_usage UNION ALL SELECT calls FROM llm_usage_days"
        return calls or 0, int(session.scalar(text(f"SELECT coalesce(sum(calls), 0) FROM ({both}) AS parts")) or 0)


@pytest.mark.usefixtures("aged")
def test_purge() -> None:
    """What is older goes, in batches; the figures stay, unless they are to go; it is on record."""
    assert log_purge.purge(db.retrying, COMMAND_LINE, older_than=7, dry_run=True) == 43
    assert left() == (50, 50)

    assert log_purge.purge(db.retrying, COMMAND_LINE, older_than=7) == 43

    assert left() == (7, 50)
    assert log_purge.purge(db.retrying, COMMAND_LINE, older_than=3, with_usage=True) == 4
    assert left() == (3, 3)
    with db.transaction() as session:
        found = session.execute(text("SELECT action, changes FROM audit_events ORDER BY id")).all()
    assert [(row.action, row.changes["older_than_days"]["after"]) for row in found] == [
        ("logs.purge", 7),
        ("logs.purge", 3),
    ]


@pytest.mark.usefixtures("aged")
def test_purge_interrupted() -> None:
    """What was deleted before it was stopped stays deleted; the next run does the rest."""
    done = 0

    def twice(work: Callable[[Session], int]) -> int:
        nonlocal done
        done += 1
        if done > 3:
            raise KeyboardInterrupt
        return db.retrying(work)

    with pytest.raises(KeyboardInterrupt):
        log_purge.purge(twice, COMMAND_LINE, older_than=7)

    assert left()[0] == 30
    assert log_purge.purge(db.retrying, COMMAND_LINE, older_than=7) == 23


@pytest.mark.parametrize("days", [-1, 36_501])
def test_purge_of_no_days(days: int) -> None:
    """A number of days that is none is refused by name."""
    with pytest.raises(Invalid, match="older_than"):
        log_purge.purge(db.retrying, COMMAND_LINE, older_than=days)


def test_purge_by_command(aged: str) -> None:
    """`logs purge` says what it did, and what it would do."""
    dry = core("logs", "purge", "--older-than", "7", "--dry-run", DATABASE_URL=aged)
    done = core("logs", "purge", "--older-than", "7", "--with-usage", DATABASE_URL=aged)

    assert (dry.stdout, done.stdout) == ("Would delete 43 logged calls.\n", "Deleted 43 logged calls.\n")
    assert left() == (7, 7)
