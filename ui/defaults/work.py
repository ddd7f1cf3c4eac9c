"""What the Defaults page is about in this run: a scope, what is stored for it, and what is unsaved."""

from collections.abc import Mapping
from typing import NamedTuple

import streamlit as st

from core.actors import Actor
from core.errors import NotFound
from core.manage import providers, services, settings
from core.resolving.effective import EffectiveSettings, Explained
from core.store import db
from ui.defaults import form, scope
from ui.defaults.draft import Edit, patch, problems
from ui.defaults.scope import ALL, StoredScope


class Work(NamedTuple):
    """One scope, as it is stored and as it is being edited."""

    actor: Actor
    scope: str
    """A provider's name, or "" for all providers."""
    scope_id: int | None
    title: str
    models: list[str] | None
    """The provider's; None for all providers."""
    stored: StoredScope
    inherited: Mapping[str, Explained]
    """What each parameter, and the model, gets when it inherits."""
    edit: Edit
    found: Mapping[str, str]
    """Field -> the rule that its unsaved choice breaks."""

    @property
    def drafted(self) -> tuple[int | None, Mapping[str, object]]:
        """The scope with its unsaved choices, but those that break a rule: as ``settings.effective`` takes it."""
        valid = {name: choice for name, choice in self.edit.changed.items() if name not in self.found}
        return self.scope_id, patch(self.stored.fields, valid)


class Results(NamedTuple):
    """What would be in force for a provider, and what is."""

    draft: EffectiveSettings
    saved: EffectiveSettings
    unread: str | None
    """What services of an older version would not read of it."""


def load(actor: Actor, name: str, *, whole: bool) -> Work:
    """Return the scope *name*, with what was typed until now; the form's widgets are made to show it.

    The whole page runs anew where the scope is gone, and where a part alone cannot show what somebody else changed.

    Args:
        actor: An admin.
        name: A provider's name, or "" for all providers.
        whole: Whether the whole page is being drawn.
    """
    try:
        with db.transaction() as session:
            provider = providers.get_by_name(session, name) if name else None
            scope_id = provider.id if provider else None
            title = provider.display_name if provider else ALL
            models = provider.available_models if provider else None
            stored = scope.stored_row(session, scope_id)
            inherits = settings.effective(session, name, draft=(scope_id, dict.fromkeys(settings.FIELDS)))
    except NotFound:
        st.rerun()
    inherited = {item.name: item for item in inherits.explain()} if name else form.built_ins()
    edit = scope.current_edit(scope_id, stored, inherited, whole=whole)
    return Work(actor, name, scope_id, title, models, stored, inherited, edit, problems(edit, models))


def results(work: Work, provider: str) -> Results:
    """Return what results for *provider*."""
    with db.transaction() as session:
        draft = settings.effective(session, provider, draft=work.drafted)
        saved = settings.effective(session, provider)
        return Results(draft, saved, services.unread_warning(session, draft.as_dict()))
