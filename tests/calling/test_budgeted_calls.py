"""Calls obey budgets: what they may cost is held before anything is sent, what they did cost is settled, whatever ends them."""

import gc
import threading
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from core import ai, resolve
from core.actors import COMMAND_LINE
from core.calling import budgeting, leases
from core.calling.leases import Leases
from core.errors import BudgetExceeded, CallFailed
from core.manage import budgets, model_facts
from core.store import db
from core.store.table import id_of
from tests.calls import WAYS, configure, logged, settle, spent
from tests.conftest import run_async
from tests.vendors import USED, Vendor

pytest_plugins = ["tests.calls"]

D = Decimal
ASKED = "How are you today?"
COST = (USED[0] + 2 * USED[1]) * D(1) / 1_000_000
"""Of an answer."""
MOST = (18 + 4 + 16 + 2 * 100) * D(1) / 1_000_000
"""Of a call: its bytes, those of the role, 16 for a message, and 100 tokens of an answer; without its parameters."""


@pytest.fixture
def priced(store: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store, where a token of the prompt costs 1 and one of an answer 2 millionths of a dollar, and what this process holds."""
    with db.transaction() as session:
        model_facts.set_facts(session, COMMAND_LINE, "m1", {"prices": [{"input": 1, "output": 2}]}, why="for a test")
    configure(max_tokens=100)
    held = Leases(store, lives=2)
    monkeypatch.setattr(leases, "leases", held)
    yield store
    held.close()


def make(amount: str, **more: Any) -> int:
    """Make a budget of everything, in force here."""
    with db.transaction() as session:
        data = {"name": "all", "amount": amount, "period": "month"} | more
        number = id_of(budgets.create(session, COMMAND_LINE, data).row)
    settle()
    return number


def now(number: int) -> Any:
    """What is spent in a budget, once all is told: sum, estimated, lent, unpriced."""
    assert leases.leases.flush(5)
    with db.transaction() as session:
        period = budgets.get(session, COMMAND_LINE, number).period
        return period.spent, period.estimated, period.leased, period.unpriced


@pytest.mark.parametrize(
    ("way", "kind"), [*((way, "openai") for way in WAYS), ("sync", "anthropic"), ("stream", "google")]
)
def test_a_call_is_held_and_settled_and_the_next_is_refused(priced: str, vendor: Vendor, way: str, kind: str) -> None:
    """By what the vendor counted; once the rest is less than a call may cost, nothing is sent, and an admin's top-up lets it go on."""
    number = make("0.0004")
    answer = WAYS[way](ASKED, provider=kind)
    assert answer.cost == COST
    assert now(number) == (COST, 0, 0, 0)
    with db.transaction() as session:
        budgets.correct(session, COMMAND_LINE, number, "0.0003", "a test")
    leases.leases.close()
    leases.leases = Leases(priced, lives=2)  # its knowledge is half a second old at most
    before = len(vendor.asked)
    with pytest.raises(BudgetExceeded) as refused:
        WAYS[way](ASKED, provider=kind)
    assert refused.value.reason == "spent"
    assert refused.value.needed is not None
    assert MOST <= refused.value.needed < 2 * MOST
    assert len(vendor.asked) == before
    assert logged(priced)[-1]["error"].startswith("BudgetExceeded: Budget 'all' is spent")
    with db.transaction() as session:
        budgets.top_up(session, COMMAND_LINE, number, "1", "a test")
    deadline = time.monotonic() + 3  # it promises one second
    while len(vendor.asked) == before:
        assert time.monotonic() < deadline
        with suppress(BudgetExceeded):
            WAYS[way](ASKED, provider=kind)
    assert now(number)[0] == 2 * COST + D("0.0003")


@pytest.mark.usefixtures("priced")
def test_attempts_that_cost_nothing_give_back_what_they_held(vendor: Vendor) -> None:
    """Each attempt holds by itself: what the vendor refused costs nothing, and the next one has room."""
    number = make("0.0004")
    vendor.fail(429, 500)
    assert ai.complete(ASKED, provider="openai").attempts == 3
    vendor.fail(401)
    with pytest.raises(CallFailed):
        ai.complete(ASKED, provider="openai")
    assert now(number) == (COST, 0, 0, 0)


@pytest.mark.parametrize("way", ["stream", "stream_async"])
@pytest.mark.usefixtures("priced")
def test_a_stream_that_is_given_up(way: str) -> None:
    """It holds from its first part on, and is settled by what came, as estimated."""
    number = make("1")
    stream = getattr(ai, way)(ASKED, provider="openai")
    assert now(number) == (0, 0, 0, 0)
    if way == "stream":
        parts = iter(stream)
        next(parts)
        parts.close()  # type: ignore[attr-defined]  # a generator
    else:

        async def one() -> None:
            parts = aiter(stream)
            await anext(parts)
            await parts.aclose()

        run_async(one())
    spent, estimated, lent, _ = now(number)
    assert 0 < spent == estimated
    assert lent == 0


@pytest.mark.usefixtures("priced")
def test_calls_whose_price_nobody_knows() -> None:
    """A hard budget refuses them and names the cure, unless it counts them; what is known to cost nothing always passes."""
    number = make("0")
    with pytest.raises(BudgetExceeded, match="nobody knows the price of m2 of provider 'openai'"):
        ai.complete(ASKED, provider="openai", model="m2")
    with db.transaction() as session:
        budgets.update(session, COMMAND_LINE, number, {"unpriced": "count"})
        model_facts.set_facts(session, COMMAND_LINE, "m1", {"prices": [{"input": 0, "output": 0}]}, why="ours")
    settle()
    assert ai.complete(ASKED, provider="openai", model="m2").cost is None
    assert ai.complete(ASKED, provider="openai").cost == 0
    make("1", name="b", period="day")
    with pytest.raises(BudgetExceeded, match="'b' refuses"):
        ai.complete(ASKED, provider="openai", options={"service_tier": "priority"})
    assert now(number) == (0, 0, 0, 1)


@pytest.mark.usefixtures("priced")
def test_a_soft_budget_counts_and_refuses_nothing() -> None:
    """Also when all is spent."""
    number = make("0.00001", mode="soft")
    for _ in range(3):
        ai.complete(ASKED, provider="openai")
    assert now(number) == (3 * COST, 0, 0, 0)


@pytest.mark.usefixtures("priced")
def test_a_call_counts_where_it_belongs() -> None:
    """A provider's budget holds for its calls alone."""
    settings = resolve.resolver.resolve("anthropic")
    number = make("0", provider_id=settings.provider_id)
    ai.complete(ASKED, provider="openai")
    with pytest.raises(BudgetExceeded):
        ai.complete(ASKED, provider="anthropic")
    with pytest.raises(BudgetExceeded):
        ai.complete(ASKED, provider="anthropic", fallback=["openai"])
    assert now(number)[0] == 0


@pytest.mark.usefixtures("priced")
def test_what_a_call_may_cost_is_more_than_it_costs() -> None:
    """Bytes as tokens, each message's frame, the cap of each answer, and the dearer of plain input and what is written to a cache."""
    settings = resolve.resolver.resolve("openai")
    messages = [{"role": "user", "content": "\u4f60\u597d"}]

    def of(**sent: Any) -> Decimal | None:
        return budgeting.most(settings, "m1", messages, sent, writes=True)

    assert of(max_tokens=100) == (4 + 6 + 16 + 200) * D(1) / 1_000_000
    assert of(max_tokens=100, n=3) == (4 + 6 + 16 + 600 + 1) * D(1) / 1_000_000
    assert of() == (4 + 6 + 16 + 2 * 32_768) * D(1) / 1_000_000
    assert of(service_tier="flex") is None
    assert budgeting.most(settings, "m1", ["ab", "c"], {}, writes=False) == (3 + 32) * D(1) / 1_000_000


def test_a_role_that_may_not_tell_is_told_the_cure(priced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a hard budget its calls are refused at once, with what to run."""
    make("1")
    with psycopg.connect(priced, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS mute_service")
        connection.execute("CREATE ROLE mute_service LOGIN")
    try:
        mute = Leases(priced.replace("postgres@", "mute_service@", 1))
        monkeypatch.setattr(leases, "leases", mute)
        with pytest.raises(BudgetExceeded, match="grant-reader ROLE --log"):
            ai.complete(ASKED, provider="openai")
        mute.close()
    finally:
        with psycopg.connect(priced, autocommit=True) as connection:
            connection.execute("DROP ROLE mute_service")


@pytest.mark.usefixtures("vendor")
def test_a_stream_that_is_collected_in_another_thread(priced: str) -> None:
    """Also in one that has the lock of what is held: nothing stops, and its budget has what came, not what was held."""
    number = make("1")
    held = [iter(ai.stream(ASKED, provider="openai"))]
    next(held[0])

    def collect() -> None:
        with leases.leases._lock:
            held.clear()
            gc.collect()

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    collector.join(10)
    assert not collector.is_alive()
    (row,) = spent(priced)
    assert row["outcome"] == "cancelled"
    assert 0 < row["cost"] < MOST
    assert now(number)[:3] == (row["cost"], row["cost"], 0)
