"""Providers: vendors and endpoints, their models, and the keys that programs use."""

import math

import streamlit as st

from core import crypto
from core.manage import keys, provider_secrets, providers
from core.store import db
from core.store.tables import id_of
from ui.feedback import attempt, plain
from ui.navigation import begin_page
from ui.providers.cards import PAGE_SIZE, Clicked, draw_card, draw_encryption_keys, draw_figures, draw_nothing
from ui.providers.dialogs import ask, draw_dialog, offer_unsaved

_SEARCH, _STATE, _SHOW_ALL = "search", "state", "show_all_asked"
_LISTED, _LISTING = "listed", "listing"
STATES = {"All": None, "Active": True, "Inactive": False}

actor = begin_page("providers", "LLM vendors and endpoints, their models, and the keys that your programs use.")
offer_unsaved(actor)
with db.transaction() as session:
    figures = providers.figures(session)
    encryption = keys.status(session, crypto.get_ring())
draw_figures(figures)
draw_encryption_keys(encryption)


def act(clicked: Clicked) -> None:
    """Do what was pressed on a card, or open its dialog; errors stand where this is called: below the card."""
    provider = clicked.provider
    provider_id, name = id_of(provider), provider.display_name
    action = clicked.action
    if action == "adopt":
        outcome = attempt(lambda s: providers.adopt_api_key(s, actor, provider_id), f"The key of {name} is adopted.")
    elif action == "activate" or action == "deactivate":  # noqa: PLR1714 - mypy narrows this, and not a set
        patch = {"is_active": action == "activate"}
        outcome = attempt(
            lambda s: providers.update(s, actor, provider_id, patch, version=provider.version),
            f"{name} is {'active' if patch['is_active'] else 'inactive'}.",
        )
    else:
        ask(action, provider_id)
        return
    if outcome.ok:
        st.rerun()
    if outcome.conflict:
        st.warning(
            plain(f"{outcome.conflict.changed_by} changed {name} just now. Look again."), icon=":material/group:"
        )
    for rule in outcome.errors.values():
        st.error(plain(rule), icon=":material/error:")


with st.container(horizontal=True, vertical_alignment="bottom"):
    if st.session_state.pop(_SHOW_ALL, False):
        st.session_state.update({_SEARCH: "", _STATE: "All"})
    search = st.text_input(
        "Search", key=_SEARCH, placeholder="Name, kind or model", icon=":material/search:", max_chars=100, width=320
    )
    st.session_state.setdefault(_STATE, "All")
    state = st.segmented_control("State", list(STATES), required=True, key=_STATE) or "All"
    if st.button("Add provider", key="add_provider", type="primary", icon=":material/add:"):
        ask("add")
    if st.button("Paste .env", key="paste_env", icon=":material/content_paste_go:"):
        ask("env")

if st.session_state.get(_LISTED) != (search, state):  # another list begins at its first page: it has its own pager
    st.session_state.update({_LISTED: (search, state), _LISTING: st.session_state.get(_LISTING, 0) + 1})
pager = f"page_number_{st.session_state[_LISTING]}"
with db.transaction() as session:
    found = providers.count(session, active=STATES[state], search=search)
    pages = max(1, math.ceil(found / PAGE_SIZE))
    number = min(st.session_state.get(pager, 1), pages)
    shown = providers.list_all(
        session, active=STATES[state], search=search, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE
    )
    carried = provider_secrets.list_all(session)

if not shown:
    asked = draw_nothing(figures, search, state)
    if asked == "add":
        ask("add")
    elif asked == "show_all":
        st.session_state[_SHOW_ALL] = True
        st.rerun()
clicks = [
    (clicked, st.container())
    for provider in shown
    if (clicked := draw_card(provider, carried.get(id_of(provider), ())))
]
if pages > 1:
    with st.container(horizontal_alignment="center"):
        st.pagination(pages, default=number, key=pager)
        st.caption(f"{(number - 1) * PAGE_SIZE + 1} to {min(number * PAGE_SIZE, found)} of {found}", width="content")
for clicked, below in clicks:
    with below:
        act(clicked)
draw_dialog()
