"""One change for several providers is made whole or not at all, by whom it is due, and each row is on record."""

import threading
from typing import Any

import pytest
from sqlmodel import Session, text

from core.actors import Actor
from core.errors import Forbidden, Invalid
from core.manage import providers, settings, several
from core.manage.several import FIELDS, Change, Row
from core.store import db
from tests.pages.test_providers import add


@pytest.fixture
def three(session: Session, admin: Actor) -> list[int]:
    """Three providers: one active, one inactive, one with another model and a temperature of its own."""
    ids = [
        add(session, admin, "one"),
        add(session, admin, "two", is_active=False),
        add(session, admin, "three", available_models=["m1", "m9"]),
    ]
    settings.upsert_global(session, admin, ids[2], {"temperature": 0.2, "omitted_parameters": ["top_p"]})
    return ids


def seen(session: Session, ids: list[int], change: Change) -> dict[int, int]:
    return {row.id: row.version for row in several.preview(session, ids, change)}


def sides(rows: Any) -> dict[str, tuple[str, str]]:
    return {row.display_name: (row.before, row.after) for row in rows}


def state(session: Session) -> list[Any]:
    """Everything that such a change could touch."""
    tables = ("llm_providers", "llm_settings", "audit_events")
    return [session.execute(text(f"SELECT * FROM {table} ORDER BY id")).all() for table in tables]


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (Change("is_active", value=False), ["Active", "Active", "Inactive"], ["Inactive"] * 3),
        (Change("default_model", "value", "m9"), ["m1", "m1", "m1"], ["m1", "m9", "m1"]),
        (Change("temperature", "value", 0.3), ["inherits 0.7", "0.2", "inherits 0.7"], ["0.3"] * 3),
        (Change("temperature", "inherit"), ["inherits 0.7", "0.2", "inherits 0.7"], ["inherits 0.7"] * 3),
        (Change("top_p", "omit"), ["inherits 1", "not sent", "inherits 1"], ["not sent"] * 3),
        (Change("top_p", "value", 0.5), ["inherits 1", "not sent", "inherits 1"], ["0.5"] * 3),
        (
            Change("request_timeout_ms", "value", 9000),
            ["inherits 60,000", "inherits 60,000", "inherits 60,000"],
            ["9,000"] * 3,
        ),
        (Change("enable_logging", value=False), ["inherits On", "inherits On", "inherits On"], ["Off"] * 3),
    ],
    ids=str,
)
def test_what_is_shown_before_is_what_is_made(
    session: Session, admin: Actor, three: list[int], change: Change, before: list[str], after: list[str]
) -> None:
    """Each kind of field: the rows before and after, by display name; then just those are written, each on record with the comment."""
    rows = several.preview(session, three, change)
    names = ["One", "Three", "Two"]
    assert [row.display_name for row in rows] == names
    assert [(row.before, row.after) for row in rows] == list(zip(before, after, strict=True))
    head = session.execute(text("SELECT max(id) FROM audit_events")).scalar_one()

    made = several.apply(session, admin, {row.id: row.version for row in rows}, change, " spring \n cleaning ")

    assert sides(made) == {row.display_name: (row.before, row.after) for row in rows if row.changes}
    again = several.preview(session, three, change)
    assert [row.before for row in again] == after
    assert not any(row.changes for row in again)
    events = session.execute(
        text("SELECT target, changes FROM audit_events WHERE id > :head ORDER BY id"), {"head": head}
    ).all()
    assert sorted(target for target, _ in events) == sorted(row.display_name.lower() for row in made)
    assert all(changes["comment"] == {"before": None, "after": "spring cleaning"} for _, changes in events)
    assert all(change.field in changes or "omitted_parameters" in changes for _, changes in events)


def test_without_a_comment_nothing_is_said_and_later_events_have_none(
    session: Session, admin: Actor, three: list[int]
) -> None:
    """A comment belongs to its own change alone."""
    change = Change("temperature", "value", 0.3)
    several.apply(session, admin, seen(session, three, change), change, "why")
    other = Change("temperature", "inherit")
    several.apply(session, admin, seen(session, three, other), other)
    providers.update(session, admin, three[0], {"description": "later"})
    query = text("SELECT changes ? 'comment' FROM audit_events ORDER BY id DESC LIMIT 4")
    assert not any(session.execute(query).scalars())

    with pytest.raises(Invalid, match="comment: must be at most 500 characters"):
        several.apply(session, admin, seen(session, three, change), change, "x" * 501)


@pytest.mark.parametrize("change", [Change("is_active", value=False), Change("temperature", "value", 0.3)], ids=str)
def test_what_another_admin_did_meanwhile_refuses_all(
    session: Session, admin: Actor, three: list[int], change: Change
) -> None:
    """One row changed, one deleted since they were seen: both are named, with who it was, and nothing at all is written."""
    versions = seen(session, three, change)
    grace = Actor("grace")
    with db.transaction() as other:
        providers.update(other, grace, three[0], {"is_active": False})
        settings.upsert_global(other, grace, three[0], {"temperature": 1.0})
    with db.transaction() as other:
        providers.delete(other, grace, three[1])
    before = state(session)

    with pytest.raises(Invalid) as refused:
        several.apply(session, admin, versions, change)

    assert refused.value.fields == {
        "One": "was changed by grace meanwhile",
        f"number {three[1]}": "was deleted meanwhile",
    }
    assert state(session) == before
    again = seen(session, three, change)
    assert again.keys() == {three[0], three[2]}
    several.apply(session, admin, again, change)


def test_who_changed_it_is_who_changed_what_counts(session: Session, admin: Actor, three: list[int]) -> None:
    """Also who has switched the row off; not who has changed one that counts for nothing."""
    change = Change("temperature", "value", 0.3)
    versions = seen(session, three, change)
    own = settings.get_global(session, three[2])
    assert own
    settings.update(session, Actor("bob"), own.id or 0, {"is_active": False})
    with pytest.raises(Invalid) as refused:
        several.apply(session, admin, versions, change)
    assert refused.value.fields == {"Three": "was changed by bob meanwhile"}

    for who in ("grace", "eve", "bob"):
        row = settings.upsert_global(session, Actor(who), three[0], {"temperature": 1.0})
        if who != "eve":
            settings.update(session, Actor(who), row.id or 0, {"is_active": False})
        if who == "grace":
            versions = seen(session, three, change)
    settings.upsert_global(session, Actor("eve"), three[0], {"temperature": 1.5})
    session.execute(text("UPDATE llm_settings SET top_p = 0.5 WHERE NOT is_active"))  # by SQL, and stored behind it

    with pytest.raises(Invalid) as refused:
        several.apply(session, admin, versions, change)

    assert refused.value.fields == {"One": "was changed by eve meanwhile"}


def test_what_changes_beside_it_refuses_nothing(session: Session, admin: Actor, three: list[int]) -> None:
    """A temperature crosses no new description: only what is to be changed has to be as it was seen."""
    change = Change("temperature", "value", 0.3)
    versions = seen(session, three, change)
    providers.update(session, admin, three[0], {"description": "other"})
    assert len(several.apply(session, admin, versions, change)) == 3


def test_a_rule_that_one_of_them_breaks_refuses_all(session: Session, admin: Actor, three: list[int]) -> None:
    """What raw SQL has stored breaks a rule of the second: its name is told, and the first is as it was."""
    session.execute(text("UPDATE llm_providers SET needs_key = false WHERE name = 'two'"))
    session.expire_all()
    change = Change("default_model", "value", "m2")
    versions = seen(session, three, change)
    with pytest.raises(Invalid) as refused, session.begin_nested():
        several.apply(session, admin, versions, change)
    assert list(refused.value.fields) == ["Two"]
    assert [row.before for row in several.preview(session, three, change)] == ["m1"] * 3


@pytest.mark.parametrize(
    "change",
    [
        Change("name", "value", "x"),
        Change("is_active", "value", None),
        Change("is_active", "omit"),
        Change("default_model", "inherit"),
        Change("default_model", "value", ""),
        Change("temperature", "value", 3.0),
        Change("temperature", "value", float("nan")),
        Change("temperature", "value", None),
        Change("temperature", "value", "0.3"),
        Change("max_retries", "omit"),
        Change("log_level", "value", "loud"),
        Change("api_key", "value", "sk-x"),
    ],
    ids=str,
)
def test_forged_changes_are_refused(session: Session, admin: Actor, three: list[int], change: Change) -> None:
    """No field beside those that are offered, and no value that the field's own rules refuse."""
    before = state(session)
    with pytest.raises(Invalid):
        several.apply(session, admin, dict.fromkeys(three, 1), change)
    with pytest.raises(Invalid):
        several.preview(session, three, change)
    assert state(session) == before


@pytest.mark.parametrize("field", FIELDS)
def test_analysts_change_nothing(session: Session, analyst: Actor, three: list[int], field: str) -> None:
    """The right is asked for by core itself, for each field."""
    with pytest.raises(Forbidden):
        several.apply(session, analyst, dict.fromkeys(three, 1), Change(field, value=False))


def test_two_admins_at_once_wait_for_each_other(committed: str, admin: Actor) -> None:  # noqa: ARG001 - a database of its own
    """Each deactivates the same twelve, in another order: one does it, the other is told who it was; none gives up in a deadlock."""
    with db.transaction() as session:
        ids = [add(session, admin, f"each-{number}") for number in range(12)]
    change, told = Change("is_active", value=False), []
    with db.transaction() as session:
        versions = seen(session, ids, change)
    gate = threading.Barrier(2)

    def work(order: list[int]) -> None:
        gate.wait()
        try:
            with db.transaction() as session:
                told.append(len(several.apply(session, admin, {each: versions[each] for each in order}, change)))
        except Invalid as error:
            told.append(set(error.fields.values()))

    both = [threading.Thread(target=work, args=(order,)) for order in (ids, ids[::-1])]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert 12 in told
    assert {f"was changed by {admin.name} meanwhile"} in told


def test_models_that_most_of_them_have_come_first(session: Session, three: list[int]) -> None:
    """What is offered as a default model: of all of them, the common ones first."""
    assert several.models(session, three) == ["m1", "m2", "m9"]
    assert several.models(session, three[2:]) == ["m1", "m9"]


def test_activating_what_has_no_key_is_told_before(session: Session, three: list[int]) -> None:
    """Nothing forbids it; who looks at the change sees that programs get no key."""
    rows = several.preview(session, three, Change("is_active", value=True))
    assert all(isinstance(row, Row) and "no API key" in row.note for row in rows)
