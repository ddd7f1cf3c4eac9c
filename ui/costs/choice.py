"""What the Costs page looks at: a time in a zone, an organisation, a feature, a provider. All of it stands in the page's address."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.errors import Invalid
from core.govern.spend import zone_of
from core.govern.spend_course import SPLITS, TIMES, SpendScope
from core.manage import limit_listing
from core.store import db
from core.store.table import id_of
from ui import address
from ui.costs.words import SPLIT_LABELS
from ui.guard import guard
from ui.scopes import picker
from ui.widgets import FILTERS_PLACE, coming_and_going

TIME, BY, ZONE, PROVIDER = "span", "by", "zone", "provider"
_LONGEST: Final = 200
_LONGEST_ZONE: Final = 64


class Chosen(NamedTuple):
    """What is looked at."""

    time: str
    by: str
    zone: str
    scope: SpendScope
    organization: str | None
    """Its slug."""
    is_own: bool
    """Whether this is an organisation, seen by its own people."""
    is_clear: bool
    """False: it is not clear which organisation is meant; what it may be was drawn."""
    features: Sequence[str] = ()
    """Those that are registered."""
    providers: Mapping[str, int] = MappingProxyType({})
    """Name -> id."""


def pick(actor: Actor) -> Chosen:
    """Draw the choices; returns them."""
    place = coming_and_going()
    found = picker.known(actor)
    asked = address.asked(picker.FEATURE)
    picker.explain(actor, found._replace(features=[asked]), place)  # any name may have been called for
    with db.transaction() as session:
        registered = limit_listing.provider_ids(session)
    with place:
        features = address.with_asked(picker.FEATURE, found.features, _LONGEST)
        providers = address.with_asked(PROVIDER, registered, _LONGEST)
        address.one_of(TIME, [time.label for time in TIMES.values()], "a time")
        address.one_of(BY, SPLIT_LABELS.values(), "a way to split the costs")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        time, by = _draw_time()
        zone = _draw_zone(place)
        typed, feature = picker.draw_fields(found._replace(features=features), "Any")
        provider = None
        if providers:
            provider = st.selectbox(
                "Provider",
                providers,
                index=None,
                key=PROVIDER,
                bind="query-params",
                placeholder="Any",
                filter_mode="contains",
                width=180,
                on_change=_hold,
                args=(PROVIDER,),
            )
        st.button(
            "Clear filters",
            key="costs_clear_button",
            icon=":material/filter_alt_off:",
            disabled=not any((feature, provider, typed and found.mine is None)),
            on_click=_clear,
            kwargs={"is_own": found.mine is not None},
        )
    settled = picker.settle(actor, found, picker.ORGANIZATION, typed)
    organization = settled.organization
    return Chosen(
        time,
        by,
        zone,
        SpendScope(None if organization is None else id_of(organization), feature, provider),
        None if organization is None else organization.slug,
        is_own=found.mine is not None,
        is_clear=settled.is_clear,
        features=found.features,
        providers=registered,
    )


def _draw_time() -> tuple[str, str]:
    time = st.segmented_control(
        "Time",
        list(TIMES),
        format_func=lambda name: TIMES[name].label,
        default="month",
        required=True,
        key=TIME,
        bind="query-params",
    )
    by = st.segmented_control(
        "By",
        list(SPLITS),
        format_func=SPLIT_LABELS.__getitem__,
        default=SPLITS[0],
        required=True,
        key=BY,
        bind="query-params",
    )
    return time or "month", by or SPLITS[0]


def _draw_zone(place: object) -> str:
    typed = st.text_input(
        "Time zone",
        key=ZONE,
        bind="query-params",
        placeholder="UTC",
        max_chars=_LONGEST_ZONE,
        width=170,
        help="Of days, months and times on this page, as Europe/Berlin. An hour counts for the day in which it begins.",
        on_change=_hold,
        args=(ZONE,),
    ).strip()
    try:
        zone_of(typed or "UTC")
    except Invalid:
        with place:  # type: ignore[attr-defined]  # DeltaGenerator
            st.warning(
                "There is no such time zone: UTC is shown. Type its name, as Europe/Berlin.", icon=":material/schedule:"
            )
        return "UTC"
    return typed or "UTC"


def _hold(key: str) -> None:
    guard("member")
    address.hold((key,))


def _clear(*, is_own: bool) -> None:
    """Look at everybody's spend again: a callback. Who belongs to organisations stays at theirs."""
    guard("member")
    st.session_state.update({picker.FEATURE: None, PROVIDER: None})
    if not is_own:
        st.session_state[picker.ORGANIZATION] = ""
