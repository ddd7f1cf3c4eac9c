"""Calls keep to rate limits: counted before anything is sent, ended with the call, whatever ends it; and to what the vendor says."""

import gc
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from core import ai, resolve
from core.actors import COMMAND_LINE
from core.calling import gates, leases, rates
from core.calling.leases import Leases
from core.calling.rates import Rates
from core.errors import BudgetExceeded, CallFailed, RateLimited
from core.manage import budgets, model_facts, providers, rate_limits
from core.store import db
from core.store.table import id_of
from tests.calls import WAYS, configure, settle
from tests.conftest import run_async
from tests.vendors import USED, Status, Vendor

pytest_plugins = ["tests.calls"]

ASKED = "How are you today?"


@pytest.fixture
def rated(store: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store, and what this process has of rate limits there."""
    had = Rates(store, lives=2)
    monkeypatch.setattr(rates, "rates", had)
    yield store
    had.close()


def make(name: str = "all", **figures: Any) -> int:
    """Make a rate limit, in force here."""
    with db.transaction() as session:
        number = id_of(rate_limits.create(session, COMMAND_LINE, {"name": name, **figures}).row)
    settle()
    return number


def counted(url: str, number: int) -> tuple[int, int, int]:
    """Requests and tokens that a rate limit counted, and places that are in use, once all is told."""
    assert rates.rates.flush(5)
    with psycopg.connect(url) as connection:
        row: Any = connection.execute(
            "SELECT sum(requests)::int, sum(tokens)::int, (SELECT in_use FROM llm_rate_levels WHERE rate_limit_id = %s)"
            " FROM llm_rate_hours WHERE rate_limit_id = %s",
            [number, number],
        ).fetchone()
    return row[0] or 0, row[1] or 0, row[2] or 0


@pytest.mark.parametrize("way", WAYS)
def test_a_call_counts_by_what_it_used(rated: str, vendor: Vendor, way: str) -> None:
    """A request and its tokens, as the vendor counted them; each attempt is a request, and a rate limit of another model counts nothing."""
    one = make(requests_per_minute=6_000, tokens_per_minute=600_000, max_concurrent=3)
    other = make("other", model="m2", max_concurrent=1)
    vendor.fail(503)
    answer = WAYS[way](ASKED, provider="openai")
    assert answer.attempts == 2
    assert counted(rated, one) == (2, USED[0] + USED[1], 0)
    assert counted(rated, other) == (0, 0, 0)


@pytest.mark.usefixtures("rated")
@pytest.mark.parametrize("way", ["sync", "stream_async"])
def test_a_call_without_room_is_not_sent(vendor: Vendor, way: str) -> None:
    """Nor tried again, nor handed to another provider."""
    make(max_concurrent=1, when_full="refuse")
    held = ai.stream(ASKED)
    parts = iter(held)
    next(parts)
    before = len(vendor.asked)
    begun = time.monotonic()
    with pytest.raises(RateLimited) as refused:
        WAYS[way](ASKED, provider="openai", fallback=["anthropic"])
    assert time.monotonic() - begun < 3
    assert (refused.value.limit, refused.value.figure, len(vendor.asked)) == ("all", "max_concurrent", before)
    assert list(parts)
    WAYS[way](ASKED, provider="openai")


def _left_open(_: Vendor) -> None:
    stream = iter(ai.stream(ASKED))
    next(stream)
    del stream
    gc.collect()


def _never_read(_: Vendor) -> None:
    ai.stream(ASKED)
    ai.stream_async(ASKED)


def _interrupted(_: Vendor) -> None:
    with suppress(KeyboardInterrupt):
        for _part in ai.stream(ASKED):
            raise KeyboardInterrupt


def _cancelled(vendor: Vendor) -> None:
    import asyncio  # noqa: PLC0415 - of this one

    vendor.fail("silent")

    async def call() -> None:
        task = asyncio.create_task(ai.complete_async(ASKED))
        while not vendor.asked:  # noqa: ASYNC110 - the vendor is no task
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run_async(call())


def _refused(vendor: Vendor) -> None:
    vendor.fail(400)
    with suppress(CallFailed):
        ai.complete(ASKED)


def _timed_out(vendor: Vendor) -> None:
    vendor.fail("silent")
    with suppress(CallFailed):
        ai.complete(ASKED, deadline=0.3)


def _no_request(_: Vendor) -> None:
    with suppress(Exception):
        ai.complete(ASKED, options={"timeout": object()})


ENDS: dict[str, tuple[Callable[[Vendor], None], int]] = {
    "collected": (_left_open, 1),
    "never read": (_never_read, 0),
    "interrupted": (_interrupted, 1),
    "cancelled": (_cancelled, 1),
    "refused by the vendor": (_refused, 1),
    "timed out": (_timed_out, 1),
    "no request could be made": (_no_request, 0),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_place_is_free_again_whatever_ends_a_call(rated: str, vendor: Vendor, how: str) -> None:
    """At once, and what it counted is exact: a request that was sent, or none."""
    one = make(max_concurrent=1, requests_per_minute=6_000)
    work, requests = ENDS[how]
    work(vendor)
    vendor.serve()
    ai.complete(ASKED)
    assert counted(rated, one)[::2] == (requests + 1, 0)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_block_of_ones_own_client_counts(rated: str, is_async: bool) -> None:
    """It has its place and its tokens from its beginning; without room nothing is to be sent; in the end it counts by what it used."""
    one = make(max_concurrent=1, requests_per_minute=6_000, tokens_per_minute=600_000, when_full="refuse")
    settings = resolve.resolver.resolve("openai")

    def block() -> None:
        with ai.spending(settings, ASKED) as call:
            with pytest.raises(RateLimited) as refused, ai.spending(settings, ASKED):
                pytest.fail("there was no place")
            assert (refused.value.limit, refused.value.figure) == ("all", "max_concurrent")
            call.settle(input=12, output=9)
        with suppress(ValueError), ai.spending(settings, ASKED, max_tokens=50):
            raise ValueError

    async def block_async() -> None:
        async with ai.spending(settings, ASKED) as call:
            with pytest.raises(RateLimited):
                async with ai.spending(settings, ASKED):
                    pytest.fail("there was no place")
            call.settle(input=12, output=9)
        async with ai.spending(settings, ASKED) as call:
            call.settle(input=3, output=1)

    if is_async:
        run_async(block_async())
    else:
        block()
    assert counted(rated, one) == (2, 25 if is_async else 21 + 6 + 50, 0)


def test_who_waits_holds_no_money(rated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits for a place leaves its budget to others; one that the budget refuses does not queue, and has taken nothing."""
    held_money = Leases(rated, lives=2)
    monkeypatch.setattr(leases, "leases", held_money)
    with db.transaction() as session:
        model_facts.set_facts(session, COMMAND_LINE, "m1", {"prices": [{"input": 1, "output": 2}]}, why="for a test")
        data = {"name": "all", "amount": "0.0006", "period": "month"}
        budget = id_of(budgets.create(session, COMMAND_LINE, data).row)
        openai = providers.get_by_name(session, "openai").id
    configure(max_tokens=100)
    one = make(max_concurrent=1, max_wait_ms=20_000, provider_id=openai)
    stream = iter(ai.stream(ASKED, provider="openai"))
    next(stream)
    waits = threading.Thread(target=ai.complete, args=(ASKED,), kwargs={"provider": "openai"})
    waits.start()
    time.sleep(0.3)
    ai.complete(ASKED, provider="anthropic")  # of the same budget: there is room for one call beside the stream
    list(stream)
    waits.join()
    assert held_money.flush(5)
    with db.transaction() as session:
        budgets.correct(session, COMMAND_LINE, budget, "0.0004", "a test")
    held_money.close()
    monkeypatch.setattr(leases, "leases", Leases(rated, lives=2))
    stream = iter(ai.stream(ASKED, provider="openai", max_tokens=1))
    next(stream)
    begun = time.monotonic()
    with pytest.raises(BudgetExceeded):
        ai.complete(ASKED, provider="openai")
    assert time.monotonic() - begun < 5
    list(stream)
    assert counted(rated, one)[::2] == (3, 0)
    leases.leases.close()


@pytest.mark.usefixtures("store")
def test_a_429_holds_up_all_calls_of_the_key(vendor: Vendor) -> None:
    """Until the vendor's time is over; then one goes first. One without retries, or time, is told at once, and nothing is sent."""
    vendor.fail(Status(429, {"retry-after": "1", "x-ratelimit-limit-requests": "60"}))
    first = threading.Thread(target=ai.complete, args=(ASKED,))
    first.start()
    while not vendor.calls():
        time.sleep(0.01)
    time.sleep(0.2)
    with pytest.raises(CallFailed) as refused:
        ai.complete(ASKED, deadline=0.3)
    assert (refused.value.reason, refused.value.status, refused.value.attempts) == ("rate_limit", 429, 0)
    assert 0 < (refused.value.retry_after or 0) <= 1
    assert "nothing was sent" in str(refused.value)
    ai.complete(ASKED, model="m2")  # the vendor said nothing of it
    assert len(vendor.calls()) == 2
    crew = [threading.Thread(target=ai.complete, args=(ASKED,)) for _ in range(3)]
    for each in crew:
        each.start()
    for each in (first, *crew):
        each.join()
    begun, _, *later = [asked.at for asked in vendor.calls()]
    assert len(later) == 4
    assert min(later) - begun >= 0.95
    run_async(ai.complete_async(ASKED))


def test_what_the_vendor_allows_is_told(rated: str, vendor: Vendor) -> None:
    """With rate limits of ours: to the store, by a fingerprint of the key, and so to other processes and to admins."""
    make(requests_per_minute=6_000)
    vendor.fail(
        Status(429, {"retry-after": "0.2", "x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "-1"})
    )
    ai.complete(ASKED)
    for _ in range(50):
        with psycopg.connect(rated) as connection:
            found = connection.execute(
                "SELECT model, requests, tokens, closed_until < now() FROM llm_vendor_rates"
            ).fetchall()
        if found and found[0][3]:
            break
        time.sleep(0.1)
        ai.complete(ASKED)
    assert found == [("m1", 60, None, True)]


def test_a_429_is_told_without_any_rate_limit(rated: str, vendor: Vendor) -> None:
    """So that processes hear of it that have some, or were refused as well; the connection is closed after it."""
    vendor.fail(Status(429, {"retry-after": "50"}))
    with pytest.raises(CallFailed) as refused:
        ai.complete(ASKED, deadline=9)
    assert refused.value.reason == "rate_limit"
    lines = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%rates%' AND datname = current_database()"
    )
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with psycopg.connect(rated) as connection:
            found = connection.execute("SELECT model, closed_until > now() FROM llm_vendor_rates").fetchall()
            open_ones = connection.execute(lines).fetchone()
        if found and open_ones == (0,):
            break
        time.sleep(0.05)
    assert (found, open_ones) == ([("m1", True)], (0,))


def test_who_cannot_tell_of_a_429_does_not_go_on_trying() -> None:
    """It is worth a word, not a connection a second; nothing waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.2)
        alone = Rates(f"postgresql://a@127.0.0.1:{server.getsockname()[1]}/b")
        gate = gates.gates.of(1, "told nobody", "sk-1")
        for _ in range(2):
            gate.is_news = True
            alone.tell_gates()
            server.accept()[0].close()
            gate.is_news = True
            alone.tell_gates()
            with pytest.raises(TimeoutError):
                server.accept()
            alone._gates_not_before = time.monotonic()  # a minute later
        alone.close()
    gates.gates.reset()
