"""The list of alerts: what is open comes first, by the filters of the address; one or several are acknowledged or resolved."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import streamlit as st
from sqlmodel import Session

from core.access import authority
from core.access.authority import Visible
from core.actors import Actor
from core.govern import alerts
from core.govern.alerts import Alert, AlertFilters
from core.manage import budgets
from core.store import db
from core.store.table import id_of
from core.wording import counted
from ui import address, keyset
from ui.alerts import dialogs, words
from ui.alerts.dialogs import DIALOGS
from ui.feedback import plain, show_toast
from ui.guard import guard
from ui.pressed import Presses
from ui.widgets import FILTERS_PLACE, coming_and_going, for_row, isolated

PRESSES: Final = Presses("alerts_pressed")
PAGE_SIZE: Final = 25
_LIST: Final = "alerts"
_SHOW, _KIND, _BUDGET = "show", "kind", "of_budget"
_LIVE: Final = "Not resolved"
_STATES: Final[dict[str, str | None]] = {
    _LIVE: "live",
    "Open": "open",
    "Acknowledged": "acknowledged",
    "Resolved": "resolved",
    "All": None,
}
_OPEN_FIRST: Final = ("open", "acknowledged")
_KINDS: Final = {name: kind for kind, (name, _) in words.KINDS.items()}
_LONGEST: Final = 100
_PLACE: Final = re.compile(r"(?:(open|acknowledged)-)?([0-9]{1,18})")
"""Where a page begins: behind this alert; of the list that has the open ones first, in which part of it."""


class _Answerer(NamedTuple):
    """Which alerts somebody may answer."""

    is_admin: bool
    seen: Visible

    def may(self, found: Alert) -> bool:
        """Tell whether it is theirs to answer; the write asks again."""
        of = found.row.organization_id
        return self.is_admin or (of is not None and self.seen.roles.get(of) == "admin")


def draw(actor: Actor) -> None:
    """Do what was pressed, then draw the list as it is stored, and the dialog that is open."""
    with coming_and_going():
        PRESSES.do_all(actor, lambda press: DIALOGS.begin(press.action, press.what))
        show_toast()
    with db.transaction() as session:
        names = {found.row.name: id_of(found.row) for found in budgets.list_all(session, actor)}
        is_admin = authority.role_of(session, actor) == "admin"
        answerer = _Answerer(is_admin, authority.visible(session, actor, "alert.list"))
    filters = _pick(names)
    at = keyset.part(_LIST, filters, PAGE_SIZE)
    place = _PLACE.fullmatch(at.after or "")
    if at.after and place is None:
        address.refuse(keyset.PARAMETER, "which is no place in this list")
    with db.transaction() as session:
        found = _read(session, actor, filters, place, at.asked)
    rows = found[: at.size]
    if not rows:
        _draw_none(filters, is_begun=place is not None, has_budgets=bool(names))
    answered = [each for each in rows if each.row.state != "resolved" and answerer.may(each)]
    if answered:
        _draw_bar(answered)
    theirs = {each.id for each in answered}
    with st.container(gap="xsmall", key="rows"):
        for each in rows:
            _draw_row(each, may=each.id in theirs)
    keyset.draw(_LIST, at, found, _place_of(filters, rows[-1]) if rows else "")
    dialogs.draw()


def _read(
    session: Session, actor: Actor, filters: AlertFilters, place: re.Match[str] | None, limit: int
) -> list[Alert]:
    """Return alerts, newest first; of those that are not resolved the open ones before all others."""
    states: tuple[str | None, ...] = _OPEN_FIRST if filters.state == "live" else (filters.state,)
    before = int(place[2]) if place else None
    if place and place[1] in states:
        states = states[states.index(place[1]) :]
    found: list[Alert] = []
    for state in states:
        page = alerts.search_alerts(
            session, actor, filters._replace(state=state), before=before, limit=limit - len(found)
        )
        found += page.rows
        before = None
        if len(found) >= limit:
            break
    return found


def _place_of(filters: AlertFilters, last: Alert) -> str:
    return f"{last.row.state}-{last.id}" if filters.state == "live" else str(last.id)


def _pick(names: Mapping[str, int]) -> AlertFilters:
    address.one_of(_SHOW, _STATES, "a state of alerts")
    address.one_of(_KIND, _KINDS, "a kind of alerts")
    any_: dict[str, Any] = {"index": None, "placeholder": "Any", "filter_mode": "contains", "bind": "query-params"}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        show = st.selectbox("Show", list(_STATES), key=_SHOW, bind="query-params", width=170, on_change=_hold)
        kind = st.selectbox("Kind", list(_KINDS), key=_KIND, width=210, on_change=_hold, **any_)
        there = address.with_asked(_BUDGET, [*names], _LONGEST)
        budget = st.selectbox("Budget", there, key=_BUDGET, width=240, on_change=_hold, **any_)
        st.button("Look again", key=DIALOGS.beside, icon=":material/refresh:")
    return AlertFilters(_STATES[show or _LIVE], _KINDS.get(kind or ""), names.get(budget, 0) if budget else None)


def _hold() -> None:
    guard("member")
    address.hold((_KIND, _BUDGET))


def _draw_bar(rows: Collection[Alert]) -> None:
    """Draw what is done with those that are ticked."""
    chosen = [each for each in rows if st.session_state.get(f"alert_pick_{each.id}")]
    open_ = [each for each in chosen if each.row.state == "open"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="alerts_bar"):
        st.button(
            "Select all on this page",
            key="alerts_pick_all",
            icon=":material/select_all:",
            on_click=_tick,
            args=([each.id for each in rows],),
        )
        for action, icon, of in (("Acknowledge", "visibility", open_), ("Resolve", "check", chosen)):
            st.button(
                f"{action} {counted(len(of), 'alert')}" if of else f"{action} selected",
                key=f"alerts_{action.lower()}",
                icon=f":material/{icon}:",
                disabled=not of,
                on_click=PRESSES.note,
                args=(action.lower(), tuple(each.id for each in of)),
            )


def _draw_row(found: Alert, *, may: bool) -> None:
    said = f"{found.id}: {found.text[:60]}"
    with st.container(
        border=True, key=f"line_alert_{found.id}", horizontal=True, vertical_alignment="center", gap="small"
    ):
        if may:
            st.checkbox(
                for_row("Select", said), key=f"alert_pick_{found.id}", label_visibility="collapsed", width="content"
            )
        icon = words.kind_of(found.row.kind)[1]
        st.markdown(
            f":material/{icon}: {plain(isolated(found.text))} {words.badge(found)}  \n:gray[:small[{plain(words.facts(found))}]]",
            help=words.moments(found),
            width="stretch",
        )
        if may and found.row.state == "open":
            st.button(
                for_row("Acknowledge", said),
                key=f"acknowledge_{found.id}",
                icon=":material/visibility:",
                on_click=PRESSES.note,
                args=("acknowledge", (found.id,)),
            )
        if may:
            st.button(
                for_row("Resolve", said),
                key=f"resolve_{found.id}",
                icon=":material/check:",
                on_click=PRESSES.note,
                args=("resolve", (found.id,)),
            )


def _draw_none(filters: AlertFilters, *, is_begun: bool, has_budgets: bool) -> None:
    if is_begun or filters != AlertFilters("live"):
        st.info("No alert fits. Choose others above.", icon=":material/search_off:")
        return
    where = (
        "Each budget on the Costs page has its thresholds"
        if has_budgets
        else "There is no budget yet: its thresholds are set with it, on the Costs page"
    )
    st.info(
        "Nothing is to be looked at. Here stands, once each, a budget that is spent so far or will be before its period ends, "
        f"calls without a known price, and an hour that costs far more than usual. {where}. Who is told is chosen under Notifications.",
        icon=":material/notifications_none:",
    )


def _tick(ids: list[int]) -> None:
    """Tick all, or, where all are ticked, none: a callback."""
    guard("member")
    keys = [f"alert_pick_{number}" for number in ids]
    value = not all(st.session_state.get(key) for key in keys)
    st.session_state.update(dict.fromkeys(keys, value))
