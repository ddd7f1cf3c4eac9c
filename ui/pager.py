"""The way through a list that is read a page at a time, by where each page begins."""

from datetime import datetime

import streamlit as st

Place = tuple[datetime, int]


def draw(name: str, begins: list[Place], older: Place | None, *, shown: int, size: int) -> list[Place] | None:
    """Draw the way to newer and older pages, where there are any; returns what *begins* becomes, None if nobody pressed.

    Args:
        name: What the keys of the buttons begin with.
        begins: Where this page and each one before it begins, the first one left out.
        older: Where the next page begins; None on the last one.
        shown: Lines of this page.
        size: Lines of a full page.
    """
    if not begins and not older:
        return None
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
        newest = st.button("Newest", key=f"{name}_newest", icon=":material/first_page:", disabled=not begins)
        newer = st.button("Newer", key=f"{name}_newer", icon=":material/chevron_left:", disabled=not begins)
        first = len(begins) * size + 1
        st.caption(f"{first:,} to {first + shown - 1:,}, newest first", width="content")
        onward = st.button("Older", key=f"{name}_older", icon=":material/chevron_right:", disabled=not older)
    if newest:
        return []
    if newer:
        return begins[:-1]
    return [*begins, older] if onward and older else None
