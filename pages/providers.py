"""Providers: vendors and endpoints, their models, and the keys that programs use."""

import math

import streamlit as st

from core import db, providers
from ui.feedback import attempt, plain
from ui.guard import guard
from ui.provider_cards import PAGE_SIZE, Clicked, draw_card, draw_figures
from ui.provider_dialogs import ask, draw_dialog
from ui.widgets import page_head

STATES = {"All": None, "Active": True, "Inactive": False}

actor = guard("admin")
page_head("Providers", "LLM vendors and endpoints, their models, and the keys that your programs use.")
with db.transaction() as session:
    figures = providers.figures(session)
draw_figures(figures)


def act(clicked: Clicked) -> None:
    """Do what was pressed on a card, or open its dialog."""
    provider = clicked.provider
    provider_id, name = provider.id or 0, provider.display_name
    if clicked.action in {"edit", "delete", "remove_key"}:
        ask(clicked.action, provider_id)
    if clicked.action == "adopt":
        outcome = attempt(lambda s: providers.adopt_api_key(s, actor, provider_id), f"The key of {name} is adopted.")
    else:
        patch = {"is_active": clicked.action == "activate"}
        outcome = attempt(
            lambda s: providers.update(s, actor, provider_id, patch, version=provider.version),
            f"{name} is {'active' if patch['is_active'] else 'inactive'}.",
        )
    if outcome.ok:
        st.rerun()
    if outcome.conflict:
        st.warning(
            plain(f"{outcome.conflict.changed_by} changed {name} just now. Look again."), icon=":material/group:"
        )
    for rule in outcome.errors.values():
        st.error(plain(rule))


with st.container(horizontal=True, vertical_alignment="bottom"):
    search = st.text_input(
        "Search", key="search", placeholder="Name, kind or model", icon=":material/search:", max_chars=100, width=320
    )
    state = st.segmented_control("State", list(STATES), default="All", required=True, key="state") or "All"
    if st.button("Add provider", key="add_provider", type="primary", icon=":material/add:"):
        ask("add")

with db.transaction() as session:
    found = providers.count(session, active=STATES[state], search=search)
    pages = max(1, math.ceil(found / PAGE_SIZE))
    number = min(st.session_state.get("page_number", 1), pages)
    shown = providers.list_all(
        session, active=STATES[state], search=search, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE
    )

if not figures.total:
    st.info("There is no provider yet. Add the first one: its name, its models and its API key.", icon=":material/hub:")
elif not found:
    st.info(plain(f"No provider matches {search!r} among {state.lower()}."), icon=":material/search_off:")

clicks = [clicked for provider in shown if (clicked := draw_card(provider))]
if pages > 1:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
        if st.button("Previous", key="previous", icon=":material/chevron_left:", disabled=number == 1):
            st.session_state["page_number"] = number - 1
            st.rerun()
        st.text(f"{(number - 1) * PAGE_SIZE + 1} to {min(number * PAGE_SIZE, found)} of {found}", width="content")
        if st.button("Next", key="next", icon=":material/chevron_right:", disabled=number == pages):
            st.session_state["page_number"] = number + 1
            st.rerun()
for clicked in clicks:
    act(clicked)
draw_dialog()
