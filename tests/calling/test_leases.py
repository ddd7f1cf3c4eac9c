"""Money of budgets, lent to processes: reserved, settled, told, and counted to the last digit."""

import asyncio
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from core.calling.holds import Hold
from core.calling.leases import Leases
from core.errors import BudgetExceeded
from core.resolving.budgets import Budget
from tests.clusters import by_proxy, socket_of
from tests.conftest import run_async
from tests.processes import apart
from tests.proxy import PASS, SWALLOW, Proxy

D = Decimal
SYNC = "SELECT * FROM llm_sync_leases(%s, %s::bigint, %s, %s::float8, %s)"


def budget(url: str, amount: str = "1", *, name: str = "b", **columns: Any) -> Budget:
    """Make a budget by SQL, as a service sees it."""
    made = {"name": name, "amount": amount, "period": "month", "mode": "hard", "unpriced": "refuse"}
    made |= {"when_away": "closed"} | columns
    with psycopg.connect(url, autocommit=True) as connection:
        row: Any = connection.execute(
            f"INSERT INTO org_llm_budgets ({', '.join(made)}) VALUES ({', '.join(['%s'] * len(made))})"  # type: ignore[arg-type]  # names of ours
            " RETURNING id, name, mode, unpriced, when_away",
            list(made.values()),
        ).fetchone()
    return Budget(*row)


def period(url: str, of: Budget) -> Any:
    """Of the newest period of a budget: spent, leased, estimated, unpriced."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT spent, leased, estimated, unpriced FROM llm_budget_periods WHERE budget_id = %s"
            " ORDER BY starts_at DESC",
            [of.id],
        ).fetchone()


def word(of: Budget, number: int | None, **more: str) -> dict[str, Any]:
    """What a holder says of one budget."""
    nothing = dict.fromkeys("sefkanl", "0")
    return {"b": of.id, "p": number, "u": 0, **nothing, **more}


@pytest.fixture
def leases(database: str) -> Iterator[Leases]:
    """What one process holds of budgets, in a database of the test's own."""
    made = Leases(database, lives=2)
    yield made
    made.close()


@contextmanager
def away(url: str) -> Iterator[None]:
    """The database takes no connection, and has cut those that there were."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    elsewhere = url.replace(f"/{name}", "/postgres", 1)
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")  # type: ignore[arg-type]  # a name of ours
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")  # type: ignore[arg-type]  # as above


def test_what_is_reserved_is_settled_and_told(leases: Leases, database: str) -> None:
    """Once, whatever it did cost, in every budget of the call; what is left is given back."""
    hard, soft = budget(database), budget(database, "0.1", name="c", mode="soft", when_away="open", period="year")
    hold = leases.reserve([hard, soft], D("0.4"))
    leases.settle(hold, D("0.1234567891"), estimated=True)
    leases.settle(hold, D("0.3"))
    leases.settle(leases.reserve([hard, soft], D(0)), D(0), unpriced=True)

    assert leases.flush()
    assert period(database, hard) == period(database, soft) == (D("0.1234567891"), 0, D("0.1234567891"), 1)


def test_how_a_budget_stands(leases: Leases, database: str) -> None:
    """From memory: nothing before the store's first word and after the period's end; then what is spent, here at once."""
    one, none = (
        budget(database, time_zone="Asia/Tokyo"),
        budget(database, "0", name="none", mode="soft", period="total"),
    )
    assert leases.state("b") is None
    begun = datetime.now(UTC)
    hold = leases.reserve([one, none], D("0.5"))
    leases.settle(hold, D("0.4"))
    assert leases.flush()
    leases.settle(leases.reserve([one, none], D("0.45")), D("0.41"))  # not told yet, perhaps
    state, empty = leases.state("b"), leases.state("none")
    assert state is not None
    assert state[:5] == ("b", D("0.81"), 1, D("0.19"), 0.81)
    assert begun - timedelta(seconds=1) < state.as_of <= datetime.now(UTC)
    assert state.period_ends_at is not None
    assert (state.period_ends_at + timedelta(hours=9)).astimezone(UTC).timetuple()[2:5] == (1, 0, 0)
    assert empty is not None
    assert (empty.ratio, empty.period_ends_at, empty.left) == (1.0, None, D("-0.81"))
    assert leases.state("other") is None
    leases._meters[one.id].ends = time.monotonic()
    assert leases.state("b") is None


def test_a_hard_budget_refuses_what_does_not_fit(leases: Leases, database: str) -> None:
    """In words that say how much, of how much, and until when; what costs nothing passes, also when all is spent."""
    one = budget(database, time_zone="Asia/Tokyo")
    leases.settle(leases.reserve([one], D(1)), D("0.75"))
    with pytest.raises(BudgetExceeded) as refused:
        leases.reserve([one], D("0.3"))
    error = refused.value

    assert (error.reason, error.limit, error.spent, error.needed) == ("spent", 1, D("0.75"), D("0.3"))
    assert str(error).startswith(
        "Budget 'b' is spent: $0.75 of $1.00, and this call may cost up to $0.30. It begins anew on 1 "
    )
    assert str(error).endswith(", 00:00 Asia/Tokyo; an admin can top it up.")
    leases.settle(leases.reserve([one], D("0.25")), D("0.25"))
    leases.settle(leases.reserve([one], D(0)), D(0))
    with pytest.raises(BudgetExceeded):
        leases.reserve([one], D("0.0000000001"))
    blocked = budget(database, "0", name="blocked", period="day")
    with pytest.raises(BudgetExceeded, match=r"of \$0\.00"):
        leases.reserve([blocked], D("0.000001"))


def test_all_budgets_have_room_or_none_is_touched(leases: Leases, database: str) -> None:
    """What one refuses is reserved in no other."""
    roomy, narrow = budget(database, "100"), budget(database, "0.1", name="c", period="day")
    with pytest.raises(BudgetExceeded, match="'c'"):
        leases.reserve([roomy, narrow], D("0.5"))
    assert leases.flush()
    assert period(database, roomy)[:2] == period(database, narrow)[:2] == (0, 0)


def test_what_others_hold_is_waited_for(leases: Leases, database: str) -> None:
    """A call under way elsewhere holds the rest: after a second that is said, and once it is settled there is room."""
    one, other = budget(database), Leases(database, lives=2)
    hold = other.reserve([one], D("0.8"))
    with pytest.raises(BudgetExceeded) as refused:
        leases.reserve([one], D("0.5"))
    assert (refused.value.reason, refused.value.retry_after) == ("held", 0.25)

    begun = time.monotonic()
    threading.Timer(0.2, other.settle, (hold, D("0.1"))).start()
    leases.settle(leases.reserve([one], D("0.85")), D("0.85"))
    assert time.monotonic() - begun < 3
    assert leases.flush()
    assert other.flush()
    assert period(database, one)[:2] == (D("0.95"), 0)
    other.close()


def test_an_event_loop_goes_on_while_a_call_waits(leases: Leases, database: str) -> None:
    """A call waits on a future; one that is cancelled holds nothing."""
    one = budget(database)

    async def calls() -> list[Any]:
        first = await leases.reserve_async([one], D("0.8"))
        waits = asyncio.create_task(leases.reserve_async([one], D("0.5")))
        given_up = asyncio.create_task(leases.reserve_async([one], D("0.6")))
        turns = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            turns += 1
        given_up.cancel()
        leases.settle(first, D("0.1"))
        found = await asyncio.gather(waits, given_up, return_exceptions=True)
        leases.settle(found[0], D("0.2"))
        return [turns, *found]

    turns, hold, cancelled = run_async(calls())
    assert turns == 20
    assert isinstance(hold, Hold)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert leases.flush()
    assert period(database, one)[:2] == (D("0.3"), 0)


def test_a_wait_whose_loop_is_closed(leases: Leases, database: str) -> None:
    """Its coroutine is collected wherever Python does that, in a thread that has the lock too: nothing stops, it holds nothing."""
    one = budget(database)
    hold = leases.reserve([one], D("0.9"))

    def begin() -> Any:
        loop = asyncio.new_event_loop()
        task = loop.create_task(leases.reserve_async([one], D("0.8")))
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
        return task.get_coro()

    waits = apart(begin)
    assert waits is not None
    leases.settle(hold, D("0.1"))  # it is given to who waits there
    time.sleep(0.1)

    def collect() -> None:
        with leases._lock:
            waits.close()

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    collector.join(5)
    assert not collector.is_alive()
    leases.settle(leases.reserve([one], D("0.85")), D("0.85"))
    assert leases.flush()
    assert period(database, one)[:2] == (D("0.95"), 0)


@pytest.mark.long
def test_a_silent_network(database: str) -> None:
    """A line that swallows all: a closed budget refuses in the end, and goes on when there is a line again."""
    one = budget(database, "10")
    with Proxy(socket_of(database)) as proxy:
        through = Leases(by_proxy(database, proxy), lives=2)
        through.settle(through.reserve([one], D("0.1")), D("0.1"))
        proxy.treat(SWALLOW)
        with pytest.raises(BudgetExceeded, match="cannot be asked") as refused:
            through.reserve([one], D(8))
        assert refused.value.reason == "store_unavailable"
        proxy.treat(PASS)
        deadline = time.monotonic() + 20
        while True:
            try:
                through.settle(through.reserve([one], D(8)), D(1))
                break
            except BudgetExceeded:
                assert time.monotonic() < deadline
        assert through.flush(10)
        through.close()
    assert period(database, one)[:2] == (D("1.1"), 0)


def test_a_number_that_was_heard_changes_nothing(database: str) -> None:
    """The same again has the same answer, and nothing is counted twice; the lease that a lost answer granted is there."""
    one, holder = budget(database), uuid.uuid4()
    with psycopg.connect(database, autocommit=True) as connection:

        def say(number: int, *told: dict[str, Any]) -> Any:
            return connection.execute(SYNC, [holder, number, "a", 10, json.dumps(told)]).fetchall()

        opened = say(1, word(one, None, n="0.5", l="0.5", a="0.5"))
        the_period = opened[0][1]
        assert opened[0][2] == D("0.5")
        assert [row[:3] for row in say(2, word(one, None, n="0.5", l="0.5", a="0.5"))] == [row[:3] for row in opened]
        told = say(3, word(one, the_period, s="0.2", f="0.1", k="0.3"))
        again = say(3, word(one, the_period, s="0.2", f="0.1", k="0.3"))
        before = say(2, word(one, the_period, s="0.2"))
        assert [row[2] for row in (*told, *again, *before)] == [D("0.3")] * 3
        assert period(database, one)[:2] == (D("0.2"), D("0.3"))
        assert say(4, word(one, 10**6, s="0.2")) == []


@pytest.mark.parametrize("amount", ["-0.4", "NaN"])
def test_a_service_takes_no_spending_back(database: str, amount: str) -> None:
    """Whatever a role that may tell says: what was spent stays, and so does what others hold."""
    one, holder = budget(database), uuid.uuid4()
    with psycopg.connect(database, autocommit=True) as connection:

        def say(number: int, the_period: int | None, **told: str) -> Any:
            words = json.dumps([word(one, the_period, **told)])
            return connection.execute(SYNC, [holder, number, "a", 10, words]).fetchall()

        the_period = say(1, None, n="0.5", l="0.5")[0][1]
        say(2, the_period, s="0.3", k="0.2")
        for number, name in enumerate("sefkanl", 3):
            say(number, the_period, **{name: amount})
            assert period(database, one)[0] == D("0.3"), name
            assert 0 <= period(database, one)[1] <= D("0.7"), name
            assert period(database, one)[2] == 0, name


def test_who_died_is_presumed_to_have_spent_what_was_in_flight(database: str) -> None:
    """Until it speaks again; its free part is free once its lease has ended. Both stand in the ledger."""
    one, dead, alive = budget(database), uuid.uuid4(), uuid.uuid4()
    with psycopg.connect(database, autocommit=True) as connection:

        def say(holder: uuid.UUID, number: int, told: dict[str, Any]) -> Any:
            return connection.execute(SYNC, [holder, number, "a", 0.5, json.dumps([told])]).fetchone()

        the_period = say(dead, 1, word(one, None, n="0.9", l="0.9"))[1]
        say(dead, 2, word(one, the_period, f="0.3", k="0.9"))
        assert say(alive, 1, word(one, the_period, n="0.6", l="0.6"))[2] == 0
        time.sleep(0.55)
        assert say(alive, 2, word(one, the_period, n="0.6", l="0.6"))[2] == D("0.6")
        assert period(database, one)[:2] == (D("0.3"), D("0.6"))
        say(alive, 3, word(one, the_period))
        say(dead, 3, word(one, the_period, s="0.25"))
        assert period(database, one)[:2] == (D("0.25"), 0)
        kinds = connection.execute("SELECT kind, amount FROM llm_budget_ledger ORDER BY id").fetchall()
        assert kinds == [("presumed", D("0.3")), ("taken_back", D("-0.3"))]


@pytest.mark.parametrize("when_away", ["closed", "open"])
def test_while_the_database_is_away(database: str, when_away: str) -> None:
    """What is lent is used; then a closed budget refuses, and says why; an open one counts it later, once."""
    one, leases = budget(database, when_away=when_away), Leases(database, lives=2)
    leases.settle(leases.reserve([one], D("0.1")), D("0.1"))
    deadline = time.monotonic() + 10
    with away(database):
        if when_away == "closed":
            with pytest.raises(BudgetExceeded, match="cannot be asked") as refused:
                leases.reserve([one], D("0.8"))
            assert refused.value.reason == "store_unavailable"
        else:
            for _ in range(20):
                leases.settle(leases.reserve([one], D("0.2")), D("0.2"))
    while period(database, one)[0] != (D("0.1") if when_away == "closed" else D("4.1")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert leases.flush(5)
    if when_away == "closed":
        leases.settle(leases.reserve([one], D("0.1")), D("0.1"))
    leases.close()


def test_the_end_of_a_period_while_a_call_is_under_way(leases: Leases, database: str) -> None:
    """It counts where it was reserved; the next call goes to the new period, which nothing was spent of."""
    one = budget(database, period="day")
    hold = leases.reserve([one], D("0.9"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE llm_budget_periods SET ends_at = now() + interval '0.3 s'")
        time.sleep(0.7)
        second = leases.reserve([one], D("0.8"))
        leases.settle(hold, D("0.5"))
        leases.settle(second, D("0.25"))
        assert leases.flush()
        spent = connection.execute("SELECT spent, leased FROM llm_budget_periods ORDER BY starts_at").fetchall()
    assert spent == [(D("0.5"), 0), (D("0.25"), 0)]


def test_a_budget_that_is_deleted_while_a_call_is_under_way(leases: Leases, database: str) -> None:
    """The call is settled, in the others too, and the next one is not refused by what is not there."""
    gone, stays = budget(database), budget(database, name="c", period="day")
    hold = leases.reserve([gone, stays], D("0.5"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM org_llm_budgets WHERE name = 'b'")
    leases.settle(hold, D("0.2"))
    leases.settle(leases.reserve([gone, stays], D("0.75")), D("0.1"))
    assert leases.flush()
    assert period(database, stays)[:2] == (D("0.3"), 0)


def test_budgets_in_any_order_do_not_deadlock(database: str) -> None:
    """Many holders that name the same budgets in two orders, and a top-up at the same time."""
    found = [
        budget(database, "1000", name=f"b{number}", feature_id=None, period=each)
        for number, each in enumerate(("day", "week", "month"))
    ]
    with psycopg.connect(database) as connection:
        ids = [
            row[0] for row in connection.execute("SELECT llm_open_budget_period(id) FROM org_llm_budgets ORDER BY id")
        ]
    problems: list[Exception] = []

    def say(turn: int) -> None:
        order = list(zip(found, ids, strict=True))[:: -1 if turn % 2 else 1]
        try:
            with psycopg.connect(database, autocommit=True) as connection:
                holder = uuid.uuid4()
                for number in range(1, 40):
                    told = json.dumps([word(one, number_of, s="0.01") for one, number_of in order])
                    connection.execute(SYNC, [holder, number, "a", 10, told])
        except psycopg.Error as error:
            problems.append(error)

    crew = [threading.Thread(target=say, args=(turn,)) for turn in range(6)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    assert not problems
    assert {period(database, one)[0] for one in found} == {D("2.34")}


def test_whoever_comes_first_makes_the_period(database: str) -> None:
    """Eight at once, thirty times: one row each time, and all agree."""
    found = [
        budget(database, name=f"b{number}", period="day", time_zone="UTC", is_active=False) for number in range(30)
    ]
    ids: list[list[int]] = []
    start = threading.Barrier(8)

    def open_all() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            mine = []
            for one in found:
                start.wait(10)
                mine.append(connection.execute("SELECT llm_open_budget_period(%s)", [one.id]).fetchone()[0])  # type: ignore[index]  # one row
            ids.append(mine)

    crew = [threading.Thread(target=open_all) for _ in range(8)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    assert len(ids) == 8
    assert all(mine == ids[0] for mine in ids)
    assert len(set(ids[0])) == 30


def test_settling_takes_no_lock_that_its_own_thread_may_hold(leases: Leases, database: str) -> None:
    """As a generator's finaliser may run in the middle of anything: it is booked by whoever has the lock, later."""
    one = budget(database)
    hold = leases.reserve([one], D("0.5"))
    with leases._lock:
        leases.settle(hold, D("0.2"))
    assert leases.flush()
    assert period(database, one)[:2] == (D("0.2"), 0)


def test_after_a_fork_nothing_is_lent_and_nothing_untold(leases: Leases, database: str) -> None:
    """The child is another holder; what its parent had in flight is its parent's to settle."""
    one = budget(database)
    hold = leases.reserve([one], D("0.5"))
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        leases._reset()
        leases.settle(hold, D("0.5"))
        leases.settle(leases.reserve([one], D("0.1")), D("0.1"))
        os.write(writing, b"y" if leases.flush() else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"y"
    leases.settle(hold, D("0.4"))
    assert leases.flush()
    assert period(database, one)[:2] == (D("0.5"), 0)
