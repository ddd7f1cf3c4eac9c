"""Rate limits on calls: kept by admins, checked, and known to services."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.errors import AlreadyExists, Conflict, CoreError, Forbidden, Invalid, NotFound
from core.manage import organizations, rate_limits
from core.resolve import Resolver
from core.resolving import snapshot_file
from core.store import db, grants
from core.store.table import id_of
from tests.manage.test_budgets import of_acme

CHAT: dict[str, Any] = {"name": "Chat", "requests_per_minute": 600, "max_concurrent": 20}
MANY = text(
    "WITH made AS (INSERT INTO llm_rate_limits (name, organization_id, feature_id, provider_id, model, requests_per_minute)"
    " SELECT to_char(n, 'FM00'), :organization_id, :feature_id, :provider_id, 'm' || n, 600 FROM generate_series(CAST(:first AS integer), :last) n RETURNING id, name)"
    " INSERT INTO llm_rate_hours (rate_limit_id, slot, requests) SELECT id, now(), name::int FROM made"
)
FIGURES = {"requests_per_minute", "tokens_per_minute", "max_concurrent"}


@pytest.mark.parametrize(
    ("patch", "fields"),
    [
        ({"requests_per_minute": 0}, {"requests_per_minute"}),
        ({"tokens_per_minute": 2_000_000_001}, {"tokens_per_minute"}),
        ({"max_concurrent": True}, {"max_concurrent"}),
        ({"max_concurrent": "5"}, {"max_concurrent"}),
        ({"requests_per_minute": None, "max_concurrent": None}, FIGURES),
        ({"burst_seconds": 0.05}, {"burst_seconds"}),
        ({"burst_seconds": 61}, {"burst_seconds"}),
        ({"burst_seconds": float("nan")}, {"burst_seconds"}),
        ({"when_full": "queue"}, {"when_full"}),
        ({"max_wait_ms": 60_001}, {"max_wait_ms"}),
        ({"max_wait_ms": -1}, {"max_wait_ms"}),
        ({"name": " "}, {"name"}),
        ({"model": "m" * 201}, {"model"}),
        ({"provider_id": 0}, {"provider_id"}),
        ({"per_second": 1}, {"per_second"}),
    ],
)
def test_what_makes_no_rate_limit_is_refused(session: Session, patch: dict[str, Any], fields: set[str]) -> None:
    """By the field at fault; one of the three figures is needed, and none is 0."""
    with pytest.raises(Invalid) as refused:
        rate_limits.create(session, COMMAND_LINE, CHAT | patch)
    assert set(refused.value.fields) == fields


def test_a_rate_limit_is_kept(session: Session, admin: Actor, analyst: Actor) -> None:
    """One of a scope and model is active; analysts look, admins change, a stale change is told."""
    of = of_acme(session)
    made = rate_limits.create(session, admin, CHAT | of | {"model": "gpt-5.1"})
    row = made.row
    number = id_of(row)
    assert made.scope == "acme · summarise · local · gpt-5.1"
    assert (row.burst_seconds, row.when_full, row.max_wait_ms, row.tokens_per_minute) == (6, "wait", 2000, None)
    rate_limits.create(session, admin, CHAT | of | {"name": "all models"})
    rate_limits.create(session, admin, CHAT | of | {"name": "off", "is_active": False})
    for data in (CHAT | of | {"name": "again"}, CHAT):
        with pytest.raises(AlreadyExists), session.begin_nested():
            rate_limits.create(session, admin, data)
    assert [found.row.name for found in rate_limits.list_all(session, analyst)] == ["Chat", "all models", "off"]
    changed = rate_limits.update(session, admin, number, {"requests_per_minute": None, "burst_seconds": 1}, version=1)
    assert (changed.row.requests_per_minute, changed.row.burst_seconds, changed.row.version) == (None, 1, 2)
    with pytest.raises(Conflict):
        rate_limits.update(session, admin, number, {"max_concurrent": 5}, version=1)
    template = id_of(organizations.create_one(session, admin, {"slug": "plan", "name": "P", "kind": "template"}))
    with pytest.raises(Invalid, match="template"):
        rate_limits.create(session, admin, CHAT | {"name": "b", "organization_id": template})
    for refused in (
        lambda: rate_limits.create(session, analyst, CHAT | {"name": "b"}),
        lambda: rate_limits.update(session, analyst, number, {"max_concurrent": 5}),
        lambda: rate_limits.delete(session, analyst, number),
    ):
        with pytest.raises(Forbidden):
            refused()
    assert rate_limits.delete(session, admin, number) == "Chat"


def test_many_are_listed_by_as_many_queries_as_one(session: Session) -> None:
    """What counted, what vendors said and the names of the scope are asked for together; each has its own."""
    of: dict[str, Any] = of_acme(session)
    asked, counts = list[str](), list[int]()
    session.execute(
        text(
            "INSERT INTO llm_vendor_rates SELECT :p, 'k' || n, 'm' || n, 10 * n, NULL, NULL, NULL, NULL, now() FROM generate_series(0, 30) n"
        ),
        {"p": of["provider_id"]},
    )

    def note(*given: Any) -> None:
        asked.append(given[2])

    event.listen(connection := session.connection(), "before_cursor_execute", note)
    try:
        for first, last in ((0, 0), (1, 49)):
            session.execute(MANY, {**of, "first": first, "last": last})
            asked.clear()
            found = rate_limits.list_all(session, COMMAND_LINE)
            counts.append(len(asked))
    finally:
        event.remove(connection, "before_cursor_execute", note)
    assert counts[0] == counts[1] <= 8
    assert [(each.scope[-2:].strip(), each.hour.requests) for each in found if each.hour] == [
        (f"m{n}"[-2:], n) for n in range(50)
    ]
    assert [[says.requests for says in each.vendor] for each in found] == [
        [10 * n] if n <= 30 else [] for n in range(50)
    ]
    every = rate_limits.create(session, COMMAND_LINE, CHAT | {"name": "all"})
    assert [says.requests for says in every.vendor] == [10 * n for n in range(rate_limits.MOST_VENDORS)]
    assert (every.scope, every.hour, every.in_use) == ("everything", None, 0)


def test_errors_of_rate_limits_that_are_not_there(session: Session) -> None:
    """Each names it."""
    for refused in (
        lambda: rate_limits.get(session, COMMAND_LINE, 5),
        lambda: rate_limits.get_by_name(session, COMMAND_LINE, "x\x00"),
        lambda: rate_limits.delete(session, COMMAND_LINE, 2**40),
        lambda: rate_limits.create(session, COMMAND_LINE, CHAT | {"provider_id": 10**6}),
    ):
        with pytest.raises((NotFound, CoreError), match=r"no (rate limit|provider)"):
            refused()


def test_services_know_which_rate_limits_count(committed: str, tmp_path: Any) -> None:
    """By organisation, feature and provider, with the model they are for; from the file too; what changes is there soon."""
    with db.transaction() as session:
        of = of_acme(session)
        made = {
            "all": {"burst_seconds": 0.5},
            "acme": {"organization_id": of["organization_id"]},
            "both": of,
            "model": {"provider_id": of["provider_id"], "model": "m"},
        }
        for name, scope in made.items():
            rate_limits.create(session, COMMAND_LINE, CHAT | {"name": name} | scope)
        rate_limits.create(session, COMMAND_LINE, CHAT | {"name": "off", "model": "n", "is_active": False})
    resolver = Resolver(committed)

    def known(*asked: str | None) -> list[str]:
        return [found.name for found in resolver.resolve(*asked).rate_limits]

    resolver.start().wait(10)
    assert known("local") == ["all", "model"]
    assert known("local", "acme", "summarise") == ["all", "acme", "both", "model"]
    first, last = resolver.resolve("local").rate_limits
    assert (first.requests_per_minute, first.tokens_per_minute, first.burst_seconds) == (600, None, 0.5)
    assert (last.model, last.when_full, last.max_wait_ms) == ("m", "wait", 2000)
    snapshot_file.write(tmp_path / "snapshot", resolver._snapshot, 0.0)
    saved = snapshot_file.read(tmp_path / "snapshot")
    assert saved is not None
    assert saved.snapshot.rate_limits == resolver._snapshot.rate_limits
    before = resolver.generation
    with db.transaction() as session:
        row = rate_limits.get_by_name(session, COMMAND_LINE, "all").row
        rate_limits.update(session, COMMAND_LINE, id_of(row), {"is_active": False})
    assert resolver.wait_for(before + 1, 5)
    assert known("local", "acme") == ["acme", "model"]
    resolver.close()


def test_a_role_for_services_reads_rate_limits_and_writes_none(committed: str) -> None:
    """It reads what a call is counted against, and nothing of who set it."""
    may = {"name": True, "max_wait_ms": True, "updated_by": False}
    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS rate_service")
        connection.execute("CREATE ROLE rate_service")
        try:
            with db.transaction() as session:
                session.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
                grants.grant_reader(session, "rate_service", log=True)
            for column, wanted in may.items():
                asked = "SELECT has_column_privilege('rate_service', 'llm_rate_limits', %s, 'SELECT')"
                assert connection.execute(asked, [column]).fetchone() == (wanted,)
            asked = "SELECT has_any_column_privilege('rate_service', 'llm_rate_limits', 'INSERT, UPDATE')"
            assert connection.execute(asked).fetchone() == (False,)
        finally:
            connection.execute("DROP OWNED BY rate_service; DROP ROLE rate_service")


def test_what_counted_and_what_the_vendor_allows_is_read(session: Session, admin: Actor) -> None:
    """Of two hours, with the most of a minute; of its provider and model, the lowest first; one above the vendor's is told."""
    of = of_acme(session)
    number = id_of(rate_limits.create(session, admin, CHAT | {"provider_id": of["provider_id"], "model": "m"}).row)
    everything = id_of(rate_limits.create(session, admin, CHAT | {"name": "everything"}).row)
    assert (rate_limits.get(session, admin, number).hour, rate_limits.get(session, admin, number).vendor) == (None, ())
    session.execute(
        text(
            "INSERT INTO llm_rate_hours (rate_limit_id, slot, requests, tokens, waited, waited_ms, refused, peak_requests, peak_places)"
            " SELECT :id, date_trunc('hour', now(), 'UTC') - make_interval(hours => n), 10 + n, 5, 1, 300, n, 9 - n, n"
            " FROM generate_series(0, 2) n"
        ),
        {"id": number},
    )
    session.execute(
        text(
            "INSERT INTO llm_vendor_rates (provider_id, fingerprint, model, requests, tokens, input_tokens, output_tokens, closed_until, heard_at)"
            " VALUES (:p, 'a', 'm', 700, NULL, 30, 40, now() - interval '1 minute', now()), (:p, 'b', 'm', 500, NULL, 30, NULL, now() + interval '1 hour', now()),"
            " (:p, 'c', 'n', 5, 1, NULL, NULL, NULL, now())"
        ),
        {"p": of["provider_id"]},
    )
    found = rate_limits.get(session, admin, number)
    assert found.hour == (21, 10, 2, 600, 1, 9, 0, 1)
    assert [(says.fingerprint, says.requests, says.tokens) for says in found.vendor] == [
        ("b", 500, None),
        ("a", 700, 70),
    ]
    assert [says.closed_until is None for says in found.vendor] == [False, True]
    assert found.above == found.vendor[0]
    assert [row.requests for row in rate_limits.hours(session, admin, number)] == [10, 11, 12]
    others = rate_limits.get(session, admin, everything)
    assert ([says.fingerprint for says in others.vendor], others.above) == (["c", "b", "a"], None)
