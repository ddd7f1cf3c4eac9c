"""Why something is changed: one field, the same beside every Save, and what a write takes from it.

Where each change needs a reason, every page has the field below its title too: for what is done by one click.
"""

from typing import Any, Final, Literal

import streamlit as st

from core.audit.reasons import MAX_COMMENT

NEEDED: Final = "reason_needed"
"""Where the session has whether the installation wants a reason: the guard reads it in each run."""
BAR: Final = "reason_bar"
"""The field beside Save of an editor."""
DIALOG: Final = "reason_dialog"
"""That of the dialog which is open."""
PAGE: Final = "reason_page"
MISSING: Final = (
    "A reason is needed for each change here. Nothing was saved: say why in the field Reason, then save again."
)


def beside_save(key: str = BAR) -> Any:
    """Draw the field of an editor's bar, which may stay empty where no reason is needed; returns its row, for the buttons beside it.

    They stand together: where there is no room beside what is unsaved, all of them are below it.
    """
    row = st.container(horizontal=True, vertical_alignment="center", width="content")
    with row:
        _draw(key, width=220)
    return row


def buttons(start: str = "", *, needed: bool = False) -> Any:
    """Draw the last row of a dialog with the field in it; returns the row, for the buttons beside it.

    Args:
        start: Key of a field that was filled before the dialog opened: what it holds is taken over.
        needed: Whether this wants a reason, where other changes may need none.
    """
    if start and DIALOG not in st.session_state:
        st.session_state[DIALOG] = st.session_state.get(start, "")
    row = st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center")
    with row:
        _draw(DIALOG, width="stretch", words="Reason (needed)" if needed else "")
    return row


def on_page() -> None:
    """Draw the field below a page's title where each change needs a reason. What it holds is for all that is done there."""
    if st.session_state.get(NEEDED):
        _draw(PAGE, width=480, words="Reason for what you change here (needed)")


def typed(key: str) -> str:
    """Return what the field *key* holds, else that of the page."""
    return str(st.session_state.get(key) or st.session_state.get(PAGE) or "")


def forget(key: str) -> None:
    """Forget what the field *key* holds, once it is saved."""
    st.session_state.pop(key, None)


def _draw(key: str, width: int | Literal["stretch"], words: str = "") -> None:
    needed = st.session_state.get(NEEDED)
    st.text_input(
        "Reason, in one line",
        key=key,
        max_chars=MAX_COMMENT,
        placeholder=words or ("Reason (needed)" if needed else "Reason (optional)"),
        label_visibility="collapsed",
        width=width,
    )
