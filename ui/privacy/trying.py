"""Try a text: what of it would be found, and what would stand in its place. Nothing of it is stored."""

from typing import Final

import streamlit as st

from core.privacy.looking import Looking, find, not_looked_for
from core.privacy.national import COUNTRIES
from core.privacy.placeholders import Placeholders
from core.wording import counted, listed
from ui.feedback import plain
from ui.privacy.words import KINDS
from ui.widgets import figure

LONGEST_TEXT: Final = 20_000
"""Characters."""
_TEXT: Final = "privacy_text"
_COUNTRIES: Final = "privacy_countries"


def draw() -> None:
    """Draw the form, and what was found in what stands there."""
    st.header("Try a text", anchor=False)
    st.caption(
        "What has a form is found: e-mail addresses, cards, bank accounts, public IP addresses, secrets, phone numbers and national numbers. "
        "Names, addresses of streets and dates of birth are not. It is no guarantee."
    )
    if missing := not_looked_for(Looking(countries=("DE",))):
        kinds = listed([KINDS[kind].lower() for kind in missing])
        st.info(
            f"The app does not look for {kinds} here: install llm-settings[pii] where it runs, and restart it. "
            "A service looks for them where that is installed beside it.",
            icon=":material/extension_off:",
        )
    with st.form("privacy_try", enter_to_submit=False):
        st.text_area(
            "Text",
            key=_TEXT,
            max_chars=LONGEST_TEXT,
            height=140,
            placeholder="As: mail anna@example.com, or ring +49 30 901820",
            help="It is not stored, logged or sent anywhere. It stands here as long as the page is open.",
        )
        st.multiselect(
            "Countries",
            sorted(COUNTRIES),
            key=_COUNTRIES,
            placeholder="None: only phones with +",
            help="Whose national numbers are looked for, and phone numbers as people write them there.",
        )
        st.form_submit_button("Look", type="primary", icon=":material/search:", key="privacy_look")
    text = st.session_state.get(_TEXT) or ""
    if text.strip():
        _draw_found(text[:LONGEST_TEXT], tuple(st.session_state.get(_COUNTRIES) or ()))


def _draw_found(text: str, countries: tuple[str, ...]) -> None:
    looking = Looking(countries=countries)
    placeholders = Placeholders(lambda piece: find(piece, looking))
    masked = placeholders.mask(text)
    counts = {kind: number for kind, number in placeholders.counts.items() if number}
    if not counts:
        st.info("Nothing is found in it. That does not mean that nobody is named in it.", icon=":material/search_off:")
        return
    with st.container(horizontal=True, key="privacy_found"):
        for kind, number in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            figure(KINDS.get(kind, kind), number)
    st.markdown(plain(f"{counted(sum(counts.values()), 'place')} in the text. Masked, it is:"))
    st.code(masked, language=None, wrap_lines=True)
