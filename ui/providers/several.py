"""The dialog that makes one change at each of the selected providers: what, before and after, and why."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Invalid
from core.manage import several
from core.manage.scopes import SettingsScope
from core.manage.several import Change, Row
from core.parameters import PARAMETERS, Parameter
from core.store import db
from core.wording import counted
from ui import reason
from ui.feedback import Outcome, attempt, plain, plain_cell, warn
from ui.providers import picked
from ui.scopes import hidden
from ui.widgets import isolated

_KEYS: Final = "several_"
"""How the keys of the fields begin."""
_SEEN: Final = "seen_of_several"
"""The field, and id -> version of what was shown in the run before: what is pressed is meant for that."""
_SHOWN: Final = 50
"""Lines of the table."""
_NAMED: Final = 3
"""So many providers are named at which somebody hides the value."""
_ACTIVE: Final = {"Active": True, "Inactive": False}
_BOOLEAN: Final = {"On": True, "Off": False}
_MODES: Final[dict[str, Any]] = {"Value": "value", "Inherit": "inherit", "Don't send": "omit"}


def begin() -> None:
    """Forget what was chosen and typed, before it is drawn or once it is closed."""
    for key in [key for key in st.session_state if str(key).startswith(_KEYS)]:
        del st.session_state[key]
    st.session_state.pop(_SEEN, None)


def draw(actor: Actor, done: Callable[[], None]) -> None:
    """Draw the dialog for the providers that are selected; *done* closes it."""
    chosen = picked.ids()
    st.caption(f"{counted(len(chosen), 'provider')} selected. All of them are changed, or none.")
    field = st.selectbox(
        "What to change",
        several.FIELDS,
        index=None,
        format_func=several.label,
        key=f"{_KEYS}field",
        placeholder="Choose a field",
    )
    change = _pick_change(field, chosen) if field else None
    rows, why = _look(chosen, change)
    if why:
        st.error(plain(why), icon=":material/error:")
    elif change:
        _draw_rows(rows, len(chosen))
    seen = st.session_state.get(_SEEN)
    st.session_state[_SEEN] = (field, {row.id: row.version for row in rows})
    number = sum(row.changes for row in rows)
    with reason.buttons():
        if st.button("Cancel", key=f"{_KEYS}cancel"):
            done()
        pressed = st.button(
            f"Change {counted(number, 'provider')}" if number else "Change",
            key=f"{_KEYS}save",
            type="primary",
            icon=":material/save:",
            disabled=not number,
        )
    if pressed and change is not None and seen is not None and seen[0] == field:
        hidden_at: dict[str, str] = {}

        def work(session: Session) -> None:
            made = several.apply(session, actor, seen[1], change)
            hidden_at.clear()
            hidden_at.update(_hidden(session, actor, made, change))

        text = f"{several.label(change.field)} is changed at {counted(number, 'provider')}."
        outcome = attempt(work, text)
        if outcome.ok:
            if hidden_at:
                warn(f"{text} But {'; '.join(f'at {isolated(name)} it is {why}' for name, why in hidden_at.items())}.")
            done()
        _draw_refusal(outcome)


def _hidden(session: Session, actor: Actor, rows: Sequence[Row], change: Change) -> dict[str, str]:
    """Return the first of the providers at which somebody hides the value, and who does: display name -> words."""
    found: dict[str, str] = {}
    if change.field not in PARAMETERS or change.mode == "inherit":
        return found
    for row in rows[:_SHOWN]:
        by = hidden.find(session, actor, SettingsScope(row.id), {change.field: change.mode == "value"})
        if change.field in by:
            found[row.display_name] = by[change.field]
        if len(found) == _NAMED:
            break
    return found


def _draw_refusal(outcome: Outcome) -> None:
    if outcome.errors:
        reasons = "; ".join(f"{name} {rule}" for name, rule in outcome.errors.items())
        st.error(plain(f"Nothing was changed: {reasons}. The selection is kept: look again."), icon=":material/group:")


def _look(chosen: frozenset[int], change: Change | None) -> tuple[Sequence[Row], str]:
    """Return what the change would do, and what is wrong with it."""
    if change is None:
        return (), ""
    try:
        with db.transaction() as session:
            rows = several.preview(session, chosen, change)
    except Invalid as error:
        return (), " ".join(f"{several.label(name)} {rule}." for name, rule in error.fields.items())
    picked.keep(frozenset(row.id for row in rows))
    return rows, ""


def _draw_rows(rows: Sequence[Row], chosen: int) -> None:
    changed, kept = [row for row in rows if row.changes], [row for row in rows if not row.changes]
    if gone := chosen - len(rows):
        st.caption(f"{counted(gone, 'provider')} of the selection: deleted meanwhile.")
    shown_rows = [*changed, *(row for row in kept if row.note)][:_SHOWN]
    if shown_rows:
        st.table(
            [
                {
                    "Provider": plain_cell(row.display_name),
                    "Now": plain_cell(row.before),
                    "Then": f"**{plain_cell(row.after)}**" if row.changes else _note(row),
                }
                | ({"": _note(row)} if any(each.note and each.changes for each in shown_rows) else {})
                for row in shown_rows
            ],
            border="horizontal",
            alt="What would change at each provider",
        )
    same = sum(not row.note for row in kept)
    more = len(changed) + sum(bool(row.note) for row in kept) - len(shown_rows)
    if more:
        st.caption(f"And {counted(more, 'more provider')}.")
    if same:
        st.caption(f"{counted(same, 'provider')} of the selection: so already.")


def _note(row: Row) -> str:
    return f":orange[{plain_cell(row.note)}]" if row.note else ""


def _pick_change(field: str, chosen: frozenset[int]) -> Change | None:
    """Draw what the field gets; None while that is not chosen."""
    key = f"{_KEYS}{field}"
    if field == "is_active":
        active = st.segmented_control("They become", list(_ACTIVE), key=key)
        return Change(field, "value", _ACTIVE[active]) if active else None
    if field == "default_model":
        with db.transaction() as session:
            names = several.models(session, chosen)
        model = st.selectbox("Default model", names, index=None, key=key, placeholder="Choose a model")
        if len(names) == several.MODELS:
            st.caption(f"These {several.MODELS:,} are the models that most of them have.")
        return Change(field, "value", model) if model else None
    parameter = PARAMETERS[field]
    modes = [mode for mode in _MODES if mode != "Don't send" or parameter.sendable]
    mode = _MODES[
        st.segmented_control("In their defaults", modes, default="Value", required=True, key=f"{key}_mode") or "Value"
    ]
    if mode != "value":
        return Change(field, mode)
    value = _pick_value(parameter, key)
    return None if value is None else Change(field, "value", value)


def _pick_value(parameter: Parameter, key: str) -> Any:
    label = parameter.label
    if parameter.choices:
        return st.selectbox(label, parameter.choices, index=None, key=key, help=parameter.help)
    if parameter.value_type is bool:
        chosen = st.segmented_control(label, list(_BOOLEAN), key=key, help=parameter.help)
        return _BOOLEAN[chosen] if chosen else None
    whole = parameter.value_type is int
    value: Any = st.number_input(
        label,
        value=None,
        step=int(parameter.step or 1) if whole else parameter.step,
        format="%d" if whole else "%.2f",
        key=key,
        placeholder=parameter.rule,
        help=parameter.help,
    )
    return round(value, 6) if isinstance(value, float) and value == value else value  # noqa: PLR0124 - a NaN is refused
