"""Which organisation the Organisation page is about: an admin finds it, a member has their own. The address names it."""

from typing import Final, NamedTuple

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.errors import NotFound
from core.manage import organization_members, organizations
from core.store import db
from core.store.organization_tables import Organization
from core.store.table import id_of
from ui import address
from ui.feedback import plain
from ui.widgets import coming_and_going, isolated

ORGANIZATION: Final = "organization"
_SEARCH: Final = "search"
_PICKED: Final = "organization_picked"
_MATCHES: Final = 20


class Chosen(NamedTuple):
    """The organisation, and what the actor may do there."""

    id: int
    slug: str
    name: str
    is_template: bool
    is_active: bool
    template_id: int | None
    shares_keys: bool
    manages: bool
    """Whether its settings, keys and members are the actor's to change."""
    is_admin: bool
    """Whether the actor is an admin of the installation."""


def pick(actor: Actor) -> Chosen | None:
    """Draw how one chooses an organisation; returns the one that is chosen, None: none is yet."""
    with db.transaction() as session:
        is_admin = authority.visible(session, actor, "organization.list").everything
        mine = organization_members.of_user(session, actor)
    asked = address.asked(ORGANIZATION)
    with coming_and_going():
        found = _find(actor, asked) if asked else None
    if is_admin:
        if found is None:
            _draw_search(actor)
            return None
        _draw_way_back()
        return _chosen(found, manages=True, is_admin=True)
    if not mine:
        st.info(
            "You belong to no organisation, or to one that was deleted. Ask who gave you this account.",
            icon=":material/domain_disabled:",
        )
        return None
    slugs = {row.slug: row.name for row, _ in mine}
    slug = found.slug if found is not None else next(iter(slugs))
    if len(slugs) > 1:
        st.session_state[_PICKED] = slug
        st.selectbox(
            "Organisation",
            list(slugs),
            key=_PICKED,
            format_func=lambda one: f"{isolated(str(slugs.get(one, one)))}  ·  {one}",
            width=420,
            on_change=_go_to_picked,
        )
    row, role = next(each for each in mine if each[0].slug == slug)
    return _chosen(row, manages=role == "admin", is_admin=False)


def _find(actor: Actor, name: str) -> Organization | None:
    """Return the organisation that the address names; one that is not the actor's is answered as one that is not there."""
    try:
        with db.transaction() as session:
            return organizations.get_by_name(session, actor, name)
    except NotFound:
        address.refuse(ORGANIZATION, "and there is no such organisation that you may see")
        return None


def _chosen(row: Organization, *, manages: bool, is_admin: bool) -> Chosen:
    return Chosen(
        id_of(row),
        row.slug,
        row.name,
        row.kind == "template",
        row.is_active,
        row.template_id,
        row.shares_keys,
        manages,
        is_admin,
    )


def _draw_way_back() -> None:
    st.button(
        "Another organisation",
        key="another_organization",
        type="tertiary",
        icon=":material/arrow_back:",
        on_click=_leave,
    )


def _leave() -> None:
    st.query_params.clear()


def _go_to_picked() -> None:
    st.query_params[ORGANIZATION] = str(st.session_state.get(_PICKED) or "")


def _go_to(slug: str) -> None:
    st.session_state.pop(_SEARCH, None)
    st.query_params.clear()
    st.query_params[ORGANIZATION] = slug


def _draw_search(actor: Actor) -> None:
    words = st.text_input(
        "Find an organisation",
        key=_SEARCH,
        bind="query-params",
        placeholder="Name, or the beginning of an id",
        icon=":material/search:",
        max_chars=100,
        live="400ms",
        width=420,
    )
    with db.transaction() as session:
        found = organizations.search(session, actor, words or "", limit=_MATCHES + 1)
    if not found:
        st.info(
            "No organisation fits. Add one on the Organisations page." if words else "There is no organisation yet.",
            icon=":material/search_off:",
        )
        st.page_link("pages/organizations.py", label="Organisations", icon=":material/apartment:", width="content")
        return
    with st.container(gap="xxsmall"):
        for row in found[:_MATCHES]:
            st.button(
                plain(f"{isolated(row.name)}  ·  {row.slug}"),
                key=f"go_to_{row.slug}",
                type="tertiary",
                icon=":material/domain:",
                on_click=_go_to,
                args=(row.slug,),
            )
    if len(found) > _MATCHES:
        st.caption(f"The first {_MATCHES} are shown. Type more of the name to find another.")
