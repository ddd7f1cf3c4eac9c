"""Personal data in calls: what the vendor, the log, the database and errors have of it, and what the caller gets back."""

import json
import traceback
from typing import Any

import psycopg
import pytest
from psycopg import sql

from core import ai, logs
from core.errors import PersonalData
from core.privacy.placeholders import Placeholders
from core.privacy.streaming import Masking
from tests.calls import WAYS, logged, settle, spent
from tests.conftest import run_async
from tests.vendors import Script, Status, Vendor

pytest_plugins = ["tests.calls"]

CANARIES = {
    "EMAIL": "canary.anna@example.com",
    "CARD": "4111 1111 1111 1111",
    "IBAN": "DE12 5001 0517 0648 4898 90",
    "IP": "81.2.69.160",
    "PHONE": "+49 30 901820",
    "ID": "44051401359",
    "SECRET": "Hunter2!canary",
    "STAFF": "EMP-123456",
}
PROMPT = "Mail {EMAIL}, card {CARD}, IBAN {IBAN}, host {IP}, call {PHONE}, PESEL {ID}, my password is {SECRET}, {STAFF}.".format(
    **CANARIES
)
ANSWER = "So <EMAIL_1>, <CARD_1>, <IBAN_1>, <IP_1>, <PHONE_1>, <ID_1>, <SECRET_1>, <STAFF_1>; not <EMAIL_7>."
RESTORED = "So {EMAIL}, {CARD}, {IBAN}, {IP}, {PHONE}, {ID}, {SECRET}, {STAFF}; not <EMAIL_7>.".format(**CANARIES)
STAFF = [{"name": "STAFF", "pattern": r"\bEMP-\d{6}\b", "matches": "EMP-123456", "spares": "EMP"}]


def say(url: str, **rules: Any) -> None:
    """Have these rules be in force everywhere."""
    rules = {"countries": ["PL", "DE"], "patterns": STAFF, **rules}
    values = [json.dumps(value) if isinstance(value, list) else value for value in rules.values()]
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM llm_pii_settings")
        connection.execute(
            f"INSERT INTO llm_pii_settings ({', '.join(rules)}) VALUES ({', '.join(['%s'] * len(rules))})", values
        )
    settle()


def answers(vendor: Vendor, text: str, *, streams: bool, tools: Any = None, size: int = 4) -> None:
    """Have the vendor answer so."""
    frame = {"id": "c", "created": 1, "model": "m1"}
    if not streams:
        message = {"role": "assistant", "content": text, "tool_calls": tools, "reasoning_content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        vendor.fail(Status(200, body={**frame, "object": "chat.completion", "choices": [choice]}))
        return
    parts = [{"content": text[at : at + size]} for at in range(0, len(text), size)]
    deltas = [*((part, None) for part in parts), ({}, "stop")]
    events = [
        {**frame, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    vendor.fail(Script((*(f"data: {json.dumps(event)}\n\n" for event in events), "data: [DONE]\n\n")))


def hits(text: str) -> list[str]:
    """Which canaries stand in a text."""
    return [kind for kind, value in CANARIES.items() if value in text or value in json.dumps(text)]


@pytest.mark.parametrize("way", WAYS)
def test_no_canary_leaves_and_all_come_back(store: str, vendor: Vendor, way: str) -> None:
    """To the vendor, the log and a dump go placeholders; the caller has the values again, streamed too."""
    say(store, prompts="mask")
    answers(vendor, ANSWER, streams="stream" in way)
    tools = [{"type": "function", "function": {"name": "f", "description": PROMPT}}]
    prompt = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
    ]
    done = WAYS[way](
        prompt, provider="openai", options={"user": CANARIES["EMAIL"], "tools": tools}, user_id=CANARIES["EMAIL"]
    )
    assert done.text == RESTORED
    assert done.reasoning in (None, RESTORED)
    (asked,) = vendor.calls()
    assert hits(json.dumps(asked.body, ensure_ascii=False)) == []
    assert (asked.body["user"], asked.body["messages"][0]["content"]) == ("<EMAIL_1>", "Be brief.")
    (row,) = logged(store)
    assert hits(str(row)) == []
    assert (row["response"], row["pii"]) == (ANSWER, dict.fromkeys(CANARIES, 1))
    assert row["user_id"].startswith("<EMAIL:")
    assert prompt[1]["content"][0]["text"] == PROMPT  # type: ignore[index]
    if way == "sync":
        with psycopg.connect(store) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            query = "SELECT coalesce(string_agg(t::text, ' '), '') FROM {} t"
            dump = {
                name: str(connection.execute(sql.SQL(query).format(sql.Identifier(name))).fetchone())
                for (name,) in tables
            }
        assert ANSWER in dump["llm_logs"]
        assert {name for name, text in dump.items() if hits(text)} == {"llm_pii_settings", "settings_history"}, (
            "the example of the pattern alone"
        )
        assert hits(dump["llm_pii_settings"] + dump["settings_history"]) == ["STAFF"]


def test_what_tools_are_called_with_comes_back_as_json(store: str, vendor: Vendor) -> None:
    own = [{"name": "QUOTED", "pattern": r'"[a-z]+"', "matches": '"a"', "spares": "a"}]
    say(store, prompts="mask", patterns=own)
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"to": "<QUOTED_1> <EMAIL_1>"}'}}
    answers(vendor, "", streams=False, tools=[call])
    done = ai.complete(f'to "anna" of {CANARIES["EMAIL"]}', provider="openai")
    assert done.tool_calls[0].input == {"to": f'"anna" {CANARIES["EMAIL"]}'}


@pytest.mark.parametrize("way", WAYS)
def test_refused_before_anything_is_sent(store: str, vendor: Vendor, way: str) -> None:
    say(store, prompts="refuse")
    with pytest.raises(PersonalData) as refused:
        ai_error(way)
    assert refused.value.counts == dict.fromkeys(CANARIES, 1)
    said = "".join(traceback.format_exception(refused.value))
    assert hits(said + repr(refused.value.args)) == []
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    (row,) = logged(store)
    assert (row["status"], row["prompt"], row["response"], row["attempts"]) == ("error", None, None, 0)
    assert hits(str(row)) == []
    assert (vendor.calls(), spent(store)) == ([], [])


def ai_error(way: str) -> None:
    """Call so, though nothing comes."""
    if way == "stream":
        list(ai.stream(PROMPT, provider="openai"))
    elif way == "async":
        run_async(ai.complete_async(PROMPT, provider="openai"))
    elif way == "sync":
        ai.embed([PROMPT], provider="openai")
    else:

        async def read() -> None:
            async for _ in ai.stream_async(PROMPT, provider="openai"):
                pass

        run_async(read())


def test_what_cannot_be_searched(store: str, vendor: Vendor) -> None:
    """It is refused, or sent as it is; the log has it never."""
    say(store, prompts="mask", logs="off", engine="no such engine")
    with pytest.raises(PersonalData, match="could not be searched"):
        ai.complete(PROMPT, provider="openai")
    assert vendor.calls() == []
    say(store, prompts="mask", logs="off", engine="no such engine", on_failure="send")
    ai.complete(PROMPT, provider="openai")
    assert len(vendor.calls()) == 1
    assert hits(str(logged(store))) == []


@pytest.mark.parametrize("way", ["sync", "stream", "stream_async"])
def test_what_a_vendor_writes_is_masked(store: str, vendor: Vendor, way: str) -> None:
    """The caller has their own value again, and placeholders for the vendor's."""
    say(store, prompts="mask", answers="mask")
    theirs = "Ask bob@example.org, he is in. Or <EMAIL_1> at 4111 1111 1111 1111!\nBob"
    answers(vendor, theirs, streams="stream" in way)
    done = WAYS[way](f"I am {CANARIES['EMAIL']}", provider="openai")
    assert done.text == f"Ask <EMAIL_2>, he is in. Or {CANARIES['EMAIL']} at <CARD_1>!\nBob"
    assert done.raw is None
    assert logs.flush(10)


def test_a_masked_stream_gives_no_half_value_wherever_it_is_cut() -> None:
    text = "Hello. Write to anna@example.com now. " + "word " * 150 + "or +49 30 901820, or bob@example.org\nBye"
    for size in (1, 3, 7, 50, len(text)):
        placeholders = Placeholders()
        masking = Masking(placeholders)
        made = [masking.feed(text[at : at + size]) for at in range(0, len(text), size)]
        made.append(masking.end())
        assert "".join(made) == Placeholders().mask(text)


def test_nothing_is_done_where_nothing_is_asked_for(store: str, vendor: Vendor) -> None:
    answers(vendor, ANSWER, streams=False)
    done = ai.complete(PROMPT, provider="openai")
    assert done.text == ANSWER
    assert len(hits(json.dumps(vendor.calls()[0].body, ensure_ascii=False))) == len(CANARIES)
    assert hits(str(logged(store))) == ["ID", "STAFF"], "without a country and a pattern"
