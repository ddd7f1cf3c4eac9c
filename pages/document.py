"""Document: everything that people set as one file, to look at, to download, to compare and to apply."""

import streamlit as st

from ui.document import comparing, importing, sections, stored
from ui.document.scope import choose
from ui.navigation import begin_page

actor = begin_page(
    "document",
    "Everything that people set as one file without secrets: to keep, to compare with what is stored, and to apply.",
)
of = choose(actor)
if of is None:
    st.stop()
part = sections.pick(of.organization)
if part == sections.STORED:
    stored.draw(actor, of)
elif part == sections.IMPORT:
    importing.draw()
else:
    comparing.draw(actor, of)
