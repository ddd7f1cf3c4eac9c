"""What Undo does once it is pressed: the write is taken back as a whole, or it is said why not."""

import streamlit as st

from core.actors import Actor
from core.errors import Conflict
from core.govern import history_restore
from ui import undo
from ui.feedback import attempt, other_errors, plain


def carry_out(actor: Actor) -> None:
    """Take back what the actor has pressed Undo for, before the page is drawn."""
    found = undo.pressed(actor)
    if found is None:
        return
    if found.is_over:
        _refuse("The minute for Undo is over")
        return
    outcome = attempt(
        lambda session: history_restore.undo(session, actor, found.generation),
        f"Undone: {found.done or 'the last change'}",
    )
    other_errors(outcome.errors, set())
    if outcome.conflict is not None:
        _refuse(_moved(outcome.conflict))


def _moved(conflict: Conflict) -> str:
    return f"It is not undone: {conflict.changed_by or 'somebody'} changed this {conflict.kind} since"


def _refuse(why: str) -> None:
    st.warning(f"{plain(why)}. [Look at History](history), where one field is put back too.", icon=":material/group:")
