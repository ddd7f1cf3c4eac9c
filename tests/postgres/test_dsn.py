"""App, command line and services read one URL in one way, and the URL's own words hold."""

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core.config import Config
from core.errors import BadConfig
from core.postgres import dsn, lines
from core.store import db
from tests.conftest import named
from tests.processes import core, free_port, python

Ask = Callable[[str, str], Any]


def _app(url: str, query: str) -> Any:
    engine = db.make_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()
    finally:
        engine.dispose()


def _service(url: str, query: str) -> Any:
    with lines.connect(url, "llm-settings test") as connection, lines.transaction(connection):
        return connection.execute(query).fetchone()[0]  # type: ignore[index]


@pytest.fixture(params=[_app, _service], ids=["app", "service"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each way to connect, by the URL as the configuration reads it."""

    def asked(url: str, query: str) -> Any:
        found = Config.read({"DATABASE_URL": url}).database_url
        assert found is not None
        return request.param(found.reveal(), query)

    return asked


def _parts(database: str) -> dict[str, str]:
    return {k: str(v) for k, v in psycopg.conninfo.conninfo_to_dict(database).items()}


def _with(database: str, words: str) -> str:
    return f"{database}{'&' if urlsplit(database).query else '?'}{words}"


def test_the_urls_own_words_hold(ask: Ask, database: str) -> None:
    """application_name and options of the URL hold; without them ours do. UTC and UTF-8 stay."""
    own = _with(
        database,
        "application_name=mine&options=-csearch_path%3Dsettings%20-cstatement_timeout%3D7s%20-ctimezone%3DAsia/Tokyo",
    )

    assert ask(own, "SELECT current_setting('application_name')") == "mine"
    assert ask(own, "SELECT current_setting('search_path')") == "settings"
    assert ask(own, "SELECT current_setting('statement_timeout')") == "7s"
    assert ask(own, "SELECT current_setting('timezone')") == "UTC"
    assert ask(own, "SELECT current_setting('client_encoding')") == "UTF8"
    assert ask(database, "SELECT current_setting('application_name')").startswith("llm-settings")
    assert ask(database, "SELECT current_setting('statement_timeout')") in {"5s", "10s"}


@pytest.mark.parametrize(
    "form",
    [
        "postgresql://{user}@{folder}/{name}?port={port}",
        "postgresql:///{name}?host={folder}&port={port}&user={user}",
        "postgresql://{user}@/{name}?host=127.0.0.1:{closed}&host={folder}:{port}",
        "postgresql://{user}@/{name}?host=127.0.0.1,{folder}&port={closed},{port}",
        "postgresql://{user}@127.0.0.1:{closed},{folder}:{port}/{name}?target_session_attrs=read-write",
        "postgres://{user}:p#q%40?@{folder}:{port}/{name}?ssl=false&sslmode=disable",
    ],
)
def test_forms_of_urls(ask: Ask, database: str, form: str) -> None:
    """Socket folders, host lists of libpq and of SQLAlchemy, and signs in passwords: both read them alike."""
    parts = _parts(database)
    if not parts["host"].startswith("/"):
        pytest.skip("!!! SKIPPED: the tests' server is not on a socket !!!")
    url = form.replace("ssl=false&", "").format(
        user=parts["user"],
        folder=quote(parts["host"], safe=""),
        port=parts.get("port", "5432"),
        name=parts["dbname"],
        closed=free_port(),
    )

    assert ask(url, "SELECT current_database()") == parts["dbname"]


def test_the_urls_own_patience_holds() -> None:
    """connect_timeout of the URL is what the driver is given; 2 seconds where it says nothing, -1 and 0 are libpq's own."""
    for word, given in (("", 2), ("?connect_timeout=20", "20"), ("?connect_timeout=0", "0")):
        found = dsn.arguments(f"postgresql://h/d{word}", name="x", connect_timeout=2, options="")
        assert found["connect_timeout"] == given


@pytest.mark.long
def test_a_server_that_needs_four_seconds_is_waited_for(ask: Ask) -> None:
    """A database that accepts nothing for longer than ours is waited for as long as the URL says."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=4"
        begun = time.monotonic()
        with pytest.raises((psycopg.OperationalError, OperationalError), match="timeout"):
            ask(url, "SELECT 1")

    assert time.monotonic() - begun > 3.5


@pytest.mark.parametrize("word", ["pgbouncer=true", "schema=public", "sslaccept=strict", "foo=S3cretPassw0rd"])
def test_another_programs_words_are_named(word: str) -> None:
    """What only another program knows is named, with the cure, by the command line without a traceback, and not its value."""
    done = core("migrate", DATABASE_URL=f"postgresql://u:p@127.0.0.1:1/d?{word}")

    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Error: DATABASE_URL: PostgreSQL's own driver does not know {word.partition('=')[0]}="
    )
    assert done.stderr.count("\n") == 1
    assert "S3cret" not in done.stderr


def test_words_that_are_none(ask: Ask) -> None:
    """A query that is no list of words, and a patience that is no number, are refused."""
    for query in (
        *("?S3cretPassw0rd", "?S3cretPassw0rd=1", "?connect_timeout=S3cretPassw0rd", "?sslmode=S3cretPassw0rd"),
        *("?channel_binding=S3cretPassw0rd", "?target_session_attrs=S3cretPassw0rd"),
    ):
        with pytest.raises(BadConfig) as told:
            ask(f"postgresql://h/d{query}", "SELECT 1")
        assert "S3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "unset it for the embedded store"),
        ("  ", "unset it for the embedded store"),
        ("llm:S3cretPassw0rd@db:5432/llm", "names none: PostgreSQL is the only database"),
        ("postgresql://u:S3cretPassw0rd@127.0.0.1:1/d?pgbouncer=true", "does not know pgbouncer="),
        ("postgresql://u:S3cretPassw0rd@127.0.0.1:1/d?sslmode=no-verify", "sslmode is none of disable"),
        ("postgresql://u:S3cret@Passw0rd@127.0.0.1:1/d", "@ is %40"),
    ],
)
def test_a_service_is_told_the_cure(url: str, words: str) -> None:
    """`resolve` answers store_unavailable with what is wrong in DATABASE_URL; neither answer, error nor log has the password."""
    code = (
        "from core.resolve import resolve, resolver\n"
        "settings = resolve('openai')\n"
        "print(settings.status, settings.cure)\n"
        "try: settings.api_key()\n"
        "except Exception as error: print(error)\n"
        "resolver.close()\n"
    )
    done = python(code, DATABASE_URL=url)

    first, second = done.stdout.splitlines()
    assert first.startswith("store_unavailable ")
    assert words in first
    assert words in second
    for secret in ("S3cret", "Passw0rd"):
        assert secret not in done.stdout + done.stderr


def test_migrate_names_the_database(database: str) -> None:
    """`migrate` says which database it was by what the server says: name, host and port, no user and no password."""
    parts = _parts(database)
    url = named(database, parts["dbname"])

    done = core("migrate", DATABASE_URL=url)

    assert done.returncode == 0, done.stderr
    where = f"the socket in {parts['host']}" if parts["host"].startswith("/") else parts["host"]
    assert f"in the database {parts['dbname']} at {where}, port {parts.get('port', '5432')}." in done.stdout
