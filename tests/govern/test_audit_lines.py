"""The audit as lines: all of it, in order, whatever is killed; by one process at a time; nothing where nobody wants it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from core import config
from core.access import sign_in, users
from core.actors import COMMAND_LINE
from core.audit.record import Target, record
from core.errors import BadConfig, Forbidden
from core.govern import audit_lines
from core.govern.audit_lines import AuditLines
from core.store import db
from tests.conftest import ROOT, make_user
from tests.processes import environment

SECRET = "sk-proj-canary-0123456789abcdefghijklmnop"


def happen(number: int, name: str = "x") -> None:
    for _ in range(number):
        with db.transaction() as session:
            record(session, COMMAND_LINE, "keys.rotate", Target("keys", None, name))


def begun(written: list[str]) -> AuditLines:
    """What writes to *written*, from now on."""
    lines = AuditLines(written.append)
    assert lines.look() == 0
    return lines


def events(written: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in "".join(written).splitlines()]


def seqs() -> list[int]:
    with db.transaction() as session:
        return list(session.scalars(text("SELECT seq FROM audit_events ORDER BY seq")))


@pytest.mark.usefixtures("committed")
def test_what_is_written() -> None:
    """From the first look on, changes, sign-ins that failed and denials; a line each, in ASCII, whatever is in a name; no secret."""
    happen(3)
    written: list[str] = []
    lines = begun(written)
    alan = make_user("alan", "analyst")
    with db.transaction() as session:
        sign_in.failed(session, None, "192.0.2.1")
    with pytest.raises(Forbidden), db.transaction() as session:
        users.add(session, alan, "eve", "an entirely other sentence", "admin")
    happen(1, f"a\n\x1b[2J\u2028é {SECRET}")

    assert lines.look() == 3
    found = events(written)
    assert [event["action"] for event in found] == ["session.sign_in_failed", "denied", "keys.rotate"]
    assert [event["seq"] for event in found] == seqs()[3:]
    assert {"type", "seq", "hash", "at", "actor", "address", "action", "target", "changes"} <= found[0].keys()
    assert "".join(written).isascii()
    assert all(line.isprintable() for line in "".join(written).splitlines())
    assert SECRET not in "".join(written)
    assert lines.look() == 0


@pytest.mark.usefixtures("committed")
def test_what_is_not_written_is_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard output is closed the place stays, and all comes later; more than one read holds is all written."""
    monkeypatch.setattr(audit_lines, "AT_ONCE", 2)
    written: list[str] = []
    lines = begun(written)
    happen(5)

    def broken(_lines: str) -> None:
        raise BrokenPipeError

    lines._write = broken
    with pytest.raises(BrokenPipeError):
        lines.look()
    lines._write = written.append
    assert lines.look() == 5
    assert [event["seq"] for event in events(written)] == seqs()


@pytest.mark.usefixtures("committed")
def test_one_writes_at_a_time() -> None:
    """While one has its turn another writes nothing, also where a clock was set back; after the turn it goes on."""
    first: list[str] = []
    second: list[str] = []
    one, other = begun(first), AuditLines(second.append)
    happen(1)
    assert one.look() == 1
    happen(1)
    assert other.look() == 0
    with db.transaction() as session:
        session.execute(text("UPDATE audit_lines SET run_until = clock_timestamp() - interval '1 second'"))
    assert other.look() == 1
    happen(1)
    assert one.look() == 0
    with db.transaction() as session:
        session.execute(text("UPDATE audit_lines SET run_until = clock_timestamp() + interval '1 year'"))
    assert one.look() == 1
    assert [event["seq"] for event in events(first + second)] == [1, 3, 2]


def test_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset nothing is written; another word ends a start with the choice."""
    AuditLines().start()
    with pytest.raises(BadConfig, match="LLM_AUDIT_LINES must be stdout"):
        config.check_at_start(config.Config.read({"LLM_AUDIT_LINES": "stderr"}))
    monkeypatch.setenv("LLM_AUDIT_LINES", "stdout")
    assert config.writes_audit_lines(config.Config.read())


@contextmanager
def process(store: str, at_once: int, pause: float) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.audit_liner", "1", str(at_once), str(pause)],
        env=environment(DATABASE_URL=store, LLM_AUDIT_LINES="stdout"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.kill
def test_a_kill_loses_nothing(committed: str) -> None:
    """Killed with -9 after it has written and before that was noted: the next one writes those again, and then all others, in order."""
    begun([])
    happen(6)
    with process(committed, 2, 30) as child:
        assert child.stdout is not None
        first = [child.stdout.readline() for _ in range(2)]
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    with process(committed, 2, 0) as child:
        assert child.stdout is not None
        rest = [child.stdout.readline() for _ in range(6)]

    assert [event["seq"] for event in events(first)] == [1, 2]
    assert [event["seq"] for event in events(rest)] == seqs() == [1, 2, 3, 4, 5, 6]
