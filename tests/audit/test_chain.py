"""All events of one transaction are linked at once: the head is written once, however many there are."""

import psycopg
import pytest
from psycopg import errors as pg

from core.audit import chain
from core.store import db, migrate

ADD = """
    INSERT INTO audit_events (actor, actor_id, address, action, target_type, target_id, target, changes)
    SELECT %(who)s, n, CASE WHEN n %% 3 = 0 THEN '' END, 'test', 'provider', NULL, 'ü🦜 1:x-' || n,
        jsonb_build_object('n', n * 1.0) FROM generate_series(1, %(number)s) AS n
"""


def add(connection: psycopg.Connection, number: int = 1, who: str = "ada") -> None:
    connection.execute(ADD, {"number": number, "who": who})


def numbers(url: str) -> list[tuple[int, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT seq, actor FROM audit_events ORDER BY seq").fetchall()


def verified() -> int:
    """How many events the chain has; it holds."""
    with db.transaction() as session:
        found = chain.verify(session)
    assert found.problem == ""
    return found.checked


@pytest.mark.parametrize("number", [1, 10, 2_000])
def test_the_head_is_written_once(committed: str, number: int) -> None:
    """One update of the head a transaction, one of each event, and no row is read more often than four times."""
    with psycopg.connect(committed) as connection:
        add(connection, 500)
    with psycopg.connect(committed) as connection:
        add(connection, number)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        counted = dict(
            connection.execute(
                "SELECT relname, ARRAY[n_tup_upd, seq_tup_read + idx_tup_fetch] FROM pg_stat_xact_user_tables"
                " WHERE relname LIKE 'audit%'"
            ).fetchall()
        )
    assert counted["audit_head"][0] == 1
    assert counted["audit_events"][0] == number
    assert counted["audit_events"][1] <= 4 * number
    assert verified() == 500 + number


def test_order_is_that_of_the_statements(committed: str) -> None:
    """Within a transaction the order of writing, between transactions that of commits, though their events alternate."""
    with psycopg.connect(committed) as first, psycopg.connect(committed) as second:
        add(first, who="a")
        add(second, who="b")
        add(first, 2, who="c")
        add(second, who="d")
        second.commit()
        add(first, who="e")

    assert numbers(committed) == [(1, "b"), (2, "d"), (3, "a"), (4, "c"), (5, "c"), (6, "e")]
    assert verified() == 6


def test_savepoints(committed: str) -> None:
    """What a savepoint takes back has no number, be it the first event or one between; the others follow without a gap."""
    with psycopg.connect(committed) as connection:
        for who, kept in (("a", False), ("b", True), ("c", False), ("d", True)):
            connection.execute("SAVEPOINT s")
            add(connection, 2, who)
            if not kept:
                connection.execute("ROLLBACK TO s")
        add(connection, who="e")

    assert numbers(committed) == [(1, "b"), (2, "b"), (3, "d"), (4, "d"), (5, "e")]
    assert verified() == 5


def test_rolled_back_transaction_leaves_no_number(committed: str) -> None:
    """Linked or not: after a rollback the next event has the next number."""
    with psycopg.connect(committed) as connection:
        add(connection, 3)
    with psycopg.connect(committed) as connection:
        add(connection, 3, who="gone")
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.rollback()
        add(connection, who="b")

    assert numbers(committed) == [(1, "ada"), (2, "ada"), (3, "ada"), (4, "b")]
    assert verified() == 4


def test_linked_in_several_goes(committed: str) -> None:
    """Constraints made immediate, and ids that were given by hand out of order: each event is linked once."""
    with psycopg.connect(committed) as connection:
        add(connection, 2, who="a")
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        add(connection, 2, who="b")
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        for number in (1_000, 900, 950):
            connection.execute(
                "INSERT INTO audit_events (id, actor, action, target_type, target) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, 'c', 'test', 'x', 'y')",
                [number],
            )

    assert [who for _, who in numbers(committed)] == ["a", "a", "b", "b", "c", "c", "c"]
    assert verified() == 7


def test_event_without_a_number_stays_without(committed: str) -> None:
    """What was written while the trigger was off is not linked by a later transaction: the check goes on to tell of it."""
    with psycopg.connect(committed) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        add(connection, who="past the trigger")
    with psycopg.connect(committed) as connection:
        add(connection, 2)

    with db.transaction() as session:
        assert "1 event without a number" in chain.verify(session).problem


@pytest.mark.parametrize(
    "isolation", [None, psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_every_isolation_links_alike(committed: str, isolation: psycopg.IsolationLevel | None) -> None:
    """A transaction that sees one snapshot alone links its events behind what was committed before it began."""
    with psycopg.connect(committed) as connection:
        add(connection, who="a")
    with psycopg.connect(committed) as connection:
        connection.isolation_level = isolation
        add(connection, 3, who="b")

    assert [who for _, who in numbers(committed)] == ["a", "b", "b", "b"]
    assert verified() == 4


@pytest.mark.parametrize(
    "change", ["actor = 'nobody'", "changes = '{\"n\": 1}'", "at = at - interval '1 s'", "id = 99"]
)
def test_event_is_not_changed_before_it_has_a_number_either(committed: str, change: str) -> None:
    """In its own transaction too: the guard compares bytes, so that 1.0 is not 1."""
    with psycopg.connect(committed) as connection:
        add(connection)
        with pytest.raises((pg.InsufficientPrivilege, pg.GeneratedAlways), match=r"append-only|can only be updated"):
            connection.execute(f"UPDATE audit_events SET {change}")


def test_down_and_up_again(committed: str) -> None:
    """The chain of the version before goes on by this one's, and the other way round: the same bytes are hashed."""
    engine = db.get_engine()
    for revision in ("0011", "head", "0011", "head"):
        (migrate.upgrade if revision == "head" else migrate.downgrade)(engine, revision)
        with psycopg.connect(committed) as connection:
            add(connection, 7)
        with psycopg.connect(committed) as connection:
            add(connection)

    assert verified() == 4 * 8
    assert migrate.differences(engine) == []
