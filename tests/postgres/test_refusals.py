"""What a database refuses is told as what it is, with a cure, and without a word of the URL."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from core.postgres import lines, refusals
from tests.conftest import named
from tests.poolers import pooler

SECRET = "pa55-word-nobody-sees"


@pytest.fixture(autouse=True)
def _isolated() -> None:
    """Replaces the fixture of the same name for all tests: these need no engine."""


@pytest.fixture
def owner(database: str) -> Iterator["psycopg.Connection[Any]"]:
    """A connection to the test's own database."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@contextlib.contextmanager
def role(owner: "psycopg.Connection[Any]", how: str) -> Iterator[str]:
    """Make a role of the server; yields its name."""
    row = owner.execute("SELECT current_database()").fetchone()
    assert row is not None
    name = f"role_{row[0]}"
    owner.execute(f"CREATE ROLE {name} {how}")
    try:
        yield name
    finally:
        owner.execute(f"DROP OWNED BY {name}")
        owner.execute(f"DROP ROLE {name}")


def by(url: str, user: str) -> str:
    """Return *url* with another user, and a password that no server asks for."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{SECRET}@{parts.netloc.rpartition('@')[2]}").geturl()


def refused(url: str, statement: str | None = None) -> refusals.Refusal:
    """Connect, and run *statement*: one of the two fails."""
    with pytest.raises(psycopg.Error) as caught, contextlib.closing(lines.connect(url, "refused")) as connection:
        connection.execute(statement or "SELECT 1")
    found = refusals.read(caught.value)
    assert found is not None, caught.value
    return found


def test_the_user_is_refused(owner: "psycopg.Connection[Any]", database: str) -> None:
    """A role that is not there, and one that may not log in: class 28."""
    assert refused(by(database, "nobody-of-that-name")).sqlstate == "28"
    with role(owner, "NOLOGIN") as name:
        assert refused(by(database, name)).sqlstate == "28"


def test_a_wrong_password_is_told_by_a_pooler_as_by_a_server(database: str) -> None:
    """Through PgBouncer the code is lost as well; the words are enough."""
    with pooler(database, "transaction", ignore_startup_parameters="options,extra_float_digits") as bouncer:
        found = refused(bouncer.url.replace("right", "wrong"))
        assert (found.sqlstate, found.lasting) == ("28", True)
        assert refused(named(bouncer.url, "nowhere")).sqlstate in {"3D000", "28"}


def test_no_such_database(database: str) -> None:
    """3D000."""
    found = refused(named(database, "nowhere"))
    assert (found.sqlstate, found.lasting) == ("3D000", True)
    assert "DATABASE_URL" in found.cure


def test_a_role_without_rights(owner: "psycopg.Connection[Any]", database: str) -> None:
    """42501, at a table and at the database's door; the cure names the command."""
    with role(owner, "LOGIN") as name:
        found = refused(by(database, name), "SELECT * FROM llm_providers")
        assert (found.sqlstate, found.lasting) == ("42501", True)
        assert "grant-reader" in found.cure
        owner.execute(f"REVOKE CONNECT ON DATABASE {urlsplit(database).path[1:]} FROM PUBLIC")
        assert refused(by(database, name)).sqlstate == "42501"


def test_missing_tables_and_read_only_servers(database: str) -> None:
    """42P01, 42703 and 25006."""
    assert refused(database, "SELECT * FROM not_there").sqlstate == "42P01"
    assert refused(database, "SELECT not_there FROM llm_providers").sqlstate == "42703"
    found = refused(database, "BEGIN READ ONLY; DELETE FROM llm_providers")
    assert (found.sqlstate, found.lasting) == ("25006", True)
    assert "LLM_WRITE_DATABASE_URL" in found.cure


def test_no_free_connection_passes(owner: "psycopg.Connection[Any]", database: str) -> None:
    """53300 is no lasting refusal: others may leave."""
    with role(owner, "LOGIN CONNECTION LIMIT 0") as name:
        found = refused(by(database, name))
        assert (found.sqlstate, found.lasting) == ("53300", False)


def test_a_pooler_that_refuses_options(database: str) -> None:
    """PgBouncer's 08P01, which means many things elsewhere."""
    with pooler(database, "transaction") as bouncer:
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(bouncer.url, options="-c statement_timeout=5s")
        found = refusals.read(caught.value)
    assert found is not None
    assert (found.sqlstate, found.lasting) == ("08P01", True)
    assert "ignore_startup_parameters" in found.cure


UNREACHED: dict[str, Callable[[int], str]] = {
    "nobody listens there": lambda port: f"postgresql://u:{SECRET}@127.0.0.1:{port}/x",
    "the host's name is not known": lambda _: f"postgresql://u:{SECRET}@nowhere.invalid/x",
    "DATABASE_URL cannot be read": lambda _: f"postgresql://u:{SECRET}%zz@127.0.0.1/x",
}


@pytest.mark.parametrize("reason", UNREACHED)
def test_what_never_reached_a_server(reason: str) -> None:
    """Each has its reason, and none of them names what may be a part of the password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = UNREACHED[reason](taken.getsockname()[1])
        with pytest.raises(psycopg.Error) as caught:
            psycopg.connect(url, connect_timeout=2)
    found = refusals.read(caught.value)
    assert found is not None, caught.value
    assert found.reason == reason
    assert not found.lasting
    assert SECRET not in str(found)


def test_a_refusal_in_another_language() -> None:
    """Where the words are not known, they are passed on: the server's own after the severity, and nothing before it."""
    error = psycopg.OperationalError(
        'connection failed: connection to server at "pa55-word-nobody-sees@db", port 5432 failed: '
        "FATALE:  la base di dati «llm» non esiste\nCONSIGLIO:  postgresql://u:pa55@db/llm"
    )
    found = refusals.read(error)
    assert found is not None
    assert "la base di dati «llm» non esiste" in found.reason
    assert "pa55" not in str(found)


def test_what_is_no_refusal_is_none_of_ours() -> None:
    """Other errors keep their own words, and a chain in a circle ends."""
    error = ValueError("password authentication failed for user 'x'")
    error.__cause__ = KeyError()
    error.__cause__.__cause__ = error
    assert refusals.read(error) is None


def test_errors_of_sqlalchemy_are_read_as_well(database: str) -> None:
    """The driver's error is inside; the grant is the caller's."""
    engine = create_engine(database.replace("postgresql", "postgresql+psycopg", 1))
    with pytest.raises(DBAPIError) as caught, engine.connect() as connection:
        connection.execute(text("SELECT * FROM not_there"))
    engine.dispose()
    found = refusals.read(caught.value, grant="grant-app ROLE")
    assert found is not None
    assert found.sqlstate == "42P01"
