"""The filter *changed since*, the same on each page that lists; it stands in the page's address."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import streamlit as st

from ui import address

KEY: Final = "since"
SINCE: Final[Mapping[str, timedelta]] = {
    "24 hours": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
}


def pick_since(label: str, on_change: Callable[..., None] | None = None) -> datetime | None:
    """Draw the filter; returns since when, None for any time. Whole minutes, so that a list keeps its place.

    Args:
        label: Of the filter.
        on_change: A callback.
    """
    address.one_of(KEY, SINCE, "a time")
    chosen = st.selectbox(
        label,
        list(SINCE),
        index=None,
        key=KEY,
        bind="query-params",
        placeholder="Any time",
        width=150,
        on_change=on_change,
    )
    if chosen is None:
        return None
    return datetime.now(UTC).replace(second=0, microsecond=0) - SINCE[chosen]
