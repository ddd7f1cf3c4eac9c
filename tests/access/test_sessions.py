"""Sign-ins: rows that hold by the database's clock, and end at once."""

import ast
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from core.access import authority, sessions, users
from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden, Invalid, NotFound, PasswordChangeNeeded
from core.store import db
from core.store.records import AuditEvent
from core.store.tables import AuthSession, User
from tests.conftest import PASSWORD, ROOT, make_user

OTHER = "an entirely other sentence"


def begin(actor: Actor, *, ticket: bool = True) -> tuple[Actor, str | None]:
    with db.transaction() as session:
        user = session.get(User, actor.user_id)
        assert user is not None
        return sessions.begin(session, user, "192.0.2.7", "Firefox", ticket=ticket)


def sign_in(actor: Actor) -> tuple[Actor, str]:
    """Sign in as the pages do; returns the actor and the browser's secret."""
    signed_in, ticket = begin(actor)
    with db.transaction() as session:
        secret = sessions.exchange(session, ticket or "")
    assert secret is not None
    return signed_in, secret


def found(secret: str) -> Actor | None:
    with db.transaction() as session:
        return sessions.find(session, secret, "192.0.2.7")


def age(session_id: int | None, **columns: str) -> None:
    """Move times of a sign-in into the past: column -> interval."""
    moves = ", ".join(f"{column} = {column} - interval '{interval}'" for column, interval in columns.items())
    with db.transaction() as session:
        session.execute(text(f"UPDATE auth_sessions SET {moves} WHERE id = :id"), {"id": session_id})


def events(action: str) -> list[AuditEvent]:
    with db.transaction() as session:
        return list(session.exec(select(AuditEvent).where(AuditEvent.action == action).order_by(col(AuditEvent.id))))


def test_sign_in_is_found_by_its_secret(analyst: Actor) -> None:
    """The browser's secret leads to the actor: name, user, epoch, sign-in and address."""
    signed_in, secret = sign_in(analyst)

    assert found(secret) == signed_in
    assert signed_in.address == "192.0.2.7"
    assert [event.actor for event in events("session.sign_in")] == ["alan"]


def test_database_holds_no_secret(analyst: Actor) -> None:
    """Neither the secret nor the ticket stands in any column, only a SHA-256."""
    _, ticket = begin(analyst)
    _, secret = sign_in(analyst)
    with db.transaction() as session:
        stored = str(session.execute(text("SELECT row_to_json(s)::text FROM auth_sessions AS s")).all())

    assert ticket is not None
    assert ticket not in stored
    assert secret not in stored
    assert re.search(r'"sid_hash":"[0-9a-f]{64}"', stored)


def test_each_sign_in_has_a_new_secret(analyst: Actor) -> None:
    """CHECKS 15: what a browser held before plays no part; secrets have 256 random bits."""
    secrets = {sign_in(analyst)[1] for _ in range(20)}

    assert len(secrets) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in secrets)


@pytest.mark.parametrize(
    "secret", ["", "x", "x" * 43, "x" * 10_000, "é" * 43, "\x00" * 43, "a.b.c", "' OR 1=1 --", "\udcff" * 43]
)
def test_strange_secrets_find_nobody(secret: str, analyst: Actor) -> None:
    """CHECKS 13: whatever a cookie holds, it is nobody, and nothing raises."""
    sign_in(analyst)

    assert found(secret) is None
    with db.transaction() as session:
        assert sessions.exchange(session, secret) is None


def test_ticket_is_no_sign_in(analyst: Actor) -> None:
    """A ticket that was not exchanged opens nothing: it is no secret, and its row does not hold."""
    signed_in, ticket = begin(analyst)

    assert found(ticket or "") is None
    with db.transaction() as session, pytest.raises(Forbidden):
        authority.require(session, signed_in, "test", role="analyst")


def test_ticket_is_good_once_and_for_a_minute(analyst: Actor) -> None:
    """CHECKS 14: the second exchange gets nothing, nor one after 60 seconds."""
    _, used = begin(analyst)
    late, old = begin(analyst)
    age(late.session_id, ticket_expires_at="61 seconds")
    with db.transaction() as session:
        assert sessions.exchange(session, used or "") is not None
        assert sessions.exchange(session, used or "") is None
        assert sessions.exchange(session, old or "") is None


@pytest.mark.usefixtures("committed")
def test_parallel_exchanges_make_one_session() -> None:
    """CHECKS 14: of 20 threads with one ticket exactly one gets the secret, and it works."""
    _, ticket = begin(make_user("alan", "analyst"))
    start = threading.Barrier(10)

    def exchange(_: int) -> str | None:
        start.wait(10)
        with db.transaction() as session:
            return sessions.exchange(session, ticket or "")

    with ThreadPoolExecutor(10) as pool:  # the pool of connections has ten
        got = [*pool.map(exchange, range(10)), *pool.map(exchange, range(10))]
    secrets = [secret for secret in got if secret]

    assert len(secrets) == 1
    assert found(secrets[0]) is not None


@pytest.mark.parametrize(
    ("columns", "holds"),
    [
        ({"last_seen_at": "29 minutes"}, True),
        ({"last_seen_at": "31 minutes"}, False),
        ({"expires_at": "7 hours 59 minutes"}, True),
        ({"expires_at": "8 hours 1 minute"}, False),
    ],
)
def test_idle_and_absolute_end(columns: dict[str, str], holds: bool, analyst: Actor) -> None:
    """Half an hour without use ends a sign-in, and eight hours do in any case: for finding it and for every write."""
    signed_in, secret = sign_in(analyst)
    age(signed_in.session_id, **columns)

    assert (found(secret) is not None) is holds
    with db.transaction() as session:
        if holds:
            authority.require(session, signed_in, "test", role="analyst")
        else:
            with pytest.raises(Forbidden, match="has ended"):
                authority.require(session, signed_in, "test", role="analyst")


def test_use_keeps_it_alive_but_not_beyond_its_end(analyst: Actor) -> None:
    """Each use within half an hour moves the end of idling, written once a minute; never the absolute end."""
    signed_in, secret = sign_in(analyst)
    age(signed_in.session_id, last_seen_at="29 minutes")
    with db.transaction() as session:
        before = session.get(AuthSession, signed_in.session_id)
        assert before is not None
        expires = before.expires_at
        sessions.touch(session, signed_in)
        session.refresh(before)
        first = before.last_seen_at
        sessions.touch(session, signed_in)
        session.refresh(before)

        assert before.last_seen_at == first
        assert before.expires_at == expires
    age(signed_in.session_id, last_seen_at="29 minutes")

    assert found(secret) is not None


def test_no_clock_of_ours_decides() -> None:
    """CHECKS 74: sign-ins and the throttle never ask this machine's clock, so no step of it ends or prolongs one."""
    for name in ("sessions", "sign_in", "authority"):
        tree = ast.parse((ROOT / "core" / "access" / f"{name}.py").read_text(encoding="utf-8"))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}

        assert not imported & {"time", "datetime", "calendar"}, name


@pytest.mark.parametrize(
    "change",
    [
        lambda s, a, u: users.set_password(s, a, u, OTHER),
        lambda s, a, u: users.set_role(s, a, u, "admin"),
        lambda s, a, u: users.set_active(s, a, u, active=False),
        sessions.end_all,
    ],
    ids=["password", "role", "disabled", "signed out everywhere"],
)
def test_sign_ins_end_at_once(change: Callable[[Session, Actor, int], object], admin: Actor, analyst: Actor) -> None:
    """CHECKS 2: new password, other role, disabling, "sign out everywhere": every sign-in of the user is over, others are not."""
    pairs = [sign_in(analyst) for _ in range(3)]
    _, other = sign_in(make_user("grace", "analyst"))
    with db.transaction() as session:
        change(session, admin, analyst.user_id or 0)

    assert [found(secret) for _, secret in pairs] == [None] * 3
    assert found(other) is not None
    for signed_in, _ in pairs:
        with db.transaction() as session, pytest.raises(Forbidden):
            authority.require(session, signed_in, "test", role="analyst")


def test_enabled_again_is_not_signed_in_again(admin: Actor, analyst: Actor) -> None:
    """Rights given back do not wake a sign-in that has ended."""
    _, secret = sign_in(analyst)
    for active in (False, True):
        with db.transaction() as session:
            users.set_active(session, admin, analyst.user_id or 0, active=active)

    assert found(secret) is None


def test_sign_out_ends_one(analyst: Actor) -> None:
    """CHECKS 1: the secret of a sign-in that was signed out is nobody's; another browser stays signed in."""
    signed_in, secret = sign_in(analyst)
    _, other = sign_in(analyst)
    with db.transaction() as session:
        sessions.end(session, signed_in, signed_in.session_id or 0)
        sessions.end(session, signed_in, signed_in.session_id or 0)  # twice is once

    assert found(secret) is None
    assert found(other) is not None
    assert [event.target for event in events("session.sign_out")] == ["alan"]


@pytest.mark.parametrize("by", ["itself", "another sign-in", "an admin"])
def test_the_end_of_a_sign_in_is_on_record_once(admin: Actor, analyst: Actor, by: str) -> None:
    """Who ended it and how stands in the row and in the audit; to end it again changes and records nothing."""
    signed_in, _ = sign_in(analyst)
    actor = {"itself": signed_in, "another sign-in": sign_in(analyst)[0], "an admin": admin}[by]
    action, why = {
        "itself": ("session.sign_out", "signed out"),
        "another sign-in": ("session.end", "ended by alan"),
        "an admin": ("session.end", "ended by ada"),
    }[by]
    for who in (actor, admin):
        with db.transaction() as session:
            sessions.end(session, who, signed_in.session_id or 0)

        ends = [
            (event.action, event.actor, event.target) for event in events("session.sign_out") + events("session.end")
        ]
        assert ends == [(action, actor.name, "alan")]
        with db.transaction() as session:
            row = session.get(AuthSession, signed_in.session_id)
            assert row is not None
            assert row.revoked_because == why


def test_own_other_sign_ins_can_be_ended(analyst: Actor) -> None:
    """One by one, or all but this one; the number is put on record."""
    here, secret = sign_in(analyst)
    there, gone = sign_in(analyst)
    others = [sign_in(analyst)[1] for _ in range(2)]
    with db.transaction() as session:
        sessions.end(session, here, there.session_id or 0)
        assert len(sessions.list_live(session, here, analyst.user_id or 0)) == 3
        assert sessions.end_all(session, here, analyst.user_id or 0, but=here.session_id) == 2

    assert [found(s) for s in (gone, *others)] == [None] * 3
    assert found(secret) == here
    assert [event.changes for event in events("session.end_all")] == [{"sign_ins": {"before": 2, "after": 0}}]


def test_analyst_has_no_say_over_others(admin: Actor, analyst: Actor) -> None:
    """An analyst can neither list nor end an admin's sign-ins; the denials are on record."""
    mine, secret = sign_in(analyst)
    theirs, kept = sign_in(admin)
    tries: list[Callable[[Session], object]] = [
        lambda s: sessions.list_live(s, mine, admin.user_id or 0),
        lambda s: sessions.end(s, mine, theirs.session_id or 0),
        lambda s: sessions.end_all(s, mine, admin.user_id or 0),
    ]
    for work in tries:
        with pytest.raises(Forbidden, match="Admin access required"), db.transaction() as session:
            work(session)

    assert found(kept) is not None
    assert found(secret) is not None
    assert [event.target for event in events("denied")] == ["session.list", "session.end", "session.end_all"]
    assert {(event.actor, event.address) for event in events("denied")} == {("alan", "192.0.2.7")}


@pytest.mark.parametrize("wrong", [0, -1, 2**31, 999_999])
def test_unknown_ones_are_not_found(wrong: int, admin: Actor) -> None:
    """An id that no row has, or could have, is NotFound, never a database error."""
    for work in (sessions.end, sessions.end_all):
        with db.transaction() as session, pytest.raises(NotFound):
            work(session, admin, wrong)


def test_figures_count_who_is_signed_in_now(admin: Actor, analyst: Actor) -> None:
    """count_live() counts what list_live() lists: not what has ended, not a ticket, not an old epoch."""
    sign_in(admin)
    for _ in range(2):
        sign_in(analyst)
    begin(analyst)
    ended, _ = sign_in(analyst)
    with db.transaction() as session:
        sessions.end(session, ended, ended.session_id or 0)

        assert sessions.count_live(session) == {admin.user_id: 1, analyst.user_id: 2}
        users.set_role(session, admin, analyst.user_id or 0, "admin")
        assert sessions.count_live(session) == {admin.user_id: 1}


def test_old_rows_go(analyst: Actor) -> None:
    """A sign-in that ended a month ago is deleted when the next one begins."""
    signed_in, _ = sign_in(analyst)
    age(signed_in.session_id, expires_at="31 days")
    sign_in(analyst)
    with db.transaction() as session:
        assert session.get(AuthSession, signed_in.session_id) is None


def test_user_agent_is_kept_short_and_printable(analyst: Actor) -> None:
    """What a browser calls itself is cut, and its control characters go."""
    with db.transaction() as session:
        user = session.get(User, analyst.user_id)
        assert user is not None
        actor, _ = sessions.begin(session, user, None, "A\x00\n\u202e" + "b" * 1000, ticket=False)
        row = session.get(AuthSession, actor.session_id)

    assert row is not None
    assert row.user_agent == "A" + "b" * 299


@pytest.fixture
def newcomer() -> Actor:
    """The first admin, signed in with the password of the first start."""
    with db.transaction() as session:
        users.bootstrap(session, "admin", PASSWORD)
        user = users.find(session, "admin")
        assert user is not None
        return sessions.begin(session, user, None, None, ticket=False)[0]


def test_first_password_has_to_be_changed(newcomer: Actor) -> None:
    """With the password of the first start nothing can be read or written; choosing another one lifts that."""
    for role in ("analyst", "admin"):
        with db.transaction() as session, pytest.raises(PasswordChangeNeeded):
            authority.require(session, newcomer, "page.view", role=role)
    with db.transaction() as session, pytest.raises(Invalid) as same:
        users.change_password(session, newcomer, PASSWORD)
    with db.transaction() as session:
        user = users.change_password(session, newcomer, OTHER)
        again, _ = sessions.begin(session, user, None, None, ticket=False)
        authority.require(session, again, "page.view")

    assert same.value.fields == {"password": "must be another one than now"}
    with db.transaction() as session, pytest.raises(Forbidden, match="has ended"):
        authority.require(session, newcomer, "page.view")


@pytest.mark.long
def test_own_password_takes_the_current_one() -> None:
    """Changing one's own password asks for the one in force; a wrong one, or none, changes nothing."""
    with db.transaction() as session:
        user = users.add(session, COMMAND_LINE, "grace", PASSWORD, "analyst")
        grace, _ = sessions.begin(session, user, None, None, ticket=False)
    for wrong in (None, "", OTHER, "x" * 100, "\x00", "\udcff"):
        with db.transaction() as session, pytest.raises(Invalid) as refused:
            users.change_password(session, grace, OTHER, wrong)
        assert refused.value.fields == {"current_password": "is not your password"}
    with db.transaction() as session:
        authority.require(session, grace, "test", role="analyst")
        users.change_password(session, grace, OTHER, PASSWORD)
    with db.transaction() as session, pytest.raises(Forbidden):
        authority.require(session, grace, "test", role="analyst")
