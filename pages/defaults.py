"""Defaults: the parameters of all providers, and of one, with a live preview of what results."""

import streamlit as st

from core.manage import providers
from core.store import db
from ui import drafts
from ui.defaults import default_provider, editor, lead
from ui.defaults.scope import pick_scope, take_up
from ui.navigation import begin_page
from ui.scopes import bounds, picker
from ui.widgets import coming_and_going

actor = begin_page("defaults", "The parameters that all providers share, and what one of them does differently.")
with db.transaction() as session:
    names = providers.names(session)
if (kept := drafts.offer("defaults", actor)) is not None:
    take_up(kept)
    st.rerun()
place = coming_and_going()
known = picker.known(actor)
with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="scope_choice"):
    with st.container(width=520):
        name = pick_scope(names)
    picker.explain(actor, known, place)
    typed, feature = picker.draw_fields(known)
settled = picker.settle(actor, known, picker.ORGANIZATION, typed)
if settled.is_clear and settled.organization is None and feature is None:
    bound = bounds.of_provider(actor, name)
    if not name:
        default_provider.draw(actor, bound)
    editor.draw(actor, name, names, bound)
elif settled.is_clear:
    lead.draw(actor, name, settled.organization, feature)
