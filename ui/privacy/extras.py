"""Services that do not look for phone numbers and national numbers, as what that takes is not installed there."""

import streamlit as st

from core.manage import services
from core.store import db
from ui.feedback import plain
from ui.health.personal_data import not_looked_for_in


def draw() -> None:
    """Say which; nothing if there is none. Those of older versions do not say, and are not named."""
    with db.transaction() as session:
        missing = services.without_pii(services.processes(session))
    if missing:
        st.info(
            f"{plain(not_looked_for_in(missing))} The other kinds are. Install llm-settings\\[pii\\] beside them, and restart them.",
            icon=":material/extension_off:",
        )
