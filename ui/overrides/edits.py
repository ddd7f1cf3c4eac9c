"""What is being edited of overrides: the unsaved changes of each scope, kept while one looks at another."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import streamlit as st

from core.errors import Invalid
from core.manage import settings
from core.manage.scopes import SettingsRow, SettingsScope
from core.resolving.explanation import Explained
from core.store.organization_schemas import ScopedSettingsInput
from core.store.schemas import validate
from core.wording import counted
from ui import address, drafts
from ui.defaults import form
from ui.defaults.draft import INHERIT, LABELS, VALUE, Choice, Edit, chosen, differs, patch

DEFAULT: Final = "default_provider_id"
NAMES: Final[Mapping[str, str]] = {DEFAULT: "Default provider", **LABELS}
"""Field -> what people call it."""
DEFAULT_KEY: Final = "override_default_provider"
_EDITS, _DRAWN = "override_edits", "override_drawn"


class Stored(NamedTuple):
    """The row of a scope; with version 0 there is none."""

    row_id: int | None
    version: int
    fields: dict[str, Any]
    changed_at: datetime | None = None
    changed_by: str | None = None


def stored_of(row: SettingsRow | None) -> Stored:
    """Return what a row has; None: there is none."""
    names = (*settings.FIELDS, DEFAULT)
    if row is None:
        return Stored(None, 0, {**dict.fromkeys(names), "is_active": True})
    return Stored(row.id, row.version, row.model_dump(include=set(names)), row.updated_at, row.updated_by)


def current(scope: SettingsScope, stored: Stored, inherited: Mapping[str, Explained]) -> Edit:
    """Return the edit of *scope*, with what was typed until now; the form's widgets are made to show it, before they are drawn."""
    edits, drawn = _edits(), _drawn()
    is_readable = drawn is not None
    if drawn is not None:
        _read(edits[drawn], inherited if drawn == scope else form.built_ins())
    edit = edits.get(scope)
    is_fresh = edit is None or (not edit.changed and edit.version != stored.version)
    if edit is None or is_fresh:
        edit = edits[scope] = Edit(stored.version, stored.fields)
    if is_fresh or drawn != scope or not is_readable:
        st.session_state.pop(_DRAWN, None)  # a newer run may stop this one: what is half filled is not read
        fill(edit)
        st.session_state[_DRAWN] = (address.visit(), scope)
    return edit


def _drawn() -> SettingsScope | None:
    """Return the scope that the form was drawn for in the run before, on this visit of the page; another page has such fields too."""
    visit, scope = st.session_state.get(_DRAWN, (None, None))
    is_ours = form.is_drawn() and visit == address.visit() and scope in _edits()
    return scope if is_ours else None


def fill(edit: Edit, names: Iterable[str] = tuple(NAMES)) -> None:
    """Make the widgets of these fields, before they are drawn, show *edit*."""
    names = list(names)
    form.fill(edit, [name for name in names if name in LABELS])
    if DEFAULT in names:
        st.session_state[DEFAULT_KEY] = chosen(edit, DEFAULT).value or 0


def undo(edit: Edit, names: Iterable[str]) -> None:
    """Forget the unsaved changes of these fields; the widgets are made to show what is saved."""
    names = list(names)
    for name in names:
        edit.changed.pop(name, None)
    fill(edit, names)


def saved(scope: SettingsScope, row: SettingsRow) -> Callable[[], object]:
    """Return what notes that all changes of the scope are saved as *row* has them, without touching Streamlit."""
    edits, now = _edits(), stored_of(row)
    return lambda: edits.update({scope: Edit(now.version, now.fields)})


def show(scope: SettingsScope) -> None:
    """Have the widgets, before they are drawn, show what was saved just now: another layout of the same JSON, for one."""
    fill(_edits()[scope])


def drop(scope: SettingsScope) -> None:
    """Forget the edit of the scope: it is read anew."""
    _edits().pop(scope, None)
    st.session_state.pop(_DRAWN, None)


def problems(edit: Edit, models: list[str] | None) -> dict[str, str]:
    """Return field -> the rule that an unsaved choice breaks; *models* may be preferred, None: the scope names no provider."""
    found = {}
    try:
        validate(ScopedSettingsInput, patch(edit.base, edit.changed))
    except Invalid as error:
        found = error.fields
    model = edit.changed["preferred_model"].value if "preferred_model" in edit.changed else None
    if model and models is not None and model not in models:
        found["preferred_model"] = "may not be used here any more; choose another, or inherit"
    return found


def _read(edit: Edit, starts: Mapping[str, Explained]) -> None:
    before = edit.changed.get(DEFAULT)
    form.read(edit, starts)
    if DEFAULT_KEY in st.session_state:
        value = st.session_state[DEFAULT_KEY]
        before = Choice(VALUE, value) if value else Choice(INHERIT)
    if before is not None and differs(DEFAULT, before, chosen(Edit(edit.version, edit.base), DEFAULT)):
        edit.changed[DEFAULT] = before


def _unsaved(page: Callable[[SettingsScope], bool], what: str) -> drafts.Draft | None:
    if (drawn := _drawn()) is not None:  # what was typed last has not been read yet
        _read(_edits()[drawn], form.built_ins())
    kept = {scope: edit for scope, edit in _edits().items() if edit.changed and page(scope)}
    number = sum(len(edit.changed) for edit in kept.values())
    return drafts.Draft(f"{what} ({counted(number, 'change')})", kept) if kept else None


def is_of_organization(scope: SettingsScope) -> bool:
    """Tell whether a scope is edited on the Organisation page; the others are on Features."""
    return scope.organization_id is not None


@drafts.collects("organization")
def unsaved_of_organization() -> drafts.Draft | None:
    """Return what is unsaved of organisations, for somebody whose sign-in has ended."""
    return _unsaved(is_of_organization, "Organisation")


@drafts.collects("features")
def unsaved_of_features() -> drafts.Draft | None:
    """Return what is unsaved of features, for somebody whose sign-in has ended."""
    return _unsaved(lambda scope: not is_of_organization(scope), "Features")


def take_up(kept: Mapping[SettingsScope, Edit]) -> None:
    """Go on with what was kept; before the form is drawn."""
    _edits().update(kept)
    st.session_state.pop(_DRAWN, None)


def _edits() -> dict[Any, Edit]:
    edits: dict[Any, Edit] = st.session_state.setdefault(_EDITS, {})
    return edits
