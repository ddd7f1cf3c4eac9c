"""Nobody sees or does anything before their rights were read from the database, in this very run."""

from typing import Any, cast

import streamlit as st
import streamlit_authenticator as stauth

from core import authority, bootstrap, db, users
from core.actors import Actor
from core.errors import CoreError, Forbidden
from ui.feedback import show_fault

_ACTOR = "actor"


def guard(role: str = "admin") -> Actor:  # noqa: RET503 - st.stop() never returns
    """Return who is signed in and may act as *role* now; else draw the sign-in, or say why not, and end the run.

    First line of every page, dialog, fragment and callback: Streamlit runs each of them without the entry file in
    some case (see docs/architecture.md).
    """
    try:
        bootstrap.ensure_ready()
        actor = st.session_state.get(_ACTOR)
        if isinstance(actor, Actor):
            with db.transaction() as session:
                authority.require(session, actor, "page.view", role=role)
            return actor
        _sign_in()
    except Forbidden as error:
        if role == "admin" and _still_signed_in():
            st.error(f"{error}. Ask an admin, or open a page from the menu.", icon=":material/block:")
        else:
            sign_out()
            st.warning("Your sign-in has ended. Sign in again.", icon=":material/lock:")
            _sign_in()
    except CoreError as error:
        show_fault(error)
    st.stop()  # never returns


def sign_out() -> None:
    """Forget who was signed in, and everything they typed."""
    st.session_state.clear()


def _still_signed_in() -> bool:
    actor = st.session_state.get(_ACTOR)
    if not isinstance(actor, Actor):
        return False
    try:
        with db.transaction() as session:
            authority.require(session, actor, "page.view", role="analyst")
    except Forbidden:
        return False
    return True


class _Users(dict[str, dict[str, Any]]):
    """Usernames as the login form wants them, read from the database when it asks.

    Every name is *known*, so that an unknown or disabled one costs the same bcrypt and gets the same message.
    """

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> dict[str, Any]:
        with db.transaction() as session:
            user = users.find(session, name)
        fits = user is not None and user.is_active
        self[name] = {"name": name, "password": cast("Any", user).password_hash if fits else users.decoy_hash()}
        return self[name]


class _NoCookie:
    """In place of the form's cookie, which still signs in after logout and password change."""

    def get_cookie(self) -> None:
        """No cookie signs anybody in."""

    def set_cookie(self) -> None:
        """Write nothing: a sign-in lasts as long as the Streamlit session."""

    def delete_cookie(self) -> None:
        """Nothing to delete."""


def _sign_in() -> None:
    with st.container(horizontal_alignment="center"), st.container(width=440):
        _sign_in_form()


def _sign_in_form() -> None:
    st.title("LLM Settings", anchor=False)
    st.caption("Which LLM providers, models, keys and parameters your programs use.")
    unseen = st.empty()  # the form's constructor draws its cookie component, which is not used
    with unseen:
        form = stauth.Authenticate({"usernames": {}}, "unused", "unused", 0, auto_hash=False, login_sleep_time=0)
    unseen.empty()
    form.cookie_controller.cookie_model = _NoCookie()
    form.authentication_controller.authentication_model.credentials["usernames"] = _Users()
    st.session_state["authentication_status"] = None
    form.login(fields={"Form name": "Sign in", "Login": "Sign in"}, key="sign_in")
    if st.session_state["authentication_status"]:
        name = st.session_state["username"]
        with db.transaction() as session:
            user = users.find(session, name)
        st.session_state.clear()
        if user is not None and user.is_active:
            st.session_state[_ACTOR] = Actor(user.username, user.id, user.auth_epoch)
        st.rerun()
    if st.session_state["authentication_status"] is False:
        st.error("The username or the password is wrong.", icon=":material/lock:")
