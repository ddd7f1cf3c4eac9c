"""Of which organisation and feature Effective Preview shows settings, and with which others it compares them."""

import streamlit as st

from core.actors import Actor
from core.errors import NotFound
from core.govern.history_moments import Moment
from core.manage import settings
from core.manage.hierarchy import AskedFor, OfProvider, in_force, of_all_providers
from core.resolving.effective import EffectiveSettings
from ui import moments
from ui.feedback import plain
from ui.preview import overview
from ui.scopes import picker
from ui.scopes.editors import Names
from ui.widgets import coming_and_going

Pair = tuple[EffectiveSettings, EffectiveSettings | None]


def pick(actor: Actor, provider: str, other: str | None, at: Moment | None = None) -> Pair | None:
    """Draw the fields of the scope, and of the one that it is compared with; returns what is in force for both.

    Args:
        actor: Who.
        provider: Its name.
        other: The provider that it is compared with; None: with the same, where another organisation or feature is chosen.
        at: As of when; None: now.

    Returns:
        None while it is not clear which organisation is meant: what it may be was drawn then. The second is None where
        nothing is compared.
    """
    place = coming_and_going()
    found = picker.known(actor, at)
    if found.is_empty and not _is_asked():
        return _both(actor, at, AskedFor(provider), None if other is None else AskedFor(other))
    picker.explain(actor, found, place)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="scope"):
        typed, feature = picker.draw_fields(found)
        typed_against, feature_against = picker.draw_fields_against(found)
    ours = picker.settle(actor, found, picker.ORGANIZATION, typed)
    theirs = picker.settle(actor, found, picker.AGAINST, typed_against) if ours.is_clear else ours
    if not (ours.is_clear and theirs.is_clear):
        return None
    organization = ours.organization.slug if ours.organization is not None else None
    against = theirs.organization.slug if theirs.organization is not None else None
    asked = AskedFor(provider, organization, feature)
    beside = AskedFor(other or provider, against or organization, feature_against or feature)
    return _both(actor, at, asked, beside if beside != asked else None)


Everywhere = tuple[EffectiveSettings, list[OfProvider], Names]


def pick_for_all(actor: Actor, at: Moment | None = None) -> Everywhere | None:
    """Draw the fields of the scope; returns what a provider without anything of its own gets there, what each one gets, and the scope.

    Returns:
        As :func:`pick`.
    """
    place = coming_and_going()
    found = picker.known(actor, at)
    organization = feature = None
    if not found.is_empty or _is_asked():
        picker.explain(actor, found, place)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="scope_of_all"):
            typed, feature = picker.draw_fields(found)
        settled = picker.settle(actor, found, picker.ORGANIZATION, typed)
        if not settled.is_clear:
            return None
        organization = settled.organization.slug if settled.organization is not None else None
    names = Names(None, organization, None, feature)
    try:
        with moments.reading(actor, at, organization) as session:
            if organization is None and feature is None:
                return *overview.of_everybody(settings.load(session)), names
            return *of_all_providers(session, actor, AskedFor(None, organization, feature)), names
    except NotFound as error:
        _say_gone(error, at)
        return None


def _is_asked() -> bool:
    names = (picker.ORGANIZATION, picker.FEATURE, picker.AGAINST, picker.AGAINST_FEATURE)
    return any(name in st.query_params for name in names)


def _both(actor: Actor, at: Moment | None, asked: AskedFor, beside: AskedFor | None) -> Pair | None:
    try:
        ours = _settings(actor, at, asked)
        return ours, None if beside is None else _settings(actor, at, beside)
    except NotFound as error:
        _say_gone(error, at)
        return None


def _say_gone(error: NotFound, at: Moment | None) -> None:
    if at is not None:
        moments.draw_absent("There was no such organisation")
    # it went while the page was drawn
    st.warning(plain(f"{error} Choose another one above."), icon=":material/help:")


def _settings(actor: Actor, at: Moment | None, asked: AskedFor) -> EffectiveSettings:
    with moments.reading(actor, at, asked.organization) as session:
        if asked.organization is None and asked.feature is None and asked.provider is not None:
            return settings.effective(session, asked.provider)
        return in_force(session, actor, asked).settings
