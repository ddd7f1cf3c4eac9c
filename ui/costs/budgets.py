"""The list of budgets on the Costs page: how far each is spent, what is held and left, when it ends, and what may be done to it."""

from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.manage import budget_listing
from core.manage.budget_listing import STATES, BudgetCounts, ListedBudget
from core.store.table import id_of
from ui import address, keyset
from ui.costs import budget_words as words
from ui.costs.choice import Chosen
from ui.costs.dialogs import DIALOGS, PRESSES, ShownBudget
from ui.feedback import plain
from ui.guard import guard
from ui.widgets import exact, for_row, isolated

BUDGET, SEARCH, STATE = "budget", "search", "state"
"""Keys, and names in the address: of the budget that is opened, and of what narrows the list."""
PAGE_SIZE: Final = 25
_LIST: Final = "budgets"
_LABELS: Final = dict(zip(STATES, ("Near its limit", "Spent", "Off"), strict=True))


class Listing(NamedTuple):
    """What is read for the list."""

    found: list[ListedBudget]
    """One more than are shown, if there are more."""
    counts: BudgetCounts
    at: keyset.Part
    is_all: bool
    """Whether nothing narrows it."""


def read(actor: Actor, chosen: Chosen, session: Any) -> Listing:
    """Return the budgets of the page that is looked at."""
    search = str(st.session_state.get(SEARCH) or address.asked(SEARCH)).strip()[:100]
    label = st.session_state.get(STATE) or address.asked(STATE)
    state = next((name for name, said in _LABELS.items() if said == label), None)
    of = chosen.scope.organization_id
    at = keyset.part(_LIST, (of, search, state), PAGE_SIZE)
    found = budget_listing.page_of(
        session, actor, organization_id=of, search=search, state=state, after=at.after or "", limit=at.asked
    )
    counts = budget_listing.counts(session, actor, organization_id=of)
    return Listing(found, counts, at, is_all=not search and state is None and at.after is None)


def draw(listing: Listing, *, may_change: bool) -> None:
    """Draw the list."""
    st.header("Budgets", anchor=False)
    address.one_of(STATE, _LABELS.values(), "a state of budgets")
    _draw_filters(may_change=may_change)  # also of none: a field that comes and goes forgets what the address says
    shown = listing.found[: listing.at.size]
    if not shown:
        _draw_nothing(listing, may_change=may_change)
    with st.container(gap="xsmall", key="budget_rows"):
        for each in shown:
            _draw_row(each, may_change=may_change)
    keyset.draw(_LIST, listing.at, listing.found, shown[-1].now.row.name if shown else "")


def _draw_filters(*, may_change: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="budget_filters"):
        st.text_input(
            "Search budgets",
            key=SEARCH,
            bind="query-params",
            placeholder="Part of a name",
            icon=":material/search:",
            max_chars=100,
            live="400ms",
            width=240,
            on_change=_hold,
        )
        st.selectbox(
            "State", list(_LABELS.values()), index=None, key=STATE, bind="query-params", placeholder="Any", width=170
        )
        if may_change:
            _draw_add()


def _draw_add() -> None:
    st.button(
        "Add budget",
        key=DIALOGS.beside,
        type="primary",
        icon=":material/add:",
        on_click=PRESSES.note,
        args=("add",),
    )


def _draw_nothing(listing: Listing, *, may_change: bool) -> None:
    if not listing.is_all:
        st.info("No budget fits.", icon=":material/search_off:")
        return
    st.info(
        "No budget yet. A budget is so much money for a scope in a period, as $100 a month for the feature summarise: a hard one refuses a call "
        f"that does not fit before anything is sent, a soft one counts.{'' if may_change else ' Admins make them.'}",
        icon=":material/savings:",
    )


def _draw_row(listed: ListedBudget, *, may_change: bool) -> None:
    row = listed.now.row
    number = id_of(row)
    shown = ShownBudget(number, row.version, row.name)
    with st.container(
        border=True, key=f"line_budget_{number}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        with st.container(width="stretch", gap="xsmall"):
            facts = [listed.now.scope, words.allowed(listed), row.mode]
            st.markdown(
                f"**{plain(isolated(row.name))}** {words.state(listed)}  \n"
                f":gray[:small[{plain(' · '.join(map(isolated, facts)))}]]",
                help=plain(f"Changed {exact(row.updated_at)} by {listed.changed_by or 'somebody'}"),
            )
            below = words.of_these(listed.now.period)
            said = [words.how_far(listed), *([below] if below else []), words.ends(listed)]
            st.progress(words.share(listed), text=plain("; ".join(said)))
        st.button(
            for_row("Burn-down", row.name),
            key=f"burn_{number}",
            icon=":material/trending_down:",
            on_click=_open,
            args=(number,),
        )
        if may_change:
            draw_menu(listed, shown)


def draw_menu(listed: ListedBudget, shown: ShownBudget) -> None:
    """Draw what may be done to a budget."""
    switch = (
        {":material/pause_circle: Switch off": "switch"}
        if listed.now.row.is_active
        else {":material/play_circle: Switch on": "switch"}
    )
    actions = {
        ":material/add_card: Top up": "top_up",
        ":material/edit: Edit": "edit",
        ":material/balance: Correct": "correct",
        **switch,
        ":material/delete: Delete": "delete",
    }
    menu = f"more_budget_{shown.id}"
    st.menu_button(
        for_row("More", shown.name),
        list(actions),
        key=menu,
        icon=":material/more_horiz:",
        on_click=PRESSES.note_choice,
        args=(menu, actions, shown),
    )


def _open(number: int) -> None:
    guard("member")
    st.query_params[BUDGET] = str(number)


def _hold() -> None:
    guard("member")
    address.hold((SEARCH,))
