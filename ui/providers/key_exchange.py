"""The exchange of a provider's API key without an outage: the next key is added, tested, promoted; the former one retired."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import streamlit as st
from sqlmodel import Session

from core import crypto
from core.actors import Actor
from core.errors import Sealed
from core.manage import next_keys, provider_keys, provider_secrets, providers
from core.store import api_keys, db
from core.store.table import id_of
from core.store.tables import LlmProvider
from ui import reason
from ui.feedback import attempt, field_error, other_errors, plain
from ui.providers import connection_test
from ui.widgets import ago, exact

_TYPED: Final = "next_key_typed"
_SEEN: Final = "next_key_seen"
"""The version of the second key that was on the screen: what is pressed is meant for that one."""
_STEPS: Final = (
    "1. **Add** the next key. Calls go on with the current one.\n"
    "2. **Test** it.\n"
    "3. **Promote** it: programs use it within a second. The former key stays, for calls that are under way.\n"
    "4. **Retire** the former key here, and revoke it at the vendor's."
)


def forget() -> None:
    """Drop the typed key, and what a test found out."""
    connection_test.forget()
    for key in (_TYPED, _SEEN):
        st.session_state.pop(key, None)


def draw(actor: Actor, provider_id: int, done: Callable[[], None]) -> None:
    """Draw both keys, and what may be done with them; *done* closes the dialog."""
    with db.transaction() as session:
        provider, row = providers.get(session, provider_id), next_keys.get(session, provider_id)
    with st.container(border=True, gap="small"):
        _draw_key(
            "Current key", provider_keys.shown_key(provider), provider.api_key_set_at, provider_keys.key_state(provider)
        )
        if row is not None:
            word = "Next key" if row.name == "next" else "Former key"
            _draw_key(word, provider_secrets.shown(row), row.value_set_at, provider_secrets.state(provider, row))
    seen = st.session_state.get(_SEEN)
    st.session_state[_SEEN] = None if row is None else row.version
    if row is None:
        _draw_add(actor, provider)
    elif row.name == "next":
        _draw_next(actor, provider_id, provider.display_name, seen)
    else:
        _draw_former(actor, provider_id, seen)
    if report := st.session_state.get(connection_test.REPORT):
        connection_test.draw(report)
    with reason.buttons():
        if st.button("Close", key="keys_close"):
            done()


def _draw_key(word: str, shown: str | None, set_at: datetime | None, state: provider_keys.KeyState) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        with st.container(width=110):
            st.markdown(f"**{word}**")
        with st.container(width="stretch", gap=None):
            st.text(shown or "not set")
            if set_at is not None:
                st.caption(f"set {ago(set_at)}", help=exact(set_at))
    if state.message:
        st.error(plain(state.message), icon=":material/key_off:")


def _draw_add(actor: Actor, provider: LlmProvider) -> None:
    st.markdown(_STEPS)
    sealed = crypto.get_ring().primary_id is None
    typed = st.text_input(
        "Next API key",
        key=_TYPED,
        persist_state="page",
        type="password",
        live="0ms",  # else Tab to the eye button, and on from there, never commits what was typed (Streamlit 1.67)
        max_chars=api_keys.MAX_KEY,
        autocomplete="new-password",
        disabled=sealed or not provider.api_key_encrypted,
        help="Stored encrypted, and never shown again.",
    )
    slot = st.empty()
    if sealed:
        st.caption(f":orange[:material/lock: {plain(str(Sealed()))}]")
    look = api_keys.look(provider.kind, typed) if typed else api_keys.KeyVerdict()
    field_error(slot, {"api_key": look.refused} if look.refused else {}, "api_key")
    if look.warning:
        st.warning(plain(look.warning), icon=":material/warning:")
    if not st.button("Add the next key", key="next_key_add", type="primary", icon=":material/add:", disabled=sealed):
        return
    outcome = attempt(
        lambda session: next_keys.add(session, actor, id_of(provider), typed),
        "The next key is stored. Test it before you promote it.",
    )
    if outcome.ok:
        st.session_state.pop(_TYPED, None)
        st.rerun()
    field_error(slot, outcome.errors, "api_key")
    other_errors(outcome.errors, {"api_key"})


def _draw_next(actor: Actor, provider_id: int, name: str, seen: int | None) -> None:
    st.caption("Calls go on with the current key. Test the next one, then promote it: programs use it within a second.")
    with st.container(horizontal=True, gap="small"):
        tested = st.button("Test the next key", key="next_key_test", icon=":material/network_check:")
        promoted = st.button("Promote it", key="next_key_promote", type="primary", icon=":material/arrow_upward:")
        with st.popover("Discard it", icon=":material/delete:", key="next_key_ask"):
            st.markdown("The next key is forgotten here. Calls go on with the current one.")
            discarded = st.button(":red[Forget it]", key="next_key_discard", icon=":material/delete:")
    if tested:
        outcome, report = connection_test.run(actor, provider_id, next_key=True)
        other_errors(outcome.errors, set())
        st.session_state[connection_test.REPORT] = report
    if promoted:
        _do(
            lambda session: next_keys.promote(session, actor, provider_id, version=seen),
            f"{name}: the next key is the current one.",
        )
    if discarded:
        _do(lambda session: next_keys.retire(session, actor, provider_id, version=seen), "The next key is gone.")


def _draw_former(actor: Actor, provider_id: int, seen: int | None) -> None:
    st.caption(
        "Programs use the current key. The former one stays for calls that are under way, and in case you want it back."
    )
    with st.container(horizontal=True, gap="small"):
        back = st.button("Promote it back", key="former_key_promote", icon=":material/undo:")
        with st.popover("Retire the former key", icon=":material/delete:", key="former_key_ask"):
            st.markdown("It is forgotten here, and **cannot be brought back**. Revoke it at the vendor's as well.")
            retired = st.button(":red[Retire it]", key="former_key_retire", icon=":material/delete:")
    if back:
        _do(
            lambda session: next_keys.promote(session, actor, provider_id, version=seen),
            "The former key is the current one again.",
        )
    if retired:
        _do(
            lambda session: next_keys.retire(session, actor, provider_id, version=seen),
            "The former key is forgotten. Revoke it at the vendor's, too.",
        )


def _do(work: Callable[[Session], object], done: str) -> None:
    outcome = attempt(work, done)
    if outcome.ok:
        st.session_state.pop(connection_test.REPORT, None)
        st.rerun()
    if outcome.conflict:
        st.warning(
            plain(
                f"{outcome.conflict.changed_by or 'Somebody'} changed it meanwhile. Look again, and press once more if you still want to."
            ),
            icon=":material/group:",
        )
    other_errors(outcome.errors, set())
