"""Effective Preview: which settings are in force for a provider, and why; and for all of them at once."""

import streamlit as st

from core.access import users
from core.manage import providers, settings
from core.store import db
from ui.navigation import begin_page
from ui.preview import overview, table
from ui.preview.choice import pick

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

choice = pick(names, for_admin=is_admin)
if choice.everything:
    with db.transaction() as session:
        stored = settings.load(session)
    overview.draw(stored, for_admin=is_admin)
    st.stop()
if choice.provider is None:
    st.stop()
with db.transaction() as session:
    ours = settings.effective(session, choice.provider)
    theirs = settings.effective(session, choice.other) if choice.other else None

table.draw_status(ours, for_admin=is_admin)
if theirs is not None:
    only = st.toggle("Only what differs", key="only_differences")
    table.draw_comparison(ours, theirs, only_differences=only)
else:
    table.draw_reasons(ours, for_admin=is_admin)

st.header("How a program uses it", anchor=False)
table.draw_use(ours)
st.download_button(
    "Download as JSON",
    table.as_json(ours),
    file_name=f"effective-{choice.provider}.json",
    mime="application/json",
    key="download",
    icon=":material/download:",
    on_click="ignore",
    help="Values, sources and what they hide. No key, not even sealed.",
)
