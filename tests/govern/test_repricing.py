"""Pricing calls anew whose price nobody knew: to the last digit, once, with what budgets count, and without guessing."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid
from core.govern import repricing
from core.manage import budgets, model_facts, providers
from core.store.table import id_of
from tests.govern.test_spend import told

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
SINCE = NOW.date() - timedelta(days=40)
SOON = (NOW - timedelta(hours=1)).isoformat()
PRICES = {"prices": [{"input": 1, "output": 2, "request": 0.5}]}
"""US dollars; of the 10 tokens in and 5 out, and 2 calls, of :func:`tests.govern.test_spend.told`."""
COST = Decimal("0.0010200000")


@pytest.fixture
def priced(session: Session) -> Session:
    """A store with a provider whose models have a price by now, and calls that had none."""
    made = {
        "name": "house",
        "display_name": "H",
        "kind": "openai_compatible",
        "api_base_url": "https://llm.example.com/v1",
    }
    providers.create(session, COMMAND_LINE, made | {"available_models": ["m1"], "default_model": "m1"})
    model_facts.set_facts(session, COMMAND_LINE, "m1", PRICES, why="the contract")
    return session


def run(session: Session, **how: Any) -> repricing.Repriced:
    """Price anew, in the test's transaction."""
    return repricing.reprice(lambda work: work(session), COMMAND_LINE, how.pop("since", SINCE), **how)


def spend(
    session: Session, at: str = SOON, *, model: str = "m1", provider: str = "house", cost: str = "0", unpriced: int = 2
) -> None:
    told(session, (at, (0, "", provider, model, "answered", ""), cost, unpriced))


def sums(session: Session) -> list[tuple[Any, ...]]:
    found = session.execute(
        text("SELECT model, cost, estimated, unpriced FROM llm_spend ORDER BY slot, provider, model")
    )
    return [tuple(row) for row in found]


def test_unpriced_calls_get_their_price_once(priced: Session) -> None:
    """By their tokens and their number, as estimated; a dry run changes nothing, and a second run neither."""
    spend(priced)
    spend(priced, (NOW - timedelta(hours=5)).isoformat())
    expected = [("house", "m1", 4, Decimal(0), COST * 2, 4)]

    dry = run(priced, dry_run=True)
    assert (dry.models, dry.left, dry.sums) == (expected, [], 2)
    assert sums(priced) == [("m1", 0, 0, 2)] * 2
    assert run(priced)[::2] == (expected, 2)
    assert sums(priced) == [("m1", COST, COST, 0)] * 2
    assert run(priced) == ([], [], 0)
    said = priced.execute(text("SELECT changes FROM audit_events WHERE action = 'spend.reprice'")).scalars().all()
    assert [each["house m1"]["after"] for each in said] == [f"{COST * 2:f}"]


def test_batches_miss_nothing(priced: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a transaction takes: the next one goes on behind it."""
    monkeypatch.setattr(repricing, "AT_ONCE", 1)
    monkeypatch.setattr(repricing, "_SOME", repricing._SOME.replace("LIMIT 500", "LIMIT 1"))
    for hours in range(1, 4):
        spend(priced, (NOW - timedelta(hours=hours)).isoformat())
    assert run(priced).sums == 3
    assert {row[3] for row in sums(priced)} == {0}


def test_what_is_left_as_it_was_counted(priced: Session) -> None:
    """Where sums do not tell what a call cost it is said why; and what is not asked for is not looked at."""
    tiered = {"prices": [{"input": 1, "output": 2, "tiers": [["input", 5, 9]]}]}
    model_facts.set_facts(priced, COMMAND_LINE, "tiered", tiered, why="w")
    model_facts.set_facts(
        priced, COMMAND_LINE, "later", {"prices": [{"since": "2999-01-01", "input": 1, "output": 2}]}, why="w"
    )
    spend(priced, cost="3", unpriced=1)
    for model in ("tiered", "later", "unheard-of"):
        spend(priced, model=model)
    spend(priced, provider="gone")
    before = sums(priced)

    found = run(priced)

    assert (found.models, found.sums, sums(priced)) == ([], 0, before)
    whys = {(each.provider, each.model): each.why for each in found.left}
    assert {key: why.split(":")[0] for key, why in whys.items()} == {
        ("gone", "m1"): "there is no such provider any more",
        ("house", "later"): "the price that is known begins on 2999-01-01",
        ("house", "m1"): "some of them had a price",
        ("house", "tiered"): "the price hangs on how large each call was",
        ("house", "unheard-of"): "no price is known",
    }
    assert run(priced, model="tiered").left[0].model == "tiered"
    assert run(priced, provider="gone").left[0].provider == "gone"
    assert run(priced, since=NOW.date() + timedelta(days=0), model="none") == ([], [], 0)


def test_known_prices_only_when_asked_for(priced: Session) -> None:
    """A cost that was known follows today's price, its estimated share too; not where cached tokens cost something else."""
    cached = {"prices": [{"input": 1, "output": 2, "cache_read": 0.1}]}
    model_facts.set_facts(priced, COMMAND_LINE, "cached", cached, why="w")
    spend(priced, cost="4", unpriced=0)
    spend(priced, cost="4", unpriced=0, model="cached")
    assert run(priced) == ([], [], 0)
    found = run(priced, known=True)
    assert found.models == [("house", "m1", 2, Decimal(4), COST, 0)]
    assert [(each.model, each.why[:6]) for each in found.left] == [("cached", "cached")]
    assert sums(priced) == [("cached", 4, 2, 0), ("m1", COST, COST / 2, 0)]
    assert run(priced, known=True).sums == 0


def test_budgets_of_now_follow(priced: Session) -> None:
    """What matches is corrected by the ledger in the period that is now; a budget made since, or of something else, is not."""
    of = {"amount": 100, "period": "year"}
    rows = {
        name: id_of(budgets.create(priced, COMMAND_LINE, {"name": name, **of, **more}).row)
        for name, more in (("all", {}), ("daily", {"period": "total"}), ("soft", {"period": "quarter", "mode": "soft"}))
    }
    for name in ("all", "soft"):  # as if made before
        budgets.top_up(priced, COMMAND_LINE, rows[name], 1, "it has a period")
    priced.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    priced.execute(text("ALTER TABLE org_llm_budgets DISABLE TRIGGER org_llm_budgets_stamp"))
    priced.execute(text("UPDATE org_llm_budgets SET created_at = now() - interval '2 years' WHERE name <> 'daily'"))
    priced.execute(text("UPDATE llm_budget_periods SET unpriced = 3, starts_at = now() - interval '40 days'"))
    spend(priced)
    spend(priced, (NOW - timedelta(days=41)).isoformat())

    assert run(priced, since=SINCE - timedelta(days=9)).sums == 2

    now = {name: budgets.get(priced, COMMAND_LINE, number).period for name, number in rows.items()}
    assert [(now[name].spent, now[name].estimated, now[name].unpriced) for name in rows] == [
        (COST, COST, 1),
        (0, 0, 0),
        (COST, COST, 1),
    ]
    entry = budgets.ledger(priced, COMMAND_LINE, rows["all"])[0]
    assert (entry.kind, entry.amount, entry.by) == ("repriced", COST, COMMAND_LINE.name)


def test_a_sum_that_grew_meanwhile_is_let_be(priced: Session) -> None:
    """What a process told between the look and the write is not overwritten: the next run has it."""
    spend(priced)
    changed = []
    write = repricing._Run._write

    def late(self: Any, session: Session, some: Any) -> int:
        spend(session)
        changed.append(write(self, session, some))
        return changed[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repricing._Run, "_write", late)
        run(priced)
    assert (changed, sums(priced)) == ([0], [("m1", 0, 0, 4)])
    run(priced)
    assert sums(priced) == [("m1", COST * 2, COST * 2, 0)]


def test_who_may_and_which_days(session: Session, analyst: Actor) -> None:
    """Admins alone; from a day that was."""
    with pytest.raises(Forbidden):
        repricing.reprice(lambda work: work(session), analyst, SINCE)
    for day in (date(1999, 1, 1), NOW.date() + timedelta(days=2)):
        with pytest.raises(Invalid):
            run(session, since=day)
