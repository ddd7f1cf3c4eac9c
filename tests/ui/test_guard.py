"""The guard: nobody sees or does anything before their rights were read from the database."""

from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
from streamlit.testing.v1 import AppTest

from core.access import users
from core.actors import COMMAND_LINE, Actor
from core.store import db
from core.store.tables import User
from tests.conftest import PASSWORD, ROOT
from tests.screens import PAGES
from ui.navigation import SCREENS

ADMIN_PAGES = [path for path in PAGES if path.stem not in SCREENS or SCREENS[path.stem].role == "admin"]
WRONG = "The username or the password is wrong."


def run(path: Path, actor: Actor | None = None) -> AppTest:
    """Run a page's file by itself, as a fresh process does that was asked for it first."""
    at = AppTest.from_file(str(path), default_timeout=20)
    if actor is not None:
        at.session_state["actor"] = actor
    return at.run()


def only_the_sign_in(at: AppTest) -> bool:
    return [title.value for title in at.title] == ["LLM Settings"] and [i.label for i in at.text_input] == [
        "Username",
        "Password",
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_opened_first_asks_to_sign_in(path: Path) -> None:
    """CHECKS 9: every file in pages/, run without the entry file by somebody unknown, draws the sign-in and no more."""
    at = run(path)

    assert only_the_sign_in(at)
    assert [button.label for button in at.button] == ["Sign in"]
    assert not at.exception
    assert not at.selectbox


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_flags_of_the_form_are_no_authority(path: Path, admin: Actor) -> None:
    """What the login form leaves in the session, its status included, signs nobody in: only an actor does."""
    at = AppTest.from_file(str(path), default_timeout=20)
    for name, value in {"authentication_status": True, "username": admin.name, "name": "x", "roles": ["admin"]}.items():
        at.session_state[name] = value
    at.run()

    assert only_the_sign_in(at)
    assert "actor" not in at.session_state


@pytest.mark.parametrize("path", ADMIN_PAGES, ids=lambda path: path.stem)
def test_admins_page_denies_an_analyst(path: Path, analyst: Actor) -> None:
    """CHECKS 10: a page that is not in the role's navigation denies on its first line, and draws nothing of itself."""
    at = run(path, analyst)

    assert [error.value for error in at.error] == ["Admin access required. Ask an admin, or open a page from the menu."]
    assert not at.title
    assert not at.button


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
@pytest.mark.parametrize("change", [users.set_password, users.set_role, users.set_active])
def test_change_of_rights_ends_an_open_page(
    path: Path, change: Callable[..., object], admin: Actor, analyst: Actor
) -> None:
    """CHECKS 2, 3: after a new password, another role or disabling, the next click shows the sign-in."""
    value: dict[str, object] = {"active": False} if change is users.set_active else {}
    more = [] if value else [PASSWORD if change is users.set_password else "admin"]
    with db.transaction() as session:
        change(session, admin, analyst.user_id, *more, **value)
    at = run(path, analyst)

    assert only_the_sign_in(at)
    assert [warning.value for warning in at.warning] == ["Your sign-in has ended. Sign in again."]


@pytest.fixture
def grace() -> str:
    """A user with a real password."""
    with db.transaction() as session:
        users.add(session, COMMAND_LINE, "grace", PASSWORD, "analyst")
        session.add(User(username="remote", role="analyst", sso_issuer="https://login.example", sso_subject="u1"))
    users.decoy_hash()
    return "grace"


def submit(username: str, password: str) -> AppTest:
    at = run(ROOT / "streamlit_app.py")
    at.text_input[0].input(username)
    at.text_input[1].input(password)
    return at.button[0].click().run()


@pytest.mark.usefixtures("grace")
@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("grace", "not the password"),
        ("nobody", PASSWORD),
        ("remote", PASSWORD),
        ("remote", ""),
        ("", ""),
        ("gr\x00ace", PASSWORD),
        ("grace", "x" * 80),
        ("x" * 300, "é" * 60),
    ],
)
def test_refused_sign_in_says_one_thing(username: str, password: str) -> None:
    """Whatever was wrong, the message is the same, nothing raises, and nobody is signed in."""
    at = submit(username, password)

    assert [error.value for error in at.error] == ([WRONG] if username else [])
    assert "actor" not in at.session_state
    assert not at.exception


@pytest.mark.usefixtures("grace")
@pytest.mark.parametrize("username", ["grace", "nobody", "remote"])
def test_unknown_user_costs_the_same(username: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHECKS 19: bcrypt is called exactly once, for a known user, an unknown one and one of an identity provider's, on a hash of the same cost."""
    calls: list[bytes] = []
    real = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        calls.append(hashed[:7])
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    submit(username, "not the password")

    assert calls == [f"$2b${users.COST}$".encode()]


def test_disabled_user_is_refused_alike(grace: str) -> None:
    """A disabled user gets the message of a wrong password, with the right one."""
    with db.transaction() as session:
        user = users.find(session, grace)
        assert user is not None
        user.is_active = False
    at = submit(grace, PASSWORD)

    assert [error.value for error in at.error] == [WRONG]
    assert "actor" not in at.session_state


def test_sign_in_leaves_the_actor_alone(grace: str) -> None:
    """After the right password the session holds who it is, and neither the password nor the form's own flags."""
    at = submit(f" {grace.upper()} ", PASSWORD)

    assert at.session_state["actor"].name == grace
    assert [title.value for title in at.title] == ["Effective Preview"]
    assert PASSWORD not in repr(at.session_state)
    assert "authentication_status" not in at.session_state
