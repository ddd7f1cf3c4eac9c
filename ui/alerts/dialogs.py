"""What the Alerts page asks before somebody acknowledges or resolves alerts: why."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError
from core.govern import alerts
from core.govern.alerts import Alert
from core.store import db
from core.wording import counted
from ui.dialogs import Dialogs
from ui.feedback import plain, show_fault
from ui.guard import guard
from ui.widgets import isolated

DIALOGS: Final = Dialogs("alerts_dialog", (), "alerts_look_again", "member")
_SHOWN: Final = 5
"""So many are named."""
_DO: Final[Mapping[str, tuple[Callable[[Session, Actor, int], Any], str, str, str]]] = {
    "acknowledge": (
        alerts.acknowledge_alert,
        "Acknowledge",
        "acknowledged",
        "Somebody looks after it: others see who, and since when.",
    ),
    "resolve": (
        alerts.resolve_alert,
        "Resolve",
        "resolved",
        "It is put away. While what it tells of goes on, there is no other of it.",
    ),
}
"""Action -> what does it, its button, what is said then, what it means."""


def draw() -> None:
    """Draw the dialog that is open, if any."""
    name, ids = DIALOGS.opened()
    if name is not None:
        _ask(name, ids)


@st.dialog("What becomes of it?", icon=":material/notification_important:", dismissible=False)
def _ask(name: str, ids: tuple[int, ...]) -> None:
    actor = guard("member")
    do, verb, done, means = _DO[name]
    try:
        with db.transaction() as session:
            found = [alerts.get_alert(session, actor, number) for number in ids]
    except CoreError as error:
        DIALOGS.leave()
        show_fault(error)
        return
    for each in found[:_SHOWN]:
        st.markdown(f"- {_line(each)}")
    if len(found) > _SHOWN:
        st.markdown(f"- and {len(found) - _SHOWN} more")
    st.caption(means)

    def work(session: Session) -> None:
        for number in sorted(ids):  # in one order: two admins must not wait for each other
            do(session, actor, number)

    many = counted(len(ids), "alert")
    said = f"{many} {'is' if len(ids) == 1 else 'are'} {done}."
    outcome = DIALOGS.save("alerts", {}, work, said, f"{verb} {many}", closes=False)
    if outcome is not None and outcome.ok:
        for number in ids:
            st.session_state.pop(f"alert_pick_{number}", None)
        DIALOGS.done()


def _line(found: Alert) -> str:
    return plain(isolated(found.text))
