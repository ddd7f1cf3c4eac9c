"""What of a page stands in its address: kept by a reload and by Back, the same in a second tab and behind a link.

Most of it is a widget's value, which Streamlit reads from the address and writes there (``bind="query-params"``, and the
key is the parameter's name). What is in the address but not to be had is explained here: Streamlit leaves it out silently.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.wording import counted
from ui.feedback import plain

_PAGE, _VISIT = "page_arrived_at", "page_visits"
_LONGEST: Final = 50
"""Characters of an unknown value that are repeated."""


def arrive(page: str, names: Iterable[str]) -> None:
    """Forget of *names* what another page left, or an earlier visit, and the address has not; before the widgets are drawn.

    Streamlit keeps the value of a bound widget when one leaves its page, and writes it into the address of the next page
    that has a widget with this key: a link would show something else than it says, and Back would lead nowhere.

    Args:
        page: The page that is drawn.
        names: The parameters of all pages.
    """
    if st.session_state.get(_PAGE) != page:
        st.session_state[_PAGE] = page
        st.session_state[_VISIT] = visit() + 1
        for name in names:
            if name not in st.query_params:
                st.session_state.pop(name, None)


def visit() -> int:
    """Return how many pages were arrived at in this session: another number on each visit of a page."""
    number: int = st.session_state.get(_VISIT, 0)
    return number


def hold(names: Iterable[str]) -> None:
    """Have the server know what the widgets *names* hold, before it writes the address: in their callback.

    The browser puts a value into the address after it has sent it. Streamlit writes the whole address as it came: who
    changed a filter on page 2 had page 2 taken out of it, and the filter too.

    Args:
        names: Parameters of widgets that hold texts; a default is taken out again when its widget is drawn.
    """
    context = get_script_run_ctx(suppress_warning=True)
    held = {name: st.session_state.get(name) for name in names}
    if context is None:
        return
    with context.session_state.query_params() as known:
        for name, value in held.items():
            if value:
                known.set_with_no_forward_msg(name, str(value))
            else:
                known.discard_param_no_forward_msg(name)


def asked(name: str) -> str:
    """Return what the address says of the parameter *name*; empty if nothing."""
    return str(st.query_params.get(name, ""))


def one_of(name: str, options: Collection[str], what: str) -> bool:
    """Explain it if the address asks for something that is not among *options*; before the widget is drawn.

    Returns whether it is among them.

    Args:
        name: The parameter.
        options: What the widget shows.
        what: What one of them is, with its article: ``a status``.
    """
    value = asked(name)
    fits = not value or value in options
    if not fits:
        refuse(name, f"which is not {what} to choose from")
    return fits


def day(name: str, earliest: date, latest: date) -> None:
    """Explain it if the address asks for something that is no day, or one before *earliest* or after *latest*."""
    value = asked(name)
    if value and not any(earliest <= found <= latest for found in _days(value)):
        refuse(name, f"which is not a day from {earliest} to {latest}, as 2026-01-31")


def number(name: str, largest: int) -> None:
    """Explain it if the address asks for something that is no number from 1 to *largest*; before the widget is drawn.

    Not of what was there in the run before: then the list has become shorter.
    """
    key, value = f"{name}_asked_before", asked(name)
    if value and value != st.session_state.get(key) and value not in map(str, range(1, largest + 1)):
        refuse(name, f"and there is {counted(largest, 'page')}" if value.isdecimal() else "which is no number")
    st.session_state[key] = value


def refuse(name: str, why: str) -> None:
    """Say that the parameter *name* of the address is left out.

    Args:
        name: The parameter.
        why: A relative clause.
    """
    value = " ".join(asked(name).split())
    short = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
    st.warning(
        plain(f"The address says {name}={short}, {why}. It is left out, and the rest is shown."),
        icon=":material/link_off:",
    )


def with_asked(name: str, options: Collection[str], longest: int) -> list[str]:
    """Return *options*, and what the address or the widget has chosen; explains it if that has more than *longest* characters.

    For what may be chosen though it is not listed: it was deleted, or there are too many to list.
    """
    if len(asked(name)) > longest:
        refuse(name, f"which is longer than {longest} characters")
    chosen = [value for value in (asked(name), st.session_state.get(name)) if isinstance(value, str) and value]
    return [*options, *dict.fromkeys(value for value in chosen if value not in options and len(value) <= longest)]


def _days(value: str) -> Iterator[date]:
    for form in ("%Y-%m-%d", "%Y/%m/%d"):  # as Streamlit reads them
        with suppress(ValueError):
            yield datetime.strptime(value, form).replace(tzinfo=UTC).date()
