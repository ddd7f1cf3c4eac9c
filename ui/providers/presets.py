"""Where a new provider may start from: a vendor whose address is known fills the fields. Nothing of it is stored."""

from collections.abc import Mapping

import streamlit as st

from core.presets import PRESETS
from ui.feedback import plain
from ui.guard import guard


def draw(keys: Mapping[str, str]) -> None:
    """Draw the choice; *keys* are those of the form's widgets, by field. Names that were typed stay."""
    chosen = st.selectbox(
        "Start from",
        list(PRESETS),
        index=None,
        key=keys["preset"],
        format_func=lambda name: PRESETS[name].label,
        placeholder="A vendor or server that speaks OpenAI's protocol",
        help="Fills kind and base URL. What you save is what stands in the fields.",
        on_change=lambda: _fill(keys),
    )
    if chosen is not None and PRESETS[chosen].note:
        st.caption(plain(PRESETS[chosen].note))


def _fill(keys: Mapping[str, str]) -> None:
    guard("admin")
    preset = PRESETS.get(st.session_state.get(keys["preset"]) or "")
    if preset is None:
        return
    samples = {
        "name": [each.name for each in PRESETS.values()],
        "display_name": [each.label for each in PRESETS.values()],
    }
    for field, value in {"name": preset.name, "display_name": preset.label}.items():
        typed = st.session_state.get(keys[field]) or ""
        if not typed or typed in samples[field]:
            st.session_state[keys[field]] = value
    st.session_state[keys["kind"]] = preset.kind
    st.session_state[keys["api_base_url"]] = preset.address
    st.session_state[keys["needs_key"]] = preset.needs_key
