"""The list of the Providers page: figures, filters and rows. A part of the page that runs alone: a click draws it anew."""

import math
from datetime import datetime
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError, NotFound
from core.manage import provider_figures, provider_lists, provider_secrets, providers
from core.manage.provider_figures import ProviderFigures
from core.store import db
from core.store.table import id_of
from core.store.tables import LlmProvider
from ui import address
from ui.feedback import plain, show_fault
from ui.guard import guard_part
from ui.providers import clicks, first_steps, picked, row
from ui.providers.dialogs import ADDED, draw_dialog
from ui.since import KEY, pick_since
from ui.widgets import FILTERS_PLACE, PAGES_PLACE, ago, coming_and_going, exact, figure

PAGE_SIZE: Final = 15
STATES: Final = {"All": None, "Active": True, "Inactive": False}
_SEARCH, _STATE, _PAGE = "search", "state", "page"
"""Widgets, and what they are called in the address."""
_LISTED = "providers_listed"
"""Where the session keeps what the filters were when the list was drawn."""
_IN_SIGHT = "provider"
"""What the address calls the provider that stands first, wherever it would stand."""


class Filters(NamedTuple):
    """What is listed."""

    search: str
    state: str
    since: datetime | None

    @property
    def asked(self) -> dict[str, Any]:
        """What core calls them."""
        return {"active": STATES[self.state], "search": self.search, "since": self.since}


def draw() -> None:
    """Draw the list, and the dialog that is open: two parts, so that a dialog opens without the list being drawn again."""
    _draw_list()
    _draw_dialog()


@st.fragment
def _draw_list() -> None:
    """Do what was pressed, then draw the list as it is stored."""
    actor = guard_part("admin")
    try:
        _draw(actor)
    except CoreError as error:
        show_fault(error)


@st.fragment(key=clicks.DIALOG)
def _draw_dialog() -> None:
    """Open the dialog that was asked for, if this part runs alone, and draw the one that is open."""
    actor = guard_part("admin")
    try:
        if not clicks.do_asked(actor):
            st.rerun()
        draw_dialog()
    except CoreError as error:
        show_fault(error)


def _draw(actor: Actor) -> None:
    above = coming_and_going()
    with above:
        clicks.do_all(actor)
    if name := st.session_state.pop(ADDED, None):
        _show_all()
        st.query_params[_IN_SIGHT] = name
    with db.transaction() as session:
        figures = provider_figures.figures(session)
    with above:
        first_steps.draw(figures)
    _draw_figures(figures)
    filters = _draw_filters(several=figures.total > 1)
    if not _draw_rows(filters):
        _draw_nothing(figures, filters)


def _show_all() -> None:
    """Take the filters away: a callback too, which shows nothing that was not shown before."""
    st.session_state.update({_SEARCH: "", _STATE: "All", KEY: None})
    _begin_anew()


def _begin_anew() -> None:
    """Have another list begin at its first page, and with none before the others: a callback of the filters."""
    if st.session_state.get(_LISTED) == _asked():
        return
    address.hold((_SEARCH, _STATE, KEY))
    if _PAGE in st.session_state:
        st.session_state[_PAGE] = 1
    st.query_params.pop(_IN_SIGHT, None)


def _asked() -> tuple[object, ...]:
    return tuple(st.session_state.get(key) or "" for key in (_SEARCH, _STATE, KEY))


def _draw_figures(figures: ProviderFigures) -> None:
    with st.container(horizontal=True, gap="small"):
        figure("Active", f"{figures.active:,} of {figures.total:,}")
        figure("Without key", figures.without_key)
        figure("Key unreadable", figures.unreadable)
        figure("Last change", ago(figures.last_change), help=exact(figures.last_change))


def _draw_filters(*, several: bool) -> Filters:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        search = st.text_input(
            "Search",
            key=_SEARCH,
            placeholder="Name, kind or model",
            icon=":material/search:",
            max_chars=100,
            width=220,
            live="400ms",
            bind="query-params",
            on_change=_begin_anew,
        )
        address.one_of(_STATE, STATES, "a state")
        state = st.segmented_control(
            "State",
            list(STATES),
            default="All",
            required=True,
            key=_STATE,
            bind="query-params",
            on_change=_begin_anew,
        )
        since = pick_since("Changed within", _begin_anew)
        st.button(
            "Add provider",
            key="add_provider",
            type="primary",
            icon=":material/add:",
            on_click=clicks.note,
            args=("add",),
        )
        st.button(
            "Paste .env",
            key="paste_env",
            icon=":material/content_paste_go:",
            on_click=clicks.note,
            args=("env",),
        )
        if several and not picked.is_on():
            st.button(
                "Select several",
                key="several",
                icon=":material/checklist:",
                on_click=clicks.note,
                args=("several",),
            )
    st.session_state[_LISTED] = _asked()
    return Filters(search or "", state or "All", since)


def _draw_rows(filters: Filters) -> bool:
    with db.transaction() as session:
        found = providers.count(session, **filters.asked)
    pages = max(1, math.ceil(found / PAGE_SIZE))
    address.number(_PAGE, pages)
    if picked.is_on():
        picked.draw_bar(found, filters.asked, clicks.note)
    rows, number = st.container(gap="xsmall", key="rows"), 1
    if pages > 1:
        with st.container(horizontal_alignment="center", key=PAGES_PLACE):
            number = st.pagination(pages, key=_PAGE, bind="query-params")
            last = min(number * PAGE_SIZE, found)
            st.caption(f"{(number - 1) * PAGE_SIZE + 1} to {last} of {found}", width="content")
    with db.transaction() as session:
        shown = providers.list_all(session, **filters.asked, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
        if first := _first(session):
            shown = [first, *(each for each in shown if each.id != first.id)]
        carried = provider_secrets.list_all(session)
        used = provider_lists.last_used(session, [each.name for each in shown])
    opened = st.session_state.get(clicks.OPEN, ())
    with rows:
        for each in shown:
            if picked.is_on():
                row.draw_to_pick(
                    each,
                    carried.get(id_of(each), ()),
                    used.get(each.name),
                    ticked=id_of(each) in picked.ids(),
                )
                continue
            row.draw(each, carried.get(id_of(each), ()), used.get(each.name), opened=id_of(each) in opened)
    return bool(shown)


def _first(session: Session) -> LlmProvider | None:
    """Return the provider that the address names, or that was added just now: it stands before the others."""
    name = st.query_params.get(_IN_SIGHT)
    if not name:
        return None
    try:
        return providers.get_by_name(session, name)
    except NotFound:
        st.info(plain(f"There is no provider “{name}” any more, or there never was."), icon=":material/search_off:")
        return None


def _draw_nothing(figures: ProviderFigures, filters: Filters) -> None:
    if not figures.total:
        st.info(
            "There is no provider yet. Add the first one: its name, its models and its API key.", icon=":material/hub:"
        )
        st.button("Add the first provider", key="add_first", icon=":material/add:", on_click=clicks.note, args=("add",))
        return
    which = "provider" if filters.state == "All" else f"{filters.state.lower()} provider"
    search = filters.search.strip()
    what = f"No {which} has “{search}” in its name, kind or models" if search else f"There is no {which}"
    since = " and was changed so lately" if filters.since else ""
    st.info(plain(f"{what}{since}."), icon=":material/search_off:")
    st.button("Show all providers", key="show_all", icon=":material/undo:", on_click=_show_all)
