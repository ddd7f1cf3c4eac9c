"""What the Users page asks: a new user, a new password, and whether to change a role or disable somebody."""

import secrets
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.access import sessions, users
from core.errors import CoreError
from core.manage import second_factors
from core.store import db
from core.store.tables import MEMBER, ROLES
from ui import reason
from ui.dialogs import Dialogs
from ui.feedback import attempt, field_error, other_errors, plain, show_fault
from ui.guard import guard
from ui.widgets import PASSWORD_RULE

_USERNAME, _PASSWORD, _ROLE, _MADE = "new_username", "new_password", "new_role", "made_password"
_CHANGED: Final = "changed_role"
_dialogs = Dialogs("user_dialog", (_USERNAME, _PASSWORD, _ROLE, _CHANGED, _MADE), "add_user")
_ALL: Final = (*ROLES, MEMBER)
_MAY: Final = {
    "admin": "Manages everything.",
    "analyst": "Sees Effective Preview and Models, never a key.",
    MEMBER: "Sees the organisations that they are made a member of, on the Organisation page, and nothing else.",
}
start_afresh = _dialogs.start_afresh
_HANDED_OVER = "It is for the first sign-in only: whoever gets it chooses a password of their own then."


class Person(NamedTuple):
    """The user a dialog is about."""

    id: int
    username: str
    role: str
    is_active: bool
    is_self: bool


def ask(name: Literal["add", "password", "role", "active", "sign_out", "factor"], user_id: int | None = None) -> None:
    """Open the dialog *name*: a callback."""
    _dialogs.show(name, user_id)


def draw_dialog() -> None:
    """Draw the dialog that is open, if any."""
    name, user_id = _dialogs.opened()
    if name == "add":
        _add()
    elif name is not None:
        actor = guard("admin")
        try:
            with db.transaction() as session:
                user = users.get(session, user_id)
        except CoreError as error:
            _dialogs.close()
            show_fault(error)
        else:
            person = Person(user_id, user.username, user.role, user.is_active, user_id == actor.user_id)
            {"password": _password, "role": _role, "active": _active, "sign_out": _sign_out, "factor": _factor}[name](
                person
            )


@st.dialog("Add a user", icon=":material/person_add:", dismissible=False)
def _add() -> None:
    actor = guard("admin")
    username = st.text_input("Username", key=_USERNAME, persist_state="page", max_chars=64, autocomplete="off")
    slots: dict[str, Any] = {"username": st.empty()}
    role = st.segmented_control("Role", _ALL, default="analyst", required=True, key=_ROLE) or "analyst"
    st.caption(_MAY[role])
    slots["role"] = st.empty()
    password = _password_field(slots)
    st.caption(_HANDED_OVER)
    chosen: list[users.Chosen] = []

    def first() -> None:
        users.check(username, role)
        chosen.append(users.choose(password))

    _save(
        slots,
        lambda session: users.add(session, actor, username, chosen[0], role, handed_over=True),
        f"{username.strip().casefold()} can sign in now, and chooses a password of their own.",
        "Add user",
        first=first,
    )


@st.dialog("Set a password", icon=":material/password:", dismissible=False)
def _password(person: Person) -> None:
    actor = guard("admin")
    st.markdown(f"A new password for **{plain(person.username)}** ends every sign-in with the old one.")
    slots: dict[str, Any] = {}
    password = _password_field(slots)
    chosen: list[users.Chosen] = []
    if not person.is_self:
        st.caption(_HANDED_OVER)
    _warn_self(person)
    _save(
        slots,
        lambda session: users.set_password(session, actor, person.id, chosen[0], handed_over=True),
        f"{person.username} has a new password.",
        "Set password",
        first=lambda: chosen.append(users.choose(password)),
    )


@st.dialog("Change the role?", icon=":material/badge:", on_dismiss=_dialogs.close)
def _role(person: Person) -> None:
    actor = guard("admin")
    others = [each for each in _ALL if each != person.role]
    role = st.segmented_control("New role", others, default=others[0], required=True, key=_CHANGED) or others[0]
    st.caption(_MAY[role])
    st.markdown(f"**{plain(person.username)}** becomes {role}, and has to sign in again.")
    _warn_self(person)
    _save(
        {"role": st.empty()},
        lambda session: users.set_role(session, actor, person.id, role),
        f"{person.username} is {role} now.",
        f"Make {role}",
    )


@st.dialog("Change who may sign in?", icon=":material/person:", on_dismiss=_dialogs.close)
def _active(person: Person) -> None:
    actor = guard("admin")
    if person.is_active:
        st.markdown(f"**{plain(person.username)}** is signed out at once, and cannot sign in until enabled again.")
        _warn_self(person)
    else:
        st.markdown(f"**{plain(person.username)}** can sign in again.")
    word = "Disable" if person.is_active else "Enable"
    _save(
        {"is_active": st.empty()},
        lambda session: users.set_active(session, actor, person.id, active=not person.is_active),
        f"{person.username} is {'disabled' if person.is_active else 'enabled'}.",
        word,
    )


@st.dialog("Sign out everywhere?", icon=":material/devices_off:", on_dismiss=_dialogs.close)
def _sign_out(person: Person) -> None:
    actor = guard("admin")
    st.markdown(f"Every sign-in of **{plain(person.username)}** ends at once. The password stays as it is.")
    _warn_self(person)
    _save(
        {},
        lambda session: sessions.end_all(session, actor, person.id),
        f"{person.username} is signed out everywhere.",
        "Sign out",
    )


@st.dialog("Take the second factor away?", icon=":material/phonelink_off:", on_dismiss=_dialogs.close)
def _factor(person: Person) -> None:
    actor = guard("admin")
    st.markdown(
        f"**{plain(person.username)}** signs in with the password alone then, until they set up another one. Their sign-ins end."
    )
    _warn_self(person)
    _save(
        {},
        lambda session: second_factors.reset(session, actor, person.id),
        f"{person.username} has no second factor any more.",
        "Take away",
    )


def _password_field(slots: dict[str, Any]) -> str:
    above = st.container()
    if st.button("Make one for me", key="make_password", icon=":material/casino:"):
        st.session_state[_MADE] = secrets.token_urlsafe(18)
    made: str | None = st.session_state.get(_MADE)
    if made:
        with above:
            st.code(made, language=None)
            st.caption("Copy it before you save: it is not shown again.")
        slots["password"] = st.empty()
        return made
    typed = above.text_input(
        "Password",
        key=_PASSWORD,
        persist_state="page",
        type="password",
        live="0ms",  # else Tab to the eye button, and on from there, never commits what was typed (Streamlit 1.67)
        max_chars=200,
        autocomplete="new-password",
        placeholder=PASSWORD_RULE,
    )
    slots["password"] = above.empty()
    return typed


def _warn_self(person: Person) -> None:
    if person.is_self:
        st.warning("This is you: your own sign-in ends.", icon=":material/logout:")


def _save(
    slots: dict[str, Any],
    work: Callable[[Session], object],
    done: str,
    label: str,
    first: Callable[[], object] = lambda: None,
) -> None:
    with reason.buttons():
        if st.button("Cancel", key="user_cancel"):
            _dialogs.done()
        pressed = st.button(label, key="user_save", type="primary")
    if not pressed:
        return
    outcome = attempt(work, done, first=first)
    if outcome.ok:
        _dialogs.leave()
        st.rerun()
    for field, slot in slots.items():
        field_error(slot, outcome.errors, field)
    other_errors(outcome.errors, set(slots))
