"""Requests, tokens and places of rate limits, lent to processes: never more than is allowed, all or none, in turn, and back."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core.calling.rate_queue import Permit, RateQueue, RateWaiter
from core.calling.rates import Rates
from core.errors import RateLimited
from core.resolving.rate_limits import RateLimit
from tests.bench import rates as bench
from tests.calling.test_leases import away
from tests.conftest import ROOT, run_async
from tests.processes import apart, environment

SYNC = "SELECT llm_sync_rates(%s, %s::bigint, %s, %s::float8, %s)"
PATIENT = 30.0
SECONDS = float(os.environ.get("LLM_TEST_RATES", "4"))
"""How long processes call; above 120 any minute is looked at, else any half of it."""


def limit(url: str, *, name: str = "r", **columns: Any) -> RateLimit:
    """Make a rate limit by SQL, as a service sees it."""
    made = {"name": name, "model": name, **columns}
    fields = ", ".join(RateLimit._fields)
    with psycopg.connect(url, autocommit=True) as connection:
        row: Any = connection.execute(
            f"INSERT INTO llm_rate_limits ({', '.join(made)}) VALUES ({', '.join(['%s'] * len(made))}) RETURNING {fields}",  # type: ignore[arg-type]  # names of ours
            list(made.values()),
        ).fetchone()
    return RateLimit(*row)


def level(url: str, of: RateLimit) -> dict[str, Any]:
    """What is left of a rate limit, and lent of it."""
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute("SELECT * FROM llm_rate_levels WHERE rate_limit_id = %s", [of.id]).fetchone() or {}


def hours(url: str, of: RateLimit) -> Any:
    """Requests, tokens, refused, and the most at once of a rate limit, in all."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT sum(requests)::int, sum(tokens)::int, sum(refused)::int, max(peak_places) FROM llm_rate_hours"
            " WHERE rate_limit_id = %s",
            [of.id],
        ).fetchone()


def word(of: RateLimit, **more: float) -> dict[str, Any]:
    """What a holder says of one rate limit."""
    return {"l": of.id, **more}


def most(moments: list[float], seconds: float) -> int:
    """The most of *moments* within so many seconds."""
    moments = sorted(moments)
    first, found = 0, 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        found = max(found, last - first + 1)
    return found


@pytest.fixture
def rates(database: str) -> Iterator[Rates]:
    """What one process has of rate limits, in a database of the test's own."""
    made = Rates(database, lives=2)
    yield made
    made.close()


def pass_(rates: Rates, *limits: RateLimit, tokens: float = 0, feature: str | None = None) -> Permit:
    """Let one call through."""
    found = rates.at_once(limits, tokens)
    return found or rates.enter(limits, tokens, feature, patience=PATIENT)


def test_what_goes_through_is_counted_and_given_back(rates: Rates, database: str) -> None:
    """A request, the tokens that were used, a place until the call ends; ended again, undone: counted once, or not at all."""
    one = limit(database, requests_per_minute=600, tokens_per_minute=60_000, max_concurrent=5)
    permits = [pass_(rates, one, tokens=100) for _ in range(3)]
    rates.end(permits[0], 40)
    rates.end(permits[0], 5_000)
    rates.end(permits[1], 250)
    rates.end(permits[2], None)

    assert rates.flush(5)
    assert hours(database, one) == (2, 290, 0, 3)
    found = level(database, one)
    assert (found["lent_requests"], found["lent_tokens"], found["lent_places"]) == (0, 0, 0)
    assert found["requests"] == pytest.approx(60, abs=2.01)


@pytest.mark.parametrize("when_full", ["refuse", "wait"])
def test_a_call_without_room_is_told(rates: Rates, database: str, when_full: str) -> None:
    """By which rate limit, of what, and when to try again: at once, or after the longest wait; it costs nothing in any other."""
    roomy = limit(database, name="roomy", requests_per_minute=6_000)
    narrow = limit(database, name="narrow", requests_per_minute=10, when_full=when_full, max_wait_ms=300)
    rates.end(pass_(rates, roomy, narrow), 0)
    begun = time.monotonic()
    with pytest.raises(RateLimited) as refused:
        pass_(rates, roomy, narrow)
    took = time.monotonic() - begun

    assert took < 0.9
    assert (took >= 0.3) is (when_full == "wait")
    error = refused.value
    assert (error.limit, error.by, error.figure, error.most) == ("narrow", "us", "requests_per_minute", 10)
    assert 4 < error.retry_after <= 6
    assert str(error).startswith("Rate limit 'narrow' lets no call through now: its 10 requests a minute are used up.")
    assert rates.flush(5)
    assert hours(database, roomy)[:3] == (1, 0, 0)
    assert hours(database, narrow)[:3] == (1, 0, 1)


def test_a_wait_ends_with_the_time_of_the_call(rates: Rates, database: str) -> None:
    """Whatever a rate limit says."""
    one = limit(database, max_concurrent=1, max_wait_ms=60_000)
    held = pass_(rates, one)
    begun = time.monotonic()
    with pytest.raises(RateLimited, match="all its 1 calls at once are under way"):
        rates.enter([one], 0, None, patience=0.3)
    assert 0.3 <= time.monotonic() - begun < 0.9
    rates.end(held, 0)


def test_a_call_larger_than_the_burst_passes(rates: Rates, database: str) -> None:
    """Once all is there; what it takes more is missing afterwards. So is one request of one a minute."""
    one = limit(database, requests_per_minute=1, tokens_per_minute=6_000, burst_seconds=0.5)
    rates.end(pass_(rates, one, tokens=500), 500)
    assert rates.flush(5)
    found = level(database, one)
    assert found["tokens"] == pytest.approx(-450, abs=30)
    assert found["requests"] == pytest.approx(0.5 / 60 - 1, abs=0.05)
    other = limit(database, name="other", tokens_per_minute=60_000, burst_seconds=0.5, max_wait_ms=5000)
    rates.end(pass_(rates, other, tokens=900), 900)
    begun = time.monotonic()
    rates.end(pass_(rates, other, tokens=100), 100)
    assert 0.3 < time.monotonic() - begun < 2


@pytest.mark.long
def test_no_second_has_more_than_is_allowed(rates: Rates, database: str) -> None:
    """Threads of two processes that always want more: the burst and what fills again, and not less either; each is counted."""
    one = limit(database, requests_per_minute=6_000, burst_seconds=0.2, max_wait_ms=60_000)
    other, moments, until = Rates(database, lives=2), list[float](), time.monotonic() + 3

    def call(mine: Rates) -> None:
        while time.monotonic() < until:
            permit = pass_(mine, one)
            moments.append(time.monotonic())
            mine.end(permit, 0)

    crew = [threading.Thread(target=call, args=(mine,)) for mine in (rates, other) for _ in range(5)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    assert rates.flush(5)
    assert other.flush(5)
    other.close()
    assert most(moments, 1.0) <= (1 + 0.2) * 100 + 2
    assert len(moments) >= 3 * 100 * 0.8
    assert hours(database, one)[0] == len(moments)


def test_features_take_turns(rates: Rates, database: str) -> None:
    """A batch of a hundred calls does not keep a chat waiting; each feature's own come in their order."""
    one = limit(database, max_concurrent=1, max_wait_ms=60_000)
    held, order = pass_(rates, one), list[str]()

    def call(feature: str, number: int) -> None:
        permit = rates.enter([one], 0, feature, patience=PATIENT)
        order.append(f"{feature} {number}")
        rates.end(permit, 0)

    crew = [threading.Thread(target=call, args=("batch", number)) for number in range(8)]
    crew += [threading.Thread(target=call, args=("chat", number)) for number in range(2)]
    for each in crew:
        each.start()
        time.sleep(0.005)
    rates.end(held, 0)
    for each in crew:
        each.join()
    assert [order.index(f"batch {number}") for number in range(8)] == sorted(
        order.index(f"batch {number}") for number in range(8)
    )
    assert max(order.index("chat 0"), order.index("chat 1")) <= 4


def test_who_needs_less_does_not_overtake() -> None:
    """In one line a small call waits behind a large one; a line of other rate limits goes on."""
    limits = [RateLimit(number, "r", None, None, 1, None, 6.0, "wait", 2000) for number in (1, 2, 3)]
    waiting = RateQueue()
    large, small = (RateWaiter(limits[:2], tokens, "a", 9) for tokens in (100, 1))
    other, same = RateWaiter(limits[2:], 1, "a", 9), RateWaiter(limits[1:2], 1, "b", 9)
    for each in (large, small, other, same):
        waiting.put(each)
    assert waiting.serve(lambda each: each.tokens == 1) == [other]
    assert waiting.needs() == {1: [100, 1], 2: [100, 1, 1]}
    assert waiting.serve(lambda _: True) == [large, same, small]
    assert (len(waiting), waiting.has(limits)) == (0, False)


@pytest.mark.parametrize(
    ("when_full", "ms", "wanted"), [("refuse", 60_000, True), ("wait", 1_999, True), ("wait", 2_000, False)]
)
def test_who_is_told_at_once_that_there_is_no_room(when_full: str, ms: int, wanted: bool) -> None:
    """Who does not wait, or not for long; one such rate limit is enough."""
    long = RateLimit(1, "a", None, 60, None, None, 6, "wait", 60_000)
    assert RateWaiter([long, long._replace(when_full=when_full, max_wait_ms=ms)], 0, None, 9).is_hurried is wanted


def test_an_event_loop_goes_on_while_calls_wait_for_places(rates: Rates, database: str) -> None:
    """A call waits on a future; one that is cancelled has nothing, and a loop that was closed hinders nobody."""
    one = limit(database, max_concurrent=2, max_wait_ms=60_000)

    async def calls() -> tuple[int, list[Any]]:
        held = [await rates.enter_async([one], 0, None, patience=PATIENT) for _ in range(2)]
        tasks = [asyncio.create_task(rates.enter_async([one], 0, None, patience=PATIENT)) for _ in range(3)]
        turns = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            turns += 1
        tasks[0].cancel()
        for permit in held:
            rates.end(permit, 0)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for permit in found[1:]:
            rates.end(permit, 0)
        return turns, found

    turns, found = run_async(calls())
    assert turns == 20
    assert isinstance(found[0], asyncio.CancelledError)
    held = [pass_(rates, one) for _ in range(2)]

    async def gone() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rates.enter_async([one], 0, None, patience=PATIENT), 0.05)

    run_async(gone())
    for permit in held:
        rates.end(permit, 0)
    assert rates.flush(5)
    found_level = level(database, one)
    assert (found_level["lent_places"], found_level["in_use"]) == (0, 0)
    assert hours(database, one)[0] == 6


def test_places_that_others_hold_idle_come_back(rates: Rates, database: str) -> None:
    """Within a second: no share is kept for anybody."""
    one, other = limit(database, max_concurrent=8, max_wait_ms=10_000), Rates(database, lives=2)
    for permit in [pass_(other, one) for _ in range(8)]:
        other.end(permit, 0)
    begun = time.monotonic()
    held = [pass_(rates, one) for _ in range(8)]
    assert time.monotonic() - begun < 3
    for permit in held:
        rates.end(permit, 0)
    other.close()


def test_a_number_that_was_heard_changes_no_level(database: str) -> None:
    """The same again has the same answer, and nothing is counted twice."""
    one, holder = limit(database, requests_per_minute=600, max_concurrent=5), uuid.uuid4()
    with psycopg.connect(database, autocommit=True) as connection:

        def say(number: int, **told: float) -> Any:
            row: Any = connection.execute(
                SYNC, [holder, number, "a", 10, json.dumps({"limits": [word(one, **told)]})]
            ).fetchone()
            return row[0]["limits"][0]

        first = say(1, rn=10, rh=1, ra=10, pn=3, pa=3)
        assert (first["r"], first["p"]) == (10, 3)
        told = say(2, ru=4, rk=6, pu=2, pk=3)
        again = say(2, ru=4, rk=6, pu=2, pk=3)
        assert (told["r"], told["p"]) == (again["r"], again["p"]) == (6, 3)
        assert hours(database, one)[0] == 4
        assert level(database, one)["lent_places"] == 3


@pytest.mark.parametrize("amount", [-1e14, 1e300, float("nan")])
def test_a_service_gets_no_more_by_what_it_says(database: str, amount: float) -> None:
    """What is no number is left out; what was given back is at most the burst, and others keep what they have."""
    one, holder, other = limit(database, requests_per_minute=600, max_concurrent=5), uuid.uuid4(), uuid.uuid4()
    with psycopg.connect(database, autocommit=True) as connection:

        def say(who: uuid.UUID, number: int, **told: float) -> Any:
            words = json.dumps({"limits": [word(one, **told)]}).replace("NaN", '"NaN"')
            row: Any = connection.execute(SYNC, [who, number, "a", 10, words]).fetchone()
            return row[0]["limits"]

        say(other, 1, rn=20, rh=1, pn=2)
        for number, name in enumerate(("ru", "tu", "rk", "rn", "ra", "th"), 1):
            say(holder, number, **{name: amount})
            found = level(database, one)
            assert found["requests"] <= 40.5, name
            assert (found["lent_requests"], found["lent_places"]) == (20, 2), name


def test_a_clock_that_was_set_does_not_stop_the_filling(rates: Rates, database: str) -> None:
    """An hour ahead or behind: at most the burst is there, and it fills again."""
    one = limit(database, requests_per_minute=600)
    rates.end(pass_(rates, one), 0)
    assert rates.flush(5)
    for hour in ("1 hour", "-1 hour"):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "UPDATE llm_rate_levels SET requests = 0, filled_at = now() + %s::interval, minute = minute + %s::interval",
                [hour, hour],
            )
        rates.end(pass_(rates, one), 0)
        assert rates.flush(5)
        assert -1 <= level(database, one)["requests"] <= 60


@pytest.mark.long
def test_places_of_a_killed_process_come_back(rates: Rates, database: str) -> None:
    """Once its lease has ended, and not before; what it had of requests is gone."""
    one = limit(database, max_concurrent=2, requests_per_minute=6000, max_wait_ms=20_000)
    code = (
        "import sys, time; from core.calling.rates import Rates; from core.resolving.rate_limits import RateLimit\n"
        "rates, one = Rates(sys.argv[1], lives=1.5), RateLimit(*eval(sys.argv[2]))\n"
        "held = [rates.enter([one], 0, None, patience=9) for _ in range(2)]; print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, database, repr(tuple(one))],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RateLimited):
            rates.enter([one], 0, None, patience=0.5)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
    begun = time.monotonic()
    rates.end(pass_(rates, one), 0)
    assert 0.2 < time.monotonic() - begun < 5
    assert rates.flush(5)
    assert level(database, one)["lent_places"] == 0


def test_while_the_store_is_away_calls_go_through(rates: Rates, database: str, caplog: Any) -> None:
    """By what is lent, and then without limit, which the log says once; places that are taken count again afterwards."""
    one = limit(database, max_concurrent=2, max_wait_ms=10_000)
    held = [pass_(rates, one)]
    with away(database):
        begun = time.monotonic()
        held += [pass_(rates, one) for _ in range(4)]
        assert time.monotonic() - begun < 9
    assert [record.message for record in caplog.records if "let everything through" in record.message] != []
    deadline = time.monotonic() + 10
    with pytest.raises(RateLimited):  # noqa: PT012 - once the store is back
        while time.monotonic() < deadline:
            held.append(rates.enter([one], 0, None, patience=0.5))
    for permit in held:
        rates.end(permit, 0)
    rates.end(pass_(rates, one), 0)
    assert rates.flush(5)
    assert (level(database, one)["lent_places"], level(database, one)["in_use"]) == (0, 0)


def test_a_deleted_rate_limit_limits_nobody(rates: Rates, database: str) -> None:
    """Who waits for it passes; so does who still knows it."""
    one = limit(database, max_concurrent=1, max_wait_ms=60_000)
    held, passed = pass_(rates, one), threading.Event()
    waits = threading.Thread(target=lambda: (pass_(rates, one), passed.set()))
    waits.start()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM llm_rate_limits")
    assert passed.wait(5)
    waits.join()
    rates.end(held, 0)
    pass_(rates, one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_nothing_lent(rates: Rates, database: str) -> None:
    """A child is another holder: it waits for the place that its parent has, and what it ends of it changes nothing there."""
    one = limit(database, max_concurrent=1)
    held = pass_(rates, one)
    before = rates.holder
    child = os.fork()
    if not child:
        rates._reset()
        status = 1
        try:
            rates.enter([one], 0, None, patience=0.4)
        except RateLimited:
            status = 0 if rates.holder != before else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    rates.end(held, 0)
    rates.end(pass_(rates, one), 0)


def test_a_call_that_nobody_ends_in_time_is_ended_anywhere(rates: Rates, database: str) -> None:
    """A generator that is collected in another thread gives its place back, though that thread holds the lock."""
    one = limit(database, max_concurrent=1, max_wait_ms=10_000)

    def parts() -> Iterator[int]:
        permit = pass_(rates, one)
        try:
            yield 1
        finally:
            rates.end(permit, 0)

    stream = parts()
    assert next(stream) == 1
    with rates._lock:
        del stream
        gc.collect()
    rates.end(pass_(rates, one), 0)


def test_a_wait_for_room_whose_loop_is_closed(rates: Rates, database: str) -> None:
    """Its coroutine is collected wherever Python does that, in a thread that has the lock too: nothing stops, its place is free."""
    one = limit(database, max_concurrent=1, max_wait_ms=60_000)
    held = pass_(rates, one)

    def begin() -> list[Any]:
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(rates.enter_async([one], 0, None, patience=PATIENT)) for _ in range(2)]
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()
        return [task.get_coro() for task in tasks]

    waits = apart(begin)
    rates.end(held, 0)  # its place is given to the first who waits there
    time.sleep(0.1)

    def collect() -> None:
        with rates._lock:
            for each in waits:
                each.close()

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    collector.join(5)
    assert not collector.is_alive()
    rates.end(pass_(rates, one), 0)
    assert rates.flush(5)
    assert (hours(database, one)[0], level(database, one)["in_use"]) == (2, 0)


@pytest.mark.program
@pytest.mark.long
def test_no_minute_has_more_than_is_allowed(database: str) -> None:
    """Fifty callers in three processes that always want more: 1.15 times at most, not much less than is allowed, and all is counted."""
    per_minute, window = 6_000, min(60.0, SECONDS / 2)
    one = limit(database, requests_per_minute=per_minute, burst_seconds=window / 10, max_wait_ms=60_000)
    moments, counted = bench.over(database, one, SECONDS, processes=3)
    allowed = per_minute / 60 * window
    assert most(moments, window) <= 1.15 * allowed
    assert len(moments) >= 0.7 * per_minute / 60 * SECONDS
    assert counted == len(moments)
