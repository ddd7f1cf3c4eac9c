"""Keeping presets: what is chosen in an editor under a name, other names, and deleting. For admins of the installation."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from core.errors import NotFound
from core.manage import settings_presets
from core.manage.settings_presets import OMITTED, said
from core.parameters import PARAMETERS
from core.store import db
from core.store.table import id_of
from ui import reason
from ui.dialogs import Dialogs
from ui.feedback import attempt, field_error, other_errors, plain
from ui.guard import guard
from ui.widgets import ago, exact, for_row, parameter_cell

MENU: Final = "presets_menu"
_NAME, _DESCRIPTION, _INSTEAD = "preset_name", "preset_description", "preset_instead"
DIALOGS: Final = Dialogs("presets_dialog", (_NAME, _DESCRIPTION, _INSTEAD), MENU)
_KEPT: Final = "preset_fields"
"""Where the session has what was chosen when a dialog opened."""
_OBJECTS: Final = ("custom_settings", "extra_parameters")


def keep(fields: Mapping[str, Any]) -> None:
    """Note what is chosen in the editor, for the dialog that opens."""
    st.session_state[_KEPT] = dict(fields)


def draw() -> None:
    """Draw the dialog that is open, if any."""
    name, row_id = DIALOGS.opened()
    if name == "save":
        _save_as(dict(st.session_state.get(_KEPT, {})))
    elif name == "manage":
        _manage()
    elif name == "edit":
        _edit(row_id)
    elif name == "delete":
        _delete(row_id)


@st.dialog("Save as preset", icon=":material/bookmark_add:", dismissible=False)
def _save_as(fields: dict[str, Any]) -> None:
    actor = guard("admin")
    with db.transaction() as session:
        there = {row.name: row for row in settings_presets.list_all(session, actor)}
    if not fields:
        st.info("Nothing is chosen here: choose a value, or *Don't send*, for what the preset is to say.")
    else:
        st.table(_rows(fields), border="horizontal", alt="What the preset says")
    slots = _fields()
    name = str(st.session_state.get(_NAME) or "").strip()
    instead = name in there and st.checkbox(f"Replace {plain(name)}, which is there already", key=_INSTEAD)
    if not _save_is_pressed(disabled=not fields):
        return
    data = {"name": name, "description": st.session_state.get(_DESCRIPTION) or None, "fields": fields}
    row = there.get(name) if instead else None
    outcome = attempt(
        lambda s: (
            settings_presets.create(s, actor, data)
            if row is None
            else settings_presets.update(s, actor, id_of(row), data, version=row.version)
        ),
        f"The preset {name} is saved.",
    )
    _finish(outcome.ok, outcome.errors, slots, conflict=outcome.conflict is not None)


@st.dialog("Presets", icon=":material/bookmarks:", width="large", on_dismiss=DIALOGS.close)
def _manage() -> None:
    actor = guard("admin")
    with db.transaction() as session:
        rows = settings_presets.list_all(session, actor)
    st.caption("Where a preset was applied, its values are copied: nothing there changes with it.")
    if not rows:
        st.info("There is none. Choose values in an editor, then *Save as preset*.")
    for row in rows:
        with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small"):
            words = ", ".join(f"{each['Field']} {each['Value']}" for each in _rows(row.fields))
            st.markdown(
                f"**{plain(row.name)}** {plain(row.description or '')}  \n:gray[:small[{words}]]",
                help=plain(f"Changed {exact(row.updated_at)} by {row.updated_by or 'somebody'}"),
                width="stretch",
            )
            if st.button(for_row("Edit", row.name), key=f"preset_edit_{row.id}", icon=":material/edit:"):
                DIALOGS.open("edit", row.id)
            if st.button(for_row("Delete", row.name), key=f"preset_delete_{row.id}", icon=":material/delete:"):
                DIALOGS.open("delete", row.id)
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Close", key="presets_close"):
            DIALOGS.done()


@st.dialog("Delete the preset", icon=":material/delete:", on_dismiss=DIALOGS.close)
def _delete(row_id: int) -> None:
    actor = guard("admin")
    try:
        with db.transaction() as session:
            row = settings_presets.get(session, actor, row_id)
    except NotFound:
        st.info("It was deleted meanwhile.")
        return
    st.markdown(f"**{plain(row.name)}** {plain(row.description or '')}")
    st.table(_rows(row.fields), border="horizontal", alt="What the preset says")
    st.caption("What it was applied to stays as it is. To have it again, save such values under this name.")
    seen = DIALOGS.based_on(row, "Delete deletes it as it is now.")
    with reason.buttons():
        if st.button("Cancel", key="preset_delete_cancel"):
            DIALOGS.open("manage")
        pressed = st.button(":red[Delete]", key="preset_delete_confirm", icon=":material/delete:")
    if not pressed:
        return
    done = f"The preset {row.name} is deleted. What it was applied to stays as it is."
    outcome = attempt(lambda s: settings_presets.delete(s, actor, row_id, version=seen), done)
    if outcome.ok:
        DIALOGS.open("manage")
    if outcome.conflict:
        st.warning("It was changed just now. Look again, and delete it if you still want to.", icon=":material/group:")
    other_errors(outcome.errors, set())


@st.dialog("Edit the preset", icon=":material/bookmark:", dismissible=False)
def _edit(row_id: int) -> None:
    actor = guard("admin")
    try:
        with db.transaction() as session:
            row = settings_presets.get(session, actor, row_id)
    except NotFound:
        st.info("It was deleted meanwhile.")
        return
    if _NAME not in st.session_state:
        st.session_state.update({_NAME: row.name, _DESCRIPTION: row.description or ""})
    st.caption(plain(f"Changed {ago(row.updated_at)} by {row.updated_by or 'somebody'}"))
    st.table(_rows(row.fields), border="horizontal", alt="What the preset says")
    st.caption("Other values: apply it, change them, and save them as the preset of this name.")
    version, slots = DIALOGS.based_on(row), _fields()
    data = {
        "name": str(st.session_state.get(_NAME) or "").strip(),
        "description": st.session_state.get(_DESCRIPTION) or None,
    }
    DIALOGS.save(
        "preset",
        slots,
        lambda session: settings_presets.update(session, actor, row_id, data, version=version),
        f"The preset {data['name']} is saved.",
    )


def _save_is_pressed(*, disabled: bool = False) -> bool:
    with reason.buttons():
        if st.button("Cancel", key="preset_cancel"):
            DIALOGS.done()
        return st.button("Save", key="preset_save", type="primary", icon=":material/save:", disabled=disabled)


def _finish(ok: bool, errors: Mapping[str, str], slots: Mapping[str, Any], *, conflict: bool) -> None:  # noqa: FBT001 - what attempt says
    if ok:
        DIALOGS.done()
    if conflict:
        st.warning("It was changed just now. Press Save again to write yours.", icon=":material/group:")
    for field, slot in slots.items():
        field_error(slot, errors, field)
    other_errors(errors, set(slots))


def _fields() -> dict[str, Any]:
    st.text_input(
        "Name",
        key=_NAME,
        persist_state="page",
        max_chars=100,
        autocomplete="off",
        live="400ms",
        placeholder="short-answers",
        help="a to z, 0 to 9, dot, hyphen and underscore.",
    )
    slots = {"name": st.empty()}
    st.text_input("Description", key=_DESCRIPTION, persist_state="page", max_chars=2000, placeholder="What it is for")
    slots["description"] = st.empty()
    return slots


def _rows(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    names = [name for name in (*PARAMETERS, *_OBJECTS) if name in fields or said(fields, name) == OMITTED]
    return [{"Field": parameter_cell(name), "Value": plain(said(fields, name))} for name in names]
