"""What a call by core.ai costs beside the vendor's SDK alone, and how fast its log is written."""

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

import openai
import psycopg

from core import ai, logs
from core.actors import COMMAND_LINE
from core.calling import log_rows, log_writer
from core.manage import providers
from core.resolve import resolve, resolver
from core.store import db
from tests.processes import free_port

Row = Callable[..., None]
CALLS = 3000
LOGGED = 50_000


def run(url: str, row: Row) -> None:
    """Measure both, in turns: a local vendor that answers at once, as a process of its own."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "tests.bench.vendor_app:app", "--port", str(port), "--no-access-log"],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/", process)
        _store(f"http://127.0.0.1:{port}/v1")
        _overhead(row)
    finally:
        process.terminate()
        process.wait(20)
    _insert_rate(url, row)


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    while True:
        assert process.poll() is None, "the vendor ended"
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.05)


def _store(base_url: str) -> None:
    with db.transaction() as session:
        made = {"name": "local", "display_name": "Local", "kind": "openai_compatible", "available_models": ["m"]}
        row = {**made, "default_model": "m", "api_base_url": base_url, "api_key": "sk-" + "0" * 45}
        providers.create(session, COMMAND_LINE, row)
    while resolve("local").status != "ok":
        time.sleep(0.01)
    assert resolver.generation


def _overhead(row: Row) -> None:
    settings = resolve("local")
    client = openai.OpenAI(**{**settings.client_options(), "max_retries": 0})
    options = settings.request_options()
    messages = [{"role": "user", "content": "Say hello."}]
    names: dict[str, Callable[[], object]] = {
        "sdk": lambda: client.chat.completions.create(messages=messages, **options),  # type: ignore[call-overload]
        "ours": lambda: ai.complete("Say hello.", provider="local", user_id="bench"),
    }
    took: dict[str, list[float]] = {name: [] for name in names}
    for call in names.values():
        for _ in range(200):
            call()
    for _ in range(CALLS):  # in turns: both meet the same noise
        for name, call in names.items():
            began = time.perf_counter()
            call()
            took[name].append(time.perf_counter() - began)
    assert logs.flush(10)
    assert not logs.dropped()
    sdk, ours = (statistics.median(took[name]) * 1000 for name in ("sdk", "ours"))
    figures = f"{ours:.2f} / {sdk:.2f} ms = {ours / sdk:.3f}"
    row("complete(), logged ÷ the bare SDK call, p50", figures, "≤ 1.05", reached=ours / sdk <= 1.05)


def _insert_rate(url: str, row: Row) -> None:
    settings = resolve("local")
    call = log_rows.CallToLog(
        at=log_rows.now(),
        user_id="bench",
        model="m",
        status="ok",
        attempts=1,
        latency_ms=900,
        prompt="Say hello. " * 20,
        parameters={"model": "m", "temperature": 0.7},
        response="Hello, how can I help you today? " * 10,
        token_usage={"input": 60, "output": 80, "cache_read": 0, "cache_write": 0},
        cost=None,
        error=None,
    )
    writer = log_writer.Writer(url)
    began = time.perf_counter()
    for number in range(LOGGED):
        writer.put(settings, call._replace(latency_ms=number % 5000))
        while len(writer._calls) > log_writer.QUEUED // 2:
            time.sleep(0.001)
    assert writer.flush(60)
    seconds = time.perf_counter() - began
    writer.close()
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE llm_logs, llm_usage")
    row("request log: rows written, figures added up", f"{LOGGED / seconds:,.0f} a second", "(compared)", reached=None)
