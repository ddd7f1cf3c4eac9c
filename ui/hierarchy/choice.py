"""What Hierarchy shows: of which organisation, feature and provider; all of it stands in the address."""

from typing import Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.govern.history_moments import Moment
from core.manage.hierarchy import AskedFor
from ui import address
from ui.scopes import picker
from ui.widgets import coming_and_going

PROVIDER: Final = "provider"
"""Key of the field, and its name in the address."""
_EVERYTHING: Final = "all_parameters"
"""The same of the toggle; Effective Preview's has this name in its address too."""


class Chosen(NamedTuple):
    """What is asked for."""

    asked: AskedFor
    everything: bool
    """Whether parameters are shown of which no layer speaks."""
    has_scopes: bool
    """Whether there is any organisation or feature."""


def pick(actor: Actor, names: list[str], at: Moment | None = None) -> Chosen | None:
    """Draw the fields; returns what is asked for, or None while it is not clear: what it may mean was drawn then.

    Args:
        actor: Who.
        names: Of the providers.
        at: As of when; None: now.
    """
    place = coming_and_going()
    found = picker.known(actor, at)
    picker.explain(actor, found, place)
    with place:
        address.one_of(PROVIDER, names, "a provider")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="hierarchy_filters"):
        typed, feature = picker.draw_fields(found)
        provider = st.selectbox(
            "Provider",
            names,
            index=None,
            key=PROVIDER,
            bind="query-params",
            placeholder="The default provider",
            filter_mode="contains",
            width=220,
        )
        everything = st.toggle(
            "All parameters",
            key=_EVERYTHING,
            bind="query-params",
            help="Also those of which no layer speaks: their built-in defaults are in force.",
        )
    settled = picker.settle(actor, found, picker.ORGANIZATION, typed)
    if not settled.is_clear:
        return None
    organization = settled.organization.slug if settled.organization is not None else None
    return Chosen(AskedFor(provider, organization, feature), everything, not found.is_empty)
