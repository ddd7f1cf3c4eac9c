"""The Users page: who is listed, and what adding, changing and disabling somebody does and refuses."""

from functools import partial

import pytest
from sqlmodel import Session, select
from streamlit.testing.v1 import AppTest

from core.access import sessions, users
from core.actors import COMMAND_LINE, Actor
from core.store import db
from core.store.records import AuditEvent
from core.store.tables import User
from tests.conftest import PASSWORD, make_user
from tests.screens import click, everything, open_page

page = partial(open_page, "users")


def stored(username: str) -> User | None:
    with db.transaction() as session:
        return users.find(session, username)


def keys(at: AppTest) -> set[str | None]:
    return {button.key for button in at.button}


def test_everybody_is_listed_with_role_and_state(session: Session, admin: Actor, analyst: Actor) -> None:
    """Each user stands there with what may be done to them; who is disabled is told in a word, and can be enabled."""
    assert analyst.user_id is not None
    users.set_active(session, admin, analyst.user_id, active=False)
    session.flush()
    at = page(admin)

    assert [(metric.label, metric.value) for metric in at.metric] == [
        ("Active", "1 of 2"),
        ("Admins", "1"),
        ("Sign-ins now", "0"),
    ]
    assert keys(at) >= {"role_ada", "password_ada", "disable_ada", "role_alan", "password_alan", "enable_alan"}
    assert "Disabled" in everything(at)
    assert "**ada** (you)" in everything(at)


def test_admin_signs_somebody_out_everywhere(session: Session, admin: Actor, analyst: Actor) -> None:
    """Who is signed in is told by number, and can be signed out everywhere: at once, and on record."""
    user = session.get(User, analyst.user_id)
    assert user is not None
    for _ in range(2):
        sessions.begin(session, user, None, None, ticket=False)
    at = page(admin)
    assert "signed in at 2 places" in everything(at)
    assert "sign_out_ada" not in keys(at)
    click(click(at, "sign_out_alan"), "user_save")

    assert sessions.count_live(session) == {}
    assert "not signed in" in everything(at)
    event = session.exec(select(AuditEvent).where(AuditEvent.action == "session.end_all")).one()
    assert (event.actor, event.target) == ("ada", "alan")


def test_added_user_can_sign_in(admin: Actor) -> None:
    """A typed name, role and password make a user; the password is kept nowhere in the session."""
    at = click(page(admin), "add_user")
    at.text_input(key="new_username").input("Grace")
    at.text_input(key="new_password").input(PASSWORD)
    at.segmented_control(key="new_role").set_value("admin")
    click(at, "user_save")

    grace = stored("grace")
    assert grace is not None
    assert (grace.role, grace.is_active) == ("admin", True)
    assert grace.must_change_password
    assert "Has to choose a password" in everything(at)
    assert grace.password_hash.startswith(f"$2b${users.COST}$")
    assert "user_save" not in keys(at)
    assert "role_grace" in keys(at)
    assert PASSWORD not in repr(at.session_state)


def test_password_can_be_made_and_is_shown_once(admin: Actor) -> None:
    """*Make one for me* shows a password that is really the stored one, and not again after saving."""
    at = click(page(admin), "add_user")
    at.text_input(key="new_username").input("grace")
    click(at, "make_password")
    (made,) = [code.value for code in at.code]
    click(at, "user_save")

    grace = stored("grace")
    assert grace is not None
    assert len(made) >= 20
    assert users.bcrypt.checkpw(made.encode(), grace.password_hash.encode())
    assert made not in everything(at)
    assert made not in repr(at.session_state)


@pytest.mark.parametrize(
    ("username", "password", "error"),
    [
        ("ada", PASSWORD, "There is already a user"),
        ("no spaces", PASSWORD, "1 to 64"),
        ("grace", "too short", "15"),
        ("", "", "1 to 64"),
    ],
)
def test_refused_user_keeps_what_was_typed(admin: Actor, username: str, password: str, error: str) -> None:
    """The rule that was broken is told, nothing is stored, and the dialog keeps what was typed."""
    at = click(page(admin), "add_user")
    at.text_input(key="new_username").input(username)
    at.text_input(key="new_password").input(password)
    click(at, "user_save")

    assert error in everything(at)
    assert at.text_input(key="new_username").value == username
    assert at.text_input(key="new_password").value == password
    assert stored("grace") is None


def test_role_is_changed_after_a_question(admin: Actor, analyst: Actor) -> None:
    """Asking changes nothing, confirming does, and ends the user's sign-ins."""
    at = click(page(admin), "role_alan")
    asked = stored("alan")
    click(at, "user_save")
    alan = stored("alan")

    assert asked is not None
    assert asked.role == "analyst"
    assert alan is not None
    assert alan.role == "admin"
    assert alan.auth_epoch > analyst.auth_epoch


def test_cancel_changes_nothing(admin: Actor, analyst: Actor) -> None:
    """Cancel closes the question, and nothing was stored."""
    at = click(click(page(admin), "disable_alan"), "user_cancel")
    alan = stored(analyst.name)

    assert "user_save" not in keys(at)
    assert alan is not None
    assert alan.is_active


def test_disabled_user_can_be_enabled(admin: Actor, analyst: Actor) -> None:
    """Disable and Enable, each confirmed, are each other's undo."""
    at = click(click(page(admin), "disable_alan"), "user_save")
    disabled = stored(analyst.name)
    click(click(at, "enable_alan"), "user_save")
    enabled = stored(analyst.name)

    assert disabled is not None
    assert not disabled.is_active
    assert enabled is not None
    assert enabled.is_active


@pytest.mark.parametrize("key", ["role_ada", "disable_ada"])
def test_last_admin_stays(admin: Actor, key: str) -> None:
    """The last active admin is neither demoted nor disabled, and the page says why."""
    at = click(click(page(admin), key), "user_save")
    ada = stored(admin.name)

    assert "ada is the last active admin" in everything(at)
    assert ada is not None
    assert (ada.role, ada.is_active) == ("admin", True)


def test_own_password_ends_own_sign_in(admin: Actor) -> None:
    """Before changing one's own password the page says what follows, and then it follows."""
    at = click(page(admin), "password_ada")
    warned = everything(at)
    at.text_input(key="new_password").input(PASSWORD)
    at.button(key="user_save").click().run()

    assert "This is you: your own sign-in ends." in warned
    assert "chooses a password of their own" not in warned
    ada = stored("ada")
    assert ada is not None
    assert not ada.must_change_password
    assert "Your sign-in has ended" in everything(at)
    assert not keys(at) & {"add_user", "user_save"}
    assert PASSWORD not in repr(at.session_state)


def test_somebody_elses_password_warns_of_nothing(admin: Actor, analyst: Actor) -> None:
    """The warning about one's own sign-in stands only at oneself; the other's sign-ins end."""
    at = click(page(admin), "password_alan")
    warned = everything(at)
    at.text_input(key="new_password").input(PASSWORD)
    click(at, "user_save")
    alan = stored("alan")

    assert "This is you" not in warned
    assert "chooses a password of their own" in warned
    assert alan is not None
    assert alan.must_change_password
    assert alan.auth_epoch > analyst.auth_epoch
    assert users.bcrypt.checkpw(PASSWORD.encode(), alan.password_hash.encode())


def test_user_who_is_gone_is_explained(session: Session, admin: Actor, analyst: Actor) -> None:
    """Somebody deleted by another hand while the dialog was open is an explained error, not a traceback."""
    at = click(page(admin), "role_alan")
    session.delete(users.get(session, analyst.user_id or 0))
    session.flush()
    click(at, "user_save")

    assert "There is no user" in everything(at)
    assert "user_save" not in keys(at)


def test_save_after_losing_the_role_is_refused(admin: Actor) -> None:
    """An admin who was demoted while the dialog was open saves nothing."""
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "root", PASSWORD, "admin")
    at = click(page(admin), "add_user")
    at.text_input(key="new_username").input("grace")
    at.text_input(key="new_password").input(PASSWORD)
    with db.transaction() as session:
        users.set_role(session, COMMAND_LINE, admin.user_id or 0, "analyst")
    at.button(key="user_save").click().run()

    assert stored("grace") is None
    assert "Your sign-in has ended" in everything(at)


def test_page_left_by_back_forgets_the_dialog(admin: Actor) -> None:
    """A dialog left by leaving the page, not by closing it, does not come back, nor does a password made in it."""
    at = click(click(page(admin), "add_user"), "make_password")
    shown = len(at.code)
    at.switch_page("pages/providers.py").run()
    at.switch_page("pages/users.py").run()

    assert shown == 1
    assert "user_save" not in keys(at)
    assert not at.code
    assert "made_password" not in at.session_state


@pytest.mark.parametrize("key", ["role_ada", "disable_ada"])
def test_own_rights_end_own_sign_in(admin: Actor, key: str) -> None:
    """Who changes their own role, or disables themselves, is told before that their sign-in ends, and it does."""
    make_user("bea", "admin")
    at = click(page(admin), key)
    warned = everything(at)
    at.button(key="user_save").click().run()

    assert "This is you: your own sign-in ends." in warned
    assert [title.value for title in at.title] == ["LLM Settings"]


def test_refusal_is_a_sentence(admin: Actor) -> None:
    """What core refuses about the last admin stands in the dialog once, as a sentence, without a field's name."""
    at = click(click(page(admin), "role_ada"), "user_save")

    assert [error.value.replace("\\", "") for error in at.error] == ["Cannot change: ada is the last active admin."]
    assert "user_save" in keys(at)


def test_member_is_added_and_made_something_else(admin: Actor) -> None:
    """A member sees only organisations, and the page says so; of the other roles each can be chosen."""
    at = click(page(admin), "add_user")
    at.text_input(key="new_username").input("eve")
    at.text_input(key="new_password").input(PASSWORD)
    at.segmented_control(key="new_role").set_value("member").run()
    assert "Organisation page" in everything(at)
    click(at, "user_save")
    eve = stored("eve")
    assert eve is not None
    assert eve.role == "member"
    assert "Member" in everything(at)

    click(at, "role_eve")
    assert at.segmented_control(key="changed_role").options == ["admin", "analyst"]
    at.segmented_control(key="changed_role").set_value("analyst").run()
    click(at, "user_save")
    eve = stored("eve")
    assert eve is not None
    assert eve.role == "analyst"
