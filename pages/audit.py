"""Audit: who did what and when, and what was refused."""

import streamlit as st

from core.govern import audit_log
from core.store import db
from ui.audit import events
from ui.navigation import begin_page

actor = begin_page(
    "audit", "Who changed what and when, who signed in, and what was refused. Nothing here can be edited."
)
with db.transaction() as session:
    figures = audit_log.figures(session, actor)
    choices = audit_log.choices(session, actor)
events.draw_figures(figures)

filters = events.pick_filters(choices)
if filters is None:
    st.stop()
begins = events.place(filters)
with db.transaction() as session:
    page = audit_log.search(session, actor, filters, before=begins[-1] if begins else None, limit=events.PAGE_SIZE)
    is_cut = bool(begins or page.older) and audit_log.more_than(session, actor, filters, events.EXPORTED)

if not page.events:
    events.draw_nothing(filters)
with st.container(gap="xxsmall"):
    for event in page.events:
        events.draw_event(event)
events.draw_pager(begins, page)
if page.events:
    events.draw_export(actor, filters, is_cut=is_cut)
