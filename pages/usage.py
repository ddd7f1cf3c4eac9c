"""Usage: what the programs that call models have done, what it cost, and each logged call."""

import streamlit as st

from core.govern import usage
from core.store import db
from ui.navigation import begin_page
from ui.usage import view

actor = begin_page(
    "usage", "Calls that your programs made by core.ai: how many, how fast, what they cost, and each one as logged."
)
span, by = view.pick_span()
with db.transaction() as session:
    found = usage.usage(session, actor, span, by)
    choices = usage.choices(session, actor)
view.draw_figures(found.whole)
if not choices.providers:
    view.draw_nothing_yet()
    st.stop()
view.draw_charts(found.points, span, by)

st.subheader("Calls", anchor=False)
filters = view.pick_filters(choices, span)
if view.is_live():
    view.draw_live(filters)
else:
    view.draw_log(filters)
    view.draw_export(actor, filters)
