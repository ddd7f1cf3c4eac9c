"""The frame around every page: sign-in and navigation. Runs alone with `streamlit run streamlit_app.py`."""

import streamlit as st

from core.access import users
from core.errors import CoreError
from core.store import db
from ui.feedback import plain, show_fault
from ui.guard import guard, sign_out

st.set_page_config(page_title="LLM Settings", layout="wide")
actor = guard("analyst")

with db.transaction() as session:
    role = users.get(session, actor.user_id or 0).role

preview = st.Page("pages/effective_preview.py", title="Effective Preview", icon=":material/visibility:")
manage = [
    st.Page("pages/providers.py", title="Providers", icon=":material/hub:", default=True),
    st.Page("pages/defaults.py", title="Defaults", icon=":material/tune:"),
    preview,
    st.Page("pages/usage.py", title="Usage", icon=":material/monitoring:"),
    st.Page("pages/users.py", title="Users", icon=":material/group:"),
    st.Page("pages/tokens.py", title="API tokens", icon=":material/vpn_key:"),
    st.Page("pages/audit.py", title="Audit", icon=":material/history:"),
    st.Page("pages/health.py", title="Health", icon=":material/monitor_heart:"),
]
account = st.Page("pages/account.py", title="Account", icon=":material/account_circle:")
page = st.navigation([*manage, account] if role == "admin" else [preview, account])

with st.sidebar:
    st.caption(f"Signed in as **{plain(actor.name)}** ({role})")
    if st.button("Sign out", key="sign_out", icon=":material/logout:", width="stretch"):
        sign_out()
        st.rerun()

try:
    page.run()
except CoreError as error:
    show_fault(error)
