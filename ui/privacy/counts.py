"""What was found in calls, by kind and day."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.govern import personal_counts
from core.store import db
from ui.feedback import plain
from ui.privacy.words import KINDS
from ui.widgets import exact, figure

DAYS: Final = 30
_SHOWN: Final = 8
"""Kinds with a figure and a column of their own."""


def draw(actor: Actor) -> None:
    """Draw the figures of the last days, and a row for each day in which something was found."""
    st.header(f"Found in the last {DAYS} days", anchor=False)
    with db.transaction() as session:
        found = personal_counts.found_by_day(session, actor, DAYS)
    if not found.days:
        st.info(
            "Nothing was found in logged calls. It is counted where the request log is masked, by programs of this version.",
            icon=":material/search_off:",
        )
        return
    kinds = list(found.totals)[:_SHOWN]
    with st.container(horizontal=True, key="privacy_totals"):
        for kind in kinds:
            figure(KINDS.get(kind, kind), found.totals[kind])
    rows = [
        {"Day (UTC)": f"{day:%Y-%m-%d}", **{plain(KINDS.get(kind, kind)): f"{counts.get(kind, 0):,}" for kind in kinds}}
        for day, counts in found.days.items()
    ]
    with st.expander("By day", icon=":material/calendar_month:"):
        st.table(rows, border="horizontal", hide_index=True, alt="Places that were found, by day and kind")
    if found.since is not None:
        st.caption(f"Of the newest {personal_counts.MOST_CALLS:,} calls, since {exact(found.since)}.")
