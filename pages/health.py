"""Health: is everything as it should be, and what to do where it is not."""

import streamlit as st

from core import crypto
from core.govern import growth, jobs, key_ages, lifecycle
from core.manage import health, notifications, omissions
from core.store import db
from ui.health.models import draw_omissions
from ui.health.view import draw_health
from ui.navigation import begin_page

actor = begin_page(
    "health", "Whether the database, the encryption keys and the sign-ins are as they should be, and what to do."
)
with db.transaction() as session:
    found = health.look(session, crypto.get_ring())
    sizes, periodic = growth.tables(session), jobs.states(session)
    old = key_ages.too_old(session, actor)
    hooks = notifications.list_all(session, actor)
    ending, needless = lifecycle.retiring(session, actor, lifecycle.NOTICES[0]), omissions.needless(session)
draw_health(found, sizes, periodic, ending, hooks, old=old)
draw_omissions(actor, needless)
st.button("Look again", key="look_again", icon=":material/refresh:")
