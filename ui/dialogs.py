"""Which dialog of a page is open, and what is forgotten when it closes; and the question that wants a name typed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import streamlit as st

from ui import reason
from ui.feedback import field_error
from ui.guard import guard


class Dialogs(NamedTuple):
    """The dialogs of a page, of which one at most is open."""

    key: str
    """Where the session keeps which one is open, and for which row."""
    typed: tuple[str, ...]
    """Keys of what is typed in them: forgotten once one opens or closes."""
    beside: str
    """Key of a button that the page always draws."""
    role: str = "admin"
    """Who may see the page."""

    def open(self, name: str, row_id: int | None = None) -> None:
        """Open the dialog *name*, in a new run."""
        st.session_state[self.key] = (name, row_id)
        self.forget()
        st.rerun()

    def show(self, name: str, row_id: int | None = None) -> None:
        """Open the dialog *name*: a callback, so that a click on what opens it is one run."""
        guard(self.role)
        st.session_state[self.key] = (name, row_id)
        self.forget()

    def opened(self) -> tuple[Any, Any]:
        """Return which dialog is open, and for which row; None and None if none is."""
        name, row_id = st.session_state.get(self.key, (None, None))
        return name, row_id

    def start_afresh(self) -> None:
        """Forget the dialog, and a secret made in it, if it was left by leaving the page: Back does not dismiss it.

        Before the page's widgets are drawn: a button is known from the run before only if that run was of this page.
        """
        if self.beside not in st.session_state:
            self.leave()

    def close(self) -> None:
        """Close the dialog: the callback of its dismissal."""
        guard(self.role)
        self.leave()

    def done(self) -> None:
        """Close the dialog, in a new run."""
        self.close()
        st.rerun()

    def forget(self) -> None:
        """Forget what was typed: else the session keeps what a field held."""
        for key in (*self.typed, reason.DIALOG):
            st.session_state.pop(key, None)

    def leave(self) -> None:
        """Close the dialog after a write that may have ended the own sign-in: the next run asks for it."""
        st.session_state.pop(self.key, None)
        self.forget()


def confirm_by_name(name: str, *, thing: str, verb: str, icon: str, cancel: Callable[[], object]) -> bool:
    """Draw the last step of what cannot be undone; returns whether it was pressed and the name typed.

    Args:
        name: What is to be typed.
        thing: What has that name.
        verb: What is done to it. The keys begin with it.
        icon: A name of Material Symbols.
        cancel: Runs when nothing is to happen.
    """
    key = verb.lower()
    typed = st.text_input(f"Type the {thing}'s name to confirm", key=f"{key}_name", placeholder=name)
    slot = st.empty()
    with reason.buttons():
        if st.button("Cancel", key=f"{key}_cancel"):
            cancel()
        pressed = st.button(f":red[{verb}]", key=f"{key}_confirm", icon=f":material/{icon}:")
    if pressed and typed.strip() != name:
        field_error(slot, {"name": f"type {name} exactly to {key} it"}, "name")
        return False
    return pressed
