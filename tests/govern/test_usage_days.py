"""Figures by five minutes become figures by days after 35 days; nothing that is shown changes by it."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import Actor
from core.govern import log_purge, usage, usage_days
from core.govern.call_queries import CallFilters
from core.store import db
from tests.govern.test_usage import failed, log

NOW = datetime.now(UTC)
SUMS = "sum(calls), sum(priced), sum(input_tokens), sum(output_tokens), sum(cost), sum(adjusted)"


def roll_up(session: Session) -> int:
    return usage_days.roll_up(lambda work: work(session))


def figures(session: Session, actor: Actor) -> dict[tuple[str, str], usage.Course]:
    return {(span, by): usage.course(session, actor, span, by) for span in usage.SPANS for by in usage.BY}


def rows(session: Session) -> tuple[int, int]:
    """How many rows by five minutes, and by days."""
    counts = (session.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in ("llm_usage", "llm_usage_days"))
    slots, days = counts
    return slots, days


def whole(session: Session) -> list[tuple[Any, ...]]:
    """Everything that is added up, by day, name and bucket, whichever table it is in."""
    columns = "provider, model, status, latency_bucket, calls, priced, input_tokens, output_tokens, cost, adjusted"
    query = (
        f"SELECT day, provider, model, status, latency_bucket, {SUMS} FROM ("
        f"SELECT (slot AT TIME ZONE 'UTC')::date AS day, {columns} FROM llm_usage"
        f" UNION ALL SELECT day, {columns} FROM llm_usage_days) AS parts GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
    )
    return [tuple(row) for row in session.execute(text(query))]


def calls(chance: random.Random, number: int) -> list[dict[str, Any]]:
    """Calls of the last 400 days, many near the border of 35 days; none where a span ends."""
    edges = [back for _, back, _ in usage.SPANS.values()]
    found: list[dict[str, Any]] = []
    while len(found) < number:
        days = chance.choice([chance.uniform(0, 400), chance.gauss(35, 1), chance.uniform(0, 2)])
        ago = timedelta(days=abs(days))
        if any(abs(ago - edge) < timedelta(minutes=15) for edge in edges):
            continue
        took = {"at": NOW - ago, "latency_ms": round(chance.lognormvariate(6.5, 1.2))}
        names = {"provider": f"p{chance.randrange(3)}", "model": f"m{chance.randrange(12)}"}
        price = {"cost": chance.choice([None, Decimal(chance.randrange(1, 10**9)) / 10**9])}
        status = chance.choice([{}, {}, {"status": "cancelled"}, failed()])
        took["adjusted"] = chance.choice([0, 0, 1, 3])
        found.append({**status, **took, **names, **({} if status.get("error") else price)})
    return found


@pytest.mark.parametrize("seed", range(6))
def test_no_figure_changes(session: Session, admin: Actor, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random calls: all figures of all spans, percentiles too, and every sum by day and bucket, are what they were."""
    chance = random.Random(seed)
    monkeypatch.setattr(usage_days, "ROLLED_AT_ONCE", chance.choice([1, 7, 50_000]))
    log(session, *calls(chance, 400))
    before, sums, slots = figures(session, admin), whole(session), rows(session)[0]

    rolled = roll_up(session)

    assert figures(session, admin) == before
    assert whole(session) == sums
    assert 0 < rolled == slots - rows(session)[0]
    log(session, *calls(chance, 200))  # some of them late: in days that were rolled up
    before, sums = figures(session, admin), whole(session)
    assert roll_up(session) > 0
    assert (figures(session, admin), whole(session)) == (before, sums)
    assert roll_up(session) == 0


def test_the_border(session: Session) -> None:
    """A day goes when it ended 35 days ago, in UTC, whole; not one of its five minutes before."""
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    last = midnight - timedelta(days=35)
    log(session, *({"at": last + timedelta(minutes=m)} for m in (-1440, -721, -1, 0, 1, 1439)))

    assert roll_up(session) == 3

    found = session.execute(text("SELECT day, calls FROM llm_usage_days")).one()
    assert tuple(found) == ((last - timedelta(days=1)).date(), 3)
    assert session.scalar(text("SELECT min(slot) FROM llm_usage")) == last


def test_fewer_rows(session: Session, admin: Actor) -> None:
    """A day of five minutes becomes one row for each bucket; p50 and p95 stay as right as they were."""
    chance = random.Random(3)
    took = [round(chance.lognormvariate(6.5, 0.6)) + 1 for _ in range(2_000)]
    day = (NOW - timedelta(days=60)).replace(hour=0, minute=0)
    log(session, *({"latency_ms": ms, "at": day + timedelta(seconds=40 * n)} for n, ms in enumerate(took)))
    slots = rows(session)[0]

    roll_up(session)

    assert rows(session)[0] == 0
    assert rows(session)[1] * 20 < slots
    found = usage.course(session, admin, "quarter", "provider").whole
    ordered = sorted(took)
    for shown, share in ((found.p50_ms, 0.5), (found.p95_ms, 0.95)):
        exact = ordered[int(len(ordered) * share)]
        assert shown is not None
        assert abs(shown - exact) <= 0.06 * exact


def test_old_calls_are_found_as_before(session: Session, admin: Actor) -> None:
    """A list by several filters, which looks where the figures have such calls, finds those of long ago too, each once."""
    ago = [*range(1, 4), *range(34, 39), *range(60, 64)]
    log(session, *({"at": NOW - timedelta(days=n, minutes=m)} for n in ago for m in (0, 7)))
    log(session, *({"at": NOW - timedelta(days=n), "provider": "other"} for n in ago))
    filters = CallFilters(provider="acme", status="ok")

    def pages(size: int) -> list[usage.LoggedCall]:
        seen, before = list[usage.LoggedCall](), None
        while not seen or before:
            page = usage.search(session, admin, filters, before=before, limit=size)
            seen, before = [*seen, *page.rows], page.older
        return seen

    before = pages(500)
    roll_up(session)

    assert len(before) == 2 * len(ago)
    assert pages(500) == pages(5) == pages(1) == before
    late = CallFilters(provider="acme", status="ok", since=NOW - timedelta(days=40))
    assert len(usage.search(session, admin, late, limit=500).rows) == 2 * 8


def test_purge_rolls_up_and_purges_days(session: Session, admin: Actor) -> None:
    """`logs purge` adds old figures up; with the figures, those by days go too, whole days that are old enough."""
    log(session, *({"at": NOW - timedelta(days=n)} for n in (1, 50, 100)))

    assert log_purge.purge(lambda work: work(session), admin, older_than=40) == 2
    assert rows(session) == (1, 2)
    assert log_purge.purge(lambda work: work(session), admin, older_than=99, with_usage=True) == 0
    assert rows(session) == (1, 1)
    assert session.scalars(text("SELECT day FROM llm_usage_days")).all() == [(NOW - timedelta(days=50)).date()]


def test_nothing_to_purge_leaves_no_event(session: Session, admin: Actor) -> None:
    """A purge each day, of a log that has nothing old, does not fill the audit."""
    log(session, {})
    before = session.scalar(text("SELECT count(*) FROM audit_events"))

    assert log_purge.purge(lambda work: work(session), admin, older_than=40) == 0
    assert session.scalar(text("SELECT count(*) FROM audit_events")) == before


@pytest.mark.usefixtures("committed")
def test_calls_that_come_meanwhile() -> None:
    """While old figures are being added up, calls of the same five minutes are logged: none is lost, none counts twice."""
    at = NOW - timedelta(days=50)

    def write(_writer: int) -> None:
        for _ in range(30):
            with db.transaction() as session:
                log(session, {"at": at}, {"at": at, "latency_ms": 5})

    rolled = 0
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, n) for n in range(3)]
        while not all(writer.done() for writer in writers):
            rolled += usage_days.roll_up(db.retrying)
        for writer in writers:
            writer.result()
    usage_days.roll_up(db.retrying)

    assert rolled > 0
    with db.transaction() as session:
        assert rows(session) == (0, 2)
        assert session.scalars(text("SELECT calls FROM llm_usage_days")).all() == [90, 90]
