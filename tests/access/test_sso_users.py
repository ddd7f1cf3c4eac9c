"""Who signs in at the identity provider: whom they are here, what their groups give them, and who is not let in."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from core.access import authority, sessions, sso_groups, sso_users, users
from core.access.oidc_tokens import LogoutToken
from core.access.sso_config import OidcConfig, oidc_config
from core.actors import COMMAND_LINE, Actor
from core.config import Config
from core.errors import Forbidden, Invalid
from core.manage import organization_members, organizations
from core.store import db
from core.store.records import AuditEvent
from core.store.table import id_of
from core.store.tables import AuthSession, User
from tests.conftest import PASSWORD, make_user

ISSUER = "https://login.example/realms/corp"
SET = {
    "LLM_OIDC_ISSUER": ISSUER,
    "LLM_OIDC_CLIENT_ID": "llm-settings",
    "LLM_PUBLIC_URL": "https://llm.corp.example",
    "LLM_OIDC_ADMIN_GROUPS": "llm-admins",
    "LLM_OIDC_ANALYST_GROUPS": "llm-analysts",
    "LLM_OIDC_ORGANIZATION_GROUPS": "emea-admins=emea:admin,emea=emea:analyst,apac=apac:analyst",
}
OVERAGE = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}}


def _config(**more: str) -> OidcConfig:
    found = oidc_config(Config.read(SET | more))
    assert found is not None
    return found


def _enter(
    session: Session,
    groups: Any,
    sub: str = "u1",
    name: str = "grace",
    info: Mapping[str, Any] | None = None,
    config: OidcConfig | None = None,
    **more: Any,
) -> sso_users.SignedOn:
    claims = {"sub": sub, "preferred_username": name, "groups": groups, **more}
    return sso_users.enter(session, config or _config(), claims, info or {}, address="192.0.2.7", user_agent="Firefox")


def _actor(session: Session, entered: sso_users.SignedOn) -> Actor:
    assert entered.secret is not None, entered.why
    actor = sessions.find(session, entered.secret)
    assert actor is not None
    return actor


def _events(session: Session, action: str) -> list[AuditEvent]:
    return list(session.exec(select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id)))


def _organization(session: Session, admin: Actor, slug: str) -> int:
    (made,) = organizations.create(session, admin, [{"slug": slug, "name": slug.upper()}])
    assert made.organization is not None
    return id_of(made.organization)


@pytest.fixture
def emea(session: Session, admin: Actor) -> int:
    """The organisation emea; there is no apac."""
    return _organization(session, admin, "emea")


@pytest.mark.usefixtures("emea")
@pytest.mark.parametrize(
    ("groups", "role", "within"),
    [
        (["llm-admins"], "admin", {}),
        (["llm-analysts", "staff"], "analyst", {}),
        (["llm-analysts", "llm-admins"], "admin", {}),
        ("llm-analysts", "analyst", {}),
        (["emea"], "member", {"emea": "analyst"}),
        (["emea", "emea-admins"], "member", {"emea": "admin"}),
        (["emea", "llm-analysts"], "analyst", {"emea": "analyst"}),
        (["apac"], "member", {}),
        ([f"g{n}" for n in range(500)] + ["llm-analysts"], "analyst", {}),
        (["LLM-ADMINS"], None, {}),
        (["llm-admins "], None, {}),
        ([], None, {}),
        ([{"name": "llm-admins"}, 7, None], None, {}),
    ],
)
def test_groups_decide_the_role(session: Session, groups: Any, role: str | None, within: dict[str, str]) -> None:
    """To the letter; the strongest counts; who is in none is not let in, and no user is made."""
    entered = _enter(session, groups)
    user = session.exec(select(User).where(User.sso_subject == "u1")).one_or_none()
    found = session.execute(
        text(
            "SELECT o.slug, m.role FROM organization_members m JOIN users u ON u.id = m.user_id"
            " JOIN organizations o ON o.id = m.organization_id WHERE u.sso_subject = 'u1'"
        )
    )

    assert (user.role if user else None, dict(found.all())) == (role, within)
    assert entered == (sso_users.SignedOn(None, sso_groups.NONE_MAY) if role is None else (entered.secret, ""))
    denied = _events(session, sso_users.DENIED)
    assert [(event.target, event.actor, event.address) for event in denied] == (
        [("grace", "single sign-on", "192.0.2.7")] if role is None else []
    )


@pytest.mark.parametrize(
    ("claims", "info", "path", "outcome"),
    [
        ({"realm_access": {"roles": ["llm-admins"]}}, {}, "realm_access.roles", "admin"),
        ({}, {"groups": ["llm-admins"]}, "groups", "admin"),
        ({"groups": []}, {"groups": ["llm-admins"]}, "groups", "None of your groups"),
        ({"https://x.example/groups": ["llm-admins"]}, {}, "https://x.example/groups", "admin"),
        ({}, {}, "groups", "no claim groups.*LLM_OIDC_GROUPS_CLAIM"),
        ({"realm_access": ["llm-admins"]}, {}, "realm_access.roles", "no claim realm_access.roles"),
        ({"groups": {"llm-admins": True}}, {}, "groups", "no claim groups"),
        (OVERAGE, {}, "groups", "so many groups.*Groups assigned to the application"),
        ({"hasgroups": True}, {}, "groups", "so many groups"),
        (OVERAGE, {"groups": ["llm-admins"]}, "groups", "admin"),
        (OVERAGE | {"roles": ["llm-admins"]}, {}, "roles", "admin"),
    ],
)
def test_groups_are_found_where_providers_put_them(
    session: Session, claims: dict[str, Any], info: dict[str, Any], path: str, outcome: str
) -> None:
    """By a path, in an address, in userinfo alone; what is missing or left out is told with its cure."""
    config = _config(LLM_OIDC_GROUPS_CLAIM=path)
    entered = sso_users.enter(session, config, {"sub": "u1", **claims}, info, address=None, user_agent=None)
    if entered.secret is not None:
        assert outcome == "admin"
        assert session.exec(select(User.role).where(User.sso_subject == "u1")).one() == "admin"
        return
    with pytest.raises(Forbidden, match=outcome):
        raise Forbidden(entered.why)


def test_a_name_proves_nothing(session: Session, admin: Actor) -> None:
    """Somebody called admin or ada there is another user here; two of one name are two; a subject of another provider is, too."""
    users.add(session, COMMAND_LINE, "admin", PASSWORD, "admin")
    first = _actor(session, _enter(session, ["llm-analysts"], "s1", "admin"))
    again = _actor(session, _enter(session, ["llm-analysts"], "s1", "admin"))
    second = _actor(session, _enter(session, ["llm-analysts"], "s2", "Ada"))
    third = _actor(session, _enter(session, ["llm-analysts"], "s3", "ADA"))
    other = _config(LLM_OIDC_ISSUER="https://login.example/realms/other")
    fourth = _actor(session, _enter(session, ["llm-analysts"], "s1", "admin", config=other))

    assert first.user_id == again.user_id
    assert len({first.user_id, second.user_id, third.user_id, fourth.user_id, admin.user_id}) == 5
    assert first.name.startswith("admin-")
    assert first.name.removeprefix("admin-").isdigit()
    assert second.name.startswith("ada-")
    for local in ("admin", "ada"):
        found = users.find(session, local)
        assert found is not None
        assert (found.role, found.sso_subject, found.auth_epoch) == ("admin", None, 1)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "Gräce Hopper"}, "grace-hopper"),
        ({"email": "grace@corp.example"}, "grace@corp.example"),
        ({"preferred_username": "../../<b>", "name": "g"}, "b"),
        ({"preferred_username": "東京"}, "user"),
        ({"preferred_username": "x" * 300}, "x" * 48),
        ({"preferred_username": "webhooks"}, "webhooks-"),
        ({"preferred_username": 7}, "user"),
    ],
)
def test_any_name_there_becomes_one_that_users_may_have_here(
    session: Session, claims: dict[str, Any], name: str
) -> None:
    """In the form of our names; of nobody who acts by itself."""
    claims = {"sub": "u9", "groups": ["llm-analysts"], **claims}
    made = _actor(session, sso_users.enter(session, _config(), claims, {}, address=None, user_agent=None))

    assert made.name == name or (name.endswith("-") and made.name.startswith(name))


def test_disabled_here_stays_disabled(session: Session, admin: Actor) -> None:
    """Whatever the provider says; the page says so, the audit too."""
    person = _actor(session, _enter(session, ["llm-admins"]))
    users.set_active(session, admin, person.own_id(), active=False)

    assert _enter(session, ["llm-admins"]) == (None, sso_users.DISABLED)
    assert [event.target_id for event in _events(session, sso_users.DENIED)] == [person.user_id]


@pytest.mark.usefixtures("admin")
def test_another_role_there_ends_the_sign_ins_before(session: Session, emea: int) -> None:
    """With another group the next sign-in raises the epoch: what was open ends. With none, all ends, and nobody is let in."""
    first = _actor(session, _enter(session, ["llm-admins"]))
    second = _actor(session, _enter(session, ["llm-admins"]))
    assert second.auth_epoch == first.auth_epoch

    third = _actor(session, _enter(session, ["emea-admins"]))
    with pytest.raises(Forbidden, match="ended"):
        authority.require(session, first, "x", role="member")
    authority.require(session, third, "x", role="admin", organization=emea)
    fourth = _actor(session, _enter(session, ["emea"]))
    with pytest.raises(Forbidden, match="ended"):
        authority.require(session, third, "x", role="member")
    assert [event.action for event in _events(session, "user.set_role")] == ["user.set_role"]

    assert _enter(session, ["staff"]).secret is None
    with pytest.raises(Forbidden, match="ended"):
        authority.require(session, fourth, "x", role="member")


def test_memberships_that_the_provider_does_not_decide_stay(session: Session, admin: Actor, emea: int) -> None:
    """One given here by hand is kept; one by a group goes with the group."""
    latam = _organization(session, admin, "latam")
    person = _actor(session, _enter(session, ["llm-analysts", "emea"]))
    organization_members.set_member(session, admin, latam, person.own_id(), "admin")
    _enter(session, ["llm-analysts"])
    rows = session.execute(
        text("SELECT organization_id, role FROM organization_members WHERE user_id = :id"), {"id": person.user_id}
    )

    assert dict(rows.all()) == {latam: "admin"}
    assert [event.target_id for event in _events(session, "organization.remove_member")] == [emea]


def test_local_user_is_linked_by_an_admin_alone(session: Session, admin: Actor, analyst: Actor) -> None:
    """Then the person is that user, and keeps the name; nobody else may do it, nor for somebody who is a user already."""
    with pytest.raises(Forbidden):
        sso_users.link(session, analyst, analyst.own_id(), ISSUER, "u1")
    sso_users.link(session, admin, analyst.own_id(), ISSUER, "u1")
    entered = _actor(session, _enter(session, ["llm-analysts"]))

    assert (entered.user_id, entered.name) == (analyst.user_id, analyst.name)
    with pytest.raises(Invalid, match="subject: must be"):
        sso_users.link(session, admin, admin.own_id(), ISSUER, "")
    assert len(_events(session, "user.link")) == 1
    with pytest.raises(Invalid, match="another user already"), session.begin_nested():
        sso_users.link(session, admin, admin.own_id(), ISSUER, "u1")


def test_way_back_is_kept(session: Session, admin: Actor) -> None:
    """The last break-glass admin is neither disabled nor made an analyst, nor by the provider; the mark may be taken off."""
    other = make_user("bea", "admin")
    users.set_break_glass(session, admin, admin.own_id(), on=True)
    assert users.has_way_back(session)
    for change in (
        lambda: users.set_active(session, other, admin.own_id(), active=False),
        lambda: users.set_role(session, other, admin.own_id(), "analyst"),
    ):
        with pytest.raises(Invalid, match=r"last break-glass admin.*users break-glass"):
            change()
    sso_users.link(session, other, admin.own_id(), ISSUER, "u1")
    _enter(session, ["llm-analysts"])
    assert session.exec(select(User.role).where(User.id == admin.user_id)).one() == "admin"

    users.set_break_glass(session, other, other.own_id(), on=True)
    users.set_active(session, other, admin.own_id(), active=False)
    person = _actor(session, _enter(session, ["llm-admins"], "u2"))
    with pytest.raises(Invalid, match="no password"):
        users.set_break_glass(session, other, person.own_id(), on=True)
    users.set_break_glass(session, other, other.own_id(), on=False)
    assert not users.has_way_back(session)


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize(
    ("token", "left"),
    [
        (LogoutToken("u1", "sid-1", "j", 4e9), {"u1 sid-2", "u2 sid-1"}),
        (LogoutToken(None, "sid-2", "j", 4e9), {"u1 sid-1", "u2 sid-1"}),
        (LogoutToken("u1", None, "j", 4e9), {"u2 sid-1"}),
        (LogoutToken("u3", None, "j", 4e9), {"u1 sid-1", "u1 sid-2", "u2 sid-1"}),
    ],
)
def test_sign_out_there_ends_what_it_names(session: Session, token: LogoutToken, left: set[str]) -> None:
    """By session, by person, by both; a sign-in by a password stays; the same token again does nothing."""
    for sub, sid in (("u1", "sid-1"), ("u1", "sid-2"), ("u2", "sid-1")):
        _enter(session, ["llm-analysts"], sub, sub, sid=sid)
    user = users.find(session, "u1")
    assert user is not None
    local, _ = sessions.begin(session, user, None, None, ticket=False)

    assert sso_users.end_by_provider(session, "https://other.example", token) == 0
    ended = sso_users.end_by_provider(session, ISSUER, token)
    assert sso_users.end_by_provider(session, ISSUER, token) is None
    query = select(User.username, AuthSession.sso_sid).join(User, User.id == AuthSession.user_id)  # type: ignore[arg-type]
    live = session.exec(query.where(authority.is_live(), AuthSession.sso_sid != None)).all()  # noqa: E711 - SQL's
    assert {f"{name} {sid}" for name, sid in live} == left
    assert ended == 3 - len(left) == len(_events(session, "session.end"))
    authority.require(session, local, "x", role="member")
    assert not sessions.was_by_provider(session, local)


@pytest.mark.usefixtures("committed")
def test_two_first_sign_ins_at_once_are_one_user() -> None:
    """One person, twice at the same moment: one user; what may come once comes once."""

    def one(_: int) -> tuple[bool, bool]:
        with db.transaction() as session:
            new = sso_users.use_once(session, "state", 4e9)
        with db.transaction() as session:
            return new, _enter(session, ["llm-analysts"]).secret is not None

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(one, range(4)))
    with db.transaction() as session:
        assert len(session.exec(select(User.id).where(User.sso_subject == "u1")).all()) == 1
        assert session.execute(text("SELECT digest FROM sso_used")).scalar() != "state"
    assert sorted(new for new, _ in outcomes) == [False, False, False, True]
    assert all(entered for _, entered in outcomes)
