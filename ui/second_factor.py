"""Setting up a second factor: the picture that an app scans, the seed as text, and the recovery codes, shown once."""

import base64
from typing import Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.manage import second_factors
from core.manage.second_factors import Enrolment
from ui.feedback import attempt, field_error, other_errors

_BEGUN: Final = "second_factor_begun"
"""Where the session keeps what is to be confirmed."""


def draw_enrolment(actor: Actor) -> bool:
    """Draw what sets up a second factor, and begin one if none was begun here; return whether the recovery codes stand there now."""
    begun: Enrolment | None = st.session_state.get(_BEGUN)
    if begun is None:
        made: list[Enrolment] = []
        outcome = attempt(lambda session: made.append(second_factors.begin_enrolment(session, actor)), None)
        other_errors(outcome.errors, set())
        if not outcome.ok:
            return False
        begun = st.session_state[_BEGUN] = made[-1]
    asked = st.empty()
    with asked.container(), st.form("enrolment", enter_to_submit=True):
        st.header("Set up a second factor", anchor=False)
        st.markdown("1. Scan this with an authenticator app, or type the key into it.")
        picture = base64.b64encode(begun.qr_code.encode()).decode()
        st.html(
            f'<img src="data:image/svg+xml;base64,{picture}" alt="QR code of the key below" width="220" height="220">'
        )
        st.code(_grouped(begun.seed.reveal()), language=None)
        st.markdown("2. Type the code that the app shows. It counts from then on, and sign-ins elsewhere end.")
        code = st.text_input("Code", key="enrolment_code", autocomplete="one-time-code", max_chars=40)
        slot = st.empty()
        pressed = st.form_submit_button("Set up", key="enrolment_save", type="primary")
    if not pressed:
        return False
    codes: list[str] = []

    def work(session: Session) -> None:
        codes[:] = second_factors.confirm_enrolment(session, actor, code)

    outcome = attempt(work, None)
    if outcome.ok:
        st.session_state.pop(_BEGUN, None)
        asked.empty()
        _draw_codes(codes)
    field_error(slot, outcome.errors, "code")
    other_errors(outcome.errors, {"code"})
    return outcome.ok


def forget_enrolment() -> None:
    """Have the next enrolment begin afresh: a callback."""
    st.session_state.pop(_BEGUN, None)


def _draw_codes(codes: list[str]) -> None:
    st.success("Your second factor counts now.", icon=":material/check_circle:")
    st.markdown(
        "**Keep these recovery codes** away from your phone. Each signs you in once without it. They are not shown again."
    )
    st.code("\n".join(codes), language=None)
    st.button("I have kept them", key="codes_kept", type="primary")


def _grouped(seed: str) -> str:
    return " ".join(seed[at : at + 4] for at in range(0, len(seed), 4))
