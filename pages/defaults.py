"""Defaults: the parameters of all providers, and of one, with a live preview of what results."""

import streamlit as st

from core.manage import providers, services, settings
from core.resolving.effective import EffectiveSettings
from core.store import db
from core.wording import counted
from ui.defaults import form
from ui.defaults.dialogs import ask, draw_dialog
from ui.defaults.draft import patch, problems
from ui.defaults.effective_table import preview, refused, warnings
from ui.defaults.scope import (
    ALL,
    current_edit,
    draw_other_edits,
    forgetting,
    omit,
    other_edits,
    pick_scope,
    stored_row,
    undo,
)
from ui.feedback import attempt, other_errors, plain
from ui.navigation import begin_page
from ui.widgets import changed

actor = begin_page("defaults", "The parameters that all providers share, and what one of them does differently.")
with db.transaction() as session:
    names = providers.names(session)

scope = pick_scope(names)
with db.transaction() as session:
    provider = providers.get_by_name(session, scope) if scope else None
    scope_id = provider.id if provider else None
    stored = stored_row(session, scope_id)
    others = other_edits(session, scope_id)
    inherits = settings.effective(session, scope, draft=(scope_id, dict.fromkeys(settings.FIELDS)))
title = provider.display_name if provider else ALL
inherited = {item.name: item for item in inherits.explain()} if provider else form.built_ins()
edit = current_edit(scope_id, stored, inherited)
found = problems(edit, provider.available_models if provider else None)


def results(name: str) -> tuple[EffectiveSettings, EffectiveSettings]:
    """Return what would be in force for a provider, and what is; a choice that breaks a rule is left out."""
    valid = {n: c for n, c in edit.changed.items() if n not in found}
    with db.transaction() as session:
        draft = settings.effective(session, name, draft=(scope_id, patch(stored.fields, valid)))
        return draft, settings.effective(session, name)


def save_bar() -> bool:
    """Draw what is unsaved, with Discard and Save; returns whether to save."""
    number = len(edit.changed)
    with st.container(horizontal=True, vertical_alignment="center", key="save_bar"):
        with st.container(width="stretch", gap=None):
            st.markdown(f":orange[:material/edit: **{counted(number, 'change')}, unsaved**]")
            st.text(f"{title}: {form.names(edit.changed)}")
            if edit.version != stored.version:
                st.caption(f"{plain(stored.changed_by or 'Somebody')} saved in the meantime: you will be asked.")
        if st.button("Discard", key="discard", icon=":material/undo:"):
            undo(scope_id)
            st.rerun()
        return st.button("Save", key="save", type="primary", icon=":material/save:")


draw_other_edits(others)
side_by_side = st.container(horizontal=True, gap="small")  # the preview goes below where both do not fit
with side_by_side, st.container(width=670):
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        if stored.version:
            changed(stored.changed_at, stored.changed_by)
        else:
            st.caption("Nothing is set here: everything inherits.")
        if st.button(
            "Reset all", key="reset", type="tertiary", icon=":material/restart_alt:", disabled=not stored.version
        ):
            ask("reset")
    undone = form.draw(edit, inherited, found, provider.available_models if provider else None)
    if undone:
        undo(scope_id, undone)
        st.rerun()
with side_by_side, st.container(width="stretch", border=True):
    st.header("Preview", anchor=False)
    if names:
        shown = scope or st.selectbox(
            "Of provider", list(names), format_func=lambda n: f"{names.get(n, n)}  ·  {n}", key="defaults_provider"
        )
        draft, saved = results(shown)
        warnings(draft, saved)
        with db.transaction() as session:
            unread = services.unread_warning(session, draft.as_dict())
        if unread:
            st.warning(plain(unread), icon=":material/history:")
        unfit = refused(draft) if provider else []
        if unfit and st.button("Don't send these", key="omit_refused", icon=":material/block:", help=form.names(unfit)):
            omit(scope_id, unfit)
            st.rerun()
        preview(draft, saved)
    else:
        st.text("There is no provider yet. What is set here will hold for each one that is added.")
        st.page_link("pages/providers.py", label="Add a provider", icon=":material/add:")

with st.bottom:
    if edit.changed and save_bar():
        outcome = attempt(
            lambda s: settings.upsert_global(s, actor, scope_id, patch(edit.base, edit.changed), version=edit.version),
            done=f"Saved {counted(len(edit.changed), 'change')} in {title}.",
            then=forgetting(scope_id),
        )
        if outcome.ok:
            undo(scope_id)
            st.rerun()
        if outcome.conflict or edit.version != stored.version:
            ask("conflict")
        other_errors(outcome.errors, set())
draw_dialog(scope_id, title, stored, edit)
