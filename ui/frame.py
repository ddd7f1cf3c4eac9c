"""The frame around every page: sign-in and navigation."""

import streamlit as st

from core.access import users
from core.errors import CoreError
from core.store import db
from ui.feedback import plain, show_fault
from ui.guard import guard, sign_out
from ui.navigation import HOME, draw_menu


def draw() -> None:
    """Draw the page that was asked for, in its frame, for who is signed in; for anybody else the sign-in."""
    st.set_page_config(page_title=HOME, layout="wide")
    actor = guard("analyst")

    with db.transaction() as session:
        role = users.get(session, actor.own_id()).role
    page = draw_menu(role)

    with st.sidebar:
        st.caption(f"Signed in as **{plain(actor.name)}** ({role})")
        if st.button("Sign out", key="sign_out", icon=":material/logout:", width="stretch"):
            sign_out()
            st.rerun()

    try:
        page.run()
    except CoreError as error:
        show_fault(error)
