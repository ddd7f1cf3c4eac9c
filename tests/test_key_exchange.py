"""A key is exchanged while services call: no call fails, the audit has both keys' fingerprints, and the old one is forgotten.

How long it goes on is for `LLM_TEST_EXCHANGE_SECONDS` to say: 4 here, more in the nightly run.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlmodel import col, select

from core import config, crypto
from core.actors import COMMAND_LINE
from core.manage import connection, next_keys, providers
from core.store import db
from core.store.records import AuditEvent
from tests.conftest import ENCRYPTION_KEY, ROOT
from tests.processes import environment
from tests.vendors import Vendor

OLD = "sk-proj-older-0123456789abcdefghijklmnopqrstuvwxyz"
NEW = "sk-proj-newer-0123456789abcdefghijklmnopqrstuvwxyz"
SECONDS = float(os.environ.get("LLM_TEST_EXCHANGE_SECONDS", "4"))
PROCESSES, EACH = 4, 25
"""Processes, and calls of each in a second."""
SERVICE = """
import gc, json, sys, threading, time
from core import ai

secret = bytes.fromhex(sys.argv[1]).decode()
every, calls, failed, stop = 1 / float(sys.argv[2]), 0, [], threading.Event()


def work():
    global calls
    due = time.monotonic()
    while not stop.is_set():
        try:
            ai.complete("Hi", provider="openai")
            calls += 1
        except Exception as error:
            failed.append(repr(error))
        due = max(due + every, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))


def has(held, raw):
    if isinstance(held, str):
        return secret in held and held is not secret
    if isinstance(held, bytes):
        return raw in held and held is not raw
    if isinstance(held, (tuple, dict, frozenset)) and not gc.is_tracked(held):  # of texts alone: not in gc.get_objects
        return any(has(each, raw) for each in gc.get_referents(held))
    return False


def is_held():
    raw = secret.encode()
    return any(has(held, raw) for holder in gc.get_objects() for held in gc.get_referents(holder))


thread = threading.Thread(target=work)
thread.start()
while not calls and not failed:
    time.sleep(0.01)
print(json.dumps(is_held()), flush=True)
sys.stdin.readline()
asked, held = time.monotonic(), True
while held and time.monotonic() < asked + 3:  # promised: one
    time.sleep(0.5)
    held = is_held()  # takes seconds itself, beside many others
print(json.dumps(held), flush=True)
sys.stdin.readline()
stop.set()
thread.join()
print(json.dumps([calls, failed]), flush=True)
"""


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor with whom both keys are valid."""
    monkeypatch.setenv("LLM_PRIVATE_HOSTS", "127.0.0.1")
    config.get_config.cache_clear()
    with Vendor(keys=(OLD, NEW)) as vendor:
        yield vendor


def _answers(services: list[subprocess.Popen[str]], line: str = "") -> list[Any]:
    """Send all of them a line, and return what each has to say."""
    for service in services if line else ():
        assert service.stdin is not None
        service.stdin.write(line)
        service.stdin.flush()
    return [json.loads(service.stdout.readline()) for service in services if service.stdout is not None]


@pytest.mark.long
def test_a_key_is_exchanged_while_four_processes_call(committed: str, vendor: Vendor) -> None:
    """Add, test, promote, retire: 0 failed calls, the new key alone at the end, the old one gone from every process."""
    with db.transaction() as session:
        data = {"name": "openai", "display_name": "OpenAI", "kind": "openai", "api_base_url": vendor.base_url("openai")}
        models = {"available_models": ["m1"], "default_model": "m1", "api_key": OLD}
        number = providers.create(session, COMMAND_LINE, data | models).id or 0
    more = {"DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "LLM_PRIVATE_HOSTS": "127.0.0.1"}
    with ExitStack() as all_of_them:
        command = [sys.executable, "-c", SERVICE, OLD.encode().hex(), str(EACH)]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        services = [
            all_of_them.enter_context(subprocess.Popen(command, cwd=ROOT, env=environment(**more), **pipes))
            for _ in range(PROCESSES)
        ]
        for service in services:
            all_of_them.callback(service.kill)
        assert _answers(services) == [True] * PROCESSES, "the search finds a key that is in use"
        with db.transaction() as session:
            next_keys.add(session, COMMAND_LINE, number, NEW)
        with db.transaction() as session:
            target = connection.prepare(session, COMMAND_LINE, number, next_key=True)
        states = (connection.run(target).state for _ in range(3))  # a busy machine may take its ten seconds
        assert "verified" in states
        time.sleep(SECONDS / 2)
        with db.transaction() as session:
            next_keys.promote(session, COMMAND_LINE, number)
        time.sleep(SECONDS / 2)
        with db.transaction() as session:
            next_keys.retire(session, COMMAND_LINE, number)
        at = len(vendor.asked)
        forgotten, done = _answers(services, "look\n"), _answers(services, "end\n")

    assert [failed for _, failed in done] == [[]] * PROCESSES
    assert sum(calls for calls, _ in done) >= PROCESSES * EACH * SECONDS / 4, "a busy machine makes a quarter"
    keys = [asked.headers["authorization"].removeprefix("Bearer ") for asked in vendor.asked]
    assert {OLD, NEW} == set(keys)
    assert OLD not in keys[at:]
    assert forgotten == [False] * PROCESSES
    ring = crypto.get_ring()
    with db.transaction() as session:
        found = select(AuditEvent).where(col(AuditEvent.action) == "provider.promote_key")
        changes = session.exec(found).one().changes
    shown = {"before": f"sk-proj...**** #{ring.fingerprint(OLD)}", "after": f"sk-proj...**** #{ring.fingerprint(NEW)}"}
    assert changes["api_key"] == shown
