"""Our price of a call is genai-prices' own, for all models of the APIs that the catalogue has."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import data
from hypothesis import given, settings
from hypothesis import strategies as st

from core.models.facts import Price
from core.models.prices import price, prices_of, row_at

APIS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "x-ai": "xai",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "cohere": "cohere",
    "moonshotai": "moonshot",
    "groq": "groq",
    "azure": "azure",
    "aws": "bedrock",
    "openrouter": "openrouter",
}
MODELS = [(provider, model) for provider in data.providers if provider.id in APIS for model in provider.models]
DAYS = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it
TOKENS = st.one_of(
    st.integers(0, 3000), st.sampled_from([0, 1, 100_000, 100_001, 200_000, 200_001, 272_001, 1_000_000])
)


def _difference(provider: data.Provider, name: str, when: datetime, usage: dict[str, int]) -> str:
    """What differs, as a sentence; empty if nothing does, or they do not find their own model by its name."""
    try:
        theirs = genai_prices.calc_price(
            genai_prices.Usage(**usage), name, provider_id=provider.id, genai_request_timestamp=when
        ).total_price
    except LookupError:
        return ""
    except ValueError:  # more tokens from the cache than there were
        theirs = None
    ours = price(APIS[provider.id], name, when, **usage)
    if ours is None and not theirs:  # nothing is priced by tokens: unknown, where they say 0
        return ""
    return (
        "" if ours == theirs else f"{provider.id} {name} at {when} for {usage}: {ours}, and genai-prices says {theirs}"
    )


USAGES = [
    {"input_tokens": 1000, "output_tokens": 500},
    {"input_tokens": 300_000, "output_tokens": 500, "cache_read_tokens": 1000, "cache_write_tokens": 20},
    {"input_tokens": 0, "output_tokens": 0},
]
MOMENTS = [
    datetime(2025, 3, 1, 12, tzinfo=UTC),
    datetime(2026, 9, 11, 2, 30, tzinfo=UTC),
    datetime(2026, 11, 26, 7, tzinfo=UTC),
    datetime(2027, 1, 1, 0, 0, tzinfo=UTC),
]


def test_all_models_cost_the_same() -> None:
    """Before and after each change of a price, in and out of cheap hours, with many tokens and few."""
    wrong = [
        found
        for provider, model in MODELS
        for when in MOMENTS
        for usage in USAGES
        if (found := _difference(provider, model.id.removeprefix("regional."), when, usage))
    ]

    assert wrong == []
    assert len(MODELS) > 1000


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(range(len(MODELS))), DAYS, TOKENS, TOKENS, TOKENS, TOKENS)
def test_any_call_costs_the_same(index: int, when: datetime, fresh: int, output: int, read: int, written: int) -> None:
    provider, model = MODELS[index]
    usage = {
        "input_tokens": fresh + read + written,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
    }

    assert _difference(provider, model.id.removeprefix("regional."), when, usage) == ""


@pytest.mark.parametrize(
    ("rows", "when", "expected"),
    [
        ((), datetime(2026, 1, 1, tzinfo=UTC), None),
        ((Price(input=Decimal(1)), Price(datetime(2026, 2, 1, tzinfo=UTC).date(), input=Decimal(2))), MOMENTS[0], 1),
        ((Price(input=Decimal(1)), Price(datetime(2026, 2, 1, tzinfo=UTC).date(), input=Decimal(2))), MOMENTS[1], 2),
        ((Price(input=Decimal(1)), Price(hours=(150, 151), input=Decimal(2))), MOMENTS[1], 2),
        ((Price(input=Decimal(1)), Price(hours=(100, 150), input=Decimal(2))), MOMENTS[1], 1),
        ((Price(input=Decimal(1)), Price(hours=(1430, 200), input=Decimal(2))), MOMENTS[1], 2),
        # half past two in UTC is half past four in a summer of Berlin
        (
            (Price(input=Decimal(1)), Price(hours=(150, 151), input=Decimal(2))),
            MOMENTS[1].astimezone(timezone(timedelta(hours=2))),
            2,
        ),
    ],
)
def test_the_row_of_a_moment(rows: tuple[Price, ...], when: datetime, expected: int | None) -> None:
    found = row_at(rows, when)

    assert (found and found.input) == expected


def test_what_is_unknown_is_none() -> None:
    """An unknown model, a host without a price of its own, and more tokens from the cache than there were."""
    usage = {"input_tokens": 10, "output_tokens": 10}

    assert price("openai", "gpt-unheard-of", MOMENTS[2], **usage) is None
    assert price("compatible", "gpt-5.4", MOMENTS[2], **usage) is None
    assert price("openai", "gpt-5.4", MOMENTS[2], **usage, cache_read_tokens=11) is None


def test_azure_and_google_sell_others_models_at_their_list_price() -> None:
    assert prices_of("azure", "gpt-5.4") == prices_of("openai", "gpt-5.4") != ()
    assert prices_of("vertex", "claude-opus-5") == prices_of("anthropic", "claude-opus-5") != ()
