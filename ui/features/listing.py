"""The list of the Features page: the registry, what overrides each, and names in calls that nobody registered."""

from typing import Final

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.errors import CoreError
from core.manage import features, overriding
from core.manage.overriding import Hidden
from core.store import db
from core.store.organization_tables import LlmFeature
from core.store.table import id_of
from core.wording import counted
from ui import address, keyset, listing
from ui.features import dialogs
from ui.features.dialogs import DIALOGS, NAME, Shown
from ui.feedback import plain, show_fault, show_toast
from ui.guard import guard_part
from ui.pressed import Press, Presses
from ui.widgets import ago, coming_and_going, exact, for_row, isolated

PRESSES: Final = Presses("features_pressed")
PAGE_SIZE: Final = 25
FEATURE: Final = "feature"
_LIST: Final = "features"
_UNKNOWN: Final = 10
"""So many names that nobody registered are shown."""


@st.fragment
def draw() -> None:
    """Do what was pressed, then draw the list as it is stored, and the dialog that is open."""
    actor = guard_part("admin")
    try:
        _draw(actor)
    except CoreError as error:
        show_fault(error)


def _draw(actor: Actor) -> None:
    above = coming_and_going()
    with above:
        PRESSES.do_all(actor, _do)
        show_toast()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="filters"):
        search = listing.pick_search("Name")
        st.button(
            "Register feature",
            key=DIALOGS.beside,
            type="primary",
            icon=":material/add:",
            on_click=PRESSES.note,
            args=("add",),
        )
    at = keyset.part(_LIST, search, PAGE_SIZE)
    with db.transaction() as session:
        found = features.search(session, actor, search, after=at.after, limit=at.asked)
        rows = found[: at.size]
        seen = authority.visible(session, actor, "feature.list")
        has = overriding.of_features(session, seen, [id_of(row) for row in rows])
        unknown = features.unregistered(session, actor, _UNKNOWN + 1)
    if not rows:
        _draw_nothing(search, is_begun=at.after is not None)
    with st.container(gap="xsmall", key="rows"):
        for row in rows:
            _draw_row(row, has.get(id_of(row), Hidden()))
    keyset.draw(_LIST, at, found, rows[-1].name if rows else "")
    if unknown:
        _draw_unknown(unknown)
    dialogs.draw()


def _draw_nothing(search: str, *, is_begun: bool) -> None:
    if search or is_begun:
        st.info(
            plain(f"No feature has “{search}” in its name." if search else "No more."), icon=":material/search_off:"
        )
        return
    st.info(
        "No feature is registered yet. A feature is a purpose that your programs use models for, as summarise: "
        'resolve("openai", feature="summarise") gets what is set for it here.',
        icon=":material/category:",
    )


def _draw_row(row: LlmFeature, has: Hidden) -> None:
    shown = Shown(id_of(row), row.version, row.name, row.display_name)
    off = "" if row.is_active else " :gray-badge[:material/pause_circle: Not active]"
    overridden = f"overridden by {counted(has.organizations, 'organisation')}" if has.organizations else ""
    facts = [
        counted(has.rows, "row") if has.rows else "nothing is set for it",
        overridden,
        f"changed {ago(row.updated_at)}",
    ]
    with st.container(border=True, key=f"line_{row.name}", horizontal=True, vertical_alignment="center", gap="small"):
        text = f"**{plain(isolated(row.display_name))}** {plain(row.name)}{off}"
        if row.description:
            text += f"  \n{plain(isolated(' '.join(row.description.split())[:200]))}"
        st.markdown(
            f"{text}  \n:gray[:small[{plain(' · '.join(filter(None, facts)))}]]",
            help=plain(f"Changed {exact(row.updated_at)} by {row.updated_by or 'somebody'}"),
            width="stretch",
        )
        st.button(
            for_row("Overrides", row.display_name),
            key=f"overrides_{row.name}",
            icon=":material/tune:",
            on_click=PRESSES.note,
            args=("open", shown),
        )
        menu, actions = f"more_{row.name}", {":material/edit: Edit": "edit", ":material/delete: Delete": "delete"}
        st.menu_button(
            for_row("More", row.display_name),
            list(actions),
            key=menu,
            icon=":material/more_horiz:",
            on_click=PRESSES.note_choice,
            args=(menu, actions, shown),
        )


def _draw_unknown(names: list[str]) -> None:
    st.header("Asked for, and not registered", anchor=False)
    st.caption("Calls were logged with these names: one is misspelt, or waits to be registered. They get what all get.")
    with st.container(gap="xxsmall"):
        for number, name in enumerate(names[:_UNKNOWN]):
            with st.container(horizontal=True, vertical_alignment="center", key=f"unknown_{number}"):
                st.markdown(plain(isolated(name)), width="stretch")
                st.button(
                    for_row("Register", name),
                    key=f"register_{number}",
                    icon=":material/add:",
                    on_click=PRESSES.note,
                    args=("register", name),
                )
    if len(names) > _UNKNOWN:
        st.caption(f"The first {_UNKNOWN} are shown.")


def _do(press: Press) -> None:
    if press.action == "open":
        st.query_params[FEATURE] = press.what.name
        st.rerun()
    what = press.what if press.action in {"edit", "delete"} else None
    DIALOGS.begin("add" if press.action == "register" else press.action, what, what.version if what else None)
    if press.action == "register":
        st.session_state[NAME] = press.what


def asked() -> str:
    """Return the name of the feature whose overrides the address asks for; empty: it asks for the list."""
    return address.asked(FEATURE)
