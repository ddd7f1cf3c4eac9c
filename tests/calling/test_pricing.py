"""Whose price of a model counts: an admin's at any host, the catalogue's at hosts that it knows, then genai-prices'."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.calling import pricing
from core.calling.pricing import find, price
from core.calling.vendors import Tokens
from core.models import overlay
from core.models.knowledge import Knowledge
from core.models.prices import price as list_price
from core.resolving.effective import EffectiveSettings
from core.resolving.merge import build
from tests.resolving.facts import provider

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
USAGE = Tokens(1_000_000, 1_000_000)
OWN = {"prices": [{"input": 1, "output": 2}, {"since": "2027-01-01", "input": 10, "output": 20}]}
GATEWAY = "https://gateway.example/v1"


def _settings(base_url: str | None, *said: tuple[str | None, str, str], kind: str = "openai") -> EffectiveSettings:
    """Settings of a provider there, as the database says OWN of a model: API, pattern, origin."""
    rows: list[dict[str, Any]] = [
        {"id": number, "api": api, "pattern": pattern, "origin": origin, "as_of": "2026-11-26", "facts": OWN}
        for number, (api, pattern, origin) in enumerate(said, start=1)
    ]
    return build(provider(kind=kind, base_url=base_url), [], knowledge=Knowledge(overlay.read(rows)))


@pytest.mark.parametrize(
    ("base_url", "said", "is_own"),
    [
        (None, (), False),
        (None, ((None, "gpt-5*", "operator"),), True),
        (None, (("openai", "gpt-5.4-mini", "observed"),), True),
        (None, (("mistral", "gpt-5.4-mini", "operator"),), False),
        (GATEWAY, (("openai@gateway.example", "gpt-5.4-mini", "operator"),), True),
        (GATEWAY, ((None, "*", "operator"),), True),
    ],
)
def test_whose_price(base_url: str | None, said: Any, *, is_own: bool) -> None:
    """What is said of the model at this host, else the catalogue's row of the day."""
    settings = _settings(base_url, *said)

    catalogue = list_price("openai", "gpt-5.4-mini", AT, input_tokens=1_000_000, output_tokens=1_000_000)
    assert catalogue not in {None, Decimal(3)}
    assert price(settings, "gpt-5.4-mini", USAGE, at=AT) == (Decimal(3) if is_own else catalogue)


@pytest.mark.parametrize("said", [(), (("openai@other.example", "gpt-5.4-mini", "operator"),)])
def test_behind_a_gateway_the_vendors_price_does_not_count(said: Any) -> None:
    """Nobody knows what it charges, until somebody says so."""
    assert price(_settings(GATEWAY, *said), "gpt-5.4-mini", USAGE, at=AT) is None


def test_a_price_holds_from_its_day_on() -> None:
    """The day of the call decides, in UTC."""
    settings = _settings(GATEWAY, (None, "*", "operator"))

    days = [datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
    assert [price(settings, "m", USAGE, at=day) for day in days] == [Decimal(3), Decimal(30)]


def test_a_price_that_changes_while_a_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of a model outlives no midnight: settings of yesterday have today's price, for what is held as for what is settled."""
    settings, days = _settings(GATEWAY, (None, "*", "operator")), iter([31, 32])

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(2026, 12, 31, tzinfo=tz) + timedelta(days=next(days) - 31)

    monkeypatch.setattr(pricing, "datetime", Clock)
    assert [price(settings, "m", USAGE) for _ in range(2)] == [Decimal(3), Decimal(30)]


def test_a_host_that_only_genai_prices_knows() -> None:
    """Its price is that of the package, as before."""
    settings = _settings("https://api.perplexity.ai", kind="openai_compatible")

    assert (price(settings, "sonar", USAGE, at=AT) or 0) > 0


def test_the_strongest_word_behind_a_gateway() -> None:
    """An admin's counts more than the gateway's own list, whichever was written first."""
    other = {"prices": [{"input": 100, "output": 200}]}
    for origins in (("operator", "observed"), ("observed", "operator")):
        rows: list[dict[str, Any]] = [
            {"id": number, "api": "openai@gateway.example", "pattern": "m", "origin": origin, "as_of": "2026-11-26"}
            | {"facts": OWN if origin == "operator" else other}
            for number, origin in enumerate(origins, start=1)
        ]
        known = Knowledge(overlay.read(rows))
        settings = build(provider(kind="openai", base_url=GATEWAY), [], knowledge=known)

        assert price(settings, "m", USAGE, at=AT) == Decimal(3)


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "where"),
    [
        ("openai", None, "gpt-5.4-mini", {"provider_id": "openai"}),
        ("openai", "https://api.openai.com/v1", "gpt-5.4-mini", {"provider_id": "openai"}),
        ("openai", GATEWAY, "gpt-5.4-mini", None),
        ("openai_compatible", "https://api.perplexity.ai", "sonar", {"provider_api_url": "https://api.perplexity.ai"}),
        ("openai_compatible", None, "sonar", None),
        ("openai", None, "nobody-knows-it", None),
        ("openai", None, None, None),
        (None, "https://api.perplexity.ai", "sonar", None),
    ],
)
def test_where_genai_prices_finds_a_model(
    kind: str | None, base_url: str | None, model: str | None, where: dict[str, str] | None
) -> None:
    """The vendor's own host by the vendor's name, any other by its address; without a kind or a model nowhere."""
    assert find(kind, base_url, model) == where


def test_a_call_that_has_no_price() -> None:
    """What genai-prices cannot say of this call is not known: never zero, and no error."""
    settings = _settings("https://api.perplexity.ai", kind="openai_compatible")

    assert price(settings, "nobody-knows-it", USAGE, at=AT) is None
    assert (price(settings, "sonar", USAGE) or 0) > 0
