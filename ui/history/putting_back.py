"""The dialog that puts a row, or one field of it, back: what would change first, then the reason, then the write."""

from typing import Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError
from core.govern import history_names, history_restore
from core.govern.history import VersionChange
from core.govern.history_names import KINDS
from core.govern.history_restore import RowOutcome
from core.govern.history_writers import WRITERS
from core.store import db
from core.wording import counted
from ui import reason
from ui.dialogs import Dialogs
from ui.feedback import as_markdown, attempt, other_errors, plain
from ui.guard import guard
from ui.history.choice import CLEAR
from ui.history.words import Names, field_words, rows_of
from ui.widgets import cut

_WHEN, _WHAT = "put_back_when", "put_back_what"
_SEEN: Final = "put_back_seen"
"""In the session: the row's version that the preview was worked out on."""
LOOKED_AT: Final = "organization_back_looked_at"
"""In the session: the generation that the preview of an organisation was worked out at."""
_PICKED: Final = "put_back_picked"
DIALOGS: Final = Dialogs("history_dialog", (_WHEN, _WHAT, _SEEN, LOOKED_AT), CLEAR, role="member")
_BEFORE, _AFTER = "Before this change", "After this change"
_WHOLE: Final = "The whole row"
_WOULD: Final = {"made": "would be made again", "deleted": "would be deleted"}


class Picked(NamedTuple):
    """The change that is put back."""

    table: str
    row_id: int
    generation: int
    name: str
    when: tuple[str, ...]
    """Which sides of it there are to go back to."""
    fields: tuple[str, ...]
    """Those that may be put back by themselves."""
    field: str | None
    """The one that was pressed; None: the whole row."""

    @classmethod
    def of(cls, row: VersionChange, field: str | None) -> "Picked":
        """Return what is put back of a change."""
        sides = {"+": (_AFTER,), "-": (_BEFORE,), "=": (_BEFORE, _AFTER)}[row.op]
        when = (_AFTER,) if row.is_first else sides
        fields = restorable(row) if row.op == "=" else ()
        return cls(row.table, row.row_id, row.generation, row.name, when, fields, field)


def restorable(row: VersionChange) -> tuple[str, ...]:
    """Return which of the fields that were changed can be put back by themselves."""
    writer = WRITERS.get(row.table)
    return tuple(name for name in row.fields if writer is not None and name in writer.fields)


def pick(what: Picked) -> None:
    """Open the dialog: a callback, which guards."""
    DIALOGS.show("row")
    st.session_state[_PICKED] = what


def draw() -> None:
    """Draw the dialog, if it is open."""
    name, _ = DIALOGS.opened()
    if name == "row":
        _put_back(st.session_state[_PICKED])


@st.dialog("Put back", icon=":material/settings_backup_restore:", width="medium", on_dismiss=DIALOGS.close)
def _put_back(what: Picked) -> None:
    actor = guard("member")
    st.markdown(f"{plain(KINDS.get(what.table, 'row').capitalize())} **{cut(what.name, 100)}** as it was")
    generation = what.generation - (_pick_when(what) == _BEFORE)
    only = _pick_what(what)
    found = None
    try:
        with db.transaction() as session:
            found = history_restore.restore_row(
                session, actor, what.table, what.row_id, generation, fields=only, dry_run=True
            )
            names = history_names.named(session, [found.fields])
    except CoreError as error:
        st.warning(as_markdown(f"It cannot be put back. {error}"), icon=":material/block:")
    else:
        _draw_preview(found, names)
    place = st.container()
    with reason.buttons():
        if st.button("Cancel", key="put_back_cancel"):
            DIALOGS.done()
        pressed = st.button(
            "Put back", key="put_back_confirm", type="primary", disabled=found is None or found.done == "nothing"
        )
    if found is None:
        return
    version = st.session_state.get(_SEEN, found.version)
    st.session_state[_SEEN] = found.version  # what is pressed next was decided on what this run shows
    if pressed:
        with place:
            _write(actor, what, generation, only, version)


def _pick_when(what: Picked) -> str:
    if len(what.when) == 1:
        st.caption(what.when[0])
        return what.when[0]
    chosen = st.segmented_control("When", what.when, default=_BEFORE, required=True, key=_WHEN)
    return chosen or _BEFORE


def _pick_what(what: Picked) -> list[str] | None:
    """Draw the field of what is put back; returns the fields, None: all."""
    if not what.fields:
        return None
    options = {_WHOLE: None, **{field_words(name): name for name in what.fields}}
    chosen = st.selectbox(
        "What", list(options), key=_WHAT, index=[*options.values()].index(what.field), filter_mode="contains"
    )
    field = options[chosen]
    return None if field is None else [field]


def _draw_preview(found: RowOutcome, names: Names) -> None:
    if found.done == "nothing":
        st.info("It is so already: nothing would change.", icon=":material/check_circle:")
        return
    would = _WOULD.get(found.done) or f"{counted(len(found.fields), 'field')} would change"
    st.markdown(f"**{would.capitalize() if found.done == 'changed' else f'The row {would}'}**")
    st.table(
        rows_of(found.fields, names, ("Now", "Then")),
        border="horizontal",
        hide_index=True,
        alt="Each field as it is now, and as it would be",
    )
    for note in found.notes:
        st.caption(f":material/key: {plain(note)}")


def _write(actor: Actor, what: Picked, generation: int, only: list[str] | None, version: int | None) -> None:
    def work(session: Session) -> None:
        history_restore.restore_row(session, actor, what.table, what.row_id, generation, fields=only, version=version)

    outcome = attempt(work, f"{what.name} is put back.")
    if outcome.ok:
        DIALOGS.done()
    other_errors(outcome.errors, set())
    if outcome.conflict is not None:
        st.warning(
            plain(
                f"{outcome.conflict.changed_by or 'Somebody'} changed it meanwhile, and nothing was put back. Above stands what would "
                "change now: press again to have it so."
            ),
            icon=":material/group:",
        )
