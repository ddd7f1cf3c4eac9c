"""What the Defaults page asks: which of two people's values to keep, whether to save what is not sent, or reset a scope."""

import streamlit as st
from sqlmodel import Session

from core.manage import settings
from core.manage.scopes import SettingsScope
from core.store import db
from core.wording import counted
from ui import reason
from ui.defaults import presets_menu
from ui.defaults.draft import INHERIT, LABELS, VALUE, Choice, Edit, choices, described, patch, rebase
from ui.defaults.results import save_all_the_same, unsent_of
from ui.defaults.scope import StoredScope, drop
from ui.defaults.work import Work
from ui.feedback import attempt, other_errors, plain, warn
from ui.guard import guard
from ui.scopes import hidden
from ui.widgets import ago, exact

_OPEN = "defaults_dialog"


def open_dialog(name: str) -> None:
    """Have the next run of the page open the dialog *name*, ``conflict``, ``unsent`` or ``reset``, on what is stored then."""
    st.session_state[_OPEN] = name


def ask(name: str) -> None:
    """Open the dialog *name* in a new run."""
    open_dialog(name)
    st.rerun()


def draw_dialog(work: Work) -> None:
    """Draw the dialog that is open, if any; it decides about what is stored as it is shown, and core refuses anything newer."""
    opened, scope_id, title, stored, edit = (
        st.session_state.get(_OPEN),
        work.scope_id,
        work.title,
        work.stored,
        work.edit,
    )
    if opened == "conflict" and edit.changed:
        _resolve_conflict(scope_id, title, stored, edit)
    elif opened == "unsent" and (unsent := unsent_of(work)):
        _confirm_unsent(unsent)
    elif opened == "reset" and stored.row_id is not None:
        _confirm_reset(scope_id, title, stored, edit)
    else:
        st.session_state.pop(_OPEN, None)


def _close() -> None:
    guard("admin")
    st.session_state.pop(_OPEN, None)


@st.dialog("This was changed while you were editing", width="large", icon=":material/group:", dismissible=False)
def _resolve_conflict(scope_id: int | None, title: str, stored: StoredScope, edit: Edit) -> None:
    actor = guard("admin")
    if stored.version:
        who = plain(f"{stored.changed_by or 'Somebody'} saved {title} {ago(stored.changed_at)}.")
    else:
        who = f"Somebody reset {plain(title)}: everything inherits now."
    st.markdown(f"{who} Nothing of yours is lost: choose what holds.", help=exact(stored.changed_at))
    before, theirs = choices(edit.base), choices(stored.fields)
    rows = [
        {
            "Field": LABELS[name],
            "When you began": _cell(name, before[name]),
            "Saved now": _cell(name, theirs[name]) + (_by(stored, name) if theirs[name] != before[name] else ""),
            "Yours": f"**{_cell(name, edit.changed[name])}**" if name in edit.changed else ":gray[not changed]",
        }
        for name in LABELS
        if name in edit.changed or theirs[name] != before[name]
    ]
    st.table(rows, border="horizontal", alt="Each field that you or they changed")
    st.caption("Writing yours changes the fields in the last column only; what they changed elsewhere stays.")
    with reason.buttons(reason.BAR):
        keep = st.button("Keep what is saved", key="conflict_keep", icon=":material/undo:")
        write = st.button("Write mine", key="conflict_write", type="primary", icon=":material/save:")
    if keep:
        drop(scope_id)
        _done()
    if write:
        mine = rebase(edit, stored.version, stored.fields)
        hidden_by: dict[str, str] = {}
        says = {name: choice.mode == VALUE for name, choice in mine.changed.items() if choice.mode != INHERIT}

        def work(session: Session) -> None:
            changes = patch(mine.base, mine.changed)
            settings.upsert_global(
                session, actor, scope_id, changes, version=mine.version, preset=presets_menu.named(mine)
            )
            hidden_by.clear()
            hidden_by.update(hidden.find(session, actor, SettingsScope(scope_id), says))

        done = f"Saved your changes in {title}."
        outcome = attempt(work, done)
        if outcome.ok:
            if hidden_by:
                warn(f"{done} {hidden.sentences(hidden_by, LABELS)}")
            drop(scope_id)
            _done()
        elif outcome.conflict:
            st.rerun()  # somebody saved once more: the dialog opens again with what is there now
        other_errors(outcome.errors, set())


@st.dialog("Save what is not sent?", icon=":material/block:", on_dismiss=_close)
def _confirm_unsent(unsent: dict[str, str]) -> None:
    guard("admin")
    st.markdown("You typed this, and it does not reach the model as it is:")
    st.table(
        [{"Field": LABELS[name], "What becomes of it": plain(text)} for name, text in unsent.items()],
        border="horizontal",
        alt="What was typed and is not sent as it is",
    )
    st.caption("It may be saved: it is sent once a model is chosen that takes it.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Go back", key="unsent_back", icon=":material/undo:"):
            _done()
        if st.button("Save all the same", key="unsent_save", type="primary", icon=":material/save:"):
            save_all_the_same(unsent)
            _done()


@st.dialog("Reset to inherited values?", icon=":material/restart_alt:", on_dismiss=_close)
def _confirm_reset(scope_id: int | None, title: str, stored: StoredScope, edit: Edit) -> None:
    actor = guard("admin")
    row_id = stored.row_id
    if row_id is None:
        st.markdown("Nothing is set here any more: everything inherits.")
        return
    chosen = {name: c for name, c in choices(stored.fields).items() if c.mode != INHERIT}
    st.markdown(plain(f"Everything in {title} inherits again. What goes: {counted(len(chosen), 'choice')}."))
    st.table(
        [{"Field": LABELS[name], "Value": _cell(name, choice)} for name, choice in chosen.items()],
        border="horizontal",
        alt="What the reset takes away",
    )
    with db.transaction() as session:
        row = settings.get_global(session, scope_id)
    if row is not None and row.default_provider_id is not None:
        st.warning("The default provider goes, too: a service then has to name one.", icon=":material/hub:")
    if edit.changed:
        st.warning(f"What is unsaved here goes, too: {counted(len(edit.changed), 'change')}.", icon=":material/edit:")
    with reason.buttons():
        if st.button("Cancel", key="reset_cancel"):
            _done()
        confirmed = st.button("Reset all", key="reset_confirm", type="primary", icon=":material/restart_alt:")
    if confirmed:
        outcome = attempt(
            lambda s: settings.delete(s, actor, row_id, version=stored.version),
            done=f"{title} inherits everything again.",
        )
        if outcome.ok:
            drop(scope_id)
            _done()
        elif outcome.conflict:
            st.warning("It was changed just now. Close this, look again, and reset if you still want to.")


def _done() -> None:
    st.session_state.pop(_OPEN, None)
    st.rerun()


def _cell(name: str, choice: Choice) -> str:
    return plain(described(name, choice))


def _by(stored: StoredScope, name: str) -> str:
    changes = stored.changes.get(name) or stored.changes.get("omitted_parameters") or {}
    return f"  \n:gray[:small[{plain(str(changes['by']))}]]" if changes.get("by") else ""
