"""The frame around every page: sign-in and navigation."""

from pathlib import Path

import streamlit as st

from core.access import users
from core.errors import CoreError
from core.store import db
from ui.feedback import plain, show_fault
from ui.guard import guard, sign_out
from ui.navigation import HOME, draw_menu
from web import copying, dialogs, leaving

_STYLE = Path(__file__).with_suffix(".css")
# A file of our own: the browser would fetch an icon of Streamlit's set from elsewhere, and our policy refuses that
_ICON, _LOGO = (str(Path(__file__).with_name(name)) for name in ("icon.svg", "logo.svg"))


def draw() -> None:
    """Draw the page that was asked for, in its frame, for who is signed in; for anybody else the sign-in."""
    st.set_page_config(page_title=HOME, page_icon=_ICON, layout="wide")
    st.html(_STYLE)
    actor = guard("member")

    with db.transaction() as session:
        role = users.get(session, actor.own_id()).role
    page = draw_menu(role)
    if page.title == HOME:
        page.run()  # leads on before anything can be clicked: the switch would win over a link chosen meanwhile
    st.set_page_config(page_title=f"{page.title} · {HOME}")
    st.logo(_LOGO, size="large", icon_image=_ICON)

    with st.sidebar:
        st.caption(f"Signed in as **{plain(actor.name)}** ({role})")
        if st.button("Sign out", key="sign_out", icon=":material/logout:", width="stretch"):
            sign_out()
            st.rerun()

    # Without the slash: below a path, as a proxy may serve the app, the scripts are beside the page.
    with st.container(key="scripts"):
        for script in (leaving, dialogs, copying):
            st.html(f'<script src="{script.SCRIPT_PATH[1:]}"></script>', unsafe_allow_javascript=True)
        st.button(
            "Stay signed in", key=leaving.STAY
        )  # hidden: web/leaving.py presses it, and a run of the page is a use
    try:
        page.run()
    except CoreError as error:
        show_fault(error)
