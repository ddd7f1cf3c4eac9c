"""The parts of the Document page, one of them at a time."""

from typing import Final

import streamlit as st

COMPARE: Final = "Compare and apply"
STORED: Final = "What is stored"
SECTIONS: Final = (COMPARE, STORED)
"""In the order of the page; a part of another module's stands here too."""
_KEY: Final = "document_section"


def pick() -> str:
    """Draw the choice of a part; returns the one that is chosen."""
    st.session_state.setdefault(_KEY, COMPARE)
    chosen = st.segmented_control("Part", SECTIONS, key=_KEY, required=True, label_visibility="collapsed")
    return str(chosen or COMPARE)
