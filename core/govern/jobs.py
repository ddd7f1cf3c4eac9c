"""The one runner of periodic work: a thread of the app looks for what is due, and one of all processes does it.

:data:`JOBS` is the table; a new piece of work is a row there. Whose turn it is stands in the table ``jobs``, by the
database's clock, and is renewed in each transaction of the work: see docs/decisions/periodic-work.md.
"""

import contextlib
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from ..access import tokens
from ..actors import PERIODIC
from ..config import get_config, key_max_age, looks_daily
from ..errors import CoreError, Invalid, NotFound
from ..postgres import threads
from ..redaction import scrub
from ..store import db
from ..store.db import Transact
from . import (
    alert_looks,
    audit_purge,
    history_purge,
    key_ages,
    log_purge,
    model_looks,
    outbox_purge,
    spend_holders,
    usage_days,
)
from .partly import Partly

T = TypeVar("T")

ACTOR: Final = PERIODIC
"""Who does it, in the audit."""
FIRST: Final = 5.0
"""Seconds after the start before the first look, about: a start has other things to do."""
LOOK: Final = 30.0
"""Seconds between two looks at what is due, about."""
LONGEST: Final = 300.0
"""Seconds after which a run leaves the rest to the next one, which is due at the next look."""
LEASE: Final = 120.0
"""Seconds that a run is left alone without a sign of life, by the database's clock: after that its process is taken for dead."""
SPREAD: Final = 0.1
"""So much of an interval is left to chance: jobs of equal intervals do not meet for ever."""
RETRY: Final = timedelta(minutes=1)
"""Until the first try after a failure; doubled with each one, up to the job's own interval."""
_SHOWN: Final = 300
"""Characters of an error."""

_log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One piece of periodic work."""

    name: str
    does: str
    """For people: a sentence without its full stop."""
    every: timedelta
    work: Callable[[Transact], int]
    """Does it, in transactions of its own, each of some seconds at most, and returns how many rows it was; what is done
    besides, such as asking a vendor, is done between two transactions. It may be ended after any of them, and begun again."""
    off: Callable[[], str] = lambda: ""
    """Why it is not done here, for people; empty: it is."""


def _purge_log(transact: Transact) -> int:
    return log_purge.purge_as_decided(transact, ACTOR)


def _purge_audit(transact: Transact) -> int:
    return audit_purge.purge_events(transact, ACTOR)


def _drop_tokens(transact: Transact) -> int:
    return transact(lambda session: tokens.drop_ended(session, ACTOR))


def _no_looks() -> str:
    return "" if looks_daily(get_config()) else "LLM_MODEL_LOOKS is not daily: no vendor is asked by itself"


def _no_age() -> str:
    return "" if key_max_age(get_config()) else "LLM_KEY_MAX_AGE_DAYS is not set: no key is too old"


def _look_at_models(transact: Transact) -> int:
    return model_looks.look(transact, ACTOR)


def _purge_history(transact: Transact) -> int:
    return history_purge.purge_as_decided(transact, ACTOR)


JOBS: Final = (
    Job("usage-days", "adds old figures of calls up by days", timedelta(hours=1), usage_days.roll_up),
    Job("log-purge", "deletes calls that are kept no longer", timedelta(days=1), _purge_log),
    Job("audit-purge", "deletes what keep_audit_days calls old", timedelta(days=1), _purge_audit),
    Job("webhook-purge", "deletes old messages to webhooks", timedelta(hours=1), outbox_purge.purge),
    Job("history-purge", "deletes what keep_history_days calls old", timedelta(days=1), _purge_history),
    Job("alert-looks", "looks for alerts that need time", timedelta(minutes=5), alert_looks.look_at_alerts),
    Job(
        "spend-holders",
        "forgets processes that last told what they spent 400 days ago",
        timedelta(days=1),
        spend_holders.drop,
    ),
    Job("key-ages", "tells of API keys that get too old", timedelta(days=1), key_ages.tell, _no_age),
    Job("token-purge", "deletes API tokens that ended a year ago", timedelta(days=1), _drop_tokens),
    Job(
        "model-looks", "asks active providers for their lists of models", timedelta(days=1), _look_at_models, _no_looks
    ),
)
"""All periodic work. What a job does must be safe when it is done twice, too late, or not to its end."""


class JobState(NamedTuple):
    """How it is with one job."""

    job: Job
    off: str
    """Why it is not done; empty: it is."""
    running: bool = False
    last: datetime | None = None
    """When it ended last."""
    seconds: float | None = None
    """What that run took."""
    outcome: str | None = None
    """``done``, ``unfinished`` or ``failed``; None: it never ran."""
    done: int | None = None
    """Rows of the last run."""
    error: str | None = None
    """Why it failed; of one that is ``done``, what of it could not be."""
    failures: int = 0
    """One after the other, up to now."""
    next: datetime | None = None
    """When it is due; None: at once, or never."""
    overdue: bool = False
    """Due for more than ten looks: nobody does it."""


class _Enough(Exception):
    """The run ends here: its time is up, the process leaves, or somebody else has its turn."""


_RUNNING: Final = (
    "run IS NOT NULL AND run_until BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => :lease)"
)
"""A time far ahead was written by a clock that was set back since: it binds nobody."""
_DUE: Final = "NOT (next_at > clock_timestamp() AND next_at <= clock_timestamp() + make_interval(secs => :most))"
# NOT EXISTS: ON CONFLICT alone would wait for whoever holds the row.
_ADD: Final = """
    INSERT INTO jobs (name) SELECT :name WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE name = :name) ON CONFLICT DO NOTHING
"""
# SKIP LOCKED: a transaction of the run holds the row, and waiting for it would end in a time limit.
_CLAIM: Final = f"""
    UPDATE jobs SET run = :run, run_until = clock_timestamp() + make_interval(secs => :lease), started_at = clock_timestamp()
    WHERE name = (SELECT name FROM jobs WHERE name = :name AND NOT ({_RUNNING}) AND (:any OR {_DUE}) FOR UPDATE SKIP LOCKED)
    RETURNING name
"""  # noqa: S608 - our own words
_RENEW: Final = """
    UPDATE jobs SET run_until = clock_timestamp() + make_interval(secs => :lease) WHERE name = :name AND run = :run RETURNING name
"""
_END: Final = """
    UPDATE jobs SET run = NULL, run_until = NULL, ended_at = clock_timestamp(), outcome = :outcome, done = :done,
        error = :error, failures = CASE WHEN :outcome = 'failed' THEN failures + 1 ELSE 0 END,
        next_at = clock_timestamp() + make_interval(secs => CASE
            WHEN :outcome = 'failed' THEN least(:every, :retry * 2 ^ least(failures, 20))
            WHEN :outcome = 'unfinished' THEN 0 ELSE :every END * (1 + :spread * (2 * random() - 1)))
    WHERE name = :name AND run = :run
"""
_STATES: Final = f"""
    SELECT name, {_RUNNING} AS running, ended_at, extract(epoch FROM ended_at - started_at)::float AS seconds, outcome, done,
        error, failures, next_at, next_at < clock_timestamp() - make_interval(secs => :late) AS overdue
    FROM jobs
"""  # noqa: S608 - our own words


_WAITS: Final = (
    f"SELECT name, {_RUNNING} AS running, extract(epoch FROM next_at - clock_timestamp())::float AS seconds FROM jobs"  # noqa: S608 - our own words
)


def states(session: Session, jobs: Iterable[Job] = JOBS) -> list[JobState]:
    """Return how it is with each of *jobs*."""
    rows = {row.name: row for row in session.execute(text(_STATES), {"lease": LEASE, "late": 10 * LOOK})}
    return [_state(job, rows.get(job.name)) for job in jobs]


def _state(job: Job, row: Any) -> JobState:
    off = job.off()
    if row is None:
        return JobState(job, off)
    ended = None if row.running else row.seconds
    due = None if off or row.running else row.next_at
    late = bool(row.overdue) and due is not None
    return JobState(
        job, off, row.running, row.ended_at, ended, row.outcome, row.done, row.error, row.failures, due, late
    )


def run(name: str, jobs: Iterable[Job] = JOBS) -> int:
    """Do the job called *name* now, to its end, due or not; return how many rows it was.

    Raises:
        NotFound: If there is no such job.
        Invalid: If another process is doing it.
        CoreError: What the job itself raises; it is noted as its error as well.
    """
    job = next((job for job in jobs if job.name == name), None)
    if job is None:
        raise NotFound("job", name)
    turn = Turn.take(job, any_time=True)
    if turn is None:
        words = (
            f"is being done by another process, or was left by one less than {LEASE:.0f} seconds ago: try again later"
        )
        raise Invalid({name: words})
    failed = turn.work()
    if failed is not None:
        raise failed
    return turn.done


class Turn:
    """One run of a job, which this process has the right to now. It is what the job's work makes its transactions by."""

    def __init__(self, job: Job, run: str, longest: float) -> None:
        self.job = job
        self.done = 0
        self._key = {"name": job.name, "run": run}
        self._deadline = time.monotonic() + longest
        self._mutex = threading.Lock()
        self._line: Any = None
        self._ending = False

    @classmethod
    def take(cls, job: Job, *, any_time: bool = False, longest: float = float("inf")) -> "Turn | None":
        """Return a turn at *job*; None if it is not due, or another process has it.

        Raises:
            StoreUnavailable: If the database cannot be reached.
        """
        run = uuid.uuid4().hex
        given = {"name": job.name, "run": run, "lease": LEASE, "most": _most(job), "any": any_time}

        def claim(session: Session) -> bool:
            _may_write(session)
            session.execute(text(_ADD), {"name": job.name})
            return session.execute(text(_CLAIM), given).one_or_none() is not None

        return cls(job, run, longest) if db.retrying(claim) else None

    def __call__(self, work: Callable[[Session], T]) -> T:
        """Run *work* in a transaction; raises what ends the run once its time is up, or another process has its turn."""
        if self._ending or time.monotonic() > self._deadline:
            raise _Enough

        def ours(session: Session) -> T:
            _may_write(session)
            if session.execute(text(_RENEW), {**self._key, "lease": LEASE}).one_or_none() is None:
                raise _Enough
            with self._mutex:
                self._line = session.connection().connection.dbapi_connection
            try:
                return work(session)
            finally:
                with self._mutex:
                    self._line = None

        result = db.retrying(ours)
        if isinstance(result, int):
            self.done += result
        return result

    def work(self) -> Exception | None:
        """Do the job, and note how it ended; return what it failed with. Nothing is raised."""
        outcome: str = "done"
        failed: Exception | None = None
        said: Exception | None = None
        try:
            self.done = self.job.work(self)
        except Partly as error:
            self.done, said = error.done, error
            _log.warning("Periodic work is done in part: %s: %s", self.job.name, _words(error))
        except _Enough:
            outcome = "unfinished"
        except Exception as error:  # noqa: BLE001 - whatever a job does, the others and the app go on
            outcome, failed = ("unfinished", None) if self._ending else ("failed", error)
        if failed is not None:
            _log.error(
                "Periodic work failed: %s: %s",
                self.job.name,
                _words(failed),
                exc_info=not isinstance(failed, CoreError),
            )
        with contextlib.suppress(CoreError):  # its end is noted by nobody then, and its turn ends by itself
            self._note(outcome, failed or said)
        return failed

    def end(self) -> None:
        """Have the run end now, in the middle of a statement too; for another thread."""
        self._ending = True
        with self._mutex:  # while it is held, the line is not given back: no other work of this process is cancelled
            if self._line is not None:
                with contextlib.suppress(psycopg.Error):
                    self._line.cancel_safe(timeout=1.0)

    def _note(self, outcome: str, failed: Exception | None) -> None:
        given = {
            **self._key,
            "outcome": outcome,
            "done": self.done,
            "error": _words(failed) if failed else None,
            "every": self.job.every.total_seconds(),
            "retry": RETRY.total_seconds(),
            "spread": SPREAD,
        }
        db.retrying(lambda session: session.execute(text(_END), given))


class Runner:
    """The thread that does what is due.

    Args:
        jobs: What there is to do.
        first: Seconds before the first look, about.
        look: Seconds between two looks, about.
    """

    def __init__(self, jobs: Iterable[Job] = JOBS, *, first: float = FIRST, look: float = LOOK) -> None:
        self._jobs = tuple(jobs)
        self._first, self._every = first, look
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self._turn: Turn | None = None
        self._last_words = ""

    def start(self) -> None:
        """Start the thread. Where none can be started, that is logged: the app serves without periodic work."""
        try:
            self._thread = threads.start(self._run, "llm-settings jobs")
        except threads.NoThread as error:
            _log.warning("Periodic work is not done by this process: %s.", error)

    def close(self) -> None:
        """End the thread, in some seconds at most; what it is doing is left to another process, or to the next start."""
        self._leaving.set()
        if self._turn is not None:
            self._turn.end()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        pause = self._first
        while not self._leaving.wait(pause * random.uniform(0.8, 1.2)):  # noqa: S311 - processes started together spread
            try:
                self._look()
            except CoreError:  # the database is away, or of another version: logged where that is found out
                pass
            except Exception as error:  # noqa: BLE001 - one bad look must not be the last one
                if (words := _words(error)) != self._last_words:
                    self._last_words = words
                    _log.exception("Periodic work is not looked for: %s", words)
            pause = self._every

    def _look(self) -> None:
        with db.transaction() as session:
            waits = {row.name: row for row in session.execute(text(_WAITS), {"lease": LEASE})}
        for job in self._jobs:
            row = waits.get(job.name)
            waiting = row is not None and (row.running or 0 < row.seconds <= _most(job))
            if not waiting and not self._leaving.is_set() and not job.off():
                self._do(job)

    def _do(self, job: Job) -> None:
        turn = Turn.take(job, longest=LONGEST)
        if turn is None:
            return
        self._turn = turn
        if self._leaving.is_set():
            turn.end()
        turn.work()
        self._turn = None


def _may_write(session: Session) -> None:
    """Ask whether this version may write what the database has now: it may have been migrated meanwhile; raises SchemaMismatch."""
    db.set_actor(session, ACTOR.name)
    db.require_writable(session)


def _most(job: Job) -> float:
    """Return the seconds that a job may be due in at most: a time farther ahead was written by a clock that went wrong."""
    return job.every.total_seconds() * (1 + SPREAD) + 1


def _words(error: Exception) -> str:
    """Return what is shown of an error: one line, without a statement or a secret."""
    if isinstance(error, CoreError):
        words = str(error)
    elif isinstance(error, DBAPIError):
        words = str(getattr(getattr(error.orig, "diag", None), "message_primary", None) or type(error.orig).__name__)
    else:
        words = f"{type(error).__name__}: {error}"
    return scrub(" ".join(words.split()))[:_SHOWN]
