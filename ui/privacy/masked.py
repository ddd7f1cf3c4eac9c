"""What becomes of personal data, and where: what holds unless a scope says otherwise, and the scopes that do."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.manage import personal_data
from core.manage.personal_data import PersonalDataRow
from core.manage.scopes import SettingsScope
from core.resolving.personal_merge import PERSONAL_FIELDS
from core.store import db
from core.store.table import id_of
from core.wording import counted
from ui.feedback import plain
from ui.privacy.dialogs import PRESSES, ShownScope
from ui.privacy.words import fields_words, whole_words
from ui.widgets import exact, for_row, isolated

MOST_SCOPES: Final = 100


def draw(actor: Actor, *, may_change: bool) -> None:
    """Draw the rule of all calls, then a row for each scope that says something itself."""
    st.header("What is masked, and where", anchor=False)
    with db.transaction() as session:
        whole = personal_data.of_scope(session, actor, SettingsScope())
        rows = personal_data.list_all(session, actor)
    st.markdown(f"**Unless a scope says otherwise**  \n{plain(whole_words(whole.rules))}")
    st.caption(
        "Masked is what is found by its form: it stands as <EMAIL_1>. Programs mask before they write the log. "
        "A scope inherits what it does not say: Effective Preview and Hierarchy show what results, and from which layer."
    )
    if may_change:
        st.button("Say it for a scope", key="add_personal", icon=":material/add:", on_click=PRESSES.note, args=("add",))
    with st.container(gap="xsmall", key="personal_rows"):
        for each in rows[:MOST_SCOPES]:
            _draw_row(each, may_change=may_change)
    if len(rows) > MOST_SCOPES:
        st.caption(
            f"The first {MOST_SCOPES} of {counted(len(rows), 'scope')}; REST lists all: GET /api/llm/pii-settings."
        )


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
