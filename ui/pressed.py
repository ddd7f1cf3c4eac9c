"""What was pressed on a page: noted by callbacks, done by the body once its guard has let this run through.

A callback runs before anybody's rights were read; see docs/decisions/noted-clicks.md. So a press costs one run, and the page
shows what is stored.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import streamlit as st

from core.actors import Actor
from ui.feedback import ACTOR


class Press(NamedTuple):
    """One press."""

    who: object
    """Who was signed in then."""
    action: str
    what: Any
    """What it was about, as it was shown."""


class Presses(NamedTuple):
    """The presses of a page."""

    key: str
    """Where the session keeps them."""

    def note(self, action: str, what: Any = None) -> None:
        """Note a press: the callback of a button."""
        st.session_state.setdefault(self.key, []).append(Press(st.session_state.get(ACTOR), action, what))

    def note_choice(self, widget: str, actions: dict[str, str], what: Any = None) -> None:
        """Note what was chosen in the menu *widget*: its callback."""
        if action := actions.get(str(st.session_state.get(widget))):
            self.note(action, what)

    def are_there(self) -> bool:
        """Tell whether something is noted that is not done yet."""
        return bool(st.session_state.get(self.key))

    def do_all(self, actor: Actor, do: Callable[[Press], object]) -> None:
        """Do what was noted since the last run; what another person had pressed is dropped."""
        for press in st.session_state.pop(self.key, ()):
            if press.who == actor:
                do(press)
