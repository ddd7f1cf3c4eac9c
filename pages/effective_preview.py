"""Effective Preview: which settings are in force for a provider, and why; and for all of them at once."""

import streamlit as st

from core.access import users
from core.store import db
from ui import moments
from ui.navigation import begin_page
from ui.preview import overview, scoped, table
from ui.preview.choice import pick
from ui.scopes.editors import Names
from ui.scopes.links import link_to

actor = begin_page(
    "effective_preview", "Which settings a service gets when it resolves a provider, and where each value comes from."
)
with db.transaction() as session:
    is_admin = users.get(session, actor.own_id()).role == "admin"
at = moments.pick_as_of()
names = moments.provider_names(actor, at)
if at is not None and not names:
    moments.draw_absent("There was no provider")
edits = is_admin and at is None  # what was then is not edited
if not names:
    st.info("There is no provider yet, so there is nothing to resolve.", icon=":material/visibility_off:")
    if is_admin:
        st.page_link("pages/providers.py", label="Add a provider", icon=":material/add:")
    else:
        st.text("Ask an admin to add one.")
    st.stop()

choice = pick(names, for_admin=is_admin)
if choice.everything:
    everywhere = scoped.pick_for_all(actor, at)
    if everywhere is not None:
        overview.draw(*everywhere, for_admin=edits)
    st.stop()
if choice.provider is None:
    st.stop()
pair = scoped.pick(actor, choice.provider, choice.other, at)
if pair is None:
    st.stop()
ours, theirs = pair

table.draw_status(ours, for_admin=is_admin)
if ours.organization or ours.feature:
    scope = Names(choice.provider, ours.organization, None, ours.feature)
    st.markdown(
        f"Every layer of this scope: {link_to('hierarchy', scope, at=at.generation if at is not None else None)}"
    )
if theirs is not None:
    only = st.toggle("Only what differs", key="only_differences")
    table.draw_comparison(ours, theirs, only_differences=only)
else:
    table.draw_reasons(ours, for_admin=edits)

if at is None:
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
