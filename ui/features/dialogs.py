"""What the Features page asks: a feature's fields, and whether to delete it."""

from typing import Any, Final, NamedTuple

import streamlit as st

from core.errors import CoreError
from core.manage import features
from core.store import db
from core.store.organization_tables import LlmFeature
from ui.dialogs import Dialogs, confirm_by_name
from ui.feedback import attempt, other_errors, plain, show_fault
from ui.guard import guard

NAME, _DISPLAY, _DESCRIPTION, _ACTIVE = TYPED = tuple(
    f"feature_{name}" for name in ("name", "display_name", "description", "is_active")
)
DIALOGS: Final = Dialogs("features_dialog", (*TYPED, "delete_name"), "add_feature")
_KEPT: Final = "page"


class Shown(NamedTuple):
    """A feature, as its row showed it."""

    id: int
    version: int
    name: str
    display_name: str


def draw() -> None:
    """Draw the dialog that is open, if any."""
    name, shown = DIALOGS.opened()
    if name == "add":
        _add()
    elif name is not None:
        try:
            with db.transaction() as session:
                row = features.get(session, shown.id)
                goes = features.deletion(session, shown.id)
        except CoreError as error:
            DIALOGS.leave()
            show_fault(error)
        else:
            _edit(row) if name == "edit" else _delete(row, goes)


@st.dialog("Register a feature", icon=":material/category:", dismissible=False)
def _add() -> None:
    actor = guard("admin")
    slots = _fields(None)
    DIALOGS.save(
        "feature",
        slots,
        lambda session: features.create(session, actor, _typed()),
        f"{_typed()['display_name']} is registered.",
        "Register",
    )


@st.dialog("Edit the feature", icon=":material/edit:", dismissible=False)
def _edit(row: LlmFeature) -> None:
    actor = guard("admin")
    version = DIALOGS.based_on(row)
    slots = _fields(row)
    if _typed()["name"] not in {"", row.name}:
        st.warning(
            plain(f"Services that ask for {row.name} get no feature then: to them another name is another feature."),
            icon=":material/warning:",
        )
    DIALOGS.save(
        "feature",
        slots,
        lambda session: features.update(session, actor, row.id or 0, _typed(), version=version),
        f"{_typed()['display_name']} is saved.",
    )


@st.dialog("Delete the feature?", icon=":material/delete:", on_dismiss=DIALOGS.close)
def _delete(row: LlmFeature, goes: list[str]) -> None:
    actor = guard("admin")
    version = DIALOGS.based_on(row, "Look again, and delete if you still want to.")
    st.markdown("This cannot be undone. What goes:")
    st.markdown("\n".join(f"- {plain(line)}" for line in goes))
    st.caption("Services that ask for it get what is set without a feature.")
    if not confirm_by_name(row.name, thing="feature", verb="Delete", icon="delete", cancel=DIALOGS.done):
        return
    outcome = attempt(
        lambda session: features.delete(session, actor, row.id or 0, version=version), f"{row.display_name} is deleted."
    )
    if outcome.ok:
        DIALOGS.done()
    if outcome.conflict:
        st.warning("It was changed meanwhile. Look again, and delete if you still want to.", icon=":material/group:")
    other_errors(outcome.errors, set())


def _fields(row: LlmFeature | None) -> dict[str, Any]:
    state = st.session_state
    if _ACTIVE not in state:
        state[_ACTIVE] = row.is_active if row else True
        if row is not None:
            state.update({NAME: row.name, _DISPLAY: row.display_name, _DESCRIPTION: row.description or ""})
    slots = {}
    st.text_input(
        "Name",
        key=NAME,
        persist_state=_KEPT,
        max_chars=100,
        autocomplete="off",
        help="What programs ask for, as summarise: a to z, 0 to 9, dot, hyphen and underscore.",
    )
    slots["name"] = st.empty()
    st.text_input("Display name", key=_DISPLAY, persist_state=_KEPT, max_chars=100, placeholder="As the name")
    slots["display_name"] = st.empty()
    st.text_area("Description", key=_DESCRIPTION, persist_state=_KEPT, max_chars=2000, height=80)
    slots["description"] = st.empty()
    st.toggle("Active", key=_ACTIVE, persist_state=_KEPT, help="What is set for one that is not active does not count.")
    slots["is_active"] = st.empty()
    return slots


def _typed() -> dict[str, Any]:
    state = st.session_state
    name = str(state.get(NAME) or "").strip()
    return {
        "name": name,
        "display_name": str(state.get(_DISPLAY) or "").strip() or name,
        "description": state.get(_DESCRIPTION) or None,
        "is_active": bool(state.get(_ACTIVE, True)),
    }
