"""Another host for a provider for which organisations have keys of their own: they are named, and its name is asked for."""

from typing import Any, Final

import streamlit as st

from core.manage import provider_holders, providers
from core.store import db
from core.wording import counted
from ui.feedback import plain
from ui.providers import form

_NAME: Final = "provider_moved_name"
_FIELD: Final = "own_keys"


def draw(provider_id: int | None, place: Any, slots: dict[str, Any]) -> None:
    """Draw the question in *place*, if what is typed leads to another host and organisations have keys for this one.

    Args:
        provider_id: None: it is not stored yet.
        place: A container.
        slots: Get the slot of its error.
    """
    number, named, name = _held(provider_id)
    if not number:
        return
    with place:
        st.warning(
            plain(
                f"{counted(number, 'organisation')} with a key of their own here: {named}. Such a key is sent to the host that "
                "it was entered for and to no other: each has to be entered again."
            ),
            icon=":material/key_off:",
        )
        st.text_input("Type the provider's name to move it", key=_NAME, persist_state="page", placeholder=name)
        slots[_FIELD] = st.empty()


def unconfirmed(provider_id: int | None) -> dict[str, str]:
    """Return the error of a move that was not confirmed."""
    number, _, name = _held(provider_id)
    if not number or str(st.session_state.get(_NAME) or "").strip() == name:
        return {}
    return {_FIELD: f"type {name} exactly to move it to another host"}


def forget() -> None:
    """Forget what was typed."""
    st.session_state.pop(_NAME, None)


def _held(provider_id: int | None) -> tuple[int, str, str]:
    """Return how many organisations have a key that the move would part from its host, which, and the provider's name."""
    if provider_id is None or not form.moves():
        return 0, "", ""
    with db.transaction() as session:
        number = provider_holders.own_keys(session, provider_id)
        return number, provider_holders.with_own_keys(session, provider_id), providers.get(session, provider_id).name
