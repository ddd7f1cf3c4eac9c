"""Which scope the Defaults page edits, what is stored for it, and the unsaved edits of every scope."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.errors import NotFound
from core.manage import providers, settings
from core.resolving.explanation import Explained
from core.wording import counted
from ui import drafts
from ui.defaults import form
from ui.defaults.draft import INHERIT, OMIT, VALUE, Choice, Edit
from ui.feedback import plain
from ui.scopes.picker import FEATURE, ORGANIZATION
from ui.widgets import isolated, two_names

ALL = "All providers"
_SCOPE = "scope"
_EDITS, _DRAWN, _IN_URL, _GO_TO = "defaults_edits", "defaults_drawn", "defaults_in_url", "defaults_go_to"
_CHOSEN = "defaults_chosen"
"""In the session: the picker was used just now. A second click before the browser has the new address comes with the old one."""
_SHOWN_ANEW = "defaults_shown_anew"
"""In the session: the fields that were made to show something else since their rows were drawn."""
_FITS = 25
"""Longer names are cut off in the picker on a small screen, so they are shown whole below it."""


class StoredScope(NamedTuple):
    """The settings row of a scope; with version 0 there is none."""

    row_id: int | None
    version: int
    fields: dict[str, Any]
    changed_at: datetime | None
    changed_by: str | None
    changes: Mapping[str, Any]
    """Field -> who changed it."""


def stored_row(session: Session, scope_id: int | None) -> StoredScope:
    """Return what is stored for a provider, or with None for all."""
    row = settings.get_global(session, scope_id)
    if row is None:
        return StoredScope(None, 0, {**dict.fromkeys(settings.FIELDS), "is_active": True}, None, None, {})
    fields = row.model_dump(include=set(settings.FIELDS))
    return StoredScope(row.id, row.version, fields, row.updated_at, row.updated_by, row.field_changes)


def pick_scope(names: Mapping[str, str]) -> str:
    """Draw the picker and return a provider's name, or "" for all; the address of the page says it, too."""
    state, asked = st.session_state, st.query_params.get("provider", "")
    if _GO_TO in state:
        state[_SCOPE] = state.pop(_GO_TO)
    elif asked != state.get(_IN_URL, "") and not state.pop(_CHOSEN, False):
        state[_SCOPE] = asked or ("" if _SCOPE in state else state[_IN_URL])
    elif _SCOPE not in state:
        state[_SCOPE] = asked
    unknown = state[_SCOPE] if state[_SCOPE] and state[_SCOPE] not in names else ""
    if unknown:
        state[_SCOPE] = ""
    scope: str = st.selectbox(
        "Scope",
        ["", *names],
        format_func=lambda name: two_names(names.get(name, name), name) if name else ALL,
        key=_SCOPE,
        filter_mode="contains",
        help="Type to search. A provider's own values win over those of all providers.",
        width=520,
        on_change=_choose,
    )
    state.pop(_CHOSEN, None)
    if unknown:
        st.warning(
            plain(f"There is no provider {unknown[:50]!r}. It may have been renamed or deleted."),
            icon=":material/info:",
        )
    if len(names.get(scope, "")) > _FITS:
        st.text(names[scope])
    if scope and st.query_params.get("provider") != scope:  # each write has the whole address as it came
        st.query_params["provider"] = scope
    elif not scope and "provider" in st.query_params:
        del st.query_params["provider"]
    state[_IN_URL] = scope
    return scope


def _choose() -> None:
    st.session_state[_CHOSEN] = True


def current_edit(
    scope_id: int | None, stored: StoredScope, inherited: Mapping[str, Explained], *, whole: bool = True
) -> Edit:
    """Return the edit of this scope, with what was typed until now; the form's widgets are made to show it.

    Where other widgets would have to show something else than they do, and not the *whole* page is drawn, it runs anew.
    """
    edits, drawn = _edits(), st.session_state.get(_DRAWN, "")
    readable = form.is_drawn() and drawn in edits
    if readable:
        form.read(edits[drawn], inherited if drawn == scope_id else form.built_ins())
    edit = edits.get(scope_id)
    fresh = edit is None or (not edit.changed and edit.version != stored.version)
    if not whole and (fresh or drawn != scope_id or not readable):
        st.rerun()
    if edit is None or fresh:
        edit = edits[scope_id] = Edit(stored.version, stored.fields)
    if fresh or drawn != scope_id or not readable:
        st.session_state.pop(
            _DRAWN, None
        )  # a newer run may stop this one at each step: what is half filled is not read
        form.fill(edit)
        st.session_state[_DRAWN] = scope_id
    return edit


def undo(scope_id: int | None, name: str | None = None) -> None:
    """Forget the unsaved change of one field, or all of the scope; the form's widgets are made to show what is saved."""
    edit = _edits().get(scope_id)
    if edit is None:
        return
    names = list(edit.changed) if name is None else [name]
    for each in names:
        edit.changed.pop(each, None)
    _show(scope_id, edit, names)


def saved(session: Session, scope_id: int | None) -> Callable[[], object]:
    """Return what notes that all changes of the scope are saved as *session* sees them, without touching Streamlit."""
    edits, now = _edits(), stored_row(session, scope_id)
    return lambda: edits.update({scope_id: Edit(now.version, now.fields)})


def follow(session: Session, scope_id: int | None, seen: int) -> Callable[[], object]:
    """Return what notes that the row has another version, by a change of ours that is none of the form's; what is unsaved stays so.

    Args:
        session: The transaction, after the change.
        scope_id: The scope.
        seen: The version before the change: an edit that is based on another one meets somebody else's, and is left as it is.
    """
    edits, now = _edits(), stored_row(session, scope_id)

    def note() -> None:
        edit = edits.get(scope_id)
        if edit is not None and edit.version == seen:
            edits[scope_id] = Edit(now.version, now.fields, edit.changed, edit.preset)

    return note


def show_saved(scope_id: int | None, names: Iterable[str]) -> None:
    """Have the widgets of these fields show what was saved just now: another layout of the same JSON, for one."""
    _show(scope_id, _edits()[scope_id], names)


def omit(scope_id: int | None, names: Iterable[str]) -> None:
    """Choose *do not send* for *names*, unsaved."""
    edit = _edits()[scope_id]
    edit.changed |= {name: Choice(OMIT) for name in names}
    _show(scope_id, edit, names)


def edit_of(scope_id: int | None) -> Edit:
    """Return the edit of the scope, as the run before this one left it."""
    return _edits()[scope_id]


def show_changed(scope_id: int | None, names: Iterable[str]) -> None:
    """Have the widgets of these fields show what is chosen in the edit of the scope."""
    _show(scope_id, _edits()[scope_id], names)


def send(scope_id: int | None, names: Iterable[str]) -> None:
    """Have *names* sent again, unsaved: with the value that is stored beside the omission, else as inherited."""
    edit = _edits()[scope_id]
    stored = edit.base
    edit.changed |= {name: Choice(INHERIT) if stored[name] is None else Choice(VALUE, stored[name]) for name in names}
    _show(scope_id, edit, names)


def drop(scope_id: int | None) -> None:
    """Forget all unsaved changes of the scope after its form was drawn: the whole page has to run next."""
    _edits().pop(scope_id, None)
    st.session_state.pop(_DRAWN, None)


def keep_typed() -> None:
    """Take into the edit of the form what was typed last, where the form is not drawn in this run."""
    drawn = st.session_state.get(_DRAWN, "")
    if form.is_drawn() and drawn in _edits():
        form.read(_edits()[drawn], form.built_ins())


@drafts.collects("defaults")
def unsaved() -> drafts.Draft | None:
    """Return what is unsaved in all scopes, for somebody whose sign-in has ended; None: nothing is."""
    keep_typed()
    kept = {scope_id: edit for scope_id, edit in _edits().items() if edit.changed}
    number = sum(len(edit.changed) for edit in kept.values())
    return drafts.Draft(f"Defaults ({counted(number, 'change')})", kept) if kept else None


def take_up(kept: Mapping[int | None, Edit]) -> None:
    """Go on with what :func:`unsaved` has returned; before the form is drawn."""
    _edits().update(kept)
    st.session_state.pop(_DRAWN, None)


def changed_in(scope_id: int | None) -> list[str]:
    """Return the fields of the scope that have an unsaved change, as the run before this one saw it."""
    edit = _edits().get(scope_id)
    return list(edit.changed) if edit else []


def _show(scope_id: int | None, edit: Edit, names: Iterable[str]) -> None:
    if st.session_state.get(_DRAWN, "") == scope_id:
        names = list(names)
        form.fill(edit, names)
        st.session_state.setdefault(_SHOWN_ANEW, set()).update(names)


def show_anew(edit: Edit, name: str) -> None:
    """Make the widgets of a field, before they are drawn, show *edit* once more, if they were made to since they were drawn.

    Of a value that a callback sets, Streamlit 1.67 tells the browser in the run that follows; a callback that asks for parts
    ends that run, and in the next one the value counts as told: the browser would go on showing, and send, the one before.
    """
    if name in st.session_state.get(_SHOWN_ANEW, ()):
        st.session_state[_SHOWN_ANEW].discard(name)
        form.fill(edit, [name])


NO_FORM: Final = 0
"""In place of a scope's id where no form is drawn: no provider has it."""


def other_edits(session: Session, scope_id: int | None) -> dict[str, tuple[str, int]]:
    """Return provider name ("" for all) -> display name and number of unsaved changes, of the other scopes."""
    found = {}
    for other, edit in list(_edits().items()):
        if other == scope_id or not edit.changed:
            continue
        try:
            provider = providers.get(session, other) if other is not None else None
        except NotFound:
            del _edits()[other]
            continue
        found[provider.name if provider else ""] = (provider.display_name if provider else ALL, len(edit.changed))
    return found


def draw_other_edits(others: Mapping[str, tuple[str, int]]) -> None:
    """Say where else something is unsaved, with a way there."""
    if not others:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(":orange[:material/edit: Unsaved changes are kept in]", width="content")
        for name, (title, number) in others.items():
            st.button(
                plain(f"{isolated(title)} ({number})"),
                key=f"go_to_{name or 'all'}",
                type="tertiary",
                on_click=_go_to,
                args=(name,),
            )


def _go_to(name: str) -> None:
    st.session_state[_GO_TO] = name
    for key, nothing in ((ORGANIZATION, ""), (FEATURE, None)):
        if key in st.session_state:
            st.session_state[key] = nothing


def _edits() -> dict[Any, Edit]:
    edits: dict[Any, Edit] = st.session_state.setdefault(_EDITS, {})
    return edits
