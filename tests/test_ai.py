"""Calls that obey the settings: the real SDKs, each kind in each way, against a real server that can fail."""

import asyncio
import email.utils
import json
import re
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import ai, resolve
from core.actors import COMMAND_LINE
from core.calling import clients, sent
from core.calling.adapters import ADAPTERS
from core.calling.vendors import Tokens
from core.config import get_config
from core.errors import (
    ApiKeyUnavailable,
    CallFailed,
    Invalid,
    KeyMissing,
    KeyNotReadable,
    KeyOutOfReach,
    ModelMissing,
    ProviderInactive,
    ProviderMissing,
)
from core.kinds import KINDS
from core.manage import providers
from core.parameters import SENDABLE
from core.resolve import Resolver
from core.store import db
from core.testing import override
from tests.calls import WAYS, are_gone, configure, logged, settle
from tests.clusters import soon
from tests.conftest import ROOT, run_async
from tests.processes import python
from tests.vendors import FAULTS, KEY, TEXT, Status, Vendor, make_certificate, unused

VENDORS = ("openai", "anthropic", "google")
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "One."},
    {"role": "user", "content": "Two?"},
]


pytest_plugins = ["tests.calls"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_way(store: str, vendor: Vendor, kind: str, way: str) -> None:
    """Text, tokens, reason, attempts and generation; and the row in the log."""
    done = WAYS[way]("Say hello.", provider=kind, user_id=42)

    assert (done.text, done.usage, done.attempts) == (TEXT, Tokens(12, 9, 4), 1)
    assert done.finish_reason == {"anthropic": "end_turn", "google": "STOP"}.get(kind, "stop")
    assert (done.provider, done.model, done.cost) == (kind, "m1", None)
    assert done.generation == resolve.resolver.generation
    assert len(vendor.asked) == 1
    (row,) = logged(store)
    told = ("user_id", "provider", "model", "status", "attempts", "prompt", "response", "error", "input_tokens", "cost")
    assert [row[name] for name in told] == ["42", kind, "m1", "ok", 1, "Say hello.", TEXT, None, 12, None]
    assert row["generation"] == done.generation
    assert row["token_usage"] == {"input": 12, "output": 9, "cache_read": 4, "cache_write": 0}
    assert row["parameters"]["model"] == "m1"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_without_a_key(store: str, vendor: Vendor, kind: str, way: str) -> None:
    """A provider that needs no key is called by each SDK, with the word that stands for none, which is no secret."""
    vendor.keys[:] = ["not-needed"]
    with db.transaction() as session:
        made = providers.get_by_name(session, kind)
        providers.remove_api_key(session, COMMAND_LINE, made.id or 0)
        providers.update(session, COMMAND_LINE, made.id or 0, {"needs_key": False})
    settle()

    assert WAYS[way]("A key is not-needed here.", provider=kind).text == TEXT
    assert logged(store)[0]["prompt"] == "A key is not-needed here."


SENT = {
    "openai": {"temperature": 0.0, "max_completion_tokens": 77, "presence_penalty": 0.5},
    "azure_openai": {"temperature": 0.0, "max_completion_tokens": 77, "presence_penalty": 0.5},
    "openai_compatible": {"temperature": 0.0, "max_tokens": 77, "presence_penalty": 0.5},
    "anthropic": {"temperature": 0.0, "max_tokens": 77},
    "google": {"temperature": 0.0, "maxOutputTokens": 77, "presencePenalty": 0.5},
}
"""What goes over the wire of temperature 0, max_tokens 77 and presence_penalty 0.5; top_p and frequency_penalty are omitted."""
NEITHER = ("top_p", "topP", "frequency_penalty", "frequencyPenalty")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent(vendor: Vendor, kind: str, way: str) -> None:
    """Each kind's own names; an explicit 0 is sent, what is omitted is not, messages and options arrive."""
    configure(
        kind, temperature=0, max_tokens=77, presence_penalty=0.5, omitted_parameters=["top_p", "frequency_penalty"]
    )

    done = WAYS[way](CHAT, provider=kind, options={"seed": 7} if kind == "google" else {"some_new_field": [1]})

    (asked,) = vendor.asked
    body = asked.body
    sent = body["generationConfig"] if kind == "google" else body
    assert {name: sent[name] for name in SENT[kind]} == SENT[kind]
    assert not [name for name in NEITHER if name in sent]
    assert done.not_sent == (("presence_penalty",) if kind == "anthropic" else ())
    if kind == "google":
        assert [part["role"] for part in body["contents"]] == ["user", "model", "user"]
        assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
        assert sent["seed"] == 7
        assert asked.headers["x-goog-api-key"] == KEY
    else:
        talk = CHAT[1:] if kind == "anthropic" else CHAT
        assert body["messages"] == talk
        assert body["some_new_field"] == [1]
        assert body.get("system") == ("Be brief." if kind == "anthropic" else None)
        key = {"azure_openai": ("api-key", KEY)}.get(kind, ("authorization", f"Bearer {KEY}"))
        assert key in asked.headers.items()


@pytest.mark.usefixtures("store")
def test_needed_though_omitted(vendor: Vendor) -> None:
    """Anthropic's API takes no request without max_tokens: it is sent even where it is omitted."""
    configure("anthropic", omitted_parameters=["max_tokens", "temperature"])

    ai.complete("Hello", provider="anthropic")

    assert vendor.asked[0].body["max_tokens"] == 2000
    assert "temperature" not in vendor.asked[0].body


ELSEWHERE = {
    **{f"{name}_BASE_URL": "http://127.0.0.1:1" for name in ("OPENAI", "ANTHROPIC", "GOOGLE_GEMINI", "GEMINI")},
    **{f"{name}_API_KEY": "sk-of-the-environment" for name in ("OPENAI", "ANTHROPIC", "GOOGLE", "GEMINI")},
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1"),
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:1",
    "AZURE_OPENAI_AD_TOKEN": "token-of-the-environment",
    "OPENAI_API_VERSION": "env",
    "OPENAI_ORG_ID": "org-env",
    "OPENAI_PROJECT_ID": "proj-env",
    "ANTHROPIC_AUTH_TOKEN": "token-of-the-environment",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_CLOUD_PROJECT": "env",
    "GOOGLE_GENAI_API_VERSION": "env",
    "GOOGLE_GENAI_CLIENT_MODE": "record",
    **dict.fromkeys(
        ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"),
        "Authorization: Bearer sk-env\nx-api-key: sk-env\nx-env: env",
    ),
    "NO_PROXY": "",
}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_environment_decides_nothing(vendor: Vendor, kind: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 50: no base URL, key, account or proxy of the environment has any part in a call."""
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)

    assert WAYS[way]("Hello", provider=kind).text == TEXT

    said = f"{vendor.asked[0].path} {vendor.asked[0].headers}"
    assert KEY in said
    assert "env" not in said.replace("environment", "env")


# Retries


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", ["sync", "stream_async"])
@pytest.mark.parametrize("kind", VENDORS)
def test_retries_do_not_multiply(vendor: Vendor, kind: str, way: str) -> None:
    """max_retries 2: three requests and no more; the third may succeed. The waits double, with jitter."""
    vendor.fail(500, 429)

    done = WAYS[way]("Hello", provider=kind)

    first, second, third = (asked.at for asked in vendor.asked)
    assert done.attempts == 3
    assert 0.05 <= second - first < 0.1 + 2
    assert 0.1 <= third - second < 0.2 + 2
    vendor.fail(500, 500, 500, 500, 500)
    with pytest.raises(CallFailed) as caught:
        WAYS[way]("Hello", provider=kind)
    assert (caught.value.attempts, len(vendor.asked)) == (3, 6)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("kind", VENDORS)
def test_no_retries(vendor: Vendor, kind: str) -> None:
    """max_retries 0 is a value: one request."""
    configure(max_retries=0)
    vendor.fail(500)

    with pytest.raises(CallFailed):
        ai.complete("Hello", provider=kind)

    assert len(vendor.asked) == 1


def _http_date() -> str:
    return email.utils.formatdate(time.time() + 2, usegmt=True)


RETRY_INFO = {
    "error": {
        "code": 429,
        "message": "slow down",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.7s"}],
    }
}


@pytest.mark.kill  # they wait for seconds
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        (lambda: Status(429, {"retry-after": "0.7"}), 0.7, 1.7),
        (lambda: Status(503, {"retry-after": "1"}), 1.0, 2.0),
        (lambda: Status(429, {"retry-after-ms": "700", "retry-after": "9"}), 0.7, 1.7),
        (lambda: Status(429, {"retry-after": _http_date()}), 0.9, 3.0),  # of whole seconds
        (lambda: Status(429, {"retry-after": "soon"}), 0.05, 1.0),
        (lambda: Status(429, {"retry-after": "-5"}), 0.05, 1.0),
        (lambda: Status(429, {}, RETRY_INFO), 0.7, 1.7),
    ],
    ids=["seconds", "on 503", "milliseconds", "date", "nonsense", "the past", "RetryInfo"],
)
def test_retry_after(vendor: Vendor, fault: Any, least: float, most: float) -> None:
    """The vendor's wait is kept where it is longer than ours."""
    for kind in ("google",) if fault().body else VENDORS:  # RetryInfo is Google's
        vendor.fail(fault())

        ai.complete("Hello", provider=kind)

        first, second = (asked.at for asked in vendor.asked[-2:])
        assert least <= second - first <= most + 1, kind


@pytest.mark.usefixtures("store")
def test_retry_after_beyond_the_deadline(vendor: Vendor) -> None:
    """A wait that would end too late is not begun; the error says what was asked for."""
    vendor.fail(Status(429, {"retry-after": "60"}))
    began = time.monotonic()

    with pytest.raises(CallFailed) as caught:
        ai.complete("Hello", deadline=5)

    assert time.monotonic() - began < 3 * 5  # the deadline; the wait asked for is a minute
    assert (caught.value.retry_after, caught.value.attempts, caught.value.reason) == (60, 1, "rate_limit")


@pytest.mark.kill  # they take the whole deadline
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["silent", "drip_head", "drip_body"])
def test_one_deadline(vendor: Vendor, fault: str, way: str) -> None:
    """All attempts and waits together take no longer than the deadline, whatever the vendor does."""
    vendor.fail(*[fault] * 9)
    began = time.monotonic()

    with pytest.raises(CallFailed) as caught:
        WAYS[way]("Hello", deadline=1.5)

    assert time.monotonic() - began < 3 * 1.5
    assert caught.value.reason == "timeout"


@pytest.mark.usefixtures("store")
def test_timeout_of_each_attempt(vendor: Vendor) -> None:
    """request_timeout_ms is for one whole answer: the next attempt has its own."""
    configure(request_timeout_ms=1000)
    vendor.fail("drip_body")

    done = ai.complete("Hello")

    assert done.attempts == 2
    assert 1 <= vendor.asked[1].at - vendor.asked[0].at < 3


# Faults: the table of docs/calls.md

TABLE: Mapping[Any, tuple[str, int | None, bool]] = {
    400: ("refused", 400, False),
    401: ("key", 401, False),
    403: ("key", 403, False),
    404: ("model", 404, False),
    408: ("timeout", 408, True),
    409: ("busy", 409, True),
    413: ("refused", 413, False),
    422: ("refused", 422, False),
    429: ("rate_limit", 429, True),
    500: ("busy", 500, True),
    502: ("busy", 502, True),
    503: ("busy", 503, True),
    529: ("busy", 529, True),
    "silent": ("timeout", None, True),
    "drip_head": ("timeout", None, True),
    "drip_body": ("timeout", None, True),
    "reset": ("connection", None, True),
    "half": ("connection", None, True),
    "html": ("not_understood", None, False),
    "cut_json": ("not_understood", None, False),
    "other_json": ("not_understood", None, False),
    "huge": ("unacceptable", None, False),
    "huge_announced": ("unacceptable", None, False),
    "gzip": ("unacceptable", None, False),
    "redirect": ("refused", 302, False),
}
"""Fault -> reason, status, whether it is tried again."""


def test_the_table_is_whole() -> None:
    """Each fault that the vendor knows is in the table; two are of streams alone. And the table is that of the docs."""
    assert {fault for fault in TABLE if isinstance(fault, str)} == set(FAULTS) - {"error_in_stream", "unfinished"}
    text = (ROOT / "docs" / "calls.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| (yes|no) \| `(\w+)` \| (\d) \|", text, re.MULTILINE)
    assert {fault: cells for faults, *cells in rows for fault in faults.split(", ")} == {
        str(fault).replace("_", " "): ["yes" if again else "no", reason, "3" if again else "1"]
        for fault, (reason, _, again) in TABLE.items()
    }


@pytest.mark.kill  # each silent vendor takes two seconds
@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("kind", VENDORS)
def test_every_fault(store: str, vendor: Vendor, kind: str, way: str) -> None:
    """Reason, status, attempts, the log's row; and nothing of the key in what is told."""
    configure(request_timeout_ms=1000, max_retries=1)
    for fault, expected in TABLE.items():
        _check_fault(store, vendor, fault, expected, lambda: WAYS[way]("Hello", provider=kind))


def _check_fault(
    store: str, vendor: Vendor, fault: Any, expected: tuple[str, int | None, bool], call: Callable[[], Any]
) -> None:
    reason, status, again = expected
    vendor.fail(*[fault] * 3)
    before = len(vendor.calls())

    began = time.monotonic()
    with pytest.raises(CallFailed) as caught:
        call()

    took = time.monotonic() - began
    vendor.serve()
    error = caught.value
    assert took < 3 * 2, fault  # three times the deadline: the machine may be busy
    assert fault not in {"silent", "drip_head", "drip_body"} or took > 1.9, fault
    assert (error.reason, error.status, error.attempts) == (reason, status, 2 if again else 1), fault
    assert len(vendor.calls()) - before == error.attempts, fault
    row = logged(store)[-1]
    assert (row["status"], row["attempts"], row["error"]) == ("error", error.attempts, str(error))
    assert (row["prompt"], row["response"], row["input_tokens"], row["cost"]) == ("Hello", None, None, None)
    if isinstance(fault, int):
        assert "the vendor's own words" in str(error)
    assert error.__context__ is None  # the SDK's error, which has the request in it
    told = f"{error!r} {''.join(traceback.format_exception(error))} {row}"
    assert KEY not in told
    assert KEY[10:40] not in told


IN_A_STREAM: Mapping[Any, tuple[str, int]] = {
    429: ("rate_limit", 3),
    401: ("key", 1),
    "reset": ("connection", 3),
    "html": ("not_understood", 1),
    "other_json": ("not_understood", 1),
    "half": ("connection", 1),
    "unfinished": ("connection", 1),
    "error_in_stream": ("busy", 1),
}
"""Fault -> reason and attempts."""


@pytest.mark.parametrize("way", ["stream", "stream_async"])
@pytest.mark.parametrize("kind", VENDORS)
def test_every_fault_in_a_stream(store: str, vendor: Vendor, kind: str, way: str) -> None:
    """Before the first part a stream is tried again as a call is; after it, it fails, and the log has what came."""
    for fault, expected in IN_A_STREAM.items():
        vendor.fail(*[fault] * 4)

        with pytest.raises(CallFailed) as caught:
            WAYS[way]("Hello", provider=kind)

        vendor.serve()
        assert (caught.value.reason, caught.value.attempts) == expected, fault
        row = logged(store)[-1]
        came = row["response"] or ""
        assert (row["status"], came) == ("error", TEXT[: len(came)]), fault
        assert bool(came) == (fault in {"half", "unfinished", "error_in_stream"}), fault


def _told_in_a_stream(kind: str, name: str) -> Status:
    """An error that is told with 200, as the first event of a stream."""
    body: dict[str, Any] = {"error": {"type": name, "code": None, "message": "the vendor's own words"}}
    first = "event: error\n" if kind == "anthropic" else ""
    if kind == "anthropic":
        body["type"] = "error"
    return Status(200, {"content-type": "text/event-stream"}, f"{first}data: {json.dumps(body)}\n\n")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", ["stream", "stream_async"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_error_that_a_stream_begins_with(vendor: Vendor, kind: str, way: str) -> None:
    """The status says that all is well, so the error's name decides whether another attempt helps."""
    for name, reason, attempts in (
        ("invalid_request_error", "refused", 1),
        ("authentication_error", "key", 1),
        ("not_found_error", "model", 1),
        ("rate_limit_error", "rate_limit", 3),
        ("overloaded_error", "busy", 3),
        ("api_error", "busy", 3),
    ):
        vendor.fail(*[_told_in_a_stream(kind, name)] * 3)

        with pytest.raises(CallFailed, match="the vendor's own words") as caught:
            WAYS[way]("Hello", provider=kind)

        vendor.serve()
        assert (caught.value.reason, caught.value.status, caught.value.attempts) == (reason, None, attempts), name


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", ["sync", "stream"])
def test_call_while_another_error_is_handled(vendor: Vendor, way: str) -> None:
    """The caller's own error, which Python chains to ours, has no part in what ours is said to be."""
    vendor.fail("html")
    try:
        run_async(asyncio.wait_for(asyncio.sleep(1), 0.01))
    except TimeoutError:
        with pytest.raises(CallFailed) as caught:
            WAYS[way]("Hello")

    assert (caught.value.reason, caught.value.attempts) == ("not_understood", 1)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("kind", VENDORS)
def test_nobody_listens(kind: str, way: str) -> None:
    """A refused connection is tried again, and named."""
    with (
        unused() as port,
        override(kind, kind=kind, base_url=f"http://127.0.0.1:{port}", max_retries=1, retry_backoff_ms=100),
        pytest.raises(CallFailed) as caught,
    ):
        WAYS[way]("Hello", provider=kind)

    assert (caught.value.reason, caught.value.attempts) == ("connection", 2)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("kind", VENDORS)
def test_wrong_certificate(tmp_path: Path, kind: str, way: str) -> None:
    """A certificate that nobody has signed ends the call before anything is sent."""
    with (
        Vendor(certificate=make_certificate(tmp_path)) as secured,
        override(kind, model="m1", api_key=KEY, kind=kind, base_url=secured.base_url(kind)),
        pytest.raises(CallFailed, match="certificate") as caught,
    ):
        WAYS[way]("Hello", provider=kind)

    assert (caught.value.reason, caught.value.attempts, secured.asked) == ("tls", 1, [])


def test_key_in_the_vendors_words(store: str, vendor: Vendor) -> None:
    """CHECKS 34: a vendor that repeats the key in its refusal is told with the key taken out, also in the log."""
    vendor.keys[:] = ["another"]
    for kind in VENDORS:
        with pytest.raises(CallFailed, match="Incorrect API key provided") as caught:
            ai.complete("Hello", provider=kind)
        assert KEY not in f"{caught.value}{caught.value.words}"
    assert KEY not in str(logged(store))


# What cannot be called


def _change(name: str, **values: Any) -> None:
    with db.transaction() as session:
        providers.update(session, COMMAND_LINE, providers.get_by_name(session, name).id or 0, values)


def _spoil(store: str) -> None:
    with psycopg.connect(store) as connection:
        connection.execute("UPDATE llm_providers SET api_key_encrypted = 'broken' WHERE name = 'openai'")


def _forget(_store: str) -> None:
    with db.transaction() as session:
        providers.remove_api_key(session, COMMAND_LINE, providers.get_by_name(session, "openai").id or 0)


@pytest.mark.parametrize(
    ("spoil", "name", "expected", "cure"),
    [
        (lambda _: None, "nonesuch", ProviderMissing, "check the spelling"),
        (lambda _: _change("openai", is_active=False), "openai", ProviderInactive, "activate it"),
        (lambda _: _change("openai", default_model=None), "openai", ModelMissing, "choose a default model"),
        (_forget, "openai", KeyMissing, "enter one"),
        (_spoil, "openai", KeyNotReadable, "Enter the API key again"),
    ],
    ids=["missing", "inactive", "no model", "no key", "unreadable key"],
)
def test_typed_error_of_each(
    store: str, vendor: Vendor, spoil: Any, name: str, expected: type[ApiKeyUnavailable], cure: str
) -> None:
    """Each status has an error of its own, which names the provider and the cure; nothing is dialled."""
    spoil(store)
    settle()

    for call in WAYS.values():
        with pytest.raises(expected, match=cure) as caught:
            call("Hello", provider=name)
        assert name in str(caught.value)
    assert vendor.asked == []


def test_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a database there is no key."""
    resolver = Resolver("postgresql://127.0.0.1:1/none")
    monkeypatch.setattr(resolve, "resolver", resolver)
    try:
        with pytest.raises(KeyOutOfReach, match="database cannot be reached: nobody listens there"):
            ai.complete("Hello")
    finally:
        resolver.close()


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [{"role": "robot", "content": "x"}]}, "prompt"),
        ({"prompt": [{"role": "user"}]}, "prompt"),
        ({"prompt": [{"role": "system", "content": "only"}]}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "half \ud83d a character"}, "prompt"),
        ({"prompt": "x", "deadline": 0}, "deadline"),
        ({"prompt": "x", "deadline": float("nan")}, "deadline"),
        ({"prompt": "x", "options": {"a": b"bytes"}}, "options"),
        *(({"prompt": "x", "options": {name: {}}}, "options") for name in sorted(sent.RESERVED)),
    ],
    ids=str,
)
def test_bad_input(vendor: Vendor, how: dict[str, Any], field: str) -> None:
    """What cannot be asked is refused by name, before anything is dialled."""
    with (
        override("openai", model="m1", api_key=KEY, kind="openai", base_url=vendor.base_url("openai")),
        pytest.raises(Invalid) as caught,
    ):
        ai.complete(**how)

    assert list(caught.value.fields) == [field]
    assert vendor.asked == []


# Connections, keys, ends


@pytest.mark.usefixtures("store")
def test_connections_are_kept(vendor: Vendor) -> None:
    """Ten calls go over one connection; another key goes over another."""
    for _ in range(10):
        ai.complete("Hello")
    assert vendor.lines == 1
    other = KEY.replace("right", "other")
    vendor.keys.append(other)
    _change("openai", api_key=other)
    settle()

    ai.complete("Hello")

    assert vendor.asked[-1].headers["authorization"] == f"Bearer {other}"


@pytest.fixture
def three_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three clients are kept."""
    monkeypatch.setenv("LLM_CLIENTS", "3")
    get_config.cache_clear()
    yield
    monkeypatch.delenv("LLM_CLIENTS")
    get_config.cache_clear()


@pytest.mark.usefixtures("store", "three_clients")
def test_clients_are_not_kept_for_ever(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many keys only the last ones have a client."""
    made = clients.Clients()
    monkeypatch.setattr(ai, "clients", made)
    for number in range(10):
        with override("x", model="m1", api_key=f"{KEY}-{number}", kind="openai", base_url=vendor.base_url("openai")):
            vendor.keys.append(f"{KEY}-{number}")
            ai.complete("Hello", provider="x")

    assert len(made.shared) == 3


@pytest.mark.usefixtures("store")
def test_clients_of_an_ended_loop_are_not_kept(vendor: Vendor) -> None:
    """Each asyncio.run has a loop of its own, and a connection is of its loop."""
    loops: list[weakref.ref[Any]] = []

    async def call() -> None:
        await ai.complete_async("Hello")
        loops.append(weakref.ref(asyncio.get_running_loop()))
        assert loops[-1]() in clients.clients.loops

    for _ in range(5):
        run_async(call())

    soon(lambda: are_gone(loops), 30)
    assert vendor.lines == 5


@pytest.mark.usefixtures("store", "vendor")
def test_connections_of_a_loop_end_with_it() -> None:
    """The loop's shutdown closes what its calls have opened, though nobody asked for that."""
    used: list[Any] = []

    async def call() -> None:
        await ai.complete_async("Hello")
        loop = asyncio.get_running_loop()
        used.extend(client.http for client in getattr(loop, clients._ON_THE_LOOP).values())
        assert not any(http.is_closed for http in used)

    run_async(call())

    assert used
    assert all(http.is_closed for http in used)


def test_stopped_early(store: str, vendor: Vendor) -> None:
    """A stream that nobody reads to its end, and a task that is cancelled, are logged as cancelled, with what came."""
    parts = iter(ai.stream("Hello"))
    assert next(parts) == "Hello"
    parts.close()  # type: ignore[attr-defined]  # a generator

    async def cancelled() -> None:
        vendor.fail("silent")
        task = asyncio.create_task(ai.complete_async("Hello"))
        while len(vendor.asked) < 2:  # noqa: ASYNC110 - the vendor is a thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(cancelled())

    assert [(row["status"], row["response"], row["error"]) for row in logged(store)] == [
        ("cancelled", "Hello", None),
        ("cancelled", None, None),
    ]
    assert ai.complete("Hello").text == TEXT


@pytest.mark.usefixtures("store")
def test_a_stream_is_read_once() -> None:
    """A second reading is an error that says so, not another call."""
    stream = ai.stream("Hello")
    list(stream)

    with pytest.raises(Invalid, match="was read already"):
        list(stream)


@pytest.mark.kill  # it waits for seconds
@pytest.mark.usefixtures("store")
def test_the_loop_goes_on(vendor: Vendor) -> None:
    """While calls wait, the event loop does other work, and the calls run side by side."""
    ai.complete("Hello")  # the SDK is imported
    vendor.fail(*[Status(503, {"retry-after": "1"})] * 8)

    async def all_at_once() -> tuple[int, float]:
        ticks, began = 0, time.monotonic()
        calls = asyncio.gather(*(ai.complete_async("Hello") for _ in range(8)))
        while not calls.done():
            await asyncio.sleep(0.01)
            ticks += 1
        await calls
        return ticks, time.monotonic() - began

    ticks, took = run_async(all_at_once())

    assert ticks > 20
    assert took < 6  # one after the other they would take eight seconds


FORKED = """
import os, sys
from core import ai, logs, resolve
first = ai.complete("Hello").text
child = os.fork()
again = ai.complete("Hello").text
if child:
    ended = os.waitpid(child, 0)[1]
print(first, again, sep="|", flush=True)
if child == 0:
    logs.flush()
    os._exit(0)
sys.exit(ended)
"""


@pytest.mark.program
def test_after_a_fork(store: str, vendor: Vendor) -> None:
    """Parent and child call on, each over connections of its own, and each logs its own calls once."""
    ended = python(FORKED, DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [f"{TEXT}|{TEXT}"] * 2
    assert (vendor.lines, len(logged(store))) == (2, 3)


def test_import_is_lean() -> None:
    """No SDK is imported before a provider of its kind is called; and of the others none."""
    script = (
        "import sys, core.ai\n"
        "print(sorted(n for n in ('openai', 'anthropic', 'google.genai', 'httpx2', 'psycopg', 'sqlmodel', 'genai_prices') if n in sys.modules))"
    )
    done = python(script)

    assert done.stdout.strip() == "[]"


# Cost


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "known"),
    [
        ("openai", None, "gpt-5.4-mini", True),
        ("openai", "https://api.openai.com/v1", "gpt-5.4-mini", True),
        ("anthropic", None, "claude-sonnet-5-5", True),
        ("google", None, "gemini-3.8-flash", True),
        ("openai", None, "nobody-knows-it", False),
        ("openai", "https://gateway.example/v1", "gpt-5.4-mini", False),
        ("openai_compatible", "http://127.0.0.1:8000/v1", "gpt-5.4-mini", False),
    ],
)
def test_cost(kind: str, base_url: str | None, model: str, *, known: bool) -> None:
    """The vendor's price at the vendor's own host; at another, or of another model, unknown and never zero."""
    with override("x", kind=kind, base_url=base_url, model=model) as settings:
        cost = ai.price(settings, model, Tokens(1000, 500, 100))

    assert (cost is not None) == known
    assert cost is None or (isinstance(cost, Decimal) and cost > 0)


def test_names_of_every_kind() -> None:
    """Every parameter has a name in each kind, or is known not to have one."""
    assert set(KINDS) == set(ADAPTERS)
    assert all(set(kind.names) == set(SENDABLE) for kind in KINDS.values())
