"""Which scope the Defaults page edits, what is stored for it, and the unsaved edits of every scope."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.errors import NotFound
from core.manage import providers, settings
from core.resolving.effective import Explained
from ui.defaults import form
from ui.defaults.draft import OMIT, Choice, Edit
from ui.feedback import plain

ALL = "All providers"
_SCOPE = "scope"
_EDITS, _DRAWN, _IN_URL, _GO_TO = "defaults_edits", "defaults_drawn", "defaults_in_url", "defaults_go_to"
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
    elif asked != state.get(_IN_URL, ""):
        state[_SCOPE] = asked or ("" if _SCOPE in state else state[_IN_URL])
    elif _SCOPE not in state:
        state[_SCOPE] = asked
    unknown = state[_SCOPE] if state[_SCOPE] and state[_SCOPE] not in names else ""
    if unknown:
        state[_SCOPE] = ""
    scope: str = st.selectbox(
        "Scope",
        ["", *names],
        format_func=lambda name: f"{names.get(name, name)}  ·  {name}" if name else ALL,
        key=_SCOPE,
        filter_mode="contains",
        help="Type to search. A provider's own values win over those of all providers.",
        width=520,
    )
    if unknown:
        st.warning(
            plain(f"There is no provider {unknown[:50]!r}. It may have been renamed or deleted."),
            icon=":material/info:",
        )
    if len(names.get(scope, "")) > _FITS:
        st.text(names[scope])
    if scope:
        st.query_params["provider"] = scope
    elif "provider" in st.query_params:
        del st.query_params["provider"]
    state[_IN_URL] = scope
    return scope


def current_edit(scope_id: int | None, stored: StoredScope, inherited: Mapping[str, Explained]) -> Edit:
    """Return the edit of this scope, with what was typed until now; the form's widgets are made to show it."""
    edits, drawn = _edits(), st.session_state.get(_DRAWN, "")
    readable = form.is_drawn() and drawn in edits
    if readable:
        form.read(edits[drawn], inherited if drawn == scope_id else form.built_ins())
    edit = edits.get(scope_id)
    fresh = edit is None or (not edit.changed and edit.version != stored.version)
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
    """Forget the unsaved change of one field, or all of the scope; the next run draws what is saved."""
    if name is None:
        _edits().pop(scope_id, None)
    else:
        _edits()[scope_id].changed.pop(name, None)
    st.session_state.pop(_DRAWN, None)


def forgetting(scope_id: int | None) -> Callable[[], object]:
    """Return what forgets the unsaved changes of the scope, without touching Streamlit."""
    edits = _edits()
    return lambda: edits.pop(scope_id, None)


def omit(scope_id: int | None, names: Iterable[str]) -> None:
    """Choose *do not send* for *names*, unsaved."""
    _edits()[scope_id].changed |= {name: Choice(OMIT) for name in names}
    st.session_state.pop(_DRAWN, None)


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
            if st.button(plain(f"{title} ({number})"), key=f"go_to_{name or 'all'}", type="tertiary"):
                st.session_state[_GO_TO] = name
                st.rerun()


def _edits() -> dict[Any, Edit]:
    edits: dict[Any, Edit] = st.session_state.setdefault(_EDITS, {})
    return edits
