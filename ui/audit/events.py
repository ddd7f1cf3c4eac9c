"""What the Audit page shows: figures, filters, and a line for each event with its fields before and after."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

import streamlit as st

from core.actors import Actor
from core.audit.reasons import COMMENT
from core.govern import audit_log
from core.govern.audit_log import Event, EventChoices, EventFigures, EventFilters
from core.store import db
from ui import address
from ui.audit.words import WORDS, field_label, icon_of, refused, words_of
from ui.feedback import plain
from ui.guard import guard
from ui.links import draw_provider_links
from ui.since import pick_since
from ui.widgets import FILTERS_PLACE, ago, cut, download_csv, exact, figure, opening_line

PAGE_SIZE = 25
EXPORTED = 10_000
_LABEL = 80
_ALL = "all providers"
"""What events about the defaults of all name as their target."""
LIST = "audit"
"""What the keys of the list's pager begin with."""
FILTERS = ("who", "action", "target", "reason", "provider", "since", "from", "to")
"""The keys of the filters, and their names in the page's address: what *Clear filters* empties."""
_ACTOR, _ACTION, _TARGET, _REASON, _PROVIDER, _SINCE, _FROM, _TO = FILTERS
_LONGEST = 200
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)

_ONESELF = ("session.sign_in", "session.sign_out")


def draw_figures(figures: EventFigures) -> None:
    """Draw the row of figures above the list."""
    with st.container(horizontal=True, gap="small"):
        figure("Events", figures.events)
        figure("Denials, 24 h", figures.denials)
        figure("Last event", ago(figures.last), help=exact(figures.last))
        figure(
            "Last number",
            figures.head,
            help="Events are numbered one by one. `python -m core audit verify` checks that none was changed or taken away.",
        )


def pick_filters(choices: EventChoices, providers: Iterable[str]) -> EventFilters | None:
    """Draw the filters; returns what is chosen, None if it contradicts itself. They stand in the page's address.

    Args:
        choices: What occurs.
        providers: The names of those there are; one that was deleted is chosen by the address.
    """
    actions = [*sorted(groups_of(choices.actions)), *choices.actions]
    if address.one_of(_ACTION, {*actions, *WORDS, *groups_of(WORDS)}, "an action"):
        actions = address.with_asked(_ACTION, actions, _LONGEST)
    for key in (_FROM, _TO):
        address.day(key, _FIRST_DAY, _LAST_DAY)
    days: Any = {
        "value": None,
        "width": 140,
        "format": "YYYY-MM-DD",
        "bind": "query-params",
        "min_value": _FIRST_DAY,
        "max_value": _LAST_DAY,
    }
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        who = st.selectbox(
            "Actor",
            address.with_asked(_ACTOR, choices.actors, _LONGEST),
            index=None,
            key=_ACTOR,
            bind="query-params",
            placeholder="Anybody",
            width=150,
        )
        action = st.selectbox(
            "Action",
            actions,
            index=None,
            key=_ACTION,
            bind="query-params",
            placeholder="Anything",
            width=180,
        )
        provider = st.selectbox(
            "Provider",
            address.with_asked(_PROVIDER, [*providers], _LONGEST),
            index=None,
            key=_PROVIDER,
            bind="query-params",
            placeholder="Any",
            width=150,
            help="What was done to it, and to its defaults.",
        )
        target = st.text_input(
            "Target",
            key=_TARGET,
            bind="query-params",
            placeholder="Begins with",
            max_chars=100,
            width=150,
            help="The name of a provider, a user and so on, or how it begins.",
        )
        reason = st.text_input(
            "Reason",
            key=_REASON,
            bind="query-params",
            placeholder="Has in it",
            max_chars=100,
            width=150,
            help="What somebody said why they changed it.",
        )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="more_filters"):
        newest = pick_since("Within")
        since = st.date_input("From", key=_FROM, help="UTC", **days)
        until = st.date_input("To", key=_TO, help="UTC, this day included", **days)
        st.button(
            "Clear filters",
            key="audit_clear_button",
            icon=":material/filter_alt_off:",
            disabled=not any(st.session_state.get(key) for key in FILTERS),
            on_click=clear_filters,
        )
    if since and until and since > until:
        st.warning("From is later than To: no event can fit.", icon=":material/event_busy:")
        return None
    begin = max(filter(None, (newest, _midnight(since) if since else None)), default=None)
    return EventFilters(
        actor=who,
        action=action,
        target=target.strip() or None,
        reason=reason.strip() or None,
        provider=provider,
        since=begin,
        until=_midnight(until + timedelta(days=1)) if until else None,
    )


def groups_of(actions: Iterable[str]) -> set[str]:
    """Return the groups that *actions* belong to: ``provider.*``."""
    return {f"{name.partition('.')[0]}.*" for name in actions if "." in name}


def clear_filters() -> None:
    """Let all events through again: a callback."""
    guard("admin")
    st.session_state.update({key: "" if key in {_TARGET, _REASON} else None for key in FILTERS})


def draw_nothing(filters: EventFilters) -> None:
    """Draw what stands in place of the list when it is empty."""
    if filters == EventFilters():
        st.info("Nothing is on record yet. The next change, sign-in or denial will be.", icon=":material/history:")
        return
    st.info("No event fits these filters.", icon=":material/search_off:")
    st.button("Show all events", key="audit_show_all", icon=":material/undo:", on_click=clear_filters)


def draw_events(events: Iterable[Event]) -> None:
    """Draw each event as a line that opens; of those that say the same, one after the other, one line with all of them."""
    for summary, alike in groupby(events, key=sentence):
        newest, *older = alike
        times = f" · {len(older) + 1} times" if older else ""
        line = opening_line(f"audit_event_{newest.id}", f"{summary}{times}", icon_of(newest.action), newest.at)
        if line.open:
            with line:
                for event in (newest, *older):
                    _draw_details(event)


def sentence(event: Event) -> str:
    """Return what happened, in Markdown that shows hostile names as they are."""
    who, target = _short(event.actor), _short(event.target)
    if event.action == audit_log.DENIED:
        reason = event.changes.get("reason", {}).get("after") or ""
        where = f" from {event.address}" if event.address else ""
        what = _short(refused(event.target))
        return f":red[**{who}** was not allowed to {what}] · {_short(f'{reason}{where}')}"
    words, rest = words_of(event.action, event.changes)
    oneself = event.target == event.actor and event.action in _ONESELF
    whom = "" if oneself or not event.target else f" **{target}**"
    comment = event.changes.get(COMMENT, {}).get("after")
    details = [rest] * bool(rest) + [f"“{comment}”"] * bool(comment)
    more = f" · {_short(' · '.join(details))}" if details else ""
    return f"**{who}** {plain(words)}{whom}{more}"


def export_csv(actor: Actor, filters: EventFilters) -> bytes:
    """Return the newest 10,000 events of *filters* as a CSV file; asks for the right again, as each read does."""
    with db.transaction() as session:
        lines = audit_log.as_csv(audit_log.export(session, actor, filters, limit=EXPORTED))
        return "".join(lines).encode("utf-8-sig")  # spreadsheets know UTF-8 by its mark


def draw_export(actor: Actor, filters: EventFilters, *, is_cut: bool) -> None:
    """Draw the download of the filtered events."""
    name = "audit-newest-10000.csv" if is_cut else "audit.csv"
    download_csv(
        name, lambda: export_csv(actor, filters), "The filtered events, one line a changed field.", "audit_export"
    )
    if is_cut:
        st.caption("The file has the newest 10,000 of these. All of them: `python -m core audit export FILE`")


def _draw_details(event: Event) -> None:
    target = f"{event.target_type} {event.target_id or ''}".strip()
    seen = [f"Event {event.seq or 'not numbered yet'}", exact(event.at), event.action, f"by {event.actor}"]
    seen += [f"from {event.address}"] * bool(event.address) + [f"{target}: {event.target}"]
    st.caption(plain(" · ".join(seen)))
    if event.target_type in audit_log.OF_A_PROVIDER and event.target_id is not None and event.target != _ALL:
        draw_provider_links(event.target, ("providers", "defaults", "effective_preview", "usage"))
    if not event.changes:
        st.text("No values are recorded with this event.")
        return
    sides = [side for side in ("before", "after") if any(pair.get(side) is not None for pair in event.changes.values())]
    rows = [
        {"Field": plain(field_label(name)), **{side.title(): plain(_shown(pair, side)) for side in sides}}
        for name, pair in event.changes.items()
    ]
    st.table(rows, border="horizontal", hide_index=True, alt="Each field before and after")


def _shown(pair: Mapping[str, Any], side: str) -> str:
    value = pair.get(side)
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return cut(text, _LABEL)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
