"""Account: one's own password and second factor, and where one is signed in."""

import streamlit as st

from core.access import authority, sessions
from core.store import db
from core.wording import counted
from ui.feedback import attempt, plain
from ui.guard import guard
from ui.navigation import begin_page
from ui.own_factor import draw_own_factor
from ui.sign_in import change_own_password, password_field
from ui.widgets import ago, browser, exact

actor = begin_page("account", "Your password, your second factor, and where you are signed in.")
user_id = actor.own_id()


def end(session_id: int) -> None:
    """Sign out somewhere else: a callback."""
    actor = guard("member")
    attempt(lambda s: sessions.end(s, actor, session_id), "Signed out there.")


def end_others(number: int) -> None:
    """Sign out everywhere else: a callback."""
    actor = guard("member")
    done = f"Ended {counted(number, 'other sign-in')}."
    attempt(lambda s: sessions.end_all(s, actor, actor.own_id(), but=actor.session_id), done)


with db.transaction() as session:
    live = sessions.list_live(session, actor, user_id)

st.header("Signed in", anchor=False)
for row in live:
    this = row.id == actor.session_id
    with (
        st.container(border=True, key=f"sign_in_{row.id}"),
        st.container(horizontal=True, vertical_alignment="center"),
    ):
        with st.container(width="stretch", gap=None):
            st.markdown(f"**{plain(row.address or 'unknown address')}**" + (" (here)" if this else ""))
            st.caption(plain(browser(row.user_agent)), help=plain(row.user_agent or "") or None)
            st.caption(f"Since {ago(row.created_at)}, last used {ago(row.last_seen_at)}", help=exact(row.created_at))
        if not this:
            st.button("Sign out", key=f"end_{row.id}", icon=":material/logout:", on_click=end, args=(row.id,))
with st.container(horizontal=True, vertical_alignment="center"):
    others = len(live) - any(row.id == actor.session_id for row in live)
    if others:
        st.button(
            "Sign out everywhere else",
            key="end_all",
            icon=":material/devices_off:",
            on_click=end_others,
            args=(others,),
        )
    else:
        st.caption("You are signed in nowhere else.")
st.caption(
    f"A sign-in ends after {authority.IDLE_MINUTES} minutes without use, and {sessions.LIFETIME_HOURS} hours after it began."
)

draw_own_factor(actor)

st.header("Change password", anchor=False)
with st.form("own_password", width=440):
    current, wrong = password_field("Current password", "own_password_current", current=True)
    password, unfit = password_field("New password", "own_password_new")
    st.caption("You stay signed in here; sign-ins elsewhere end.")
    pressed = st.form_submit_button("Change password", key="own_password_save", type="primary")
if pressed:
    change_own_password(actor, password, {"current_password": wrong, "password": unfit}, current)
