"""What fails before anything has left the machine, the first call of a process, and what a process leaves behind."""

import asyncio
import itertools
import random
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from core import ai
from core.calling import call as calling
from core.calling import gates
from core.calling.clients import clients
from core.calling.request import Clock
from core.errors import CallFailed, Invalid, UnknownKind
from core.testing import override
from tests.calls import WAYS, are_gone, configure, logged
from tests.clusters import soon
from tests.conftest import run_async
from tests.processes import apart, python
from tests.vendors import KEY, TEXT, Status, Vendor

pytest_plugins = ["tests.calls"]

BROKEN = """
import asyncio, sys, time
from core import ai
from core.errors import CoreError
began = time.monotonic()
for call in (lambda: ai.complete("Hi"), lambda: asyncio.run(ai.complete_async("Hi")), lambda: list(ai.stream("Hi"))):
    try:
        call()
    except CoreError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("what", ["missing", "no certificate", "a folder"])
def test_certificates_that_cannot_be_read(store: str, vendor: Vendor, tmp_path: Path, what: str) -> None:
    """One error at once, which names the variable and the file; nothing is sent, tried again or logged."""
    path = tmp_path / "ca.pem"
    if what == "no certificate":
        path.write_text("this is none")
    elif what == "a folder":
        path.mkdir()

    ended = python(BROKEN, DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1", SSL_CERT_FILE=str(path))

    lines = ended.stdout.splitlines()
    assert len(lines) == 3, ended.stderr
    assert all(line.startswith("BadConfig") and "SSL_CERT_FILE" in line and str(path) in line for line in lines)
    assert vendor.asked == []
    assert logged(store) == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("google", {"max_output_tokens": "many"}),
        ("google", {"tools": "none"}),
        ("openai", {"messages_": {}, "seed": []}),
    ],
)
def test_what_no_request_can_be_made_of(vendor: Vendor, kind: str, options: dict[str, Any], way: str) -> None:
    """What the SDK refuses before it sends is the caller's: Invalid, at once. What it sends, the vendor judges."""
    configure(max_retries=2)
    if kind == "openai":
        vendor.fail(400)
        with pytest.raises(CallFailed):
            WAYS[way]("Hello", provider=kind, options=options)
        return
    with pytest.raises(Invalid) as caught:
        WAYS[way]("Hello", provider=kind, options=options)

    assert list(caught.value.fields) == ["options"]
    assert vendor.asked == []


@pytest.mark.usefixtures("store")
def test_no_failure_has_no_attempt(vendor: Vendor) -> None:
    """Whatever the vendor does, an attempt was made when a call has failed."""
    configure(max_retries=0)
    for fault in (400, 500, "reset", "html", "gzip", "half"):
        vendor.fail(fault)
        with pytest.raises(CallFailed) as caught:
            ai.complete("Hello")
        assert caught.value.attempts == 1


def test_a_kind_of_a_newer_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a CoreError that says what to do, in every way."""
    with override("acme", kind="openai", base_url="http://127.0.0.1:1") as settings:
        monkeypatch.setattr(ai.resolving.resolver, "_answers", {"acme": _of_kind(settings, "of-tomorrow")})
        for call in WAYS.values():
            with pytest.raises(UnknownKind, match=r"does not know the kind 'of-tomorrow': upgrade llm-settings"):
                call("Hello", provider="acme")


def _of_kind(settings: Any, kind: str) -> Any:
    from dataclasses import replace  # noqa: PLC0415 - beside its only use

    return replace(settings, kind=kind)


FIRST = """
import asyncio, threading, time
from core import ai
gaps = []

async def main():
    async def tick():
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)
    beside = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    await PREPARE
    answer = await ai.complete_async("Hi", deadline=DEADLINE)
    beside.cancel()
    print(answer.text, answer.latency_ms, answer.attempts, sep="|")

asyncio.run(main())
cpu = time.process_time()
print(len(gaps))
"""


@pytest.mark.kill  # a process imports an SDK
@pytest.mark.parametrize("prepare", ["asyncio.sleep(0)", "ai.prepare_async('openai')"])
def test_the_first_call_is_not_charged_for_the_import(store: str, vendor: Vendor, prepare: str) -> None:
    """The clock starts when the client is there: the deadline, and the log, are of the call alone. The loop goes on."""
    script = FIRST.replace("PREPARE", prepare).replace("DEADLINE", "5")

    ended = python(script, DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1")

    assert ended.returncode == 0, ended.stderr
    text, latency, attempts = ended.stdout.splitlines()[0].split("|")
    assert (text, attempts) == (TEXT, "1")
    (row,) = logged(store)
    assert row["latency_ms"] == int(latency)
    assert int(ended.stdout.splitlines()[1]) > 10  # the loop went on while an SDK of a second was imported
    assert len(vendor.asked) == 1


IMPORT_IS_SLOW = """
import time, sys, importlib.abc
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "openai":
            time.sleep(2)
        return None
sys.meta_path.insert(0, Slow())
from core import ai
print(ai.complete("Hi", deadline=1.5).text)
"""


@pytest.mark.kill  # it sleeps for seconds
def test_a_slow_import_is_no_fault_of_the_vendor(store: str, vendor: Vendor) -> None:
    """An SDK whose import takes longer than the deadline: the call is answered."""
    ended = python(IMPORT_IS_SLOW, DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1")

    assert ended.stdout.strip() == TEXT, ended.stderr
    assert logged(store)[0]["latency_ms"] < 1500
    assert len(vendor.asked) == 1


@pytest.mark.usefixtures("store")
def test_prepare_makes_the_client(vendor: Vendor) -> None:
    """Nothing is sent; what makes calls fail is raised already."""
    ai.close()

    ai.prepare("openai")

    assert len(clients.shared) == 1
    assert vendor.asked == []
    ai.complete("Hello")
    assert len(clients.shared) == 1
    from core.errors import ProviderMissing  # noqa: PLC0415 - beside its only use

    with pytest.raises(ProviderMissing):
        ai.prepare("nonesuch")
    with pytest.raises(ProviderMissing):
        run_async(ai.prepare_async("nonesuch"))


QUIET = """
import asyncio, gc
from core import ai, logs
def twice():
    for provider in ("openai", "anthropic", "google"):
        ai.complete("Hi", provider=provider)
    list(ai.stream("Hi"))
    async def go(last):
        for provider in ("openai", "anthropic", "google"):
            await ai.complete_async("Hi", provider=provider)
        async for _ in ai.stream_async("Hi"):
            pass
        if last:
            await ai.aclose()
            await ai.complete_async("Hi")
    asyncio.run(go(False))
    asyncio.run(go(True))
    ai.close()
    ai.complete("Hi")
twice()
gc.collect()
logs.flush(10)
print("done")
"""


@pytest.mark.kill  # a process imports three SDKs
def test_nothing_is_left_open(store: str, vendor: Vendor) -> None:
    """With every warning on, and each an error: two event loops and the threads' clients, closed or not, leave nothing."""
    ended = python(
        QUIET,
        DATABASE_URL=store,
        LLM_PRIVATE_HOSTS="127.0.0.1",
        PYTHONDEVMODE="1",
        PYTHONWARNINGS="error::ResourceWarning",
    )

    assert (ended.returncode, ended.stdout.strip()) == (0, "done"), ended.stderr
    assert "ResourceWarning" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert len(vendor.calls()) == 3 + 1 + 4 + 5 + 1


@pytest.mark.usefixtures("store")
def test_another_event_loop(vendor: Vendor) -> None:
    """Under no asyncio, one sentence says what is needed; nothing is sent."""

    def drive() -> None:
        steps = ai.complete_async("Hello")
        with pytest.raises(Invalid, match="must be asyncio's"):
            steps.send(None)  # as trio drives it

    apart(drive)
    assert vendor.asked == []


@pytest.mark.usefixtures("store")
def test_loops_that_nobody_closed(vendor: Vendor) -> None:
    """Their clients live no longer than they do."""
    import warnings  # noqa: PLC0415 - beside its only use

    loops: list[weakref.ref[Any]] = []

    def leave() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ai.complete_async("Hello"))
        assert loop in clients.loops
        loops.append(weakref.ref(loop))

    for _ in range(5):
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        soon(lambda: len(loops) == 5 and are_gone(loops), 30)

    assert len(vendor.asked) == 5


def test_the_longest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many attempts there were, a minute is the longest wait of our own; a vendor's may be longer."""
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    with override("openai", retry_backoff_ms=10_000, max_retries=10) as settings:
        one = calling.Call(ai.request_of("Hello", {}), settings)
        waits = []
        for attempts in range(1, 8):
            one.attempts = attempts
            waits.append(one._backoff(calling.Failure("busy", 500, "", retryable=True)))
        assert waits == [10, 20, 40, 60, 60, 60, 60]
        assert one._backoff(calling.Failure("busy", 500, "", retryable=True, retry_after=90)) == 90


def begun(passed: float, *, streams: bool = False, retries: int = 2, **how: Any) -> calling.Call:
    """A call with a request timeout of ten seconds, that began so many seconds ago."""
    with override("openai", request_timeout_ms=10_000, max_retries=retries) as settings:
        one = calling.Call(ai.request_of("Hello", how, streams=streams), settings)  # type: ignore[arg-type]  # How
    one._clock = Clock()
    one._began = one._clock.now()
    one._clock._began -= passed
    return one


@pytest.mark.parametrize(
    ("passed", "deadline", "left", "of_an_answer", "of_a_part"),
    [
        (0, None, 30, 10, 10),
        (25, None, 5, 5, 10),
        (31, None, -1, 0, 10),
        (0, 40, 40, 10, 10),
        (35, 40, 5, 5, 5),
        (41, 40, -1, 0, 0),
    ],
)
def test_what_an_attempt_may_take(
    passed: float, deadline: float | None, left: float, of_an_answer: float, of_a_part: float
) -> None:
    """The request timeout, within the deadline, or within that timeout for each attempt; a stream has it for its silence."""

    def about(seconds: float) -> Any:
        return pytest.approx(seconds, abs=0.9)

    call = begun(passed, deadline=deadline)
    assert call._left() == about(left)
    assert call.attempt().left() == about(of_an_answer)
    assert begun(passed, deadline=deadline, streams=True).attempt().left() == about(of_a_part)
    assert call._latency() == about(passed * 1000) or call._latency() >= passed * 1000


@pytest.mark.parametrize(
    ("attempts", "spare", "wait", "retryable", "begun_already", "is_last"),
    [
        (1, 0, 1, True, False, False),
        (1, 0, 1, False, False, True),
        (2, 0, 1, True, False, False),
        (3, 0, 1, True, False, True),
        (3, 1, 1, True, False, False),
        (4, 1, 1, True, False, True),
        (1, 0, 31, True, False, True),
        (1, 0, 1, True, True, True),
    ],
    ids=["first", "of no use", "second", "third of three", "one did not count", "all", "too late", "begun"],
)
def test_when_another_attempt_is_made(
    attempts: int, spare: int, wait: float, *, retryable: bool, begun_already: bool, is_last: bool
) -> None:
    """So many retries as the settings say, if it is of use, in time, and nothing of an answer was handed out."""
    call = begun(0)
    call.attempts, call._spare = attempts, spare
    if begun_already:
        call.collected.parts.append("a part")

    assert call._is_last(calling.Failure("busy", 500, "", retryable=retryable), wait) is is_last


@pytest.mark.parametrize(
    ("given", "wanted", "both"),
    [
        (None, {"format": 1}, {"format": 1}),
        (None, "json", "json"),
        ({"effort": "low"}, {"format": 1}, {"effort": "low", "format": 1}),
        ({}, {"format": 1}, {"format": 1}),
        ({"format": 2}, {"format": 1}, None),
        ("text", {"format": 1}, None),
        ({"effort": "low"}, "json", None),
        ("json", "json", None),
    ],
)
def test_a_format_beside_what_the_options_have(given: Any, wanted: Any, both: Any) -> None:
    """Both go out where both have room; where one would hide the other it is the caller's to choose."""
    if both is None:
        with pytest.raises(Invalid, match="which response_format stands for"):
            calling._joined("output_config", given, wanted)
    else:
        assert calling._joined("output_config", given, wanted) == both


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        (None, False),
        ({}, False),
        ({"stream_options": None}, True),
        ({"stream_options": ai.OMIT}, True),
        ({"stream_options": {}}, False),
        ({"stream_options": {"include_usage": False}}, False),
        ({"other": None}, False),
    ],
    ids=itertools.count(),
)
def test_what_options_leave_out(options: Any, *, left_out: bool) -> None:
    """None and OMIT say that something of ours is not sent; any other value is sent in its place."""
    assert begun(0, streams=True, options=options)._is_bare is left_out


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, True),
        ({"streams": False}, False),
        ({"is_bare": True}, False),
        ({"sent": {"stream_options": {}}}, False),
        ({"reason": "busy"}, False),
        ({"words": "no such model"}, False),
    ],
    ids=["refused", "no stream", "bare already", "the caller's own", "another reason", "something else"],
)
def test_when_a_stream_is_asked_for_with_less(change: dict[str, Any], *, again: bool) -> None:
    """Only for what we have added, when it is this that the server refuses."""
    call = begun(0, streams=change.get("streams", True))
    call._is_bare = change.get("is_bare", False)
    call.sent = change.get("sent", {})
    words = change.get("words", "Extra inputs are not permitted: stream_options")
    failure = calling.Failure(change.get("reason", "refused"), 400, words, retryable=False)

    assert call._is_refused_for_more(failure) is again


@pytest.mark.kill  # it waits for the look-up
def test_a_name_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls meet it, the look-ups take a bounded number of threads, and each call its own deadline."""
    import socket  # noqa: PLC0415 - beside its only use

    from core.calling import lookup  # noqa: PLC0415 - as above

    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: released.wait(30) and [])
    try:
        for number in range(40):
            host = f"host-{number % 30}.example"
            with (
                override("x", kind="openai", base_url=f"https://{host}/v1", api_key=KEY, max_retries=0),
                pytest.raises(CallFailed) as caught,
            ):
                (ai.complete if number % 2 else _in_a_loop)("Hello", provider="x", deadline=0.05)
            assert caught.value.reason in {"timeout", "connection"}
        hung = [thread for thread in threading.enumerate() if thread.name == "llm-settings look-up"]
        assert 0 < len(hung) <= lookup.AT_ONCE
    finally:
        released.set()
    deadline = time.monotonic() + 10
    while lookup.lookups._running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lookup.lookups._running == {}


def _in_a_loop(prompt: str, **how: Any) -> Any:
    return run_async(ai.complete_async(prompt, **how))


@pytest.mark.usefixtures("store")
def test_retry_after_of_an_hour(vendor: Vendor) -> None:
    """A wait beyond the deadline is not begun, also for a stream that has none of its own."""
    for way in WAYS.values():
        gates.gates.reset()
        vendor.fail(Status(429, {"retry-after": "3600"}))
        with pytest.raises(CallFailed) as caught:
            way("Hello")
        assert (caught.value.retry_after, caught.value.attempts) == (3600, 1)
    with pytest.raises(CallFailed) as caught:  # the next one is not sent at all
        way("Hello")
    assert (caught.value.reason, caught.value.attempts) == ("rate_limit", 0)


NO_THREAD = """
import threading, time
start = threading.Thread.start

def refuse(self):
    if self.name == "llm-settings log":
        raise RuntimeError("can't start new thread")
    start(self)

threading.Thread.start = refuse
from core import ai, logs
print(ai.complete("Hi").text, logs.flush(1), logs.dropped())
threading.Thread.start = start
time.sleep(1.2)
print(ai.complete("Hi").text, logs.flush(10), logs.dropped())
"""


@pytest.mark.kill  # it waits for a second
def test_a_log_that_cannot_start_spoils_no_answer(store: str, vendor: Vendor) -> None:
    """The call is answered, and its row is written once a thread can be started again."""
    ended = python(NO_THREAD, DATABASE_URL=store, LLM_PRIVATE_HOSTS="127.0.0.1")

    assert ended.stdout.splitlines() == [f"{TEXT} False 0", f"{TEXT} True 0"], ended.stderr
    assert [row["status"] for row in logged(store)] == ["ok", "ok"]
    assert len(vendor.asked) == 2
