"""Organisations and their external ids from a CSV file: what came of each line is shown, and a refused one keeps none of the others."""

import io
from collections.abc import Callable
from typing import Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import Invalid
from core.manage import organization_import
from core.manage.organization_import import ImportedLine
from core.store.organization_schemas import MOST_AT_ONCE
from core.wording import counted
from ui import reason
from ui.feedback import attempt, field_error, plain, plain_cell

_DONE: Final = "organizations_imported"
_SHOWN: Final = 200
"""Lines of the outcome that are shown, those that were refused first."""


def draw(actor: Actor, typed: str, file: str, done: Callable[[], object]) -> None:
    """Draw the import, or what came of it.

    Args:
        actor: An admin.
        typed: Key of what is pasted.
        file: Key of the file.
        done: Closes the dialog.
    """
    lines: list[ImportedLine] | None = st.session_state.get(_DONE)
    if lines is not None:
        _draw_outcome(lines)
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Done", key="import_done", type="primary"):
                st.session_state.pop(_DONE, None)
                done()
        return
    st.markdown(
        "A header `slug,name,external`, then a line for each organisation; one with several external ids has a line for each. "
        f"Those that are there get the ids they do not have; nothing is taken. Up to {MOST_AT_ONCE:,} organisations."
    )
    uploaded = st.file_uploader("File", type="csv", key=file, max_upload_size=5)
    pasted = st.text_area("Or paste it", key=typed, persist_state="page", height=160, placeholder="slug,name,external")
    slot = st.empty()
    with reason.buttons():
        if st.button("Cancel", key="import_cancel"):
            done()
        pressed = st.button("Import", key="import_start", type="primary", icon=":material/upload_file:")
    if not pressed:
        return
    found: list[ImportedLine] = []

    def work(session: Session) -> None:
        if uploaded is not None:
            try:
                text = uploaded.getvalue().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise Invalid({"file": "must be UTF-8"}) from None
        else:
            text = pasted or ""
        entries = organization_import.read(io.StringIO(text, newline=""))
        if len(entries) > MOST_AT_ONCE:
            raise Invalid({"file": f"must have at most {MOST_AT_ONCE:,} organisations; this has {len(entries):,}"})
        found[:] = organization_import.put(session, actor, entries)

    outcome = attempt(work, None)
    if outcome.ok:
        st.session_state[_DONE] = found
        st.rerun()
    rule = "; ".join(outcome.errors.values())
    field_error(slot, {"file": f"the file {rule}"} if rule else {}, "file")


def _draw_outcome(lines: list[ImportedLine]) -> None:
    refused = [line for line in lines if line.is_refused]
    added = sum(line.outcome == "added" for line in lines)
    text = f"{counted(added, 'organisation')} added, {counted(len(lines), 'line')} in all."
    if refused:
        st.warning(plain(f"{text} {counted(len(refused), 'organisation')} refused; the others are kept."))
    else:
        st.success(plain(text))
    shown = [*refused, *(line for line in lines if not line.is_refused)][:_SHOWN]
    if shown:
        st.table(
            [{"Slug": plain_cell(line.slug), "What came of it": plain_cell(line.outcome)} for line in shown],
            border="horizontal",
            alt="What came of each organisation of the file",
        )
    if len(lines) > _SHOWN:
        st.caption(f"{_SHOWN} are shown, those that were refused first.")
