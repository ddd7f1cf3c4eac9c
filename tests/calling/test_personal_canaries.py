"""Personal data of each type through real calls of each kind and way: nobody but the caller has it, in any form."""

import json
import logging
import subprocess
import traceback
from typing import Any, Final

import pytest
from pydantic import BaseModel

from core.errors import CallFailed, Invalid
from core.kinds import KINDS
from core.postgres.processes import programs
from tests.calling.test_guarded_calls import CANARIES, PROMPT, say
from tests.calls import WAYS, logged
from tests.canaries import forms
from tests.vendors import Echo, Script, Status, Vendor

pytest_plugins = ["tests.calls"]

STAFF: Final = [{"name": "STAFF", "pattern": r"\bEMP-\d{6}\b", "matches": "EMP-000001", "spares": "EMP"}]
"""Its example is no canary: settings are in the dump, as they have to be."""
ANSWER: Final = " ".join(f"<{kind}_1>" for kind in CANARIES) + " and <EMAIL_7>"
RESTORED: Final = " ".join(CANARIES.values()) + " and <EMAIL_7>"
TURN: Final[list[Any]] = [
    {"role": "system", "content": f"You help {CANARIES['EMAIL']}."},
    {"role": "user", "content": PROMPT},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "find", "arguments": json.dumps({"of": PROMPT, "more": [CANARIES["IBAN"]]})},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"found": PROMPT})},
    {"role": "user", "content": [{"type": "text", "text": f"Again, {PROMPT}"}]},
]
"""A conversation with everything in it, in the form that all kinds take."""


class Found(BaseModel):
    """What an answer is asked for as."""

    who: str
    others: list[str]


class Number(BaseModel):
    """What an answer of ours is not."""

    who: int


def hits(text: str) -> set[str]:
    """Which canaries stand in a text, in whatever form."""
    return {kind for kind, value in CANARIES.items() if any(form in text for form in forms(value))}


def said(error: BaseException) -> str:
    """Everything that an error says, and all that led to it, hidden or not."""
    chain: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        if (one := todo.pop()) is not None and one not in chain:
            chain.append(one)
            todo += (one.__cause__, one.__context__)
    told = [[str(one), repr(one), repr(one.args), repr(vars(one)), *traceback.format_exception(one)] for one in chain]
    return "\n".join(line for lines in told for line in lines)


def dumped(url: str) -> str:
    """The whole database as pg_dump writes it."""
    command = [programs() / "pg_dump", "--inserts", f"--dbname={url}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def says(vendor: Vendor, kind: str, text: str, *, streams: bool = False, of_tool: str = "", size: int = 5) -> None:
    """Have the vendor answer so, in its own protocol, a tool's call with this JSON among it; a stream cut anywhere."""
    making = {"anthropic": _anthropic, "google": _google}.get(kind, _openai)
    cut = [text[at : at + size] for at in range(0, len(text), size)] if streams else [text]
    whole, events = making(cut, of_tool, size)
    if not streams:
        vendor.fail(Status(200, body=whole))
        return
    named = kind == "anthropic"
    lines = [(f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events]
    vendor.fail(Script((*lines, *([] if named or kind == "google" else ["data: [DONE]\n\n"]))))


def _openai(cut: list[str], of_tool: str, size: int) -> tuple[Any, list[Any]]:
    frame = {"id": "c", "created": 1, "model": "m1"}
    call = {"id": "call_2", "type": "function", "index": 0}
    calls = [{**call, "function": {"name": "find", "arguments": of_tool}}] if of_tool else None
    message = {"role": "assistant", "content": "".join(cut), "tool_calls": calls, "reasoning_content": "".join(cut)}
    whole = {**frame, "object": "chat.completion"}
    whole["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    deltas: list[Any] = [{"content": part, "reasoning_content": part} for part in cut]
    for at in range(0, len(of_tool), size):
        function = {"name": None if at else "find", "arguments": of_tool[at : at + size]}
        deltas.append({"tool_calls": [{**call, "id": None if at else "call_2", "function": function}]})
    chunk = {**frame, "object": "chat.completion.chunk"}
    events: list[Any] = [{**chunk, "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
    return whole, [*events, {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


def _anthropic(cut: list[str], of_tool: str, size: int) -> tuple[Any, list[Any]]:
    used = {"input_tokens": 1, "output_tokens": 1}
    frame = {"id": "msg", "type": "message", "role": "assistant", "model": "m1", "stop_sequence": None, "usage": used}
    use = {"type": "tool_use", "id": "toolu_2", "name": "find"}
    blocks: list[Any] = [{"type": "text", "text": "".join(cut)}]
    if of_tool:
        blocks.append({**use, "input": json.loads(of_tool)})
    events: list[Any] = [{"type": "message_start", "message": {**frame, "content": [], "stop_reason": None}}]
    for place, block in enumerate(blocks):
        is_text = block["type"] == "text"
        pieces = cut if is_text else [of_tool[at : at + size] for at in range(0, len(of_tool), size)]
        begin = {"type": "text", "text": ""} if is_text else {**use, "input": {}}
        events.append({"type": "content_block_start", "index": place, "content_block": begin})
        for piece in pieces:
            delta = {"type": "text_delta", "text": piece}
            delta = delta if is_text else {"type": "input_json_delta", "partial_json": piece}
            events.append({"type": "content_block_delta", "index": place, "delta": delta})
        events.append({"type": "content_block_stop", "index": place})
    stopped = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": used}
    return {**frame, "content": blocks, "stop_reason": "end_turn"}, [*events, stopped, {"type": "message_stop"}]


def _google(cut: list[str], of_tool: str, size: int) -> tuple[Any, list[Any]]:
    def piece(parts: list[Any], finish: str | None = None) -> Any:
        candidate = {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": finish}
        return {"candidates": [candidate], "modelVersion": "m1"}

    assert size
    tools = [{"functionCall": {"name": "find", "args": json.loads(of_tool)}}] if of_tool else []
    texts = [{"text": text} for text in cut]
    return piece([*texts, *tools], "STOP"), [*(piece([text]) for text in texts), piece(tools, "STOP")]


def arrived(vendor: Vendor) -> str:
    """All that has come to the vendor: lines, headers and bodies."""
    return json.dumps(
        [(asked.method, asked.path, asked.headers, asked.body) for asked in vendor.asked], ensure_ascii=False
    )


TOOLS: Final[dict[str, Any]] = {
    "openai": [{"type": "function", "function": {"name": "find", "description": PROMPT}}],
    "anthropic": [
        {
            "name": "find",
            "description": PROMPT,
            "input_schema": {"type": "object", "properties": {"of": {"enum": [CANARIES["EMAIL"]]}}},
        }
    ],
    "google": [{"function_declarations": [{"name": "find", "description": PROMPT}]}],
}
TOOL_SAYS: Final = json.dumps({"to": ANSWER, "in": [{"deep": "<SECRET_1>"}]})
TOOL_HAS: Final = {"to": RESTORED, "in": [{"deep": CANARIES["SECRET"]}]}


@pytest.mark.parametrize(
    "kind", [kind if kind in TOOLS else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS]
)
def test_nobody_else_has_it(store: str, vendor: Vendor, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each way of asking: not the vendor, log, a dump, what programs log, nor errors; the caller has all of it back."""
    caplog.set_level(logging.DEBUG)
    say(store, prompts="mask", patterns=STAFF)
    how: dict[str, Any] = {"provider": kind, "user_id": CANARIES["EMAIL"], "tags": [CANARIES["IP"]]}
    how["options"] = {"tools": TOOLS.get(kind, TOOLS["openai"])}
    for way, ask in WAYS.items():
        says(vendor, kind, ANSWER, streams="stream" in way, of_tool=TOOL_SAYS)
        done = ask(TURN, **how)
        assert (done.text, done.tool_calls[0].input) == (RESTORED, TOOL_HAS), way
        assert done.reasoning in (None, RESTORED)
        assert hits(repr(done.raw)) == set()
        says(vendor, kind, json.dumps({"who": "<EMAIL_1>", "others": [ANSWER]}), streams="stream" in way)
        done = ask(TURN, response_format=Found, **how)
        assert done.parsed == Found(who=CANARIES["EMAIL"], others=[RESTORED]), way
        says(vendor, kind, json.dumps({"who": "<EMAIL_1>"}), streams="stream" in way)
        with pytest.raises(Invalid) as wrong:
            _ = ask(TURN, response_format=Number, **how).parsed
        assert hits(said(wrong.value)) == set()
        vendor.fail(*[Echo(400 if "async" in way else 500)] * 3)
        before = len(vendor.calls())
        with pytest.raises(CallFailed, match="I take no") as failed:
            ask(TURN, **how)
        assert hits(said(failed.value)) == set()
        attempts = [
            (call.path, str(call.body).replace("'stream_options': {'include_usage': True}, ", ""))
            for call in vendor.calls()[before:]
        ]
        assert len(set(attempts)) == 1, "each attempt has the same numbers"
        vendor.serve()
    asked = arrived(vendor)
    assert hits(asked) == set()
    assert all(f"<{name}_1>" in asked for name in CANARIES)
    rows = logged(store)
    assert len(rows) == len(WAYS) * 4
    assert hits(str(rows)) == set()
    assert hits(dumped(store)) == set()
    assert hits("\n".join(f"{one.getMessage()} {one.args!r} {one.exc_text}" for one in caplog.records)) == set()
