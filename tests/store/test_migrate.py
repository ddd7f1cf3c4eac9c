"""The schema: up, down and up again; old, new and foreign ones; two at once."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy import Engine, text

from core.errors import SchemaMismatch, StoreUnavailable
from core.parameters import PARAMETERS
from core.store import db, migrate
from tests.conftest import ROOT, fresh_database
from tests.processes import environment

ODD = ["plain", "Ünïcödé 🦜", "'; DROP TABLE llm_settings; --", "%_\\", "x" * 100]


@pytest.fixture
def engine(database: str) -> Engine:
    return db.make_engine(database)


def _populate(engine: Engine, rows: int) -> None:
    for first in range(0, rows, 1_000):  # one commit of all may take longer than an answer is waited for
        with engine.begin() as connection:
            for number in range(first, min(first + 1_000, rows)):
                connection.execute(
                    text(
                        "INSERT INTO llm_providers (name, display_name, kind, available_models, default_model)"
                        " VALUES (:name, :display, 'openai', cast(:models as jsonb), 'm')"
                    ),
                    {
                        "name": f"p{number}",
                        "display": ODD[number % len(ODD)],
                        "models": json.dumps(["m", ODD[number % 5] + "y"]),
                    },
                )
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO llm_settings (provider_id, temperature) SELECT id, 0.1 FROM llm_providers")
        )


def _content(engine: Engine) -> list[object]:
    query = "SELECT to_jsonb(t) FROM {} t ORDER BY id"
    with engine.connect() as connection:
        return [list(connection.scalars(text(query.format(table)))) for table in ("llm_providers", "llm_settings")]


def test_tables_and_migrations_agree(engine: Engine) -> None:
    """`alembic check` finds no table, column, index or type without its migration."""
    assert migrate.differences(engine) == []


@pytest.mark.long
def test_down_and_up_keeps_the_data(engine: Engine) -> None:
    """CHECKS 75: 10,000 populated rows are equal after a step down and up; down to base and up works on them too."""
    _populate(engine, 10_000)
    before = _content(engine)

    assert migrate.downgrade(engine, "0001")
    assert migrate.upgrade(engine)

    assert _content(engine) == before
    assert migrate.downgrade(engine, "base")
    assert migrate.upgrade(engine)
    assert _content(engine) == [[], []]
    migrate.check(engine)


def test_down_takes_back_what_the_version_before_does_not_take(engine: Engine) -> None:
    """A value beyond the older range is not set after a step down, which that version would have read it as; the rest stays."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO llm_settings (max_tokens, request_timeout_ms, top_p) VALUES (128000, 300000, 0.5)")
        )

    migrate.downgrade(engine, "0008")

    with engine.connect() as connection:
        row = connection.execute(text("SELECT max_tokens, request_timeout_ms, top_p, version FROM llm_settings")).one()
    assert tuple(row) == (None, 300_000, 0.5, 2)
    assert migrate.upgrade(engine)
    migrate.check(engine)


def test_down_takes_back_a_kind_that_the_version_before_does_not_know(engine: Engine) -> None:
    """Its providers stay with all they have, as OpenAI-compatible ones that are not active: they must not be called as such."""
    stored = "INSERT INTO llm_providers (name, display_name, kind, api_base_url, available_models) VALUES (:name, 'x', :kind, :url, '[\"m\"]')"
    with engine.begin() as connection:
        for name, kind in (("classic", "azure_openai"), ("own", "openai_compatible"), ("vendor", "openai")):
            connection.execute(text(stored), {"name": name, "kind": kind, "url": f"https://{name}.example"})

    migrate.downgrade(engine, "0010")

    query = text("SELECT name, kind, api_base_url, is_active FROM llm_providers ORDER BY name")
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [
        ("classic", "openai_compatible", "https://classic.example", False),
        ("own", "openai_compatible", "https://own.example", True),
        ("vendor", "openai", "https://vendor.example", True),
    ]
    assert migrate.upgrade(engine)
    migrate.check(engine)


def test_two_at_once_are_safe(database: str) -> None:
    """CHECKS 75: of several processes that migrate at once, one does it and the others find it done."""
    engines = [db.make_engine(database) for _ in range(4)]
    migrate.downgrade(engines[0], "base")

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(migrate.upgrade, engines))

    assert sorted(done) == [False, False, False, True]
    for engine in engines:
        migrate.check(engine)
        engine.dispose()


def test_old_schema_names_the_command(engine: Engine) -> None:
    """A database without our tables, or with older ones, is refused with the command to run."""
    migrate.downgrade(engine, "0001")
    with pytest.raises(SchemaMismatch, match=r"older.*python -m core migrate"):
        migrate.check(engine)
    migrate.downgrade(engine, "base")
    with pytest.raises(SchemaMismatch, match=r"no tables.*python -m core migrate"):
        migrate.check(engine)


def test_newer_schema_is_refused(engine: Engine) -> None:
    """CHECKS 76: an old program on a newer schema says so, and neither reads on nor migrates."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SchemaMismatch, match="newer version"):
        migrate.check(engine)
    with pytest.raises(SchemaMismatch, match="newer version"):
        migrate.upgrade(engine)


@pytest.mark.kill  # it waits for a time limit
def test_locked_table_fails_in_seconds(engine: Engine, database: str) -> None:
    """A migration does not queue behind a long transaction; it names the table and who holds it, and leaves the schema as it was."""
    migrate.downgrade(engine, "0001")
    with psycopg.connect(database, application_name="pg_dump") as other:
        other.execute("LOCK TABLE llm_providers IN SHARE MODE")
        pid = other.info.backend_pid
        words = rf"Table llm_providers is in use by process {pid} \(pg_dump, user postgres, since \d\d:\d\d:\d\d UTC\)"
        with pytest.raises(StoreUnavailable, match=words) as caught:
            migrate.upgrade(engine)
        assert f"pg_terminate_backend({pid})" in str(caught.value)
        with engine.connect() as connection:
            assert migrate.revision_of(connection) == "0001"

    assert migrate.upgrade(engine)


def test_role_that_does_not_own_the_tables_is_told(engine: Engine, database: str) -> None:
    """Who may not migrate is told so, and who may; with nothing to do, any role is told that."""
    migrate.downgrade(engine, "0009")
    name = f"poor_{database.partition('?')[0].rpartition('/')[2]}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN")
        owner.execute(f"GRANT SELECT ON alembic_version TO {name}")
        try:
            poor = db.make_engine(database.replace("postgres@", f"{name}@"))
            with pytest.raises(StoreUnavailable, match="takes the role that owns the tables"):
                migrate.upgrade(poor)
            migrate.upgrade(engine)
            assert not migrate.upgrade(poor)
            poor.dispose()
        finally:
            owner.execute(f"DROP OWNED BY {name}")
            owner.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("name", [p.name for p in PARAMETERS.values() if p.minimum is not None])
def test_range_is_a_check_too(worker_engine: Engine, name: str) -> None:
    """CHECKS 53: raw SQL meets the range of every number, NaN and infinity included."""
    parameter = PARAMETERS[name]
    assert parameter.minimum is not None
    assert parameter.maximum is not None
    bad: list[object] = [parameter.minimum - 1, parameter.maximum + 1]
    if parameter.value_type is float:
        bad += [float("nan"), float("inf"), float("-inf")]
    with worker_engine.connect() as connection:
        for value in (parameter.minimum, parameter.maximum):
            connection.execute(text(f"INSERT INTO llm_settings ({name}) VALUES (:v)"), {"v": value})
            connection.rollback()
        for value in bad:
            with pytest.raises(Exception, match=f"llm_settings_{name}_check|out of range"):
                connection.execute(text(f"INSERT INTO llm_settings ({name}) VALUES (:v)"), {"v": value})
            connection.rollback()


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (
            "INSERT INTO llm_providers (name,display_name,kind,available_models) VALUES ('A','A','openai','[\"m\"]')",
            "name",
        ),
        (
            "INSERT INTO llm_providers (name,display_name,kind,available_models) VALUES ('a','','openai','[\"m\"]')",
            "display_name",
        ),
        ("INSERT INTO llm_providers (name,display_name,kind,available_models) VALUES ('a','A','x','[\"m\"]')", "kind"),
        (
            "INSERT INTO llm_providers (name,display_name,kind,available_models) VALUES ('a','A','openai','[]')",
            "available_models",
        ),
        (
            "INSERT INTO llm_providers (name,display_name,kind,available_models) VALUES ('a','A','openai','{}')",
            "available_models",
        ),
        (
            "INSERT INTO llm_providers (name,display_name,kind,available_models,default_model) VALUES ('a','A','openai','[\"m\"]','x')",
            "default_model",
        ),
        (
            "INSERT INTO llm_providers (name,display_name,kind,available_models) VALUES ('a','A','openai_compatible','[\"m\"]')",
            "api_base_url_present",
        ),
        ("INSERT INTO llm_settings (preferred_model) VALUES ('m')", "preferred_model"),
        ("INSERT INTO llm_settings (log_level) VALUES ('loud')", "log_level"),
        ("INSERT INTO llm_settings (custom_settings) VALUES ('[]')", "custom_settings"),
        ("INSERT INTO llm_settings (omitted_parameters) VALUES ('{}')", "omitted_parameters"),
        ("INSERT INTO users (username,password_hash,role) VALUES ('a','x','root')", "role"),
    ],
)
def test_shape_is_a_check_too(worker_engine: Engine, statement: str, constraint: str) -> None:
    """Raw SQL meets the rules of shape as well."""
    with worker_engine.connect() as connection, pytest.raises(Exception, match=f"_{constraint}_check"):
        connection.execute(text(statement))


def test_one_active_row_a_scope(database: str) -> None:
    """CHECKS 58: two active rows of all providers (both NULL) are refused; an inactive one beside it is not."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO llm_settings DEFAULT VALUES")
        connection.execute("INSERT INTO llm_settings (is_active) VALUES (false)")
        with pytest.raises(pg.UniqueViolation):
            connection.execute("INSERT INTO llm_settings DEFAULT VALUES")


def test_names_of_constraints_are_predictable(engine: Engine) -> None:
    """Primary, foreign and unique keys and indexes are named after table and columns, those that the architecture names among them."""
    with engine.connect() as connection:
        found = set(connection.scalars(text("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")))

    assert {
        "llm_providers_pkey",
        "llm_providers_name_idx",
        "llm_providers_is_active_idx",
        "llm_settings_organization_id_idx",
        "llm_settings_provider_id_idx",
        "llm_settings_organization_id_provider_id_idx",
        "llm_settings_is_active_idx",
        "llm_settings_active_scope_key",
    } <= found


def test_fresh_databases_differ_in_epoch(server: str) -> None:
    """The history of each database has its own id, so that a reader notices another one behind the same address."""
    epochs = []
    for _ in range(2):
        with fresh_database(server) as url:
            engine = db.make_engine(url)
            migrate.downgrade(engine, "0001")
            migrate.upgrade(engine)
            with engine.connect() as connection:
                epochs.append(connection.scalar(text("SELECT epoch FROM settings_generation")))
            engine.dispose()

    assert epochs[0] != epochs[1]


def test_alembics_own_commands_work_in_a_checkout(committed: str) -> None:
    """`python -m alembic check`, as `alembic revision` does, finds the database and the tables by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        cwd=ROOT,
        env=environment(DATABASE_URL=committed),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.returncode) == ("No new upgrade operations detected.", 0), done.stderr


def test_a_migration_that_loses_to_a_writer_is_run_again(engine: Engine, database: str) -> None:
    """A writer that holds what the migration wants next, and wants what it has: a deadlock ends one of the two; it is migrated."""
    migrate.downgrade(engine, "0008")
    losses = []

    def write() -> None:
        """As a transaction that reads settings first and writes a provider then; it is never the one that is ended."""
        with psycopg.connect(database) as connection:
            connection.execute("SET deadlock_timeout = '60s'")
            connection.execute("SET statement_timeout = '30s'")
            connection.execute("LOCK TABLE llm_logs IN ROW EXCLUSIVE MODE")
            deadline = time.monotonic() + 20
            while not _waits_for(database, "llm_logs") and time.monotonic() < deadline:
                time.sleep(0.01)
            connection.execute("SELECT count(*) FROM llm_settings")
            losses.append(time.monotonic())

    with ThreadPoolExecutor(1) as crew:
        writing = crew.submit(write)
        assert migrate.upgrade(engine)
        writing.result()

    assert losses
    migrate.check(engine)


def test_a_request_that_has_begun_is_answered(engine: Engine, database: str) -> None:
    """It holds its token's row, and reads settings while the migration waits for it: no deadlock, whatever the revisions change."""
    migrate.downgrade(engine, "0014")
    with psycopg.connect(database) as request, ThreadPoolExecutor(1) as crew:
        request.execute("SET statement_timeout = '20s'")
        request.execute("SELECT 1 FROM users, api_tokens FOR SHARE")
        migrating = crew.submit(migrate.upgrade, engine)
        deadline = time.monotonic() + 20
        while not _waits_for(database, "users", "api_tokens") and time.monotonic() < deadline:
            time.sleep(0.01)
        request.execute("SELECT count(*) FROM llm_providers, llm_settings")
        request.commit()
        assert migrating.result()

    migrate.check(engine)


def _waits_for(url: str, *tables: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = ANY (%s::regclass[]) AND NOT granted", [list(tables)]
        ).fetchone()
    return bool(row and row[0])
