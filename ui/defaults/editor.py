"""The editor of one scope on the Defaults page: which parts it has, and which of them a click draws again."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from core.actors import Actor
from core.manage.scopes import SettingsScope
from core.store import db
from ui.defaults import form, presets_dialogs, presets_menu, scope
from ui.defaults.dialogs import ask, draw_dialog, open_dialog
from ui.defaults.draft import OBJECTS, problem
from ui.defaults.parts import HEAD, RESULTS, draw_part, row, run_again
from ui.defaults.results import (
    NOTED,
    PREVIEWED,
    Buttons,
    Places,
    draw_bar,
    draw_notes,
    draw_preview,
    press_save,
    previewed,
    save_if_pressed,
)
from ui.defaults.work import Work, load, results
from ui.feedback import field_error, show_toast
from ui.scopes import bounds
from ui.scopes.bounds import Bounds
from ui.widgets import changed, two_names

_MODES_EXPLAINED = (
    "**Inherit** takes the value from the layer below and follows it. **Value** sets one here."
    " **Don't send** leaves the parameter out of each request, so that the model's own default holds."
)


def draw(actor: Actor, name: str, names: Mapping[str, str], bound: Bounds) -> None:
    """Draw the editor of the scope *name*.

    What results is drawn first, and all else then at once: the preview of one scope does not stand beside another's form.

    Args:
        actor: An admin.
        name: A provider's name, or "" for all providers.
        names: Name -> display name of all providers.
        bound: Which limits bind its fields.
    """
    above = st.container()
    side_by_side = st.container(horizontal=True, gap="small")  # the preview goes below where both do not fit
    with side_by_side:
        left = st.container(width=700)
        right = st.container(width="stretch", border=True)
    with left, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        head, bookmarks = st.container(), st.container(width="content")
    rows, notes = {}, {}
    with left:
        st.caption(_MODES_EXPLAINED)
        for group, fields in form.groups().items():
            with st.container(border=True, gap="xsmall", key=f"group_{group or 'custom'}"):
                if group:
                    st.header(group, anchor=False)
                for field in fields:
                    rows[field] = st.container()
                    if field in NOTED:
                        notes[field] = st.container(key=f"note_{field}")
    places = Places(head, right, st.bottom.container(), notes)
    with places.bar:
        work = save_if_pressed(load(actor, name, whole=True), ask)
    with db.transaction() as session:
        others = scope.other_edits(session, work.scope_id)
        presets = presets_menu.known(session, actor)
    with bookmarks:  # in no part: its click draws the whole page, so that the fields of all rows follow
        presets_menu.draw(presets, partial(_take, work.scope_id), partial(scope.edit_of, work.scope_id))

    with above:
        scope.draw_other_edits(others)
    with right:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.header("Preview", anchor=False, width="content")
            if shown := previewed(name, names):
                st.page_link(
                    "pages/effective_preview.py",
                    label="Why each value",
                    icon=":material/visibility:",
                    query_params={"provider": shown},
                    width="content",
                )
            else:
                st.page_link("pages/providers.py", label="Add a provider", icon=":material/add:", width="content")
        if names and not name:
            st.selectbox(
                "Of provider",
                list(names),
                format_func=lambda each: two_names(names.get(each, each), each),
                key=PREVIEWED,
            )
        places = places._replace(preview=st.container())
    draw_part(RESULTS, work, partial(_draw_results, names=names, places=places))
    draw_part(HEAD, work, partial(_draw_head, places=places))
    for field, place in rows.items():
        with place:
            draw_part(row(field), work, partial(_draw_row, name=field, bound=bound))
    draw_dialog(work)
    presets_dialogs.draw()


def _draw_results(work: Work, names: Mapping[str, str], places: Places) -> None:
    with places.bar:
        work = save_if_pressed(work, ask)
    shown = previewed(work.scope, names)
    found = results(work, shown) if shown else None
    buttons = Buttons(*(partial(each, work.scope_id) for each in (_save, _discard, _omit, _send)))
    with places.preview:
        draw_preview(work, found, buttons)
    draw_notes(work, found, places)
    with places.bar:
        draw_bar(work, found, buttons)
    show_toast()


def _draw_head(work: Work, places: Places) -> None:
    with (
        places.head,
        st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"),
    ):
        if work.stored.version:
            changed(work.stored.changed_at, work.stored.changed_by)
        else:
            st.caption("Nothing is set here: everything inherits.")
        st.button(
            "Reset all",
            key="reset",
            type="tertiary",
            icon=":material/restart_alt:",
            disabled=not work.stored.version,
            on_click=_reset,
        )


def _draw_row(work: Work, name: str, bound: Bounds) -> None:
    scope.show_anew(work.edit, name)
    undone = partial(_undo, work.scope_id)
    clicks = form.Clicks(_changed, _slid, _typed, undone)
    inherited = work.inherited[form.parameter_of(name)]
    form.draw_row(name, work.edit, inherited, work.models, clicks, within=work.ranges.get(name), efforts=work.efforts)
    if name in work.found:
        rule = work.found[name] if name in OBJECTS else problem(name, work.found[name])  # it stands below its name
        field_error(st, {name: rule}, name)
    elif name in (refused := bounds.refused(SettingsScope(work.scope_id), work.edit.changed)):
        field_error(st, {name: refused[name] if name in OBJECTS else problem(name, refused[name])}, name)
    bounds.draw(name, bound)


def _changed(name: str) -> None:
    bounded = form.SLIDERS if name == "preferred_model" else ()  # another model takes other values
    run_again([row(name), RESULTS, *map(row, bounded)])


def _slid(name: str, key: str) -> None:
    form.slid(name, key)
    _changed(name)


def _typed(name: str, key: str) -> None:
    form.typed(name, key)
    _changed(name)


def _undo(scope_id: int | None, name: str) -> None:
    scope.undo(scope_id, name)
    _changed(name)


def _take(scope_id: int | None, name: str, fields: Mapping[str, Any]) -> None:
    scope.show_changed(scope_id, presets_menu.fill(scope.edit_of(scope_id), name, fields))


def _discard(scope_id: int | None) -> None:
    names = scope.changed_in(scope_id)
    scope.undo(scope_id)
    run_again([RESULTS, *map(row, names)])


def _omit(scope_id: int | None, names: list[str]) -> None:
    scope.omit(scope_id, names)
    run_again([RESULTS, *map(row, names)])


def _send(scope_id: int | None, names: list[str]) -> None:
    scope.send(scope_id, names)
    run_again([RESULTS, *map(row, names)])


def _save(scope_id: int | None) -> None:
    press_save()
    run_again([RESULTS, HEAD, *map(row, {*scope.changed_in(scope_id), *OBJECTS})])


def _reset() -> None:
    open_dialog("reset")
    st.rerun()
