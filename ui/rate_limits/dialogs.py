"""What the Rate limits page asks: what a rate limit lets through, whether it counts, and whether it is deleted."""

from typing import Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.errors import CoreError, NotFound
from core.manage import rate_limit_listing, rate_limits
from core.manage.rate_limit_listing import ListedRateLimit
from core.store import db
from core.store.table import id_of
from ui.dialogs import Dialogs, confirm_by_name
from ui.feedback import attempt, other_errors, plain, show_fault, warn
from ui.guard import guard
from ui.pressed import Presses
from ui.rate_limits import rate_form as form
from ui.rate_limits import words
from ui.rate_limits.narrowing import Narrowed
from ui.rate_limits.rate_form import OfferedNames
from ui.widgets import isolated

DIALOGS: Final = Dialogs("rate_limits_dialog", (*form.TYPED, "delete_name"), "add_rate_limit", role="analyst")
PRESSES: Final = Presses("rate_limits_pressed")
_SOON: Final = "In force everywhere within a second or two; calls under way go on."


class ShownRateLimit(NamedTuple):
    """A rate limit, as its row showed it."""

    id: int
    version: int
    name: str


def take_presses(actor: Actor, *, may_change: bool) -> None:
    """Open what was pressed for, if *actor* may change rate limits."""

    def begin(action: str, what: ShownRateLimit | None) -> None:
        if may_change:
            DIALOGS.begin(action, what, what.version if what else None)

    PRESSES.do_all(actor, lambda press: begin(press.action, press.what))


def draw(asked: Narrowed) -> None:
    """Draw the dialog that is open, if any."""
    name, shown = DIALOGS.opened()
    if name == "add":
        form.begin(None, asked.of, asked.organization)
        _add(OfferedNames(asked.features, asked.providers))
    elif name is not None:
        {"edit": _edit, "switch": _switch, "delete": _delete}[name](shown, asked)


def _read(actor: Actor, shown: ShownRateLimit) -> ListedRateLimit:
    """Return the rate limit as it is stored now; ends the run where it is gone.

    In the dialog: what was read before it was drawn would stay as it was while it is open.
    """
    try:
        with db.transaction() as session:
            return rate_limit_listing.one_of_them(session, actor, shown.id)
    except NotFound:
        if form.is_begun():  # what was typed stays, to be added anew
            st.session_state[DIALOGS.key] = ("add", None)
            warn(f"{shown.name} was deleted meanwhile. Add rate limit makes it anew, with what you typed.")
        else:
            DIALOGS.leave()
            warn(f"{shown.name} was deleted meanwhile.")
        st.rerun()
    except CoreError as error:
        show_fault(error)
        st.stop()


@st.dialog("Add a rate limit", icon=":material/speed:", width="medium", dismissible=False)
def _add(offered: OfferedNames) -> None:
    actor = guard("admin")
    slots = form.draw(offered)
    st.caption(_SOON)
    DIALOGS.save(
        "rate_limit",
        slots,
        lambda session: rate_limits.create(session, actor, form.typed(session, actor, offered)),
        "The rate limit is added.",
        "Add rate limit",
    )


@st.dialog("Edit the rate limit", icon=":material/edit:", width="medium", dismissible=False)
def _edit(shown: ShownRateLimit, asked: Narrowed) -> None:
    actor = guard("admin")
    listed = _read(actor, shown)
    row = listed.now.row
    form.begin(listed, {}, None)
    now = f"{row.name}, {words.lets_through(row)}, {words.when_full(row)}"
    version = DIALOGS.based_on(row, f"It says now: {now}. Save writes what stands here.")
    known = [*asked.features, *({listed.feature} - {None, *asked.features})]
    offered = OfferedNames([name for name in known if name is not None], asked.providers)
    slots = form.draw(offered)
    st.caption(_SOON)
    DIALOGS.save(
        "rate_limit",
        slots,
        lambda session: rate_limits.update(
            session, actor, id_of(row), form.typed(session, actor, offered), version=version
        ),
        "The rate limit is saved.",
    )


@st.dialog("Switch the rate limit?", icon=":material/toggle_on:", dismissible=False)
def _switch(shown: ShownRateLimit, _: Narrowed) -> None:
    actor = guard("admin")
    listed = _read(actor, shown)
    row = listed.now.row
    version = DIALOGS.based_on(row, "Look again, and switch it if you still want to.")
    off = row.is_active
    what = (
        "Calls are not counted by it, and none waits for it, until it is switched on again."
        if off
        else "Calls count against it from now on."
    )
    st.markdown(f"**{plain(isolated(row.name))}** ({plain(isolated(listed.now.scope))}): {what} {_SOON}")
    st.markdown(plain(f"{words.lately(listed.now)}."))
    DIALOGS.save(
        "rate_limit",
        {},
        lambda session: rate_limits.update(session, actor, id_of(row), {"is_active": not off}, version=version),
        f"{row.name} is {'off' if off else 'on'}.",
        "Switch off" if off else "Switch on",
    )


@st.dialog("Delete the rate limit?", icon=":material/delete:", on_dismiss=DIALOGS.close)
def _delete(shown: ShownRateLimit, _: Narrowed) -> None:
    actor = guard("admin")
    listed = _read(actor, shown)
    row = listed.now.row
    version = DIALOGS.based_on(row, "Look again, and delete if you still want to.")
    st.markdown(
        f"This cannot be undone. **{plain(isolated(row.name))}** ({plain(isolated(listed.now.scope))}) goes with what was counted by it; "
        "calls under way go on."
    )
    if not confirm_by_name(row.name, thing="rate limit", verb="Delete", icon="delete", cancel=DIALOGS.done):
        return
    outcome = attempt(
        lambda session: rate_limits.delete(session, actor, id_of(row), version=version), f"{row.name} is deleted."
    )
    if outcome.ok:
        DIALOGS.done()
    if outcome.conflict:
        st.warning("It was changed meanwhile. Look again, and delete if you still want to.", icon=":material/group:")
        DIALOGS.seen_anew(outcome.conflict.version)
    other_errors(outcome.errors, set())
