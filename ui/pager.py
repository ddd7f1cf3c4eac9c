"""The way through a list that is read a page at a time, by where each page begins. Its keys begin with the list's name.

Where the page that is looked at begins stands in the page's address, so that Back, a reload and a link lead there too.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import streamlit as st

from core.govern.paging import Page, RowPlace
from ui import address
from ui.guard import guard

PARAMETER: Final = "page"
_FORM: Final = re.compile(r"([1-9]\d{0,8})-(\d{1,18})-(\d{1,18})")
"""The number of the page, and where it begins: after the row of that time, in µs since 1970, and id."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)


class At(NamedTuple):
    """The page of a list that is looked at."""

    number: int
    """From 1."""
    place: RowPlace | None
    """None for the first one."""


def place(name: str, filters: object) -> RowPlace | None:
    """Return where the page that is looked at begins; None for the first one. Other *filters* begin anew."""
    key, written = _listed(name), address.asked(PARAMETER)
    before = st.session_state.get(key)
    if before is not None and before[0] != filters and before[1] == written:  # Back changes the place too
        _go(None)
        written = ""
    st.session_state[key] = (filters, written)
    found = _read(written)
    if written and found is None:
        address.refuse(PARAMETER, "which is no place in this list")
        _go(None)
    return found.place if found else None


def draw(name: str, page: Page[Any], size: int, newer: Callable[[RowPlace], RowPlace | None]) -> None:
    """Draw the way to newer and older pages, where there are any; after :func:`place`.

    Args:
        name: The list's name.
        page: The page that is looked at.
        size: Rows of a full page.
        newer: Tells where the page begins that ends right before a row; None: it is the first page.
    """
    number = (_read(address.asked(PARAMETER)) or At(1, None)).number
    if number == 1 and not page.older:
        return

    def go_newer() -> None:
        guard("admin")
        begins = newer((page.rows[0].at, page.rows[0].id))
        _go(At(max(2, number - 1), begins) if begins else None)

    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
        st.button(
            "Newest",
            key=f"{name}_newest",
            icon=":material/first_page:",
            disabled=number == 1,
            on_click=_go,
            args=(None,),
        )
        st.button(
            "Newer",
            key=f"{name}_newer",
            icon=":material/chevron_left:",
            disabled=number == 1 or not page.rows,
            on_click=go_newer,
        )
        first = (number - 1) * size + 1
        shown = f"{first:,} to {first + len(page.rows) - 1:,}, newest first" if page.rows else "Nothing older"
        st.caption(shown, width="content")
        st.button(
            "Older",
            key=f"{name}_older",
            icon=":material/chevron_right:",
            disabled=not page.older,
            on_click=_go,
            args=(At(number + 1, page.older),),
        )


def _go(to: At | None) -> None:
    if to is not None and to.place is not None:
        at, row_id = to.place
        st.query_params[PARAMETER] = f"{to.number}-{(at - _EPOCH) // timedelta(microseconds=1)}-{row_id}"
    elif PARAMETER in st.query_params:
        del st.query_params[PARAMETER]


def _read(place: str) -> At | None:
    found = _FORM.fullmatch(place)
    if not found:
        return None
    number, micros, row_id = map(int, found.groups())
    if number == 1 or micros >= (_LATEST - _EPOCH) // timedelta(microseconds=1) or row_id >= 2**63:
        return None
    return At(number, (_EPOCH + timedelta(microseconds=micros), row_id))


def _listed(name: str) -> str:
    return f"{name}_listed"
