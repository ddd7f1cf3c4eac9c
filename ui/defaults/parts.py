"""The parts of the Defaults page that are drawn again by themselves: so a click costs its row and what results, no more."""

from collections.abc import Callable, Iterable
from typing import Final

import streamlit as st
from streamlit.errors import StreamlitAPIException

from ui.defaults.results import save_is_pressed
from ui.defaults.work import Work, load
from ui.guard import guard_part

RESULTS: Final = "results"
HEAD: Final = "head"


def row(name: str) -> str:
    """Return the part that shows the field *name*."""
    return f"row_{name}"


def draw_part(name: str, work: Work, draw: Callable[[Work], object]) -> None:
    """Draw a part: now of *work*, and whenever it is asked for alone, behind the guard, of what is stored then."""
    again = False

    @st.fragment(key=f"defaults_{name}")
    def part() -> None:
        nonlocal again
        if again:
            actor = guard_part("admin")
            if name != RESULTS and save_is_pressed():
                st.rerun()  # typed and pressed at once: saving fills the fields, so it comes before any of them is drawn
            draw(load(actor, work.scope, whole=False))
        else:
            again = True
            draw(work)

    part()


def run_again(names: Iterable[str]) -> None:
    """Have these parts drawn again instead of the page: the last line of a callback.

    A part that is not there yet, because the page is still being drawn, has the whole page drawn again.
    """
    try:
        st.rerun([f"defaults_{name}" for name in names])
    except StreamlitAPIException:
        st.rerun()
