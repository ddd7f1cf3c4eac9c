"""Which limits bind a field where it is set, and what of a save they refused: both are said beside the field."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st
from sqlmodel import Session

from core.actors import Actor
from core.errors import NotFound
from core.manage import limits, providers
from core.manage.limits import Bound
from core.manage.scopes import SettingsScope
from core.resolving.limits import DEFAULT_PROVIDER, OBJECTS
from core.store import db
from ui.feedback import plain

Bounds = Mapping[str, list[tuple[str, Bound]]]
"""Field of a form -> the key of it that is bound, or "", and the rule."""
_REFUSED: Final = "limits_refused"
_COLUMNS: Final = {DEFAULT_PROVIDER: "default_provider_id"}


def find(session: Session, actor: Actor, scope: SettingsScope) -> Bounds:
    """Return what binds the fields of a scope's form; a handful of queries, for all of them at once.

    Raises:
        Forbidden, NotFound: As :func:`core.manage.limits.binding`.
    """
    found: dict[str, list[tuple[str, Bound]]] = {}
    for field, rules in limits.binding(session, actor, scope).items():
        head, _, key = field.partition(".")
        name = head if head in OBJECTS else _COLUMNS.get(field, field)
        found.setdefault(name, []).extend((key, rule) for rule in rules)
    return found


def of_provider(actor: Actor, name: str) -> Bounds:
    """Return what binds the fields of a provider's form, or of that of all providers; nothing where it is gone."""
    try:
        with db.transaction() as session:
            provider_id = providers.get_by_name(session, name).id if name else None
            return find(session, actor, SettingsScope(provider_id))
    except NotFound:
        return {}


def draw(name: str, found: Bounds) -> None:
    """Draw below the field *name* which rules bind it, whose they are and why, each with a link to the limit."""
    rules = found.get(name)
    if not rules:
        return
    lines = [
        f":gray[:small[:material/lock: {plain(_sentence(key, bound))}]] "
        f":small[[Limit {bound.by.limit_id}](limits?limit={bound.by.limit_id})]"
        for key, bound in rules
    ]
    with st.container(key=f"note_bound_{name}"):
        st.markdown("  \n".join(lines))  # no caption: there a link is too pale


def _sentence(key: str, bound: Bound) -> str:
    if key:
        return f"{key}: {bound.text} here: {bound.who}."
    return f"{bound.text[:1].upper()}{bound.text[1:]} here: {bound.who}."


def note_refused(scope: SettingsScope, changed: Mapping[str, Any], errors: Mapping[str, str]) -> None:
    """Remember which choices a save was refused for: it is said beside the field until another choice is made there."""
    refused = {name: (changed[name], rule) for name, rule in errors.items() if name in changed}
    st.session_state[_REFUSED] = (scope, refused)


def refused(scope: SettingsScope, changed: Mapping[str, Any]) -> dict[str, str]:
    """Return the rules that refused what is still chosen: field -> rule."""
    of, found = st.session_state.get(_REFUSED, (None, {}))
    if of != scope:
        return {}
    return {name: rule for name, (choice, rule) in found.items() if changed.get(name) == choice}
