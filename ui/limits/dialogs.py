"""What the Limits page asks: what a limit holds, whether it is lifted, and whether what it puts out of force is cleared."""

import json
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError, Invalid, NotFound
from core.manage import limit_listing, limits
from core.manage.limit_listing import ListedLimit
from core.manage.limit_rules import CURE
from core.manage.limits import CLEARED_AT_ONCE, Preview
from core.resolving.limits import rules_for
from core.store import db
from core.store.table import id_of
from core.wording import counted
from ui import reason
from ui.dialogs import Dialogs
from ui.feedback import attempt, field_error, other_errors, plain, show_fault, warn
from ui.guard import guard
from ui.limits import form, words
from ui.limits.form import Offered, Written
from ui.scopes.editors import Names
from ui.widgets import isolated

_SHOWN: Final = "limit_effects_shown"
"""What was said last of what goes out of force: nothing is saved before it was said."""
DIALOGS: Final = Dialogs("limits_dialog", (*form.TYPED, _SHOWN), "add_limit", role="member")


class Shown(NamedTuple):
    """A limit, as its row showed it."""

    id: int
    version: int
    scope: str


def open_for(action: str, what: Shown | None, names: Names, offered: Offered) -> None:
    """Open a dialog with its form filled: a new limit begins with the scope that the list is narrowed to.

    Args:
        action: ``add``, ``edit``, ``lift`` or ``clear``.
        what: The limit; None: a new one.
        names: What the list is narrowed to.
        offered: What there is to choose from.
    """
    DIALOGS.begin(action, what, what.version if what else None)
    form.forget_rules()
    if action == "add":
        form.begin(names, None, offered.providers)


def draw(offered: Offered) -> None:
    """Draw the dialog that is open, if any."""
    name, shown = DIALOGS.opened()
    if name == "add":
        _add(offered)
    elif name == "edit":
        _edit(shown, offered)
    elif name == "lift":
        _lift(shown)
    elif name == "clear":
        _clear(shown)


def _read(actor: Actor, shown: Shown) -> tuple[ListedLimit, Preview]:
    """Return the limit as it is stored now, and what it puts out of force; ends the run where it is gone or may not be changed.

    In the dialog: what was read before it was drawn would stay as it was while it is open.
    """
    try:
        with db.transaction() as session:
            row = limits.find(session, actor, shown.id, "limit.update", role="admin")
            return limit_listing.described(session, actor, [row])[0], limits.outcome(session, actor, row)
    except NotFound:
        if form.FIELDS in st.session_state:  # what was typed stays, to be set anew
            st.session_state[DIALOGS.key] = ("add", None)
            warn(f"The limit of {shown.scope} was lifted meanwhile. Add limit sets it anew, with what you typed.")
        else:
            DIALOGS.leave()
            warn(f"The limit of {shown.scope} was lifted meanwhile.")
        st.rerun()
    except CoreError as error:
        show_fault(error)
        st.stop()


@st.dialog("Add a limit", icon=":material/lock:", width="medium", dismissible=False)
def _add(offered: Offered) -> None:
    actor = guard("member")
    owner, scope, slots = form.draw_scope(actor, offered)
    written = form.draw_rules(owner, scope, slots, offered.providers)
    there = None
    if written.data is not None:
        with db.transaction() as session:
            there = _there(session, actor, written.data)
    if there is not None:
        _draw_there(there)
        with reason.buttons():
            _draw_cancel()
        return
    found = _draw_effects(actor, written, own=None)
    _save(actor, written, found, row=None, label="Add limit")


def _there(session: Session, actor: Actor, data: dict[str, Any]) -> ListedLimit | None:
    """Return the limits that the scope has of that owner already, if *actor* may change them."""
    number = limits.stored_id(session, {**data, "limits": {"max_tokens": {"lock": True}}, "note": None})
    if number is None:
        return None
    try:
        return limit_listing.described(session, actor, [limits.find(session, actor, number)])[0]
    except CoreError:
        return None


def _draw_there(there: ListedLimit) -> None:
    says = "; ".join(f"{label}: {rules}" for label, rules in there.says)
    st.info(plain(f"{there.scope} has limits of that owner already: {says}."), icon=":material/lock:")
    if st.button("Edit those", key="limit_edit_those", icon=":material/edit:", disabled=not there.may_change):
        form.forget_rules()
        DIALOGS.open("edit", Shown(id_of(there.row), there.row.version, there.scope), there.row.version)


@st.dialog("Edit the limit", icon=":material/edit:", width="medium", dismissible=False)
def _edit(shown: Shown, offered: Offered) -> None:
    actor = guard("member")
    found, _ = _read(actor, shown)
    row = found.row
    if form.FIELDS not in st.session_state:
        names = Names(found.provider, found.organization, None, found.feature)
        form.begin(names, row, offered.providers)
    says = "; ".join(f"{label}: {rules}" for label, rules in found.says)
    version = DIALOGS.based_on(row, f"It says now: {says}. Save writes what stands here.", by=found.changed_by)
    st.markdown(f"**{plain(isolated(found.scope))}** · {words.OWNERS[row.owner].lower()}")
    written = form.draw_rules(row.owner, limits.scope_of(row), {}, offered.providers)
    said = _draw_effects(actor, written, own=id_of(row))
    _save(actor, written, said, row=(id_of(row), version), label="Save")


def _draw_effects(actor: Actor, written: Written, own: int | None) -> Preview | None:
    """Say what the limit would put out of force, where it binds nothing, and where it does not hold; returns it, None: it is no limit yet."""
    if written.data is None or written.missing or not written.data["limits"]:
        return None
    try:
        with db.transaction() as session:
            found = limits.preview(session, actor, written.data, own=own)
    except Invalid as error:
        for field, slot in written.slots.items():
            field_error(slot, error.fields, field)
        return None
    except CoreError as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        return None
    for field, note in found.notes.items():
        if field in written.slots:
            _draw_note(written.slots[field], field, note)
    if found.effects.rows:
        out = words.out_of_force(found.effects.rows, found.effects.organizations)
        st.warning(
            f"{plain(f'Puts {out}. What they say stays stored, and counts again once the limit is lifted.')}\n\n"
            f"{words.rows_of(found.effects)}",
            icon=":material/block:",
        )
    else:
        st.caption(":material/check: Nothing that is stored goes out of force.")
    if found.ignored_by:
        st.warning(plain(found.holds), icon=":material/update:")
    else:
        st.caption(f":material/check: {found.holds}")
    return found


def _draw_note(slot: Any, field: str, note: str) -> None:
    with slot.container(horizontal=True, vertical_alignment="center", gap="small"):
        text = note.removesuffix(f" {CURE}").rstrip(".")
        st.markdown(f":orange[:material/info: {plain(text[:1].upper() + text[1:])}.]", width="content")
        if "send" in rules_for(field) and note.endswith(CURE):
            st.button(
                "Have it sent",
                key=f"limit_send_{field}",
                icon=":material/send:",
                on_click=_have_sent,
                args=(field,),
            )


def _have_sent(field: str) -> None:
    guard("member")
    st.session_state[form.key_of(field, "send")] = "Must be sent"


def _save(actor: Actor, written: Written, found: Preview | None, row: tuple[int, int] | None, *, label: str) -> None:
    place = st.container()
    with reason.buttons():
        _draw_cancel()
        pressed = st.button(label, key="limit_save", type="primary")
    said = None if found is None else json.dumps([written.data, found.effects.rows], sort_keys=True)
    was_said = st.session_state.get(_SHOWN) == said
    st.session_state[_SHOWN] = said
    if not pressed or not _is_ready(
        written, place, is_new=not was_said and found is not None and found.effects.rows > 0
    ):
        return
    numbers: list[int] = []
    data: dict[str, Any] = written.data or {}

    def work(session: Session) -> None:
        if row is None:
            numbers[:] = [id_of(limits.create(session, actor, data))]
        else:
            patch = {name: data[name] for name in limits.FIELDS}
            numbers[:] = [id_of(limits.update(session, actor, row[0], patch, version=row[1]))]

    outcome = attempt(work, f"The limit is saved. {found.holds if found is not None else ''}".rstrip())
    if outcome.ok and found is not None and found.effects.rows:
        DIALOGS.open("clear", Shown(numbers[0], 0, "this scope"))
    if outcome.ok:
        DIALOGS.done()
    for field, slot in written.slots.items():
        field_error(slot, outcome.errors, field)
    with place:
        other_errors(outcome.errors, set(written.slots))
        if outcome.conflict:
            st.warning(
                plain(
                    f"{outcome.conflict.changed_by or 'Somebody'} changed it meanwhile. What you typed is still there: "
                    "press Save again to write it."
                ),
                icon=":material/group:",
            )
            DIALOGS.seen_anew(outcome.conflict.version)


def _draw_cancel() -> None:
    if st.button("Cancel", key="limit_cancel"):
        DIALOGS.done()


def _is_ready(written: Written, place: Any, *, is_new: bool) -> bool:
    """Return whether the form is whole, and what it does was said before the press; else say what is to do.

    Args:
        written: The form.
        place: Where it is said.
        is_new: Whether what goes out of force was said in this run only.
    """
    for field in written.missing:
        field_error(written.slots[field], {field: "say how it is limited, or take it off above"}, field)
    if written.missing or written.data is None:
        return False
    if is_new:
        place.warning("Look at what goes out of force, and press once more.", icon=":material/visibility:")
    return not is_new


@st.dialog("Lift the limit?", icon=":material/lock_open:", on_dismiss=DIALOGS.close)
def _lift(shown: Shown) -> None:
    actor = guard("member")
    found, outcome = _read(actor, shown)
    version = DIALOGS.based_on(found.row, "Look again, and lift it if you still want to.", by=found.changed_by)
    st.markdown(f"**{plain(isolated(found.scope))}**")
    st.markdown("\n".join(f"- {plain(isolated(label))}: {plain(rules)}" for label, rules in found.says))
    if outcome.effects.rows:
        st.markdown("What it puts out of force counts again:")
        st.markdown(words.rows_of(outcome.effects))
    else:
        st.caption("Nothing that is stored is out of force by it.")
    with reason.buttons():
        if st.button("Cancel", key="lift_cancel"):
            DIALOGS.done()
        pressed = st.button("Lift", key="lift_confirm", type="primary", icon=":material/lock_open:")
    if not pressed:
        return
    done = attempt(
        lambda session: limits.delete(session, actor, id_of(found.row), version=version), "The limit is lifted."
    )
    if done.ok:
        DIALOGS.done()
    if done.conflict:
        DIALOGS.seen_anew(done.conflict.version)
        st.warning("It was changed meanwhile. Look again, and lift it if you still want to.", icon=":material/group:")
    other_errors(done.errors, set())


@st.dialog("Clear what is out of force?", icon=":material/mop:", on_dismiss=DIALOGS.close)
def _clear(shown: Shown) -> None:
    actor = guard("member")
    found, outcome = _read(actor, shown)
    rows = outcome.effects.rows
    st.markdown(f"**{plain(isolated(found.scope))}**")
    if not rows:
        st.markdown("Nothing is out of force by this limit any more.")
        if st.button("Close", key="clear_close"):
            DIALOGS.done()
        return
    st.markdown(
        plain(
            f"The limit holds, with {words.out_of_force(rows, outcome.effects.organizations)}. Kept as it is, what they say "
            "counts again once the limit is lifted. Cleared, it is gone: each row is an edit of its own, in the audit."
        )
    )
    st.markdown(words.rows_of(outcome.effects))
    number = min(rows, CLEARED_AT_ONCE)
    if number < rows:
        st.caption(f"{CLEARED_AT_ONCE:,} rows at once.")
    with reason.buttons():
        if st.button("Keep them", key="clear_keep"):
            DIALOGS.done()
        pressed = st.button(f"Clear {counted(number, 'row')}", key="clear_confirm", type="primary")
    if not pressed:
        return
    done = attempt(lambda session: limits.clear(session, actor, id_of(found.row)), f"{counted(number, 'row')} cleared.")
    if done.ok and number < rows:
        st.rerun()
    if done.ok:
        DIALOGS.done()
    other_errors(done.errors, set())
