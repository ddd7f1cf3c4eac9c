"""Features: the purposes that programs use models for, and what is set for each."""

import streamlit as st

from ui import drafts
from ui.features import listing, overrides
from ui.features.dialogs import DIALOGS
from ui.navigation import begin_page
from ui.overrides.edits import take_up
from ui.widgets import coming_and_going

actor = begin_page("features", "What your programs use models for, and what each such purpose gets that others do not.")
DIALOGS.start_afresh()
with coming_and_going():
    if (kept := drafts.offer("features", actor)) is not None:
        take_up(kept)
        st.rerun()
name = listing.asked()
if not name or not overrides.draw(actor, name):
    listing.draw()
