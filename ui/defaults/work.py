"""What the Defaults page is about in this run: a scope, what is stored for it, and what is unsaved."""

from collections.abc import Mapping
from typing import NamedTuple

import streamlit as st

from core.actors import Actor
from core.errors import NotFound
from core.manage import fitting, knowledge, providers, services, settings
from core.models.apis import api_of, host_of
from core.models.knowledge import Knowledge
from core.models.ranges import ranges
from core.parameters import SENDABLE
from core.resolving.effective import EffectiveSettings
from core.resolving.explanation import Explained
from core.resolving.words import Note, notes_of
from core.store import db
from core.wording import counted
from ui.defaults import form, scope
from ui.defaults.draft import VALUE, Edit, chosen, patch, problems
from ui.defaults.scope import ALL, StoredScope
from ui.widgets import isolated


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
    inherits: EffectiveSettings
    """What results when everything inherits."""
    inherited: Mapping[str, Explained]
    """What each parameter, and the model, gets then."""
    edit: Edit
    found: Mapping[str, str]
    """Field -> the rule that its unsaved choice breaks."""
    knowledge: Knowledge
    """What is known of models."""

    @property
    def drafted(self) -> tuple[int | None, Mapping[str, object]]:
        """The scope with its unsaved choices, but those that break a rule: as ``settings.effective`` takes it."""
        valid = {name: choice for name, choice in self.edit.changed.items() if name not in self.found}
        return self.scope_id, patch(self.stored.fields, valid)

    @property
    def model(self) -> str | None:
        """The model that is called, as it is chosen now; None for all providers."""
        return chosen(self.edit, "preferred_model").value or self.inherits.model if self.scope else None

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Parameter -> between which values the model takes it, where that is known; nothing for all providers."""
        if not self.scope:
            return {}
        kind, url = self.inherits.kind, self.inherits.base_url
        return ranges(api_of(kind, url), kind, self.model, self.knowledge, host_of(kind, url))

    @property
    def efforts(self) -> tuple[str, ...]:
        """What the model takes as effort of reasoning; empty where that is not known, and for all providers."""
        if not (self.scope and self.model):
            return ()
        kind, url = self.inherits.kind, self.inherits.base_url
        found = self.knowledge.facts(api_of(kind, url), self.model, host_of(kind, url))
        return found.efforts if found else ()


class Results(NamedTuple):
    """What would be in force for a provider, and what is."""

    draft: EffectiveSettings
    saved: EffectiveSettings
    unread: str | None
    """What services of an older version would not read of it."""
    fits: Mapping[str, fitting.Fit]
    """Of all providers: how many take what they inherit. Empty for one provider."""

    def notes(self, edit: Edit) -> dict[str, Note]:
        """Return what is to be known of each parameter, for its row."""
        return _fit_notes(self.fits, edit) if self.fits else notes_of(self.draft)

    def unsent(self, edit: Edit) -> list[str]:
        """Return the parameters whose value was typed, is not saved yet, and would reach no model as it is."""
        if self.fits:
            lost = {name for name, fit in self.fits.items() if not fit.takes}
        else:
            lost = {
                each.parameter for each in self.draft.adjustments if each.asked_for and each.what not in _REACHES_IT
            }
        return [name for name in SENDABLE if name in lost and name in edit.changed and edit.changed[name].mode == VALUE]


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
            known = knowledge.of(session)
            inherits = settings.effective(session, name, draft=(scope_id, dict.fromkeys(settings.FIELDS)))
    except NotFound:
        st.rerun()
    inherited = {item.name: item for item in inherits.explain()} if name else form.built_ins()
    edit = scope.current_edit(scope_id, stored, inherited, whole=whole)
    return Work(actor, name, scope_id, title, models, stored, inherits, inherited, edit, problems(edit, models), known)


def results(work: Work, provider: str) -> Results:
    """Return what results for *provider*."""
    with db.transaction() as session:
        if work.scope:
            draft = settings.effective(session, provider, draft=work.drafted)
            saved, fits = settings.effective(session, provider), {}
        else:
            stored = settings.load(session)
            drafted = stored.with_draft(*work.drafted)
            fits = fitting.fits(drafted)
            is_there = provider in stored.providers  # else it was deleted just now
            draft, saved = (
                each.effective(provider) if is_there else settings.effective(session, provider)
                for each in (drafted, stored)
            )
        return Results(draft, saved, services.unread_warning(session, draft.as_dict()), fits)


_REACHES_IT = ("renamed", "added")
_NAMED = 3
"""Of the providers that do not take a value, so many are named in its row."""


def _fit_notes(fits: Mapping[str, fitting.Fit], edit: Edit) -> dict[str, Note]:
    found = {}
    for name, fit in fits.items():
        is_chosen = chosen(edit, name).mode == VALUE
        if not is_chosen and not fit.others:
            continue
        text = f"fits {fit.takes:,} of {counted(fit.of, 'provider')}"
        if fit.others:
            named = [f"{isolated(title)} ({becomes})" for title, becomes in fit.others[:_NAMED]]
            more = len(fit.others) - len(named)
            text += f"; not {', '.join(named)}{f', and {more:,} more' if more else ''}"
        found[name] = Note(text, asked_for=bool(fit.others) and is_chosen)
    return found
