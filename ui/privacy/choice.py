"""What the Privacy page looks at: a time, an organisation, a feature, a provider. All of it stands in the page's address."""

from typing import Final, NamedTuple

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.govern.personal_counts import TIMES
from core.manage import features, limit_listing
from core.manage.scopes import SettingsScope
from core.store import db
from core.store.table import id_of
from ui import address
from ui.guard import guard
from ui.scopes import picker
from ui.widgets import FILTERS_PLACE, coming_and_going

TIME, PROVIDER = "span", "provider"
BESIDE: Final = "privacy_clear_button"
"""Key of a button that the page always draws."""
UNLESS_CHOSEN: Final = "month"


class PrivacyChoice(NamedTuple):
    """What is looked at."""

    time: str
    """One of :data:`core.govern.personal_counts.TIMES`."""
    scope: SettingsScope
    names: tuple[str | None, str | None, str | None]
    """Of the organisation its slug, of the feature and of the provider."""
    is_own: bool
    """Whether this is an organisation, seen by its own people."""
    is_clear: bool
    """False: it is not clear which organisation is meant; what it may be was drawn."""
    may_change: bool
    """Whether who looks may change what becomes of personal data here."""

    @property
    def words(self) -> str:
        """What people call the scope."""
        return " · ".join(name for name in self.names if name) or "all calls"


def pick(actor: Actor, *, is_admin: bool) -> PrivacyChoice:
    """Draw the choices; returns them.

    Args:
        actor: Who.
        is_admin: Whether of the installation.
    """
    place = coming_and_going()
    found = picker.known(actor)
    with db.transaction() as session:
        providers = limit_listing.provider_ids(session)
    picker.explain(actor, found, place)
    with place:
        address.one_of(PROVIDER, providers, "a provider")
        address.one_of(TIME, [time.label for time in TIMES.values()], "a time")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        time = st.segmented_control(
            "Time",
            list(TIMES),
            format_func=lambda name: TIMES[name].label,
            default=UNLESS_CHOSEN,
            required=True,
            key=TIME,
            bind="query-params",
        )
        typed, feature = picker.draw_fields(found, "Any")
        provider = _draw_provider(providers)
        st.button(
            "Clear filters",
            key=BESIDE,
            icon=":material/filter_alt_off:",
            disabled=not any((feature, provider, typed and found.mine is None)),
            on_click=_clear,
            kwargs={"is_own": found.mine is not None},
        )
    settled = picker.settle(actor, found, picker.ORGANIZATION, typed, templates=True)
    organization = settled.organization
    with db.transaction() as session:
        feature_id = id_of(features.get_by_name(session, feature)) if feature else None
        number = None if organization is None else id_of(organization)
        scope = SettingsScope(providers.get(provider or ""), number, feature_id)
        roles = authority.visible(session, actor, "personal_data.list").roles
        may_change = is_admin or (number is not None and roles.get(number) == "admin")
    names = (None if organization is None else organization.slug, feature, provider)
    return PrivacyChoice(
        time or UNLESS_CHOSEN, scope, names, found.mine is not None, settled.is_clear, may_change and settled.is_clear
    )


def _draw_provider(providers: dict[str, int]) -> str | None:
    if not providers:
        return None
    chosen: str | None = st.selectbox(
        "Provider",
        list(providers),
        index=None,
        key=PROVIDER,
        bind="query-params",
        placeholder="Any",
        filter_mode="contains",
        width=180,
        on_change=_hold,
        args=(PROVIDER,),
    )
    return chosen


def _hold(key: str) -> None:
    guard("member")
    address.hold((key,))


def _clear(*, is_own: bool) -> None:
    """Look at all calls again: a callback. Who belongs to organisations stays at theirs."""
    guard("member")
    st.session_state.update({picker.FEATURE: None, PROVIDER: None})
    if not is_own:
        st.session_state[picker.ORGANIZATION] = ""
