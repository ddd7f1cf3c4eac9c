"""The list of what was changed: a line for each version of a row, which opens to its fields and to how it is put back."""

from typing import Final

import streamlit as st

from core.actors import Actor
from core.errors import Invalid
from core.govern import history, history_names
from core.govern.history import VersionChange
from core.govern.history_queries import Filters, VersionPlace
from core.store import db
from ui import address, keyset
from ui.feedback import plain
from ui.history import putting_back
from ui.history.putting_back import Picked
from ui.history.words import Names, field_words, icon_of, rows_of, sentence
from ui.since import KEY
from ui.widgets import cut, exact, for_row, opening_line

PAGE_SIZE: Final = 25
_LIST: Final = "history"
_BUTTONS: Final = 4
"""So many fields have a button of their own; of more one chooses when putting back."""


def draw(actor: Actor, filters: Filters, *, has_all: bool) -> None:
    """Draw the list, newest first, and the way to older ones."""
    at = keyset.part(_LIST, (filters._replace(since=None), st.session_state.get(KEY)), PAGE_SIZE)
    place = None
    try:
        place = VersionPlace.parse(at.after) if at.after else None
    except Invalid:
        address.refuse(keyset.PARAMETER, "which is no place in this list")
    with db.transaction() as session:
        found = history.changes(session, actor, filters, after=place, limit=PAGE_SIZE)
        eyes = history.eyes(session, actor)
        names = history_names.named(session, [row.fields for row in found.rows])
    if not found.rows:
        _draw_none(filters, has_all=has_all)
    with st.container(gap="xxsmall"):
        for row in found.rows:
            line = opening_line(_key(row), sentence(row, names), icon_of(row), row.at)
            if line.open:
                with line:
                    _draw_details(row, names, may=eyes.reads_all(row.organization_id))
    more = [found.older] if found.older is not None else []
    keyset.draw(_LIST, at._replace(size=len(found.rows)), [*found.rows, *more], str(found.older or ""))


def _key(row: VersionChange) -> str:
    return f"history_{row.generation}_{row.table}_{row.row_id}"


def _draw_none(filters: Filters, *, has_all: bool) -> None:
    if filters._replace(organization_id=None) == Filters() and has_all:
        st.info("Nothing was changed yet. The next change of a setting will be here.", icon=":material/manage_history:")
    else:
        st.info("No change fits. Clear the filters to see all of them.", icon=":material/search_off:")


def _draw_details(row: VersionChange, names: Names, *, may: bool) -> None:
    facts = [f"Generation {row.generation}", exact(row.at), f"by {row.by}"]
    facts += [f"version {row.version} of the row"] * bool(row.version)
    st.caption(plain(" · ".join(facts)))
    if row.comment:
        st.markdown(f"Reason: {cut(row.comment, 500)}")
    if row.fields:
        st.table(
            rows_of(row.fields, names, ("Before", "After")),
            border="horizontal",
            hide_index=True,
            alt="Each field before and after",
        )
    if row.hidden:
        hidden = ", ".join(field_words(name) for name in row.hidden)
        st.caption(plain(f"Changed too, and shown to admins alone: {hidden}."))
    if not may:
        st.caption("An admin can put it back.")
        return
    restorable = putting_back.restorable(row)
    with st.container(horizontal=True, gap="small"):
        if row.op == "=" and len(restorable) <= _BUTTONS:
            for field in restorable:
                _draw_button(row, field)
        _draw_button(row, None)


def _draw_button(row: VersionChange, field: str | None) -> None:
    words = f"Put back {field_words(field)}" if field else "Put back the row"
    st.button(
        for_row(words, f"of {cut(row.name, 60)}, generation {row.generation}"),
        key=f"put_back_{field or 'row'}_{_key(row)}",
        icon=":material/settings_backup_restore:",
        on_click=putting_back.pick,
        args=(Picked.of(row, field),),
    )
