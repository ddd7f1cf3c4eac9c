"""Messages of every sort reach the vendor as its own type, or are refused: nothing is dropped."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from core import ai
from core.calling.messages import read_prompt
from core.errors import Invalid
from tests.calls import logged
from tests.vendors import Status, Vendor

pytest_plugins = ["tests.calls"]

ASKED = {"role": "user", "content": "How is the weather in Rome?"}
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}]
TURN = [
    {"role": "developer", "content": "Be brief."},
    ASKED,
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
CACHED = {"type": "text", "text": "A long text.", "cache_control": {"type": "ephemeral"}}


def sent(vendor: Vendor, kind: str, prompt: Any, **how: Any) -> Any:
    """Send messages; return the body."""
    ai.complete(prompt, provider=kind, **how)
    return vendor.asked[-1].body


@pytest.mark.usefixtures("store")
def test_a_turn_with_a_tool(vendor: Vendor) -> None:
    """The same conversation, with a tool's call and its result, goes to each kind in the kind's own form."""
    assert sent(vendor, "openai", TURN)["messages"] == TURN

    body = sent(vendor, "anthropic", TURN)
    assert body["system"] == "Be brief."
    use = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"}
    assert body["messages"] == [ASKED, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]

    body = sent(vendor, "google", TURN)
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    asked, called, answered = body["contents"]
    assert asked == {"role": "user", "parts": [{"text": ASKED["content"]}]}
    assert called["role"] == "model"
    assert called["parts"][0]["functionCall"] == {"name": "weather", "args": {"city": "Rome"}}
    assert answered["role"] == "user"
    assert answered["parts"][0]["functionResponse"] == {"name": "weather", "response": {"result": "sunny"}}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_an_answer_goes_on_as_a_message(vendor: Vendor, kind: str) -> None:
    """`answer.message` and the tools' results, appended, are the next request of each kind."""
    prompt = [ASKED, {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS * 2}]
    results = [{"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "blue"}'}] * 2
    done = ai.complete([*prompt, *results], provider=kind)

    again = [*prompt, *results, done.message, {"role": "user", "content": "Thanks."}]
    body = sent(vendor, kind, again)

    talk = body["contents" if kind == "google" else "messages"]
    assert len(talk) == (6 if kind == "openai" else 5)  # the others have all results of a turn in one message


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("kind", "content", "path"),
    [
        ("openai", [{"type": "text", "text": "What is it?"}, PICTURE], "messages"),
        (
            "openai",
            [{"type": "file", "file": {"file_id": "f1"}}, {"type": "input_audio", "input_audio": {}}],
            "messages",
        ),
        ("openai_compatible", [CACHED], "messages"),
        ("anthropic", [CACHED, IMAGE, {"type": "document", "source": {"type": "url", "url": "https://x"}}], "messages"),
    ],
)
def test_parts_go_as_they_are(vendor: Vendor, kind: str, content: list[Any], path: str) -> None:
    """Images, files, sound and cache control are the vendor's own parts."""
    assert sent(vendor, kind, [{"role": "user", "content": content}])[path] == [{"role": "user", "content": content}]


@pytest.mark.usefixtures("store")
def test_parts_of_google(vendor: Vendor) -> None:
    """They may stand as content or as parts, and bytes are sent as the SDK does."""
    data = {"inline_data": {"mime_type": "image/png", "data": b"\x00\x01"}}
    for message in (
        {"role": "user", "content": [{"type": "text", "text": "What?"}, data]},
        {"role": "user", "parts": [{"text": "What?"}, data]},
    ):
        (content,) = sent(vendor, "google", [message])["contents"]
        assert content["parts"][0] == {"text": "What?"}
        sent_data = content["parts"][1]["inlineData"]
        assert sent_data["data"] == "AAE="
        assert (sent_data.get("mimeType") or sent_data["mime_type"]) == "image/png"  # the API takes both


@pytest.mark.usefixtures("store")
def test_cache_control_of_the_system(vendor: Vendor) -> None:
    """Blocks of the system's stay blocks, beside texts; twice a system is refused."""
    body = sent(
        vendor, "anthropic", [{"role": "system", "content": "One."}, {"role": "system", "content": [CACHED]}, ASKED]
    )
    assert body["system"] == [{"type": "text", "text": "One."}, CACHED]
    with pytest.raises(Invalid, match="so has the prompt"):
        sent(vendor, "anthropic", TURN, options={"system": [CACHED]})


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("kind", "message", "words"),
    [
        ("anthropic", {"role": "user", "name": "ann", "content": "Hi"}, "knows no name"),
        ("anthropic", {"role": "user", "cache_control": {}, "content": "Hi"}, "knows no cache_control"),
        ("anthropic", {"role": "model", "content": "Hi"}, "no role 'model'"),
        ("google", {"role": "user", "name": "ann", "content": "Hi"}, "knows no name"),
        ("google", {"role": "user", "content": [PICTURE]}, "not what Google's API takes"),
        ("google", {"role": "tool", "tool_call_id": "none", "content": "x"}, "names no tool call"),
        ("openai", {"role": "model", "content": "Hi"}, "no role 'model'"),
        ("openai", {"role": "user", "content": None}, "must have a content"),
        ("openai", {"role": "assistant"}, "or tool calls"),
        ("openai", {"role": "user", "content": 7}, "a text or a list"),
        ("openai", {"role": "user", "content": [{"text": ...}]}, "JSON cannot hold"),
        ("openai", {"role": "user", "content": [{"type": "text", "text": "\ud83d"}]}, "half a character"),
    ],
    ids=str,
)
def test_what_has_no_place_is_refused(vendor: Vendor, kind: str, message: dict[str, Any], words: str) -> None:
    """Never dropped: the field is the prompt, and the words say what it is; nothing is sent."""
    with pytest.raises(Invalid) as caught:
        ai.complete([ASKED, message], provider=kind)

    assert words in caught.value.fields["prompt"]
    assert vendor.asked == []


def test_the_sdks_own_objects(store: str, vendor: Vendor) -> None:
    """A message of an answer, and blocks of one, as programs append them; the log has them as JSON."""
    done = ai.complete("Hello")
    body = sent(vendor, "openai", [ASKED, done.raw.choices[0].message, ASKED])
    assert body["messages"][1] == {"role": "assistant", "content": done.text}

    done = ai.complete("Hello", provider="anthropic")
    body = sent(vendor, "anthropic", [ASKED, {"role": "assistant", "content": done.raw.content}, ASKED])
    assert body["messages"][1]["content"][0]["text"] == done.text
    assert "How is the weather" in logged(store)[-1]["prompt"]


class Person(BaseModel):
    """What is asked for."""

    name: str
    age: int | None = None


@pytest.mark.usefixtures("store")
def test_response_format(vendor: Vendor) -> None:
    """A pydantic class goes out as each vendor's schema; `parsed` is an object of it, or says why not."""
    body = sent(vendor, "openai", "Who?", response_format=Person)
    schema = body["response_format"]["json_schema"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["name", "age"], False)
    assert body["response_format"]["json_schema"]["strict"] is True
    body = sent(vendor, "google", "Who?", response_format=Person)["generationConfig"]
    assert body["responseMimeType"] == "application/json"
    assert "name" in json.dumps(body)
    body = sent(vendor, "anthropic", "Who?", response_format=Person)
    assert body["output_config"]["format"]["schema"]["required"] == ["name", "age"]
    low = {"output_config": {"effort": "low"}}
    body = sent(vendor, "anthropic", "Who?", response_format=Person, options=low)
    assert (body["output_config"]["effort"], "format" in body["output_config"]) == ("low", True)
    with pytest.raises(Invalid, match="which response_format stands for"):
        sent(vendor, "openai", "Who?", response_format=Person, options={"response_format": {"type": "json_object"}})

    def answer(text: str | None, refusal: str | None = None) -> Status:
        message = {"role": "assistant", "content": text, "refusal": refusal}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return Status(
            200, {}, {"id": "c", "object": "chat.completion", "created": 1, "model": "m1", "choices": [choice]}
        )

    vendor.fail(answer('{"name": "Ann", "age": 7}'), answer('{"name": '), answer(None, "No."))
    assert ai.complete("Who?", response_format=Person).parsed == Person(name="Ann", age=7)
    with pytest.raises(Invalid, match="is no Person"):
        _ = ai.complete("Who?", response_format=Person).parsed
    assert ai.complete("Who?", response_format=Person).parsed is None
    assert ai.complete("Who?").parsed is None


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (b"Hi", "must be a text, or messages"),
        ("half \ud83d a character", "half a character"),
        ([{"role": "system", "content": "x"}, {"role": "developer", "content": "y"}], "not the system's"),
        ([ASKED, "Hi"], "message 1: must be a mapping with a role"),
        ([{"role": "robot", "content": "x"}], "message 0: must be a mapping with a role"),
        ([{"content": "x"}], "message 0: must be a mapping with a role"),
        ([{"role": "tool", "content": None}], "must have a content: a text"),
        ([{"role": "user", "tool_calls": CALLS}], "must have a content: a text"),
        ([{"role": "user", "parts": []}], "must have a content, or tool calls"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], "must have a content, or tool calls"),
        ([{"role": "assistant", "content": {"text": "x"}}], "a text or a list"),
        ([{"role": "user", "content": [{"x": float}]}], "JSON cannot hold"),
    ],
    ids=range(12),
)
def test_what_is_no_prompt(prompt: Any, words: str) -> None:
    """The message is named by its place, with the rule."""
    with pytest.raises(Invalid) as caught:
        read_prompt(prompt)

    assert words in caught.value.fields["prompt"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": ""},
        {"role": "user", "content": ({"type": "text", "text": "x"},)},
        {"role": "user", "content": [b"bytes", Person(name="Ann")]},
        {"role": "model", "parts": [{"text": "x"}]},
        *({"role": "assistant", name: ["x"]} for name in ("tool_calls", "function_call", "refusal", "audio")),
        {"role": "function", "name": "f", "content": "7"},
    ],
    ids=range(9),
)
def test_what_is_a_message(message: dict[str, Any]) -> None:
    """It is handed on as it is, in a tuple as well as in a list; of text or of what stands in its place."""
    assert read_prompt((message,)) == [message]
    assert read_prompt([{"role": "system", "content": "x"}, message])[1] == message


class Said(BaseModel):
    """A message as SDKs have them."""

    role: str
    content: str
    name: str | None = None


def test_a_text_and_an_object_are_messages() -> None:
    """Of an object what it has; None stands for nothing."""
    assert read_prompt("Hi") == [{"role": "user", "content": "Hi"}]
    assert read_prompt([Said(role="user", content="Hi")]) == [{"role": "user", "content": "Hi"}]
