"""Defaults: the parameters of all providers, and of one, with a live preview of what results."""

import streamlit as st

from core.manage import providers
from core.store import db
from ui import drafts
from ui.defaults import editor
from ui.defaults.scope import pick_scope, take_up
from ui.navigation import begin_page

actor = begin_page("defaults", "The parameters that all providers share, and what one of them does differently.")
with db.transaction() as session:
    names = providers.names(session)
if (kept := drafts.offer("defaults", actor)) is not None:
    take_up(kept)
    st.rerun()
editor.draw(actor, pick_scope(names), names)
