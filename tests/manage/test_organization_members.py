"""Members and tokens of an organisation see it and nothing else; what is another's answers as what is not there."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session, col, select

from core.access import authority, tokens, users
from core.actors import COMMAND_LINE, Actor
from core.errors import CoreError, Forbidden, Invalid, NotFound
from core.manage import (
    features,
    organization_deletion,
    organization_keys,
    organization_members,
    organizations,
    providers,
    settings,
)
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.organization_tables import Organization
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import User
from tests.conftest import PASSWORD, make_user

GONE = 99_999
Act = Callable[[Session, Actor, int], Any]


def person(session: Session, name: str, organization: Organization | None = None, role: str = "admin") -> Actor:
    """A user who is nothing but a member, signed in."""
    made = make_user(name, "member")
    if organization is not None:
        organization_members.set_member(session, COMMAND_LINE, id_of(organization), made.own_id(), role)
    user = session.get(User, made.own_id(), populate_existing=True)
    assert user is not None
    return Actor(name, user.id, user.auth_epoch)


@pytest.fixture
def two(session: Session) -> list[Organization]:
    """acme and beta."""
    return [organizations.create_one(session, COMMAND_LINE, {"slug": s, "name": s.title()}) for s in ("acme", "beta")]


@pytest.fixture
def provider_id(session: Session) -> int:
    """A provider."""
    made = {"name": "openai", "display_name": "P", "kind": "openai", "available_models": ["m1", "m2"]}
    return id_of(providers.create(session, COMMAND_LINE, made))


def token_of(session: Session, organization: Organization, role: str) -> Actor:
    """A program's token of one organisation."""
    row, _ = tokens.create(
        session, COMMAND_LINE, {"name": f"{organization.slug} {role}", "role": role, "organization_id": organization.id}
    )
    return Actor(f"token:{row.name}", token_id=row.id)


ACTS: dict[str, Act] = {
    "read": organizations.get,
    "members": organization_members.list_of,
    "set_member": lambda s, a, o: organization_members.set_member(s, a, o, 1, "admin"),
    "remove_member": lambda s, a, o: organization_members.remove_member(s, a, o, 1),
    "find_user": lambda s, a, o: organization_members.find_user(s, a, o, "eve"),
    "list_providers": organization_keys.list_of,
    "update_provider": lambda s, a, o: organization_keys.update(s, a, o, 1, {"own_models": []}),
    "set_key": lambda s, a, o: organization_keys.set_api_key(s, a, o, 1, "sk-0123456789abcdefghijklmnopqrstuv"),
    "remove_key": lambda s, a, o: organization_keys.remove_api_key(s, a, o, 1),
    "upsert": lambda s, a, o: settings.upsert(s, a, SettingsScope(None, o), {"top_p": 0.5}),
    "upsert_override": lambda s, a, o: settings.upsert(s, a, SettingsScope(None, o, 1), {"top_p": 0.5}),
    "rows": lambda s, a, o: settings.list_of(s, a, organization_id=o),
}
"""What is done with an organisation."""


def told(act: Act, actor: Actor, organization_id: int) -> tuple[str, str, str, list[str]]:
    """What somebody is told, with the id left out, and the shapes of the statements that were run."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(" ".join(statement.split()))

    def work() -> None:
        with db.transaction() as session:
            event.listen(connection := session.connection(), "before_cursor_execute", note)
            try:
                act(session, actor, organization_id)
            finally:
                event.remove(connection, "before_cursor_execute", note)

    with pytest.raises(CoreError) as caught:
        work()
    words = str(caught.value).replace(str(organization_id), "N")
    return type(caught.value).__name__, caught.value.code, words, statements


@pytest.mark.parametrize("name", ACTS)
def test_another_organisation_is_not_there(session: Session, two: list[Organization], name: str) -> None:
    """For a member and for a token, B answers as an id that nobody has: the same error, words and statements; and it is on record."""
    acme, beta = two
    eve, token = person(session, "eve", acme), token_of(session, acme, "admin")

    for actor in (eve, token):
        foreign, missing = (told(ACTS[name], actor, number) for number in (id_of(beta), GONE))
        assert foreign == missing
        assert foreign[:2] == ("NotFound", "NOT_FOUND")
        denied = session.exec(
            select(AuditEvent)
            .where(AuditEvent.action == "denied", AuditEvent.actor == actor.name)
            .order_by(col(AuditEvent.id))
        ).all()
        assert [
            str(number) in each.changes["reason"]["after"]
            for number, each in zip((id_of(beta), GONE), denied, strict=True)
        ] == [True, True]


def _with_top_p(change: Any, session: Session, actor: Actor, number: int) -> object:
    return change(session, actor, number, {"top_p": 0.25})


@pytest.mark.parametrize("model", ["settings", "override"])
def test_a_row_of_another_organisation_is_not_there(session: Session, two: list[Organization], model: str) -> None:
    """By its own id, too: B's row, a row of nobody's, and one that is not there are told alike; its own row is changed."""
    acme, beta = two
    eve = person(session, "eve", acme)
    feature = features.create(session, COMMAND_LINE, {"name": "f", "display_name": "F"})
    of = None if model == "settings" else feature.id
    rows = [
        settings.upsert(session, COMMAND_LINE, SettingsScope(None, number, of), {"top_p": 0.5})
        for number in (acme.id, beta.id, None)
    ]
    change: Any = settings.update if of is None else settings.update_override
    update: Act = partial(_with_top_p, change)
    delete: Act = settings.delete if of is None else settings.delete_override

    for act in (update, delete):
        answers = [told(act, eve, number) for number in (id_of(rows[1]), id_of(rows[2]), GONE)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0][0] == "NotFound"
    update(session, eve, id_of(rows[0]))
    delete(session, eve, id_of(rows[0]))


def test_what_its_own_may(session: Session, two: list[Organization], provider_id: int) -> None:
    """Its admin manages it, its analyst sees it; neither changes what is the installation's."""
    acme, _ = two
    for admin in (person(session, "eve", acme), token_of(session, acme, "admin")):
        settings.upsert(session, admin, SettingsScope(provider_id, acme.id), {"preferred_model": "m2"})
        assert organizations.get(session, admin, id_of(acme)).slug == "acme"
        assert [row.slug for row in organizations.search(session, admin)] == ["acme"]
        assert organizations.count(session, admin) == {"organization": 1}
        for act in (
            lambda a: settings.upsert_global(session, a, None, {"top_p": 0.5}),
            lambda a: organizations.update(session, a, id_of(acme), {"name": "x"}),
            lambda a: features.create(session, a, {"name": "g", "display_name": "G"}),
            lambda a: providers.create(session, a, {"name": "x"}),
            lambda a: users.add(session, a, "x", PASSWORD, "admin"),
            lambda a: tokens.create(session, a, {"name": "x", "role": "admin"}),
        ):
            with pytest.raises(Forbidden):
                act(admin)
    for analyst in (person(session, "bob", acme, "analyst"), token_of(session, acme, "analyst")):
        assert organizations.get(session, analyst, id_of(acme)).slug == "acme"
        assert [row.username for row in organization_members.list_of(session, analyst, id_of(acme))] == ["bob", "eve"]
        for act in (ACTS["upsert"], ACTS["set_key"], ACTS["set_member"], ACTS["rows"], ACTS["list_providers"]):
            with pytest.raises(Forbidden):
                act(session, analyst, id_of(acme))


def test_a_membership_ends_at_once(session: Session, two: list[Organization]) -> None:
    """Who is taken out, or made something else, is signed out; what they had open ends with the next press."""
    acme, beta = two
    eve = person(session, "eve", acme)
    organization_members.set_member(session, COMMAND_LINE, id_of(acme), eve.own_id(), "admin")
    ACTS["upsert"](session, eve, id_of(acme))  # nothing was changed
    organization_members.set_member(session, COMMAND_LINE, id_of(beta), eve.own_id(), "analyst")
    with pytest.raises(Forbidden, match="ended"):
        ACTS["upsert"](session, eve, id_of(acme))
    again = Actor("eve", eve.user_id, eve.auth_epoch + 1)
    assert {row.slug: role for row, role in organization_members.of_user(session, again)} == {
        "acme": "admin",
        "beta": "analyst",
    }
    organization_members.remove_member(session, again, id_of(acme), eve.own_id())
    with pytest.raises(Forbidden, match="ended"):
        ACTS["read"](session, again, id_of(acme))
    with pytest.raises(NotFound):
        ACTS["read"](session, Actor("eve", eve.user_id, eve.auth_epoch + 2), id_of(acme))
    with pytest.raises(NotFound, match="member"):
        organization_members.remove_member(session, COMMAND_LINE, id_of(acme), eve.own_id())


def test_a_deleted_organisation_is_nobodys(session: Session, two: list[Organization]) -> None:
    """Its members see nothing of it, its tokens have ended; restored, both see it again."""
    acme, _ = two
    eve, token = person(session, "eve", acme), token_of(session, acme, "admin")
    organization_deletion.delete(session, COMMAND_LINE, id_of(acme))
    assert organizations.search(session, eve) == []
    with pytest.raises(NotFound):
        organizations.get(session, eve, id_of(acme))
    with pytest.raises(Forbidden, match="token"):
        organizations.search(session, token)
    organization_deletion.restore(session, COMMAND_LINE, id_of(acme))
    assert [len(organizations.search(session, actor)) for actor in (eve, token)] == [1, 1]


def test_admins_of_an_organisation_end_no_sign_in_of_the_installation(
    session: Session, two: list[Organization], admin: Actor
) -> None:
    """They find users who are only members; one of the installation's own is to them as one that is not there."""
    acme, _ = two
    eve, bob = person(session, "eve", acme), person(session, "bob")
    assert organization_members.find_user(session, eve, id_of(acme), " BOB ") == bob.own_id()
    organization_members.set_member(session, eve, id_of(acme), bob.own_id(), "analyst")
    for wrong in ("ada", "nobody"):
        with pytest.raises(NotFound, match=f"user '{wrong}'"):
            organization_members.find_user(session, eve, id_of(acme), wrong)
    for number in (admin.own_id(), GONE):
        with pytest.raises(NotFound, match="user"):
            organization_members.set_member(session, eve, id_of(acme), number, "admin")
    organization_members.set_member(session, COMMAND_LINE, id_of(acme), admin.own_id(), "admin")
    with pytest.raises(Invalid, match="role"):
        organization_members.set_member(session, eve, id_of(acme), bob.own_id(), "member")


def test_who_is_only_a_member_changes_their_password(session: Session) -> None:
    """That is everybody's; and a user can be made one, and made something else."""
    user = users.add(session, COMMAND_LINE, "eve", PASSWORD, "member")
    eve = Actor("eve", user.id, user.auth_epoch)
    users.change_password(session, eve, "another sentence of mine", PASSWORD)
    assert users.set_role(session, COMMAND_LINE, id_of(user), "analyst").role == "analyst"


@pytest.mark.usefixtures("two")
def test_visible_to_the_installation(session: Session, admin: Actor, analyst: Actor) -> None:
    """Admins, analysts and their tokens see all; a token of metrics nothing; nobody is asked twice what a lone query could say."""
    metrics, _ = tokens.create(session, COMMAND_LINE, {"name": "prom", "role": "metrics"})
    for actor, everything in (
        (COMMAND_LINE, True),
        (admin, True),
        (analyst, True),
        (Actor("m", token_id=metrics.id), False),
    ):
        seen = authority.visible(session, actor, "organization.list")
        assert (seen.everything, seen.roles) == (everything, {})
        found = session.exec(
            select(Organization).where(seen.where(Organization.id)).order_by(col(Organization.slug))
        ).all()
        assert [row.slug for row in found] == (["acme", "beta"] if everything else [])


def test_whom_an_organisation_is_told_of(session: Session, two: list[Organization]) -> None:
    """Its members and its tokens, by the names that their changes bear; of others nobody."""
    acme, beta = two
    person(session, "eve", acme)
    person(session, "bob", beta)
    token_of(session, acme, "analyst")
    token_of(session, beta, "admin")
    tokens.create(session, COMMAND_LINE, {"name": "deploy", "role": "admin"})

    assert organization_members.people_of(session, id_of(acme)) == {"eve", "token:acme analyst"}
    assert organization_members.people_of(session, GONE) == frozenset()
