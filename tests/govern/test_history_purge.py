"""Purging the history: what was before the cut is refused, what was after it stays true, and only so much goes."""

from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import select

from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Gone, Invalid
from core.govern import history, history_purge, jobs
from core.govern.history_moments import moment, newest
from core.govern.history_queries import Filters
from core.manage import installation, organization_deletion, organizations, settings
from core.manage.scopes import SettingsScope
from core.store import db, past
from core.store.records import AuditEvent
from core.store.table import id_of
from tests.govern import history_writes
from tests.govern.test_history import answers, rows

ADA = Actor("ada")


def _aged(url: str, days: int) -> None:
    """Let all that there is be so many days older."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("settings_generations", "settings_history"):
            connection.execute(f"UPDATE {table} SET at = at - make_interval(days => {days})".encode())


def test_what_is_left_stays_true(committed: str) -> None:
    """After a purge each generation from the cut on is read as before, with who decided what; those before are refused, and nothing that is needed has gone."""
    random, seen = Random(23), dict[int, Any]()
    for turn in range(30):
        with db.transaction() as session:
            history_writes.write(session, Actor(random.choice(["ada", "bob"])), random)
        if turn == 17:
            with db.transaction() as session:
                cut = newest(session).generation
            _aged(committed, 10)
        if turn % 3 == 2:
            with db.transaction() as session:
                seen[newest(session).generation] = (rows(session), answers(session))
    with db.transaction() as session:
        would = history_purge.purge(lambda work: work(session), COMMAND_LINE, older_than=5, dry_run=True)
        before = session.scalar(text("SELECT count(*) FROM settings_history"))
    removed = history_purge.purge(db.retrying, COMMAND_LINE, older_than=5)
    assert removed == would > 3
    assert history_purge.purge(db.retrying, COMMAND_LINE, older_than=5) == 0
    with db.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM settings_history")) == before - removed
        for generation, (expected, said) in seen.items():
            if generation < cut:
                with pytest.raises(Gone, match="begins on"):
                    moment(session, generation)
                continue
            moment(session, generation)
            with past.reading(session, past.Past(generation, None)) as then:
                assert rows(then) == expected, generation
                assert answers(then) == said, generation
        with pytest.raises(Gone):
            history.difference(session, ADA, cut - 1, cut)
        found = session.exec(select(AuditEvent).where(AuditEvent.action == "history.purge")).all()
    assert len(found) == 1


def test_nothing_younger_than_a_day_goes(committed: str) -> None:
    """Not even by the function itself: the application's role cannot take away what was done just now."""
    for number in (1, 2, 3):
        with db.transaction() as session:
            settings.upsert(session, ADA, SettingsScope(), {"max_tokens": number})
    assert history_purge.purge(db.retrying, COMMAND_LINE, older_than=1) == 0
    with psycopg.connect(committed, autocommit=True) as connection:
        found = connection.execute("SELECT * FROM llm_purge_history(-1000, '', 0, 100)").fetchone()
        assert found == (0, None, None)
    with pytest.raises(Invalid):
        history_purge.purge(db.retrying, COMMAND_LINE, older_than=0)


def test_the_periodic_job_keeps_as_decided(committed: str) -> None:
    """Without keep_history_days nothing goes; with it what is older goes by itself."""
    for number in (1, 2, 3):
        with db.transaction() as session:
            settings.upsert(session, ADA, SettingsScope(), {"max_tokens": number})
    _aged(committed, 10)
    (job,) = [job for job in jobs.JOBS if job.name == "history-purge"]
    assert job.work(db.retrying) == 0
    with db.transaction() as session:
        installation.update(session, ADA, {"keep_history_days": 30})
    assert job.work(db.retrying) == 0
    with db.transaction() as session:
        installation.update(session, ADA, {"keep_history_days": 7})
    assert job.work(db.retrying) == 2
    with db.transaction() as session, pytest.raises(Invalid, match="keep_history_days"):
        installation.update(session, ADA, {"keep_history_days": 0})


def test_an_organisation_s_history_goes_on_request(committed: str) -> None:
    """A purged organisation leaves its history, or takes it along; of one that is there it cannot be taken."""
    numbers = []
    for slug in ("acme", "beta"):
        with db.transaction() as session:
            number = id_of(organizations.create_one(session, ADA, {"slug": slug, "name": slug}))
            settings.upsert(session, ADA, SettingsScope(organization_id=number), {"max_tokens": 5})
            organization_deletion.delete(session, ADA, number)
        with psycopg.connect(committed) as connection, pytest.raises(psycopg.Error, match="is there"):
            connection.execute("SELECT llm_purge_organization_history(%s)", [number])
        numbers.append(number)
    acme, beta = numbers
    with db.transaction() as session:
        organization_deletion.purge(session, ADA, acme)
    with db.transaction() as session:
        goes = organization_deletion.purge(session, ADA, beta, with_history=True)
        assert "history of" in goes[-1]
    with db.transaction() as session:
        assert {row.op for row in history.changes(session, ADA, Filters(acme)).rows} == {"+", "-"}
        assert history.changes(session, ADA, Filters(beta)).rows == []


def test_only_admins_purge(analyst: Actor) -> None:
    """An analyst is refused."""
    with pytest.raises(Forbidden):
        history_purge.purge(db.retrying, analyst, older_than=30)
