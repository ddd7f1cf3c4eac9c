"""Moments of the history as people type and read them: a time in UTC, or a generation. They stand in the page's address."""

from datetime import datetime
from typing import Final

import streamlit as st

from core.errors import Invalid
from core.govern.history_moments import Moment, parse_moment
from ui import address
from ui.feedback import plain
from ui.guard import guard
from ui.widgets import cut, exact

_LONGEST: Final = 40
HELP: Final = (
    "A time in UTC, as 2026-03-01 or 2026-03-01 09:00, or the number of a generation, as the lines of History have it."
)


def pick(label: str, key: str, placeholder: str) -> datetime | int | None:
    """Draw the field of a moment; returns it, None: it is empty, or is none, which is said then.

    Args:
        label: Of the field.
        key: Of the field, and its name in the address.
        placeholder: What an empty one means.
    """
    typed = st.text_input(
        label,
        key=key,
        bind="query-params",
        placeholder=placeholder,
        icon=":material/schedule:",
        max_chars=_LONGEST,
        width=240,
        help=HELP,
        on_change=_hold,
        args=(key,),
    )
    return parsed(typed, key)


def parsed(typed: str | None, key: str) -> datetime | int | None:
    """Return the moment that *typed* says, None: none; what it is otherwise is said."""
    if not typed or not typed.strip():
        return None
    try:
        return parse_moment(typed, key)
    except Invalid:
        st.warning(
            plain(f"{cut(typed, _LONGEST)} is no moment. Type a time, as 2026-03-01 09:00 (UTC), or a generation."),
            icon=":material/event_busy:",
        )
        return None


def words(moment: Moment) -> str:
    """Return a moment in words: ``generation 12 (2026-03-01 09:00:00 UTC, by ada)``, which are no Markdown."""
    return f"generation {moment.generation} ({exact(moment.at)}, by {moment.by})"


def _hold(key: str) -> None:
    guard("member")
    address.hold((key,))
