"""Processes that cannot have a thread, or have other threads: resolve answers, says why, and tries again."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.postgres import threads
from tests.conftest import require
from tests.processes import python

ADD = (
    "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
    " VALUES ('openai', 'OpenAI', 'openai', '[\"m1\"]', 'm1')"
)


@pytest.fixture
def store(database: str) -> str:
    """A database with one provider."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ADD)
    return database


def ran(code: str, *arguments: str, **env: str) -> dict[str, Any]:
    """Run a program; return the JSON of its last line."""
    done = python(code, *arguments, **env)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found | {"stderr": done.stderr}


NO_THREAD = """
import json, sys, threading, time
name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
real = getattr(threading, name)
def refuse(*_, **__):
    raise RuntimeError("can't start new thread")
setattr(threading, name, refuse)
from core.resolve import resolve, resolver
said = {}
begun = time.monotonic()
first = resolve("openai")
said["first"] = [first.status, first.cure, first.model]
said["waited"] = resolver.start().wait(30)
said["seconds"] = time.monotonic() - begun
setattr(threading, name, real)
time.sleep(1.1)
resolve("openai")
said["tried"] = resolver.start().wait(30)
resolve("openai")
said["later"] = [resolve("openai").status, resolve("openai").model]
said["same"] = resolve("openai") is resolve("openai") and bool(resolver._answers)
print(json.dumps(said))
"""


@pytest.mark.program
def test_no_thread_now_and_one_later(store: str) -> None:
    """At a limit of threads: no exception, no wait, the reason as the cure; and it goes on by itself afterwards."""
    said = ran(NO_THREAD, DATABASE_URL=store)
    status, cure, _ = said["first"]
    assert status == "store_unavailable"
    assert "no thread can be started (can't start new thread)" in cure
    assert said["waited"] is False
    assert said["seconds"] < 5
    assert said["tried"] is True
    assert said["later"] == ["no_key", "m1"]
    assert said["same"] is True
    assert said["stderr"].count("no thread can be started") == 1


@pytest.mark.program
def test_no_thread_with_a_snapshot_file(store: str, tmp_path: Path) -> None:
    """The file answers meanwhile, and does not hold it up: each miss tries again."""
    file = tmp_path / "snapshot"
    fill = (
        "from core.resolve import resolve, resolver; import time\n"
        "print('{}' if resolver.start().wait(30) else '')\n"
        "import os; end = time.monotonic() + 20\n"
        "while not os.path.exists(os.environ['LLM_SNAPSHOT_FILE']) and time.monotonic() < end: time.sleep(0.05)\n"
    )
    ran(fill, DATABASE_URL=store, LLM_SNAPSHOT_FILE=str(file))
    said = ran(NO_THREAD, DATABASE_URL=store, LLM_SNAPSHOT_FILE=str(file))
    assert said["first"][2] == "m1"
    assert (said["tried"], said["later"], said["same"]) == (True, ["no_key", "m1"], True)


LOG_WITHOUT_THREAD = """
import json, threading, time
from core.resolve import resolve, resolver
from core.calling import log_writer
from core import logs
from tests.calling.test_log_writer import CALL, settings
name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
real = getattr(threading, name)
def refuse(*_, **__):
    raise RuntimeError("can't start new thread")
setattr(threading, name, refuse)
log_writer.put(settings(), CALL)
begun = time.monotonic()
said = {"flushed": logs.flush(10), "seconds": time.monotonic() - begun}
setattr(threading, name, real)
time.sleep(1.1)
log_writer.put(settings(), CALL)
said |= {"later": logs.flush(10), "dropped": logs.dropped()}
print(json.dumps(said))
"""


@pytest.mark.program
def test_a_log_that_cannot_start_goes_on_later(store: str) -> None:
    """Nothing is raised into the call; what waited is written with the next call."""
    said = ran(LOG_WITHOUT_THREAD, DATABASE_URL=store)
    assert (said["flushed"], said["later"], said["dropped"]) == (False, True, 0)
    assert said["seconds"] < 5
    with psycopg.connect(store) as connection:
        assert connection.execute("SELECT count(*) FROM llm_logs").fetchone() == (2,)


SUB_INTERPRETER = """
import importlib, json, os, sys
try:
    import _interpreters as module
    made, run = module.create(sys.argv[1]), module.exec
except ImportError:
    import _xxsubinterpreters as module
    made, run = module.create(isolated=sys.argv[1] == "isolated"), module.run_string
inside, outside = os.pipe()
failed = run(made, f'''
import json, os, sys
sys.path[:0] = {sys.path!r}
from core.resolve import resolve, resolver
found = [resolve("openai") for _ in range(3)]
os.write({outside}, json.dumps([[each.status, each.cure] for each in found]).encode())
''')
module.destroy(made)
print(json.dumps({"failed": str(failed or ""), "inside": json.loads(os.read(inside, 65536))}))
"""


@pytest.mark.program
@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_sub_interpreters_are_a_documented_no(store: str, kind: str) -> None:
    """The driver's C code aborts the process there; so neither is begun, and the cure says what to do."""
    said = ran(SUB_INTERPRETER, kind, DATABASE_URL=store)
    assert said["failed"] == ""
    for status, cure in said["inside"]:
        assert status == "store_unavailable"
        assert "sub-interpreter" in cure
        assert "WSGIApplicationGroup" in cure


EVENTLET = """
import json, sys, time
import eventlet
eventlet.monkey_patch(**json.loads(sys.argv[1]))
from core import logs
from core.calling import log_writer
from core.resolve import resolve, resolver
from tests.calling.test_log_writer import CALL, settings
begun = time.monotonic()
found = [thread.wait() for thread in [eventlet.spawn(resolve, "openai") for _ in range(10)]]
log_writer.put(settings(), CALL)
said = {"status": sorted({each.status for each in found}), "cure": found[0].cure, "seconds": time.monotonic() - begun}
said |= {"flushed": logs.flush(10), "dropped": logs.dropped()}
print(json.dumps(said))
"""


@pytest.mark.program
def test_eventlet_is_refused_in_a_sentence(store: str) -> None:
    """With its threads it would hang for ever; without them it works as anywhere else."""
    require("eventlet", importlib.util.find_spec("eventlet"))
    said = ran(EVENTLET, "{}", DATABASE_URL=store)
    assert said["status"] == ["store_unavailable"]
    assert "eventlet.monkey_patch(thread=False)" in said["cure"]
    assert (said["flushed"], said["dropped"]) == (True, 1)
    assert said["seconds"] < 10
    said = ran(EVENTLET, '{"thread": false}', DATABASE_URL=store)
    assert (said["status"], said["flushed"], said["dropped"]) == (["no_key"], True, 0)


GEVENT = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, json, os, psycopg, time
from core import logs
from core.calling import log_writer
from core.resolve import resolve, resolver
from tests.calling.test_log_writer import CALL, settings
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)
gevent.spawn(tick)
jobs = [gevent.spawn(resolve, "openai") for _ in range(20)]
gevent.joinall(jobs, timeout=30)
said = {"status": sorted({job.value.status for job in jobs})}
other = psycopg.connect(os.environ["DATABASE_URL"])
def goes_on_during(job):
    # Whether the loop turns ten times while `job` waits for what comes only afterwards.
    until = len(ticks) + 10
    while len(ticks) < until and not job.ready():
        gevent.sleep(0.01)
    return not job.ready()
other.execute("LOCK TABLE llm_logs")
log_writer.put(settings(), CALL)
job = gevent.spawn(logs.flush, 20)
said["during_flush"] = goes_on_during(job)
other.rollback()
said["flushed"] = job.get()
job = gevent.spawn(resolver.wait_for, resolver.generation + 1, 20)
said["during_wait"] = goes_on_during(job)
other.execute("UPDATE llm_providers SET display_name = 'after'")
other.commit()
said["changed"] = job.get() and resolve("openai").display_name
print(json.dumps(said))
"""


@pytest.mark.program
def test_gevent_works(store: str) -> None:
    """Greenlets get their answers, changes come, the log is written, and the loop goes on meanwhile."""
    require("gevent", importlib.util.find_spec("gevent"))
    said = ran(GEVENT, DATABASE_URL=store)
    assert (said["status"], said["flushed"], said["changed"]) == (["no_key"], True, "after")
    assert (said["during_flush"], said["during_wait"]) == (True, True)


def test_a_thread_is_one_that_nobody_waits_for() -> None:
    """In an ordinary process."""
    seen: list[int] = []
    thread = threads.start(seen.append, "of a test", 7)
    thread.join(10)
    assert (thread.daemon, thread.name, seen) == (True, "of a test", [7])
