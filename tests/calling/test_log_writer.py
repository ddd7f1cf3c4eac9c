"""The writer of the request log: it holds nobody up and loses nothing it need not lose."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from core import config, logs
from core.calling import log_rows, log_writer
from core.calling.log_rows import CallToLog
from core.calling.log_writer import Writer
from core.errors import StoreUnavailable
from core.redaction import remember
from core.resolving.effective import EffectiveSettings
from core.resolving.layers import Layer
from core.resolving.merge import ProviderFacts, build
from tests.processes import python
from tests.proxy import SWALLOW, Proxy, Way

AT = datetime(2026, 11, 23, 12, 1, tzinfo=UTC)
KEY = "sk-proj-nobody-knows-0123456789abcdef"  # one that was remembered would go whole
CALL = CallToLog(
    at=AT,
    user_id="42",
    model="m1",
    status="ok",
    attempts=2,
    latency_ms=1234,
    prompt="the prompt",
    parameters={"model": "m1", "temperature": 0.5},
    response="the answer",
    token_usage={"input": 10, "output": 20, "cache_read": 3, "cache_write": 0},
    cost=Decimal("0.00125"),
    error=None,
    operation="embed",
    tags=("night", "eu"),
    correlation_id="job-1",
    adjusted=2,
    cost_centre="K-17",
)


def settings(**values: Any) -> EffectiveSettings:
    """What is in force for acme, from a store."""
    facts = ProviderFacts(7, "acme", "Acme", "openai", None, "m1", is_active=True, version=1, changes={}, open_box=None)
    return build(facts, [Layer("provider", 1, 1, values, {})], generation=9)


def rows(url: str, what: str = "*") -> list[dict[str, Any]]:
    """The log, in the order in which it was written."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(f"SELECT {what} FROM llm_logs ORDER BY id").fetchall()


@pytest.fixture
def writer(database: str) -> Iterator[Writer]:
    """A writer to a database of the test's own; it has nothing more to do when the test ends."""
    writer = Writer(database)
    yield writer
    writer.close()


def put(writer: Writer, **changes: Any) -> None:
    """Have a call written, at level full."""
    writer.put(settings(), CALL._replace(**changes))


def test_a_row_is_the_call(writer: Writer, database: str) -> None:
    """What was put stands in the table, each value as it was, and in the figures."""
    put(writer)
    put(writer, status="error", error="it failed", response=None, token_usage=None, cost=None, latency_ms=0)
    put(writer)

    assert writer.flush(10)
    found = rows(database)
    assert {name: found[0][name] for name in log_rows.COLUMNS} == {
        **log_rows.entry(settings(), CALL),  # type: ignore[dict-item]  # full: there is a row
        "cost": Decimal("0.0012500000"),
    }
    assert (found[0]["organization_id"], len(found)) == (None, 3)
    with psycopg.connect(database, row_factory=dict_row) as connection:
        figures = connection.execute("SELECT * FROM llm_usage ORDER BY status").fetchall()
    assert [
        (f["status"], f["calls"], f["priced"], f["input_tokens"], f["output_tokens"], f["cost"], f["adjusted"])
        for f in figures
    ] == [
        ("error", 1, 0, 0, 0, 0, 1),
        ("ok", 2, 2, 20, 40, Decimal("0.0025"), 2),
    ]
    assert {f["slot"] for f in figures} == {AT.replace(minute=0)}
    assert [f["latency_bucket"] for f in figures] == [0, 74]  # 1.1^74 is 1156 ms, 1.1^75 is 1271


def test_messages_secrets_and_odd_text(writer: Writer, database: str) -> None:
    """Messages are kept as JSON, secrets are taken out, what PostgreSQL cannot hold is replaced, what is long is cut."""
    put(writer, prompt=[{"role": "user", "content": f"my key is {KEY}"}], parameters={"x": f"Bearer {KEY}"})
    put(writer, prompt="nul\0 and half \ud800", response="é" * (log_rows.LONGEST + 1), user_id="u\0")
    put(writer, error=f"401: Incorrect API key provided: {KEY}", status="error")

    assert writer.flush(10)
    found = rows(database)
    assert KEY[12:] not in str(found)
    assert '"content": "my key is sk-proj-****"' in found[0]["prompt"]
    assert (found[1]["prompt"], found[1]["user_id"]) == ("nul\ufffd and half ?", "u\ufffd")
    assert found[1]["response"].endswith(f"… (cut: {log_rows.LONGEST + 1} characters in all)")
    assert len(found[1]["response"]) < log_rows.LONGEST + 60
    assert found[2]["error"] == "401: Incorrect API key provided: sk-proj-****"


ODD = [
    {"stop": ['password="x"']},
    {"stop": ['api_key="abc"', '?key="', 'Authorization: Bearer "'], 'password="': 'secret="'},
    {"api_key": "a-secret-of-a-caller", "nested": {"password": "another-of-them"}},
    {"x": float("nan"), "y": float("-inf"), "z": 10**400, "t": (1, 2), "s": {3}, "b": b"bytes", "o": AT},
    {"nul": "a\0b", "half": "\ud800", "\udfff": "\x1b[31m", "deep": None},
    {1: "one", None: "none", (1, 2): {"n": None}, "huge": 10**6_000},
]


@pytest.mark.parametrize("parameters", ODD, ids=range(len(ODD)))
def test_no_option_makes_a_call_vanish(writer: Writer, database: str, parameters: dict[Any, Any]) -> None:
    """Whatever a call's options hold, its row is written and counted; what looks like a secret is not in it."""
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]
    put(writer, parameters={**parameters, "deep": deep})

    assert writer.flush(10)
    found = rows(database)
    assert (len(found), writer.dropped) == (1, 0)
    assert "a-secret" not in str(found)
    assert "another-of" not in str(found)
    assert "\\u001b" not in str(found[0]["parameters"])


def test_cut_leaves_no_part_of_a_key(writer: Writer, database: str) -> None:
    """Where a long text is cut no part of a known key stays, however much secrets before it have shortened the text."""
    key = "4f9Jq2LxT7" * 8
    remember(key)
    before = "Bearer 0123456789abcdefghij0123456789 " * 400
    for more in range(0, 80, 7):
        put(writer, response=before + "x" * (log_rows.LONGEST + 1024 - len(before) - more) + key + "y" * 70_000)

    assert writer.flush(10)
    for row in rows(database):
        assert [key[at : at + 8] for at in range(len(key) - 7) if key[at : at + 8] in row["response"]] == []


def test_one_bad_row_takes_no_other_along(writer: Writer, database: str) -> None:
    """A row that the database refuses is counted, and the rest of its batch is written."""
    for number in range(5):
        put(writer, attempts=-1 if number == 2 else number)

    assert writer.flush(10)
    assert [row["attempts"] for row in rows(database)] == [0, 1, 3, 4]
    assert writer.dropped == 1


def test_ten_thousand_in_batches(writer: Writer, database: str) -> None:
    """From eight threads at once: all are written, none twice, and the figures agree."""

    def some(thread: int) -> None:
        for number in range(500):
            put(writer, user_id=f"{thread}/{number}", latency_ms=thread * 100)

    threads = [threading.Thread(target=some, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert writer.flush(60)
    assert {row["user_id"] for row in rows(database)} == {f"{t}/{n}" for t in range(8) for n in range(500)}
    assert len(rows(database)) == 4000
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT sum(calls), sum(input_tokens) FROM llm_usage").fetchone() == (4000, 40_000)


def line_to(database: str) -> tuple[Proxy, str]:
    """Return a line to the database, and the URL that leads over it."""
    parts = psycopg.conninfo.conninfo_to_dict(database)
    host, port = str(parts["host"]), str(parts.get("port", 5432))
    proxy = Proxy(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else int(port))
    return proxy, psycopg.conninfo.make_conninfo(database, host="127.0.0.1", port=proxy.port)


@pytest.mark.kill  # it waits for time limits
@pytest.mark.parametrize("fault", ["refuse", "cut", "silent"])
def test_database_away_and_back(database: str, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Calls wait in memory while the database is away, and are all written once it is back; the log says so once."""
    proxy, url = line_to(database)
    writer = Writer(url)
    try:
        put(writer, user_id="before")
        assert writer.flush(10)
        if fault == "refuse":
            proxy.refuse()
            proxy.end_lines("reset")
        elif fault == "cut":
            proxy.treat(Way("cut"))
        else:  # found out after ten seconds: no FIN will ever come
            proxy.treat_old(SWALLOW)
        for number in range(50):
            put(writer, user_id=f"during {number}")
        if fault != "silent":
            assert not writer.flush(1)
        if fault == "refuse":
            proxy.admit()
        if fault == "cut":
            proxy.treat(Way())
        put(writer, user_id="after")

        assert writer.flush(30)
        assert sorted(row["user_id"] for row in rows(database)) == sorted(
            ["before", "after", *(f"during {n}" for n in range(50))]
        )
        assert writer.dropped == 0
        assert len([r for r in caplog.records if "cannot be written" in r.message]) <= 1
    finally:
        writer.close()
        proxy.close()


def test_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With the database away for long: so many calls wait, the rest is counted, one line says so; no call is held up."""
    monkeypatch.setattr(log_writer, "QUEUED", 100)
    writer = Writer("postgresql://127.0.0.1:1/none")
    try:
        for _ in range(1500):
            put(writer)

        # The thread has taken some out to write them; those wait as well.
        assert 1500 - 100 - log_writer.BATCH <= writer.dropped <= 1400
        assert len([r for r in caplog.records if "is full" in r.message]) == 1
        assert not writer.flush(0.1)
    finally:
        writer.close()


def test_large_contents_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long prompts do not fill the memory of the service."""
    monkeypatch.setattr(log_writer, "QUEUED_BYTES", 1_000_000)
    writer = Writer("postgresql://127.0.0.1:1/none")
    try:
        for _ in range(200):
            put(writer, prompt="x" * 60_000)

        assert writer.dropped >= 150
    finally:
        writer.close()


def test_nothing_of_no_store(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that came from no store, as those of core.testing.override, leave no trace."""
    writer = Writer(database)
    monkeypatch.setattr(log_writer, "_writer", writer)
    try:
        log_writer.put(replace(settings(), generation=0), CALL)
        log_writer.put(settings(), CALL)

        assert logs.flush(10)
        assert len(rows(database)) == 1
        assert logs.dropped() == 0
    finally:
        writer.close()


LEAVING = """
import os, sys, time
from tests.calling.test_log_writer import CALL, settings
from core import logs
from core.calling import log_writer
for number in range(int(sys.argv[1])):
    log_writer.put(settings(), CALL._replace(user_id=str(number)))
if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        log_writer.put(settings(), CALL._replace(user_id="child"))
        sys.exit(0 if logs.flush(10) else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.long
@pytest.mark.parametrize("how", ["exit", "fork"])
def test_a_process_that_ends(database: str, how: str) -> None:
    """What waits when a process ends is written; after a fork by the parent, and by it alone."""
    ended = python(LEAVING, "300", how, DATABASE_URL=database)

    assert (ended.returncode, ended.stderr) == (0, "")
    expected = sorted([*map(str, range(300)), *(["child"] if how == "fork" else [])])
    assert sorted(row["user_id"] for row in rows(database, "user_id")) == expected


@pytest.mark.kill  # it waits for time limits
def test_ends_though_the_database_is_silent() -> None:
    """A process that ends waits a moment for its log, and not for ever."""
    proxy = Proxy(1)
    proxy.treat(SWALLOW)
    try:
        began = time.monotonic()
        ended = python(LEAVING, "5", "exit", DATABASE_URL=f"postgresql://127.0.0.1:{proxy.port}/none")
        assert ended.returncode == 0
        assert time.monotonic() - began < 30
    finally:
        proxy.close()


@pytest.fixture
def waiting() -> Writer:
    """A writer whose thread cannot be started for now: what is put waits."""
    writer = Writer("postgresql://127.0.0.1:1/none")
    writer._not_before = float("inf")
    return writer


def test_the_queue_has_room_for_so_many(
    waiting: Writer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The last that fits waits, the next is dropped and counted; one line says so, and again after there was room."""
    monkeypatch.setattr(log_writer, "QUEUED", 3)
    for _ in range(5):
        put(waiting)

    assert (len(waiting._calls), waiting.dropped) == (3, 2)
    assert [record.message for record in caplog.records] == [
        "The request log is full (3 calls wait): calls are not logged."
    ]
    assert not waiting.flush(0)


def test_the_queue_has_room_for_so_much(waiting: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts and answers count by their characters, to the last one; what has none is free."""
    monkeypatch.setattr(log_writer, "QUEUED_BYTES", 100)
    put(waiting, prompt="x" * 40, response="y" * 20)
    put(waiting, prompt="x" * 41, response=None)
    assert (len(waiting._calls), waiting._size, waiting.dropped) == (1, 60, 1)

    put(waiting, prompt="x" * 30, response="y" * 10)
    put(waiting, prompt="", response=None)
    assert (len(waiting._calls), waiting._size, waiting.dropped) == (3, 100, 1)


def test_a_refusal_drops_what_waits_and_what_comes(waiting: Writer) -> None:
    """All of it is counted, and takes no room any more; later the next call tries again."""
    for _ in range(3):
        put(waiting)
    waiting._refuse("no right", 2)
    assert (waiting.dropped, len(waiting._calls), waiting._size) == (5, 0, 0)
    assert waiting.flush(0)

    put(waiting)
    assert (waiting.dropped, len(waiting._calls)) == (6, 0)
    waiting._refused_until -= log_writer.REFUSED
    put(waiting)
    assert (waiting.dropped, len(waiting._calls)) == (6, 1)


def test_a_refusal_is_for_good_where_nothing_was_written(waiting: Writer) -> None:
    """Where something was written before it may be a failover: it is waited for, and not for ever."""
    assert waiting._is_for_good()

    waiting._trusted_until = float("inf")  # as after a batch
    assert not waiting._is_for_good()
    assert time.monotonic() < waiting._trusted_until <= time.monotonic() + log_writer.FAILOVER
    waiting._trusted_until -= log_writer.FAILOVER
    assert waiting._is_for_good()


@pytest.mark.parametrize(
    ("reasons", "lines"),
    [
        ([("away", False), ("away", False), ("slow", False)], ["away"]),
        ([("no right", True), ("no right", True)], ["no right"]),
        ([("away", False), ("no right", True), ("away", False)], ["away", "no right"]),
    ],
)
def test_an_outage_is_one_line(
    waiting: Writer, reasons: list[tuple[str, bool]], lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is met; a reason that lasts is told when it is another one."""
    for reason, anew in reasons:
        waiting._say(reason, anew=anew)

    assert [record.message for record in caplog.records] == [f"The request log cannot be written: {r}." for r in lines]


@pytest.mark.parametrize(
    ("error", "write_url", "words", "lasts"),
    [
        (StoreUnavailable("The database is away."), None, "The database is away", False),
        (ValueError("a secret"), None, "ValueError", False),
        (psycopg.errors.InsufficientPrivilege("denied"), None, "grant-reader ROLE --log", True),
        (psycopg.errors.InvalidPassword("wrong"), None, "DATABASE_URL", True),
        (psycopg.errors.InvalidPassword("wrong"), "postgresql://h/d", "LLM_WRITE_DATABASE_URL", True),
    ],
)
def test_why_nothing_is_written(
    error: Exception, write_url: str | None, words: str, *, lasts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words that name the variable or the right, where that is known; what passes by itself does not last."""
    if write_url:
        monkeypatch.setenv("LLM_WRITE_DATABASE_URL", write_url)
        config.get_config.cache_clear()
    why, lasting = log_writer._why(error)

    assert words in why
    assert "a secret" not in why
    assert not why.endswith(".")
    assert lasting is lasts


def test_a_call_that_cannot_be_logged_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong, the caller has the answer."""
    monkeypatch.setattr(log_writer, "_writer", writer := Writer("postgresql://127.0.0.1:1/none"))
    log_writer.put(settings(), None)  # type: ignore[arg-type]

    assert (writer.dropped, logs.dropped()) == (1, 1)
    assert "A call is not logged (AttributeError)." in caplog.text


def test_closing_ends_the_thread(writer: Writer) -> None:
    """At once, and its connection with it."""
    put(writer)
    assert writer.flush(10)
    thread = writer._thread
    assert thread
    writer.close()

    assert not thread.is_alive()
    assert (writer._size, writer._writing, writer.dropped) == (0, 0, 0)
