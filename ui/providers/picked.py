"""Which providers are selected for one change, and the bar above the list that says so."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import streamlit as st

from core.manage import provider_lists
from core.store import db
from core.wording import counted

_PICKED: Final = "providers_picked"
"""The ids; missing while nothing is to be selected."""


def is_on() -> bool:
    """Whether the list shows boxes to tick."""
    return _PICKED in st.session_state


def ids() -> frozenset[int]:
    """Return the ids that are selected, on any page of the list and by any search."""
    chosen: frozenset[int] = st.session_state.get(_PICKED, frozenset())
    return chosen


def keep(chosen: frozenset[int]) -> None:
    """Have only those selected."""
    st.session_state[_PICKED] = chosen


def do(action: str, provider_id: int) -> None:
    """Do what was pressed: begin, end, tick or untick the provider, or select none."""
    chosen = ids()
    if action == "stop":
        st.session_state.pop(_PICKED, None)
        return
    if action == "pick":
        chosen |= {provider_id}
    elif action == "leave":
        chosen -= {provider_id}
    elif action == "pick_none":
        chosen = frozenset()
    keep(chosen)


def draw_bar(found: int, asked: Mapping[str, Any], note: Callable[[Any], None]) -> None:
    """Draw how many are selected, and what can be done with them; selects all that are found, if that was pressed.

    Args:
        found: How many providers fit the filters.
        asked: The filters, as core calls them.
        note: Notes a press: a callback.
    """
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key="picked_bar"):
        message = st.empty()
        if st.button(f"Select all {found:,}", key="pick_all", icon=":material/select_all:", disabled=not found):
            with db.transaction() as session:
                keep(ids() | provider_lists.ids(session, **asked))
        chosen = ids()
        message.markdown(f"**{counted(len(chosen), 'provider')} selected**", width="content")
        st.button(
            "Select none",
            key="pick_none",
            icon=":material/deselect:",
            disabled=not chosen,
            on_click=note,
            args=("pick_none",),
        )
        st.button(
            "Change them",
            key="change_several",
            type="primary",
            icon=":material/edit_note:",
            disabled=not chosen,
            on_click=note,
            args=("change",),
        )
        st.button("Done", key="several_done", icon=":material/close:", on_click=note, args=("stop",))
