"""What services get that name an organisation which nobody registered: decided for the whole installation."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.manage import installation
from core.store import db
from ui.feedback import attempt, other_errors, plain
from ui.organizations.rows import PRESSES
from ui.pressed import Press
from ui.widgets import changed

_KEY: Final = "unknown_organizations"
ACTION: Final = "unknown"
_ARE: Final = {"closed": "No key", "open": "As without an organisation"}
_MEANS: Final = {
    "closed": "A misspelt or unregistered name gets the settings of all, and no API key: it spends nobody's money.",
    "open": "A name that nobody registered is served with the installation's settings and keys, as if none had been given; a "
    "misspelt one too.",
}


def draw(actor: Actor) -> None:
    """Draw the choice, as it is stored."""
    with db.transaction() as session:
        row = installation.get(session, actor)
    if st.session_state.get(_KEY) != row.organizations:
        st.session_state[_KEY] = row.organizations
    with st.container(border=True, key="unknown_organization_choice"):
        st.segmented_control(
            "Services that name an organisation which is not registered get",
            list(_ARE),
            key=_KEY,
            required=True,
            format_func=_ARE.__getitem__,
            on_change=_note,
            args=(row.version,),
        )
        st.caption(_MEANS[row.organizations])
        if row.updated_by:
            changed(row.updated_at, row.updated_by)


def _note(version: int) -> None:
    PRESSES.note(ACTION, (st.session_state.get(_KEY), version))


def do(actor: Actor, press: Press) -> None:
    """Store what was chosen."""
    wanted, version = press.what
    outcome = attempt(
        lambda session: installation.update(session, actor, {"organizations": wanted}, version=version),
        f"Unregistered organisations: {_ARE.get(str(wanted), '')}.",
    )
    if outcome.conflict:
        st.warning(
            plain(f"{outcome.conflict.changed_by or 'Somebody'} decided this just now. Look again."),
            icon=":material/group:",
        )
    other_errors(outcome.errors, set())
