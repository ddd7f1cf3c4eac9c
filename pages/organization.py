"""Organisation: what one tenant has of its own: settings, keys, feature overrides, members."""

import streamlit as st

from ui import drafts
from ui.navigation import begin_page
from ui.organization import head, keys, members, scopes
from ui.organization.choice import pick
from ui.organization.head import FEATURES, KEYS, SETTINGS
from ui.organization.key_dialogs import DIALOGS
from ui.overrides.edits import take_up
from ui.widgets import coming_and_going

actor = begin_page("organization", "What one organisation sets for itself, the keys it has, and who belongs to it.")
DIALOGS.start_afresh()
members.start_afresh()
with coming_and_going():
    if (kept := drafts.offer("organization", actor)) is not None:
        take_up(kept)
        st.rerun()
of = pick(actor)
if of is None:
    st.stop()
head.draw(of)
if not of.manages:
    st.info(
        "You see what is in force in this organisation, and change nothing. Ask one of its admins.",
        icon=":material/visibility:",
    )
    st.stop()
section = head.pick_section(of)
if section == SETTINGS:
    scopes.draw_settings(of)
elif section == KEYS:
    keys.draw(of)
elif section == FEATURES:
    scopes.draw_features(actor, of)
else:
    members.draw(of)
