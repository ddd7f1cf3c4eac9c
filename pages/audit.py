"""Audit: who did what and when, and what was refused."""

import streamlit as st

from core.govern import audit_log
from core.store import db
from ui import audit_list
from ui.guard import guard
from ui.widgets import page_head

actor = guard("admin")
page_head("Audit", "Who changed what and when, who signed in, and what was refused. Nothing here can be edited.")
with db.transaction() as session:
    figures = audit_log.figures(session, actor)
    choices = audit_log.choices(session, actor)
audit_list.draw_figures(figures)

filters = audit_list.pick_filters(choices)
if filters is None:
    st.stop()
begins = audit_list.place(filters)
with db.transaction() as session:
    page = audit_log.search(session, actor, filters, before=begins[-1] if begins else None, limit=audit_list.PAGE_SIZE)
    is_cut = bool(begins or page.older) and audit_log.more_than(session, actor, filters, audit_list.EXPORTED)

if not page.events:
    audit_list.draw_nothing(filters)
with st.container(gap="xxsmall"):
    for event in page.events:
        audit_list.draw_event(event)
audit_list.draw_pager(begins, page)
if page.events:
    audit_list.draw_export(actor, filters, is_cut=is_cut)
