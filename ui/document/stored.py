"""What is stored, as a document: shown, and downloaded."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.govern.documents import writing
from core.store import db
from ui.document.scope import DocumentOf

_SHOWN: Final = 60_000
"""Characters that are shown; a file has all of them."""


def draw(actor: Actor, of: DocumentOf) -> None:
    """Draw the document of what is stored.

    Args:
        actor: An admin; of one organisation also an admin of it.
        of: Of what.
    """
    with db.transaction() as session:
        text = writing.write(session, actor, of.organization)
    st.download_button(
        "Download",
        text,
        file_name=of.file,
        mime="application/yaml",
        key="document_download",
        icon=":material/download:",
    )
    st.caption(
        "Keys are in it as set, with their fingerprint. Over the command line: `python -m core export`"
        + (f" `--organization {of.organization}`" if of.organization else "")
    )
    st.code(text[:_SHOWN], language="yaml", wrap_lines=True)
    if len(text) > _SHOWN:
        st.caption(f"The first {_SHOWN:,} of {len(text):,} characters are shown; the file has all.")
