"""The dialog that gives a provider its first API key, and switches it on if that is wanted."""

from collections.abc import Callable
from typing import Final

import streamlit as st
from sqlmodel import Session

from core import crypto
from core.actors import Actor
from core.errors import Invalid, Sealed
from core.manage import providers
from core.store import api_keys, db
from ui import reason
from ui.feedback import attempt, field_error, other_errors, plain

_TYPED: Final = "first_key_typed"
_ANYWAY: Final = "first_key_anyway"


def forget() -> None:
    """Drop the typed key: nothing keeps it once the dialog is closed."""
    for key in (_TYPED, _ANYWAY):
        st.session_state.pop(key, None)


def draw(actor: Actor, provider_id: int, display_name: str, cancel: Callable[[], None]) -> bool | None:
    """Draw the fields; returns None, or once it is saved whether to test it now. *cancel* closes the dialog."""
    with db.transaction() as session:
        provider = providers.get(session, provider_id)
    ring = crypto.get_ring()
    sealed = ring.primary_id is None
    st.caption(plain(f"{display_name}. Programs use the key from the next second on."))
    typed = st.text_input(
        "API key",
        key=_TYPED,
        persist_state="page",
        type="password",
        live="0ms",  # else Tab to the eye button, and on from there, never commits what was typed (Streamlit 1.67)
        max_chars=api_keys.MAX_KEY,
        autocomplete="new-password",
        disabled=sealed,
        help="Stored encrypted, and never shown again.",
    )
    slot = st.empty()
    if sealed:
        why = str(Sealed()) if ring.kept_in == crypto.VARIABLE else ring.absent()
        st.caption(f":orange[:material/lock: {plain(why)}]")
    look = api_keys.look(provider.kind, typed, provider.api_base_url) if typed else api_keys.KeyVerdict()
    anyway = True
    if look.warning:
        st.warning(plain(look.warning), icon=":material/warning:")
        anyway = st.checkbox("Use this key anyway", key=_ANYWAY)
    activate = not provider.is_active and st.checkbox(
        "Activate it now", value=True, key="first_key_activate", help="Programs get nothing from an inactive provider."
    )
    with reason.buttons():
        if st.button("Cancel", key="first_key_cancel"):
            cancel()
        tested = st.button("Save and test", key="first_key_test", icon=":material/network_check:", disabled=sealed)
        saved = st.button("Save", key="first_key_save", type="primary", icon=":material/save:", disabled=sealed)
    if not (tested or saved):
        return None

    def work(session: Session) -> None:
        providers.set_api_key(session, actor, provider_id, typed or "")
        if activate:
            providers.update(session, actor, provider_id, {"is_active": True})
        if not anyway:
            raise Invalid({"api_key": "looks wrong: check it, or tick 'Use this key anyway'"})

    outcome = attempt(work, f"{display_name} has its API key{' and is active' if activate else ''}.")
    field_error(slot, outcome.errors, "api_key")
    other_errors(outcome.errors, {"api_key"})
    return tested if outcome.ok else None
