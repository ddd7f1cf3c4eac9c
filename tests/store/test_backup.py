"""Backups by a role that only reads, and restores of them: with rights and without, elsewhere, and in place under running services."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session

from core.crypto import KeyRing
from core.resolve import Resolver
from core.store import db
from tests.clusters import Cluster, connect, own_postgresql, say, soon
from tests.conftest import ENCRYPTION_KEY
from tests.processes import core, running_app
from tests.stores import API_KEY, fill, log, one, owned, sealing_with, sums_of, verdict_of

EPOCH = "UPDATE settings_generation SET epoch = gen_random_uuid()::text"
ROLES = ("app", "reader", "backup")
TYPED = "a sentence of my own\n"


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """The operator's PostgreSQL."""
    yield from own_postgresql()


@pytest.fixture
def urls(own: Cluster) -> Iterator[dict[str, str]]:
    """A store that was used for a while; its owner, the app, a service and the backup have each a role."""
    with owned(own, *ROLES) as urls:
        assert core("migrate", DATABASE_URL=urls["owner"]).returncode == 0
        engine = db.make_engine(urls["owner"])
        with sealing_with(ENCRYPTION_KEY), Session(engine) as session, session.begin():
            fill(session)
        engine.dispose()
        for role in ROLES:
            done = core(f"grant-{role}", role_of(urls[role]), DATABASE_URL=urls["owner"])
            assert done.returncode == 0, done.stderr
        yield urls


def role_of(url: str) -> str:
    return url.split("//")[1].split("@", maxsplit=1)[0]


def dump(own: Cluster, url: str) -> str:
    """Dump as the docs say; return the file."""
    file = str(own.folder / f"{role_of(url)}.dump")
    done = own.run("pg_dump", "--format=custom", f"--file={file}", url)
    assert (done.returncode, done.stderr) == (0, "")
    return file


@pytest.mark.long
def test_a_role_that_only_reads_makes_whole_backups(own: Cluster, urls: dict[str, str]) -> None:
    """`grant-backup` is enough for pg_dump, and for no change; what is restored is equal, and goes on counting where it was."""
    before = sums_of(urls["owner"])
    file = dump(own, urls["backup"])
    for statement in ("DELETE FROM llm_logs", "SELECT nextval('users_id_seq')", "CREATE TABLE t ()"):
        with connect(urls["backup"]) as connection, pytest.raises(Exception, match="denied"):
            connection.execute(statement)
    with owned(own) as other:
        done = own.run(
            "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={other['owner']}", file
        )
        assert done.returncode == 0, done.stderr
        assert sums_of(other["owner"]) == before
        assert verdict_of(other["owner"]).problem == ""
        newest = {name: one(other["owner"], f"SELECT max(id) FROM {name}") for name in ("users", "llm_logs")}
        with connect(other["owner"]) as connection:
            connection.execute(EPOCH)
        new = {"DATABASE_URL": other["owner"]}
        wrong = core("keys", "check", **new, LLM_ENCRYPTION_KEY="ab" * 32)
        assert core("users", "add", "grace", stdin=TYPED, **new).returncode == 0
        assert core("keys", "check", **new).returncode == 0
        engine = db.make_engine(other["owner"])
        with Session(engine) as session, session.begin():
            log(session, 1)
        engine.dispose()
        for name, number in newest.items():
            assert one(other["owner"], f"SELECT max(id) FROM {name}") == number + 1
        assert wrong.returncode == 1
        assert f"(known: {KeyRing(ENCRYPTION_KEY).primary_id})" in wrong.stdout


@pytest.mark.long
def test_the_backup_of_a_later_version_needs_no_new_grant(own: Cluster, urls: dict[str, str]) -> None:
    """Tables and sequences that the owner makes afterwards, as a migration does, can be dumped too; also after going back."""
    with connect(urls["owner"]) as connection:
        connection.execute("CREATE TABLE later (id bigserial)")
    core("migrate", "--down", "0004", "--yes", DATABASE_URL=urls["owner"])
    core("migrate", DATABASE_URL=urls["owner"])

    dump(own, urls["backup"])


@pytest.mark.long
def test_restores_with_rights_and_without(own: Cluster, urls: dict[str, str]) -> None:
    """With rights the roles work at once; without, or where a role is missing, after the grants; a half restore is none."""
    lost = "lost_" + role_of(urls["reader"])
    with connect(urls["owner"].replace(role_of(urls["owner"]), "postgres")) as connection:
        connection.execute(f"CREATE ROLE {lost} LOGIN")
        assert core("grant-reader", lost, DATABASE_URL=urls["owner"]).returncode == 0
        with_lost = dump(own, urls["owner"])
        connection.execute(f"DROP OWNED BY {lost}")
        connection.execute(f"DROP ROLE {lost}")
    file = dump(own, urls["backup"])
    with owned(own) as other:
        here = other["owner"]
        there = {role: here.replace(role_of(here), role_of(urls[role])) for role in ROLES}
        refused = own.run("pg_restore", "--no-owner", "--single-transaction", f"--dbname={here}", with_lost)
        assert refused.returncode == 1
        assert "does not exist" in refused.stderr
        assert one(here, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
        done = own.run("pg_restore", "--no-owner", "--no-privileges", "--single-transaction", f"--dbname={here}", file)
        assert done.returncode == 0, done.stderr
        resolver = Resolver(there["reader"], ring=KeyRing(ENCRYPTION_KEY))
        try:
            assert resolver.resolve("openai").status == "store_unavailable"
            for role in ROLES:
                assert core(f"grant-{role}", role_of(urls[role]), DATABASE_URL=here).returncode == 0
            soon(lambda: resolver.resolve("openai").status == "ok", 15)
            assert resolver.resolve("openai").api_key() == API_KEY
        finally:
            resolver.close()
        assert core("users", "add", "grace", stdin=TYPED, DATABASE_URL=there["app"]).returncode == 0


@pytest.mark.kill
def test_in_place_under_running_services(own: Cluster, urls: dict[str, str], tmp_path: Path) -> None:
    """A restore in place, with an app and a service that run: both follow back, with their rights, and go on writing."""
    with connect(urls["owner"]) as connection:
        say(connection, "openai", "before")
    file = dump(own, urls["backup"])
    with (
        connect(urls["owner"]) as connection,
        running_app(tmp_path / "log", DATABASE_URL=urls["app"]) as app,
    ):
        token = core("tokens", "create", "probe", "--role", "admin", DATABASE_URL=urls["app"]).stdout.split()[-1]
        resolver = Resolver(urls["reader"], ring=KeyRing(ENCRYPTION_KEY))
        try:
            for turn in ("after", "after again"):
                say(connection, "openai", turn)
                soon(lambda turn=turn: resolver.resolve("openai").display_name == turn)
                done = own.run(
                    "pg_restore",
                    *("--clean", "--if-exists", "--no-owner", "--single-transaction"),
                    f"--dbname={urls['owner']}",
                    file,
                )
                assert (done.returncode, done.stderr) == (0, "")
                connection.execute(EPOCH)
                soon(lambda: resolver.resolve("openai").display_name == "before", 15)
                assert resolver.resolve("openai").api_key() == API_KEY
                soon(lambda: _ready(app.url), 15)
        finally:
            resolver.close()
        assert token
        newest = one(urls["owner"], "SELECT max(id) FROM users")
        assert core("users", "add", "grace", stdin=TYPED, DATABASE_URL=urls["app"]).returncode == 0
        assert one(urls["owner"], "SELECT max(id) FROM users") == newest + 1
        assert verdict_of(urls["owner"]).problem == ""
        dump(own, urls["backup"])


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
