"""How long calls and the audit are kept: the fewest days that anybody says, and a chain that holds after each cut."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session

from core import config
from core.actors import COMMAND_LINE, PERIODIC, Actor
from core.audit import chain
from core.errors import Forbidden, Invalid, NotFound
from core.govern import audit_purge, jobs, log_purge
from core.manage import installation, organization_members, organizations
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from tests.audit.aging import age_events
from tests.govern.test_usage import NOW, log
from tests.processes import core

AGES = (3, 10, 20, 50, 200)
"""Days of the calls that there are of each organisation, and of none."""


@pytest.mark.parametrize(
    ("host", "whole", "acme", "left"),
    [
        (None, None, None, {"acme": 5, "beta": 5, None: 5}),
        (None, 30, None, {"acme": 3, "beta": 3, None: 3}),
        (15, 30, None, {"acme": 2, "beta": 2, None: 2}),
        (30, 15, None, {"acme": 2, "beta": 2, None: 2}),
        (None, 30, 15, {"acme": 2, "beta": 3, None: 3}),
        (None, 15, 30, {"acme": 2, "beta": 2, None: 2}),
        (None, None, 15, {"acme": 2, "beta": 5, None: 5}),
        (15, None, 5, {"acme": 1, "beta": 2, None: 2}),
    ],
)
def test_the_fewest_days_hold(
    session: Session,
    admin: Actor,
    monkeypatch: pytest.MonkeyPatch,
    host: int | None,
    whole: int | None,
    acme: int | None,
    left: dict[str | None, int],
) -> None:
    """What the host, the installation and the organisation say: calls that the shortest of them calls old go, no others."""
    monkeypatch.setattr(log_purge, "PURGED_AT_ONCE", 2)
    if host:
        monkeypatch.setenv("LLM_LOG_DAYS", str(host))
    config.get_config.cache_clear()
    ids: dict[str | None, int | None] = {None: None}
    for slug in ("acme", "beta"):
        ids[slug] = id_of(organizations.create_one(session, admin, {"slug": slug, "name": slug}))
    organizations.update(session, admin, ids["acme"] or 0, {"keep_calls_days": acme})
    installation.update(session, admin, {"keep_calls_days": whole})
    log(session, *({"at": NOW - timedelta(days=age), "organization_id": of} for of in ids.values() for age in AGES))

    gone = log_purge.purge_as_decided(lambda work: work(session), PERIODIC)

    counted = dict(session.execute(text("SELECT organization_id, count(*) FROM llm_logs GROUP BY 1")).all())  # type: ignore[arg-type]  # pairs
    assert {slug: counted[number] for slug, number in ids.items()} == left
    assert gone == 15 - sum(left.values())
    query = "SELECT changes #> '{organization_id,after}' FROM audit_events WHERE action = 'logs.purge'"
    assert (ids["acme"] in session.scalars(text(query)).all()) == (left["acme"] < left["beta"])


def test_an_organisations_admin_decides_how_long_and_nothing_else(session: Session, admin: Actor) -> None:
    """Its own admin sets its days; another's is not found, its analyst may not; a template and no days are refused."""
    one, other = (
        id_of(organizations.create_one(session, admin, {"slug": slug, "name": slug})) for slug in ("acme", "beta")
    )
    people = {}
    for role in ("admin", "analyst"):
        user = User(username=role, role="member", password_hash="*")
        session.add(user)
        session.flush()
        organization_members.set_member(session, admin, one, id_of(user), role)
        people[role] = Actor(role, user_id=id_of(user), auth_epoch=user.auth_epoch)

    assert organizations.update(session, people["admin"], one, {"keep_calls_days": 30}).keep_calls_days == 30
    with pytest.raises(Forbidden):
        organizations.update(session, people["admin"], one, {"keep_calls_days": 30, "name": "Mine"})
    with pytest.raises(NotFound):
        organizations.update(session, people["admin"], other, {"keep_calls_days": 30})
    with pytest.raises(Forbidden):
        organizations.update(session, people["analyst"], one, {"keep_calls_days": 3})
    for wrong in (0, -1, 36_501, "many"):
        with pytest.raises(Invalid, match="keep_calls_days"):
            organizations.update(session, people["admin"], one, {"keep_calls_days": wrong})
    with pytest.raises(Invalid, match="keep_audit_days"):
        installation.update(session, admin, {"keep_audit_days": 29})
    template = organizations.create_one(session, admin, {"slug": "plan", "name": "Plan", "kind": "template"})
    with pytest.raises(Invalid, match="template makes no calls"):
        organizations.update(session, admin, id_of(template), {"keep_calls_days": 3})


# The audit


@pytest.fixture
def aged(committed: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of eleven events seven are 100 days old; a transaction purges three; 40 days are kept."""
    monkeypatch.setattr(audit_purge, "EVENTS_AT_ONCE", 3)
    with db.transaction() as session:
        installation.update(session, COMMAND_LINE, {"keep_audit_days": 40})
    with psycopg.connect(committed, autocommit=True) as owner:
        for _ in range(10):
            owner.execute("INSERT INTO audit_events (actor, action, target_type, target) VALUES ('a', 'x', 'x', 'x')")
        age_events(owner, 7, 100)
    return committed


def verdict() -> tuple[str, int, int]:
    """What is wrong with the chain, how many events hold, and what they begin behind."""
    with db.transaction() as session:
        found = chain.verify(session)
    return found.problem, found.checked, found.start.seq


@pytest.mark.usefixtures("aged")
def test_the_audit_is_cut_at_its_old_end() -> None:
    """Some a transaction; killed after any of them the chain holds; run again it does the rest, and then nothing."""
    done = 0

    def once(work: Callable[[Session], Any]) -> Any:
        nonlocal done
        done += 1
        if done > 1:
            raise KeyboardInterrupt
        return db.retrying(work)

    with pytest.raises(KeyboardInterrupt):
        audit_purge.purge_events(once, PERIODIC)
    assert verdict() == ("", 9, 3)  # and the event that tells of it

    assert jobs.run("audit-purge") == 4
    assert verdict() == ("", 7, 7)
    assert jobs.run("audit-purge") == 0
    with db.transaction() as session:
        installation.update(session, COMMAND_LINE, {"keep_audit_days": None})
    assert jobs.run("audit-purge") == 0
    assert verdict()[2] == 7


def test_a_broken_chain_is_not_purged(aged: str) -> None:
    """Who changed an old event cannot wait until the purge takes it away: the work fails, and says where."""
    with psycopg.connect(aged, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE audit_events SET actor = 'eve' WHERE seq = 5")

    with pytest.raises(Invalid, match="Event 5 is not as it was written"):
        jobs.run("audit-purge")

    assert "Event 5 is not" in verdict()[0]
    with db.transaction() as session:
        assert session.scalar(text("SELECT min(seq) FROM audit_events")) == 4  # the part before it was whole


@pytest.mark.parametrize(("days", "up_to"), [(40, 8), (40, 11), (40, 99), (None, 3), (101, 3)])
def test_no_more_is_cut_than_was_decided(aged: str, days: int | None, up_to: int) -> None:
    """The function that cuts for the application's role refuses what is young, not there, or was not decided."""
    with psycopg.connect(aged, autocommit=True) as owner:
        owner.execute("UPDATE installation SET keep_audit_days = %s", [days])
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="these events are kept"):
            owner.execute("SELECT llm_purge_audit(%s, 'eve')", [up_to])
    assert verdict()[::2] == ("", 0)


def test_keeping_by_command(committed: str) -> None:
    """The days are set, shown and taken back on the command line."""
    url = {"DATABASE_URL": committed}
    core("organizations", "add", "acme", **url)
    shown = core("installation", "set", "--keep-calls-days", "90", "--keep-audit-days", "400", **url).stdout
    assert shown.endswith("calls are kept: 90 days\nthe audit is kept: 400 days\n")
    assert core("organizations", "keep", "acme", "--calls-days", "30", **url).stdout == (
        "Calls of acme are kept for 30 days at most.\n"
    )
    assert "kept" not in core(
        "installation", "set", "--keep-calls-days", "0", "--keep-audit-days", "0", **url
    ).stdout.replace("require", "")
    with db.transaction() as session:
        assert organizations.get_by_name(session, COMMAND_LINE, "acme").keep_calls_days == 30
