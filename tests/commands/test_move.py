"""`move`: the whole store, to another server of another major, as people run it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Connection, Engine
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.crypto import KeyRing
from core.errors import StoreUnavailable
from core.manage import move
from core.postgres import embedded
from core.resolve import Resolver
from core.store import contents, db, migrate
from core.store.tables import METADATA
from tests.clusters import Cluster, connect, own_postgresql
from tests.conftest import ENCRYPTION_KEY
from tests.processes import core
from tests.stores import API_KEY, data_folder, fill, log, one, owned, sealing_with, sums_of, verdict_of

LATER = {
    *("jobs", "llm_model_facts", "llm_provider_secrets", "notification_deliveries", "notification_targets"),
    *("org_llm_budgets", "llm_budget_periods", "llm_leases", "llm_budget_ledger", "llm_alerts", "second_factors"),
    *("llm_vendor_bills", "llm_spend_closings", "llm_spend_closed", "llm_pii_settings"),
    *("llm_rate_limits", "llm_rate_levels", "llm_rate_leases", "llm_rate_hours", "llm_vendor_rates"),
}
"""Tables that may be empty in a store that was filled by hand."""


class Old(NamedTuple):
    """An embedded store with something in every table."""

    data_dir: Path
    url: str
    key: str
    head: str

    def core(self, *words: str, stdin: str = "", **env: str) -> str:
        """Run a command on it; return what it printed. It uses the key file."""
        done = core(*words, stdin=stdin, LLM_DATA_DIR=str(self.data_dir), LLM_ENCRYPTION_KEY="", **env)
        assert "Traceback" not in done.stderr
        return f"{done.stdout}\n{done.stderr}exit {done.returncode}"


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """The operator's PostgreSQL."""
    yield from own_postgresql()


@pytest.fixture(scope="module")
def old() -> Iterator[Old]:
    """An embedded store that was used for a while; nothing here changes it."""
    with data_folder() as data_dir:
        first = core("users", "list", LLM_DATA_DIR=str(data_dir), LLM_ENCRYPTION_KEY="")
        assert "First start" in first.stdout, first.stderr
        key = (data_dir / "encryption.key").read_text().strip()
        url = embedded.start(data_dir)
        engine = db.make_engine(url)
        try:
            with sealing_with(key), Session(engine) as session, session.begin():
                fill(session)
            head = core("audit", "head", LLM_DATA_DIR=str(data_dir), LLM_ENCRYPTION_KEY="").stdout.strip()
            engine.dispose()
            yield Old(data_dir, url, key, head)
        finally:
            engine.dispose()
            embedded.stop(data_dir)


def _numbers(url: str) -> dict[str, int]:
    """The newest id of each table that counts its rows."""
    counting = [name for name, table in METADATA.tables.items() if "id" in table.c]
    return {name: one(url, f"SELECT max(id) FROM {name}") or 0 for name in counting}


@pytest.mark.long
def test_everything_moves_to_an_older_major(old: Old, own: Cluster) -> None:
    """From the embedded 18 to Debian's own: rows, numbers, generation, audit, keys and roles are there, and all goes on."""
    with owned(own, "app", "reader") as urls:
        before = sums_of(old.url)
        moved = old.core("move", "--to", urls["owner"], "--yes")
        after = sums_of(urls["owner"])
        roles = {role: url.split("//")[1].split("@")[0] for role, url in urls.items()}
        new = {"DATABASE_URL": urls["owner"], "LLM_ENCRYPTION_KEY": old.key}
        keys, verified = core("keys", "check", **new), core("audit", "verify", "--head", old.head, **new)
        granted = [core("grant-app", roles["app"], **new), core("grant-reader", roles["reader"], **new)]
        resolver = Resolver(urls["reader"], ring=KeyRing(old.key))
        try:
            opened = resolver.resolve("openai").api_key()
        finally:
            resolver.close()
        numbers = _numbers(old.url)
        as_app = {**new, "DATABASE_URL": urls["app"]}
        assert core("users", "add", "grace", stdin="a sentence of my own\n", **as_app).returncode == 0
        assert core("tokens", "create", "second", "--role", "analyst", **as_app).returncode == 0
        with db.make_engine(urls["owner"]).connect() as connection, Session(connection) as session:
            log(session, 1)
            session.connection().commit()

        assert moved.endswith("exit 0"), moved
        assert int(one(urls["owner"], "SHOW server_version_num")) // 10_000 < 18
        assert {table for table, found in before.items() if not found.rows} <= LATER, before
        own_event = {"audit_events": 1, "audit_head": 0}
        for table, found in before.items():
            assert after[table].rows == found.rows + own_event.get(table, 0)
            assert table in {*own_event, "settings_generation"} or after[table] == found
        assert one(urls["owner"], "SELECT generation FROM settings_generation") == one(
            old.url, "SELECT generation FROM settings_generation"
        )
        assert one(urls["owner"], "SELECT epoch FROM settings_generation") != one(
            old.url, "SELECT epoch FROM settings_generation"
        )
        assert (keys.returncode, verified.returncode, opened) == (0, 0, API_KEY), keys.stdout + verified.stdout
        assert [done.returncode for done in granted] == [0, 0]
        then = _numbers(urls["owner"])
        assert all(then[table] > numbers[table] for table in ("users", "api_tokens", "llm_logs", "audit_events"))
        assert verdict_of(urls["owner"], old.head).problem == ""
        engine = db.make_engine(urls["owner"])
        assert [line for line in migrate.differences(engine) if "trigger" in str(line)] == []
        engine.dispose()


def test_it_says_what_comes_and_what_to_set_next(old: Old, own: Cluster) -> None:
    """Before: each table, its rows, how long. After: what was compared, URL, key file with its id, rights. No is no."""
    with owned(own) as urls:
        refused = old.core("move", "--to", urls["owner"], stdin="n\n")
        nothing = one(urls["owner"], "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        agreed = old.core("move", "--to", "-", stdin=f"{urls['owner']}\ny\n")

    assert re.search(r"llm_logs +50 rows", refused)
    assert "about 1 second" in refused
    assert refused.endswith("exit 1")
    assert nothing == 0
    assert agreed.endswith("exit 0"), agreed
    for words in (
        f"the audit up to {old.head}",
        "2 API keys, each of which opens",
        "DATABASE_URL",
        f"what stands in {old.data_dir / 'encryption.key'} (its id is {KeyRing(old.key).primary_id})",
        "grant-app ROLE",
        "was not changed",
    ):
        assert words in agreed
    assert old.key not in agreed


@pytest.mark.long
def test_a_target_with_data_is_refused(old: Old, own: Cluster) -> None:
    """Whatever somebody stored there stays: each kind of it is named, and nothing of it is touched."""
    with owned(own) as urls:
        new = {"DATABASE_URL": urls["owner"]}
        assert core("migrate", **new).returncode == 0
        assert core("keys", "check", **new).returncode == 0
        replaced = old.core("move", "--to", urls["owner"], stdin="n\n")
        for statement, words in (
            ("INSERT INTO users (username, password_hash, role) VALUES ('x', 'y', 'admin')", "1 row in users"),
            (
                "INSERT INTO llm_usage VALUES (now(), 'p', 'm', 'ok', 1, 1, 1, 1, 1, 1)",
                "1 row in llm_usage",
            ),
            (
                "INSERT INTO audit_events (actor, action, target_type, target) VALUES ('a', 'provider.delete', 'c', 'd')",
                "1 row in audit_events",
            ),
        ):
            with connect(urls["owner"]) as connection, connection.transaction(force_rollback=False):
                connection.execute(statement)
            before = sums_of(urls["owner"])
            done = old.core("move", "--to", urls["owner"], "--yes")
            assert words in done
            assert "name an empty database" in done
            assert done.endswith("exit 1")
            assert sums_of(urls["owner"]) == before
            with connect(urls["owner"]) as connection:
                connection.execute("DELETE FROM users")
                connection.execute("DELETE FROM llm_usage")

    assert "made anew" in replaced
    assert replaced.endswith("exit 1")


@pytest.mark.long
def test_tables_that_were_made_and_not_used_are_made_anew(old: Old, own: Cluster) -> None:
    """After `migrate` and `keys check` there, which leave an event and a canary, the move takes their place."""
    with owned(own) as urls:
        for words in (["migrate"], ["keys", "check"]):
            assert core(*words, DATABASE_URL=urls["owner"]).returncode == 0
        done = old.core("move", "--to", urls["owner"], "--yes")

        assert done.endswith("exit 0"), done
        assert sums_of(urls["owner"])["encryption_canaries"] == sums_of(old.url)["encryption_canaries"]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("CREATE TABLE users (a int)", "tables of the same names already (users)"),
        ("CREATE TABLE alembic_version (version_num text)", "tables of the same names already"),
        ("ALTER ROLE CURRENT_USER SET default_transaction_read_only = on", "read-only"),
        ("ALTER ROLE CURRENT_USER SET search_path = nowhere", "may not make tables"),
    ],
)
def test_a_target_that_cannot_be_is_refused(old: Old, own: Cluster, prepare: str, words: str) -> None:
    """Another program's tables, a replica and missing rights are told in a sentence, before anything is asked."""
    with owned(own) as urls:
        with connect(urls["owner"]) as connection:
            connection.execute(prepare)  # type: ignore[call-overload]  # psycopg wants a literal
        done = old.core("move", "--to", urls["owner"], "--yes")

    assert words in done
    assert done.endswith("exit 1")


def test_another_encoding_is_refused(old: Old, own: Cluster) -> None:
    """A database that could not hold every text is named with the way to make one that can."""
    with owned(own, encoding="LATIN1") as urls:
        done = old.core("move", "--to", urls["owner"], "--yes")

    assert "LATIN1, not UTF8" in done
    assert "TEMPLATE template0" in done


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://h/x?schema=a", ""])
def test_a_url_that_is_none_is_refused_by_its_option(old: Old, url: str) -> None:
    """What is wrong with the URL is told of `--to`, not of a variable that nobody has set."""
    done = old.core("move", "--to", url, "--yes")

    assert "Error: --to" in done
    assert "DATABASE_URL" not in done


def test_without_a_store_nothing_is_made(own: Cluster) -> None:
    """`move` makes no store only to move it."""
    with owned(own) as urls, data_folder() as data_dir:
        done = core("move", "--to", urls["owner"], "--yes", LLM_DATA_DIR=str(data_dir))

        assert "There is no store in" in done.stderr
        assert not data_dir.exists()


def test_who_writes_meanwhile_is_named(old: Old, own: Cluster) -> None:
    """An app that is connected would go on writing what stays behind: the move refuses, and names it."""
    with owned(own) as urls, connect(f"{old.url}&application_name=llm-settings"):
        done = old.core("move", "--to", urls["owner"], "--yes")

    assert "in use by llm-settings (pid " in done
    assert "Stop the app" in done


@pytest.mark.long
def test_from_one_database_to_another(own: Cluster) -> None:
    """With the old one in DATABASE_URL, as its owner and no superuser; an app under a role of its own is seen, a service is let be."""
    with owned(own, "app", "reader") as urls, owned(own) as other:
        here = {"DATABASE_URL": urls["owner"]}
        assert core("migrate", **here).returncode == 0
        engine = db.make_engine(urls["owner"])
        with sealing_with(ENCRYPTION_KEY), Session(engine) as session, session.begin():
            fill(session)
        engine.dispose()
        for role in ("app", "reader"):
            assert core(f"grant-{role}", urls[role].split("//")[1].partition("@")[0], **here).returncode == 0
        with connect(f"{urls['app']}&application_name=llm-settings"):
            in_use = core("move", "--to", other["owner"], "--yes", **here)
        as_app = core("move", "--to", other["owner"], "--yes", DATABASE_URL=urls["app"])
        resolver = Resolver(urls["reader"], ring=KeyRing(ENCRYPTION_KEY))
        try:
            assert resolver.resolve("openai").status == "ok"
            moved = core("move", "--to", other["owner"], "--yes", **here)
        finally:
            resolver.close()

        assert "in use by llm-settings (pid " in in_use.stderr
        assert "takes the role that owns the tables" in as_app.stderr
        assert moved.returncode == 0, moved.stdout + moved.stderr
        assert "LLM_ENCRYPTION_KEY, for the app" not in moved.stdout
        before, after = sums_of(urls["owner"]), sums_of(other["owner"])
        assert {name for name in before if after[name] != before[name]} == {
            *("settings_generation", "audit_events", "audit_head"),
        }


@pytest.fixture
def engines(old: Old, own: Cluster) -> Iterator[tuple[Engine, Engine]]:
    """Of the old store, and of an empty database."""
    with owned(own) as urls:
        both = db.make_engine(old.url), db.make_engine(urls["owner"])
        yield both
        for engine in both:
            engine.dispose()


def _relations(engine: Engine) -> int | None:
    with engine.connect() as connection:
        return connection.exec_driver_sql(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).scalar()


@pytest.mark.parametrize("table", ["llm_providers", "audit_events", "llm_usage"])
def test_an_interrupted_move_leaves_nothing(old: Old, engines: tuple[Engine, Engine], table: str) -> None:
    """Ctrl-C, at whichever table: nothing of ours is in the target."""

    def interrupt(done: contents.Held) -> None:
        if done.table == table:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move.move(*engines, COMMAND_LINE, KeyRing(old.key), interrupt)

    assert _relations(engines[1]) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM llm_usage WHERE ctid = (SELECT min(ctid) FROM llm_usage)", "llm_usage"),
        ("UPDATE users SET role = 'analyst'", "users"),
        ("UPDATE settings_generation SET generation = generation - 1", "settings_generation, the generation"),
        ("UPDATE audit_events SET actor = 'nobody' WHERE seq = 2", "audit_events, the audit's chain"),
        ("DELETE FROM audit_events WHERE seq = (SELECT max(seq) FROM audit_events)", "audit_events, the audit's chain"),
        ("UPDATE encryption_canaries SET binding = 'x'", "encryption_canaries, the canary"),
        ("UPDATE llm_providers SET api_base_url = 'https://other.example/v1'", "the generation, API keys"),
    ],
)
def test_what_did_not_arrive_as_it_was_is_found(
    old: Old, engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch, change: str, words: str
) -> None:
    """A row that is lost or another one there, whichever table it is in: told by name, and nothing stays."""
    copy = contents.copy_all

    def worse(source: Connection, target: Connection) -> Iterator[contents.Held]:
        yield from copy(source, target)
        target.exec_driver_sql("ALTER TABLE audit_events DISABLE TRIGGER USER")
        target.exec_driver_sql(change)
        target.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        target.exec_driver_sql("ALTER TABLE audit_events ENABLE TRIGGER USER")

    monkeypatch.setattr(contents, "copy_all", worse)
    with pytest.raises(StoreUnavailable) as caught:
        move.move(*engines, COMMAND_LINE, KeyRing(old.key), lambda _: None)

    assert words in str(caught.value)
    assert _relations(engines[1]) == 0


def test_triggers_that_stayed_off_are_found(
    old: Old, engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store whose triggers do not fire would lose its audit without a sound: it is not committed."""
    copy = contents.copy_all

    def forgetful(source: Connection, target: Connection) -> Iterator[contents.Held]:
        yield from copy(source, target)
        target.exec_driver_sql("ALTER TABLE llm_settings DISABLE TRIGGER llm_settings_count")

    monkeypatch.setattr(contents, "copy_all", forgetful)
    with pytest.raises(StoreUnavailable, match=r"llm_settings\.llm_settings_count"):
        move.move(*engines, COMMAND_LINE, KeyRing(old.key), lambda _: None)
