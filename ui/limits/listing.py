"""The list of the Limits page: each limit in words, whose it is, why, and what it puts out of force."""

from typing import Any, Final

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.errors import NotFound
from core.manage import limit_listing, limits, organization_members
from core.manage.limit_listing import ListedLimit
from core.store import db
from core.store.table import id_of
from ui import address, keyset
from ui.feedback import plain, show_toast
from ui.limits import choice, dialogs, words
from ui.limits.choice import Chosen
from ui.limits.dialogs import DIALOGS, Shown
from ui.limits.form import Offered
from ui.pressed import Presses
from ui.widgets import coming_and_going, exact, for_row

PRESSES: Final = Presses("limits_pressed")
PAGE_SIZE: Final = 25
_LIST: Final = "limits"


def draw(actor: Actor) -> None:
    """Do what was pressed, then draw the list as it is stored, and the dialog that is open."""
    above = coming_and_going()
    with db.transaction() as session:
        is_admin = authority.visible(session, actor, "limit.list").everything and (
            authority.role_of(session, actor) == "admin"
        )
        may_add = is_admin or any(role == "admin" for _, role in organization_members.of_user(session, actor))
    chosen = choice.pick(actor, _draw_add if may_add else lambda: None)
    offered = Offered(chosen.known, chosen.providers, is_admin)
    with above:
        PRESSES.do_all(actor, lambda press: dialogs.open_for(press.action, press.what, chosen.names, offered))
        show_toast()
    if chosen.is_clear:
        _draw_list(actor, chosen, may_add=may_add)
    dialogs.draw(offered)


def _draw_add() -> None:
    st.button(
        "Add limit",
        key=DIALOGS.beside,
        type="primary",
        icon=":material/add:",
        on_click=PRESSES.note,
        args=("add",),
    )


def _draw_list(actor: Actor, chosen: Chosen, *, may_add: bool) -> None:
    at = keyset.part(_LIST, (chosen.of, chosen.limit_id), PAGE_SIZE)
    after = _number(at.after)
    with db.transaction() as session:
        if chosen.limit_id is None:
            found = limits.list_of(session, actor, **chosen.of, after=after, limit=at.asked)
        else:
            found = _alone(session, actor, chosen.limit_id)
        shown = limit_listing.described(session, actor, found[: at.size])
        ignored_by = limits.ignored_by(session) if shown else 0
    if ignored_by:
        st.warning(plain(limits.holds(ignored_by)), icon=":material/update:")
    if chosen.limit_id is not None:
        with st.container(horizontal=True, vertical_alignment="center", key="only"):
            st.caption(f"Limit {chosen.limit_id} alone is shown." if shown else "", width="content")
            st.button("Show all limits", key="limits_all", icon=":material/undo:", on_click=choice.show_all)
    if not shown:
        _draw_nothing(chosen, is_begun=after > 0, may_add=may_add)
    with st.container(gap="xsmall", key="rows"):
        for each in shown:
            _draw_row(each)
    keyset.draw(_LIST, at, found, str(shown[-1].row.id) if shown else "")


def _alone(session: Any, actor: Actor, limit_id: int) -> list[Any]:
    try:
        return [limits.find(session, actor, limit_id)]
    except NotFound:
        return []


def _number(after: str | None) -> int:
    """Return the id that the page before ended with."""
    if after is None:
        return 0
    if after.isascii() and after.isdecimal() and len(after) < 10:  # noqa: PLR2004 - an id has 9 digits
        return int(after)
    address.refuse(keyset.PARAMETER, "which is no place in this list")
    return 0


def _draw_nothing(chosen: Chosen, *, is_begun: bool, may_add: bool) -> None:
    if chosen.limit_id is not None:
        st.info("There is no such limit: it was lifted, or is not yours to see.", icon=":material/lock_open:")
    elif is_begun:
        st.info("No more.", icon=":material/search_off:")
    elif not chosen.is_all:
        st.info("No limit fits.", icon=":material/search_off:")
    else:
        st.info(
            "Nothing is limited. A limit locks a setting, or keeps it between bounds, for everybody or for one organisation, "
            f"feature or provider: as at most 4,000 tokens for acme.{'' if may_add else ' Admins set them.'}",
            icon=":material/lock_open:",
        )


def _draw_row(found: ListedLimit) -> None:
    number = id_of(found.row)
    shown = Shown(number, found.row.version, found.scope)
    with st.container(
        border=True, key=f"line_limit_{number}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        help_ = f"Limit {number}, changed {exact(found.row.updated_at)} by {found.changed_by or 'somebody'}"
        if found.row.note:
            help_ += f": \u201c{found.row.note}\u201d"
        st.markdown(words.line(found), help=plain(help_), width="stretch")
        if not found.may_change:
            return
        name = f"{found.scope}, {number}"
        st.button(
            for_row("Edit", name),
            key=f"edit_{number}",
            icon=":material/edit:",
            on_click=PRESSES.note,
            args=("edit", shown),
        )
        actions = {":material/lock_open: Lift": "lift"}
        if found.rows:
            actions = {":material/mop: Clear what is out of force": "clear", **actions}
        menu = f"more_{number}"
        st.menu_button(
            for_row("More", name),
            list(actions),
            key=menu,
            icon=":material/more_horiz:",
            on_click=PRESSES.note_choice,
            args=(menu, actions, shown),
        )
