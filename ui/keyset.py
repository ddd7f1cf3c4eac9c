"""The way through a list that is read a page at a time, each by the name that the page before ended with.

That name stands in the page's address, so that Back, a reload and a link lead there too. For lists too long to be counted or
numbered: no page costs more than another.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import streamlit as st

from ui import address

PARAMETER: Final = "after"
_LONGEST: Final = 200
R = TypeVar("R")


class Part(NamedTuple):
    """Where a list is looked at."""

    after: str | None
    """None: from its beginning."""
    size: int

    @property
    def asked(self) -> int:
        """How many rows to ask for: one more than are shown, to tell whether there are more."""
        return self.size + 1


def part(name: str, filters: object, size: int) -> Part:
    """Return where the list is looked at; other *filters* begin anew.

    Args:
        name: The list's name; its keys begin with it.
        filters: What narrows it.
        size: Rows of a page.
    """
    key, written = f"{name}_listed", address.asked(PARAMETER)
    before = st.session_state.get(key)
    if before is not None and before[0] != filters and before[1] == written:  # Back changes the place too
        _go(name, None)
        written = ""
    st.session_state[key] = (filters, written)
    if len(written) > _LONGEST or "\x00" in written:
        address.refuse(PARAMETER, "which is no place in this list")
        _go(name, None)
        written = ""
    return Part(written or None, size)


def draw(name: str, at: Part, rows: Sequence[R], last: str) -> None:
    """Draw the way on and back, where there is any; after :func:`part`.

    Args:
        name: The list's name.
        at: Where it is looked at.
        rows: What was found there, one more than are shown if there are more.
        last: The name of the last row shown.
    """
    more = len(rows) > at.size
    if at.after is None and not more:
        return
    trail: list[str] = st.session_state.get(f"{name}_trail", [])
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center", key=f"{name}_ways"):
        st.button(
            "First",
            key=f"{name}_first",
            icon=":material/first_page:",
            disabled=at.after is None,
            on_click=_go,
            args=(name, None),
        )
        st.button(
            "Before",
            key=f"{name}_before",
            icon=":material/chevron_left:",
            disabled=at.after is None,
            on_click=_back,
            args=(name,),
            help=None if trail else "To the beginning: how this page was reached is not known.",
        )
        st.button(
            "Next",
            key=f"{name}_next",
            icon=":material/chevron_right:",
            disabled=not more,
            on_click=_on,
            args=(name, at.after, last),
        )


def _on(name: str, after: str | None, last: str) -> None:
    trail: list[str] = st.session_state.setdefault(f"{name}_trail", [])
    if after is not None:
        trail.append(after)
    _go(name, last, forget=False)


def _back(name: str) -> None:
    trail: list[str] = st.session_state.get(f"{name}_trail", [])
    _go(name, trail.pop() if trail else None, forget=False)


def _go(name: str, after: str | None, *, forget: bool = True) -> None:
    if forget:
        st.session_state.pop(f"{name}_trail", None)
    if after is not None:
        st.query_params[PARAMETER] = after
    elif PARAMETER in st.query_params:
        del st.query_params[PARAMETER]
