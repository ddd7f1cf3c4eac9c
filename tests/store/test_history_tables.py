"""A version of each row at each generation, for raw SQL too: written by the trigger that counts, without what is sealed."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE
from core.audit.record import explained
from core.manage import organization_keys, organizations, providers, settings
from core.store import contents, db, drift, grants, migrate
from core.store.sealed import SEALED
from core.store.table import id_of
from tests.stores import API_KEY as CANARY
from tests.stores import fill

BEFORE = "0021"
PROVIDER = "INSERT INTO llm_providers (id, name, display_name, kind, available_models) VALUES (%s, %s, 'P', 'openai', '[\"m\"]')"
IMAGELESS = {"version", "created_at", "updated_at", "updated_by", "field_changes"}


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """One that commits each statement."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def _one(connection: psycopg.Connection[Any], query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row is not None and len(row) == 1 else row


def _generation(connection: psycopg.Connection[Any]) -> int:
    return int(_one(connection, "SELECT generation FROM settings_generation"))


def _versions(connection: psycopg.Connection[Any], table: str, row: int) -> list[tuple[Any, ...]]:
    query = (
        "SELECT generation, op, image FROM settings_history WHERE table_name = %s AND row_id = %s ORDER BY generation"
    )
    return connection.execute(query, [table, row]).fetchall()


# --- a version a generation ---


def test_each_change_is_a_version(connection: psycopg.Connection[Any]) -> None:
    """A row made, changed and deleted has three versions: what it was, without stamps and NULLs, by whom and when; an update that changes nothing has none."""
    first = _generation(connection)
    connection.execute("INSERT INTO llm_settings (id, top_p, custom_settings) VALUES (7, 0.5, '{\"a\": null}')")
    with connection.transaction():
        connection.execute("SELECT set_config('llm_settings.actor', 'ada', true)")
        connection.execute("SELECT set_config('llm_settings.comment', 'contract', true)")
        connection.execute("UPDATE llm_settings SET top_p = 0.7")
    connection.execute("UPDATE llm_settings SET top_p = 0.7")
    connection.execute("DELETE FROM llm_settings")

    made = {"id": 7, "top_p": 0.5, "is_active": True, "custom_settings": {"a": None}}
    assert _versions(connection, "llm_settings", 7) == [
        (first + 1, "+", made),
        (first + 2, "=", made | {"top_p": 0.7}),
        (first + 4, "-", None),
    ]
    rows = connection.execute(
        "SELECT h.by, g.by, h.at = g.at, g.comment, h.version FROM settings_history h JOIN settings_generations g USING (generation)"
        " WHERE table_name = 'llm_settings' ORDER BY generation"
    ).fetchall()
    assert rows[1] == ("ada", "ada", True, "contract", 2)
    assert rows[0] == ("postgres (SQL)", "postgres (SQL)", True, None, 1)


def test_several_changes_in_one_transaction_are_one_version(connection: psycopg.Connection[Any]) -> None:
    """The last state counts, whatever order and however often the triggers ran; what was made and deleted by one transaction never was."""
    connection.execute(PROVIDER, [1, "a"])
    before = _generation(connection)
    with connection.transaction():
        connection.execute("UPDATE llm_providers SET display_name = 'B'")
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute("UPDATE llm_providers SET display_name = 'C'")
        connection.execute(PROVIDER, [2, "b"])
        connection.execute("UPDATE llm_providers SET display_name = 'D' WHERE id = 2")
        connection.execute(PROVIDER, [3, "c"])
        connection.execute("DELETE FROM llm_providers WHERE id = 3")
    with connection.transaction():
        connection.execute("DELETE FROM llm_providers WHERE id = 2")
        connection.execute(PROVIDER, [2, "b2"])

    found = [(n, op, image["display_name"]) for n, op, image in _versions(connection, "llm_providers", 1)]
    assert found[1:] == [(before + 1, "=", "C")]
    assert [(n, op, image["name"]) for n, op, image in _versions(connection, "llm_providers", 2)] == [
        (before + 1, "+", "b"),
        (before + 2, "=", "b2"),
    ]
    assert _versions(connection, "llm_providers", 3) == []


def test_a_row_that_changes_its_id_is_another_row(connection: psycopg.Connection[Any]) -> None:
    """Raw SQL may write an id: the old one is gone from then on, and the new one is made."""
    connection.execute("INSERT INTO llm_settings (id, top_p) VALUES (7, 0.5)")
    connection.execute("UPDATE llm_settings SET id = 8")

    assert [op for _, op, _ in _versions(connection, "llm_settings", 7)] == ["+", "-"]
    assert [op for _, op, _ in _versions(connection, "llm_settings", 8)] == ["+"]


def test_truncate_is_the_end_of_every_row(connection: psycopg.Connection[Any]) -> None:
    """After TRUNCATE each row that was there has a version that says that it is gone."""
    connection.execute(
        "INSERT INTO llm_settings (id, top_p, is_active) VALUES (7, 0.5, false), (8, 0.5, true), (9, 0.5, false)"
    )
    connection.execute("DELETE FROM llm_settings WHERE id = 9")
    connection.execute("TRUNCATE llm_settings")
    connection.execute("INSERT INTO llm_settings (id, top_p) VALUES (8, 0.6)")

    ops = [[op for _, op, _ in _versions(connection, "llm_settings", number)] for number in (7, 8, 9)]
    assert ops == [["+", "-"], ["+", "-", "+"], ["+", "-"]]
    assert (
        _one(
            connection,
            "SELECT count(*) FROM settings_history h LEFT JOIN settings_generations g USING (generation) WHERE g.at IS NULL",
        )
        == 0
    )


def test_the_organisation_is_the_row_s_own(connection: psycopg.Connection[Any]) -> None:
    """Names, terms and settings are an organisation's versions, and so is its own row; what is deleted with it is too."""
    connection.execute(PROVIDER, [1, "a"])
    connection.execute("INSERT INTO organizations (id, slug, name) VALUES (5, 'acme', 'Acme')")
    connection.execute("INSERT INTO organization_names (name, organization_id, kind) VALUES ('acme', 5, 'slug')")
    connection.execute("INSERT INTO organization_providers (organization_id, provider_id) VALUES (5, 1)")
    connection.execute("INSERT INTO llm_settings (organization_id, top_p) VALUES (5, 0.1)")
    connection.execute("DELETE FROM organizations")

    query = "SELECT table_name, op FROM settings_history WHERE organization_id = 5 ORDER BY op, table_name"
    tables = ["llm_settings", "organization_names", "organization_providers", "organizations"]
    assert connection.execute(query).fetchall() == [
        (table, op) for op in "+-" for table in tables
    ] or connection.execute(query).fetchall() == [(table, op) for op in "-+" for table in tables]


def test_a_table_of_a_later_migration_has_a_history(connection: psycopg.Connection[Any]) -> None:
    """A table that has an id and the trigger is kept, by its own organisation, and what is sealed in it by the names is not."""
    connection.execute(
        "CREATE TABLE later (id serial PRIMARY KEY, organization_id integer, name text, token_encrypted text, token_masked text,"
        " token_key_id text, token_binding text, token_fingerprint text, token_set_at timestamptz)"
    )
    connection.execute(
        "CREATE CONSTRAINT TRIGGER later_count AFTER INSERT OR UPDATE OR DELETE ON later DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION llm_count_change()"
    )
    connection.execute(
        "INSERT INTO later (organization_id, name, token_encrypted, token_masked, token_key_id, token_binding, token_fingerprint)"
        " VALUES (3, 'x', 'aabbccdd:11:22', 'sk-…', 'k', 'b', '3f9a07c2@aabbccdd'), (NULL, 'y', 'ffffffff:11:22', 's', 'k', 'b', '3f9a07c2@aabbccdd')"
    )
    rows = connection.execute(
        "SELECT organization_id, image FROM settings_history WHERE table_name = 'later' ORDER BY row_id"
    ).fetchall()
    assert rows == [
        (3, {"id": 1, "organization_id": 3, "name": "x", "token": {"set": True, "fingerprint": "3f9a07c2"}}),
        (None, {"id": 2, "name": "y", "token": {"set": True}}),  # a fingerprint of another value is none
    ]


# --- keys ---


WITHOUT_HISTORY = {"second_factors"}
"""Tables with a sealed value that no trigger copies: no version of theirs is anywhere."""


def test_every_sealed_column_is_known_by_its_name() -> None:
    """The trigger leaves out what stands beside a column x_encrypted: each column of a sealed value is of these names."""
    beside = {"encrypted", "masked", "key_id", "binding", "fingerprint", "set_at"}
    for column in SEALED:
        names = {name for name in map(str, column.table.columns.keys()) if name.startswith(f"{column.name}_")}
        known = {f"{column.name}_{suffix}" for suffix in beside}
        assert names < known if column.table.name in WITHOUT_HISTORY else names == known, column.table.name
    sealed = {(column.table.name, f"{column.name}_encrypted") for column in SEALED}
    found = {
        (table.name, name)
        for table in contents.METADATA.sorted_tables
        for name in map(str, table.columns.keys())
        if name.endswith("_encrypted")
    }
    assert found == sealed


def test_nothing_sealed_is_in_any_version(committed: str) -> None:
    """Of keys, headers and keys of organisations the history has that they were set, replaced and removed; no ciphertext, no mask. Rotation is no version."""
    with db.transaction() as session:
        fill(session)
        row = providers.get_by_name(session, "openai")
        number = id_of(row)
        acme = organizations.get_by_name(session, COMMAND_LINE, "acme-2").id or 0
    with db.transaction() as session:
        providers.set_api_key(session, COMMAND_LINE, number, CANARY)
        organization_keys.set_api_key(session, COMMAND_LINE, acme, number, CANARY)
    with psycopg.connect(committed, autocommit=True) as connection:
        before = _one(connection, "SELECT count(*) FROM settings_history")
        connection.execute(
            "UPDATE llm_providers SET api_key_encrypted = api_key_encrypted || '00', api_key_key_id = 'another'"
        )
        connection.execute("UPDATE organization_providers SET api_key_fingerprint = NULL")
        assert _one(connection, "SELECT count(*) FROM settings_history") == before
        with db.transaction() as session:
            providers.remove_api_key(session, COMMAND_LINE, number)

        keyed = [image.get("api_key") for _, _, image in _versions(connection, "llm_providers", number)]
        assert not [name for name in WITHOUT_HISTORY if _versions(connection, name, 1)]
        assert keyed[-1] is None
        assert keyed[-2]["set"] is True
        assert len(keyed[-2]["fingerprint"]) == 8
        whole = "".join(str(image) for (image,) in connection.execute("SELECT image::text FROM settings_history"))
        parts = [
            value
            for column in SEALED
            if column.table.name not in WITHOUT_HISTORY
            for found in connection.execute(
                f"SELECT {column.name}_encrypted, {column.name}_masked, {column.name}_binding FROM {column.table.name}".encode()
            )
            for value in found
            if value
        ]
    assert parts
    assert not [part for part in (*parts, CANARY) if part in whole]
    assert "...****" not in whole


# --- order and time ---


def test_generations_stay_ordered_when_the_clock_steps_back(connection: psycopg.Connection[Any]) -> None:
    """A clock that was an hour ahead, and is set right: the generations of that hour have the time of the last one before."""
    connection.execute("INSERT INTO llm_settings (id, top_p) VALUES (7, 0.5)")
    ahead = _one(
        connection,
        "UPDATE settings_generations SET at = at + interval '1 hour' WHERE generation = (SELECT generation FROM settings_generation) RETURNING at",
    )
    connection.execute("UPDATE llm_settings SET top_p = 0.6")
    connection.execute("UPDATE llm_settings SET top_p = 0.7")

    times = [at for (at,) in connection.execute("SELECT at FROM settings_generations ORDER BY generation")]
    assert times == sorted(times)
    assert times[-2:] == [ahead, ahead]


def test_a_counter_that_was_set_back_stops_no_commit(connection: psycopg.Connection[Any]) -> None:
    """A number that was there already is taken over, with the versions at it: who writes settings goes on."""
    connection.execute("INSERT INTO llm_settings (id, top_p) VALUES (7, 0.5)")
    connection.execute("UPDATE settings_generation SET generation = generation - 1")
    connection.execute("UPDATE llm_settings SET top_p = 0.6")

    assert _versions(connection, "llm_settings", 7)[-1][2]["top_p"] == 0.6
    assert _one(connection, "SELECT count(*) FROM settings_generations") == _generation(connection)


def test_eight_writers_write_every_version(connection: psycopg.Connection[Any], database: str) -> None:
    """Eight writers on four shared rows: each commit is a generation with its version, in the order of numbers, and none is lost."""
    for number in range(1, 5):
        connection.execute(PROVIDER, [number, f"p{number}"])
    before = _generation(connection)

    def write(seed: int) -> None:
        with psycopg.connect(database, autocommit=True) as mine:
            for turn in range(25):
                values = [f"{seed}.{turn}", turn % 4 + 1]
                mine.execute("UPDATE llm_providers SET display_name = %s WHERE id = %s", values)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = connection.execute(
        "SELECT h.generation, h.version, h.row_id, h.at FROM settings_history h WHERE generation > %s ORDER BY generation",
        [before],
    ).fetchall()
    assert [generation for generation, *_ in found] == list(range(before + 1, before + 201))
    for row in range(1, 5):
        versions = [version for _, version, number, _ in found if number == row]
        assert versions == list(range(2, len(versions) + 2))
    assert [at for *_, at in found] == sorted(at for *_, at in found)
    for number, name in connection.execute("SELECT id, display_name FROM llm_providers"):
        assert _versions(connection, "llm_providers", number)[-1][2]["display_name"] == name


def test_a_comment_is_kept_with_the_generation(committed: str) -> None:
    """What a write is explained by stands beside its generation, redacted as in the audit; the next write has none."""
    with db.transaction() as session, explained(session, f"more  tokens {CANARY}"):
        settings.upsert_global(session, COMMAND_LINE, None, {"max_tokens": 500})
    with db.transaction() as session:
        settings.upsert_global(session, COMMAND_LINE, None, {"max_tokens": 600})
    with psycopg.connect(committed) as connection:
        rows = connection.execute(
            "SELECT comment FROM settings_generations ORDER BY generation DESC LIMIT 2"
        ).fetchall()
    assert rows[0] == (None,)
    assert rows[1][0].startswith("more tokens ")
    assert CANARY not in rows[1][0]


# --- rights ---


@pytest.fixture
def app(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the application's role, and a role for services beside it."""
    name = f"app_{database.partition('?')[0].rpartition('/')[2]}"
    engine = db.make_engine(database)
    with engine.begin() as owner, Session(owner) as session:
        for role, grant in ((name, grants.grant_app), (f"r{name}", grants.grant_reader)):
            owner.execute(text(f"CREATE ROLE {role} LOGIN"))
            grant(session, role)
    try:
        with psycopg.connect(database.replace("postgres@", f"{name}@"), autocommit=True) as connection:
            yield connection
    finally:
        with engine.begin() as owner:
            for role in (name, f"r{name}"):
                owner.execute(text(f"DROP OWNED BY {role}"))
                owner.execute(text(f"DROP ROLE {role}"))
        engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE settings_history SET by = 'nobody'",
        "DELETE FROM settings_history",
        "TRUNCATE settings_history",
        "INSERT INTO settings_history (table_name, row_id, generation, at, op, by) VALUES ('llm_settings', 1, 1, now(), '-', 'eve')",
        "UPDATE settings_generations SET at = now()",
        "DELETE FROM settings_generations",
        "INSERT INTO settings_generations VALUES (1000, now(), 'eve')",
        "SELECT llm_count_change()",
        "CREATE TEMP TABLE llm_settings (id integer, organization_id integer); CREATE TRIGGER c AFTER INSERT ON llm_settings FOR EACH ROW EXECUTE FUNCTION public.llm_count_change()",
        "ALTER TABLE llm_settings DISABLE TRIGGER llm_settings_count",
    ],
)
def test_the_application_only_reads_the_history(app: psycopg.Connection[Any], statement: str) -> None:
    """What would change the history is refused to the application's role, whose writes make it all the same."""
    app.execute("INSERT INTO llm_settings (id, top_p) VALUES (7, 0.5)")
    before = app.execute("SELECT * FROM settings_history").fetchall()
    assert _versions(app, "llm_settings", 7)[0][1] == "+"
    with pytest.raises(psycopg.Error, match=r"denied|must be owner|can only be called as"):
        app.execute(statement.encode())
    assert app.execute("SELECT * FROM settings_history").fetchall() == before


def test_the_application_cannot_write_into_the_past(app: psycopg.Connection[Any]) -> None:
    """An older number, set by hand, or temporary tables named as ours, lead to a version at a new number, as any other change."""
    app.execute("INSERT INTO llm_settings (id, top_p) VALUES (7, 0.5)")
    app.execute("UPDATE llm_settings SET top_p = 0.6")
    before = _versions(app, "llm_settings", 7)
    with app.transaction():
        app.execute("SELECT set_config('llm_settings.generation', %s, true)", [str(before[0][0])])
        app.execute("CREATE TEMP TABLE settings_generation AS SELECT 1 AS id, 1::bigint AS generation")
        app.execute(
            "CREATE TEMP TABLE settings_generations AS SELECT 1::bigint AS generation, now() AS at, 'eve' AS by"
        )
        app.execute("SET LOCAL search_path = pg_temp, public, pg_catalog")
        app.execute("UPDATE llm_settings SET top_p = 0.7")

    assert _versions(app, "llm_settings", 7)[:-1] == before
    assert _versions(app, "llm_settings", 7)[-1][2]["top_p"] == 0.7


@pytest.mark.usefixtures("app")
def test_services_have_no_part_in_it(database: str) -> None:
    """A role of services cannot read the history."""
    name = f"rapp_{database.partition('?')[0].rpartition('/')[2]}"
    with psycopg.connect(database.replace("postgres@", f"{name}@"), autocommit=True) as reader:
        for table in ("settings_history", "settings_generations"):
            with pytest.raises(psycopg.Error, match="denied"):
                reader.execute(f"SELECT * FROM {table}".encode())


# --- up and down ---


def test_rows_of_before_get_a_first_version(database: str) -> None:
    """A store of the version before, with something in every table: each row has a version after the migration, with who set what; down and up again too."""
    engine = db.make_engine(database)
    with engine.begin() as connection, Session(connection) as session:
        fill(session)
    migrate.downgrade(engine, BEFORE)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE llm_settings SET top_p = 0.25")
        for turn in range(2):
            if turn:
                migrate.downgrade(engine, BEFORE)
            migrate.upgrade(engine)
            assert migrate.differences(engine) == []
            counted = [
                name
                for (name,) in connection.execute(
                    "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
                    " WHERE t.tgfoid = 'llm_count_change'::regproc AND t.tgdeferrable"
                )
            ]
            assert len(counted) >= 10
            filled = 0
            for table in counted:
                rows = connection.execute(
                    f"SELECT count(t.id), count(h.row_id), count(*) FILTER (WHERE h.image <@ llm_image(to_jsonb(t), true))"
                    f" FROM {table} t FULL JOIN (SELECT * FROM settings_history WHERE table_name = '{table}') h ON h.row_id = t.id".encode()
                ).fetchone()
                assert rows is not None
                assert rows[0] == rows[1] == rows[2], table
                filled += rows[0]
            assert filled > 10
            fields = _one(
                connection, "SELECT field_changes FROM settings_history WHERE table_name = 'llm_settings' LIMIT 1"
            )
            assert fields["top_p"]["by"] == "postgres (SQL)"
            generations = "SELECT count(*) FROM settings_generations WHERE generation NOT IN (SELECT generation FROM settings_history WHERE table_name = 'llm_pii_settings')"
            assert _one(connection, generations) == 1  # but for what a migration says of a log that is there
            connection.execute("UPDATE llm_settings SET top_p = top_p + 0.125 WHERE top_p IS NOT NULL")
            assert (
                _one(
                    connection,
                    "SELECT count(*) FROM settings_history WHERE op = '=' AND image -> 'top_p' <> '0.25' AND table_name = 'llm_settings'",
                )
                > 0
            )
    engine.dispose()


def test_images_fit_the_tables(connection: psycopg.Connection[Any]) -> None:
    """What an image leaves out is the stamps and what is sealed; read as a row of the table, all else is as it was."""
    connection.execute(
        "INSERT INTO llm_settings (id, temperature, max_tokens, stop, omitted_parameters, custom_settings) VALUES (7, 0.1, 5, %s, %s, %s)",
        [Jsonb(["a"]), Jsonb(["top_p"]), Jsonb({"n": None, "deep": {"x": None}})],
    )
    row = _one(connection, "SELECT to_jsonb(t) FROM llm_settings t")
    again = _one(
        connection,
        "SELECT to_jsonb(jsonb_populate_record(NULL::llm_settings, image)) FROM settings_history WHERE row_id = 7 AND table_name = 'llm_settings'",
    )
    assert {name: again[name] for name in row if name not in IMAGELESS} == {
        name: value for name, value in row.items() if name not in IMAGELESS
    }


def test_what_reads_by_index_is_not_compiled() -> None:
    """Up to PostgreSQL 17 a plan with a way that is off is so dear that the server compiles it: 0.15 s for each change.

    The audit's has each row by its key, and no such plan.
    """
    by_index = {function.split()[0]: function for function in drift.FUNCTIONS if "enable_seqscan=off" in function}
    assert {name for name, function in by_index.items() if "jit=off" not in function} == {"llm_chain_event"}
    assert len(by_index) > 1
