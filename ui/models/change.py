"""The question of the Models page: change to another model, in which providers, and what is otherwise then."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st
from sqlmodel import Session

from core.govern.lifecycle import Retiring
from core.manage import knowledge, successors
from core.manage.successors import Move
from core.models.differences import differences
from core.models.knowledge import Knowledge
from core.models.words import model_line
from core.store import db
from core.wording import counted, listed
from ui import reason
from ui.dialogs import Dialogs
from ui.feedback import attempt, field_error, other_errors, plain, plain_cell
from ui.guard import guard
from ui.models.head import VIEW

_NEW, _WHERE, _OFF = "successor_name", "successor_where", "successor_take_off"
_dialogs = Dialogs("models_dialog", (_NEW, _WHERE, _OFF), VIEW)
start_afresh = _dialogs.start_afresh


def show(line: Retiring) -> None:
    """Open the dialog about a model: a callback."""
    _dialogs.show(_name(line))


def draw_dialog(lines: Sequence[Retiring]) -> None:
    """Draw the dialog that is open, if any, and if its model is still in use."""
    opened, _ = _dialogs.opened()
    line = next((line for line in lines if _name(line) == opened), None)
    if line is not None:
        _change(line)


def _name(line: Retiring) -> str:
    return f"{line.api_name} {line.model}"


@st.dialog("Change to another model", width="large", icon=":material/swap_horiz:", on_dismiss=_dialogs.close)
def _change(line: Retiring) -> None:
    actor = guard("admin")
    st.markdown(f"{plain('In place of')} **{plain(line.model)}** {plain(f'at {line.api}')}")
    new = st.text_input("New model", value=line.successor or "", key=_NEW, max_chars=200, live="400ms").strip()
    slot = st.empty()
    with db.transaction() as session:
        known = knowledge.of(session)
    if new:
        st.caption(plain(model_line(line.api_name, new, knowledge=known)))
    off = st.checkbox(
        f"Take {plain(line.model)} off the list of models, too",
        value=line.days < 0,
        key=_OFF,
        help="Programs cannot ask for it by its name then.",
    )
    with db.transaction() as session:
        moves = successors.plan(session, line.api_name, line.model, new, take_off=off) if new else []
        everybody = successors.plan(session, line.api_name, line.model, "", take_off=True)
    titles = {move.provider: move.display_name for move in everybody}
    where = st.multiselect(  # whatever is typed above: what is chosen here stays
        "Providers", list(titles), default=list(titles), format_func=lambda each: titles.get(each, each), key=_WHERE
    )
    chosen = [move for move in moves if move.provider in where]
    if chosen:
        st.table(
            [
                {"Provider": plain_cell(move.display_name), "What changes": plain(_words(move, line.model, new))}
                for move in chosen
            ],
            border="horizontal",
            alt="What changes in each provider",
        )
    if new:
        _draw_differences(line, new, known)
    with reason.buttons():
        if st.button("Cancel", key="successor_cancel"):
            _dialogs.done()
        pressed = st.button(
            "Change it", key="successor_save", type="primary", icon=":material/swap_horiz:", disabled=not chosen
        )
    if not pressed:
        return

    def write(session: Session) -> Any:
        return successors.change(
            session, actor, line.api_name, line.model, new, names=[move.provider for move in chosen], take_off=off
        )

    outcome = attempt(write, done=f"Changed {line.model} to {new} in {counted(len(chosen), 'provider')}.")
    if outcome.ok:
        _dialogs.done()
    field_error(slot, outcome.errors, "model")
    other_errors(outcome.errors, {"model"})


def _words(move: Move, old: str, new: str) -> str:
    parts = [
        f"its list gets {new}" if move.adds else "",
        f"its default becomes {new}" if move.default else "",
        f"its preferred model becomes {new}" if move.preferred else "",
        f"its list loses {old}" if move.takes_off else "",
    ]
    text = listed([part for part in parts if part])
    return text[:1].upper() + text[1:]


def _draw_differences(line: Retiring, new: str, known: Knowledge) -> None:
    found = differences(line.api_name, line.kind, (line.model, new), datetime.now(UTC), known)
    if not found:
        st.caption("Nothing that is known is otherwise with it.")
        return
    st.table(
        [
            {
                "What": plain(each.what),
                plain_cell(line.model): plain_cell(each.before),
                plain_cell(new): plain_cell(each.after),
            }
            for each in found
        ],
        border="horizontal",
        alt="What is otherwise with the new model",
    )
