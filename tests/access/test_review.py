"""The access review: a line for each user and each token, harmless in a spreadsheet, for admins alone."""

import csv
import io

import pytest
from sqlalchemy import text
from sqlmodel import Session

from core.access import review, sessions, tokens, users
from core.actors import COMMAND_LINE, Actor
from core.errors import Forbidden
from core.manage import organization_members, organizations
from core.store.table import id_of
from tests.conftest import make_user
from ui.users.rows import review_csv


def test_all_who_may_come_in_are_lines(session: Session, admin: Actor, analyst: Actor) -> None:
    """Users with role, organisations, last sign-in and the way back; tokens with last use and end; disabled and revoked ones too.

    The last sign-in is known of the audit when its row is gone; names that a spreadsheet would run are harmless.
    """
    mia = make_user("mia", "member")
    emea = organizations.create_one(session, COMMAND_LINE, {"slug": "emea", "name": "EMEA"})
    organization_members.set_member(session, COMMAND_LINE, id_of(emea), mia.own_id(), "admin")
    user = users.get(session, mia.own_id())
    sessions.begin(session, user, None, None, ticket=False)
    session.execute(text("DELETE FROM auth_sessions"))
    session.execute(text("UPDATE users SET break_glass = true WHERE username = 'ada'"))
    users.set_active(session, admin, analyst.own_id(), active=False)
    _, secret = tokens.create(session, COMMAND_LINE, {"name": "=cmd", "role": "analyst", "expires_in_days": 30})
    assert tokens.find(session, secret) is not None
    gone, _ = tokens.create(session, COMMAND_LINE, {"name": "gone", "role": "admin"})
    tokens.revoke(session, COMMAND_LINE, id_of(gone))
    session.expire_all()

    found = {line["name"]: line for line in csv.DictReader(io.StringIO(review_csv(admin).decode("utf-8-sig")))}

    assert list(found) == ["ada", "alan", "mia", "'=cmd", "gone"]
    assert {name: (line["kind"], line["role"], line["state"]) for name, line in found.items()} == {
        "ada": ("user", "admin", "active"),
        "alan": ("user", "analyst", "disabled"),
        "mia": ("user", "member", "active"),
        "'=cmd": ("token", "analyst", "active"),
        "gone": ("token", "admin", "revoked"),
    }
    assert found["mia"]["organizations"] == "emea (admin)"
    assert (found["ada"]["break_glass"], found["mia"]["break_glass"], found["gone"]["break_glass"]) == ("yes", "no", "")
    assert found["mia"]["last_used"]
    assert not found["ada"]["last_used"]
    assert found["ada"]["signs_in_by"] == "password"
    token = found["'=cmd"]
    assert token["last_used"]
    assert token["ends"] > token["created"]
    assert found["gone"]["ends"]
    assert not found["gone"]["last_used"]


def test_it_is_for_admins(session: Session, analyst: Actor) -> None:
    """Somebody else is refused."""
    with pytest.raises(Forbidden):
        review.review(session, analyst)
