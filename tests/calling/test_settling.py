"""What each attempt has cost is counted once, whatever ends it and whatever the log keeps."""

import asyncio
import gc
import json
import threading
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from core import ai, logs
from core.actors import COMMAND_LINE
from core.calling import settling, teller
from core.calling.messages import Prompt
from core.errors import CallFailed, Invalid
from core.manage import model_facts
from core.store import db
from tests.calls import WAYS, configure, logged, settle, spent
from tests.conftest import run_async
from tests.vendors import TEXT, USED, Script, Status, Vendor

pytest_plugins = ["tests.calls"]

ASKED = "How are you today?"
"""18 bytes, 22 with the role: 8 tokens as they are estimated."""
GIVEN = 8
STREAMS = ("stream", "stream_async")
EVERY_USAGE: Any = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
NO_USAGE: Any = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
Row = tuple[str, int, int, bool, int]
"""Outcome, tokens of both kinds, whether they are estimated, attempts."""


@pytest.fixture
def priced(store: str) -> str:
    """The store, where a token of the prompt costs 1 and one of an answer 2 millionths of a dollar."""
    with db.transaction() as session:
        prices = {"prices": [{"input": 1, "output": 2}]}
        model_facts.set_facts(session, COMMAND_LINE, "*", prices, why="for a test")
    settle()
    return store


def told(url: str) -> list[Row]:
    """What was told, checked against itself: the cost is that of the tokens."""
    rows = spent(url)
    for row in rows:
        assert row["cost"] == Decimal(row["input_tokens"] + 2 * row["output_tokens"]) / 1_000_000
        assert row["estimated"] in {0, row["cost"]}
    return [
        (row["outcome"], row["input_tokens"], row["output_tokens"], row["estimated"] > 0, row["calls"]) for row in rows
    ]


def chunk(text: str, usage: Any = None) -> str:
    """A part of an answer on OpenAI's wire."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m1", "usage": usage}
    return f"data: {json.dumps({**head, 'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n"


def body(**changes: Any) -> Status:
    """A whole answer of OpenAI's."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m1", "choices": [choice], **changes}
    return Status(200, {}, whole)


COUNTED: Row = ("answered", USED[0], USED[1], False, 1)
NOTHING: Row = ("refused", 0, 0, False, 1)
ENDS: list[tuple[str, str, Any, list[Row]]] = [
    # What the vendor does; what stands in llm_spend afterwards.
    *(("all", kind, None, [COUNTED]) for kind in ("openai", "anthropic", "google", "azure_openai")),
    *(("all", "openai", status, [NOTHING]) for status in (400, 401, 429, 500)),
    ("all", "anthropic", 529, [NOTHING]),
    ("all", "openai", 504, [("timed_out", GIVEN, 0, True, 1)]),
    ("all", "openai", "redirect", [NOTHING]),
    ("all", "openai", "reset", [("broken_off", GIVEN, 0, True, 1)]),
    ("whole", "openai", "gzip", [("broken_off", GIVEN, 0, True, 1)]),
    ("whole", "openai", "html", [("broken_off", GIVEN, 16, True, 1)]),  # 46 bytes
    ("whole", "openai", "huge_announced", [("broken_off", GIVEN, 0, True, 1)]),
    ("whole", "openai", body(), [("answered", GIVEN, 7, True, 1)]),  # 20 bytes of answer, and nothing is counted
    ("whole", "openai", body(usage=NO_USAGE), [("answered", 0, 0, False, 1)]),  # zero is a count
    ("whole", "openai", Status(200, {}, {"error": {"type": "rate_limit_error", "message": "no"}}), [NOTHING]),
    # A stream that is cut off: OpenAI tells its counts at the end, Anthropic the prompt's at the beginning, Google all along.
    ("stream", "openai", "half", [("broken_off", GIVEN, 4, True, 1)]),
    ("stream", "anthropic", "half", [("broken_off", USED[0], 3, True, 1)]),
    ("stream", "google", "half", [("broken_off", USED[0], USED[1], True, 1)]),
    ("stream", "openai", "error_in_stream", [("broken_off", GIVEN, 4, True, 1)]),
    ("stream", "openai", Script((chunk("Hi"), chunk(" you")), ends=False), [("broken_off", GIVEN, 2, True, 1)]),
    # vllm-project/vllm#7262: usage in every chunk, each the sum so far
    (
        "stream",
        "openai",
        Script((chunk("Hi", EVERY_USAGE), chunk(" you", EVERY_USAGE)), ends=False),
        [("broken_off", 30, 5, True, 1)],
    ),
    # router-for-me/CLIProxyAPI#3104: zeros until the last chunk
    (
        "stream",
        "openai",
        Script((chunk("Hi", NO_USAGE), chunk(" you", NO_USAGE)), ends=False),
        [("broken_off", GIVEN, 2, True, 1)],
    ),
]


@pytest.mark.parametrize(
    ("ways", "kind", "fault", "rows"), ENDS, ids=[f"{n}-{kind}-{ways}" for n, (ways, kind, *_) in enumerate(ENDS)]
)
def test_each_end_is_counted_once(
    priced: str, vendor: Vendor, ways: str, kind: str, fault: Any, rows: list[Row]
) -> None:
    """Answered by what the vendor counted, refused for nothing, broken off by what it told and else by lengths."""
    configure(max_retries=0, log_level="errors_only")
    chosen: Iterable[str] = WAYS if ways == "all" else STREAMS if ways == "stream" else ("sync", "async")
    for way in chosen:
        vendor.serve()
        if fault is not None:
            vendor.fail(fault)
        try:
            done = WAYS[way](ASKED, provider=kind)
        except CallFailed:
            assert rows[0][0] != "answered"
        else:
            assert (done.cost is not None, done.estimated) == (True, rows[0][3])

    times = len(list(chosen))
    assert told(priced) == [(*row[:1], row[1] * times, row[2] * times, row[3], times) for row in rows]


def test_each_attempt_counts_by_itself(priced: str, vendor: Vendor) -> None:
    """Two that are refused or broken off, and the one that is answered; the log has one row, and its cost is the last one's."""
    vendor.fail(429, "reset")

    done = ai.complete(ASKED)

    assert told(priced) == [COUNTED, ("broken_off", GIVEN, 0, True, 1), NOTHING]
    assert [(row["attempts"], row["cost"]) for row in logged(priced)] == [(3, done.cost)]
    assert (done.cost, done.estimated) == (Decimal("0.00003"), False)


def test_not_connected_costs_nothing(priced: str, vendor: Vendor) -> None:
    """Nobody listens there; and where no request can be made at all, nothing is counted."""
    configure(max_retries=0)
    with pytest.raises(Invalid):
        ai.complete(ASKED, options={"timeout": 1})
    assert spent(priced) == []
    vendor.__exit__()

    with pytest.raises(CallFailed):
        ai.complete(ASKED)

    assert told(priced) == [("failed", 0, 0, False, 1)]


def test_a_timeout_counts_what_was_sent(priced: str, vendor: Vendor) -> None:
    """The vendor goes on with it, and charges for it."""
    configure(max_retries=0, request_timeout_ms=1000)
    vendor.fail("silent")

    with pytest.raises(CallFailed):
        ai.complete(ASKED)

    assert told(priced) == [("timed_out", GIVEN, 0, True, 1)]


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait until it has happened."""
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _leave(how: str, kind: str) -> None:
    parts = ai.stream(ASKED, provider=kind)
    if how == "never begun":
        return
    each = iter(parts)
    next(each)
    if how == "closed":
        each.close()  # type: ignore[attr-defined]  # a generator
    elif how == "collected elsewhere":
        held = [each]
        del each, parts
        collector = threading.Thread(target=lambda: (held.clear(), gc.collect()))
        collector.start()
        collector.join()
    elif how == "thrown into":
        with pytest.raises(KeyboardInterrupt):
            each.throw(KeyboardInterrupt())  # type: ignore[attr-defined]  # a generator


async def _leave_async(how: str) -> None:
    if how == "task cancelled":
        parts = ai.stream_async(ASKED)

        async def read() -> None:
            async for _ in parts:
                await asyncio.sleep(60)

        task = asyncio.create_task(read())
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    else:  # the loop ends, and closes what is left open
        each = aiter(ai.stream_async(ASKED))
        await anext(each)


FIRST = -(-len("Hello") // 3)


@pytest.mark.parametrize("how", ["never begun", "closed", "collected elsewhere", "thrown into"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_stream_that_is_given_up(priced: str, kind: str, how: str) -> None:
    """By what had come; one that nobody began has not been asked for. Placeholders of the vendor (BerriAI/litellm#39893) count as told."""
    _leave(how, kind)

    given, came = (GIVEN, FIRST) if kind == "openai" else (USED[0], 1 + FIRST)
    assert told(priced) == ([] if how == "never begun" else [("cancelled", given, came, True, 1)])


@pytest.mark.parametrize("how", ["task cancelled", "loop closed"])
def test_an_asynchronous_stream_that_is_given_up(priced: str, how: str) -> None:
    """A task is cancelled; an event loop ends with the stream half read."""
    run_async(_leave_async(how))
    gc.collect()

    assert told(priced) == [("cancelled", GIVEN, FIRST, True, 1)]


def test_a_whole_call_that_is_cancelled(priced: str, vendor: Vendor) -> None:
    """BerriAI/litellm#13245: the vendor has the prompt, and goes on."""
    vendor.fail("silent")

    async def go() -> None:
        task = asyncio.create_task(ai.complete_async(ASKED))
        await asyncio.to_thread(wait_for, lambda: bool(vendor.asked))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_async(go())

    assert told(priced) == [("cancelled", GIVEN, 0, True, 1)]


def test_a_stream_read_to_its_last_part_is_counted(priced: str) -> None:
    """The vendor has told everything when its reader has the last text, and stops before the end."""
    each = iter(ai.stream(ASKED, provider="google"))
    came = ""
    while came != TEXT:
        came += next(each)
    each.close()  # type: ignore[attr-defined]  # a generator

    assert told(priced) == [("cancelled", *USED[:2], False, 1)]


def test_what_is_open_when_the_process_ends_is_settled(priced: str) -> None:
    """Once: whoever closes it afterwards counts nothing more."""
    each = iter(ai.stream(ASKED))
    next(each)

    settling.settle_open()
    assert told(priced) == [("cancelled", GIVEN, FIRST, True, 1)]
    each.close()  # type: ignore[attr-defined]  # a generator
    assert len(told(priced)) == 1
    assert spent(priced)[0]["calls"] == 1


def test_a_child_counts_nothing_of_its_parents(priced: str) -> None:
    """A stream that is under way at a fork is the parent's."""
    each = iter(ai.stream(ASKED))
    next(each)
    before = teller.teller.holder
    kept = teller.teller._fresh

    teller.teller._reset()  # as a child does
    each.close()  # type: ignore[attr-defined]  # a generator

    assert teller.teller.holder != before
    assert (spent(priced), list(kept)) == ([], [])


def test_by_what_it_is_added_up(priced: str) -> None:
    """Feature and cost centre, of embeddings and of calls by one's own client too."""
    ai.complete(ASKED, provider="openai", feature="summaries", cost_centre="K-17")
    ai.embed(["Hello"], model="m1", cost_centre="K-17")
    settings = ai.resolving.resolve("openai")
    logs.record(settings, latency_ms=5, model="m1", usage={"input": 3, "output": 1}, cost_centre="K-18", attempts=2)
    logs.record(settings, latency_ms=5, model="m1", error="it failed")

    by = ("feature", "cost_centre", "outcome", "calls", "input_tokens", "output_tokens")
    rows = [tuple(row[name] for name in by) for row in spent(priced)]
    assert [row[:4] for row in rows] == [
        ("", "K-17", "answered", 1),
        ("", "K-18", "answered", 2),
        ("", "", "broken_off", 1),
        ("summaries", "K-17", "answered", 1),
    ]
    assert [row[4:] for row in rows[1:]] == [(3, 1), (0, 0), USED[:2]]


@pytest.mark.parametrize("cost_centre", ["", "x" * 65, "two\nlines", 7])
def test_what_is_no_cost_centre(cost_centre: Any) -> None:
    """It is refused by its rule, before anything is sent."""
    with pytest.raises(Invalid, match="cost_centre: must be a text of 1 to 64 characters"):
        ai.complete(ASKED, cost_centre=cost_centre)


def test_an_unknown_price_is_no_zero(store: str) -> None:
    """It is counted as such, with its tokens."""
    assert ai.complete(ASKED).cost is None

    (row,) = spent(store)
    assert (row["unpriced"], row["cost"], row["input_tokens"]) == (1, 0, USED[0])


APART: list[tuple[dict[str, Any], bool]] = [
    ({"service_tier": "flex"}, True),
    ({"service_tier": "auto"}, False),
    ({"n": 1}, False),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, False),
    ({"tools": [{"type": "web_search_preview"}]}, True),
]


@pytest.mark.usefixtures("priced")
@pytest.mark.parametrize(("options", "is_apart"), APART)
def test_an_option_that_changes_the_price(options: dict[str, Any], *, is_apart: bool) -> None:
    """It makes it unknown; the number of answers does not."""
    assert (ai.complete(ASKED, options=options).cost is None) is is_apart


CONTENTS: list[tuple[Prompt, int]] = [
    ("x" * 4, 2),
    ("äöü", 2),
    ("日本語", 3),
    ([{"role": "user", "content": [{"type": "text", "text": "abc"}]}], 4),
    (
        [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 900}}],
            }
        ],
        1602,
    ),
    ([{"type": "image", "source": {"type": "base64", "data": "A" * 900}}], 1600),
    ([{"parts": [{"inline_data": {"mime_type": "image/png", "data": "A" * 900}}]}], 1600),
]


@pytest.mark.parametrize(("content", "tokens"), CONTENTS)
def test_estimated_tokens(content: Any, tokens: int) -> None:
    """A third of the bytes of all texts; a picture is none of these."""
    assert settling.tokens_of(content) == tokens
