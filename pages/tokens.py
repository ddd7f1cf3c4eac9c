"""API tokens: how programs sign in to the REST API."""

from functools import partial

import streamlit as st

from core.access import tokens
from core.store import db
from ui import listing
from ui.navigation import begin_page
from ui.tokens.dialogs import ask, draw_dialog, start_afresh
from ui.tokens.rows import draw_figures, draw_nothing_yet, draw_revoked, draw_token

begin_page("tokens", "How programs that are not Python sign in to the REST API, each with its own token.")
start_afresh()
with db.transaction() as session:
    rows = tokens.list_all(session)
live = [row for row in rows if row.revoked_at is None]

draw_figures(live)
make = partial(
    st.button, "Make token", key="make_token", type="primary", icon=":material/add:", on_click=ask, args=("make",)
)
if not rows:
    draw_nothing_yet(ever=False)
    make()
else:
    wanted = listing.pick("Name or beginning", make)
    fitting = [
        row for row in rows if wanted.fits(f"{row.name} {row.hint}", row.created_at, row.last_used_at, row.revoked_at)
    ]
    found = [row for row in fitting if row.revoked_at is None]
    revoked = [row for row in fitting if row.revoked_at is not None]
    if not live:
        draw_nothing_yet(ever=True)
    elif not fitting:
        listing.draw_none("token")
    elif not found:
        st.caption("Of those in force none fits.")
    place = st.container(gap="xsmall")
    shown = listing.shown(found)
    with place:
        for row in shown:
            draw_token(row)
    draw_revoked(revoked)
draw_dialog()
