"""The parts of the Document page, one of them at a time."""

from typing import Final, Never

import streamlit as st

COMPARE: Final = "Compare and apply"
STORED: Final = "What is stored"
IMPORT: Final = "Import from another product"
SECTIONS: Final = (COMPARE, STORED, IMPORT)
"""In the order of the page; a part of another module's stands here too."""
_OF_ALL: Final = (IMPORT,)
"""Parts that one organisation's document has not."""
_KEY: Final = "document_section"
_NEXT: Final = "document_section_next"


def pick(organization: str | None) -> str:
    """Draw the choice of a part of the document of *organization*, None: of all; returns the one that is chosen."""
    offered = SECTIONS if organization is None else tuple(each for each in SECTIONS if each not in _OF_ALL)
    wanted = st.session_state.pop(_NEXT, None) or st.session_state.get(_KEY)
    if wanted not in offered or wanted != st.session_state.get(_KEY):
        st.session_state[_KEY] = wanted if wanted in offered else COMPARE
    chosen = st.segmented_control("Part", offered, key=_KEY, required=True, label_visibility="collapsed")
    return str(chosen or COMPARE)


def go(part: str) -> Never:
    """Run the page again with *part*."""
    st.session_state[_NEXT] = part
    st.rerun()
