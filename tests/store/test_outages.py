"""What keeps the database from its work is told as what it is, to people and in the log."""

import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.errors import StoreUnavailable
from core.store import db, outages
from tests.conftest import named
from tests.proxy import Proxy
from tests.test_resolve_faults import by_proxy, socket_of

PASSWORD = "hunter2hunter2"


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """The tests' server by TCP."""
    with Proxy(socket_of(database)) as proxy:
        yield proxy


def told(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use a database that cannot be used; return what people are told."""
    monkeypatch.setattr(outages, "causes", outages.Causes())
    engine = db.make_engine(url)
    monkeypatch.setattr(db, "get_engine", lambda: engine)
    with pytest.raises(StoreUnavailable) as caught, db.transaction() as session:
        session.execute(text("SELECT 1"))
    engine.dispose()
    return str(caught.value)


REFUSED = {
    "database": ("there is no such database", "check the name in DATABASE_URL", True),
    "role": ("refuses the user or the password", "check both in DATABASE_URL", True),
    "port": ("nobody listens there", "try again in a moment", False),
    "host": ("the host's name is not known", "try again in a moment", False),
    "tls": ("do not agree on TLS", "try again in a moment", False),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refusals_are_told_as_what_they_are(
    fault: str, database: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each has its own words, to people and in the log; what stays so until somebody acts is not "try again"."""
    by_tcp = by_proxy(database, proxy).replace("postgres@", f"postgres:{PASSWORD}@")
    name = urlsplit(by_tcp).path
    url = {
        "database": by_tcp.replace(name, "/no-such-one"),
        "role": by_tcp.replace("postgres:", "nobody-of-that-name:"),
        "port": f"postgresql://somebody:{PASSWORD}@127.0.0.1:1{name}",
        "host": f"postgresql://somebody:{PASSWORD}@no-such-host.invalid{name}",
        "tls": f"{by_tcp}?sslmode=require",
    }[fault]
    reason, cure, lasts = REFUSED[fault]

    sentence = told(url, monkeypatch)

    assert reason in sentence
    assert cure in sentence
    assert ("try again" in sentence) != lasts
    assert "Nothing was saved" in sentence
    assert "A request was refused for want of the database" in caplog.text
    for seen in (sentence, caplog.text):
        assert PASSWORD not in seen
        assert "no-such-host" not in sentence


def test_read_only_database_is_left_and_found_again(committed: str) -> None:
    """25006 is the database's state, not a fault of ours; the sessions that have it are given up, so that new ones are asked."""
    with psycopg.connect(named(committed, "postgres"), autocommit=True) as other:
        name = committed.partition("?")[0].rpartition("/")[2]
        other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        db.get_engine().dispose()
        with pytest.raises(StoreUnavailable, match="The database is read-only"), db.transaction() as session:
            session.execute(text("UPDATE settings_generation SET generation = generation"))
        other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        with db.transaction() as session:
            session.execute(text("UPDATE settings_generation SET generation = generation"))


@pytest.mark.parametrize(
    ("sqlstate", "words"),
    [
        ("53100", "disk is full"),
        ("55P03", "Somebody else is changing"),
        ("57014", "did not finish"),
        ("25006", "read-only"),
    ],
)
def test_states_have_their_words(committed: str, sqlstate: str, words: str) -> None:  # noqa: ARG001 - real commits
    """Each state that a statement may meet has its own sentence."""
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'the server said so' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(StoreUnavailable, match=words), db.transaction() as session:
        session.execute(text(raising))


def test_faults_of_ours_pass(committed: str) -> None:  # noqa: ARG001 - real commits
    """What does not speak of the database's state stays what it is."""
    with pytest.raises(DBAPIError), db.transaction() as session:
        session.execute(text("SELECT no_such_column"))


def test_cause_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """At once, then once a minute with how often it came; each cause by itself; and it is remembered for a minute."""
    now = 100.0
    causes = outages.Causes(lambda: now)
    caplog.set_level(logging.ERROR, "core.store.outages")
    for _ in range(500):
        causes.note("53100", "no room")
    causes.note("55P03", "locked")
    assert [record.getMessage() for record in caplog.records] == [
        "A request was refused for want of the database: no room (53100)",
        "A request was refused for want of the database: locked (55P03)",
    ]
    assert causes.is_recent("53100")
    now = 161.0
    assert not causes.is_recent("53100")
    causes.note("53100", "no room")
    assert caplog.records[-1].getMessage().endswith("(53100); 499 more like it since this was last logged")
    causes.note("53100", "no room")
    assert len(caplog.records) == 3
