"""Costs: what calls of models cost, by whom and for what, what they will have cost, and how far budgets are spent."""

import streamlit as st

from core.govern import spend_course
from core.store import db
from ui.costs import course, top
from ui.costs.choice import pick
from ui.costs.figures import draw_figures, draw_nothing_yet
from ui.navigation import begin_page

actor = begin_page(
    "costs", "What calls of models cost, who spends it, what it comes to, and how far budgets are spent."
)
chosen = pick(actor)
if not chosen.is_clear:
    st.stop()
with db.transaction() as session:
    found = spend_course.look(session, actor, chosen.time, chosen.by, zone=chosen.zone, scope=chosen.scope)
draw_figures(found.month, chosen.zone)
if not found.course.whole.calls and not found.month.sums.calls:
    draw_nothing_yet(is_own=chosen.is_own)
else:
    st.header("Over time", anchor=False)
    course.draw(found.course, chosen)
    top.draw(actor, found.tops, chosen)
