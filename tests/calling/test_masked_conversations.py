"""Masked calls that are more than one question and its answer: stand-ins, conversations, parts of all sorts, streams that are given up."""

import gc
import json
import threading
from typing import Any

import pytest

from core import ai
from core.errors import CallFailed
from tests.calling.test_guarded_calls import CANARIES, PROMPT, say
from tests.calling.test_personal_canaries import ANSWER, RESTORED, TURN, arrived, hits, says
from tests.calls import WAYS, configure, logged, spent
from tests.conftest import run_async
from tests.vendors import Echo, Vendor

pytest_plugins = ["tests.calls"]

EMAIL, CARD = CANARIES["EMAIL"], CANARIES["CARD"]


def test_who_stands_in_gets_the_same_placeholders(store: str, vendor: Vendor) -> None:
    configure(max_retries=0)
    say(store, prompts="mask")
    for way in ("sync", "stream_async"):
        before = len(vendor.calls())
        vendor.fail(Echo(503), Echo(503))
        says(vendor, "google", ANSWER, streams="stream" in way)
        done = WAYS[way](TURN, provider="openai", fallback=["anthropic", "google"])
        assert (done.text, done.provider) == (RESTORED, "google")
        bodies = [call.body for call in vendor.calls()[before:]]
        assert len(bodies) == 3
        assert bodies[0]["messages"][-1]["content"] == bodies[1]["messages"][-1]["content"]
        assert bodies[2]["contents"][-1]["parts"][0]["text"] == bodies[0]["messages"][-1]["content"][0]["text"]
    assert hits(arrived(vendor)) == hits(str(logged(store))) == set()


def test_a_conversation_that_goes_on_has_the_numbers_that_it_had(store: str, vendor: Vendor) -> None:
    """What came is sent again with the caller's own values in it, and is the same to the vendor."""
    say(store, prompts="mask")
    talk: list[Any] = [{"role": "user", "content": f"I am {EMAIL}."}]
    for turn, (theirs, said) in enumerate(
        [("Hi <EMAIL_1>", f"My card: {CARD}"), ("<CARD_1>, <EMAIL_1>?", "bob@example.org")]
    ):
        says(vendor, "openai", theirs, of_tool=json.dumps({"to": "<EMAIL_1>"}))
        done = ai.complete(talk, provider="openai")
        assert hits(done.text) == {"EMAIL", "CARD"} - ({"CARD"} if not turn else set())
        result = {"role": "tool", "tool_call_id": "call_2", "content": json.dumps({"sent to": EMAIL})}
        talk += [done.message, result, {"role": "user", "content": said}]
    ai.complete(talk, provider="openai")
    sent = [call.body["messages"] for call in vendor.calls()]
    assert (sent[0], sent[1]) == (sent[1][: len(sent[0])], sent[2][: len(sent[1])]), "a vendor's cache holds"
    assert [one["content"] for one in sent[2] if one["role"] == "user"] == [
        "I am <EMAIL_1>.",
        "My card: <CARD_1>",
        "<EMAIL_2>",
    ]
    assert hits(str(sent)) == set()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("anthropic", {"type": "tool_use", "id": "t1", "name": "pay", "input": {"card": 4111111111111111, "of": [EMAIL]}}),
        ("google", {"function_call": {"name": "pay", "args": {"card": 4111111111111111, "of": [EMAIL]}}}),
        ("openai", {"tool_calls": [{"id": "t1", "function": {"name": "pay", "arguments": '{"card": 4111111111111111}'}}]}),
        ("anthropic", {"tool_calls": [{"id": "t1", "function": {"name": "pay", "arguments": '{"card": 4111111111111111}'}}]}),
    ],
)  # fmt: skip
def test_what_a_tool_was_called_with_is_masked_as_what_it_is(
    store: str, vendor: Vendor, kind: str, content: dict[str, Any]
) -> None:
    """Numbers too, and what is JSON still is."""
    say(store, prompts="mask")
    message = {"role": "assistant", "content": None, **content} if "tool_calls" in content else None
    ai.complete(
        [{"role": "user", "content": "Hi"}, message or {"role": "assistant", "content": [content]}], provider=kind
    )
    sent = arrived(vendor)
    assert "4111111111111111" not in sent
    assert "<CARD_1>" in sent
    assert "pay" in sent
    assert "4111111111111111" not in str(logged(store))
    if kind == "openai":
        (call,) = vendor.calls()[0].body["messages"][1]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"card": "<CARD_1>"}


def test_what_is_no_text_of_anybody_stays(store: str, vendor: Vendor) -> None:
    """Files, numbers of options, names of fields; what stands beside them is masked."""
    say(store, prompts="mask")
    picture = "data:image/png;base64," + "iVBORw0KGgo4111111111111111/AAAA" * 40
    options = {
        "seed": 4111111111111111,
        "metadata": {"of": EMAIL},
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "pay",
                    "parameters": {"type": "object", "properties": {"to": {"type": "string", "enum": [EMAIL, "nobody"]}}},
                },
            }
        ],
        "of_no_sdk": {"safety": {"of": EMAIL}},
    }  # fmt: skip
    says(vendor, "openai", "", of_tool='{"to": "<EMAIL_1>"}')
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": PROMPT}]
    done = ai.complete([{"role": "user", "content": content}], provider="openai", options=options)
    assert done.tool_calls[0].input == {"to": EMAIL}, "one of those that it may be"
    (call,) = vendor.calls()
    assert call.body["messages"][0]["content"][0] == content[0]
    assert call.body["seed"] == 4111111111111111
    assert call.body["tools"][0]["function"]["parameters"]["properties"] == {
        "to": {"type": "string", "enum": ["<EMAIL_1>", "nobody"]}
    }
    sent = arrived(vendor).replace(picture, "")
    assert hits(sent) == set()
    assert sent.count("EMAIL_1") >= 4
    assert hits(str(logged(store))) <= {"CARD"}, "of the options' number"


@pytest.mark.parametrize("way", WAYS)
def test_placeholders_stay_where_that_is_said(store: str, vendor: Vendor, way: str) -> None:
    say(store, prompts="mask", restore=False)
    says(vendor, "anthropic", ANSWER, streams="stream" in way, of_tool='{"to": "<EMAIL_1>"}')
    done = WAYS[way](TURN, provider="anthropic")
    assert (done.text, done.tool_calls[0].input) == (ANSWER, {"to": "<EMAIL_1>"})


@pytest.mark.parametrize("how", ["closed", "thrown into", "collected", "collected elsewhere", "cancelled"])
def test_a_stream_that_is_given_up(store: str, vendor: Vendor, how: str) -> None:
    """What had come has the caller's values; the log has placeholders, and what it cost is told."""
    say(store, prompts="mask")
    says(vendor, "openai", f"{ANSWER} <EMA", streams=True, size=5)
    if how == "cancelled":
        parts: list[str] = []

        async def read() -> None:
            reading = aiter(ai.stream_async(TURN, provider="openai"))
            parts.append(await anext(reading))
            await reading.aclose()  # type: ignore[attr-defined]  # a generator

        run_async(read())
        assert "".join(parts) == CANARIES["EMAIL"] + " "
        _given_up(store, vendor)
        return
    reading = iter(ai.stream(TURN, provider="openai"))
    came = next(reading)
    assert came == CANARIES["EMAIL"] + " "
    if how == "closed":
        reading.close()  # type: ignore[attr-defined]  # a generator
    elif how == "thrown into":
        with pytest.raises((KeyError, CallFailed)):
            reading.throw(KeyError("x"))  # type: ignore[attr-defined]  # a generator
    else:
        held = [reading]
        del reading
        thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
        if how == "collected":
            held.clear()
        else:
            thread.start()
            thread.join(10)
    _given_up(store, vendor)


def _given_up(store: str, vendor: Vendor) -> None:
    (row,) = logged(store)
    assert row["status"] in {"cancelled", "error"}
    assert hits(str(row)) == hits(arrived(vendor)) == set()
    assert row["response"] is None or row["response"].startswith("<EMAIL_1> ")
    (cost,) = spent(store)
    assert cost["calls"] == 1


def test_what_broke_off_has_no_placeholder_of_ours_for_the_caller(store: str, vendor: Vendor) -> None:
    """A stream that breaks off within a placeholder: what was held back is not made up."""
    say(store, prompts="mask")
    vendor.fail("half")
    came: list[str] = []
    with pytest.raises(CallFailed):
        came.extend(ai.stream(TURN, provider="openai"))
    assert "<" not in "".join(came)
