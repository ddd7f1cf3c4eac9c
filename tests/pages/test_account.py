"""The Account page: where one is signed in, and one's own password."""

from functools import partial

import pytest
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from core.access import sessions, sign_in, users
from core.actors import COMMAND_LINE, Actor
from core.store import db
from core.store.tables import User
from tests.conftest import PASSWORD
from tests.screens import everything, open_page

page = partial(open_page, "account")

OTHER = "an entirely other sentence"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"


@pytest.fixture
def grace(session: Session) -> Actor:
    """An analyst with a real password, signed in here."""
    user = users.add(session, COMMAND_LINE, "grace", PASSWORD, "analyst")
    return sessions.begin(session, user, "192.0.2.7", CHROME, ticket=False)[0]


def elsewhere(session: Session, actor: Actor, agent: str | None = None) -> Actor:
    user = session.get(User, actor.user_id)
    assert user is not None
    return sessions.begin(session, user, "198.51.100.9", agent, ticket=False)[0]


def live(actor: Actor) -> list[int | None]:
    with db.transaction() as session:
        return [row.id for row in sessions.list_live(session, COMMAND_LINE, actor.user_id or 0)]


def test_sign_ins_are_listed(session: Session, grace: Actor) -> None:
    """Address, browser in two words, since when, and which one is this; one alone offers nothing to end."""
    alone = page(grace)
    elsewhere(session, grace, "<b>![](http://evil.example/x.png)</b>")
    both = page(grace)

    assert "**192\\\\.0\\\\.2\\\\.7** (here)".replace("\\\\", "\\") in everything(alone)
    assert "Chrome on Linux" in everything(alone)
    assert "You are signed in nowhere else." in everything(alone)
    assert "unknown browser" in everything(both)
    assert "evil.example" not in everything(both)
    assert both.button(key="end_all")


def test_one_other_or_all_others_are_ended(session: Session, grace: Actor) -> None:
    """A single one, then all the rest; this one stays."""
    first = elsewhere(session, grace)
    for _ in range(2):
        elsewhere(session, grace)
    at = page(grace)
    at.button(key=f"end_{first.session_id}").click().run()
    assert first.session_id not in live(grace)
    assert len(live(grace)) == 3
    at.button(key="end_all").click().run()

    assert live(grace) == [grace.session_id]
    assert not at.exception


def change(at: AppTest, current: str, new: str) -> AppTest:
    at.text_input(key="own_password_current").input(current)
    at.text_input(key="own_password_new").input(new)
    return at.button(key="own_password_save").click().run()


def test_password_is_changed_and_others_end(session: Session, grace: Actor) -> None:
    """The right current password and a fit new one: signed in here anew, nowhere else, and the new one counts."""
    other = elsewhere(session, grace)
    at = change(page(grace), PASSWORD, OTHER)

    assert not at.exception
    assert at.session_state["actor"].session_id not in {grace.session_id, other.session_id}
    assert live(grace) == [at.session_state["actor"].session_id]
    with db.transaction() as fresh:
        user = users.find(fresh, "grace")
        assert user is not None
        assert users._fits(user, OTHER)


@pytest.mark.parametrize(
    ("current", "new", "told"),
    [
        ("not my password", OTHER, "Is not your password."),
        ("", OTHER, "Is not your password."),
        (PASSWORD, "short", "Must be 15 to 64 characters."),
        (PASSWORD, PASSWORD, "Must be another one than now."),
        (PASSWORD, "passwordpassword1", "Is easy to guess"),
    ],
)
def test_refusal_stands_by_its_field_and_keeps_what_was_typed(current: str, new: str, told: str, grace: Actor) -> None:
    """A wrong current password, or an unfit new one: told in words, nothing ends, and both fields keep their text."""
    at = change(page(grace), current, new)

    assert any(error.value.replace("\\", "").startswith(told) for error in at.error)
    assert live(grace) == [grace.session_id]
    assert at.text_input(key="own_password_new").value == new


@pytest.mark.long
def test_guessing_the_current_password_is_throttled(grace: Actor) -> None:
    """An open page is no way around the throttle of the sign-in: the sixth guess has to wait, the right one too."""
    at = page(grace)
    for _ in range(sign_in.FREE_TRIES):
        change(at, "not my password", OTHER)
    change(at, PASSWORD, OTHER)

    assert any("Too many tries" in error.value for error in at.error)
    assert live(grace) == [grace.session_id]
