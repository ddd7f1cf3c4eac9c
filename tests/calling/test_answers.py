"""What comes of an answer: one table of bodies, each sent by a real server and read by the real SDK."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from core import ai
from core.ai import Completion
from core.calling.vendors import Counts, Tokens, ToolCall, look, text_of, total
from core.errors import CallFailed, Invalid
from tests.calls import WAYS, configure, logged
from tests.conftest import run_async
from tests.vendors import USED, Status, Vendor, _sse

pytest_plugins = ["tests.calls"]

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
SIX = {"input_tokens": 6, "output_tokens": 3}


class Case(NamedTuple):
    """A body with 200, and what comes of it."""

    kind: str
    body: Any
    text: str = ""
    more: Mapping[str, Any] = {}
    """Attributes of the completion."""
    reason: str = ""
    """Of the failure, where it is one."""
    words: str = ""
    attempts: int = 1


def chat(message: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion of OpenAI's."""
    choice = {"index": 0, "message": message, "finish_reason": finish}
    frame = {"id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": "m1-dated"}
    return {**frame, "choices": [choice], "usage": USAGE, **more}


def message(content: Any, stop: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    """A message of Anthropic's."""
    frame = {"id": "msg_7", "type": "message", "role": "assistant", "model": "m1-dated", "stop_sequence": None}
    return {**frame, "content": content, "stop_reason": stop, "usage": SIX, **more}


def content(parts: Any, **more: Any) -> dict[str, Any]:
    """A response of Google's."""
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    counted = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
    return {"candidates": [candidate], "usageMetadata": counted, "modelVersion": "m1-dated", "responseId": "r7"} | more


def said(text: Any = "Hi.", **more: Any) -> dict[str, Any]:
    """A message within a choice."""
    return {"role": "assistant", "content": text, **more}


CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
CALLED = (ToolCall("call_1", "weather", '{"city": "Rome"}'),)
NO_USAGE: tuple[Any, ...] = (
    None,
    {"prompt_tokens": 5, "total_tokens": 5},
    {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
    {"prompt_tokens": 5, "completion_tokens": 2.5, "total_tokens": 7.5},
    {"prompt_tokens": 5, "completion_tokens": -3, "total_tokens": 2},
    {"prompt_tokens": 5, "completion_tokens": 2**40, "total_tokens": 2**40},
    {"prompt_tokens": "5", "completion_tokens": 3},
    {"prompt_tokens": True, "completion_tokens": 3},
    {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": -1}},
    {},
    [],
    "many",
)
TABLE = {
    # errors inside a 200
    "throttled": Case(
        "openai",
        {"choices": None, "error": {"message": "Provider returned error: Too Many Requests", "code": 429}},
        reason="rate_limit",
        words="Provider returned error: Too Many Requests",
        attempts=3,
    ),
    "throttled, as text": Case(
        "openai", {"error": {"message": "slow down", "code": "429"}}, reason="rate_limit", attempts=3
    ),
    "no such model": Case(
        "openai", {"error": {"message": "no m1", "type": "not_found_error"}}, reason="model", words="no m1"
    ),
    "no credit": Case(
        "openai", {"error": {"message": "pay", "code": "insufficient_quota"}}, reason="quota", words="pay"
    ),
    "an error as a text": Case(
        "openai", {"error": "upstream is gone"}, reason="busy", words="upstream is gone", attempts=3
    ),
    "overloaded": Case(
        "anthropic",
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        reason="busy",
        words="Overloaded",
        attempts=3,
    ),
    "exhausted": Case(
        "google", {"error": {"code": 429, "message": "quota"}}, reason="rate_limit", words="quota", attempts=3
    ),
    # no answer
    "no choices": Case("openai", chat(said()) | {"choices": []}, reason="not_understood", words='"choices": []'),
    "choices null": Case("openai", chat(said()) | {"choices": None}, reason="not_understood", words="chatcmpl-7"),
    "message null": Case("openai", chat(None), reason="not_understood", words="chatcmpl-7"),
    "a list": Case("openai", [1, 2], reason="not_understood", words="[1, 2]"),
    "a number": Case("openai", 7, reason="not_understood", words="7"),
    "nothing of a message": Case(
        "anthropic", {"id": "msg_7", "type": "message"}, reason="not_understood", words="msg_7"
    ),
    "no candidates": Case("google", {"modelVersion": "m1"}, reason="not_understood", words="modelVersion"),
    # less than all
    "content null": Case("openai", chat(said(None)), more={"finish_reason": "stop"}),
    "no finish": Case("openai", chat(said(), None), "Hi.", {"finish_reason": ""}),
    "Anthropic without usage": Case(
        "anthropic", message([{"type": "text", "text": "Hi."}], usage=None), "Hi.", {"usage": None}
    ),
    "Anthropic, content null": Case("anthropic", message(None), "", {"finish_reason": "end_turn"}),
    "Google, no parts": Case("google", content(None), "", {"finish_reason": "STOP"}),
    **{
        f"usage {number}": Case("openai", chat(said(), usage=usage), "Hi.", {"usage": None})
        for number, usage in enumerate(NO_USAGE)
    },
    "whole numbers as floats": Case(
        "openai", chat(said(), usage={"prompt_tokens": 5.0, "completion_tokens": 3.0}), "Hi.", {"usage": Tokens(5, 3)}
    ),
    "Anthropic counts by half": Case(
        "anthropic", message([], usage={"input_tokens": 6, "output_tokens": None}), "", {"usage": None}
    ),
    # google/adk-python#1357, stanford-crfm/helm#3804
    "Google thought until the end": Case(
        "google",
        {
            "candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}],
            "usageMetadata": {
                "billablePromptUsage": {"textCount": 5080},
                "promptTokenCount": 1706,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1706}],
                "thoughtsTokenCount": 2999,
                "totalTokenCount": 4705,
            },
            "modelVersion": "m1-dated",
        },
        "",
        {"finish_reason": "MAX_TOKENS", "usage": Tokens(1706, 2999)},
    ),
    # xtekky/gpt4free#2341
    "Google's safety": Case(
        "google",
        {"candidates": [{"finishReason": "SAFETY", "index": 0}]},
        "",
        {"finish_reason": "SAFETY", "usage": None},
    ),
    "Google leaves a zero out": Case(
        "google", content([], usageMetadata={"promptTokenCount": 5, "totalTokenCount": 5}), "", {"usage": Tokens(5, 0)}
    ),
    "Google counts the prompt alone": Case(
        "google", content([{"text": "Hi."}], usageMetadata={"promptTokenCount": 5}), "Hi.", {"usage": None}
    ),
    # more than text
    "tool calls": Case("openai", chat(said(None, tool_calls=[CALL]), "tool_calls"), "", {"tool_calls": CALLED}),
    "tool calls of Anthropic": Case(
        "anthropic",
        message(
            [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
            ],
            "tool_use",
        ),
        "Let me see.",
        {"tool_calls": CALLED},
    ),
    "tool calls of Google": Case(
        "google",
        content([{"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Rome"}}}]),
        "",
        {"tool_calls": CALLED},
    ),
    "refusal": Case(
        "openai", chat(said(None, refusal="I cannot.")), "", {"refusal": "I cannot.", "finish_reason": "stop"}
    ),
    "refusal of Anthropic": Case("anthropic", message([], "refusal"), "", {"refusal": "refused"}),
    "blocked by Google": Case(
        "google", {"promptFeedback": {"blockReason": "SAFETY"}}, "", {"refusal": "SAFETY", "finish_reason": "SAFETY"}
    ),
    "list content": Case(
        "openai_compatible",
        chat(
            said(
                [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                    {"type": "text", "text": "Hi, "},
                    {"type": "text", "text": "you."},
                ]
            )
        ),
        "Hi, you.",
        {"reasoning": "Hm."},
    ),
    "reasoning": Case("openai_compatible", chat(said(reasoning_content="Hm.")), "Hi.", {"reasoning": "Hm."}),
    "thinking": Case(
        "anthropic",
        message([{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "Hi."}]),
        "Hi.",
        {"reasoning": "Hm."},
    ),
    "thoughts": Case(
        "google", content([{"text": "Hm.", "thought": True}, {"text": "Hi."}]), "Hi.", {"reasoning": "Hm."}
    ),
    "inline data": Case("google", content([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]), "", {}),
    "names": Case("openai", chat(said()), "Hi.", {"response_id": "chatcmpl-7", "response_model": "m1-dated"}),
    "names of Anthropic": Case("anthropic", message([]), "", {"response_id": "msg_7", "response_model": "m1-dated"}),
    "names of Google": Case("google", content([]), "", {"response_id": "r7", "response_model": "m1-dated"}),
}


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("name", TABLE)
def test_what_comes_of_an_answer(store: str, vendor: Vendor, name: str, way: str) -> None:
    """Text, usage and what else there is; or the vendor's own words, tried again where that may help. And a row in the log."""
    case = TABLE[name]
    vendor.fail(*[Status(200, {}, json.dumps(case.body))] * 3)

    if case.reason:
        with pytest.raises(CallFailed) as caught:
            WAYS[way]("Hello", provider=case.kind)
        error = caught.value
        assert (error.reason, error.attempts) == (case.reason, case.attempts)
        assert case.words in error.words
        assert error.__context__ is None
        assert [row["status"] for row in logged(store)] == ["error"]
        return
    done = WAYS[way]("Hello", provider=case.kind)

    assert done.text == case.text
    assert {field: getattr(done, field) for field in case.more} == case.more
    assert done.raw is not None
    assert done.cost is None
    (row,) = logged(store)
    assert row["status"] == "ok"
    assert row["input_tokens"] == (done.usage.input if done.usage else None)
    if done.tool_calls and not done.text:
        assert "weather" in row["response"]


def test_counts_are_whole_numbers_that_fit() -> None:
    """Of every pair of odd values no zero is made, and none reaches a column that it does not fit."""
    odd: tuple[Any, ...] = (None, -1, 2.5, 2**31, True, "5", float("nan"), float("inf"), [], {})
    for one in odd:
        assert Counts(one, 3).tokens() is None
        assert Counts(5, one).tokens() is None
        assert Counts(5, 3, one).tokens() == (Tokens(5, 3) if one is None else None)
    assert Counts(0, 0).tokens() == Tokens(0, 0)
    assert Counts(2**31 - 1, 1.0, 1, 2).tokens() == Tokens(2**31 - 1, 1, 1, 2)


@pytest.mark.parametrize(
    ("values", "sum_of"),
    [
        ((), None),
        ((None, None), None),
        ((0, None), 0),
        ((5, None, 3.0), 8),
        ((5, "3"), "3"),
        ((5, -3, "x"), -3),
        ((True, 5), True),
    ],
)
def test_a_total_hides_nothing(values: tuple[object, ...], sum_of: object) -> None:
    """What is missing counts nothing, and the first that is no count stays to be seen."""
    assert (total(*values), type(total(*values))) == (sum_of, type(sum_of))


SEEN = {"a": [{"b": 1}, (2, 3)], "c": ToolCall("i", "n", "{}"), "text": None}


@pytest.mark.parametrize(
    ("path", "there"),
    [
        (("a", 0, "b"), 1),
        (("a", 1, 1), 3),
        (("a", 1, 2), None),
        (("a", 2), None),
        (("a", "b"), None),
        (("c", "name"), "n"),
        (("c", "nothing", "below"), None),
        ((0,), None),
        ((), SEEN),
    ],
)
def test_what_an_sdks_object_has_at_a_place(path: tuple[str | int, ...], there: object) -> None:
    """In mappings, lists and objects; where it goes on in nothing there is nothing."""
    assert look(SEEN, *path) == there


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi.", "Hi."),
        (["H", {"text": "i"}, {"text": None}, {"image": 1}, ToolCall("", "", ""), "."], "Hi."),
        ((), ""),
        (None, ""),
        (7, ""),
        ({"text": "Hi."}, ""),
    ],
)
def test_the_text_of_a_content(content: object, text: str) -> None:
    """A text, or all that is one among its parts."""
    assert text_of(content) == text


def test_arguments_of_a_tool() -> None:
    """None are an empty object; what is no object is the model's fault, and said so."""
    assert ToolCall("", "f", "").input == {}
    assert ToolCall("", "f", '{"a": 1}').input == {"a": 1}
    for wrong in ("[1]", "7", "{", "null"):
        with pytest.raises(ValueError, match=r"no JSON object|Expecting"):
            _ = ToolCall("", "f", wrong).input


def test_counts_that_come_in_parts() -> None:
    """A later one takes the place of an earlier one; what it does not have stays, also a zero."""
    first = Counts(6, 1, 4)

    assert first.updated(None) == first
    assert first.updated(Counts(output=3)) == Counts(6, 3, 4)
    assert first.updated(Counts(0, None, 0, 2)) == Counts(0, 1, 0, 2)


@pytest.mark.usefixtures("store")
def test_several_answers(vendor: Vendor) -> None:
    """All of them are there; a stream, which has room for one, refuses before anything is sent."""
    two = chat(said("One."))
    two["choices"].append({"index": 1, "message": said("Two."), "finish_reason": "stop"})
    vendor.fail(Status(200, {}, two))

    done = ai.complete("Hello", options={"n": 2})

    assert (done.text, done.texts) == ("One.", ("One.", "Two."))
    with pytest.raises(Invalid, match="several answers"):
        ai.stream("Hello", options={"n": 2})


def delta(**fields: Any) -> dict[str, Any]:
    """A chunk of OpenAI's."""
    finish = fields.pop("finish", None)
    frame = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m1-dated"}
    return {**frame, "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def begun(index: int, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    """A part of a tool call."""
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    return {"index": index, "function": function} | ({"id": f"call_{index}", "type": "function"} if name else {})


STREAMS: dict[str, tuple[str, list[Any], str, dict[str, Any]]] = {
    "tool calls": (
        "openai",
        [
            delta(tool_calls=[begun(0, "weather")]),
            delta(tool_calls=[begun(0, None, '{"city": ')]),
            delta(tool_calls=[begun(1, "time", "{}")]),
            delta(tool_calls=[begun(0, None, '"Rome"}')]),
            delta(finish="tool_calls"),
            "[DONE]",
        ],
        "",
        {"tool_calls": (ToolCall("call_0", "weather", '{"city": "Rome"}'), ToolCall("call_1", "time", "{}"))},
    ),
    "list content": (
        "openai_compatible",
        [
            delta(content=[{"type": "text", "text": "Hi, "}]),
            delta(content=[{"type": "text", "text": "you."}], finish="stop"),
            "[DONE]",
        ],
        "Hi, you.",
        {},
    ),
    "reasoning": (
        "openai_compatible",
        [
            delta(reasoning_content="H"),
            delta(reasoning_content="m."),
            delta(content="Hi."),
            delta(finish="stop"),
            "[DONE]",
        ],
        "Hi.",
        {"reasoning": "Hm.", "response_model": "m1-dated", "response_id": "chatcmpl-7"},
    ),
    "refusal": (
        "openai",
        [delta(refusal="I "), delta(refusal="cannot."), delta(finish="stop"), "[DONE]"],
        "",
        {"refusal": "I cannot."},
    ),
    # QwenLM/qwen-code#6249, vllm-project/vllm#28806, sigoden/aichat#1217
    "a tool without arguments": (
        "openai_compatible",
        [delta(tool_calls=[begun(0, "light")]), delta(finish="tool_calls"), "[DONE]"],
        "",
        {"tool_calls": (ToolCall("call_0", "light", "{}"),)},
    ),
    # LibreChat-AI/agents#260, ollama/ollama#15457, ai-dynamo/dynamo#4723
    "every call at place 0": (
        "openai_compatible",
        [
            delta(tool_calls=[begun(0, "one", '{"a":') | {"id": "x"}]),
            delta(tool_calls=[begun(0, None, "1}")]),
            delta(tool_calls=[begun(0, "two", '{"b":') | {"id": "y"}]),
            delta(tool_calls=[begun(0, None, "2}")]),
            delta(finish="tool_calls"),
            "[DONE]",
        ],
        "",
        {"tool_calls": (ToolCall("x", "one", '{"a":1}'), ToolCall("y", "two", '{"b":2}'))},
    ),
    # openai/openai-python#3246, SamSaffron/term-llm#314, AstrBotDevs/AstrBot#6692
    "calls without a place": (
        "openai_compatible",
        [
            delta(tool_calls=[{"id": "x", "type": "function", "function": {"name": "one", "arguments": ""}}]),
            delta(tool_calls=[{"function": {"arguments": '{"a":1}'}}]),
            delta(tool_calls=[{"id": "y", "type": "function", "function": {"name": "two", "arguments": "{}"}}]),
            delta(finish="tool_calls"),
            "[DONE]",
        ],
        "",
        {"tool_calls": (ToolCall("x", "one", '{"a":1}'), ToolCall("y", "two", "{}"))},
    ),
    # BerriAI/litellm#7094, BerriAI/litellm#936
    "null and empty chunks among the text": (
        "openai_compatible",
        [
            {"id": "", "object": "", "created": 0, "model": "", "choices": []},
            delta(content=None),
            delta(content="Hi."),
            delta(content=None),
            delta(finish="stop"),
            "[DONE]",
        ],
        "Hi.",
        {"response_model": "m1-dated"},
    ),
    "the end is only marked": ("openai_compatible", [delta(content="Hi."), "[DONE]"], "Hi.", {"finish_reason": ""}),
    "an empty reason": ("openai_compatible", [delta(content="Hi.", finish=""), "[DONE]"], "Hi.", {"finish_reason": ""}),
    "usage in each chunk": (
        "openai",
        [
            delta(content="Hi.") | {"usage": USAGE | {"completion_tokens": 1}},
            delta(finish="stop") | {"usage": USAGE},
            "[DONE]",
        ],
        "Hi.",
        {"usage": Tokens(5, 3)},
    ),
    "usage that is odd": (
        "openai",
        [delta(content="Hi."), delta(finish="stop") | {"usage": {"prompt_tokens": 5}}, "[DONE]"],
        "Hi.",
        {"usage": None},
    ),
    "blocks": (
        "anthropic",
        [
            {
                "type": "message_start",
                "message": message(
                    [], None, usage={"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 1}
                ),
            },
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": "", "signature": ""},
            },
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '{"city": '},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '"Rome"}'},
            },
            {"type": "content_block_stop", "index": 1},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use", "stop_sequence": None},
                "usage": {"output_tokens": 3},
            },
            {"type": "message_stop"},
        ],
        "",
        {"tool_calls": CALLED, "reasoning": "Hm.", "usage": Tokens(10, 3, 4), "response_id": "msg_7"},
    ),
    "parts": (
        "google",
        [
            content([{"text": "Hm.", "thought": True}]),
            content([{"text": "Hi."}, {"functionCall": {"name": "a", "args": {}}}]),
        ],
        "Hi.",
        {"reasoning": "Hm.", "tool_calls": (ToolCall("", "a", "{}"),), "usage": Tokens(5, 3)},
    ),
}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", ["stream", "stream_async"])
@pytest.mark.parametrize("name", STREAMS)
def test_what_comes_of_a_stream(vendor: Vendor, name: str, way: str) -> None:
    """The parts of text are yielded; what else there is is in the completion, put together."""
    kind, events, text, more = STREAMS[name]
    body = "".join(_sse(*events, names=kind == "anthropic"))
    vendor.fail(Status(200, {"content-type": "text/event-stream"}, body))

    done = read(way, kind)

    assert done.text == text
    assert {field: getattr(done, field) for field in more} == more
    assert done.time_to_first_token_ms is not None
    assert 0 <= done.time_to_first_token_ms <= done.latency_ms


def read(way: str, kind: str) -> Completion:
    """Read a stream that may have no text."""
    if way == "stream":
        parts = ai.stream("Hello", provider=kind)
        assert "".join(parts) == (parts.completion.text if parts.completion else None)
        assert parts.completion
        return parts.completion

    async def go() -> Completion:
        parts = ai.stream_async("Hello", provider=kind)
        assert all([isinstance(part, str) async for part in parts])
        assert parts.completion
        return parts.completion

    return run_async(go())


@pytest.mark.usefixtures("store")
def test_a_cut_stream_is_no_end(vendor: Vendor) -> None:
    """Without a reason and without the mark of the end, a stream broke off; and the mark alone is no answer."""
    for events, reason in (([delta(content="Hi.")], "connection"), (["[DONE]"], "not_understood")):
        vendor.fail(*[Status(200, {"content-type": "text/event-stream"}, "".join(_sse(*events)))] * 3)
        with pytest.raises(CallFailed) as caught:
            list(ai.stream("Hello"))
        vendor.serve()
        assert caught.value.reason == reason


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("status", "headers", "code", "reason", "attempts"),
    [
        (429, {}, "insufficient_quota", "quota", 1),
        (429, {"x-should-retry": "false"}, None, "rate_limit", 1),
        (503, {"x-should-retry": "false"}, None, "busy", 1),
        (400, {"x-should-retry": "true"}, None, "refused", 3),
        (429, {}, None, "rate_limit", 3),
    ],
)
def test_what_no_wait_mends(
    vendor: Vendor, status: int, headers: dict[str, str], code: str | None, reason: str, attempts: int
) -> None:
    """A spent quota is not waited for, and what the vendor says of another attempt counts more than the status."""
    body = {"error": {"message": "the vendor's own words", "type": code, "code": code}}
    vendor.fail(*[Status(status, headers, body)] * 4)

    with pytest.raises(CallFailed, match="the vendor's own words") as caught:
        ai.complete("Hello")

    assert (caught.value.reason, caught.value.status, caught.value.attempts) == (reason, status, attempts)
    assert len(vendor.asked) == attempts


def test_a_completion_as_json(store: str, vendor: Vendor) -> None:
    """as_dict is what JSON can hold, with names for the tokens; the SDK's own object is beside it."""
    assert store
    assert vendor.url
    done = ai.complete("Hello", tags=["a"])

    shown = json.loads(json.dumps(done.as_dict()))

    assert shown["usage"] == {"input": USED[0], "output": USED[1], "cache_read": USED[2], "cache_write": 0}
    assert (shown["tags"], shown["tool_calls"]) == (["a"], [])
    assert "raw" not in shown
    assert type(done.raw).__name__ == "ChatCompletion"


def test_refused_counts_stay_out_of_the_sum(store: str, vendor: Vendor) -> None:
    """A call whose usage is odd is logged, and its cost is not known: never zero."""
    configure(max_retries=0)
    vendor.fail(Status(200, {}, chat(said(), usage={"prompt_tokens": 5, "total_tokens": 5})))

    done = ai.complete("Hello")

    assert (done.usage, done.cost) == (None, None)
    assert [(row["cost"], row["output_tokens"]) for row in logged(store)] == [(None, None)]
