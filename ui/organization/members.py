"""Members of one organisation: its admins and analysts. Who is added, changed or taken out has to sign in again."""

from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError
from core.manage import organization_members
from core.manage.organization_members import Member
from core.store import db
from core.store.organization_tables import MEMBER_ROLES
from ui import reason
from ui.dialogs import Dialogs
from ui.feedback import attempt, other_errors, plain, show_fault, show_toast
from ui.guard import guard, guard_part
from ui.organization.choice import Chosen
from ui.pressed import Press, Presses
from ui.widgets import coming_and_going, for_row

PRESSES: Final = Presses("organization_members_pressed")
_DIALOGS: Final = Dialogs("organization_member_dialog", (), "member_add", "manager")
start_afresh = _DIALOGS.start_afresh
_USERNAME, _ROLE = "member_username", "member_role"
_MAY: Final = {
    "admin": "Manages its settings, keys and members.",
    "analyst": "Sees what is in force there, and no key.",
}


@st.fragment
def draw(of: Chosen) -> None:
    """Draw the members: a part of the page that runs alone."""
    actor = guard_part("manager")
    try:
        _draw(actor, of)
    except CoreError as error:
        show_fault(error)


def _draw(actor: Actor, of: Chosen) -> None:
    above = coming_and_going()
    with above:
        PRESSES.do_all(actor, lambda press: _do(actor, of, press))
        show_toast()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="member_fields"):
        st.text_input("Username", key=_USERNAME, max_chars=64, autocomplete="off", width=260)
        role = st.segmented_control("Role", MEMBER_ROLES, default="analyst", required=True, key=_ROLE)
        st.button(
            "Add member",
            key=_DIALOGS.beside,
            type="primary",
            icon=":material/person_add:",
            on_click=PRESSES.note,
            args=("add",),
        )
    st.caption(
        f"{_MAY[role or 'analyst']} A user of that name has to be there: an admin of the installation adds users, with the "
        "role “member” for those who see nothing else. They sign in again once they are added."
    )
    with db.transaction() as session:
        members = organization_members.list_of(session, actor, of.id)
    if not members:
        st.info("Nobody belongs to it yet: the installation's admins manage it.", icon=":material/group:")
    with st.container(gap="xsmall", key="rows"):
        for member in members:
            _draw_row(actor, member)
    name, member = _DIALOGS.opened()
    if name is not None:
        _take_out(of, member)


def _draw_row(actor: Actor, member: Member) -> None:
    badge = (
        ":blue-badge[:material/shield_person: Admin]"
        if member.role == "admin"
        else ":gray-badge[:material/visibility: Analyst]"
    )
    off = "" if member.is_active else " :red-badge[:material/block: Disabled]"
    you = " (you)" if member.user_id == actor.user_id else ""
    with st.container(
        border=True, key=f"line_{member.username}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        st.markdown(f"**{plain(member.username)}**{you} {badge}{off}", width="stretch")
        other = "analyst" if member.role == "admin" else "admin"
        for word, action, icon in ((f"Make {other}", "change", "badge"), ("Take out", "remove", "person_remove")):
            st.button(
                for_row(word, member.username),
                key=f"{action}_{member.username}",
                icon=f":material/{icon}:",
                on_click=PRESSES.note,
                args=(action, member),
            )


@st.dialog("Take out of the organisation?", icon=":material/person_remove:", on_dismiss=_DIALOGS.close)
def _take_out(of: Chosen, member: Member) -> None:
    actor = guard("manager")
    st.markdown(
        f"**{plain(member.username)}** sees nothing of **{plain(of.name)}** any more, and is signed out at once."
    )
    if member.user_id == actor.user_id:
        st.warning("This is you: your own sign-in ends.", icon=":material/logout:")
    with reason.buttons():
        if st.button("Cancel", key="member_cancel"):
            _DIALOGS.done()
        pressed = st.button(":red[Take out]", key="member_confirm", icon=":material/person_remove:")
    if not pressed:
        return
    outcome = attempt(
        lambda session: organization_members.remove_member(session, actor, of.id, member.user_id),
        f"{member.username} is out of {of.name}.",
    )
    if outcome.ok:
        _DIALOGS.leave()
        st.rerun()
    other_errors(outcome.errors, set())


def _do(actor: Actor, of: Chosen, press: Press) -> None:
    if press.action == "remove":
        st.session_state[_DIALOGS.key] = ("remove", press.what)
    elif press.action == "change":
        member: Member = press.what
        role = "analyst" if member.role == "admin" else "admin"
        _write(
            lambda session: organization_members.set_member(session, actor, of.id, member.user_id, role),
            f"{member.username} is {role} of {of.name} now.",
        )
    else:
        _add(actor, of)


def _add(actor: Actor, of: Chosen) -> None:
    username = str(st.session_state.get(_USERNAME) or "").strip()
    role = str(st.session_state.get(_ROLE) or "analyst")
    if not username:
        st.warning("Type the username of somebody who is there.", icon=":material/person_search:")
        return

    def add(session: Session) -> None:
        user_id = organization_members.find_user(session, actor, of.id, username)
        organization_members.set_member(session, actor, of.id, user_id, role)

    if _write(add, f"{username} is {role} of {of.name}."):
        st.session_state[_USERNAME] = ""


def _write(work: Any, done: str) -> bool:
    outcome = attempt(work, done)
    other_errors(outcome.errors, set())
    return outcome.ok
