"""Figures, lists and files of the calls of one organisation or feature: what they add up to, and who reads them."""

import csv
import io
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.actors import Actor
from core.errors import Forbidden, NotFound
from core.govern import usage, usage_of_log
from core.govern.call_queries import CallFilters
from core.manage import features, organization_deletion, organization_members, organizations
from core.store.table import id_of
from core.store.tables import MEMBER
from tests.conftest import make_user
from tests.govern.test_usage import NOW, failed, log

WORDS = "Incorrect API key provided: sk-proj-ours. Host llm.inside.example"
ERROR = f"The call to m1 of provider 'acme' failed (key, 1 attempt): 401: {WORDS}"


@pytest.fixture
def two(session: Session, admin: Actor) -> dict[str, int]:
    """Two organisations: name -> id."""
    return {
        slug: id_of(organizations.create_one(session, admin, {"slug": slug, "name": slug})) for slug in ("acme", "beta")
    }


@pytest.fixture
def people(session: Session, admin: Actor, two: dict[str, int]) -> dict[str, Actor]:
    """An admin and an analyst of acme, and an admin of beta."""
    found = {}
    for name, slug, role in (("ann", "acme", "admin"), ("al", "acme", "analyst"), ("bob", "beta", "admin")):
        person = make_user(name, MEMBER)
        organization_members.set_member(session, admin, two[slug], person.own_id(), role)
        session.flush()
        epoch = session.scalar(text("SELECT auth_epoch FROM users WHERE id = :id"), {"id": person.own_id()})
        found[name] = Actor(name, person.own_id(), epoch or 0)
    return found


def _some(chance: random.Random, **scope: Any) -> dict[str, Any]:
    """A call like none other."""
    call = {
        "at": NOW - timedelta(minutes=chance.choice([0, 3, 55, 59, 61, 1435, 1441, 60 * 24 * 6, 60 * 24 * 60])),
        "provider": chance.choice(["p1", "p2"]),
        "model": f"m{chance.randrange(12)}",
        "latency_ms": chance.choice([0, 1, 2, 11, 12, 13, 900, 60_000]),
        "adjusted": chance.choice([0, 0, 2]),
        "cost": chance.choice([None, 0, 1]),
        "input_tokens": chance.choice([None, 7]),
    }
    return {**(failed() if chance.random() < 0.2 else {}), **call, **scope}


@pytest.mark.parametrize(
    "asked", [{"organization": "acme"}, {"feature": "sum"}, {"organization": "acme", "feature": "sum"}], ids=str
)
def test_figures_are_those_of_such_calls_alone(
    session: Session, admin: Actor, two: dict[str, int], asked: dict[str, str]
) -> None:
    """Figures and points of a scope are what the tables would say if there were no other calls, over each span, split each way."""
    chance = random.Random(11)
    scopes = [
        {"organization_id": organization, "feature": feature}
        for organization in (None, *two.values())
        for feature in (None, "sum", "Sum")
    ]
    scope = {"organization_id": two["acme"]} if "organization" in asked else {}
    scope |= {"feature": "sum"} if "feature" in asked else {}
    calls = [_some(chance, **each) for each in scopes for _ in range(20)]
    theirs = [call for call in calls if scope.items() <= call.items()]
    log(session, *theirs)
    looks = [(span, by, provider) for span in usage.SPANS for by, provider in (("provider", None), ("model", "p1"))]
    expected = [usage.course(session, admin, *look) for look in looks]
    log(session, *(call for call in calls if call not in theirs))

    found = [usage.course(session, admin, *look, **scope) for look in looks]

    assert found == expected
    assert len({each.whole.calls for each in found}) > 4
    assert usage.course(session, admin, "year", "model").whole.calls == len(calls)


def test_so_many_calls_are_added_up(
    session: Session, admin: Actor, two: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more calls than are added up at once the newest are, and since when is said."""
    monkeypatch.setattr(usage_of_log, "ADDED_UP", 5)
    log(session, *({"at": NOW - timedelta(minutes=n), "organization_id": two["acme"]} for n in range(20)))

    for span, since in (("day", NOW - timedelta(minutes=5)), ("month", NOW - timedelta(minutes=5))):
        found = usage.course(session, admin, span, "model", organization_id=two["acme"])
        assert (found.since, found.whole.calls) == (since, 6)
    log(session, *({"at": NOW - timedelta(minutes=n), "feature": "f"} for n in range(5)))
    assert usage.course(session, admin, "day", "model", feature="f")[::2] == (
        usage.course(session, admin, "day", "model", feature="f").whole,
        None,
    )


def test_list_and_file(session: Session, admin: Actor, two: dict[str, int]) -> None:
    """Both filters, alone and with others; a row says its organisation and feature, and that an organisation was deleted."""
    log(
        session,
        {"organization_id": two["acme"], "feature": "sum", "user_id": "1"},
        failed(organization_id=two["acme"], user_id="2"),
        {"organization_id": two["beta"], "feature": "sum", "user_id": "3"},
        {"organization_id": 999_999, "feature": "=cmd()", "user_id": "4"},
        {"user_id": "5"},
    )
    organization_deletion.delete(session, admin, two["beta"])

    expected = [
        ({}, "12345"),
        ({"organization_id": two["acme"]}, "12"),
        ({"organization_id": two["acme"], "status": "error"}, "2"),
        ({"organization_id": two["acme"], "feature": "sum", "provider": "acme", "status": "ok"}, "1"),
        ({"organization_id": two["beta"]}, "3"),
        ({"organization_id": 999_999}, "4"),
        ({"organization_id": two["acme"], "feature": "=cmd()"}, ""),
        ({"feature": "sum"}, "13"),
        ({"feature": "nul\0\ud800"}, ""),
    ]
    for asked, users in expected:
        rows = usage.search(session, admin, CallFilters(**asked)).rows  # type: ignore[arg-type]  # as the names say
        assert sorted(row.user_id or "" for row in rows) == list(users), asked
    named = {row.user_id: (row.organization, row.feature) for row in usage.search(session, admin).rows}
    assert named == {
        "1": ("acme", "sum"),
        "2": ("acme", None),
        "3": ("beta (deleted)", "sum"),
        "4": ("deleted organisation 999999", "=cmd()"),
        "5": (None, None),
    }
    lines = "".join(usage.as_csv(session, admin, CallFilters(organization_id=999_999), contents=False))
    (row,) = csv.DictReader(io.StringIO(lines, newline=""))
    assert (row["organization"], row["feature"]) == ("deleted organisation 999999", "'=cmd()")
    assert usage.choices(session, admin).features == ["=cmd()", "sum"]


def test_an_organisations_admin_reads_its_calls(
    session: Session, admin: Actor, two: dict[str, int], people: dict[str, Actor]
) -> None:
    """What the organisation's programs said, what it cost, and which names occur in it; of a failure why, in our words alone."""
    ann = people["ann"]
    log(
        session,
        {"organization_id": two["acme"], "provider": "p1", "feature": "sum"},
        failed(organization_id=two["acme"], provider="p1", error=ERROR),
        failed(organization_id=two["acme"], provider="p1", error=WORDS),
        {"organization_id": two["beta"], "provider": "p2", "model": "secret", "feature": "theirs"},
        {"provider": "p3"},
    )
    filters = CallFilters(organization_id=two["acme"])

    rows = usage.search(session, ann, filters).rows
    assert usage.course(session, ann, "day", "model", organization_id=two["acme"]).whole.calls == len(rows) == 3
    assert usage.choices(session, ann, two["acme"]) == (["p1"], ["m1"], ["sum"])
    file = "".join(usage.as_csv(session, ann, filters, contents=True))
    whole = [usage.get(session, ann, row.id) for row in rows]
    assert {call.prompt for call in whole} == {"the prompt"}
    told = [call.error for call in whole] + [row.error for row in rows]
    assert sorted(filter(None, told)) == ["The call failed (key)."] * 2 + ["The call failed."] * 2
    assert "the prompt" in file
    assert "sk-proj" not in file + str(told)
    assert ERROR in [usage.get(session, admin, row.id).error for row in rows]
    assert session.scalar(text("SELECT count(*) FROM llm_logs WHERE error = :error"), {"error": ERROR}) == 1
    assert features.unregistered(session, admin) == ["sum", "theirs"]


@pytest.mark.parametrize(
    "read",
    [
        lambda s, a, o: usage.course(s, a, "day", "model", organization_id=o),
        lambda s, a, o: usage.search(s, a, CallFilters(organization_id=o)),
        lambda s, a, o: usage.begins(s, a, CallFilters(organization_id=o), (NOW, 1), limit=1),
        usage.choices,
        lambda s, a, o: usage.as_csv(s, a, CallFilters(organization_id=o), contents=False),
    ],
    ids=["course", "search", "begins", "choices", "as_csv"],
)
def test_others_read_nothing(
    session: Session,
    analyst: Actor,
    two: dict[str, int],
    people: dict[str, Actor],
    read: Callable[[Session, Actor, int | None], object],
) -> None:
    """Another's is not there; an analyst, of the installation or the organisation, and who names none, are refused."""
    for asked in (two["beta"], 999_999):
        with pytest.raises(NotFound, match=f"no organization {asked}"):
            read(session, people["ann"], asked)
    for person, asked in (("al", two["acme"]), ("ann", None)):
        with pytest.raises(Forbidden):
            read(session, people[person], asked)
    for asked in (two["acme"], 999_999, None):
        with pytest.raises(Forbidden):
            read(session, analyst, asked)


def test_one_call_of_another(session: Session, analyst: Actor, two: dict[str, int], people: dict[str, Actor]) -> None:
    """Another's call, one of no organisation, and none at all are one and the same to an organisation's admin."""
    log(session, {"organization_id": two["beta"]}, {}, {"organization_id": two["acme"]})
    beta, nobodys, acme = session.scalars(text("SELECT id FROM llm_logs ORDER BY id"))
    for missing in (beta, nobodys, acme + 1):
        with pytest.raises(NotFound, match=f"no logged call {missing}"):
            usage.get(session, people["ann"], missing)
    assert usage.get(session, people["bob"], beta).organization_id == two["beta"]
    for person in (analyst, people["al"]):
        with pytest.raises(Forbidden):
            usage.get(session, person, acme)
