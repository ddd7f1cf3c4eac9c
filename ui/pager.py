"""The way through a list that is read a page at a time, by where each page begins. Its keys begin with the list's name."""

from typing import Any

import streamlit as st

from core.govern.paging import Page, Place


def place(name: str, filters: object) -> Place | None:
    """Return where the page that is looked at begins; None for the first one. Other *filters* begin anew."""
    if st.session_state.get(_listed(name)) != filters:
        st.session_state.update({_listed(name): filters, _begins(name): []})
    begins: list[Place] = st.session_state[_begins(name)]
    return begins[-1] if begins else None


def draw(name: str, page: Page[Any], size: int) -> None:
    """Draw the way to newer and older pages, where there are any; after :func:`place`.

    Args:
        name: The list's name.
        page: The page that is looked at.
        size: Rows of a full page.
    """
    begins: list[Place] = st.session_state[_begins(name)]
    if not begins and not page.older:
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
        newest = st.button("Newest", key=f"{name}_newest", icon=":material/first_page:", disabled=not begins)
        newer = st.button("Newer", key=f"{name}_newer", icon=":material/chevron_left:", disabled=not begins)
        first = len(begins) * size + 1
        st.caption(f"{first:,} to {first + len(page.rows) - 1:,}, newest first", width="content")
        older = st.button("Older", key=f"{name}_older", icon=":material/chevron_right:", disabled=not page.older)
    if newest:
        begins = []
    elif newer:
        begins = begins[:-1]
    elif older and page.older:
        begins = [*begins, page.older]
    else:
        return
    st.session_state[_begins(name)] = begins
    st.rerun()


def _listed(name: str) -> str:
    return f"{name}_listed"


def _begins(name: str) -> str:
    return f"{name}_begins"
