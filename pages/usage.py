"""Usage: what the programs that call models have done, what it cost, and each logged call."""

import streamlit as st

from core.govern import usage
from core.store import db
from ui.links import draw_provider_links
from ui.navigation import begin_page
from ui.usage.calls import draw_export, draw_live, draw_log, is_live, pick_filters
from ui.usage.charts import draw_charts
from ui.usage.choice import draw_costs_link, draw_origin, pick
from ui.usage.figures import draw_figures, draw_nothing_yet
from ui.widgets import coming_and_going

actor = begin_page(
    "usage", "Calls that your programs made by core.ai: how many, how fast, what they cost, and each one as logged."
)
chosen = pick(actor)
if chosen is None:
    st.stop()
if not chosen.is_clear:
    pick_filters(chosen)  # what is set there stays
    st.stop()
with coming_and_going():
    if chosen.provider and not chosen.is_own:
        draw_provider_links(chosen.provider, ("providers", "defaults", "effective_preview", "audit"))
with db.transaction() as session:
    found = usage.course(
        session,
        actor,
        chosen.span,
        chosen.by,
        chosen.provider,
        organization_id=chosen.organization_id,
        feature=chosen.feature,
    )
draw_figures(found.whole)
draw_origin(chosen, found)
draw_costs_link(chosen)
if not chosen.choices.providers:
    draw_nothing_yet(is_own=chosen.is_own)
    st.stop()
draw_charts(found.points, chosen.span, chosen.by)

st.header("Calls", anchor=False)
filters = pick_filters(chosen)
if is_live():
    draw_live(filters)
else:
    draw_log(filters)
    draw_export(actor, filters)
