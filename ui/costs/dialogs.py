"""What the Costs page asks of budgets: what one is, how much more may be spent, what counts as spent, and whether it counts at all."""

from typing import Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import CoreError, Invalid
from core.manage import budget_listing, budgets
from core.manage.budget_listing import ListedBudget
from core.store import db
from core.store.table import id_of
from ui import reason
from ui.costs import budget_form as form
from ui.costs import budget_words as words
from ui.costs.budget_form import OfferedScopes
from ui.costs.choice import Chosen
from ui.dialogs import Dialogs, confirm_by_name
from ui.feedback import attempt, other_errors, plain, show_fault
from ui.guard import guard
from ui.pressed import Presses
from ui.widgets import dollars, isolated

_MORE: Final = "budget_more"
DIALOGS: Final = Dialogs("budgets_dialog", (*form.TYPED, _MORE, "delete_name"), "budgets_first_button", role="member")
PRESSES: Final = Presses("budgets_pressed")
_NO_REASON: Final = (
    "A reason is needed: it stands in the ledger of the budget, and in the audit. Say why in the field Reason."
)


class ShownBudget(NamedTuple):
    """A budget, as its row showed it."""

    id: int
    version: int
    name: str


def take_presses(actor: Actor, *, may_change: bool) -> None:
    """Open what was pressed for, if *actor* may change budgets."""

    def begin(action: str, what: ShownBudget | None) -> None:
        if may_change:
            DIALOGS.begin(action, what, what.version if what else None)

    PRESSES.do_all(actor, lambda press: begin(press.action, press.what))


def draw(chosen: Chosen | None) -> None:
    """Draw the dialog that is open, if any."""
    name, shown = DIALOGS.opened()
    if name == "add" and chosen is not None:
        form.begin(None, chosen)
        _add(chosen)
    elif name not in {None, "add"}:
        try:
            with db.transaction() as session:
                listed = budget_listing.one_of_them(session, guard("admin"), shown.id)
        except CoreError as error:
            DIALOGS.leave()
            show_fault(error)
        else:
            {"edit": _edit, "top_up": _top_up, "correct": _correct, "switch": _switch, "delete": _delete}[name](listed)


@st.dialog("Add a budget", icon=":material/savings:", width="medium", dismissible=False)
def _add(chosen: Chosen) -> None:
    actor = guard("admin")
    offered = OfferedScopes(chosen.features, chosen.providers)
    slots = form.draw(None, offered)
    st.caption("What was spent before counts for nothing in it. In force everywhere within a second.")
    DIALOGS.save(
        "budget",
        slots,
        lambda session: budgets.create(session, actor, form.typed(session, actor, offered, is_new=True)),
        "The budget is added.",
        "Add budget",
    )


@st.dialog("Edit the budget", icon=":material/edit:", width="medium", dismissible=False)
def _edit(listed: ListedBudget) -> None:
    actor = guard("admin")
    row = listed.now.row
    form.begin(row, None)
    version = DIALOGS.based_on(
        row, f"It says now: {words.allowed(listed)}, {row.mode}. Save writes what stands here.", listed.changed_by
    )
    st.markdown(f"For {plain(isolated(listed.now.scope))}, {words.PERIODS[row.period]}")
    offered = OfferedScopes((), {})
    slots = form.draw(row, offered)
    DIALOGS.save(
        "budget",
        slots,
        lambda session: budgets.update(
            session, actor, id_of(row), form.typed(session, actor, offered, is_new=False), version=version
        ),
        "The budget is saved.",
    )


@st.dialog("Top the budget up", icon=":material/add_card:", dismissible=False)
def _top_up(listed: ListedBudget) -> None:
    _adjust(
        listed,
        "US dollars more for this period",
        "Calls that were refused go on within a second. The next period begins with the budget's own amount.",
        "Top up",
    )


@st.dialog("Correct what counts as spent", icon=":material/balance:", dismissible=False)
def _correct(listed: ListedBudget) -> None:
    _adjust(
        listed,
        "US dollars to add, below 0 to take off",
        "For what the vendor's bill says otherwise. What was counted is never overwritten: the ledger has both.",
        "Correct",
    )


def _adjust(listed: ListedBudget, label: str, words_below: str, verb: str) -> None:
    actor = guard("admin")
    row = listed.now.row
    st.markdown(f"**{plain(isolated(row.name))}**: {plain(words.how_far(listed))}; {plain(words.ends(listed))}.")
    st.text_input(label, key=_MORE, persist_state="page", max_chars=40, placeholder="25")
    slots = {"amount": st.empty()}
    st.caption(words_below)

    def work(session: Session) -> None:
        why = reason.typed(reason.DIALOG).strip()
        do = budgets.top_up if verb == "Top up" else budgets.correct
        try:
            do(session, actor, id_of(row), st.session_state.get(_MORE) or "", why)
        except Invalid as error:
            if not why:  # said in words of ours: the field is beside the button
                raise Invalid({**error.fields, "reason": _NO_REASON}) from None
            raise

    name = row.name
    DIALOGS.save("budget", {**slots, "reason": st.empty()}, work, f"{name}: done.", verb, wants_reason=True)


@st.dialog("Switch the budget?", icon=":material/toggle_on:", dismissible=False)
def _switch(listed: ListedBudget) -> None:
    actor = guard("admin")
    row = listed.now.row
    version = DIALOGS.based_on(row, "Look again, and switch it if you still want to.", listed.changed_by)
    off = row.is_active
    what = (
        "It counts nothing and refuses nothing until it is switched on again; what was spent stays counted."
        if off
        else "It counts from now on; what was spent meanwhile is not in it."
    )
    st.markdown(f"**{plain(isolated(row.name))}** {plain(f'({words.how_far(listed)})')}: {what}")
    DIALOGS.save(
        "budget",
        {},
        lambda session: budgets.update(session, actor, id_of(row), {"is_active": not off}, version=version),
        f"{row.name} is {'off' if off else 'on'}.",
        "Switch off" if off else "Switch on",
    )


@st.dialog("Delete the budget?", icon=":material/delete:", on_dismiss=DIALOGS.close)
def _delete(listed: ListedBudget) -> None:
    actor = guard("admin")
    row = listed.now.row
    version = DIALOGS.based_on(row, "Look again, and delete if you still want to.", listed.changed_by)
    spent = dollars(listed.now.period.spent)
    st.markdown(
        f"This cannot be undone. **{plain(isolated(row.name))}** goes with its periods and its ledger ({plain(spent)} spent in the "
        "period that is now). What calls cost stays counted on this page; calls under way go on."
    )
    if not confirm_by_name(row.name, thing="budget", verb="Delete", icon="delete", cancel=DIALOGS.done):
        return
    outcome = attempt(
        lambda session: budgets.delete(session, actor, id_of(row), version=version), f"{row.name} is deleted."
    )
    if outcome.ok:
        st.query_params.pop("budget", None)
        DIALOGS.done()
    if outcome.conflict:
        st.warning("It was changed meanwhile. Look again, and delete if you still want to.", icon=":material/group:")
        DIALOGS.seen_anew(outcome.conflict.version)
    other_errors(outcome.errors, set())
