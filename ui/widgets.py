"""Small pieces that several pages draw."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import streamlit as st

from core.resolving.words import CUSTOM, EXTRA, label_of
from ui import reason
from ui.feedback import plain, plain_cell

PASSWORD_RULE: Final = "15 to 64 characters; a sentence is fine"  # noqa: S105 - what is said of one
"""What stands in an empty field for a new password."""


def page_head(title: str, purpose: str) -> None:
    """Draw what every page begins with: its title, and one sentence of what it is for."""
    st.title(title, anchor=False)
    st.caption(purpose)
    reason.on_page()


FILTERS_PLACE: Final = "filters"
"""The key of the container around a page's filters, and of the one around its pager: with a key they stay what they are."""
PAGES_PLACE: Final = "pages"


def coming_and_going() -> Any:
    """Return a place for what is drawn only at times, above filters: a message, the first steps.

    Where it took none, all below would move when it goes. The browser then draws what moved twice until the run ends, and
    Streamlit 1.67 forgets which of its widgets stand in the address.
    """
    return st.container()


def for_row(word: str, name: str) -> str:
    """Return the label of a button or toggle that each row has: *word* is seen, and a screen reader says *name* too.

    The style in frame.css hides what is emphasised in such a label.
    """
    return f"{word} *{plain(name)}*"


def unseen(label: str) -> str:
    """Return *label* for a widget that shows none: a screen reader reads it as it is, escapes of Markdown too.

    So it has none; what could begin an image, a link, a tag, code or a formula in it is left out.
    """
    return "".join(c for c in label if c not in "[]<>`$\\")


def figure(label: str, value: int | str, help: str = "") -> None:  # noqa: A002 - Streamlit's own word
    """Draw one of a page's row of figures, wide enough for its value and its label.

    Args:
        label: What is counted or measured.
        value: A number, or a short text.
        help: For the hover.
    """
    text = f"{value:,}" if isinstance(value, int) else value
    st.metric(
        label,
        text,
        border=True,
        width=_WIDE if len(text) > _VALUE or len(label) > _LABEL else _NARROW,
        help=help or None,
    )


_VALUE, _LABEL = 8, 15
"""So many characters of a value and of a label fit into a narrow figure."""
_NARROW, _WIDE = 150, 175
"""Pixels."""


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


def dollars(cost: Decimal | None) -> str:
    """Return a sum in US dollars, a small one with two digits that count; None is ``not known``, which is not zero."""
    if cost is None:
        return "not known"
    if cost and cost < Decimal("0.01"):
        return f"${cost.normalize():.2g}" if cost >= Decimal("0.0001") else "< $0.0001"
    return f"${cost:,.2f}"


def milliseconds(value: int | None) -> str:
    """Return a time in ms, from 10 s on in seconds."""
    if value is None:
        return "none"
    return f"{value:,} ms" if value < _IN_SECONDS else f"{value / 1000:,.0f} s"


def short_number(number: int) -> str:
    """Return a number that fits into a figure: ``12.3 k``."""
    for least, divisor, unit in _UNITS:
        if number >= least:
            return f"{number / divisor:,.1f} {unit}"
    return f"{number:,}"


_IN_SECONDS = 10_000
_UNITS = ((10**9, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "k"))
"""From which number on, by what it is divided, and the unit."""


def cut(text: str, longest: int) -> str:
    """Return *text* as one line of at most *longest* characters, for Markdown that shows it as it is."""
    line = " ".join(text.split())
    return plain(isolated(line if len(line) <= longest else f"{line[: longest - 1]}…"))


def isolated(text: str) -> str:
    """Return *text*; where letters run from right to left between marks that keep them from turning what stands around it."""
    turned = any(unicodedata.bidirectional(letter) in _TURNS for letter in text)
    return f"\u2068{text}\u2069" if turned else text


_TURNS = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI", "LRO"})
"""Classes of Unicode's bidirectional algorithm that turn a line."""


def two_names(display_name: str, name: str) -> str:
    """Return what a provider is called to people and to programs, as lists to choose from show it."""
    return f"{isolated(display_name)}  ·  {name}"


def parameter_cell(name: str) -> str:
    """Return what people call the parameter *name*, the model, or an entry of a JSON object, for a cell of a table."""
    for prefix, what in ((CUSTOM, "custom"), (EXTRA, "extra parameter")):
        if name.startswith(prefix):
            return f"{plain_cell(name.removeprefix(prefix))}  \n:gray[:small[{what}]]"
    return label_of(name)


def opening_line(key: str, sentence: str, icon: str, moment: datetime) -> Any:
    """Draw a line of a list that opens, with how long ago it was beside it; returns the expander.

    Args:
        key: Of the expander.
        sentence: Markdown.
        icon: A name of Material Symbols.
        moment: When it was.
    """
    beside: Any = "top" if st.session_state.get(key) else "center"  # the time stays beside the line, not its details
    with st.container(horizontal=True, wrap=False, vertical_alignment=beside, gap="small", key=f"{key}_row"):
        line = st.expander(sentence, icon=f":material/{icon}:", key=key, on_change="rerun", width="stretch")
        st.caption(ago(moment), help=exact(moment), width=100)
    return line


def download_csv(name: str, make: Callable[[], bytes], what: str, key: str) -> None:
    """Draw the download of a CSV file.

    Args:
        name: Of the file; the day is put before it.
        make: Makes the file when it is asked for.
        what: What is in it, in a sentence.
        key: Of the button.
    """
    st.download_button(
        "Export as CSV",
        make,
        file_name=f"{datetime.now(UTC):%Y-%m-%d}-{name}",
        mime="text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
        help=f"{what} What a spreadsheet would run as a formula gets an apostrophe.",
    )


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
    agent = user_agent or ""
    names = [next((name for mark, name in known.items() if mark in agent), None) for known in (_BROWSERS, _SYSTEMS)]
    return " on ".join(name for name in names if name) or "unknown browser"


def changed(moment: datetime | None, by: str | None) -> None:
    """Draw who changed something and when; the exact time on hover."""
    st.caption(plain(f"Changed {ago(moment)} by {by or 'somebody'}"), help=exact(moment))
