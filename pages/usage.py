"""Usage: what the programs that call models have done, what it cost, and each logged call."""

import streamlit as st

from core.govern import usage
from core.store import db
from ui.links import draw_provider_links
from ui.navigation import begin_page
from ui.usage.calls import draw_export, draw_live, draw_log, is_live, pick_filters
from ui.usage.charts import draw_charts
from ui.usage.figures import draw_figures, draw_nothing_yet, pick_span
from ui.widgets import coming_and_going

actor = begin_page(
    "usage", "Calls that your programs made by core.ai: how many, how fast, what they cost, and each one as logged."
)
with db.transaction() as session:
    choices = usage.choices(session, actor)
span, by, provider = pick_span(choices)
with coming_and_going():
    if provider:
        draw_provider_links(provider, ("providers", "defaults", "effective_preview", "audit"))
with db.transaction() as session:
    found = usage.course(session, actor, span, by, provider)
draw_figures(found.whole)
if not choices.providers:
    draw_nothing_yet()
    st.stop()
draw_charts(found.points, span, by)

st.header("Calls", anchor=False)
filters = pick_filters(choices, span, provider)
if is_live():
    draw_live(filters)
else:
    draw_log(filters)
    draw_export(actor, filters)
