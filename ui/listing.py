"""A list that is short enough to be read whole: how it is searched, narrowed to what changed, and shown a page at a time.

All of it stands in the page's address.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

import streamlit as st

from ui import address
from ui.guard import guard
from ui.since import KEY, pick_since
from ui.widgets import FILTERS_PLACE, PAGES_PLACE

PAGE_SIZE: Final = 25
_SEARCH, _PAGE = "search", "page"
R = TypeVar("R")


class Wanted(NamedTuple):
    """What of a list is asked for."""

    search: str
    """In lower case; empty: all."""
    since: datetime | None
    """None: any time."""

    @property
    def is_all(self) -> bool:
        """Whether everything is."""
        return not self.search and self.since is None

    def fits(self, text: str, *moments: datetime | None) -> bool:
        """Return whether a row has what is searched for in *text*, and one of *moments* is late enough."""
        late = self.since is None or any(moment is not None and moment >= self.since for moment in moments)
        return late and self.search in text.casefold()


def pick(placeholder: str, then: Callable[[], object] = lambda: None) -> Wanted:
    """Draw the search and the time of the last change; returns what is asked for.

    Args:
        placeholder: What is searched.
        then: Draws what stands beside them: the button that adds to the list.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        search = pick_search(placeholder)
        since = pick_since("Changed within", first_page)
        then()
    return Wanted(search, since)


def pick_search(placeholder: str) -> str:
    """Draw the search alone; returns what is searched for, in lower case.

    Args:
        placeholder: What is searched.
    """
    search = st.text_input(
        "Search",
        key=_SEARCH,
        bind="query-params",
        placeholder=placeholder,
        icon=":material/search:",
        max_chars=100,
        live="400ms",
        width=320,
        on_change=first_page,
    )
    return search.strip().casefold()


def first_page() -> None:
    """Go to the first page of the list: the callback of what narrows it."""
    guard("analyst")
    address.hold((_SEARCH, KEY))
    if _PAGE in st.session_state:
        st.session_state[_PAGE] = 1


def show_all() -> None:
    """Ask for everything again: a callback."""
    guard("analyst")
    st.session_state.update({_SEARCH: "", KEY: None})


def draw_none(things: str) -> None:
    """Draw what stands in place of the list where nothing fits."""
    st.info(f"No {things} fits this search and time.", icon=":material/search_off:")
    st.button("Show all", key="list_show_all", icon=":material/undo:", on_click=show_all)


def shown(rows: Sequence[R]) -> Sequence[R]:
    """Return the rows of the page that is looked at; draws the way to the others below them, where there are any."""
    pages = max(1, math.ceil(len(rows) / PAGE_SIZE))
    address.number(_PAGE, pages)
    if pages == 1:
        return rows
    below = st.container(horizontal_alignment="center", key=PAGES_PLACE)
    with below:
        number = st.pagination(pages, key=_PAGE, bind="query-params")
        first, last = (number - 1) * PAGE_SIZE, min(number * PAGE_SIZE, len(rows))
        st.caption(f"{first + 1:,} to {last:,} of {len(rows):,}", width="content")
    return rows[first:last]
