"""Hierarchy: every layer of an organisation, a feature and a provider that says something, and which of them decides."""

import streamlit as st

from core.access import users
from core.errors import NotFound
from core.manage.hierarchy import in_force
from core.resolving.matrix import lines_of
from core.store import db
from ui import moments
from ui.feedback import plain
from ui.hierarchy import head, table
from ui.hierarchy.choice import pick
from ui.navigation import begin_page

actor = begin_page(
    "hierarchy", "Which layer decides each setting of an organisation, a feature and a provider, and what it hides."
)
with db.transaction() as session:
    is_admin = users.get(session, actor.own_id()).role == "admin"
at = moments.pick_as_of()
names = moments.provider_names(actor, at)
if at is not None and not names:
    moments.draw_absent("There was no provider")
if not names:
    st.info("There is no provider yet, so there is nothing to resolve.", icon=":material/account_tree:")
    if is_admin:
        st.page_link("pages/providers.py", label="Add a provider", icon=":material/add:")
    else:
        st.text("Ask an admin to add one.")
    st.stop()
chosen = pick(actor, list(names), at)
if chosen is None:
    st.stop()
try:
    with moments.reading(actor, at, chosen.asked.organization) as session:
        found = in_force(session, actor, chosen.asked)
except NotFound as error:  # it went while the page was drawn, or was not there then
    if at is not None:
        moments.draw_absent(f"There was no organisation {chosen.asked.organization}")
    st.warning(plain(f"{error} Choose another one above."), icon=":material/help:")
    st.stop()
if at is not None:
    found = found._replace(may_edit=frozenset())  # what was then is not edited
head.draw_status(found)
head.draw_next_step(found, has_scopes=chosen.has_scopes)
head.draw_layers(found)
if found.settings.provider_id is None:
    st.stop()
st.header("Each parameter", anchor=False)
lines = lines_of(found.settings.explain(), [each.layer for each in found.rows])
shown = [line for line in lines if chosen.everything or line.is_said]
if shown:
    table.draw(found, shown)
else:
    st.info("No layer says anything: the built-in defaults are in force.", icon=":material/layers_clear:")
