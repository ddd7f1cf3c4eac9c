"""What the API tokens page asks: what a new token may do, and whether to revoke one."""

from typing import Any, Literal

import streamlit as st
from sqlmodel import Session

from core.access import tokens
from core.store import db
from core.store.tables import TOKEN_ROLES
from ui import reason
from ui.dialogs import Dialogs, confirm_by_name
from ui.feedback import attempt, field_error, other_errors, plain
from ui.guard import guard

_MADE = "made_token"
_dialogs = Dialogs("token_dialog", ("token_name", "token_role", "token_days", "revoke_name", _MADE), "make_token")
start_afresh = _dialogs.start_afresh
_DAYS = {30: "30 days", 90: "90 days", 365: "a year", None: "does not expire"}
_MAY = {
    "admin": "Everything the REST API does: providers, keys (it never reads one back), settings.",
    "analyst": "Reads effective settings. What most services need.",
    "metrics": "Reads /api/metrics alone, for Prometheus.",
}


def ask(name: Literal["make", "revoke"], token_id: int | None = None) -> None:
    """Open the dialog *name*: a callback."""
    _dialogs.show(name, token_id)


def draw_dialog() -> None:
    """Draw the dialog that is open, if any."""
    name, token_id = _dialogs.opened()
    if name == "make":
        _make()
    elif name == "revoke":
        _revoke(token_id)


@st.dialog("Make an API token", icon=":material/vpn_key:", dismissible=False)
def _make() -> None:
    actor = guard("admin")
    made: str | None = st.session_state.get(_MADE)
    if made is not None:
        _show(made)
        return
    slots: dict[str, Any] = {}
    name = st.text_input(
        "Name", key="token_name", persist_state="page", max_chars=100, placeholder="the program that uses it"
    )
    slots["name"] = st.empty()
    role = st.segmented_control("Role", TOKEN_ROLES, default="analyst", required=True, key="token_role") or "analyst"
    st.caption(_MAY[role])
    slots["role"] = st.empty()
    days = st.selectbox("It ends after", list(_DAYS), index=1, format_func=lambda d: _DAYS[d], key="token_days")
    slots["expires_in_days"] = st.empty()
    with reason.buttons():
        if st.button("Cancel", key="token_cancel"):
            _dialogs.done()
        pressed = st.button("Make token", key="token_save", type="primary")
    if not pressed:
        return
    found: list[str] = []

    def work(session: Session) -> None:
        found[:] = [tokens.create(session, actor, {"name": name, "role": role, "expires_in_days": days})[1]]

    outcome = attempt(work, f"The token {name.strip()} is made.")
    if outcome.ok:
        st.session_state[_MADE] = found[0]
        st.rerun()
    for field, slot in slots.items():
        field_error(slot, outcome.errors, field)
    other_errors(outcome.errors, set(slots))


def _show(made: str) -> None:
    st.markdown("Copy it now: **it is not shown again**, and nobody can read it from the database.")
    st.code(made, language=None, wrap_lines=True)
    st.caption("Give it to the program by a variable of its environment, and try it:")
    url = (st.context.url or "http://localhost:8501").split("/tokens")[0].rstrip("/")
    line = f'curl -H "Authorization: Bearer $LLM_SETTINGS_TOKEN" {url}/api/llm/settings'
    st.code(line, language="bash", wrap_lines=True)
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Done", key="token_done", type="primary"):
            _dialogs.done()


@st.dialog("Revoke the token?", icon=":material/block:", on_dismiss=_dialogs.close)
def _revoke(token_id: int) -> None:
    actor = guard("admin")
    with db.transaction() as session:
        row = tokens.get(session, token_id)
    used = "It was never used." if row.last_used_at is None else "It is in use: whatever program has it stops working."
    st.markdown(f"**{plain(row.name)}** is refused within a second, for good. {used}")
    if not confirm_by_name(row.name, thing="token", verb="Revoke", icon="block", cancel=_dialogs.done):
        return
    if attempt(lambda session: tokens.revoke(session, actor, token_id), f"The token {row.name} is revoked.").ok:
        _dialogs.done()
