"""The generation and the stamps: triggers that are true for raw SQL as well."""

import threading
import time

import psycopg
import pytest

INSERT = "INSERT INTO llm_providers (name, display_name, kind, available_models) VALUES (%s, 'A', 'openai', '[\"m\"]')"
UPDATE = "UPDATE llm_providers SET display_name = %s WHERE name = 'a'"


@pytest.fixture
def connection(database: str) -> psycopg.Connection:
    connection = psycopg.connect(database, autocommit=True)
    connection.execute(INSERT, ["a"])
    return connection


def _generation(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT generation FROM settings_generation").fetchone()
    assert row is not None
    return int(row[0])


def test_transaction_takes_one_number(connection: psycopg.Connection) -> None:
    """However many rows a transaction changes, it raises the generation once and names each row."""
    before = _generation(connection)
    with connection.transaction():
        for name in ("b", "c"):
            connection.execute(INSERT, [name])
        connection.execute(UPDATE, ["B"])
        connection.execute("DELETE FROM llm_providers WHERE name = 'c'")

    assert _generation(connection) == before + 1
    rows = connection.execute(
        "SELECT count(*), count(DISTINCT row_id) FROM settings_changes WHERE generation = %s", [before + 1]
    ).fetchone()
    assert rows == (3, 3)


def test_rollback_takes_no_number(connection: psycopg.Connection) -> None:
    """What is rolled back, wholly or to a savepoint, leaves no number and no notice behind."""
    before = _generation(connection)
    with connection.transaction(force_rollback=True):
        connection.execute(UPDATE, ["B"])
    with connection.transaction(), connection.transaction(force_rollback=True):
        connection.execute(UPDATE, ["B"])
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    assert _generation(connection) == before


def test_number_order_is_commit_order(connection: psycopg.Connection, database: str) -> None:
    """A transaction that began first and commits last has the higher number: a reader never passes it by."""
    with psycopg.connect(database) as slow:
        slow.execute(INSERT, ["slow"])
        connection.execute(INSERT, ["quick"])
        between = _generation(connection)
        slow.commit()

    names = connection.execute(
        "SELECT p.name FROM settings_changes c JOIN llm_providers p ON p.id = c.row_id WHERE c.generation > %s",
        [between],
    ).fetchall()
    assert names == [("slow",)]


def test_writers_do_not_wait_for_each_other(database: str) -> None:
    """The counter is taken at commit: a long open transaction blocks no writer of other rows."""
    with psycopg.connect(database) as slow:
        slow.execute(INSERT, ["slow"])
        with psycopg.connect(database, autocommit=True, options="-c lock_timeout=1s") as other:
            other.execute(INSERT, ["other"])
        slow.rollback()


def test_eight_writers_neither_deadlock_nor_skip(database: str) -> None:
    """Eight concurrent writers, 25 commits each over shared rows: 200 numbers, no deadlock."""
    with psycopg.connect(database, autocommit=True) as connection:
        for number in range(4):
            connection.execute(INSERT, [f"p{number}"])
        before = _generation(connection)

        def write(seed: int) -> None:
            with psycopg.connect(database, autocommit=True) as mine:
                for turn in range(25):
                    mine.execute(
                        "UPDATE llm_providers SET display_name = %s WHERE name = %s", [f"{seed}.{turn}", f"p{turn % 4}"]
                    )

        threads = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert _generation(connection) == before + 200


def test_notice_carries_the_number_after_commit(connection: psycopg.Connection, database: str) -> None:
    """NOTIFY arrives once a transaction, with the new generation, and not before the commit."""
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN llm_settings")
        with connection.transaction():
            connection.execute(UPDATE, ["B"])
            connection.execute(INSERT, ["b"])
            assert list(listener.notifies(timeout=0.1)) == []
        notices = list(listener.notifies(timeout=1, stop_after=2))

    assert [notice.payload for notice in notices] == [str(_generation(connection))]


def test_stamp_names_field_person_time_and_version(connection: psycopg.Connection) -> None:
    """Each field keeps who changed it, when and as which version; raw SQL is put down to its database role."""
    with connection.transaction():
        connection.execute("SELECT set_config('llm_settings.actor', 'ada', true)")
        connection.execute(UPDATE, ["By Ada"])
    connection.execute("UPDATE llm_providers SET description = 'by hand' WHERE name = 'a'")

    row = connection.execute("SELECT version, updated_by, field_changes FROM llm_providers").fetchone()
    assert row is not None
    version, updated_by, changes = row
    assert version == 3
    assert updated_by.endswith(" (SQL)")
    assert (changes["display_name"]["by"], changes["display_name"]["version"]) == ("ada", 2)
    assert changes["description"]["by"].endswith(" (SQL)")
    assert (changes["kind"]["version"], changes["description"]["version"]) == (1, 3)


def test_stamp_cannot_be_forged_or_wasted(connection: psycopg.Connection) -> None:
    """version, updated_* and field_changes cannot be written; an update that changes nothing is no version."""
    connection.execute(
        "UPDATE llm_providers SET version = 99, updated_by = 'eve', field_changes = '{}' WHERE name = 'a'"
    )
    connection.execute("UPDATE llm_providers SET display_name = display_name")

    row = connection.execute("SELECT version, updated_by, field_changes <> '{}' FROM llm_providers").fetchone()
    assert row is not None
    assert row[0] == 1
    assert row[1] != "eve"
    assert row[2]


def test_ciphertext_alone_is_no_edit(connection: psycopg.Connection) -> None:
    """A row sealed anew (key rotation) keeps its version, so that open forms stay valid; readers still hear of it."""
    before = _generation(connection)
    connection.execute("UPDATE llm_providers SET api_key_encrypted = 'x', api_key_key_id = 'k', api_key_binding = 'b'")

    assert connection.execute("SELECT version FROM llm_providers").fetchone() == (1,)
    assert _generation(connection) == before + 1


def test_old_changes_are_pruned(connection: psycopg.Connection) -> None:
    """The table of changes stays small: every thousandth generation drops what is 10,000 back."""
    connection.execute("UPDATE settings_generation SET generation = 20999")
    connection.execute("INSERT INTO settings_changes VALUES (10999, 'llm_providers', 1), (11001, 'llm_providers', 1)")
    connection.execute(UPDATE, ["B"])

    left = connection.execute("SELECT generation FROM settings_changes ORDER BY 1").fetchall()
    assert (10999,) not in left
    assert (11001,) in left


def test_counter_is_locked_for_a_moment_only(connection: psycopg.Connection) -> None:
    """A commit takes milliseconds, not the length of the work before it."""
    with connection.transaction():
        connection.execute(UPDATE, ["B"])
        time.sleep(0.05)
        locked = connection.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE c.relname = 'settings_generation' AND l.mode = 'RowExclusiveLock'"
        ).fetchone()
        assert locked == (0,)
