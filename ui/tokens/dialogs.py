"""What the API tokens page asks: what a new token may do, and whether to revoke one."""

from typing import Any

import streamlit as st
from sqlmodel import Session

from core.access import tokens
from core.store import db
from core.store.tables import TOKEN_ROLES
from ui.feedback import attempt, field_error, other_errors, plain
from ui.guard import guard

_OPEN, _MADE = "token_dialog", "made_token"
_TYPED = ("token_name", "token_role", "token_days", "revoke_name", _MADE)
_DAYS = {30: "30 days", 90: "90 days", 365: "a year", None: "does not expire"}
_MAY = {
    "admin": "Everything the REST API does: providers, keys (it never reads one back), settings.",
    "analyst": "Reads effective settings. What most services need.",
    "metrics": "Reads /api/metrics alone, for Prometheus.",
}


def ask(name: str, token_id: int | None = None) -> None:
    """Open the dialog *name*: ``make`` or ``revoke``."""
    st.session_state[_OPEN] = (name, token_id)
    _forget()
    st.rerun()


def start_afresh() -> None:
    """Forget the dialog, and a token made in it, if it was left by leaving the page: Back does not dismiss it.

    Before the page's widgets are drawn: a button is known from the run before only if that run was of this page.
    """
    if "make_token" not in st.session_state:
        st.session_state.pop(_OPEN, None)
        _forget()


def draw_dialog() -> None:
    """Draw the dialog that is open, if any."""
    name, token_id = st.session_state.get(_OPEN, (None, None))
    if name == "make":
        _make()
    elif name == "revoke":
        _revoke(token_id)


def _forget() -> None:
    for key in _TYPED:
        st.session_state.pop(key, None)


def _close() -> None:
    guard("admin")
    st.session_state.pop(_OPEN, None)
    _forget()


def _done() -> None:
    _close()
    st.rerun()


@st.dialog("Make an API token", icon=":material/vpn_key:", on_dismiss=_close)
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
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="token_cancel"):
            _done()
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
            _done()


@st.dialog("Revoke the token?", icon=":material/block:", on_dismiss=_close)
def _revoke(token_id: int) -> None:
    actor = guard("admin")
    with db.transaction() as session:
        row = tokens.get(session, token_id)
    used = "It was never used." if row.last_used_at is None else "It is in use: whatever program has it stops working."
    st.markdown(f"**{plain(row.name)}** is refused within a second, for good. {used}")
    typed = st.text_input("Type the token's name to confirm", key="revoke_name", placeholder=row.name)
    slot = st.empty()
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="revoke_cancel"):
            _done()
        confirmed = st.button(":red[Revoke]", key="revoke_confirm", icon=":material/block:")
    if not confirmed:
        return
    if typed.strip() != row.name:
        field_error(slot, {"name": f"type {row.name} exactly to revoke it"}, "name")
        return
    if attempt(lambda session: tokens.revoke(session, actor, token_id), f"The token {row.name} is revoked.").ok:
        _done()
