"""Pricing anew what was counted: calls whose price nobody knew when they were made, by what is known of their models today.

From the sums that were told (``llm_spend``), with their tokens. What of them was read from a cache, how large each call was and which option
of it changed its price is not in a sum: where that matters a sum is left as it is, and said so. What budgets count in the period that
is now is corrected by the ledger; what is over stays, and so does a month that is closed.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import Changes, Target, record
from ..calling.pricing import rows_of
from ..errors import Invalid
from ..manage import model_facts
from ..models.facts import Price
from ..models.knowledge import Knowledge
from ..models.prices import cost_of_sum, row_at
from ..store.db import Transact
from ..store.tables import LlmProvider

AT_ONCE: Final = 500
"""Sums of one transaction."""
OLDEST: Final = date(2020, 1, 1)
_PLACES: Final = Decimal("1e-10")
_KEY: Final = ("slot", "organization_id", "feature", "provider", "model", "outcome", "cost_centre")
_SOME: Final = f"""
    SELECT {", ".join(_KEY)}, calls, input_tokens, output_tokens, cost, estimated, unpriced FROM llm_spend
    WHERE slot >= :since AND input_tokens + output_tokens > 0 AND (unpriced > 0 OR :known)
    AND provider = coalesce(CAST(:provider AS text), provider) AND model = coalesce(CAST(:model AS text), model)
    AND NOT EXISTS (SELECT FROM llm_spend_closings c WHERE slot >= c.month::timestamp AT TIME ZONE c.zone
        AND slot < (c.month + interval '1 month') AT TIME ZONE c.zone)
    AND ({", ".join(_KEY)}) > (:slot, :organization_id, :feature, :provider_, :model_, :outcome, :cost_centre)
    ORDER BY {", ".join(_KEY)} LIMIT {AT_ONCE}
"""  # noqa: S608 - our own names
_FIRST: Final = {"organization_id": -1, "feature": "", "provider_": "", "model_": "", "outcome": "", "cost_centre": ""}
_WRITE: Final = text("SELECT llm_reprice_spend(CAST(:changed AS jsonb), :by, :reason)")


class RepricedModel(NamedTuple):
    """What pricing anew does to the calls of one provider and model."""

    provider: str
    model: str
    calls: int
    before: Decimal
    """US dollars."""
    after: Decimal
    unpriced: int
    """So many of the calls had no known price."""


class LeftModel(NamedTuple):
    """Calls of one provider and model that stay as they are."""

    provider: str
    model: str
    calls: int
    why: str


class Repriced(NamedTuple):
    """What was done, or with a dry run would be."""

    models: list[RepricedModel]
    left: list[LeftModel]
    sums: int
    """Rows that were changed."""


def reprice(
    transact: Transact,
    actor: Actor,
    since: date,
    *,
    provider: str | None = None,
    model: str | None = None,
    known: bool = False,
    dry_run: bool = False,
) -> Repriced:
    """Price the calls since *since* anew, some hundred sums a transaction; run again it goes on, or changes nothing.

    Args:
        transact: Runs each transaction.
        actor: An admin.
        since: The first day, in UTC.
        provider: By name: its calls alone.
        model: As it was called: its calls alone.
        known: Also calls whose price was known, where the model's price of today makes no difference for cached tokens.
        dry_run: Only say what would be done.

    Raises:
        Forbidden: As everywhere.
        Invalid: If the day is before :data:`OLDEST` or to come.
    """
    if not OLDEST <= since <= datetime.now(UTC).date():
        raise Invalid({"since": f"must be a day from {OLDEST} to today"})
    run = _Run(actor, since, provider, model, known=known, dry_run=dry_run)
    while not run.is_done:
        step = transact(run.some)
        run.take(step)
    return run.result()


class _Changed(NamedTuple):
    key: dict[str, Any]
    calls: int
    was: Decimal
    was_estimated: Decimal
    was_unpriced: int
    cost: Decimal
    estimated: Decimal

    def said(self) -> dict[str, Any]:
        """Return it as the function takes it."""
        numbers = {name: str(getattr(self, name)) for name in ("calls", "was", "was_unpriced", "cost", "estimated")}
        return {**self.key, "slot": self.key["slot"].isoformat(), **numbers}


@dataclass
class _Step:
    """What one transaction found and did."""

    changed: list[_Changed] = field(default_factory=list)
    left: list[LeftModel] = field(default_factory=list)
    last: dict[str, Any] | None = None
    sums: int = 0


class _Run:
    """One run, transaction by transaction."""

    def __init__(
        self, actor: Actor, since: date, provider: str | None, model: str | None, *, known: bool, dry_run: bool
    ) -> None:
        self._actor, self._since, self._known, self._dry = actor, since, known, dry_run
        start = datetime(since.year, since.month, since.day, tzinfo=UTC)
        self._given = {"since": start, "known": known, "provider": provider, "model": model}
        self._after: dict[str, Any] = {"slot": start, **_FIRST}
        self._changed: list[_Changed] = []
        self._left: list[LeftModel] = []
        self._sums = 0
        self.is_done = False

    def some(self, session: Session) -> _Step:
        """Look at the next sums, and write what differs."""
        require(session, self._actor, "spend.reprice")
        step = _Step()
        found = session.execute(text(_SOME), {**self._given, **self._after}).mappings().all()
        prices = _Prices(session) if found else None
        for row in found:
            outcome = prices.anew(row) if prices else ""
            if isinstance(outcome, str):
                if outcome:
                    step.left.append(LeftModel(row["provider"], row["model"], row["calls"], outcome))
            else:
                step.changed.append(outcome)
        if found and len(found) == AT_ONCE:
            last = found[-1]
            step.last = {name: last[name] for name in _KEY if name not in {"provider", "model"}}
            step.last |= {"provider_": last["provider"], "model_": last["model"]}
        if step.changed and not self._dry:
            step.sums = self._write(session, step.changed)
        return step

    def take(self, step: _Step) -> None:
        """Note what was committed."""
        self._changed += step.changed
        self._left += step.left
        self._sums += len(step.changed) if self._dry else step.sums
        self.is_done = step.last is None
        self._after = step.last or self._after

    def _write(self, session: Session, changed: Sequence[_Changed]) -> int:
        reason = f"priced anew, of calls since {self._since}"
        given = {"changed": json.dumps([each.said() for each in changed]), "by": self._actor.name, "reason": reason}
        sums: int = session.execute(_WRITE, given).scalar_one()
        details: Changes = {"since": (None, str(self._since)), "sums": (None, sums)}
        details |= {
            f"{each.provider} {each.model}"[:200]: (f"{each.before:f}", f"{each.after:f}")
            for each in _by_model(changed)
        }
        record(session, self._actor, "spend.reprice", Target("spend", None, f"calls since {self._since}"), details)
        return sums

    def result(self) -> Repriced:
        """Return what was found in all."""
        left: dict[tuple[str, str, str], int] = defaultdict(int)
        for each in self._left:
            left[each.provider, each.model, each.why] += each.calls
        kept = [LeftModel(provider, model, calls, why) for (provider, model, why), calls in sorted(left.items())]
        return Repriced(list(_by_model(self._changed)), kept, self._sums)


def _by_model(changed: Sequence[_Changed]) -> Iterator[RepricedModel]:
    groups: dict[tuple[str, str], list[_Changed]] = defaultdict(list)
    for each in changed:
        groups[each.key["provider"], each.key["model"]].append(each)
    for (provider, model), some in sorted(groups.items()):
        yield RepricedModel(
            provider,
            model,
            sum(each.calls for each in some),
            sum((each.was for each in some), Decimal(0)),
            sum((each.cost for each in some), Decimal(0)),
            sum(each.was_unpriced for each in some),
        )


class _Prices:
    """What is known of prices now."""

    def __init__(self, session: Session) -> None:
        self._known: Knowledge = model_facts.knowledge(session)
        providers = session.exec(select(LlmProvider.name, LlmProvider.kind, LlmProvider.api_base_url))
        self._providers = {name: (kind, url) for name, kind, url in providers}
        self._rows: dict[tuple[str, str], tuple[Price, ...]] = {}

    def anew(self, row: Mapping[Any, Any]) -> _Changed | str:
        """Return what becomes of a sum; a text: why it stays; an empty one: as its price is what it was."""
        if 0 < row["unpriced"] < row["calls"]:
            return "some of them had a price: which tokens are whose is not told apart"
        price = self._price(row["provider"], row["model"], row["slot"])
        if isinstance(price, str):
            return price
        if not row["unpriced"] and (price.cache_read is not None or price.cache_write is not None):
            return "cached tokens have a price of their own, and are not told apart"
        found = cost_of_sum(
            price, calls=row["calls"], input_tokens=row["input_tokens"], output_tokens=row["output_tokens"]
        )
        if found is None:
            return "the price hangs on how large each call was"
        cost = found.quantize(_PLACES, ROUND_HALF_EVEN)
        if row["unpriced"]:
            estimated = cost  # what of it was cached, or had an option that costs more, nobody knows
        elif cost == row["cost"]:
            return ""
        else:
            share = row["estimated"] / row["cost"] if row["cost"] else Decimal(0)
            estimated = min((cost * share).quantize(_PLACES, ROUND_HALF_EVEN), cost)
        key = {name: row[name] for name in _KEY}
        return _Changed(key, row["calls"], row["cost"], row["estimated"], row["unpriced"], cost, estimated)

    def _price(self, provider: str, model: str, slot: datetime) -> Price | str:
        if provider not in self._providers:
            return "there is no such provider any more"
        rows = self._rows.get((provider, model))
        if rows is None:
            rows = self._rows[provider, model] = rows_of(*self._providers[provider], model, self._known)
        found = row_at(rows, slot)
        if found is None:
            return "no price is known"
        if found.since is not None and slot.astimezone(UTC).date() < found.since:
            return f"the price that is known begins on {found.since}"
        return found
