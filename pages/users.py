"""Users: who may sign in, and as what."""

from functools import partial

import streamlit as st

from core.access import second_factor, sessions, users
from core.store import db
from core.store.table import id_of
from ui import listing
from ui.navigation import begin_page
from ui.users.dialogs import ask, draw_dialog, start_afresh
from ui.users.rows import draw_figures, draw_review, draw_user

actor = begin_page(
    "users",
    "Who may sign in, and as what: an admin manages everything, an analyst sees no key, a member their organisations alone.",
)
start_afresh()
with db.transaction() as session:
    people = users.list_all(session)
    signed_in = sessions.count_live(session)
    factors = second_factor.who_has_one(session)

draw_figures(people, signed_in)
add = partial(
    st.button, "Add user", key="add_user", type="primary", icon=":material/add:", on_click=partial(ask, "add")
)
wanted = listing.pick("Name", add)
found = [user for user in people if wanted.fits(user.username, user.updated_at)]
if not found:
    listing.draw_none("user")
rows = st.container(gap="xsmall")
shown = listing.shown(found)
with rows:
    for user in shown:
        draw_user(
            user,
            signed_in.get(id_of(user), 0),
            is_self=id_of(user) == actor.user_id,
            has_factor=id_of(user) in factors,
        )
draw_review(actor)
draw_dialog()
