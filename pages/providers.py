"""Providers: vendors and endpoints, their models, and the keys that programs use."""

import streamlit as st

from core import crypto
from core.manage import keys
from core.store import db
from ui.feedback import as_markdown
from ui.navigation import begin_page
from ui.providers import listing, row
from ui.providers.dialogs import offer_unsaved
from ui.widgets import coming_and_going

actor = begin_page("providers", "LLM vendors and endpoints, their models, and the keys that your programs use.")
with db.transaction() as session:
    canary = keys.look_at_canary(session, crypto.get_ring())
with coming_and_going():
    offer_unsaved(actor)
    if canary.state in {"wrong_key", "sealed", "behind"} and canary.known:
        st.error(as_markdown(canary.message), icon=":material/key_off:")
row.draw_style()
listing.draw()
