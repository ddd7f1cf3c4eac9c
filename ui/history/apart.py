"""What differs between two moments, by row and field; and the way to put all of an organisation back as it was at the first."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.errors import Gone, Invalid
from core.govern import history, history_names
from core.govern.history import Differences, RowDifference
from core.govern.history_moments import newest
from core.govern.history_names import KINDS
from core.store import db
from core.wording import counted
from ui import listing, moments
from ui.feedback import as_markdown, plain
from ui.history import organization
from ui.history.choice import FROM, TO, HistoryOf
from ui.history.words import Names, field_words, rows_of
from ui.widgets import FILTERS_PLACE, cut, exact

_ICONS: Final = {"+": "add_circle", "=": "edit", "-": "delete"}
_SAYS: Final = {"+": "only at the second", "=": "", "-": "only at the first"}
_NAMED: Final = 3


def draw(actor: Actor, of: HistoryOf) -> None:
    """Draw the fields of the two moments, and what differs."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        begins = st.text_input(
            "From", key=FROM, bind="query-params", placeholder="2026-03-01 09:00", **moments.field(FROM)
        )
        first = moments.parsed(begins, FROM)
        ends = st.text_input("To", key=TO, bind="query-params", placeholder="Now", **moments.field(TO))
        second = moments.parsed(ends, TO)
    if first is None:
        st.info(
            "Say from when: a time, or a generation. What differs until then, or until now, is listed by row and field.",
            icon=":material/difference:",
        )
        return
    if second is None and st.session_state.get(TO):
        return
    try:
        with db.transaction() as session:
            last = newest(session).generation if second is None else second
            found = history.difference(session, actor, first, last, organization_id=of.id)
            may = of.id is not None and history.eyes(session, actor).reads_all(of.id)
            names = history_names.named(session, [row.fields for row in found.rows])
    except Gone as error:
        st.warning(as_markdown(str(error)), icon=":material/auto_delete:")
        return
    except Invalid as error:
        st.warning(plain(f"The moment {'; '.join(error.fields.values())}."), icon=":material/event_busy:")
        return
    _draw(found, names)
    if may and second is None and found.rows and of.id is not None and of.slug is not None:
        organization.draw_button(of.id, of.slug, found.before)


def _draw(found: Differences, names: Names) -> None:
    st.caption(plain(f"From {moments.words(found.before)} to {moments.words(found.after)}"))
    if not found.rows:
        st.success("Nothing differs.", icon=":material/check_circle:")
        return
    more = ", and more: choose moments that are nearer to each other" if found.is_cut else ""
    st.markdown(f"**{counted(len(found.rows), 'row')} differ{'s' if len(found.rows) == 1 else ''}{more}**")
    place = st.container(gap="xxsmall")
    shown = listing.shown(found.rows)
    with place:
        for row in shown:
            _draw_row(row, names)


def _draw_row(row: RowDifference, names: Names) -> None:
    kind = KINDS.get(row.table, "row")
    about = "" if row.name == kind else f" **{cut(row.name, 80)}**"
    fields = [field_words(name) for name in (*row.fields, *row.hidden)]
    said = _SAYS[row.op] or (", ".join(fields) if len(fields) <= _NAMED else counted(len(fields), "field"))
    with st.expander(f"{plain(kind.capitalize())}{about} · {plain(said)}", icon=f":material/{_ICONS[row.op]}:"):
        st.caption(plain(f"Changed last at generation {row.generation}, {exact(row.at)}, by {row.by}"))
        if row.fields:
            st.table(
                rows_of(row.fields, names, ("At the first", "At the second")),
                border="horizontal",
                hide_index=True,
                alt="Each field at the one moment and at the other",
            )
        if row.hidden:
            hidden = ", ".join(field_words(name) for name in row.hidden)
            st.caption(plain(f"Differs too, and shown to admins alone: {hidden}."))
