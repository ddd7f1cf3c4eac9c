"""Every test runs on a real PostgreSQL, built by the migrations; nothing it writes stays.

The server is the embedded one, shared by all workers of a run, or the one that ``LLM_TEST_DATABASE_URL`` names.
"""

import asyncio
import functools
import os
import random
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import psycopg
import pytest
from sqlalchemy import Engine, NullPool, create_engine, event, text
from sqlmodel import Session

from core import config, crypto, redaction
from core.access import ratelimit, users
from core.actors import Actor
from core.manage import bootstrap
from core.postgres import embedded
from core.store import db, migrate
from core.store.tables import User
from tests.databases import databases_of
from tests.shares import chosen

T = TypeVar("T")

pytest.register_assert_rewrite("tests.calls")
hypothesis.settings.register_profile("anywhere", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("anywhere")  # no test asserts speed, of a busy machine least of all

ROOT = Path(__file__).parent.parent
PASSWORD = "correct horse battery"
ENCRYPTION_KEY = "0123456789abcdef" * 4
SHIPPED_COST = users.COST
"""Of bcrypt, in every process but those of the tests themselves, where a password takes a quarter of the time."""
SLOW = ("browser", "kill", "program", "long")
"""Marks of tests that the quick suite leaves out."""
NAMED_HERE = pytest.StashKey[bool]()
ROOMY = 4 * 1024**3
"""Bytes that have to be free in memory for the tests' server to be there."""


def _outside(name: str) -> bool:
    return name.startswith(("LLM_", "PG", "DATABASE_URL")) and not name.startswith("LLM_TEST_")


@pytest.fixture(scope="session", autouse=True)
def _no_configuration_from_outside() -> None:
    """The developer's own environment decides nothing here."""
    for name in filter(_outside, list(os.environ)):
        del os.environ[name]


def pytest_configure(config: pytest.Config) -> None:
    """Name the run, and its share of cases: its workers inherit both, and share the server and the template of that name."""
    config.stash[NAMED_HERE] = "LLM_TEST_RUN" not in os.environ
    os.environ.setdefault("LLM_TEST_RUN", uuid.uuid4().hex[:8])
    os.environ.setdefault("LLM_TEST_SHARE", str(random.randrange(1_000)))


def pytest_report_header() -> str:
    """Say which share of what is many and alike this run takes: tests/shares.py."""
    return f"LLM_TEST_SHARE={chosen()}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick what has no mark of the slow kinds: `-m quick`."""
    for item in items:
        if not any(item.get_closest_marker(slow) for slow in SLOW):
            item.add_marker("quick")


def pytest_collection_finish() -> None:
    """Have Streamlit look once a worker for components of installed packages, as an app does: AppTest reads them all anew."""
    if "streamlit.testing.v1" in sys.modules:
        from streamlit.components.v2 import manifest_scanner  # noqa: PLC0415 - tests of core alone do without Streamlit

        manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which share failed, and name the tests that did in the file LLM_TEST_FAILED, a line each: `.ci/run` asks for it."""
    if any(terminalreporter.stats.get(outcome) for outcome in ("failed", "error")):
        terminalreporter.write_line(pytest_report_header())
    if name := os.environ.get("LLM_TEST_FAILED"):
        reports = [report for outcome in ("failed", "error") for report in terminalreporter.stats.get(outcome, [])]
        Path(name).write_text("".join(f"{report.nodeid}\n" for report in reports), encoding="utf-8")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing behind, once every worker is done: whoever named the run cleans up."""
    if not session.config.stash[NAMED_HERE]:
        return
    if given := os.environ.get("LLM_TEST_DATABASE_URL"):
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {_template()}")
    else:
        shutil.rmtree(_folder(), ignore_errors=True)


def _folder() -> Path:
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOMY
    folder = memory if roomy else Path(tempfile.gettempdir())
    return folder / f"llm-test-{os.environ['LLM_TEST_RUN']}"  # short: it holds a socket


def _template() -> str:
    return f"llm_template_{os.environ['LLM_TEST_RUN']}"


@pytest.fixture(scope="session")
def server(_no_configuration_from_outside: None) -> Iterator[str]:
    """URL of a PostgreSQL server on which databases may be made."""
    given = os.environ.get("LLM_TEST_DATABASE_URL")
    url = given or embedded.start(_folder())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")  # of several workers one makes the template
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_template()]).fetchone():
            if not given:  # nothing here has to outlive a power cut, and databases are made ten times as fast
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("ALTER SYSTEM SET full_page_writes = off")
                connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE DATABASE {_template()}")
            migrate.upgrade(create_engine(_sqlalchemy(named(url, _template())), poolclass=NullPool))
    yield url
    databases_of(url).close()
    if not given:
        embedded.stop(_folder())


def named(url: str, database: str) -> str:
    """Return *url* with another database."""
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{database}{'?' if query else ''}{query}"


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* in a thread of its own: in this one Playwright has a loop running after a browser test."""
    with ThreadPoolExecutor(1) as crew:
        return crew.submit(asyncio.run, coroutine).result()


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@contextmanager
def fresh_database(server: str, template: str = "") -> Iterator[str]:
    """A migrated, empty database of its own, or a copy of the database *template*; yields its URL."""
    name = databases_of(server).take(template or _template())
    try:
        yield named(server, name)
    finally:
        databases_of(server).give_back(name)


@pytest.fixture(scope="session")
def worker_engine(server: str) -> Iterator[Engine]:
    """One database for all the tests of a worker that roll back."""
    with fresh_database(server) as url:
        engine = db.make_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """URL of a database of the test's own, for what needs real commits."""
    with fresh_database(server) as url:
        yield url


@pytest.fixture(autouse=True)
def _isolated(worker_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is one outer transaction that is rolled back; sessions join it by savepoints."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://tests-use-the-replaced-engine.invalid/none")
    monkeypatch.setenv("LLM_ENCRYPTION_KEY", ENCRYPTION_KEY)
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()
    ratelimit.get_limiter.cache_clear()
    monkeypatch.setattr(bootstrap, "ensure_ready", lambda *_: None)
    monkeypatch.setattr(users, "COST", 10)
    monkeypatch.setattr(redaction, "_passing", ())  # a key of another test is an ordinary text here
    with worker_engine.connect() as connection:
        outer = connection.begin()
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # a browser test takes longer
        connection.begin_nested()
        monkeypatch.setattr(db, "get_engine", lambda: connection)
        yield
        outer.rollback()
    config.get_config.cache_clear()
    crypto.get_ring.cache_clear()
    ratelimit.get_limiter.cache_clear()


@pytest.fixture
def committed(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The process's engine works on a database of the test's own, with real commits; yields its URL."""
    engine = db.make_engine(database)
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    yield database
    engine.dispose()


@pytest.fixture
def session() -> Iterator[Session]:
    """One transaction on the process's engine."""
    with db.transaction() as session:
        yield session


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the statements that this process's engine runs meanwhile, with numbers left out."""
    run: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        run.append(re.sub(r"\d+", "N", " ".join(statement.split())))

    engine: Any = db.get_engine()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield run
    finally:
        event.remove(engine, "before_cursor_execute", note)


def make_user(username: str, role: str) -> Actor:
    """Add a user without the cost of bcrypt; return who they are when signed in."""
    with db.transaction() as session:
        user = User(username=username, role=role, password_hash="*")
        session.add(user)
        session.flush()
        session.refresh(user)
        return Actor(user.username, user.id, user.auth_epoch)


@pytest.fixture
def admin() -> Actor:
    """The admin ada, signed in."""
    return make_user("ada", "admin")


@pytest.fixture
def analyst() -> Actor:
    """The analyst alan, signed in."""
    return make_user("alan", "analyst")


def require(what: str, found: object) -> None:
    """Skip loudly when *found* is empty; fail instead where ``LLM_TEST_REQUIRE`` names *what*, as in CI."""
    if not found:
        if what in os.environ.get("LLM_TEST_REQUIRE", ""):
            pytest.fail(f"{what} is missing on this machine, and required")
        pytest.skip(f"!!! SKIPPED: {what} is missing on this machine; these tests did not run !!!")
