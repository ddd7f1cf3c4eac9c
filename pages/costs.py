"""Costs: what calls of models cost, by whom and for what, what they will have cost, and how far budgets are spent."""

import streamlit as st

from core.access import authority
from core.govern import spend_course
from core.manage import services
from core.store import db
from ui.costs import budgets, burn_down, course, dialogs, month_dialogs, months, top
from ui.costs.choice import pick
from ui.costs.figures import draw_figures, draw_nothing_yet, draw_untold
from ui.navigation import begin_page
from ui.widgets import coming_and_going

actor = begin_page(
    "costs", "What calls of models cost, who spends it, what it comes to, and how far budgets are spent."
)
dialogs.DIALOGS.start_afresh()
month_dialogs.DIALOGS.start_afresh()
with db.transaction() as session:
    role = authority.role_of(session, actor)
    may_change = role == "admin"
with coming_and_going():
    dialogs.take_presses(actor, may_change=may_change)
    month_dialogs.take_presses(actor, may_change=may_change)
    opened = burn_down.asked()
if opened is not None:
    burn_down.draw(actor, opened, may_change=may_change)
    dialogs.draw(None)
    st.stop()
chosen = pick(actor)
if not chosen.is_clear:
    st.stop()
with db.transaction() as session:
    found = spend_course.look(session, actor, chosen.time, chosen.by, zone=chosen.zone, scope=chosen.scope)
    listing = budgets.read(actor, chosen, session)
    monthly = months.read(actor, chosen, session)
    untold = services.untelling(session) if role in authority.ENOUGH["analyst"] else []
draw_figures(found.month, listing.counts, chosen.zone)
draw_untold(untold)
if not found.course.whole.calls and not found.month.sums.calls:
    draw_nothing_yet(is_own=chosen.is_own)
else:
    st.header("Over time", anchor=False)
    course.draw(found.course, chosen)
    top.draw(actor, found.tops, chosen, may_see_calls=may_change)
budgets.draw(listing, may_change=may_change)
months.draw(actor, monthly, chosen, may_change=may_change)
dialogs.draw(chosen)
month_dialogs.draw()
