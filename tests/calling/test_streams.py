"""How long a stream may take: the silence between two parts, the whole, and the reader's own time, which is nobody's."""

import gc
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from core import ai, kinds
from core.calling.clients import clients
from core.config import get_config
from core.errors import CallFailed
from core.kinds import KINDS
from core.testing import override
from tests.calls import configure, logged
from tests.conftest import run_async
from tests.vendors import Script, Status, Vendor

pytest_plugins = ["tests.calls"]
HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m1"}


def part(text: str, finish: str | None = None) -> str:
    """A chunk on the wire."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return f"data: {json.dumps({**HEAD, 'choices': [choice]})}\n\n"


END = (part("", "stop"), "data: [DONE]\n\n")


def read(way: str, *, pause: float = 0, **how: Any) -> tuple[list[str], ai.Completion | None]:
    """Read a stream with a pause of the reader's after each part."""
    if way == "stream":
        parts = ai.stream("Hello", **how)
        came = []
        for text in parts:
            came.append(text)
            time.sleep(pause)
        return came, parts.completion

    async def go() -> tuple[list[str], ai.Completion | None]:
        parts = ai.stream_async("Hello", **how)
        came = []
        async for text in parts:
            came.append(text)
            time.sleep(pause)  # noqa: ASYNC251 - a reader that is slow, and holds the loop up too
        return came, parts.completion

    return run_async(go())


WAYS = ("stream", "stream_async")


@pytest.mark.long
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_a_slow_reader_is_no_fault_of_the_vendor(vendor: Vendor, way: str) -> None:
    """All parts are in the socket at once; the reader takes twice the timeout, and more than the deadline, for them."""
    configure(request_timeout_ms=1000, max_retries=0)
    vendor.fail(Script((*[part("x" * 300)] * 200, *END)))

    came, done = read(way, pause=0.01, deadline=1.5)

    assert len(came) == 200
    assert done is not None
    assert done.latency_ms < 1500


@pytest.mark.usefixtures("store")
def test_a_stream_goes_on_when_its_client_makes_room(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of another organisation takes its place in the middle; what is left of the stream comes by the same connection."""
    configure(max_retries=0)
    monkeypatch.setenv("LLM_CLIENTS", "1")
    get_config.cache_clear()
    vendor.fail(Script((*[part("x" * 300)] * 200, *END)))
    parts = ai.stream("Hello")
    each = iter(parts)
    came = [next(each)]
    (http,) = (client.http for client in clients.shared.values())
    other = override(
        "acme", kind="openai_compatible", base_url="http://127.0.0.1:1/v1", api_key="sk-another-0123456789"
    )

    clients.get(other.settings, "sk-another-0123456789")

    assert [wanted.key for wanted in clients.shared] == ["sk-another-0123456789"]
    assert not http.is_closed
    came += each
    assert len(came) == 200
    assert parts.completion is not None
    del parts, each
    gc.collect()
    assert http.is_closed


@pytest.mark.kill  # it takes seconds
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_a_steady_stream_passes(vendor: Vendor, way: str) -> None:
    """A part each 0.4 s, for three times the request timeout: the timeout is for the silence, not for the whole."""
    configure(request_timeout_ms=1000, max_retries=0)
    vendor.fail(Script((*[part("x"), 0.4] * 8, *END)))

    came, done = read(way)

    assert len(came) == 8
    assert done is not None
    assert done.latency_ms > 3000


@pytest.mark.kill  # it takes seconds
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_a_line_that_says_still_there_ends_the_silence(vendor: Vendor, way: str) -> None:
    """Gateways send comments while a model thinks; a byte now and then, which is no line, is silence."""
    configure(request_timeout_ms=1000, max_retries=0)
    vendor.fail(Script((*[": still there\n\n", 0.5] * 5, part("x"), *END)))
    assert read(way)[0] == ["x"]

    vendor.fail(Script((part("x"), *[":", 0.3] * 20)))
    began = time.monotonic()
    with pytest.raises(CallFailed) as caught:
        read(way)

    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 1 + 2


@pytest.mark.kill  # it takes seconds
@pytest.mark.parametrize("way", WAYS)
def test_silence_ends_a_stream(store: str, vendor: Vendor, way: str) -> None:
    """Longer than the request timeout without a part: it fails, and the log has what came."""
    configure(request_timeout_ms=1000, max_retries=2)
    vendor.fail(Script((part("x"), 5.0, *END)))
    began = time.monotonic()

    with pytest.raises(CallFailed) as caught:
        read(way)

    assert 0.9 < time.monotonic() - began < 1 + 2
    assert (caught.value.reason, caught.value.attempts) == ("timeout", 1)
    assert [(row["status"], row["response"]) for row in logged(store)] == [("error", "x")]


@pytest.mark.kill  # it takes seconds
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_the_deadline_is_for_the_whole(vendor: Vendor, way: str) -> None:
    """However steadily the parts come."""
    configure(request_timeout_ms=10_000, max_retries=0)
    vendor.fail(Script((*[part("x"), 0.2] * 40, *END)))
    began = time.monotonic()

    with pytest.raises(CallFailed) as caught:
        read(way, deadline=1)

    assert 0.9 < time.monotonic() - began < 1 + 2
    assert caught.value.reason == "timeout"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [1, 5, 12, 14])
def test_the_mark_of_the_end_may_come_in_two(vendor: Vendor, way: str, cut: int) -> None:
    """A server that gives no reason, and ends by [DONE], has ended, however the bytes are cut; a text that has it has not."""
    mark = "data: [DONE]\n\n"
    vendor.fail(Script((part("data: [DONE]"), 0.05, mark[:cut], 0.05, mark[cut:])))
    assert read(way)[0] == ["data: [DONE]"]

    vendor.fail(Script((part("data: [DONE]"),)))
    with pytest.raises(CallFailed, match="broke off"):
        read(way)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_refuses_stream_options(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, kind: str, way: str, *, usage: bool
) -> None:
    """It is never asked with them, but where a call names them itself; the others are, if they speak OpenAI's protocol."""
    monkeypatch.setattr(kinds, "KINDS", {**KINDS, kind: replace(KINDS[kind], stream_usage=usage)})

    done = read(way, provider=kind)[1]

    asked = usage and KINDS[kind].sdk == "openai"
    assert done is not None
    assert done.attempts == 1
    assert [one.body.get("stream_options") for one in vendor.calls()] == [{"include_usage": True} if asked else None]
    if KINDS[kind].sdk == "openai":
        read(way, provider=kind, options={"stream_options": {"include_usage": False}})
        assert vendor.asked[-1].body["stream_options"] == {"include_usage": False}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_stream_options_where_they_are_refused(vendor: Vendor, way: str) -> None:
    """A server that refuses them is asked once more without, which is no retry; None leaves them out at once."""
    configure(max_retries=0)
    words = {"error": {"message": "Extra inputs are not permitted: stream_options", "type": "invalid_request_error"}}
    vendor.fail(Status(400, {}, words))

    came, done = read(way, provider="openai_compatible")

    assert "".join(came) == "Hello from the model"
    assert done is not None
    assert done.attempts == 2
    assert [asked.body.get("stream_options") for asked in vendor.asked] == [{"include_usage": True}, None]

    read(way, provider="openai_compatible", options={"stream_options": None})
    assert "stream_options" not in vendor.asked[-1].body

    vendor.fail(Status(400, {}, words), Status(400, {}, words))
    with pytest.raises(CallFailed) as caught:
        read(way, provider="openai_compatible")
    assert (caught.value.reason, caught.value.attempts) == ("refused", 2)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_comments_between_events_with_ids(vendor: Vendor, way: str) -> None:
    """A gateway that numbers its events and sends comments in between (openai/openai-python#2722, llmgateway#2334)."""
    vendor.fail(Script(("id: 1\n" + part("x"), ": ping\n\n", "id: 2\n" + part("y"), ": ping\n\n", *END)))

    assert read(way)[0] == ["x", "y"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
def test_a_comment_sent_as_data(vendor: Vendor, way: str) -> None:
    """A gateway that breaks the protocol (mnfst/llm-gateway#2053) is not understood, in one sentence and one attempt."""
    vendor.fail(Script(("data: : OPENROUTER PROCESSING\n\n", part("x"), *END)))

    with pytest.raises(CallFailed) as caught:
        read(way)

    assert (caught.value.reason, caught.value.attempts) == ("not_understood", 1)
    assert "OPENROUTER PROCESSING" in caught.value.words
