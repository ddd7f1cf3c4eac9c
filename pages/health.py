"""Health: is everything as it should be, and what to do where it is not."""

import streamlit as st

from core import crypto
from core.govern import growth, jobs
from core.manage import health
from core.store import db
from ui.health.view import draw_health
from ui.navigation import begin_page

begin_page(
    "health", "Whether the database, the encryption keys and the sign-ins are as they should be, and what to do."
)
with db.transaction() as session:
    found = health.look(session, crypto.get_ring())
    sizes, periodic = growth.tables(session), jobs.states(session)
draw_health(found, sizes, periodic)
st.button("Look again", key="look_again", icon=":material/refresh:")
