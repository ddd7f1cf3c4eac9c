"""The list of logged calls on the Usage page: its filters, a line for each call, which opens, and the file of them."""

import time
from datetime import UTC, datetime
from typing import Final

import streamlit as st

from core.actors import Actor
from core.govern import usage
from core.govern.call_queries import CallFilters
from core.govern.paging import Page, RowPlace
from core.govern.usage import LoggedCall
from core.store import db
from core.store.records import CALL_STATUSES
from ui import address, pager
from ui.feedback import plain
from ui.guard import guard
from ui.scopes.picker import FEATURE, ORGANIZATION
from ui.usage.call import draw_call
from ui.usage.choice import Chosen
from ui.usage.figures import LONGEST, PROVIDER
from ui.widgets import FILTERS_PLACE, cut, dollars, download_csv, opening_line

PAGE_SIZE: Final = 25
EXPORTED: Final = {False: 10_000, True: 1_000}
"""So many calls a file has: without and with what was said."""
LIVE_MINUTES: Final = 15
"""Live ends by itself: each look is a use of the sign-in, which would never end for want of use."""
_LIST = "usage"
"""What the keys of the list's pager begin with."""
FILTERS: Final = ("model", "status", "user", "cost_centre")
"""Keys of the filters, beside the provider's, and their names in the page's address."""
_MODEL, _STATUS, _USER, _CENTRE = FILTERS
_LIVE, _LIVE_SINCE, _LIVE_OVER = "usage_live", "usage_live_since", "usage_live_over"
_OF: Final = {"organization": "in", "feature": "to", "cost_centre": "paid by"}
"""What a line says of whose call it is."""
_ICONS = {"ok": "check_circle", "error": "error", "cancelled": "cancel"}


def pick_filters(chosen: Chosen) -> CallFilters:
    """Draw the filters of the log; returns what is chosen. The rest is chosen for the figures as well."""
    address.one_of(_STATUS, CALL_STATUSES, "a status")
    organization = None if chosen.is_own else st.session_state.get(ORGANIZATION)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        model = st.selectbox(
            "Model",
            address.with_asked(_MODEL, chosen.choices.models, LONGEST),
            index=None,
            key=_MODEL,
            bind="query-params",
            placeholder="Any",
            width=180,
        )
        status = st.selectbox(
            "Status", CALL_STATUSES, index=None, key=_STATUS, bind="query-params", placeholder="Any", width=130
        )
        user = st.text_input(
            "User",
            key=_USER,
            bind="query-params",
            placeholder="Any",
            max_chars=LONGEST,
            width=140,
            help="The whole name, as the program gave it.",
        )
        centre = st.text_input(
            "Cost centre",
            key=_CENTRE,
            bind="query-params",
            placeholder="Any",
            max_chars=LONGEST,
            width=140,
            help="Who pays, as the program said it: the whole name, with its capitals.",
        )
        st.button(
            "Clear filters",
            key="usage_clear_button",
            icon=":material/filter_alt_off:",
            disabled=not any((organization, chosen.feature, chosen.provider, model, status, user, centre)),
            on_click=clear_filters,
            kwargs={"is_own": chosen.is_own},
        )
        if st.session_state.pop(_LIVE_OVER, False):
            st.session_state[_LIVE] = False
        st.toggle("Live", key=_LIVE, help=f"The newest calls, looked up every two seconds, for {LIVE_MINUTES} minutes.")
    minute = datetime.now(UTC).replace(second=0, microsecond=0)  # so that the pager keeps its place
    return CallFilters(
        chosen.provider,
        model,
        status,
        user.strip() or None,
        minute - usage.SPANS[chosen.span].back,
        chosen.organization_id,
        chosen.feature,
        centre.strip() or None,
    )


def clear_filters(*, is_own: bool) -> None:
    """Let all calls through again: a callback. An organisation's own admin stays there."""
    guard("manager")
    st.session_state.update({PROVIDER: None, FEATURE: None, _MODEL: None, _STATUS: None, _USER: "", _CENTRE: ""})
    if not is_own:
        st.session_state[ORGANIZATION] = ""


def is_live() -> bool:
    """Return whether new calls are to be shown as they come."""
    live = bool(st.session_state.get(_LIVE))
    if not live:
        st.session_state.pop(_LIVE_SINCE, None)
    return live


@st.fragment(run_every=2)
def draw_live(filters: CallFilters) -> None:
    """Draw the newest calls, again and again."""
    actor = guard("manager")
    if time.monotonic() - st.session_state.setdefault(_LIVE_SINCE, time.monotonic()) > LIVE_MINUTES * 60:
        st.session_state[_LIVE_OVER] = True
        st.rerun()
    with db.transaction() as session:
        page = usage.search(session, actor, filters, limit=PAGE_SIZE)
    st.caption(f":green[:material/sensors:] Live · looked up {datetime.now(UTC):%H:%M:%S} UTC")
    _draw_lines(actor, page)


@st.fragment
def draw_log(filters: CallFilters) -> None:
    """Draw a page of calls and the way to the others; what is opened here does not draw the charts again."""
    actor = guard("manager")
    before = pager.place(_LIST, filters._replace(since=None))
    with db.transaction() as session:
        page = usage.search(session, actor, filters, before=before, limit=PAGE_SIZE)
    _draw_lines(actor, page)

    def newer(first: RowPlace) -> RowPlace | None:
        with db.transaction() as session:
            return usage.begins(session, actor, filters, first, limit=PAGE_SIZE)

    pager.draw(_LIST, page, PAGE_SIZE, newer)


def _draw_lines(actor: Actor, page: Page[LoggedCall]) -> None:
    if not page.rows:
        st.info("No call fits these filters in this time.", icon=":material/search_off:")
    with st.container(gap="xxsmall"):
        for line in page.rows:
            _draw_line(actor, line)


def _draw_line(actor: Actor, call: LoggedCall) -> None:
    line = opening_line(f"usage_call_{call.id}", sentence(call), _ICONS[call.status], call.at)
    if line.open:
        with line:
            draw_call(actor, call.id)


def sentence(call: LoggedCall) -> str:
    """Return a call in one line, in Markdown that shows hostile names as they are."""
    facts = [f"{call.latency_ms:,} ms"]
    if call.input_tokens is not None:
        facts.append(f"{call.input_tokens + (call.output_tokens or 0):,} tokens")
    if call.cost is not None:
        facts.append(plain(dollars(call.cost)))
    if call.attempts > 1:
        facts.append(f"{call.attempts} attempts")
    if call.user_id:
        facts.append(f"for {cut(call.user_id, 30)}")
    facts += [f"{word} {cut(name, 40)}" for field, word in _OF.items() if (name := getattr(call, field))]
    what = f"**{cut(call.provider, 50)}** {cut(call.model, 50)}"
    if call.status == "error":
        why = (call.error or "").partition("): ")[2] or call.error or "failed"  # what was called stands before it
        return f":red[{what}] · {cut(why, 80)} · {' · '.join(facts)}"
    cancelled = "cancelled · " if call.status == "cancelled" else ""
    return f"{what} · {cancelled}{' · '.join(facts)}"


def export_csv(actor: Actor, filters: CallFilters, *, contents: bool) -> bytes:
    """Return the newest calls of *filters* as a CSV file; asks for the right again, as each read does."""
    with db.transaction() as session:
        lines = usage.as_csv(session, actor, filters, contents=contents, limit=EXPORTED[contents])
        return "".join(lines).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark


def draw_export(actor: Actor, filters: CallFilters) -> None:
    """Draw the download of the filtered calls."""
    with st.container(horizontal=True, vertical_alignment="center"):
        contents = st.checkbox("With prompts and answers", key="usage_contents")
        download_csv(
            "calls.csv",
            lambda: export_csv(actor, filters, contents=contents),
            f"The newest {EXPORTED[contents]:,} of the filtered calls.",
            key="usage_export",
        )
