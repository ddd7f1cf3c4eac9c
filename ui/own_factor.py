"""One's own second factor, on the Account page: set it up, see how many recovery codes are left, remove it."""

from typing import Final

import streamlit as st

from core.access import second_factor, sign_in, users
from core.actors import Actor
from core.errors import TooManyAttempts
from core.manage import second_factors
from core.store import db
from core.wording import counted
from ui.feedback import attempt, field_error, other_errors
from ui.second_factor import draw_enrolment, forget_enrolment
from ui.sign_in import own_address, password_field

_SETS_UP: Final = "second_factor_sets_up"
"""Where the session keeps that the enrolment is open."""


def draw_own_factor(actor: Actor) -> None:
    """Draw the section."""
    with db.transaction() as session:
        user = users.get(session, actor.own_id())
        is_on = second_factor.is_on(session, actor.own_id())
        left = second_factor.codes_left(session, actor.own_id())
    if user.password_hash is None:
        return
    st.header("Second factor", anchor=False)
    if is_on:
        _draw_removal(actor, left)
    elif not st.session_state.get(_SETS_UP):
        st.caption("A code of an app on your phone, asked for after your password.")
        st.button(
            "Set up a second factor", key="second_factor_set_up", icon=":material/phonelink_lock:", on_click=_open
        )
    else:
        with st.container(width=440):
            if draw_enrolment(actor):
                _close()
            else:
                st.button("Cancel", key="second_factor_cancel", on_click=_close)


def _open() -> None:
    st.session_state[_SETS_UP] = True
    forget_enrolment()


def _close() -> None:
    st.session_state.pop(_SETS_UP, None)
    forget_enrolment()


def _draw_removal(actor: Actor, left: int) -> None:
    st.markdown(f":green-badge[:material/phonelink_lock: On] {counted(left, 'recovery code')} left.")
    with st.form("remove_factor", width=440):
        password, _ = password_field("Your password", "remove_factor_password", current=True)
        code = st.text_input("Code", key="remove_factor_code", autocomplete="one-time-code", max_chars=40)
        slot = st.empty()
        st.caption("With new recovery codes, or a new phone: remove it, and set it up again.")
        pressed = st.form_submit_button("Remove the second factor", key="remove_factor_save")
    if not pressed:
        return
    try:  # a guess counts before it is checked, as at the sign-in
        with db.transaction() as session:
            tried = sign_in.admit(session, actor.name, own_address())
    except TooManyAttempts as error:
        st.error(str(error), icon=":material/hourglass_top:")
        return
    outcome = attempt(
        lambda session: second_factors.remove(session, actor, password, code), "Your second factor is removed."
    )
    if outcome.ok:
        with db.transaction() as session:
            sign_in.succeeded(session, tried)
        st.rerun()
    field_error(slot, outcome.errors, "code")
    other_errors(outcome.errors, {"code"})
