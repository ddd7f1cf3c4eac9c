"""The form of the Defaults page: one row a parameter, drawn from an Edit and read back into it."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import streamlit as st

from core.parameters import PARAMETERS, Parameter
from core.resolving.effective import BUILT_IN, LAYERS, Explained
from ui.defaults.draft import INHERIT, LABELS, OMIT, VALUE, Choice, Edit, chosen, described, differs, tidy
from ui.defaults.effective_table import inherited_text
from ui.feedback import field_error, plain

_MODES = {INHERIT: "Inherit", VALUE: "Value", OMIT: "Don't send"}
_GROUPS = tuple(dict.fromkeys(p.group for p in PARAMETERS.values()))
_MODEL, _CUSTOM = "preferred_model", "custom_settings"


def built_ins() -> dict[str, Explained]:
    """Return what all providers inherit."""
    return {p.name: Explained(p.name, p.default, BUILT_IN, (), None) for p in PARAMETERS.values()}


def is_drawn() -> bool:
    """Tell whether the form was drawn in the run before this one, so that its widgets can be read."""
    return _CUSTOM in st.session_state


def read(edit: Edit, starts: Mapping[str, Explained]) -> None:
    """Take into *edit* what the widgets hold now; a value that was just asked for starts as what is inherited.

    Before they are drawn: a text that is left by choosing another scope arrives together with that choice.
    """
    found = {name: _read(edit, name, starts) for name in LABELS}
    edit.changed = {n: c for n, c in found.items() if differs(n, c, chosen(Edit(edit.version, edit.base), n))}


def fill(edit: Edit) -> None:
    """Make the widgets, before they are drawn, show *edit*."""
    for name in LABELS:
        choice = chosen(edit, name)
        if name in PARAMETERS:
            st.session_state[f"{name}_mode"] = choice.mode
        if name not in PARAMETERS:
            st.session_state[name] = choice.value or ""
        elif choice.mode == VALUE:
            st.session_state[name] = choice.value
        elif name in st.session_state:
            del st.session_state[name]


def draw(
    edit: Edit,
    inherited: Mapping[str, Explained],
    problems: Mapping[str, str],
    models: list[str] | None,
) -> str | None:
    """Draw the form.

    Args:
        edit: What is shown.
        inherited: What each parameter, and ``model``, gets when it inherits.
        problems: Field -> rule that it breaks now.
        models: The provider's, or None for all providers, which prefer none.

    Returns:
        The field that is to go back to what is saved.
    """
    undone = []
    for group in _GROUPS:
        with st.container(border=True, gap="xsmall"):
            st.header(group, anchor=False)
            if group == "Model" and models is not None:
                undone.append(_model_row(edit, models, inherited["model"], problems))
            undone += [_row(edit, p, inherited[p.name], problems) for p in PARAMETERS.values() if p.group == group]
    with st.container(border=True, gap="xsmall"):
        undone.append(_custom_row(edit, problems))
    return next(filter(None, undone), None)


def _read(edit: Edit, name: str, starts: Mapping[str, Explained]) -> Choice:
    state, saved = st.session_state, chosen(Edit(edit.version, edit.base), name)
    if name not in PARAMETERS:
        value = state.get(name, saved.value)
        return Choice(VALUE, value) if (value or "").strip() else Choice(INHERIT)
    mode = state.get(f"{name}_mode") or saved.mode
    if mode != VALUE:
        return Choice(mode)
    start = starts[name].value if saved.value is None else saved.value
    start = PARAMETERS[name].first if start is None else start
    return Choice(VALUE, tidy(state.get(name, start), saved.value))


def _row(edit: Edit, parameter: Parameter, inherited: Explained, problems: Mapping[str, str]) -> str | None:
    name = parameter.name
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"row_{name}"):
        undo = _label(edit, name, parameter.help)
        with st.container(width=256):
            mode = st.segmented_control(
                f"{parameter.label}: inherit, a value{', or do not send' if parameter.sendable else ''}",
                [m for m in _MODES if m != OMIT or parameter.sendable],
                format_func=_MODES.__getitem__,
                key=f"{name}_mode",
                required=True,
                label_visibility="collapsed",
            )
        with st.container(width="stretch"):
            if mode == VALUE:
                _value(parameter, chosen(edit, name).value)
            elif mode == OMIT:
                st.caption("Not sent")
            else:
                st.caption(plain(inherited_text(inherited)))
    field_error(st.empty(), problems, name)
    return undo


def _label(edit: Edit, name: str, text: str, width: int | Literal["stretch"] = 190) -> str | None:
    with st.container(width=width, height=52, gap=None, border=False, vertical_alignment="center"):  # rows keep still
        st.markdown(LABELS[name], help=text)
        if name not in edit.changed:
            return None
        saved = described(name, chosen(Edit(edit.version, edit.base), name))
        undo = st.button(
            ":orange[:small[:material/undo: Edited]]",
            key=f"undo_{name}",
            type="tertiary",
            help=plain(f"Undo: back to what is saved ({saved[:200]})"),
        )
    return name if undo else None


def _value(parameter: Parameter, value: Any) -> None:
    name, label, state = parameter.name, f"{parameter.label}: value", st.session_state
    if name not in state:
        state[name] = value
    low, high, step = parameter.minimum, parameter.maximum, parameter.step
    if parameter.choices:
        st.selectbox(label, parameter.choices, key=name, label_visibility="collapsed", filter_mode=None)
    elif parameter.value_type is bool:
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.toggle(label, key=name, label_visibility="collapsed")
            st.text("On" if state[name] else "Off", width="content")
    elif parameter.value_type is float:
        digits = max(2, len(f"{state[name]:.6f}".rstrip("0").partition(".")[2]))
        st.slider(label, low, high, step=step, format=f"%.{digits}f", key=name, label_visibility="collapsed")
    else:
        st.number_input(label, low, high, step=step, key=name, label_visibility="collapsed")


def _model_row(edit: Edit, models: list[str], inherited: Explained, problems: Mapping[str, str]) -> str | None:
    kept = chosen(edit, _MODEL).value
    options = ["", *models, *([kept] if kept and kept not in models else [])]
    default = f"{inherited.value} · {LAYERS[inherited.source.layer]}" if inherited.value else "none is chosen"
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"row_{_MODEL}"):
        undo = _label(edit, _MODEL, "The model that programs get when they ask for this provider.")
        with st.container(width=410):  # wraps below its label on a small screen
            st.selectbox(
                LABELS[_MODEL],
                options,
                format_func=lambda model: model or f"Inherit: {default}",
                key=_MODEL,
                label_visibility="collapsed",
            )
    field_error(st.empty(), problems, _MODEL)
    return undo


def _custom_row(edit: Edit, problems: Mapping[str, str]) -> str | None:
    text = "A JSON object, merged key by key over what is inherited."
    undo = _label(edit, _CUSTOM, text, width="stretch")
    st.text_area(
        LABELS[_CUSTOM],
        key=_CUSTOM,
        height=120,
        placeholder='{"team": "search"}',
        label_visibility="collapsed",
    )
    st.caption("For your own programs to read. Not sent to the model.")
    field_error(st.empty(), problems, _CUSTOM)
    return undo


def names(changed: Iterable[str]) -> str:
    """Return the labels of fields in one line."""
    return ", ".join(LABELS[name] for name in LABELS if name in set(changed))
