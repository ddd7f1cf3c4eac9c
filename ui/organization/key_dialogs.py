"""What the section Providers and keys asks: an own key, whether to remove it, and what the organisation may use."""

from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.manage import organization_keys, organization_members, providers
from core.store import db
from ui.dialogs import Dialogs
from ui.feedback import plain
from ui.guard import guard
from ui.organization.choice import Chosen

_KEY, _ALLOWED, _LIMITED, _MODELS, _OWN, _REQUIRES = TYPED = tuple(
    f"own_{name}" for name in ("api_key", "is_allowed", "is_limited", "allowed_models", "models", "requires")
)
DIALOGS: Final = Dialogs("organization_key_dialog", TYPED, "section", "manager")
_MAY: Final = {None: "As its template says, else yes", True: "Yes", False: "No"}


class Shown(NamedTuple):
    """A provider, as the organisation's row showed it."""

    id: int
    version: int
    """Of what the organisation has of it; 0: nothing."""
    name: str
    display_name: str


def draw(of: Chosen) -> None:
    """Draw the dialog that is open, if any."""
    name, shown = DIALOGS.opened()
    if name is not None:
        {"set_key": _set_key, "remove_key": _remove_key, "terms": _terms}[name](of, shown)


@st.dialog("Set the organisation's own key", icon=":material/key:", dismissible=False)
def _set_key(of: Chosen, shown: Shown) -> None:
    actor = guard("manager")
    st.markdown(
        f"**{plain(of.name)}** is served with this key at **{plain(shown.display_name)}**, and the vendor's bill is its own. "
        "Nobody reads it on a page again."
    )
    typed = st.text_input(
        "API key", key=_KEY, persist_state="page", type="password", autocomplete="off", live="0ms", max_chars=10_000
    )
    slots = {"api_key": st.empty()}
    version = DIALOGS.based_on(None)

    def write(session: Session) -> None:
        organization_keys.set_api_key(session, actor, of.id, shown.id, typed or "", version=version)

    DIALOGS.save("own", slots, write, f"The own key of {of.name} at {shown.display_name} is set.", "Set key")


@st.dialog("Remove the own key?", icon=":material/key_off:", on_dismiss=DIALOGS.close)
def _remove_key(of: Chosen, shown: Shown) -> None:
    actor = guard("manager")
    st.markdown(
        f"Services of **{plain(of.name)}** get no key for **{plain(shown.display_name)}**, from the next second on: the "
        "installation's does not take its place by itself."
    )
    version = DIALOGS.based_on(None)
    DIALOGS.save(
        "own",
        {},
        lambda session: organization_keys.remove_api_key(session, actor, of.id, shown.id, version=version),
        f"The own key of {of.name} at {shown.display_name} is removed.",
        ":red[Remove key]",
    )


@st.dialog("What the organisation may use", icon=":material/rule:", dismissible=False)
def _terms(of: Chosen, shown: Shown) -> None:
    actor = guard("manager")
    with db.transaction() as session:
        there = providers.get(session, shown.id).available_models
        row = organization_keys.get(session, actor, of.id, shown.id)
        by = organization_members.known_as(session, actor, row)
    state = st.session_state
    if _OWN not in state:
        state[_OWN] = list(row.own_models) if row else []
        state[_ALLOWED] = row.is_allowed if row else None
        state[_LIMITED] = row is not None and row.allowed_models is not None
        state[_MODELS] = list(row.allowed_models or []) if row else []
        state[_REQUIRES] = row is not None and row.requires_own_key
    st.markdown(f"**{plain(of.name)}** at **{plain(shown.display_name)}**")
    slots: dict[str, Any] = {}
    if of.is_admin:
        st.selectbox("May use it", list(_MAY), key=_ALLOWED, format_func=_MAY.__getitem__, persist_state="page")
        slots["is_allowed"] = st.empty()
        st.toggle("Only some of its models", key=_LIMITED, persist_state="page")
        if state.get(_LIMITED):
            st.multiselect(
                "Models",
                list(dict.fromkeys([*there, *state.get(_MODELS, ())])),
                key=_MODELS,
                persist_state="page",
                placeholder="None: it may use no model here",
            )
        slots["allowed_models"] = st.empty()
        st.toggle(
            "With a key of its own only",
            key=_REQUIRES,
            persist_state="page",
            help="Off: the installation's key serves it where it has none.",
        )
        slots["requires_own_key"] = st.empty()
    if not of.is_template:
        st.multiselect(
            "Own models",
            list(state.get(_OWN, ())),
            key=_OWN,
            persist_state="page",
            accept_new_options=True,
            placeholder="Type a name, press Enter",
            help="Models of the organisation's own account with the vendor. They count only with a key of its own.",
        )
        slots["own_models"] = st.empty()

    version = DIALOGS.based_on(row, by=by)

    def write(session: Session) -> None:
        patch: dict[str, Any] = {"own_models": list(state.get(_OWN) or [])} if not of.is_template else {}
        if of.is_admin:
            patch |= {
                "is_allowed": state.get(_ALLOWED),
                "allowed_models": list(state.get(_MODELS) or []) if state.get(_LIMITED) else None,
                "requires_own_key": bool(state.get(_REQUIRES)),
            }
        organization_keys.update(session, actor, of.id, shown.id, patch, version=version)

    DIALOGS.save("own", slots, write, f"What {of.name} may use of {shown.display_name} is saved.")
