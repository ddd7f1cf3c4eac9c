"""What becomes of personal data, and where: what holds unless a scope says otherwise, and the scopes that do."""

import re
from typing import Final

import streamlit as st

from core.actors import Actor
from core.manage import personal_data
from core.manage.personal_data import PersonalDataRow, PlaceOfScope
from core.manage.scopes import SettingsScope
from core.resolving.personal_merge import PERSONAL_FIELDS
from core.store import db
from core.store.table import id_of
from ui import address, keyset
from ui.feedback import plain
from ui.privacy.choice import PrivacyChoice
from ui.privacy.dialogs import PRESSES, ShownScope
from ui.privacy.words import fields_words, whole_words
from ui.widgets import exact, for_row, isolated

PAGE_SIZE: Final = 25
_LIST: Final = "personal"
_PLACE: Final = re.compile(r"(\d{1,9})-(\d{1,9})-(\d{1,9})", re.ASCII)


def draw(actor: Actor, chosen: PrivacyChoice) -> None:
    """Draw the rule of the scope that is looked at, then a row for each scope that says something itself."""
    st.header("What is masked, and where", anchor=False)
    at = keyset.part(_LIST, chosen.scope, PAGE_SIZE)
    after = _read(at.after)
    with db.transaction() as session:
        whole = personal_data.of_scope(session, actor, chosen.scope)
        found = personal_data.page_of(session, actor, chosen.scope, after=after, limit=at.asked)
    is_all = chosen.scope == SettingsScope()
    head = "Unless a scope says otherwise" if is_all else f"For {plain(isolated(chosen.words))}"
    st.markdown(f"**{head}**  \n{plain(whole_words(whole.rules))}")
    st.caption(
        "Masked is what is found by its form: it stands as <EMAIL_1>. Programs mask before they write the log. "
        "A scope inherits what it does not say: Effective Preview and Hierarchy show what results, and from which layer."
    )
    if chosen.may_change:
        st.button("Say it for a scope", key="add_personal", icon=":material/add:", on_click=PRESSES.note, args=("add",))
    shown = found[: at.size]
    if not shown and not is_all:
        st.info("No scope of these says anything itself: all is inherited.", icon=":material/search_off:")
    with st.container(gap="xsmall", key="personal_rows"):
        for each in shown:
            _draw_row(each, may_change=chosen.may_change)
    last = "-".join(map(str, personal_data.place_of(shown[-1].row))) if shown else ""
    keyset.draw(_LIST, at, found, last)


def _read(place: str | None) -> PlaceOfScope | None:
    """Return where a page begins; None: at the beginning."""
    if place is None:
        return None
    read = _PLACE.fullmatch(place)
    if read is None:
        address.refuse(keyset.PARAMETER, "which is no place in this list")
        return None
    organization, feature, provider = map(int, read.groups())
    return organization, feature, provider


def _draw_row(each: PersonalDataRow, *, may_change: bool) -> None:
    row = each.row
    shown = ShownScope(id_of(row), row.version, each.scope)
    with st.container(
        border=True, key=f"line_personal_{shown.id}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        off = "" if row.is_active else " :gray-badge[:material/pause_circle: Off]"
        unread = f" :red-badge[:material/error: Not readable: {plain(', '.join(each.unread))}]" if each.unread else ""
        says = fields_words({name: getattr(row, name) for name in PERSONAL_FIELDS})
        st.markdown(
            f"**{plain(isolated(each.scope))}**{off}{unread}  \n:gray[:small[{plain(says)}]]",
            width="stretch",
            help=plain(f"Changed {exact(row.updated_at)} by {row.updated_by or 'somebody'}"),
        )
        if may_change:
            for word, icon, action in (("Edit", "edit", "edit"), ("Clear", "ink_eraser", "clear")):
                st.button(
                    for_row(word, shown.name),
                    key=f"{action}_personal_{shown.id}",
                    icon=f":material/{icon}:",
                    on_click=PRESSES.note,
                    args=(action, shown),
                )
