"""Periodic work: done by one process at a time, whoever dies, however long it takes; a job that fails harms nobody."""

import logging
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, make_url, text
from sqlmodel import Session

from core import config
from core.errors import BadConfig, Invalid, NotFound, SchemaMismatch
from core.govern import jobs
from core.govern.jobs import JOBS, Job, Runner, Turn
from core.store import db, grants, migrate
from tests.audit.aging import age_events
from tests.clusters import by_proxy, socket_of
from tests.conftest import ROOT
from tests.poolers import pooler
from tests.processes import core, environment, running_app
from tests.proxy import PASS, SWALLOW, Proxy

HOUR = timedelta(hours=1)
NAMES = [job.name for job in JOBS]


def job(work: Callable[[jobs.Transact], int] = lambda _: 0, name: str = "test", every: timedelta = HOUR) -> Job:
    return Job(name, "is a test", every, work)


def state(one: Job) -> jobs.JobState:
    with db.transaction() as session:
        return jobs.states(session, [one])[0]


def sql(statement: str, **given: Any) -> Any:
    with db.transaction() as session:
        found = session.execute(text(statement), given)
        return found.fetchall() if found.returns_rows else None


def until(fact: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def running(*work: Job, look: float = 0.1) -> Iterator[Runner]:
    runner = Runner(work, first=0.05, look=look)
    runner.start()
    try:
        yield runner
    finally:
        runner.close()
        assert not any(thread.name == "llm-settings jobs" for thread in threading.enumerate())


# The table of jobs


def test_the_table() -> None:
    """Each has a name of its own and a sentence, comes at least daily, and not more often than it is looked for."""
    assert len(set(NAMES)) == len(JOBS)
    for one in JOBS:
        assert one.name.replace("-", "").isalpha()
        assert one.does
        assert not one.does.endswith(".")
        assert timedelta(minutes=1) <= one.every <= timedelta(days=1)


@pytest.mark.parametrize("name", NAMES)
def test_each_job_can_be_done_at_any_time(session: Session, name: str) -> None:
    """On an empty store, and again at once: nothing to do, and no error; it is noted."""
    assert [jobs.run(name), jobs.run(name)] == [0, 0]

    (found,) = (each for each in jobs.states(session) if each.job.name == name)
    assert (found.outcome, found.done, found.error, found.failures) == ("done", 0, None, 0)


def test_job_that_nobody_has() -> None:
    """A name that is none is refused."""
    with pytest.raises(NotFound, match="no-such"):
        jobs.run("no-such")


def test_the_log_is_kept_unless_said(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is said how long, an upgrade deletes nothing; with LLM_LOG_DAYS, what is older goes, and the audit says who did it."""
    for days in (3, 30, 300):
        session.execute(
            text(
                "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation)"
                " VALUES (now() - make_interval(days => :days), 'acme', 'm', 'ok', 1, 5, 1)"
            ),
            {"days": days},
        )
    assert [each.job.name for each in jobs.states(session) if each.off] == ["key-ages", "model-looks"]
    jobs.run("log-purge")
    assert session.scalar(text("SELECT count(*) FROM llm_logs")) == 3

    monkeypatch.setenv("LLM_LOG_DAYS", "100")
    config.get_config.cache_clear()

    assert jobs.run("log-purge") == 1
    assert session.scalar(text("SELECT count(*) FROM llm_logs")) == 2
    event = session.execute(text("SELECT actor, action, changes FROM audit_events ORDER BY id DESC LIMIT 1")).one()
    assert tuple(event)[:2] == ("periodic work", "logs.purge")
    assert event.changes["older_than_days"]["after"] == 100


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "thirty", "36501", "1e3", "٣", "9" * 50])
def test_days_that_are_none(value: str) -> None:
    """A number of days that is none ends the start of the app, with the rule; it is not taken for another one."""
    with pytest.raises(BadConfig, match="LLM_LOG_DAYS must be a whole number of days from 1 to 36500"):
        config.check_at_start(config.Config.read({"LLM_LOG_DAYS": value}))


def test_ended_tokens_go_after_a_year(session: Session) -> None:
    """Revoked or expired more than a year ago: gone, and their names on record; all others stay."""
    for name, expires, revoked in (
        *(("expired long ago", "-366 days", None), ("revoked long ago", None, "-366 days")),
        *(("expired", "-364 days", None), ("revoked", None, "-1 days"), ("live", "1 days", None), ("ever", None, None)),
    ):
        session.execute(
            text(
                "INSERT INTO api_tokens (name, token_hash, hint, role, created_by, expires_at, revoked_at) VALUES"
                " (:name, :name, 'x', 'admin', 'ada', now() + CAST(:expires AS interval), now() + CAST(:revoked AS interval))"
            ),
            {"name": name, "expires": expires, "revoked": revoked},
        )

    assert jobs.run("token-purge") == 2

    left = session.scalars(text("SELECT name FROM api_tokens ORDER BY 1")).all()
    assert left == ["ever", "expired", "live", "revoked"]
    changes = session.scalar(text("SELECT changes FROM audit_events WHERE action = 'token.purge'"))
    assert changes == {"names": {"before": ["expired long ago", "revoked long ago"], "after": None}}


# Turns


@pytest.mark.usefixtures("committed")
def test_one_of_many_has_the_turn() -> None:
    """Of eight that ask at once one is given the turn, as long as it shows life; the others have it in none of ten rounds."""
    for _ in range(10):
        sql("DELETE FROM jobs")
        with ThreadPoolExecutor(8) as pool:
            turns = list(pool.map(lambda _: Turn.take(job()), range(8)))
        assert sum(turn is not None for turn in turns) == 1


@pytest.mark.usefixtures("committed")
def test_turn_that_was_lost_does_nothing_more() -> None:
    """A process that was silent for longer than its lease finds its turn gone: it changes nothing, and notes nothing."""
    done: list[str] = []

    def work(transact: jobs.Transact) -> int:
        transact(lambda _: done.append("first"))
        sql("UPDATE jobs SET run_until = clock_timestamp() - interval '1 s'")
        other = Turn.take(job(), any_time=True)
        assert other is not None
        transact(lambda _: done.append("after it was lost"))
        return 1

    turn = Turn.take(job(work))
    assert turn is not None
    assert turn.work() is None

    assert done == ["first"]
    assert state(job()).running  # the other one
    assert state(job()).outcome is None


@pytest.mark.usefixtures("committed")
def test_turn_is_waited_for_by_nobody() -> None:
    """While a transaction of the work is open, whoever asks is told no at once, by command too; no time limit is met."""
    asked: list[object] = []

    def work(transact: jobs.Transact) -> int:
        def inside(_session: Session) -> int:
            asked.append(Turn.take(job(), any_time=True))
            with pytest.raises(Invalid, match="is being done by another process"):
                jobs.run("test", [job()])
            return 1

        return transact(inside)

    assert jobs.run("test", [job(work)]) == 1
    assert asked == [None]


def test_failure_is_noted_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The error is shown without secrets, the next try comes after 1, 2, 4 minutes, at most the interval; success ends it."""
    secret = "sk-proj-" + "a1B2" * 12

    def fail(_transact: jobs.Transact) -> int:
        raise RuntimeError(f"the vendor said no to {secret}")

    waits = []
    for _ in range(9):
        with pytest.raises(RuntimeError):
            jobs.run("test", [job(fail)])
        [(wait,)] = sql("SELECT extract(epoch FROM next_at - clock_timestamp())::float FROM jobs WHERE name = 'test'")
        waits.append(wait / 60)
    found = state(job())

    for wait, minutes in zip(waits, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert minutes * 0.85 < wait < minutes * 1.11
    assert (found.outcome, found.failures) == ("failed", 9)
    assert "the vendor said no" in (found.error or "")
    assert secret not in (found.error or "")
    assert "Periodic work failed: test" in caplog.text
    assert jobs.run("test", [job()]) == 0
    assert (state(job()).outcome, state(job()).failures, state(job()).error) == ("done", 0, None)


def test_time_that_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time a run ends between two transactions: what was done stays, the rest is due at once."""
    del monkeypatch

    def work(transact: jobs.Transact) -> int:
        done = 0
        while True:
            done += transact(lambda _: 5)
            time.sleep(0.02)

    turn = Turn.take(job(work), longest=0.1)
    assert turn is not None
    assert turn.work() is None

    found = state(job())
    assert (found.outcome, found.error) == ("unfinished", None)
    assert found.done is not None
    assert found.done >= 5
    assert Turn.take(job()) is not None


@pytest.mark.parametrize("hours", [-2, 2, 24 * 400])
@pytest.mark.parametrize("every", [timedelta(minutes=5), HOUR, timedelta(days=1)])
def test_clock_that_jumps(hours: int, every: timedelta) -> None:
    """The database's clock goes wrong and is set right: no job waits longer than its interval for it, nor for a dead process."""
    one = job(every=every)
    jobs.run("test", [one])
    sql("UPDATE jobs SET next_at = next_at + make_interval(hours => :hours)", hours=hours)
    [(wait,)] = sql("SELECT extract(epoch FROM next_at - clock_timestamp())::float FROM jobs WHERE name = 'test'")
    far = wait > every.total_seconds() * 1.1 + 1
    assert (Turn.take(one) is not None) == (wait <= 0 or far)

    sql(
        "UPDATE jobs SET run = 'dead', run_until = clock_timestamp() + make_interval(hours => :hours), next_at = now()",
        hours=hours,
    )
    assert not state(one).running
    assert Turn.take(one) is not None


def test_newer_schema_that_may_not_be_written(session: Session) -> None:
    """A process that runs on while the database is migrated does no more work there, nor takes a turn."""
    done: list[str] = []

    def work(transact: jobs.Transact) -> int:
        transact(lambda _: done.append("before"))
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        transact(lambda _: done.append("after"))
        return 1

    turn = Turn.take(job(work))
    assert turn is not None
    assert isinstance(turn.work(), SchemaMismatch)

    assert done == ["before"]
    with pytest.raises(SchemaMismatch):
        Turn.take(job(), any_time=True)


# The runner


@pytest.mark.usefixtures("committed")
def test_runner_does_what_is_due_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A job that fails, one that is off, and one that is not due stop no other; what is due is done, once."""
    caplog.set_level(logging.ERROR)
    done: list[str] = []

    def fail(transact: jobs.Transact) -> int:
        transact(lambda session: session.execute(text("SELECT 1 / 0")))
        return 0

    def succeed(transact: jobs.Transact) -> int:
        return transact(lambda _: done.append("good") or 3)

    bad, good = job(fail, "bad"), job(succeed, "good")
    off = Job("off", "is off", HOUR, lambda _: done.append("off") or 0, lambda: "it is off")
    later = job(lambda _: done.append("later") or 0, "later")
    sql("INSERT INTO jobs (name, next_at) VALUES ('later', now() + interval '10 min')")
    with running(bad, off, later, good):
        until(lambda: state(good).outcome == "done" and state(bad).outcome == "failed")
        time.sleep(0.5)

    assert done == ["good"]
    assert (state(good).done, state(bad).error) == (3, "division by zero")
    assert [row.off for row in map(state, (off, good))] == ["it is off", ""]
    assert caplog.text.count("Periodic work failed: bad") == 1


@pytest.mark.usefixtures("committed")
def test_closing_ends_what_is_being_done() -> None:
    """In the middle of a long statement: the thread ends, what it did is rolled back, the job is due at once."""

    def work(transact: jobs.Transact) -> int:
        def long(session: Session) -> int:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            session.execute(text("INSERT INTO login_attempts (username, address) VALUES ('x', 'y')"))
            session.execute(text("SELECT pg_sleep(300)"))
            return 1

        return transact(long)

    one = job(work)
    with running(one):
        until(
            lambda: sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(300)%' AND state = 'active'")
        )
        begun = time.monotonic()
    assert time.monotonic() - begun < 3 * 5

    assert sql("SELECT count(*) FROM login_attempts") == [(0,)]
    assert (state(one).running, state(one).outcome) == (False, "unfinished")
    assert sql("SELECT next_at <= clock_timestamp() FROM jobs") == [(True,)]


@pytest.mark.kill
def test_silent_database(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing comes from the database the runner waits its turn and dies of nothing; then it does what is due."""
    done: list[float] = []
    one = job(lambda transact: transact(lambda _: done.append(time.monotonic()) or 1), every=timedelta(seconds=1))
    with Proxy(socket_of(database)) as proxy:
        engine = db.make_engine(by_proxy(database, proxy))
        monkeypatch.setattr(db, "get_engine", lambda: engine)
        with running(one):
            until(lambda: done)
            proxy.treat(SWALLOW)
            time.sleep(4)
            silent = len(done)
            proxy.treat(PASS)
            until(lambda: len(done) > silent, 90)
        engine.dispose()


@pytest.mark.kill
def test_through_a_pooler(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In PgBouncer's transaction mode, where each transaction has another session of the server, turns are kept all the same."""
    with psycopg.connect(database) as owner:
        owner.execute("CREATE TABLE seen (pid integer)")
    with pooler(database, "transaction", ignore_startup_parameters="options,extra_float_digits") as bouncer:
        engine = db.make_engine(bouncer.url)
        event.listen(engine, "connect", lambda line, _: setattr(line, "prepare_threshold", None))  # as poolers want it
        monkeypatch.setattr(db, "get_engine", lambda: engine)

        def work(transact: jobs.Transact) -> int:
            for _ in range(20):
                transact(lambda session: session.execute(text("INSERT INTO seen SELECT pg_backend_pid()")))
                with pytest.raises(Invalid, match="another process"):
                    jobs.run("test", [job()])
            return 20

        assert jobs.run("test", [job(work)]) == 20
        assert state(job()).done == 20
        engine.dispose()


# Several processes


@contextmanager
def worker(database: str, lease: float, turns: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(ROOT / "tests" / "programs" / "job_runner.py"), str(lease), str(turns)]
    process = subprocess.Popen(
        command,
        env=environment(DATABASE_URL=database),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def worked(committed: str) -> str:
    """A database with a table in which the workers note each of their turns."""
    sql("CREATE TABLE worked (id bigserial, at timestamptz DEFAULT clock_timestamp(), pid integer)")
    return committed


def runs() -> list[int]:
    """Whose turns followed each other."""
    found: list[int] = []
    for (pid,) in sql("SELECT pid FROM worked ORDER BY id"):
        if not found or found[-1] != pid:
            found.append(pid)
    return found


@pytest.mark.kill
def test_one_of_three_processes_works(worked: str) -> None:
    """Three processes look all the time: a run is one process's from its first turn to its last."""
    with worker(worked, 60, 20), worker(worked, 60, 20), worker(worked, 60, 20):
        for round_ in range(1, 4):
            until(lambda done=20 * round_: sql("SELECT count(*) FROM worked")[0][0] == done)
            until(lambda: sql("SELECT run FROM jobs") == [(None,)])
            assert len(runs()) <= round_
            sql("UPDATE jobs SET next_at = clock_timestamp()")
        until(lambda: sql("SELECT count(*) FROM worked")[0][0] == 80)


@pytest.mark.kill
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_process_that_dies_or_stands_still(worked: str, how: signal.Signals) -> None:
    """Killed -9 or stopped in the middle of a run: another process does it after the lease; the stopped one goes on with nothing."""
    with worker(worked, 2, 60) as first:
        until(lambda: sql("SELECT count(*) FROM worked")[0][0] >= 5)
        first.send_signal(how)
        with worker(worked, 2, 60) as second:
            until(lambda: runs()[-1] == second.pid, 60)
            if how == signal.SIGSTOP:
                first.send_signal(signal.SIGCONT)
            until(lambda: sql("SELECT outcome FROM jobs") == [("done",)], 60)
            first.kill()
    assert runs() == [first.pid, second.pid]
    assert sql("SELECT count(*) FROM worked WHERE pid = :pid", pid=second.pid) == [(60,)]
    [(gap,)] = sql(
        "SELECT extract(epoch FROM min(at) FILTER (WHERE pid = :second) - max(at) FILTER (WHERE pid = :first))::float FROM worked",
        first=first.pid,
        second=second.pid,
    )
    assert gap > 1  # not before the first one's time was up


@pytest.mark.kill
def test_app_does_it(database: str, tmp_path: Path) -> None:
    """The app's own thread does all that is not off, soon after its start, and ends with the app."""
    with psycopg.connect(database, autocommit=True) as owner:
        query, on = (
            "SELECT name FROM jobs WHERE outcome = 'done' ORDER BY name",
            sorted(job.name for job in jobs.JOBS if not job.off()),
        )
        with running_app(tmp_path / "log", DATABASE_URL=database) as app:
            until(lambda: [name for (name,) in owner.execute(query)] == on, 60)
            assert app.stop() == -signal.SIGTERM  # by itself: a hanging one is killed
        assert "Periodic work" not in app.output()
        assert owner.execute("SELECT count(*) FROM jobs WHERE run IS NOT NULL").fetchone() == (0,)


# By command, and by the roles that there are


@pytest.mark.long
def test_by_command(committed: str) -> None:
    """`jobs list` says how each went; `jobs run` does one, also where it is off; another name is a sentence."""
    first = core("jobs", "list", DATABASE_URL=committed)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("Never run.") == len(JOBS)
    assert "Off: LLM_MODEL_LOOKS is not daily" in first.stdout

    done = core("jobs", "run", "usage-days", DATABASE_URL=committed)
    assert (done.returncode, done.stdout) == (0, "Done: 0 rows.\n")
    assert "UTC: 0 rows." in core("jobs", "list", DATABASE_URL=committed).stdout

    other = core("jobs", "run", "nonsense", DATABASE_URL=committed)
    assert other.returncode == 1
    assert "nonsense" in other.stderr
    assert "Traceback" not in other.stderr


@pytest.mark.parametrize("granted", ["before the migration", "after it"])
def test_app_role_does_each_job(database: str, monkeypatch: pytest.MonkeyPatch, granted: str) -> None:
    """The application's role may do all of it: also one that had its rights before there was periodic work."""
    engine, role = db.make_engine(database), f"app_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN")
        try:
            if granted == "before the migration":
                migrate.downgrade(engine, "0014")
                owner.execute(f"GRANT SELECT, DELETE ON llm_usage, llm_logs TO {role}")
                owner.execute(f"GRANT SELECT ON llm_providers, alembic_version TO {role}")
                owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON llm_settings TO {role}")
                owner.execute(f"GRANT SELECT, INSERT, UPDATE ON api_tokens, users, auth_sessions TO {role}")
                owner.execute(f"GRANT SELECT, UPDATE ON settings_generation TO {role}")
                owner.execute(f"GRANT SELECT, INSERT ON audit_events TO {role}")
                migrate.upgrade(engine)
            else:
                with Session(engine) as session, session.begin():
                    grants.grant_app(session, role)
            own = db.make_engine(make_url(database).set(username=role).render_as_string(hide_password=False))
            monkeypatch.setattr(db, "get_engine", lambda: own)
            owner.execute(
                "INSERT INTO llm_logs (at, provider, model, status, attempts, latency_ms, generation)"
                " VALUES (now() - interval '200 days', 'acme', 'm', 'ok', 1, 5, 1)"
            )
            owner.execute(
                "INSERT INTO api_tokens (name, token_hash, hint, role, created_by, revoked_at)"
                " VALUES ('old', 'x', 'x', 'admin', 'ada', now() - interval '400 days')"
            )
            owner.execute(
                "WITH t AS (INSERT INTO notification_targets (name, kind, url, events, generation)"
                " VALUES ('w', 'webhook', 'https://h.example.com', '[\"settings.changed\"]', 1) RETURNING id)"
                " INSERT INTO notification_deliveries (target_id, event, webhook_id, payload, done_at)"
                " SELECT id, 'settings.changed', 'msg_1', '{}', now() - interval '9 days' FROM t"
            )
            owner.execute(
                "INSERT INTO llm_spend_holders VALUES (gen_random_uuid(), 1, 'gone', now() - interval '500 days')"
            )
            owner.execute("UPDATE installation SET keep_history_days = 7, keep_audit_days = 40")
            owner.execute(
                "INSERT INTO audit_events (actor, action, target_type, target) VALUES ('ada', 'x', 'action', 'x')"
            )
            age_events(owner, 1, 50)
            for table in ("settings_generations", "settings_history"):
                owner.execute(f"UPDATE {table} SET at = at - interval '9 days'")
            monkeypatch.setenv("LLM_LOG_DAYS", "100")
            monkeypatch.setenv("LLM_KEY_MAX_AGE_DAYS", "30")
            config.get_config.cache_clear()

            nothing = {"key-ages": 0, "model-looks": 0, "alert-looks": 0}
            assert {name: jobs.run(name) for name in NAMES} == {**dict.fromkeys(NAMES, 1), **nothing}
            own.dispose()
        finally:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")
            engine.dispose()
