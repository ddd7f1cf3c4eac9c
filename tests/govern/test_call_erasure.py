"""Erasing a person from the request log: what goes, what stays, and what the audit has of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import COMMAND_LINE, Actor
from core.calling.log_rows import OF_A_PERSON
from core.calling.pseudonyms import pseudonym
from core.errors import Forbidden, Invalid, NotFound
from core.govern import call_erasure, usage
from core.govern.call_erasure import Erased
from core.govern.call_queries import CallFilters
from core.manage import organization_members, organizations
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from tests.govern.test_usage import NOW, failed, log
from tests.processes import core

ALL = "SELECT * FROM llm_logs ORDER BY at, id"
SAID = {"user_id": "anna-42", "prompt": "Anna asks", "response": "Anna hears", "parameters": '{"user": "anna"}'}


def calls(number: int, **more: Any) -> list[dict[str, Any]]:
    """So many calls of a person, an hour apart, the newest first."""
    return [{**SAID, "at": NOW - timedelta(hours=n), **more} for n in range(number)]


def rows(session: Session) -> list[dict[str, Any]]:
    """Return the log."""
    return [dict(row) for row in session.execute(text(ALL)).mappings()]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction erases three calls."""
    monkeypatch.setattr(call_erasure, "ERASED_AT_ONCE", 3)


@pytest.mark.usefixtures("few")
def test_a_person_goes_and_the_numbers_stay(session: Session, admin: Actor) -> None:
    """Of seven calls goes all that says who or what; others' calls and every figure stay; the audit has a number and no id."""
    organization = id_of(organizations.create_one(session, admin, {"slug": "acme", "name": "Acme"}))
    log(
        session, *calls(6, organization_id=organization), failed(**SAID, error="Anna broke it"), {"user_id": "anna-421"}
    )
    session.execute(text("UPDATE llm_logs SET tags = '[\"anna\"]', correlation_id = 'trace-anna'"))
    before = rows(session)
    figures = [usage.course(session, admin, "day", "model", organization_id=of) for of in (None, organization)]

    erased = call_erasure.erase_calls_of(lambda work: work(session), admin, " anna-42 ")

    after = rows(session)
    assert erased == 7
    for old, new in zip(before, after, strict=True):
        gone = dict.fromkeys(OF_A_PERSON) if old["user_id"] == "anna-42" else {}
        assert new == {**old, **gone}
        assert ("anna" in str(new).lower()) == (not gone)
    assert [usage.course(session, admin, "day", "model", organization_id=of) for of in (None, organization)] == figures
    event = session.execute(text("SELECT action, changes, target FROM audit_events ORDER BY id DESC LIMIT 1")).one()
    assert (event.action, event.changes["calls"]) == ("logs.erase", {"before": 7, "after": 0})
    assert "anna" not in str(event)
    assert call_erasure.erase_calls_of(lambda work: work(session), admin, "anna-42") == 0
    assert session.scalar(text("SELECT count(*) FROM audit_events WHERE action = 'logs.erase'")) == 1


@pytest.mark.usefixtures("committed", "few")
def test_erasing_that_was_interrupted_is_run_again() -> None:
    """What one transaction has erased stays so; the next run does the rest, and each is on record with what it found."""
    with db.transaction() as session:
        log(session, *calls(8))
    done = 0

    def twice(work: Callable[[Session], Any]) -> Any:
        nonlocal done
        done += 1
        if done > 2:
            raise KeyboardInterrupt
        return db.retrying(work)

    with pytest.raises(KeyboardInterrupt):
        call_erasure.erase_calls_of(twice, COMMAND_LINE, "anna-42")
    with db.transaction() as session:
        assert call_erasure.find_calls_of(session, COMMAND_LINE, "anna-42")[:2] == (5, 5)

    assert call_erasure.erase_calls_of(db.retrying, COMMAND_LINE, "anna-42") == 5
    with db.transaction() as session:
        noted = session.scalars(text("SELECT changes #> '{calls,before}' FROM audit_events ORDER BY id")).all()
    assert noted == [8, 5]


@pytest.mark.usefixtures("few")
def test_one_request_erases_some_and_says_what_is_left(session: Session, admin: Actor) -> None:
    """The oldest first; the record has what this one has done."""
    log(session, *calls(5))

    assert call_erasure.erase_some(session, admin, "anna-42") == Erased(3, 2)
    assert [row["user_id"] for row in rows(session)] == [None, None, None, "anna-42", "anna-42"]
    assert call_erasure.erase_some(session, admin, "anna-42") == Erased(2, 0)
    assert call_erasure.erase_some(session, admin, "anna-42") == Erased(0, 0)
    noted = session.scalars(
        text("SELECT changes #> '{calls,before}' FROM audit_events WHERE action = 'logs.erase' ORDER BY id")
    )
    assert noted.all() == [3, 2]


def test_somebody_known_by_an_address_is_found_and_erased(session: Session, admin: Actor) -> None:
    """Whether the log was masked or not when their calls came, and whatever the case of the address."""
    masked = pseudonym("Anna@example.com")
    log(
        session, *calls(2, user_id=masked), *calls(1, user_id="anna@example.com"), *calls(1, user_id="anna@example.org")
    )
    assert call_erasure.find_calls_of(session, admin, "anna@example.com").calls == 3
    assert call_erasure.find_calls_of(session, admin, masked).calls == 2, "as Usage shows it"
    assert len(usage.search(session, admin, CallFilters(user_id="anna@example.com")).rows) == 3
    assert call_erasure.erase_calls_of(lambda work: work(session), admin, " ANNA@example.com ") == 2
    assert sorted(filter(None, (row["user_id"] for row in rows(session)))) == ["anna@example.com", "anna@example.org"]


def test_who_may_erase(session: Session, admin: Actor, analyst: Actor) -> None:
    """An organisation's admin erases there alone; analysts do not; an empty id is refused by name."""
    one, other = (
        id_of(organizations.create_one(session, admin, {"slug": slug, "name": slug})) for slug in ("acme", "beta")
    )
    user = User(username="mel", role="member", password_hash="*")
    session.add(user)
    session.flush()
    organization_members.set_member(session, admin, one, id_of(user), "admin")
    mel = Actor("mel", user_id=id_of(user), auth_epoch=user.auth_epoch)
    log(session, *calls(1, organization_id=one), *calls(1, organization_id=other))

    assert call_erasure.erase_some(session, mel, "anna-42", organization_id=one) == Erased(1, 0)
    assert sorted(str(row["user_id"]) for row in rows(session)) == ["None", "anna-42"]
    with pytest.raises(NotFound):
        call_erasure.erase_some(session, mel, "anna-42", organization_id=other)
    for actor in (mel, analyst):
        with pytest.raises(Forbidden):
            call_erasure.erase_some(session, actor, "anna-42")
        with pytest.raises(Forbidden):
            call_erasure.find_calls_of(session, actor, "anna-42")
    for wrong in ("", "  ", "a" * 201):
        with pytest.raises(Invalid, match="user_id"):
            call_erasure.erase_some(session, admin, wrong)


def test_erasing_by_command(committed: str) -> None:
    """`logs find` says what there is, a dry run erases nothing, without --yes it asks, `logs erase` does it."""
    with db.transaction() as session:
        organizations.create_one(session, COMMAND_LINE, {"slug": "acme", "name": "Acme"})
        log(session, *calls(2))

    def run(*words: str, stdin: str = "") -> str:
        return core("logs", *words, "--user", "anna-42", stdin=stdin, DATABASE_URL=committed).stdout

    assert "2 logged calls, " in run("find")
    assert "no call of this person" in run("find", "--organization", "acme")
    assert "Erased" not in run("erase", "--dry-run")
    assert "for good?" in run("erase", stdin="n\n")
    assert "Erased the person from 2 logged calls." in run("erase", "--yes")
    assert "no call of this person" in run("find")
