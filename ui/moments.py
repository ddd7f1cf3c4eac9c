"""Moments of the history as people type and read them: a time in UTC, or a generation. They stand in the page's address.

And pages *as of* a moment: with what was there then, a banner that says so, and a way back to now.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NoReturn

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Gone, Invalid
from core.govern import history
from core.govern.history_moments import Moment, moment, parse_moment
from core.manage import providers
from core.store import db
from ui import address
from ui.feedback import as_markdown, plain
from ui.guard import guard
from ui.widgets import cut, exact

AT: Final = "at"
"""Key of the field *as of*, and its name in the address."""
_LONGEST: Final = 40
HELP: Final = (
    "A time in UTC, as 2026-03-01 or 2026-03-01 09:00, or the number of a generation, as the lines of History have it."
)


def field(key: str) -> dict[str, Any]:
    """Return what the fields of a moment have in common; each gives its own label, key and placeholder.

    Args:
        key: Of the field, and its name in the address.
    """
    return {
        "icon": ":material/schedule:",
        "max_chars": _LONGEST,
        "width": 240,
        "help": HELP,
        "on_change": _hold,
        "args": (key,),
    }


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


def pick_as_of() -> Moment | None:  # noqa: RET503 - st.stop() never returns
    """Draw the field *as of*, and where it is set the banner; returns the moment, None: now.

    Where it is none, or one that is not kept any more, that is said, and the run ends.
    """
    with st.popover("As of a moment", icon=":material/history:", key="as_of"):
        typed = st.text_input(
            "As of",
            key=AT,
            bind="query-params",
            placeholder="Now",
            max_chars=_LONGEST,
            help=HELP,
            on_change=_hold,
            args=(AT,),
        )
    if not typed or not typed.strip():
        return None
    asked = parsed(typed, AT)
    if asked is not None:
        try:
            with db.transaction() as session:
                found = moment(session, asked)
        except Gone as error:
            st.info(as_markdown(str(error)), icon=":material/auto_delete:")
        except Invalid as error:
            st.warning(plain(f"The moment {'; '.join(error.fields.values())}."), icon=":material/event_busy:")
        else:
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key="as_of_banner"):
                st.info(plain(f"As of {words(found)}: what was in force then."), icon=":material/history:")
                _draw_way_back()
            return found
    _draw_way_back()
    st.stop()  # never returns


def _draw_way_back() -> None:
    st.button("Back to now", key="as_of_now", icon=":material/update:", on_click=_back_to_now)


def _back_to_now() -> None:
    guard("member")
    st.session_state[AT] = ""


@contextmanager
def reading(actor: Actor, at: Moment | None, organization: str | None = None) -> Iterator[Session]:
    """Give a session that reads settings as they were; None: as they are.

    Args:
        actor: Who.
        at: When.
        organization: A name of one, whose rows are read too.

    Raises:
        CoreError: As :func:`core.govern.history.as_of`.
    """
    with db.transaction() as session:
        if at is None:
            yield session
        else:
            with history.as_of(session, actor, at.generation, organization=organization) as then:
                yield then.session


def provider_names(actor: Actor, at: Moment | None) -> Mapping[str, str]:
    """Return the providers there were, as :func:`core.manage.providers.names`.

    What the address asks for and was not there then is told in place of the page, and the run ends.
    """
    with reading(actor, at) as session:
        names = providers.names(session)
    asked = address.asked("provider")
    if at is not None and asked and asked not in names:
        draw_absent(f"There was no provider {cut(asked, _LONGEST)}")
    return names


def draw_absent(what: str) -> NoReturn:  # st.stop() never returns
    """Say what was not there at the moment that is looked at, and end the run."""
    st.info(plain(f"{what} then. Choose another moment above, or go back to now."), icon=":material/hide_source:")
    st.stop()


def words(moment: Moment) -> str:
    """Return a moment in words: ``generation 12 (2026-03-01 09:00:00 UTC, by ada)``, which are no Markdown."""
    return f"generation {moment.generation} ({exact(moment.at)}, by {moment.by})"


def _hold(key: str) -> None:
    guard("member")
    address.hold((key,))
