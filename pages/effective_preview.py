"""Effective Preview: which settings are in force for a provider, and why; and for all of them at once."""

import streamlit as st

from core.access import users
from core.manage import providers
from core.store import db
from ui.navigation import begin_page
from ui.preview import overview, scoped, table
from ui.preview.choice import pick
from ui.scopes.editors import Names
from ui.scopes.links import link_to

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
    everywhere = scoped.pick_for_all(actor)
    if everywhere is not None:
        overview.draw(*everywhere, for_admin=is_admin)
    st.stop()
if choice.provider is None:
    st.stop()
pair = scoped.pick(actor, choice.provider, choice.other)
if pair is None:
    st.stop()
ours, theirs = pair

table.draw_status(ours, for_admin=is_admin)
if ours.organization or ours.feature:
    st.markdown(
        f"Every layer of this scope: {link_to('hierarchy', Names(choice.provider, ours.organization, None, ours.feature))}"
    )
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
