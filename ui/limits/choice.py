"""Which limits the Limits page lists; all of it stands in the address."""

from typing import Any, Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.manage import features, limit_listing
from core.resolving.limit_words import FIELD_LABELS
from core.store import db
from core.store.table import id_of
from ui import address
from ui.guard import guard
from ui.scopes import picker
from ui.scopes.editors import Names
from ui.widgets import FILTERS_PLACE, coming_and_going

LIMIT, PROVIDER, FIELD, OWNER = "limit", "provider", "field", "owner"
PARAMETERS: Final = (picker.ORGANIZATION, picker.FEATURE, PROVIDER, FIELD, OWNER, LIMIT)
_FIELDS: Final = {label: field for field, label in FIELD_LABELS.items()}
_OWNERS: Final = {"Installation": "installation", "Organisations": "organization"}


class Chosen(NamedTuple):
    """What is asked for."""

    of: dict[str, Any]
    """As :func:`core.manage.limits.list_of` takes it."""
    names: Names
    """What new limits begin with."""
    limit_id: int | None
    """The only limit that is shown; 0: one that there cannot be."""
    is_clear: bool
    """False: it is not clear which organisation is meant; what it may be was drawn."""
    known: picker.Known
    providers: dict[str, int]
    """Name -> id."""

    @property
    def is_all(self) -> bool:
        """Whether nothing narrows the list."""
        return not self.of and self.limit_id is None


def pick(actor: Actor, place_of_button: Any) -> Chosen:
    """Draw the fields; returns what is asked for.

    Args:
        actor: Who.
        place_of_button: Draws what stands beside them: the button that adds to the list.
    """
    place = coming_and_going()
    found = picker.known(actor)
    with db.transaction() as session:
        providers = limit_listing.provider_ids(session)
    picker.explain(actor, found, place)
    with place:
        address.one_of(PROVIDER, providers, "a provider")
        address.one_of(FIELD, _FIELDS, "a setting")
        address.one_of(OWNER, _OWNERS, "an owner")
        limit_id = _asked_limit()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=FILTERS_PLACE):
        typed, feature = picker.draw_fields(found, "Any")
        provider = None
        if providers:
            provider = st.selectbox(
                "Provider", list(providers), key=PROVIDER, bind="query-params", width=180, **_kept(PROVIDER)
            )
        field = st.selectbox("Setting", list(_FIELDS), key=FIELD, bind="query-params", width=180, **_kept(FIELD))
        owner = st.selectbox("Limits of", list(_OWNERS), key=OWNER, bind="query-params", width=150, **_kept(OWNER))
        place_of_button()
    if found.mine == []:
        return Chosen({}, Names(), limit_id, is_clear=True, known=found, providers=providers)
    settled = picker.settle(actor, found, picker.ORGANIZATION, typed, templates=True)
    organization = settled.organization
    of: dict[str, Any] = {
        "organization_id": id_of(organization) if organization is not None else None,
        "feature_id": _feature_id(feature),
        "provider_id": providers.get(provider or ""),
        "field": _FIELDS.get(field or ""),
        "owner": _OWNERS.get(owner or ""),
    }
    return Chosen(
        {name: value for name, value in of.items() if value is not None},
        Names(provider, organization.slug if organization is not None else None, None, feature),
        limit_id,
        settled.is_clear,
        found,
        providers,
    )


def show_all() -> None:
    """Ask for all limits again: a callback."""
    guard("member")
    for name in PARAMETERS:
        st.session_state.pop(name, None)
    st.query_params.clear()


def _kept(key: str) -> dict[str, Any]:
    """Return what the select boxes have in common."""
    return {"index": None, "placeholder": "Any", "filter_mode": "contains", "on_change": _hold, "args": (key,)}


def _hold(key: str) -> None:
    guard("member")
    address.hold((key,))


def _feature_id(name: str | None) -> int | None:
    if name is None:
        return None
    with db.transaction() as session:
        return id_of(features.get_by_name(session, name))


def _asked_limit() -> int | None:
    """Return the limit that the address asks for alone; None: for no single one."""
    asked = address.asked(LIMIT)
    if not asked:
        return None
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10):  # noqa: PLR2004 - an id has 9 digits
        address.refuse(LIMIT, "which is no number of a limit")
        return None
    return int(asked)
