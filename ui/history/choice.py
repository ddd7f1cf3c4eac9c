"""What History shows: of which organisation, which part of the page, which changes; all of it stands in the address."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.errors import NotFound
from core.govern.history_names import KINDS
from core.govern.history_queries import Filters
from core.govern.history_writers import TARGETS, WRITERS
from core.manage import organizations
from core.parameters import PARAMETERS
from core.store import db
from core.store.table import id_of
from ui import address
from ui.guard import guard
from ui.history.words import field_words
from ui.scopes import picker
from ui.since import KEY as SINCE_KEY
from ui.since import pick_since
from ui.widgets import FILTERS_PLACE, coming_and_going

CHANGES: Final = "What was changed"
MOMENTS: Final = "Two moments"
_PARTS: Final = (CHANGES, MOMENTS)
_PART, _WHO, _KIND, _PROVIDER, _FIELD = "part", "who", "kind", "provider", "field"
FROM, TO = "from", "to"
CLEAR: Final = "history_clear_button"
"""Key of the button that is on both parts of the page."""
_LONGEST: Final = 200
_ANY: Final[dict[str, Any]] = {"index": None, "placeholder": "Any", "filter_mode": "contains"}
"""What the select boxes have in common."""
_KINDS: Final = {KINDS[table].capitalize(): table for table in TARGETS}


class HistoryOf(NamedTuple):
    """Whose history is shown, and which part of the page."""

    part: str
    """:data:`CHANGES` or :data:`MOMENTS`."""
    id: int | None
    """Of the organisation; None: all that the actor may see."""
    slug: str | None
    has_all: bool
    """Whether the actor sees more than organisations' own."""


def pick(actor: Actor) -> HistoryOf | None:
    """Draw the field of the organisation; returns whose history is shown. None: that is not clear, and what it may be was drawn."""
    place = coming_and_going()
    found = picker.known(actor)
    picker.explain(actor, found, place)
    with place:
        address.one_of(_PART, _PARTS, "a part of this page")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="history_of"):
        part = _pick_part()
        typed = picker.draw_organization(found, "All").strip()
        st.button(
            "Clear filters",
            key=CLEAR,
            icon=":material/filter_alt_off:",
            on_click=_clear,
            kwargs={"is_own": found.mine is not None},
        )
    if not typed and found.mine is None:
        return HistoryOf(part, None, None, has_all=True)
    if typed:
        try:
            with db.transaction() as session:
                row = organizations.get_by_name(session, actor, typed)
            return HistoryOf(part, id_of(row), row.slug, has_all=found.mine is None)
        except NotFound:
            pass
    picker.settle(actor, found, picker.ORGANIZATION, typed)
    return None


def _pick_part() -> str:
    chosen = st.segmented_control("Show", _PARTS, default=CHANGES, required=True, key=_PART, bind="query-params")
    return chosen or CHANGES


def fields() -> dict[str, str]:
    """Return what people call each field that can be put back -> its name, parameters first; two of one name have it behind them."""
    names = {name for writer in WRITERS.values() for name in writer.fields}
    labels = Counter(map(field_words, names))
    said = {
        name: field_words(name) if labels[field_words(name)] == 1 else f"{field_words(name)} ({name})" for name in names
    }
    order = [*PARAMETERS, *sorted(names - PARAMETERS.keys(), key=said.__getitem__)]
    return {said[name]: name for name in order if name in names}


def pick_filters(of: HistoryOf, providers: Iterable[str]) -> Filters:
    """Draw the filters of the list; returns what is chosen.

    Args:
        of: Whose history.
        providers: Names of those there are; one that is gone is chosen by the address.
    """
    known = fields()
    address.one_of(_KIND, _KINDS, "a kind")
    address.one_of(_FIELD, known, "a field")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        field = st.selectbox("Field", list(known), key=_FIELD, bind="query-params", width=190, **_ANY)
        kind = st.selectbox("Kind", list(_KINDS), key=_KIND, bind="query-params", width=190, **_ANY)
        there = address.with_asked(_PROVIDER, [*providers], _LONGEST)
        provider = st.selectbox("Provider", there, key=_PROVIDER, bind="query-params", width=170, **_ANY)
        who = st.text_input(
            "Who",
            key=_WHO,
            bind="query-params",
            placeholder="Anybody",
            max_chars=_LONGEST,
            width=150,
            help="The whole name, as a line has it.",
            on_change=_hold,
        )
        since = pick_since("Changed within")
    return Filters(
        organization_id=of.id,
        table=_KINDS.get(kind or ""),
        since=since,
        by=who.strip() or None,
        field=known.get(field or ""),
        provider=provider,
    )


def _hold() -> None:
    guard("member")
    address.hold((_WHO,))


def _clear(*, is_own: bool) -> None:
    """Let all changes through again: a callback. Who belongs to organisations stays at theirs."""
    guard("member")
    st.session_state.update({_WHO: "", _KIND: None, _PROVIDER: None, _FIELD: None, SINCE_KEY: None, FROM: "", TO: ""})
    if not is_own:
        st.session_state[picker.ORGANIZATION] = ""
