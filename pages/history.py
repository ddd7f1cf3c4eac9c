"""History: what was changed in the settings, by whom and why; and how it is put back."""

import streamlit as st

from core.manage import providers
from core.store import db
from ui.history import apart, changes, organization, putting_back
from ui.history.choice import CHANGES, pick, pick_filters
from ui.navigation import begin_page

actor = begin_page("history", "What was changed in the settings, when, by whom and why; and how it is put back.")
putting_back.DIALOGS.start_afresh()
of = pick(actor)
if of is None:
    st.stop()
if of.part == CHANGES:
    with db.transaction() as session:
        names = providers.names(session)
    changes.draw(actor, pick_filters(of, names), has_all=of.has_all)
else:
    apart.draw(actor, of)
organization.draw(actor)
putting_back.draw()
