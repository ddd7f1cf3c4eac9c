"""What the Models page begins with: what is shown, and how old that is which is known."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import streamlit as st

from core.manage import knowledge
from core.store import db
from core.wording import counted
from ui import address
from ui.feedback import plain

BOARD: Final = "retiring"
LOOKUP: Final = "known"
CORRECTIONS: Final = "said"
CATALOGUE: Final = "catalogue"
_VIEWS: Final[Mapping[str, str]] = {
    BOARD: "In use and ending",
    LOOKUP: "What is known",
    CORRECTIONS: "Corrections",
    CATALOGUE: "Catalogue",
}
_OLD: Final = 45
"""Days after which what is known is said to be old."""


def pick_view() -> str:
    """Draw the switch; returns what is to be shown. It stands in the address."""
    address.one_of(VIEW, _VIEWS.values(), "a view")
    return (
        st.segmented_control(
            "Show",
            list(_VIEWS),
            format_func=_VIEWS.__getitem__,
            default=BOARD,
            required=True,
            key=VIEW,
            bind="query-params",
        )
        or BOARD
    )


VIEW: Final = "show"


def draw_age() -> None:
    """Draw how old the catalogue is, and what of it could not be read."""
    with db.transaction() as session:
        found = knowledge.of(session).health()
    days = (datetime.now(UTC).date() - found.as_of).days
    if found.models:
        when = "today" if days <= 0 else f"{counted(days, 'day')} ago"
        text = plain(f"Known as of {when} ({found.as_of}): {counted(found.models, 'model')}.")
        if days > _OLD:
            st.markdown(f":orange[:material/history: {text} A newer version of the app knows more.]")
        else:
            st.caption(text)
    for problem in found.problems[:3]:
        st.warning(plain(problem), icon=":material/warning:")
