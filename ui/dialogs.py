"""Which dialog of a page is open, and what is forgotten when it closes; how it saves; and the question that wants a name typed."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import streamlit as st
from sqlmodel import Session

from ui import reason
from ui.feedback import Outcome, attempt, field_error, other_errors, plain
from ui.guard import guard
from ui.widgets import ago

_BASED_ON: Final = "dialog_based_on"
"""Where the session has the version of the row that the open dialog began with."""


class Versioned(Protocol):
    """A row that people edit."""

    version: int
    updated_at: datetime
    updated_by: str | None


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

    def open(self, name: str, row: object = None, version: int | None = None) -> None:
        """Open the dialog *name*, in a new run; as :meth:`begin`."""
        self.begin(name, row, version)
        st.rerun()

    def show(self, name: str, row_id: int | None = None) -> None:
        """Open the dialog *name*: a callback, so that a click on what opens it is one run."""
        guard(self.role)
        self.begin(name, row_id)

    def begin(self, name: str, row: object = None, version: int | None = None) -> None:
        """Have the dialog *name* be the open one, from this run on.

        Args:
            name: Which.
            row: Its id, or what else tells which it is about.
            version: That of the row as it was shown; None: as the dialog reads it first.
        """
        st.session_state[self.key] = (name, row)
        self.forget()
        if version is not None:
            st.session_state[_BASED_ON] = version

    def opened(self) -> tuple[Any, Any]:
        """Return which dialog is open, and for which row; None and None if none is."""
        name, row_id = st.session_state.get(self.key, (None, None))
        return name, row_id

    def start_afresh(self) -> None:
        """Forget the dialog, and a secret made in it, if it was left by leaving the page: Back does not dismiss it.

        Before the page's widgets are drawn: a button is known from the run before only if that run was of this page. While it is
        not open nothing is forgotten: another of the page's may be, and they share some fields.
        """
        if self.key in st.session_state and self.beside not in st.session_state:
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
        for key in (*self.typed, reason.DIALOG, _BASED_ON):
            st.session_state.pop(key, None)

    def leave(self) -> None:
        """Close the dialog after a write that may have ended the own sign-in: the next run asks for it."""
        st.session_state.pop(self.key, None)
        self.forget()

    def based_on(
        self, row: Versioned | None, then: str = "Save writes what stands here.", by: str | None = None
    ) -> int:
        """Return the version that what is typed is based on, and say once who has changed *row* since: the next press writes.

        0 of a row that is not there. A dialog reads its row anew in each run, so the row's own version says nothing of what
        was looked at.

        Args:
            row: As it is stored now; None: there is none.
            then: What the next press does, in sentences.
            by: Who changed it last, as they may be named here; None: as the row says.
        """
        version = row.version if row else 0
        seen: int = st.session_state.setdefault(_BASED_ON, version)
        if row is not None and seen != version:
            st.warning(
                plain(f"{by or row.updated_by or 'Somebody'} changed it {ago(row.updated_at)}. {then}"),
                icon=":material/group:",
            )
            st.session_state[_BASED_ON] = version
        return seen

    def seen_anew(self, version: int) -> None:
        """Base the next press on *version*: who was quicker was named."""
        st.session_state[_BASED_ON] = version

    def save(
        self,
        key: str,
        slots: Mapping[str, Any],
        work: Callable[[Session], object],
        done: str | None,
        label: str = "Save",
        *,
        closes: bool = True,
        wants_reason: bool = False,
    ) -> Outcome | None:
        """Draw the last row of a dialog, and save if its button was pressed; returns what came of it, None if it was not.

        An error stands beside its field. Who was quicker is named, what was typed stays, and the next press writes it.

        Args:
            key: What the keys of the buttons begin with.
            slots: Field -> the place of its error.
            work: The write; based on the version that :meth:`based_on` returns, or on none.
            done: What a toast says then; None: the caller shows it.
            label: Of the button.
            closes: Whether the dialog closes then.
            wants_reason: Whether this is never done without a reason.
        """
        place = st.container()
        with reason.buttons(needed=wants_reason):
            if st.button("Cancel", key=f"{key}_cancel"):
                self.done()
            pressed = st.button(label, key=f"{key}_save", type="secondary" if ":red" in label else "primary")
        if not pressed:
            return None
        outcome = attempt(work, done)
        if outcome.ok and closes:
            self.done()
        for field, slot in slots.items():
            field_error(slot, outcome.errors, field)
        with place:
            other_errors(outcome.errors, set(slots))
            if outcome.conflict:
                st.warning(
                    plain(
                        f"{outcome.conflict.changed_by or 'Somebody'} changed it meanwhile. What you typed is still there: "
                        "press again to write it."
                    ),
                    icon=":material/group:",
                )
                self.seen_anew(outcome.conflict.version)
        return outcome


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
