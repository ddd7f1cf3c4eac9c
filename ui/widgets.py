"""Small pieces that several pages draw."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from ui.feedback import plain, show_toast


def page_head(title: str, purpose: str) -> None:
    """Draw what every page begins with: its title, one sentence of what it is for, and the toast of the last write."""
    st.title(title, anchor=False)
    st.caption(purpose)
    show_toast()


def ago(moment: datetime | None) -> str:
    """Return how long ago *moment* was, in words: ``3 min ago``."""
    if moment is None:
        return "never"
    gone = max(datetime.now(UTC) - moment, timedelta())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if gone.total_seconds() >= size:
            return f"{int(gone.total_seconds() // size)} {unit} ago"
    return "just now"


def exact(moment: datetime | None) -> str:
    """Return *moment* in full, for a hover text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""


_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "Linux": "Linux",
}


def browser(user_agent: str | None) -> str:
    """Return what a browser calls itself in two words: ``Firefox on Linux``."""
    said = user_agent or ""
    names = [next((name for mark, name in known.items() if mark in said), None) for known in (_BROWSERS, _SYSTEMS)]
    return " on ".join(name for name in names if name) or "unknown browser"


def changed(moment: datetime | None, by: str | None) -> None:
    """Draw who changed something and when; the exact time on hover."""
    st.caption(plain(f"Changed {ago(moment)} by {by or 'somebody'}"), help=exact(moment))
