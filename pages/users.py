"""Users: who may sign in, and as what."""

import streamlit as st

from core.access import sessions, users
from core.store import db
from core.store.tables import id_of
from core.wording import counted
from ui.feedback import plain
from ui.navigation import begin_page
from ui.users.dialogs import ask, draw_dialog, start_afresh
from ui.widgets import ago, exact, figure, for_row

actor = begin_page(
    "users", "Who may sign in. An admin manages everything; an analyst sees Effective Preview, and never a key."
)
start_afresh()
with db.transaction() as session:
    people = users.list_all(session)
    signed_in = sessions.count_live(session)

active = [user for user in people if user.is_active]
with st.container(horizontal=True, gap="small"):
    figure("Active", f"{len(active)} of {len(people)}")
    figure("Admins", sum(user.role == "admin" for user in active))
    figure("Sign-ins now", sum(signed_in.values()))
if st.button("Add user", key="add_user", type="primary", icon=":material/person_add:"):
    ask("add")

for user in people:
    name, user_id = user.username, id_of(user)
    with (
        st.container(border=True, key=f"user_{name}"),
        st.container(horizontal=True, vertical_alignment="center"),
    ):
        with st.container(width="stretch", gap=None):
            st.markdown(f"**{plain(name)}**" + (" (you)" if user_id == actor.user_id else ""))
            places = signed_in.get(user_id, 0)
            where = f"signed in at {counted(places, 'place')}" if places else "not signed in"
            st.caption(f"Added {ago(user.created_at)}, {where}", help=exact(user.created_at))
        if user.role == "admin":
            st.badge("Admin", icon=":material/shield_person:", color="blue")
        else:
            st.badge("Analyst", icon=":material/visibility:", color="gray")
        if user.is_active:
            st.badge("Active", icon=":material/check_circle:", color="green")
        else:
            st.badge("Disabled", icon=":material/block:", color="red")
        if st.button(for_row("Role", name), key=f"role_{name}", icon=":material/badge:", help="Change the role"):
            ask("role", user_id)
        if st.button(
            for_row("Password", name), key=f"password_{name}", icon=":material/password:", help="Set a new password"
        ):
            ask("password", user_id)
        if places and st.button(
            for_row("Sign out", name), key=f"sign_out_{name}", icon=":material/devices_off:", help="Sign out everywhere"
        ):
            ask("sign_out", user_id)
        word = "Disable" if user.is_active else "Enable"
        if st.button(
            for_row(word, name),
            key=f"{word.lower()}_{name}",
            icon=f":material/person_{'off' if user.is_active else 'check'}:",
        ):
            ask("active", user_id)
draw_dialog()
