"""Rights are those that stand in the database now, and stay so until the transaction ends."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.access import authority, tokens, users
from core.actors import COMMAND_LINE, Actor
from core.errors import CoreError, Forbidden
from core.store import db
from core.store.tables import User
from tests.conftest import make_user


def holder_of_token(session: Session, role: str) -> Actor:
    _, token = tokens.create(session, COMMAND_LINE, {"name": "billing", "role": role})
    actor = tokens.find(session, token)
    assert actor is not None
    return actor


@pytest.mark.parametrize(
    "change",
    ["is_active = false", "auth_epoch = auth_epoch + 1", "role = 'analyst'"],
    ids=["disabled", "epoch", "role"],
)
def test_what_a_session_has_read_before_does_not_count(session: Session, admin: Actor, change: str) -> None:
    """A user whom the transaction has in memory already is read again."""
    kept = session.get(User, admin.user_id)
    authority.require(session, admin, "test")
    session.execute(text(f"UPDATE users SET {change} WHERE id = :id"), {"id": admin.user_id})

    with pytest.raises(Forbidden):
        authority.require(session, admin, "test")
    assert kept is not None


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("who", ["user", "token"])
def test_rights_are_held_until_the_transaction_ends(who: str) -> None:
    """Of one actor two transactions run side by side, and rights are withdrawn only after both."""
    with db.transaction() as session:
        actor = make_user("ada", "admin") if who == "user" else holder_of_token(session, "admin")
    table, row = ("users", actor.user_id) if who == "user" else ("api_tokens", actor.token_id)

    def withdraw() -> None:
        with db.transaction() as session:
            session.execute(text(f"SELECT id FROM {table} WHERE id = :id FOR UPDATE NOWAIT"), {"id": row}).one()

    with ThreadPoolExecutor(1) as other:
        with db.transaction() as first, db.transaction() as second:
            authority.require(first, actor, "test")
            second.execute(text("SET LOCAL lock_timeout = '5s'"))
            authority.require(second, actor, "test")
            with pytest.raises(CoreError, match="Somebody else is changing the same thing"):
                other.submit(withdraw).result(20)
        other.submit(withdraw).result(20)


@pytest.mark.parametrize("of", ["user", "token", "command line"])
def test_role_is_what_the_row_says(session: Session, analyst: Actor, of: str) -> None:
    """Of a user the user's, of a token the token's; nobody's for the command line and for a row that is gone."""
    metrics = holder_of_token(session, "metrics")
    actor, role = {"user": (analyst, "analyst"), "token": (metrics, "metrics"), "command line": (COMMAND_LINE, None)}[
        of
    ]

    assert authority.role_of(session, actor) == role
    assert authority.role_of(session, Actor("gone", user_id=999_999)) is None


def test_denials_are_on_record_without_the_extra_that_counts_them(
    analyst: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the package that counts is not installed, every denial is written."""
    monkeypatch.delitem(sys.modules, "core.access.ratelimit", raising=False)
    monkeypatch.delattr("core.access.ratelimit", raising=False)
    monkeypatch.setitem(sys.modules, "limits", None)
    with pytest.raises(Forbidden), db.transaction() as session:
        users.add(session, analyst, "grace", "x", "analyst")
    with db.transaction() as session:
        assert session.execute(text("SELECT count(*) FROM audit_events WHERE action = 'denied'")).scalar() == 1
