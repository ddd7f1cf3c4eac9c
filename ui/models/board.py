"""The lifecycle board: models in use that end, who uses them, and what comes after."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import streamlit as st

from core.actors import Actor
from core.govern import lifecycle
from core.govern.lifecycle import Retiring, Tier
from core.manage import knowledge
from core.models.differences import Difference, differences
from core.models.facts import with_sources
from core.models.knowledge import Knowledge
from core.store import db
from core.wording import counted
from ui import address, listing
from ui.feedback import plain
from ui.models import change
from ui.widgets import FILTERS_PLACE, cut, figure, for_row, isolated

TIER: Final = "tier"
WORDS: Final[Mapping[Tier, tuple[str, str, str]]] = {
    "overdue": ("Ended, in use", "red", "event_busy"),
    "retired": ("Ended", "gray", "event_busy"),
    "soon": ("Ends soon", "red", "alarm"),
    "announced": ("Announced", "orange", "event_upcoming"),
    "legacy": ("Legacy", "gray", "schedule"),
}
"""How urgent it is -> word, colour and icon; the most urgent first."""
_EVER: Final = 36_500
"""Days: any end that a vendor has named."""
_NAMED: Final = 3
_DIFFERENCES: Final = 4
_LONGEST: Final = 60


def draw(actor: Actor, *, for_admin: bool) -> None:
    """Draw the board.

    Args:
        actor: An admin or an analyst.
        for_admin: Whether it may be changed from here.
    """
    change.start_afresh()
    with db.transaction() as session:
        everything = lifecycle.retiring(session, actor, _EVER)
        known = knowledge.of(session)
    with st.container(horizontal=True, gap="small"):
        figure("Ended, in use", _count(everything, "overdue"), "Its day is over, and programs still get it, or call it")
        figure("End in 30 days", _count(everything, "soon"))
        figure("In 180 days", _count(everything, "announced"))
    if not everything:
        st.info("No model that a provider offers has an end that is known here.", icon=":material/event_available:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        wanted = listing.pick_search("Model, host or provider")
        tier = _pick_tier()
    found = [
        line
        for line in everything
        if wanted in _searched(line) and (_word(line) == tier if tier else line.tier != "legacy")
    ]
    if not found:
        _draw_none(everything, narrowed=bool(wanted or tier))
    place = st.container(gap="xsmall")
    shown = listing.shown(found)
    now = datetime.now(UTC)
    with place:
        for number, line in enumerate(shown):
            _draw_line(line, number, now, known, for_admin=for_admin)
    change.draw_dialog(everything)


def _pick_tier() -> str | None:
    words = [word for word, *_ in WORDS.values()]
    address.one_of(TIER, words, "a state")
    return st.selectbox(
        "State",
        words,
        index=None,
        key=TIER,
        bind="query-params",
        placeholder="All but legacy",
        width=180,
        on_change=listing.first_page,
    )


def _draw_none(everything: Sequence[Retiring], *, narrowed: bool) -> None:
    if narrowed:
        st.info("No model fits this search and state.", icon=":material/search_off:")
        return
    later = f"{counted(len(everything), 'model')} of those in use end later: choose the state Legacy to see them."
    st.success(f"No model in use ends within {lifecycle.QUIET_DAYS} days. {later}", icon=":material/event_available:")


def _draw_line(line: Retiring, number: int, now: datetime, known: Knowledge, *, for_admin: bool) -> None:
    name = f"{line.model} at {line.api}"
    with st.container(border=True, key=f"model_{number}", horizontal=True, vertical_alignment="center"):
        texts = [
            f"**{cut(line.model, _LONGEST)}** {plain(f'at {line.api}')} {badge(line)}",
            f":gray[:small[{plain(' · '.join([then_text(line), used_text(line)]))}]]",
        ]
        if line.successor:
            found = differences(line.api_name, line.kind, (line.model, line.successor), now, known)
            texts.append(
                f"{plain('Successor')} **{cut(line.successor, _LONGEST)}**  \n:gray[:small[{plain(short(found))}]]"
            )
        else:
            texts.append(":gray[:small[The vendor names no successor.]]")
        st.markdown("  \n".join(texts), help=_sources_text(line, known), width="stretch")
        if for_admin:
            st.button(
                for_row("Change to it" if line.successor else "Change", name),
                key=f"change_model_{number}",
                icon=":material/swap_horiz:",
                width=130,
                on_click=partial(change.show, line),
            )


def badge(line: Retiring) -> str:
    """Return how urgent it is and how many days are left, as a badge."""
    word, colour, icon = WORDS[line.tier]
    days = f"{counted(line.days, 'day')} left" if line.days >= 0 else f"{counted(-line.days, 'day')} ago"
    return f":{colour}-badge[:material/{icon}: {word}, {days}]"


def then_text(line: Retiring) -> str:
    """Return when it ends, and what a call gets then."""
    what = "another model answers" if line.rerouted else "calls are refused"
    return f"Ended {line.retires}: {what} since" if line.days < 0 else f"Ends {line.retires}: then {what}"


def used_text(line: Retiring) -> str:
    """Return who uses it."""
    chosen = set(line.chosen_by)
    first = sorted(line.providers, key=lambda name: name not in chosen)
    named = [f"{isolated(name)}{' by default' if name in chosen else ''}" for name in first[:_NAMED]]
    more = len(first) - len(named)
    users = ", ".join([*named, *([f"{more:,} more"] if more else [])])
    return f"offered by {users} · {counted(line.calls, 'call')} in 30 days"


def short(found: Sequence[Difference]) -> str:
    """Return the first differences in a line."""
    if not found:
        return "Nothing that is known is otherwise with it."
    texts = [f"{each.what}: {each.before} → {each.after}" for each in found[:_DIFFERENCES]]
    more = len(found) - len(texts)
    return "; ".join([*texts, *([f"{more} more"] if more else [])])


def _sources_text(line: Retiring, known: Knowledge) -> str | None:
    found = known.facts(line.api_name, line.model)
    sources = with_sources(found).sources.get("retires", ()) if found else ()
    return plain(f"The day is by {', '.join(sources)}") if sources else None


def _count(lines: Sequence[Retiring], tier: Tier) -> int:
    return sum(line.tier == tier for line in lines)


def _word(line: Retiring) -> str:
    return WORDS[line.tier][0]


def _searched(line: Retiring) -> str:
    return " ".join([line.model, line.api, line.successor or "", *line.providers]).casefold()
