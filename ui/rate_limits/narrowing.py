"""Which rate limits the page lists; all of it stands in the address."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.manage import limit_listing
from core.manage.rate_limit_listing import RATE_STATES
from core.store import db
from core.store.table import id_of
from ui import address
from ui.guard import guard
from ui.scopes import picker
from ui.widgets import FILTERS_PLACE, coming_and_going

SEARCH, STATE, PROVIDER = "search", "state", "provider"
_LABELS: Final = dict(zip(RATE_STATES, ("Full lately", "Above the vendor's", "Off"), strict=True))


class Narrowed(NamedTuple):
    """What is asked for, and what there is to choose from."""

    of: dict[str, Any]
    """As :func:`core.manage.rate_limit_listing.page_of` takes it; what is not asked for is not in it."""
    organization: str | None
    """Its slug."""
    is_clear: bool
    """False: it is not clear which organisation is meant; what it may be was drawn."""
    features: Sequence[str]
    """Those that are registered."""
    providers: Mapping[str, int]
    """Name -> id."""


def pick(actor: Actor, draw_button: Callable[[], object]) -> Narrowed:
    """Draw the filters; returns what is asked for.

    Args:
        actor: Who.
        draw_button: Draws what stands beside them: the button that adds to the list.
    """
    place = coming_and_going()
    found = picker.known(actor)
    with db.transaction() as session:
        providers = limit_listing.provider_ids(session)
    picker.explain(actor, found, place)
    with place:
        address.one_of(PROVIDER, providers, "a provider")
        address.one_of(STATE, _LABELS.values(), "a state of rate limits")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        search = st.text_input(
            "Search",
            key=SEARCH,
            bind="query-params",
            placeholder="Part of a name or a model",
            icon=":material/search:",
            max_chars=100,
            live="400ms",
            width=240,
            on_change=_hold,
            args=(SEARCH,),
        )
        state = st.selectbox("State", list(_LABELS.values()), key=STATE, bind="query-params", width=180, **_kept(STATE))
        typed, feature = picker.draw_fields(found, "Any")
        provider = None
        if providers:
            provider = st.selectbox(
                "Provider", list(providers), key=PROVIDER, bind="query-params", width=180, **_kept(PROVIDER)
            )
        draw_button()
    settled = picker.settle(actor, found, picker.ORGANIZATION, typed)
    organization = settled.organization
    of = {
        "search": search.strip(),
        "state": next((name for name, label in _LABELS.items() if label == state), None),
        "organization_id": None if organization is None else id_of(organization),
        "feature": feature,
        "provider": provider,
    }
    return Narrowed(
        {name: value for name, value in of.items() if value},
        None if organization is None else organization.slug,
        settled.is_clear,
        found.features,
        providers,
    )


def _kept(key: str) -> dict[str, Any]:
    """Return what the select boxes have in common."""
    return {"index": None, "placeholder": "Any", "filter_mode": "contains", "on_change": _hold, "args": (key,)}


def _hold(key: str) -> None:
    guard("analyst")
    address.hold((key,))
