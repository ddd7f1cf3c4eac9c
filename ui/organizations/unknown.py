"""What is decided for the whole installation: what an unregistered organisation gets, and whether changes need a reason."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from core.actors import Actor
from core.manage import installation
from core.store import db
from ui.feedback import attempt, other_errors, plain
from ui.organizations.rows import PRESSES
from ui.pressed import Press
from ui.widgets import changed

_KEY: Final = "unknown_organizations"
_REASONS: Final = "require_reason"
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
    if st.session_state.get(_REASONS) != row.require_reason:
        st.session_state[_REASONS] = row.require_reason
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
        st.toggle(
            "Each change needs a reason",
            key=_REASONS,
            on_change=_note_reasons,
            args=(row.version,),
            help="On the pages, over REST and on the command line a change without one is refused; the audit shows it.",
        )
        if row.updated_by:
            changed(row.updated_at, row.updated_by)


def _note(version: int) -> None:
    PRESSES.note(ACTION, ({"organizations": st.session_state.get(_KEY)}, version))


def _note_reasons(version: int) -> None:
    PRESSES.note(ACTION, ({"require_reason": bool(st.session_state.get(_REASONS))}, version))


def _done(wanted: Mapping[str, Any]) -> str:
    if "require_reason" in wanted:
        return f"A change {'needs' if wanted['require_reason'] else 'may do without'} a reason from now on."
    return f"Unregistered organisations: {_ARE.get(str(wanted['organizations']), '')}."


def do(actor: Actor, press: Press) -> None:
    """Store what was chosen."""
    wanted, version = press.what
    outcome = attempt(
        lambda session: installation.update(session, actor, wanted, version=version),
        _done(wanted),
    )
    if outcome.conflict:
        st.warning(
            plain(f"{outcome.conflict.changed_by or 'Somebody'} decided this just now. Look again."),
            icon=":material/group:",
        )
    other_errors(outcome.errors, set())
    if outcome.ok and "require_reason" in wanted:
        st.rerun()  # the field below the title comes or goes
