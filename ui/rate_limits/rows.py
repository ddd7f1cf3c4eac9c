"""The list of rate limits: what each lets through, how near calls came to it, what its vendor allows, and what may be done to it."""

from functools import partial
from typing import Final

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.manage import rate_limit_listing
from core.manage.rate_limit_listing import ListedRateLimit
from core.store import db
from core.store.table import id_of
from ui import keyset
from ui.feedback import plain, show_toast
from ui.rate_limits import dialogs, narrowing, words
from ui.rate_limits.dialogs import DIALOGS, PRESSES, ShownRateLimit
from ui.rate_limits.narrowing import Narrowed
from ui.widgets import coming_and_going, exact, for_row, isolated

PAGE_SIZE: Final = 25
_LIST: Final = "rate_limits"


def draw(actor: Actor) -> None:
    """Do what was pressed, then draw the list as it is stored, and the dialog that is open."""
    above = coming_and_going()
    with db.transaction() as session:
        may_change = authority.role_of(session, actor) == "admin"
    asked = narrowing.pick(actor, partial(_draw_add, may_change=may_change))
    with above:
        dialogs.take_presses(actor, may_change=may_change)
        show_toast()
    if asked.is_clear:
        _draw_list(actor, asked, may_change=may_change)
    dialogs.draw(asked)


def _draw_add(*, may_change: bool) -> None:
    if may_change:
        st.button(
            "Add rate limit",
            key=DIALOGS.beside,
            type="primary",
            icon=":material/add:",
            on_click=PRESSES.note,
            args=("add",),
        )


def _draw_list(actor: Actor, asked: Narrowed, *, may_change: bool) -> None:
    at = keyset.part(_LIST, asked.of, PAGE_SIZE)
    with db.transaction() as session:
        found = rate_limit_listing.page_of(session, actor, **asked.of, after=at.after or "", limit=at.asked)
    shown = found[: at.size]
    if not shown:
        _draw_nothing(is_all=not asked.of and at.after is None, may_change=may_change)
    with st.container(gap="xsmall", key="rate_rows"):
        for each in shown:
            _draw_row(each, may_change=may_change)
    keyset.draw(_LIST, at, found, shown[-1].now.row.name if shown else "")


def _draw_nothing(*, is_all: bool, may_change: bool) -> None:
    if not is_all:
        st.info("No rate limit fits.", icon=":material/search_off:")
        return
    st.info(
        "No rate limit yet. A rate limit is so many requests a minute, tokens a minute and calls at once for a scope, as 600 requests a "
        "minute for the feature chat: a call that does not fit waits its turn, or is refused, before anything is sent. Each stands here "
        "with how near calls came to it, who waited, and what the vendor allows. "
        f"{'Add rate limit makes the first.' if may_change else 'Admins make them.'}",
        icon=":material/speed:",
    )


def _draw_row(each: ListedRateLimit, *, may_change: bool) -> None:
    now = each.now
    row = now.row
    number = id_of(row)
    shown = ShownRateLimit(number, row.version, row.name)
    with st.container(
        border=True, key=f"line_rate_{number}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        with st.container(width="stretch", gap="xsmall"):
            facts = [now.scope, words.lets_through(row), words.when_full(row)]
            st.markdown(
                f"**{plain(isolated(row.name))}** {words.state(now)}  \n"
                f":gray[:small[{plain(' · '.join(map(isolated, facts)))}]]",
                help=plain(f"Changed {exact(row.updated_at)} by {row.updated_by or 'somebody'}"),
            )
            if row.is_active or now.hour is not None:
                st.progress(words.share(now), text=plain(words.lately(now)))
            if said := words.vendor(now):
                st.markdown(said)
        if may_change:
            _draw_buttons(each, shown)


def _draw_buttons(each: ListedRateLimit, shown: ShownRateLimit) -> None:
    st.button(
        for_row("Edit", shown.name),
        key=f"edit_rate_{shown.id}",
        icon=":material/edit:",
        on_click=PRESSES.note,
        args=("edit", shown),
    )
    switch = ":material/pause_circle: Switch off" if each.now.row.is_active else ":material/play_circle: Switch on"
    actions = {switch: "switch", ":material/delete: Delete": "delete"}
    menu = f"more_rate_{shown.id}"
    st.menu_button(
        for_row("More", shown.name),
        list(actions),
        key=menu,
        icon=":material/more_horiz:",
        on_click=PRESSES.note_choice,
        args=(menu, actions, shown),
    )
