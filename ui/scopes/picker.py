"""The fields that choose an organisation and a feature, on every page that shows settings of a scope. All of it stands in the address.

An organisation is typed: there may be a hundred thousand. What is no name of one is a search in the database, whose matches are
offered below the fields. What is another's is not found, as what is not there.
"""

from contextlib import suppress
from typing import Any, Final, NamedTuple

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.errors import NotFound
from core.govern.history_moments import Moment
from core.manage import features, organization_members, organizations
from core.store import db
from core.store.organization_schemas import LONGEST_NAME
from core.store.organization_tables import Organization
from ui import address, moments
from ui.feedback import plain
from ui.guard import guard
from ui.widgets import cut

ORGANIZATION: Final = "organization"
FEATURE: Final = "feature"
AGAINST: Final = "against"
AGAINST_FEATURE: Final = "against_feature"
"""Keys of the fields, and their names in the address; the last two are of the scope that another is compared with."""
MATCHES: Final = 20
"""So many organisations are offered."""
_MOST_FEATURES: Final = 1_000
_LONGEST: Final = 60
"""Characters of what was typed, or of an organisation, that are repeated."""


class Known(NamedTuple):
    """What there is to choose from."""

    has_organizations: bool
    mine: list[str] | None
    """Slugs of the organisations that a member belongs to, who has to choose one of them; None: any, or none."""
    features: list[str]
    """Names, sorted."""

    @property
    def is_empty(self) -> bool:
        """Whether there is neither an organisation nor a feature."""
        return not self.has_organizations and not self.features


class Settled(NamedTuple):
    """What was chosen or typed for an organisation."""

    organization: Organization | None = None
    is_clear: bool = True
    """False: it is none, and what it may mean was drawn; there is nothing else to show then."""


def known(actor: Actor, at: Moment | None = None) -> Known:
    """Return what there is to choose from; of features those that there were at a moment."""
    with db.transaction() as session:
        seen = authority.visible(session, actor, "organization.list")
        has_some = bool(organizations.search(session, actor, kind="organization", limit=1))
        mine = None
        if not seen.everything:
            mine = [row.slug for row, _ in organization_members.of_user(session, actor) if row.kind == "organization"]
    with moments.reading(actor, at) as session:
        names = [row.name for row in features.search(session, actor, limit=_MOST_FEATURES)]
    return Known(has_some, mine, names)


def explain(actor: Actor, found: Known, place: Any) -> None:
    """Say in *place* what the address asks for and there is not; before the fields are drawn.

    To a member another's organisation is not there, and that it was asked for is put on record.
    """
    asked = address.asked(ORGANIZATION)
    with place:
        for name in (FEATURE, AGAINST_FEATURE):
            address.one_of(name, found.features, "a feature")
        if found.mine is None or not asked or asked in found.mine:
            return
        slug = None
        with suppress(NotFound), db.transaction() as session:
            slug = organizations.get_by_name(session, actor, asked).slug
        if slug in found.mine:
            st.session_state[ORGANIZATION] = slug
        else:
            address.refuse(ORGANIZATION, "and there is no such organisation that you may see")


def draw_fields(found: Known, unset: str = "None") -> tuple[str, str | None]:
    """Draw the fields of a scope, in the container of the filters; returns what names an organisation, and the feature.

    Where there is nothing to choose, and the address asks for nothing, there is no field.

    Args:
        found: What there is to choose from.
        unset: What an empty field means, in a word.
    """
    return draw_organization(found, unset), _pick_feature(found, unset)


def draw_organization(found: Known, unset: str = "None") -> str:
    """Draw the field of the organisation alone; returns what names one, empty: none."""
    name: str | None = None
    if found.mine:
        name = st.selectbox(
            "Organisation",
            found.mine,
            key=ORGANIZATION,
            bind="query-params",
            filter_mode="contains",
            width=260,
        )
    elif found.mine is None and (found.has_organizations or address.asked(ORGANIZATION)):
        name = st.text_input(
            "Organisation",
            key=ORGANIZATION,
            bind="query-params",
            placeholder=f"{unset}: type to search",
            icon=":material/apartment:",
            max_chars=LONGEST_NAME,
            live="400ms",
            width=260,
            on_change=_hold,
            args=(ORGANIZATION,),
        )
    return name or ""


def _pick_feature(found: Known, unset: str) -> str | None:
    if not found.features:
        return None
    return st.selectbox(
        "Feature",
        found.features,
        index=None,
        key=FEATURE,
        bind="query-params",
        placeholder=unset,
        filter_mode="contains",
        width=220,
        on_change=_hold,
        args=(FEATURE,),
    )


def draw_fields_against(found: Known) -> tuple[str, str | None]:
    """Draw the same for the scope that another is compared with; empty is as the other."""
    typed, feature = "", None
    if found.has_organizations or address.asked(AGAINST):
        typed = st.text_input(
            "Compare with organisation",
            key=AGAINST,
            bind="query-params",
            placeholder="The same: type to search",
            icon=":material/apartment:",
            max_chars=LONGEST_NAME,
            live="400ms",
            width=260,
            on_change=_hold,
            args=(AGAINST,),
        )
    if found.features:
        feature = st.selectbox(
            "Compare with feature",
            found.features,
            index=None,
            key=AGAINST_FEATURE,
            bind="query-params",
            placeholder="The same",
            filter_mode="contains",
            width=220,
            on_change=_hold,
            args=(AGAINST_FEATURE,),
        )
    return typed, feature


def settle(actor: Actor, found: Known, key: str, typed: str, *, templates: bool = False) -> Settled:
    """Return the organisation that was named; where it is none, draw those that it may mean, or that there is none.

    Args:
        actor: Who.
        found: What there is to choose from.
        key: Of the field.
        typed: A name, or a part of one.
        templates: Whether a template will do.
    """
    words = typed.strip()
    if not words and found.mine is None:
        return Settled()
    if not words:
        st.info("You belong to no organisation. Ask an admin to add you to one.", icon=":material/apartment:")
        return Settled(is_clear=False)
    with db.transaction() as session:
        row = organizations.find_by_name(session, actor, words)
        matches = []
        if row is None:
            kind = None if templates else "organization"
            matches = organizations.search(session, actor, words, kind=kind, limit=MATCHES + 1)
    if row is not None and (templates or row.kind == "organization"):
        return Settled(row)
    if row is not None:
        st.warning(
            plain(f"{row.slug} is a template: no program asks for it. Choose an organisation that builds on it."),
            icon=":material/content_copy:",
        )
    elif matches:
        _offer(key, matches)
    else:
        st.warning(
            plain(f"There is no organisation {_short(words)!r}. Type a name of one, or how it begins."),
            icon=":material/help:",
        )
    return Settled(is_clear=False)


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _offer(key: str, matches: list[Organization]) -> None:
    labels = {row.slug: f"{plain(row.slug)} · {cut(row.name, _LONGEST)}" for row in matches[:MATCHES]}
    st.pills(
        "Which organisation?",
        list(labels),
        format_func=labels.__getitem__,
        key=f"{key}_matches",
        on_change=_choose,
        args=(key,),
    )
    if len(matches) > MATCHES:
        st.caption(f"These are the first {MATCHES}. Type more of a name to find others.")


def _hold(key: str) -> None:
    guard("member")
    address.hold((key,))


def _choose(key: str) -> None:
    guard("member")
    if slug := st.session_state.get(f"{key}_matches"):
        st.session_state[key] = slug
