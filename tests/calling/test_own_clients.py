"""Calls by one's own SDK client: held in their budgets, settled once by what the SDK says, whatever ends them."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import anthropic
import google.genai
import openai
import pytest
from anthropic.types import Usage as AnthropicUsage
from google.genai.types import GenerateContentResponseUsageMetadata as GoogleUsage
from openai.types import CompletionUsage, CreateEmbeddingResponse
from openai.types.responses import ResponseUsage

from core import logs, resolve
from core.ai import spending
from core.calling.usages import counts_in
from core.calling.vendors import Tokens
from core.errors import BudgetExceeded, Invalid
from core.testing import override
from tests.calling.test_budgeted_calls import COST, make, now, priced
from tests.calls import configure, logged, spent
from tests.conftest import run_async
from tests.vendors import USED, Vendor

pytest_plugins = ["tests.calls"]

D = Decimal
TALK = [{"role": "user", "content": "How are you today?"}]
GIVEN = 8
"""Tokens of it, as they are estimated."""
__all__ = ["priced"]


def _openai(settings: Any, *, timeout: float = 10) -> Callable[[], Any]:
    client = openai.OpenAI(**{**settings.client_options(), "max_retries": 0, "timeout": timeout})
    return lambda: client.chat.completions.create(messages=TALK, **settings.request_options())  # type: ignore[call-overload]


def _anthropic(settings: Any, *, timeout: float = 10) -> Callable[[], Any]:
    client = anthropic.Anthropic(**{**settings.client_options(), "max_retries": 0, "timeout": timeout})
    return lambda: client.messages.create(messages=TALK, **settings.request_options())


def _google(settings: Any, *, timeout: float = 10) -> Callable[[], Any]:
    options = settings.client_options()
    options["http_options"] = {
        **options["http_options"],
        "timeout": round(timeout * 1000),
        "retry_options": {"attempts": 1},
    }
    client = google.genai.Client(**options)
    return lambda: client.models.generate_content(contents=TALK[0]["content"], **settings.request_options())


CLIENTS: dict[str, Callable[..., Callable[[], Any]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "google": _google,
}


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.usefixtures("priced")
def test_a_call_is_held_and_settled_once(vendor: Vendor, kind: str) -> None:
    """By the usage of the SDK's answer, in its budgets and in what calls cost; what does not fit is not sent."""
    number = make("0.0004")
    settings = resolve.resolver.resolve(kind, feature="summaries")
    ask = CLIENTS[kind](settings)
    with spending(settings, TALK, cost_centre="K-17") as call:
        answer = ask()
        call.settle(getattr(answer, "usage", None) or answer.usage_metadata)
        call.settle(input=10**6, output=10**6)
    assert (call.usage[:2], call.cost, call.estimated) == (USED[:2], COST, False)  # type: ignore[index]
    assert now(number) == (COST, 0, 0, 0)
    (row,) = spent(str(resolve.resolver._url))
    found = [row[name] for name in ("feature", "cost_centre", "outcome", "calls", "cost", "estimated")]
    assert found == ["summaries", "K-17", "answered", 1, COST, 0]
    before = len(vendor.asked)
    with pytest.raises(BudgetExceeded), spending(settings, TALK, max_tokens=200):
        ask()
    assert len(vendor.asked) == before


ENDS: list[tuple[str, Any, tuple[str, int, int]]] = [
    # By whose client; what the vendor does; outcome, tokens of both kinds.
    *((kind, status, ("refused", 0, 0)) for kind in CLIENTS for status in (401, 429)),
    ("openai", 500, ("refused", 0, 0)),
    ("openai", 504, ("timed_out", GIVEN, 0)),
    *((kind, "reset", ("broken_off", GIVEN, 0)) for kind in CLIENTS),
    *((kind, "silent", ("timed_out", GIVEN, 0)) for kind in CLIENTS),
    *((kind, "nobody", ("failed", 0, 0)) for kind in CLIENTS),
]


@pytest.mark.usefixtures("priced")
def test_what_an_error_of_an_sdk_says(vendor: Vendor) -> None:
    """It goes on to the caller; what was refused, or never sent, costs nothing, all else is estimated."""
    number = make("1")
    for place, (kind, fault, ended) in enumerate(ENDS):
        settings = resolve.resolver.resolve(kind)
        ask = CLIENTS[kind](settings, timeout=0.3 if fault == "silent" else 10)
        if fault == "nobody":
            vendor.__exit__()
        else:
            vendor.fail(fault)
        with pytest.raises(Exception) as raised:  # noqa: PT011, SIM117 - whatever the SDK raises
            with spending(settings, TALK, cost_centre=f"{place:02}") as call:
                ask()
        assert not isinstance(raised.value, AssertionError | Invalid)
        assert call.estimated == (ended[1] > 0)
    rows = sorted(spent(str(resolve.resolver._url)), key=lambda row: row["cost_centre"])
    assert [(row["outcome"], row["input_tokens"], row["output_tokens"]) for row in rows] == [end for *_, end in ENDS]
    total = sum(row["cost"] for row in rows)
    assert now(number) == (total, total, 0, 0)


class Stop(BaseException):
    """The caller goes away."""


LEFT: list[tuple[str, BaseException | None, tuple[str, int]]] = [
    # What was told of the answer, what the block raises; outcome, tokens of the answer.
    ("", None, ("answered", 100)),  # nobody knows: at most the cap
    ("Hello you", None, ("answered", 3)),
    ("", ValueError("of the service"), ("broken_off", 100)),
    ("Hello you", ValueError("of the service"), ("broken_off", 3)),
    ("", Stop(), ("cancelled", 0)),
    ("Hello you", Stop(), ("cancelled", 3)),
    ("Hello you", asyncio.CancelledError(), ("cancelled", 3)),
]


def test_a_block_that_is_left_without_settle(priced: str) -> None:
    """What came counts; where nobody said what came, the cap, unless the caller went away."""
    number = make("1")
    settings = resolve.resolver.resolve("openai")

    def leave(place: int, came: str, error: BaseException | None) -> None:
        with spending(settings, TALK, cost_centre=f"{place}") as call:
            call.came(came)
            if error is not None:
                raise error

    for place, (came, error, _) in enumerate(LEFT):
        with nullcontext() if error is None else pytest.raises(type(error)):
            leave(place, came, error)
    rows = sorted(spent(priced), key=lambda row: row["cost_centre"])
    assert [(row["outcome"], row["output_tokens"]) for row in rows] == [end for *_, end in LEFT]
    assert all(row["estimated"] == row["cost"] and row["input_tokens"] == GIVEN for row in rows)
    total = sum(row["cost"] for row in rows)
    assert now(number)[:3] == (total, total, 0)


def test_in_an_event_loop_and_in_generators(priced: str) -> None:
    """The loop goes on while a call waits for room; a stream that is given up is settled, and gives back what it held."""
    number = make("0.0006")
    settings = resolve.resolver.resolve("openai")

    async def calls() -> int:
        turns = 0
        async with spending(settings, TALK, max_tokens=200) as call:
            waits = asyncio.create_task(second())
            for _ in range(10):
                await asyncio.sleep(0.01)
                turns += 1
            call.settle(input=1, output=1)
        await waits
        return turns

    async def second() -> None:
        async with spending(settings, TALK, max_tokens=200) as call:
            call.settle({"input": 2, "output": 1})

    def parts() -> Any:
        with spending(settings, TALK, max_tokens=200) as call:
            call.came("Hello")
            yield "Hello"

    assert run_async(calls()) == 10
    stream = parts()
    next(stream)
    stream.close()
    assert now(number)[:3] == (D("0.000019"), D("0.000012"), 0)
    assert [(row["outcome"], row["calls"]) for row in spent(priced)] == [("answered", 2), ("cancelled", 1)]


def test_the_log_counts_no_call_twice(priced: str) -> None:
    """`record` with the block's call writes its usage and cost, and leaves what calls cost alone."""
    settings = resolve.resolver.resolve("openai")
    with spending(settings, TALK) as call:
        call.settle({"prompt_tokens": 3, "completion_tokens": 1})
    logs.record(settings, latency_ms=5, prompt=TALK, spent=call)
    with spending(settings, TALK, options={"service_tier": "priority"}) as apart:
        apart.settle({"prompt_tokens": 3, "completion_tokens": 1})
    logs.record(settings, latency_ms=5, prompt=TALK, spent=apart)
    with spending(settings, TALK) as given:
        given.settle(cost=D("0.5"))

    assert [(row["input_tokens"], row["cost"]) for row in logged(priced)] == [(3, D("0.000005")), (3, None)]
    (row,) = spent(priced)
    assert (row["calls"], row["unpriced"], row["cost"]) == (3, 1, D("0.500005"))


def test_what_is_no_block(store: str) -> None:
    """Each mistake is named; in unit tests nothing is counted."""
    configure(max_tokens=100)
    settings = resolve.resolver.resolve("openai")
    with pytest.raises(Invalid, match="max_tokens: must be a whole number from 1 on"):
        spending(settings, TALK, max_tokens=0)
    with pytest.raises(Invalid, match="cost_centre: must be a text"):
        spending(settings, TALK, cost_centre="")
    with pytest.raises(Invalid, match="is a block"):
        spending(settings, TALK).settle(input=1, output=1)
    with spending(settings, TALK) as call:
        with pytest.raises(Invalid, match="cost: must be"):
            call.settle(cost=D(-1))
        call.settle(input=0, output=0)
    with pytest.raises(Invalid, match="one call"), call:
        pass
    with override("openai", model="m1"), spending(resolve.resolve("openai"), TALK) as made:
        made.settle(input=1, output=1)
    assert [row["calls"] for row in spent(store)] == [1]


USAGES: list[tuple[Any, Tokens | None]] = [
    (CompletionUsage(prompt_tokens=5, completion_tokens=3, total_tokens=8), Tokens(5, 3)),
    ({"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}, Tokens(5, 3, 2)),
    (
        CreateEmbeddingResponse.model_construct(usage=SimpleNamespace(prompt_tokens=5, total_tokens=5)),
        Tokens(5, 0),
    ),
    (
        ResponseUsage.model_validate(
            {
                "input_tokens": 5,
                "output_tokens": 3,
                "total_tokens": 8,
                "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            }
        ),
        Tokens(5, 3, 2),
    ),
    (AnthropicUsage(input_tokens=5, output_tokens=3), Tokens(5, 3)),
    (
        AnthropicUsage(input_tokens=5, output_tokens=3, cache_read_input_tokens=7, cache_creation_input_tokens=11),
        Tokens(23, 3, 7, 11),
    ),
    (
        GoogleUsage(
            prompt_token_count=5, candidates_token_count=3, thoughts_token_count=4, cached_content_token_count=2
        ),
        Tokens(5, 7, 2),
    ),
    (GoogleUsage(prompt_token_count=5, total_token_count=5), Tokens(5, 0)),
    ({"usageMetadata": None, "promptTokenCount": 5, "candidatesTokenCount": 3}, Tokens(5, 3)),
    # LangChain's
    (
        {"input_tokens": 5, "output_tokens": 3, "input_token_details": {"cache_read": 2, "cache_creation": 1}},
        Tokens(5, 3, 2, 1),
    ),
    (SimpleNamespace(usage={"input": 5, "output": 3, "cache_write": 1}), Tokens(5, 3, 0, 1)),
    (Tokens(5, 3, 1), Tokens(5, 3, 1)),
    ({"prompt_tokens": 5}, None),
    ({"prompt_tokens": -5, "completion_tokens": 3}, None),
    ({"prompt_tokens": "5", "completion_tokens": 3}, None),
    (None, None),
    ("5", None),
    ({}, None),
    (SimpleNamespace(usage=lambda: 5), None),
]


def test_usage_is_read_whoever_counted() -> None:
    """By the names in it; what is no count is not known."""
    for usage, tokens in USAGES:
        found = counts_in(usage)
        assert (None if found is None else found.tokens()) == tokens, usage
