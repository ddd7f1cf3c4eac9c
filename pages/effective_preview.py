"""Effective Preview: which settings are in force for a provider, and why."""

import streamlit as st

from core.access import users
from core.manage import providers, settings
from core.store import db
from ui.navigation import begin_page
from ui.preview import table

actor = begin_page(
    "effective_preview", "Which settings a service gets when it resolves a provider, and where each value comes from."
)
with db.transaction() as session:
    names = providers.names(session)
    is_admin = users.get(session, actor.own_id()).role == "admin"

if not names:
    st.info("There is no provider yet, so there is nothing to resolve.", icon=":material/visibility_off:")
    if is_admin:
        st.page_link("pages/providers.py", label="Add a provider", icon=":material/add:")
    else:
        st.text("Ask an admin to add one.")
    st.stop()

chosen, other = table.pick(names)
if chosen is None:
    st.stop()
with db.transaction() as session:
    ours = settings.effective(session, chosen)
    theirs = settings.effective(session, other) if other else None

table.draw_status(ours, for_admin=is_admin)
if theirs is not None:
    only = st.toggle("Only what differs", key="only_differences")
    table.draw_comparison(ours, theirs, only_differences=only)
else:
    table.draw_reasons(ours)

st.header("How a program uses it", anchor=False)
table.draw_use(ours)
st.download_button(
    "Download as JSON",
    table.as_json(ours),
    file_name=f"effective-{chosen}.json",
    mime="application/json",
    key="download",
    icon=":material/download:",
    on_click="ignore",
    help="Values, sources and what they hide. No key, not even sealed.",
)
