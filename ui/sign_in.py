"""The sign-in form and the first change of a password: what stands in place of a page until somebody is known."""

import base64
import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import streamlit as st
from sqlmodel import Session
from streamlit_authenticator.controllers import AuthenticationController

from core.access import second_factor, sessions, sign_in, users
from core.access.sso_config import OidcConfig, oidc_config, password_signs_in
from core.actors import Actor
from core.config import get_config
from core.errors import Invalid, KeyUnreadable, StoreUnavailable, TooManyAttempts
from core.store import db
from core.store.table import id_of
from core.store.tables import User
from ui.feedback import attempt, field_error, other_errors
from ui.second_factor import draw_enrolment
from ui.widgets import PASSWORD_RULE
from web import middleware
from web.request import ADDRESS_HEADER
from web.sign_on import SCRIPT_PATH

_BCRYPTS = threading.BoundedSemaphore(2)
"""Checks of a password at once: at about 200 ms each at most 10 a second, however many ask."""
_LONGEST_QUEUE_SECONDS = 20
_STEP = "second_factor_step"
"""Where the session keeps the step between the right password and the code."""
_ICON = base64.b64encode(Path(__file__).with_name("icon.svg").read_bytes()).decode()


LEAVES: Final = "leaves_the_provider"
"""Where the session keeps that somebody of the identity provider's has just signed out: the browser goes on to sign out there."""
_BY_PASSWORD = "by_password_asked"  # noqa: S105 - a key of the session's state


class _Users(dict[str, dict[str, Any]]):
    """Usernames as streamlit-authenticator wants them, read from the database when it asks; a try is admitted first.

    Every name is *known*, so that an unknown or disabled one, or one without a password, costs the same bcrypt and gets the same
    message.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self.name, self.attempt = "", 0
        self._address, self._holding = address, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._holding:
            _BCRYPTS.release()

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> dict[str, Any]:
        self.name = name
        self._holding = _BCRYPTS.acquire(timeout=_LONGEST_QUEUE_SECONDS)
        if not self._holding:
            raise StoreUnavailable("Too many people sign in at this moment. Try again in a moment.")
        with db.transaction() as session:
            self.attempt = sign_in.admit(session, name, self._address)
            user = users.find(session, name)
        known = user.password_hash if user is not None and password_signs_in(user) else None
        self[name] = {"name": name, "password": known or users.decoy_hash()}
        return self[name]


def draw_sign_in() -> None:
    """Draw the sign-in form, and sign in who fills it in rightly."""
    with _alone():
        _sign_in()


def draw_first_password(actor: Actor | None, why: str) -> None:
    """Draw what somebody sees who signed in with the password of the first start: a form for one of their own."""
    with _alone():
        _draw_name()
        st.markdown(why)
        with st.form("first_password", enter_to_submit=True):
            st.header("Choose a password", anchor=False)
            password, slot = password_field("New password", "first_password_new")
            pressed = st.form_submit_button("Set password", key="first_password_save", type="primary")
        _focus_first()
        if pressed and actor is not None:
            change_own_password(actor, password, {"password": slot})


def draw_first_factor(actor: Actor | None, why: str) -> None:
    """Draw what somebody sees whose role needs a second factor, and who has none: nothing but setting one up."""
    with _alone():
        _draw_name()
        st.markdown(why)
        if actor is not None:
            draw_enrolment(actor)


def password_field(label: str, key: str, *, current: bool = False) -> tuple[str, Any]:
    """Draw a field for a password; returns what was typed, and the slot for its error."""
    typed = st.text_input(
        label,
        key=key,
        type="password",
        max_chars=200,
        autocomplete="current-password" if current else "new-password",
        placeholder=None if current else PASSWORD_RULE,
    )
    return typed, st.empty()


def change_own_password(actor: Actor, password: str, slots: dict[str, Any], current: str | None = None) -> None:
    """Set the actor's own password and go on with a new sign-in: all others end."""
    made: list[tuple[Actor, str | None]] = []

    def work(session: Session) -> None:
        user = users.change_password(session, actor, chosen, current)
        made[:] = [sessions.begin(session, user, _address(), _agent(), ticket=middleware.installed())]

    try:
        chosen = users.choose(password)
        if current is not None:  # a guess at it counts like a guess at the sign-in
            with db.transaction() as session:
                tried = sign_in.admit(session, actor.name, _address())
    except TooManyAttempts as error:
        st.error(str(error), icon=":material/hourglass_top:")
        return
    except Invalid as error:  # of the new one: no guess at the current one
        for field, slot in slots.items():
            field_error(slot, error.fields, field)
        return
    outcome = attempt(work, "Your password is changed. Sign-ins elsewhere have ended.")
    if current is not None and "current_password" not in outcome.errors:
        with db.transaction() as session:
            sign_in.succeeded(session, tried)
    if outcome.ok:
        _enter(*made[0])
    for field, slot in slots.items():
        field_error(slot, outcome.errors, field)
    other_errors(outcome.errors, set(slots))


@contextmanager
def _alone() -> Iterator[None]:
    """Draw in the middle of the page, without the menu: before the first sign-in Streamlit lists the files there."""
    st.html("<style>[data-testid=stSidebar],[data-testid=stExpandSidebarButton]{display:none}</style>")
    with st.container(horizontal_alignment="center"), st.container(width=440):
        yield


def _draw_name() -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        # Not st.image, which gives no alt: it only repeats the title, so a screen reader is to pass over it
        st.html(f'<img src="data:image/svg+xml;base64,{_ICON}" alt="" width="40" height="40">', width="content")
        st.title("LLM Settings", anchor=False)


def _focus_first() -> None:
    # Without the slash: below a path, as a proxy may serve the app, the script is beside the page.
    st.html(f'<script src="{SCRIPT_PATH[1:]}"></script>', unsafe_allow_javascript=True)


def _sign_in() -> None:
    _draw_name()
    if (step := st.session_state.get(_STEP)) is not None:
        _second_factor(step)
        return
    st.markdown(
        "One place for the LLM providers, models, API keys and parameters that your programs use. "
        "What you change here, running programs have within a second."
    )
    provider = oidc_config(get_config())
    if provider is not None and _elsewhere(provider):
        return
    with st.form("sign_in"):
        st.header("Sign in with a password" if provider else "Sign in", anchor=False)
        username = st.text_input("Username", autocomplete="username")
        password = st.text_input("Password", type="password", autocomplete="current-password")
        pressed = st.form_submit_button("Sign in", key="sign_in_button", type="primary")
    _focus_first()
    below = st.container()
    if not pressed:
        return
    checker = AuthenticationController({"usernames": {}}, auto_hash=False)
    known = _Users(_address())
    checker.authentication_model.credentials["usernames"] = known
    try:
        with known:
            status = checker.login(username, password)
    except TooManyAttempts as error:
        _put_on_record(known, error.retry_after)
        below.error(str(error), icon=":material/hourglass_top:")
        return
    if (status and not _begin(known)) or status is False:
        _put_on_record(known)
        below.error("The username or the password is wrong.", icon=":material/lock:")


def _elsewhere(provider: OidcConfig) -> bool:
    """Draw the way to the identity provider; return whether nothing else is to be drawn."""
    if st.session_state.pop(LEAVES, False):
        st.html('<p id="llm-settings-leave">Signing out…</p>')
        _focus_first()
        return True
    # No st.link_button, which opens a second tab; to the public address, where the provider sends the browser back to.
    name, address = html.escape(provider.name), html.escape(f"{provider.public_url}/sso/start")
    st.html(f'<p style="font-size: 1.25rem"><a href="{address}">Sign in with {name}</a></p>')
    if not provider.only or st.session_state.get(_BY_PASSWORD):
        return False
    st.button(
        "Sign in with a password",
        key="by_password",
        type="tertiary",
        on_click=st.session_state.update,
        args=({_BY_PASSWORD: True},),
    )
    return True


def _begin(known: _Users) -> bool:
    """Start a sign-in; returns only if the user was changed while the password was being checked."""
    with db.transaction() as session:
        user = users.find(session, known.name)
        if user is None or not user.is_active or user.password_hash != known[known.name]["password"]:
            return False
        if second_factor.is_on(session, id_of(user)):  # the try goes on counting until the code is right, too
            st.session_state[_STEP] = second_factor.begin_step(session, user)
            made = None
        else:
            made = _come_in(session, user, known.attempt)
    if made is None:
        st.rerun()
    _enter(*made)
    return True


def _come_in(session: Session, user: User, tried: int) -> tuple[Actor, str | None]:
    """Make the sign-in of somebody of whom all was right."""
    sign_in.succeeded(session, tried)
    if (provider := oidc_config(get_config())) is not None and provider.only:
        sign_in.came_by_the_way_back(session, user, _address())
    return sessions.begin(session, user, _address(), _agent(), ticket=middleware.installed())


def _second_factor(step: str) -> None:
    """Ask for the code, behind the right password."""
    with st.form("second_factor"):
        st.header("Your second factor", anchor=False)
        code = st.text_input(
            "Code", autocomplete="one-time-code", max_chars=40, help="The six digits of your app, or a recovery code"
        )
        pressed = st.form_submit_button("Go on", key="second_factor_button", type="primary")
    st.button("Begin again", key="second_factor_back", type="tertiary", on_click=_begin_again)
    _focus_first()
    below = st.container()
    if not pressed:
        return
    try:
        with db.transaction() as session:
            user = second_factor.whose_step(session, step)
            name = user.username if user else ""
            tried = sign_in.admit(session, name, _address()) if user else 0
    except TooManyAttempts as error:
        with db.transaction() as session:
            sign_in.refused(session, users.find(session, name), _address(), error.retry_after)
        below.error(str(error), icon=":material/hourglass_top:")
        return
    made = None
    try:
        with db.transaction() as session:
            user = second_factor.finish_step(session, step, code) if tried else None
            if user is not None and password_signs_in(user):
                made = _come_in(session, user, tried)
    except KeyUnreadable as error:
        below.error(second_factor.unreadable_words(error), icon=":material/error:")
        return
    if made is not None:
        _enter(*made)
    with db.transaction() as session:
        user = second_factor.whose_step(session, step)
        if user is not None:
            second_factor.wrong(session, user, _address())
    if user is None:
        _begin_again()
        below.error(
            "This took longer than five minutes, or was finished elsewhere: begin again.", icon=":material/timer:"
        )
    else:
        below.error(second_factor.WRONG, icon=":material/lock:")


def _begin_again() -> None:
    """Go back to the password: a callback."""
    st.session_state.pop(_STEP, None)


def _enter(actor: Actor, ticket: str | None) -> None:
    """Go on as *actor*: by a new page that has the cookie; without the middleware, in this Streamlit session."""
    st.session_state.clear()
    if ticket is None:
        st.session_state["actor"] = actor
        st.rerun()
    st.html(
        f'<p id="llm-settings-ticket" data-ticket="{ticket}">Signing in…</p><script src="{SCRIPT_PATH[1:]}"></script>',
        unsafe_allow_javascript=True,
    )
    st.stop()


def _put_on_record(known: _Users, wait: int | None = None) -> None:
    with db.transaction() as session:
        user = users.find(session, known.name)
        if wait is None:
            sign_in.failed(session, user, _address())
        else:
            sign_in.refused(session, user, _address(), wait)


def own_address() -> str:
    """Return the address that this page was asked for from, as the throttle counts it."""
    return _address()


def _address() -> str:
    if middleware.installed():
        return str(st.context.headers.get(ADDRESS_HEADER) or "unknown")
    address = st.context.ip_address
    return address if isinstance(address, str) else "127.0.0.1"  # Streamlit has none for this very machine


def _agent() -> str | None:
    agent = st.context.headers.get("User-Agent")
    return agent if isinstance(agent, str) else None
