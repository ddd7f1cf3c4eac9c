"""One budget's money in memory: each decision at its bound, without a store."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from core.calling.holds import Hold
from core.calling.meters import AHEAD, FRESH, NOTHING, QUIET, RENEWED, SURE, Meter
from core.resolving.budgets import Budget

D = Decimal
HARD = Budget(1, "b", "hard", "refuse", "closed")
SOFT = HARD._replace(mode="soft")


def answer(**more: Any) -> Any:
    """A row of the store."""
    row = {"budget_id": 1, "period_id": 7, "granted": D(0), "lives_for": 10.0, "ends_in": 60.0, "allowed": D(10)}
    row |= {"spent": D(0), "others": D(0), "recalled": False, "ends_there": "1 December, 00:00 UTC"}
    row |= {"ends_at": datetime(2026, 12, 1, tzinfo=UTC)} | more
    return SimpleNamespace(**row)


def lent(granted: str = "1", *, now: float = 100.0, budget: Budget = HARD, **more: Any) -> Meter:
    """A meter that so much was lent to, at a moment of its clock."""
    meter = Meter(budget, now)
    said = meter.say(now, [D(granted)], is_over=False)
    meter.heard(said, answer(granted=D(granted), **more), now, now, 10.0)
    return meter


def test_what_has_room() -> None:
    """To the last digit of what is free, until four fifths of the lease's life; of a soft budget, and of nothing, always."""
    meter = lent()
    until = 100 + SURE * 10
    assert meter.until == pytest.approx(until)
    assert [meter.has(D(amount), 100) for amount in ("1", "1.0000000001", "0")] == [True, False, True]
    assert [meter.has(D(1), now) for now in (until - 0.01, until, until + 1)] == [True, False, False]
    assert meter.has(D(0), until + 1)
    assert lent(budget=SOFT).has(D(1000), until + 1)


@pytest.mark.parametrize(
    ("amount", "row", "verdict"),
    [
        # What is asked for, of 10 of which 1 is lent here; what the store says; the verdict.
        ("1", {}, "room"),
        ("9.5", {}, "wait"),
        ("10", {}, "wait"),
        ("10.0000000001", {}, "spent"),
        ("2", {"spent": D(8)}, "wait"),
        ("2", {"spent": D("8.0000000001")}, "spent"),
        ("2", {"others": D(8)}, "wait"),
        ("2", {"others": D("8.0000000001")}, "held"),
        ("2", {"spent": D(9)}, "spent"),
        ("2", {"spent": D(4), "others": D(5)}, "held"),
    ],
)
def test_verdicts(amount: str, row: dict[str, Any], verdict: str) -> None:
    """By the store's word, while that is fresh; afterwards it is asked again."""
    meter = lent(**row)
    assert meter.verdict(D(amount), 100) == verdict
    assert meter.verdict(D(amount), 100 + FRESH) == verdict
    assert meter.verdict(D(amount), 100 + FRESH + 0.01) == ("room" if verdict == "room" else "wait")
    assert Meter(HARD, 100).verdict(D(amount), 100) == "wait"


def test_own_calls_count_in_a_verdict() -> None:
    """What is spent here and not told is spent; what is in flight here is held."""
    meter = lent("5")
    taken = meter.take(D(4), 100)
    assert (taken, meter.free, meter.in_flight) == (4, 1, 4)
    assert meter.verdict(D(6), 100) == "wait"
    assert meter.verdict(D("6.1"), 100) == "held"
    meter.put(D(4), taken, D(3), estimated=False, unpriced=False)
    assert (meter.free, meter.in_flight, meter.spent) == (2, 0, 3)
    assert (meter.verdict(D(7), 100), meter.verdict(D("7.1"), 100)) == ("wait", "spent")
    late = meter.take(D(2), meter.until)
    assert (late, meter.free) == (0, 2)  # the lease is over: nothing of it is used


@pytest.mark.parametrize(("estimated", "unpriced"), [(False, False), (True, False), (False, True)])
def test_what_is_settled_stands_once(estimated: bool, unpriced: bool) -> None:
    """In each meter of the hold; another time changes nothing."""
    meters = [lent(), lent(budget=SOFT)]
    hold = Hold(D("0.5"), [(meter, meter.take(D("0.5"), 100)) for meter in meters])
    for _ in range(2):
        hold.put(D("0.2"), estimated=estimated, unpriced=unpriced)
    for meter in meters:
        assert (meter.spent, meter.in_flight, meter.unpriced) == (D("0.2"), 0, int(unpriced))
        assert meter.estimated == (D("0.2") if estimated else 0)
    assert [meter.free for meter in meters] == [D("0.8"), 0]


def test_what_is_said_and_heard() -> None:
    """Sums once: what was told is taken off; what is free is kept while calls come, and given back when none do, or others need it."""
    meter = lent("4")
    hold = Hold(D(3), [(meter, meter.take(D(3), 100))])
    said = meter.say(100.1, [], is_over=False)
    assert (said.words["s"], said.words["f"], said.words["p"]) == ("0", "3", 7)
    assert (said.keep, meter.is_told, meter.has_untold) == (D(3) + meter.free, False, True)
    hold.put(D(1), estimated=True, unpriced=False)
    assert (meter.spent, meter.has_untold) == (1, True)
    meter.heard(said, answer(granted=said.keep), 100.1, 100.2, 10.0)
    assert (meter.is_told, meter.told_in_flight, meter.until) == (True, 3, pytest.approx(100.1 + SURE * 10))
    assert meter.answered_at == 100.1
    told = meter.say(100.3, [], is_over=False)
    assert [told.words[name] for name in "seuf"] == ["1", "1", 0, "0"]
    assert (meter.spent, meter.estimated) == (0, 0)
    more = answer(granted=told.keep + 2, spent=D(1))
    before = meter.free
    meter.heard(told, more, 100.3, 100.3, 10.0)
    assert meter.free == before + 2  # what was granted beyond
    kept = meter.free
    late = meter.say(100.35, [], is_over=False)
    settled = Hold(D(1), [(meter, meter.take(D(1), 100.36))])
    meter.heard(late, answer(granted=late.keep + 1, spent=D(1)), 100.35, 100.37, 10.0)
    assert meter.free == kept  # a call took one while the answer was on its way, and one more was granted
    settled.put(D(0), estimated=False, unpriced=False)
    less = meter.say(100.4, [], is_over=False)
    meter.heard(less, answer(granted=less.keep - 1, spent=D(1)), 100.4, 100.4, 10.0)
    assert meter.free == less.keep - 1
    assert not meter.has_untold


def test_what_is_given_back() -> None:
    """All that is free when no call came for a while, when others need it, when the lease or the period is over."""
    for quiet in ("quiet", "recalled", "over", "ended", "used"):
        meter = lent("4")
        hold = Hold(D(3), [(meter, meter.take(D(3), 100))])
        hold.put(NOTHING, estimated=False, unpriced=False)
        meter.recalled = quiet == "recalled"
        now = {"quiet": 100 + QUIET + 0.01, "over": meter.until}.get(quiet, 100.1)
        if quiet == "over":
            meter.reserved_at = now
        meter.say(now, [], is_over=quiet == "ended")
        assert meter.target == (0 if quiet in {"quiet", "ended"} else meter.target)
        assert (meter.free == 0) == (quiet != "used"), quiet


def test_what_is_wanted() -> None:
    """Two seconds of the pace, and as much as was in flight at once; what waits is needed, the least of it at least."""
    meter = lent("4")
    for _ in range(10):
        hold = Hold(D("0.1"), [(meter, meter.take(D("0.1"), 100.4))])
        hold.put(D("0.1"), estimated=False, unpriced=False)
    said = meter.say(100.5, [], is_over=False)
    assert meter.pace == pytest.approx(2.0)
    assert meter.target == pytest.approx(D(str(AHEAD * 2)) + D("0.1"))
    assert said.words["n"] == "0"
    waits = meter.say(100.6, [D(5), D(6)], is_over=False)
    free = meter.free
    assert (D(waits.words["n"]), D(waits.words["l"])) == (11 - free, 5 - free)
    assert D(waits.words["a"]) >= 11 - free
    meter.say(101.2, [D(5)], is_over=False)
    assert meter.target > 0  # quiet as it is: somebody waits
    assert meter.pace == pytest.approx(1.0)


def test_what_is_news() -> None:
    """What was spent, what is in flight now, what may be given back, and that it is still here, each as soon as it is."""
    meter = lent("4")
    Hold(D(0), []).put(NOTHING, estimated=False, unpriced=False)
    meter.reserved_at = meter.told_at = 100.0
    quiet, renewed = 100 + QUIET, 100 + RENEWED
    assert not meter.has_news(100.1, is_needed=False)
    assert meter.has_news(100.1, is_needed=True)
    assert [meter.has_news(now, is_needed=False) for now in (quiet, quiet + 0.01)] == [False, True]
    meter.recalled = True
    assert meter.has_news(100.1, is_needed=False)
    meter.recalled = False
    meter.reserved_at = meter.told_at = meter.until
    assert [meter.has_news(meter.until - ago, is_needed=False) for ago in (0.01, 0)] == [False, True]
    meter.told_at, meter.reserved_at = 100, renewed + 1
    assert [meter.has_news(now, is_needed=False) for now in (renewed, renewed + 0.01)] == [False, True]
    meter.take(D(1), 100.1)
    assert meter.has_news(100.1, is_needed=False)
    assert not meter.is_done


def test_what_is_done_and_what_is_low() -> None:
    """Done is what nobody holds, has or has to tell; low is less than a quarter of what is wanted."""
    soft = lent("0", budget=SOFT)
    assert (soft.is_done, soft.has_untold) == (True, False)
    Hold(D(0), [(soft, D(0))]).put(D(0), estimated=False, unpriced=True)
    assert (soft.is_done, soft.has_untold) == (False, True)
    busy = lent("0", budget=SOFT)
    busy.take(D(1), 100)
    assert not busy.is_done
    meter = lent("4")
    assert not meter.is_done
    for free, low in (("0.9999999999", True), ("1", False)):
        meter.target, meter.free = D(4), D(free)
        assert meter.is_low() == low
    meter.target = meter.free = D(0)
    assert not meter.is_low()


def test_two_meters_of_one_period_become_one() -> None:
    """A clock that went ahead opened the period twice: what either has is the other's, and holds lead there."""
    first, second = lent("4"), Meter(HARD, 101)
    of_first = Hold(D(1), [(first, first.take(D(1), 100))])
    of_second = Hold(D(2), [(second, second.take(D(2), 101))])
    settled = Hold(D(1), [(second, second.take(D(1), 102))])
    settled.put(D("0.5"), estimated=True, unpriced=True)
    second.goes_on_in(first)
    assert (first.in_flight, first.spent, first.estimated, first.unpriced, first.reserved_at) == (
        3,
        D("0.5"),
        D("0.5"),
        1,
        102,
    )
    of_first.put(D(1), estimated=False, unpriced=False)
    of_second.put(D(2), estimated=False, unpriced=False)
    assert (first.in_flight, first.spent) == (0, D("3.5"))


def test_what_a_refused_call_is_told() -> None:
    """Limit and spent as they are known, also here; when to try again."""
    meter = lent("4", spent=D(3))
    Hold(D(1), [(meter, meter.take(D(1), 100))]).put(D(1), estimated=False, unpriced=False)
    said = {reason: meter.exceeded(reason, D(7), "why") for reason in ("spent", "held", "store_unavailable")}  # type: ignore[arg-type]  # of a tuple
    assert [error.retry_after for error in said.values()] == [None, 0.25, 2.0]
    assert {(error.limit, error.spent, error.needed) for error in said.values()} == {(10, 4, 7)}
    assert "1 December, 00:00 UTC" in str(said["spent"])
    unknown = Meter(HARD, 100).exceeded("store_unavailable", D(7), "why")
    assert (unknown.limit, unknown.spent, unknown.period_ends_at) == (None, None, None)


def test_how_it_stands() -> None:
    """Until the period's end; with what was spent here since."""
    meter = lent("4", spent=D(8))
    Hold(D(1), [(meter, meter.take(D(1), 100))]).put(D(1), estimated=False, unpriced=False)
    state = meter.state(130)
    assert state is not None
    assert state[:6] == ("b", 9, 10, 1, 0.9, datetime(2026, 12, 1, tzinfo=UTC))
    assert abs(datetime.now(UTC) - timedelta(seconds=30) - state.as_of) < timedelta(seconds=5)
    assert meter.state(meter.ends) is None
    assert Meter(HARD, 100).state(100) is None
