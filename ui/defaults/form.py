"""The form of the Defaults page: one row a parameter, drawn from an Edit and read back into it."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import streamlit as st

from core.parameters import EFFORTS, PARAMETERS, Parameter
from core.resolving.explanation import BUILT_IN, Explained
from ui.defaults.draft import INHERIT, LABELS, OBJECTS, OMIT, VALUE, Choice, Edit, chosen, described, differs, tidy
from ui.defaults.effective_table import inherited_text
from ui.feedback import plain
from ui.widgets import for_row

MODES: Final = {INHERIT: "Inherit", VALUE: "Value", OMIT: "Don't send"}
_MODEL, _CUSTOM = "preferred_model", "custom_settings"
SLIDERS: Final = tuple(p.name for p in PARAMETERS.values() if p.value_type is float)


def groups() -> dict[str, list[str]]:
    """Return the heading of each group of fields -> their names; that of the last one is empty."""
    found: dict[str, list[str]] = {PARAMETERS["temperature"].group: [_MODEL]}
    for parameter in PARAMETERS.values():
        found.setdefault(parameter.group, []).append(parameter.name)
    return {**found, "": list(OBJECTS)}


class Clicks(NamedTuple):
    """What happens when a field is used; each takes its name. All are callbacks."""

    changed: Callable[[str], None]
    slid: Callable[[str, str], None]
    """Takes the key of the slider, too."""
    typed: Callable[[str, str], None]
    """Takes the key of the number, too."""
    undone: Callable[[str], None]


def built_ins() -> dict[str, Explained]:
    """Return what all providers inherit; no model."""
    model = {"model": Explained("model", None, BUILT_IN, (), None)}
    return model | {p.name: Explained(p.name, p.default, BUILT_IN, (), None) for p in PARAMETERS.values()}


def is_drawn() -> bool:
    """Return whether the form was drawn in the run before this one, so that its widgets can be read."""
    return _CUSTOM in st.session_state


def read(edit: Edit, starts: Mapping[str, Explained]) -> None:
    """Take into *edit* what the widgets hold now; a value that was just asked for starts as what is inherited.

    Before they are drawn: a text that is left by choosing another scope arrives together with that choice.
    """
    found = {name: _read(edit, name, starts) for name in LABELS}
    edit.changed = {n: c for n, c in found.items() if differs(n, c, chosen(Edit(edit.version, edit.base), n))}


def fill(edit: Edit, names: Iterable[str] = tuple(LABELS)) -> None:
    """Make the widgets of the fields *names*, before they are drawn, show *edit*."""
    state = st.session_state
    for name in names:
        choice = chosen(edit, name)
        if name not in PARAMETERS:
            state[name] = choice.value or ""
            continue
        state[f"{name}_mode"] = choice.mode
        for key in (name, slider_key(name), exact_key(name)):
            state.pop(key, None)
        if choice.mode == VALUE:
            _show(PARAMETERS[name], choice.value)


def slider_key(name: str) -> str:
    """Return the key of the slider of *name*: another one each time that it was made to follow the number beside it.

    A click that was made before the browser moved the slider says where it stood: of a widget that is no more.
    """
    return _numbered(name, f"{name}_slider_number")


def exact_key(name: str) -> str:
    """Return the key of the field that holds exactly the number of the slider *name*; another one each time, too."""
    return _numbered(f"{name}_exact", f"{name}_exact_number")


def slid(name: str, key: str) -> None:
    """Have the number beside a slider follow it: for its callback; *key* is the slider's.

    A browser that is behind sends the value of one that is no more, and Streamlit calls that one's callback, as it knows no
    value of before: it says nothing new. So it is with :func:`typed`: each quick press would have taken back the one before.
    """
    if key != slider_key(name):
        return
    value = tidy(st.session_state.get(slider_key(name)), None)
    if isinstance(value, float) and math.isfinite(value):
        _renew(exact_key, name, f"{name}_exact_number")
        st.session_state[exact_key(name)] = value


def typed(name: str, key: str) -> None:
    """Have a slider follow the number beside it, as far as it goes: for the number's callback; *key* is the number's."""
    if key != exact_key(name):
        return
    value = st.session_state.get(exact_key(name))
    if isinstance(value, float):
        _renew(slider_key, name, f"{name}_slider_number")
        st.session_state[slider_key(name)] = _within(PARAMETERS[name], value)


def _bounds(parameter: Parameter) -> tuple[float, float]:
    """Return where the slider of a parameter begins and ends: see :func:`_bound`."""
    low, high = st.session_state.get(_bounds_key(parameter.name)) or (parameter.minimum or 0, parameter.maximum or 0)
    return float(low), float(high)


def _bound(parameter: Parameter, within: tuple[float, float] | None) -> None:
    """Have the slider of a parameter go as far as the model takes it; what is beyond stays in the number beside it."""
    if parameter.value_type is not float or parameter.minimum is None or parameter.maximum is None:
        return
    wanted = parameter.minimum, parameter.maximum
    if within is not None and max(wanted[0], within[0]) < min(wanted[1], within[1]):
        wanted = max(wanted[0], within[0]), min(wanted[1], within[1])
    state, name = st.session_state, parameter.name
    if _bounds(parameter) == wanted:
        return
    state[_bounds_key(name)] = wanted
    value = state.get(exact_key(name))
    if isinstance(value, float):
        _renew(slider_key, name, f"{name}_slider_number")
        state[slider_key(name)] = _within(parameter, value)


def _bounds_key(name: str) -> str:
    return f"{name}_slider_bounds"


def _numbered(key: str, counter: str) -> str:
    number = st.session_state.get(counter, 0)
    return f"{key}_{number}" if number else key


def _renew(key: Callable[[str], str], name: str, counter: str) -> None:
    st.session_state.pop(key(name), None)
    st.session_state[counter] = st.session_state.get(counter, 0) + 1


def parameter_of(name: str) -> str:
    """Return the parameter, or ``model``, that the field *name* decides."""
    return "model" if name in {_MODEL, *OBJECTS} else name


def draw_row(
    name: str,
    edit: Edit,
    inherited: Explained,
    models: list[str] | None,
    clicks: Clicks,
    *,
    within: tuple[float, float] | None = None,
    efforts: Sequence[str] = (),
) -> None:
    """Draw one field.

    Args:
        name: The field.
        edit: What is shown.
        inherited: What its parameter gets when it inherits.
        models: The provider's, or None for all providers, which prefer none.
        clicks: What happens when it is used.
        within: Between which values the model takes it; None: not known.
        efforts: What the model takes as effort of reasoning; empty: not known. Others may be typed.
    """
    if name in OBJECTS:
        _object_row(name, edit, clicks)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"row_{name}"):
        if name == _MODEL:
            _model_row(edit, models, inherited, clicks)
        else:
            _bound(PARAMETERS[name], within)
            _row(edit, PARAMETERS[name], inherited, clicks, efforts or EFFORTS)


def names(changed: Iterable[str]) -> str:
    """Return the labels of fields in one line."""
    return ", ".join(LABELS[name] for name in LABELS if name in set(changed))


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
    exact = state.get(exact_key(name))
    found = state.get(slider_key(name), start) if exact is None else exact
    return Choice(VALUE, [_typed(one) for one in found] if isinstance(found, list) else tidy(found, saved.value))


def _row(edit: Edit, parameter: Parameter, inherited: Explained, clicks: Clicks, efforts: Sequence[str]) -> None:
    name = parameter.name
    _label(edit, name, parameter.help)
    mode = st.segmented_control(
        f"{parameter.label}: inherit, a value{', or do not send' if parameter.sendable else ''}",
        [m for m in MODES if m != OMIT or parameter.sendable],
        format_func=MODES.__getitem__,
        key=f"{name}_mode",
        required=True,
        label_visibility="collapsed",
        width=256,
        on_change=clicks.changed,
        args=(name,),
    )
    if mode == VALUE:
        _value(parameter, chosen(edit, name).value, clicks, efforts)
    else:
        st.caption("Not sent" if mode == OMIT else plain(inherited_text(inherited)), width="stretch")
    _undo(edit, name, clicks)


def _label(edit: Edit, name: str, text: str, width: Any = 200) -> None:
    label = f":orange[{LABELS[name]}]" if name in edit.changed else LABELS[name]
    st.markdown(label, help=text, width=width)


def _undo(edit: Edit, name: str, clicks: Clicks) -> None:
    if name in edit.changed:
        saved = described(name, chosen(Edit(edit.version, edit.base), name))
        st.button(
            for_row(":orange[:material/undo:]", f"Undo {LABELS[name]}"),
            key=f"undo_{name}",
            type="tertiary",
            help=plain(f"Undo: back to what is saved ({saved[:200]})"),
            on_click=clicks.undone,
            args=(name,),
        )


def _value(parameter: Parameter, value: Any, clicks: Clicks, efforts: Sequence[str]) -> None:
    name, label, state = parameter.name, f"{parameter.label}: value", st.session_state
    keys = {slider_key(name), exact_key(name)} if parameter.value_type is float else {name}
    if not all(key in state for key in keys):
        _show(parameter, value)
    if parameter.choices:
        st.selectbox(
            label,
            parameter.choices,
            key=name,
            label_visibility="collapsed",
            filter_mode=None,
            on_change=clicks.changed,
            args=(name,),
        )
    elif parameter.pattern:
        st.selectbox(
            label,
            dict.fromkeys((*efforts, value)),
            key=name,
            label_visibility="collapsed",
            accept_new_options=True,
            on_change=clicks.changed,
            args=(name,),
        )
    elif parameter.value_type is list:
        st.multiselect(
            label,
            dict.fromkeys(state[name]),
            key=name,
            label_visibility="collapsed",
            accept_new_options=True,
            placeholder="Type a text, press Enter; \\n is a line break",
            on_change=clicks.changed,
            args=(name,),
        )
    elif parameter.value_type is bool:
        st.toggle("On" if state[name] else "Off", key=name, width="stretch", on_change=clicks.changed, args=(name,))
    elif parameter.value_type is float:
        form = f"%.{max(2, len(f'{state[exact_key(name)]:.6f}'.rstrip('0').partition('.')[2]))}f"
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small", width="stretch"):
            st.slider(
                label,
                *_bounds(parameter),
                step=parameter.step,
                format=form,
                key=slider_key(name),
                label_visibility="collapsed",
                on_change=clicks.slid,
                args=(name, slider_key(name)),
            )
            st.number_input(  # without its limits: the browser would throw away what is beyond them, and not say which field
                f"{label}, exactly",
                step=parameter.step,
                format=form,
                key=exact_key(name),
                label_visibility="collapsed",
                width=84,
                on_change=clicks.typed,
                args=(name, exact_key(name)),
            )
    else:
        st.number_input(
            label,
            step=parameter.step,
            key=name,
            label_visibility="collapsed",
            on_change=clicks.changed,
            args=(name,),
        )


def _show(parameter: Parameter, value: Any) -> None:
    """Make the widgets of a value, before they are drawn, show it; a slider only as far as it goes."""
    state, name = st.session_state, parameter.name
    if parameter.value_type is float:
        state[exact_key(name)] = float(value)
        state[slider_key(name)] = _within(parameter, float(value))
    else:
        state[name] = [_shown(one) for one in value] if isinstance(value, list) else value


_ESCAPED: Final = (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"))


def _shown(text: str) -> str:
    """Return a text of a list as one line; :func:`_typed` is its opposite."""
    for plain_one, escaped in _ESCAPED:
        text = text.replace(plain_one, escaped)
    return text


def _typed(text: str) -> str:
    return re.sub(r"\\([\\nt])", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text)


def _within(parameter: Parameter, value: float) -> float:
    low, high = _bounds(parameter)
    return min(max(value, low), high) if math.isfinite(value) else low


def _model_row(edit: Edit, models: list[str] | None, inherited: Explained, clicks: Clicks) -> None:
    _label(edit, _MODEL, "The model that programs get when they ask for this provider.")
    if models is None:
        st.caption("Chosen for each provider on its own", width="stretch")
        return
    kept = chosen(edit, _MODEL).value
    options = ["", *models, *([kept] if kept and kept not in models else [])]
    default = inherited.value or "none is chosen"
    st.selectbox(
        LABELS[_MODEL],
        options,
        format_func=lambda model: model or f"Inherit: {default}",
        key=_MODEL,
        label_visibility="collapsed",
        width=400,
        on_change=clicks.changed,
        args=(_MODEL,),
    )
    _undo(edit, _MODEL, clicks)


def _object_row(name: str, edit: Edit, clicks: Clicks) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        _label(edit, name, "A JSON object, merged key by key over what is inherited.", width="content")
        _undo(edit, name, clicks)
    example, what = _OBJECTS[name]
    st.text_area(
        LABELS[name],
        key=name,
        height=120,
        placeholder=example,
        label_visibility="collapsed",
        on_change=clicks.changed,
        args=(name,),
    )
    st.caption(what)


_OBJECTS: Final = {
    "extra_parameters": (
        '{"seed": 7}',
        "Sent to the model with each request, by the names of the vendor's API. null takes back what is inherited.",
    ),
    _CUSTOM: ('{"team": "search"}', "For your own programs to read. Not sent to the model."),
}
"""Field -> what an empty one shows, and what becomes of it."""
