"""Where a new provider may start from: a vendor that is known fills the fields. Nothing of the choice itself is stored."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from core.kinds import KINDS
from core.models import catalogue
from core.presets import PRESETS
from ui.feedback import plain
from ui.guard import guard

_VENDORS: Final = {vendor.name: vendor for vendor in catalogue.SEEDED}
_LABELS: Final = {
    **{vendor.name: vendor.display_name for vendor in catalogue.SEEDED},
    **{kind.name: kind.label for kind in KINDS.values() if kind.name not in _VENDORS and kind.base_url is None},
    **{preset.name: preset.label for preset in PRESETS.values()},
}
"""What a provider may start from, the vendors of the catalogue first -> what people read."""
_PROTOCOLS: Final = ("openai_compatible",)


def draw(keys: Mapping[str, str]) -> None:
    """Draw the choice; *keys* are those of the form's widgets, by field. Names that were typed stay."""
    chosen = st.selectbox(
        "Vendor",
        list(_LABELS),
        index=None,
        key=keys["preset"],
        format_func=lambda name: _LABELS[name],
        placeholder="Choose one to fill the fields",
        help="What you save is what stands in the fields.",
        on_change=lambda: _fill(keys),
    )
    if (preset := PRESETS.get(chosen or "")) and preset.note:
        st.caption(plain(preset.note))


def _fill(keys: Mapping[str, str]) -> None:
    guard("admin")
    name = st.session_state.get(keys["preset"])
    if name not in _LABELS:
        return
    for field, value in _names(name).items():
        typed = st.session_state.get(keys[field]) or ""
        if not typed or any(typed == _names(each)[field] for each in _LABELS):
            st.session_state[keys[field]] = value
    wanted = _fields(name)
    models = st.session_state[keys["available_models"]]
    if models and not any(models == _fields(each)["available_models"] for each in _LABELS):  # chosen by hand
        wanted = {field: value for field, value in wanted.items() if not field.endswith(("_model", "_models"))}
    for field, value in wanted.items():
        if (st.session_state[keys[field]] or None) != (
            value or None
        ):  # else the browser would be told to empty what is
            st.session_state[keys[field]] = value  # typed there meanwhile


def _names(name: str) -> dict[str, str]:
    """Return the names of what a provider may start from; that of a mere protocol would say nothing."""
    return {"name": "", "display_name": ""} if name in _PROTOCOLS else {"name": name, "display_name": _LABELS[name]}


def _fields(name: str) -> dict[str, Any]:
    """Return field -> value of what a provider may start from."""
    if name in PRESETS:
        preset = PRESETS[name]
        filled: dict[str, Any] = {"kind": preset.kind, "api_base_url": preset.address, "needs_key": preset.needs_key}
        return {**filled, "available_models": [], "default_model": None}
    vendor = _VENDORS.get(name)
    models = list(vendor.models) if vendor else []
    kind = vendor.kind if vendor else name
    return {
        "kind": kind,
        "api_base_url": "",
        "needs_key": True,
        "available_models": models,
        "default_model": vendor.default_model if vendor else None,
    }
