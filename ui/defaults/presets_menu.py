"""The menu *Presets* of an editor: a preset fills what is being edited, so that one sees what changes and saves as ever."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.access import authority
from core.actors import Actor
from core.manage import settings_presets
from core.store.preset_schemas import PRESET_FIELDS
from core.store.preset_tables import SettingsPreset
from ui.defaults.draft import LABELS, OMIT, VALUE, Edit, chosen, differs, preset_choices, value_of
from ui.defaults.presets_dialogs import DIALOGS, MENU, keep

_SAVE: Final = ":material/bookmark_add: Save as preset…"
_MANAGE: Final = ":material/edit: Manage presets…"


def known(session: Session, actor: Actor) -> tuple[list[SettingsPreset], bool]:
    """Return the presets, and whether *actor* may change them: who is an admin of the installation, and not of an organisation."""
    return settings_presets.list_all(session, actor), authority.role_of(session, actor) == "admin"


def draw(
    found: tuple[list[SettingsPreset], bool], take: Callable[[str, Mapping[str, Any]], None], edit: Callable[[], Edit]
) -> None:
    """Draw the menu.

    Args:
        found: Of :func:`known`.
        take: Fills the named preset's fields into what is being edited: of a callback.
        edit: Returns what is being edited, once it is asked for.
    """
    DIALOGS.start_afresh()
    presets, may_change = found
    actions = {f":material/bookmark: {row.name}": row for row in presets}
    st.menu_button(
        "Presets",
        [*actions, *([_SAVE, _MANAGE] if may_change else [])],
        key=MENU,
        type="tertiary",
        icon=":material/bookmarks:",
        on_click=_choose,
        args=(actions, take, edit),
        help="Fill in a named set of values. Nothing is saved before you press Save.",
        disabled=not presets and not may_change,
    )


def _choose(
    actions: Mapping[str, SettingsPreset], take: Callable[[str, Mapping[str, Any]], None], edit: Callable[[], Edit]
) -> None:
    pressed = str(st.session_state.get(MENU))
    if (row := actions.get(pressed)) is not None:
        take(row.name, row.fields)
    elif pressed in {_SAVE, _MANAGE}:
        keep(fields_of(edit()))
        DIALOGS.show("save" if pressed == _SAVE else "manage")
        st.rerun()


def fill(edit: Edit, name: str, fields: Mapping[str, Any]) -> list[str]:
    """Choose in *edit*, unsaved, what a preset says; returns the fields that it names."""
    choices = preset_choices(fields)
    for each, choice in choices.items():
        edit.changed.pop(each, None)
        if differs(each, choice, chosen(edit, each)):
            edit.changed[each] = choice
    edit.preset = (name, choices)
    return list(choices)


def fields_of(edit: Edit) -> dict[str, Any]:
    """Return what is chosen in *edit*, saved or not, as the fields of a preset; what is no JSON object is left out."""
    made = {name: chosen(edit, name) for name in LABELS if name in PRESET_FIELDS}
    found = {name: value_of(name, choice) for name, choice in made.items() if choice.mode == VALUE}
    omitted = [name for name, choice in made.items() if choice.mode == OMIT]
    return {name: value for name, value in found.items() if value is not None} | (
        {"omitted_parameters": omitted} if omitted else {}
    )


def named(edit: Edit) -> str | None:
    """Return the preset that was filled in, where all that it says is still chosen so; None: none, or it was changed since."""
    if edit.preset is None:
        return None
    name, choices = edit.preset
    return None if any(differs(each, choice, chosen(edit, each)) for each, choice in choices.items()) else name
