"""Audit: who did what and when, and what was refused."""

import streamlit as st

from core.govern import audit_log
from core.govern.paging import RowPlace
from core.manage import providers
from core.store import db
from ui import pager
from ui.audit import events
from ui.links import draw_provider_links
from ui.navigation import begin_page

actor = begin_page(
    "audit", "Who changed what and when, who signed in, and what was refused. Nothing here can be edited."
)
with db.transaction() as session:
    figures = audit_log.figures(session, actor)
    choices = audit_log.choices(session, actor)
    names = providers.names(session)
events.draw_figures(figures)

filters = events.pick_filters(choices, names)
if filters is None:
    st.stop()
chosen = filters
if filters.provider:
    draw_provider_links(filters.provider, ("providers", "defaults", "effective_preview", "usage"))
before = pager.place(events.LIST, filters)
with db.transaction() as session:
    page = audit_log.search(session, actor, filters, before=before, limit=events.PAGE_SIZE)
    is_cut = bool(before or page.older) and audit_log.more_than(session, actor, filters, events.EXPORTED)

if not page.rows:
    events.draw_nothing(filters)
with st.container(gap="xxsmall"):
    events.draw_events(page.rows)


def newer(first: RowPlace) -> RowPlace | None:
    """Return where the page begins that ends right before the event *first*."""
    with db.transaction() as session:
        return audit_log.begins(session, actor, chosen, first, limit=events.PAGE_SIZE)


pager.draw(events.LIST, page, events.PAGE_SIZE, newer)
if page.rows:
    events.draw_export(actor, filters, is_cut=is_cut)
