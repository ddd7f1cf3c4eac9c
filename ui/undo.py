"""Undo: for a minute after a save its button stands in the header, for who saved. What it does is in :mod:`ui.undoing`.

Pages draw it where they show the toast, so that a part which runs alone has it too; the style in frame.css lifts it into the header.
"""

import time
from typing import Final, NamedTuple

import streamlit as st

SECONDS: Final = 60
"""So long it is offered; frame.css takes the button away where nothing is drawn meanwhile."""
_OFFER, _COUNT, _IN_HEAD, _PRESSED = "undo_offer", "undo_offers", "undo_in_head", "undo_pressed"


class UndoOffer(NamedTuple):
    """A write that may be taken back."""

    who: object
    generation: int
    done: str
    """What it did, in words."""
    at: float
    """By this process's clock."""
    number: int
    """Counts the session's offers."""

    @property
    def is_over(self) -> bool:
        """Whether its minute is."""
        return time.monotonic() - self.at > SECONDS


def offer(who: object, generation: int | None, done: str | None) -> None:
    """Offer to take a write back; one that changed no setting leaves what is offered.

    Args:
        who: Who made it.
        generation: Of the write; None: it changed no setting.
        done: What it did, in words.
    """
    if generation is not None:
        number = st.session_state[_COUNT] = st.session_state.get(_COUNT, 0) + 1
        st.session_state[_OFFER] = UndoOffer(who, generation, done or "", time.monotonic(), number)


def draw(*, head: bool) -> None:
    """Draw the button while something is offered; once on a page.

    Args:
        head: Whether this is the page's head, and not a part that may run alone.
    """
    found: UndoOffer | None = st.session_state.get(_OFFER)
    if found is not None and found.is_over:
        del st.session_state[_OFFER]
        found = None
    if head:
        st.session_state[_IN_HEAD] = found.number if found is not None else None
    elif found is None or st.session_state.get(_IN_HEAD) == found.number:
        return
    if found is None:
        return
    turn = "ab"[found.number % 2]  # another name of the animation, so that the minute begins anew
    with st.container(key=f"undo_place_{'head' if head else 'part'}"):
        st.button(
            "Undo",
            key=f"undo_{turn}_{found.number}",
            icon=":material/undo:",
            help="Takes back what you saved just now, for a minute. Later: on the page History.",
            on_click=_note,
            args=(found,),
        )
    if _PRESSED in st.session_state:
        st.rerun()  # pressed in a part that runs alone: the head of the page does it


def _note(found: UndoOffer) -> None:
    st.session_state[_PRESSED] = found


def pressed(who: object) -> UndoOffer | None:
    """Return what *who* has pressed Undo for since the last run; it is offered no more."""
    found: UndoOffer | None = st.session_state.pop(_PRESSED, None)
    if found is None or found.who != who:
        return None
    offered: UndoOffer | None = st.session_state.get(_OFFER)
    if offered is not None and offered.generation == found.generation:
        del st.session_state[_OFFER]
    return found
