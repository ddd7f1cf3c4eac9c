"""What the Usage page looks at: a time, an organisation, a feature, a provider. All of it stands in the page's address."""

from typing import Final, NamedTuple

import streamlit as st

from core.actors import Actor
from core.govern import usage
from core.govern.usage import CallChoices, Course
from core.govern.usage_of_log import ADDED_UP
from core.manage import organization_members
from core.store import db
from core.store.table import id_of
from ui import address
from ui.scopes import picker
from ui.scopes.editors import Names
from ui.scopes.links import link_to
from ui.usage.figures import LONGEST, draw_provider, draw_span
from ui.widgets import coming_and_going, exact

_NO_ADMIN: Final = "The calls of an organisation are shown to its admins alone, as what was said in them is shown too. Ask one of them."


class Chosen(NamedTuple):
    """What is looked at."""

    span: str
    by: str
    organization_id: int | None
    feature: str | None
    provider: str | None
    choices: CallChoices
    is_own: bool
    """Whether these are the calls of an organisation, seen by its own admin."""
    is_clear: bool
    """False: an organisation is being searched, and those that are meant were drawn; there is nothing to show yet."""


def pick(actor: Actor) -> Chosen | None:
    """Draw the choices; returns them, or None if the actor may see no calls at all, which was drawn then."""
    place = coming_and_going()
    found = picker.known(actor)
    own: dict[str, int] = {}
    if found.mine is not None:
        with db.transaction() as session:
            own = {
                row.slug: id_of(row) for row, role in organization_members.of_user(session, actor) if role == "admin"
            }
        found = found._replace(mine=[slug for slug in found.mine if slug in own])
    asked = address.asked(picker.FEATURE)
    picker.explain(actor, found._replace(features=[asked]), place)  # any name may have been called for
    if found.mine == []:
        st.info(_NO_ADMIN, icon=":material/visibility:")
        return None
    organization_id = own.get(st.session_state.get(picker.ORGANIZATION) or address.asked(picker.ORGANIZATION))
    if found.mine and organization_id is None:
        organization_id = own[found.mine[0]]
    with db.transaction() as session:
        choices = usage.choices(session, actor, organization_id)
    with place:
        names = sorted({*found.features, *choices.features})  # what nobody registered is called for, too
        features = address.with_asked(picker.FEATURE, names, LONGEST)
    with st.container(horizontal=True, vertical_alignment="top", gap="small", key="chosen_time"):
        span, by = draw_span()
        typed, feature = picker.draw_fields(found._replace(features=features), "Any")
        provider = draw_provider(choices)
    if found.mine:
        of, is_clear = own.get(typed, organization_id), True
    else:
        settled = picker.settle(actor, found, picker.ORGANIZATION, typed)
        of = None if settled.organization is None else id_of(settled.organization)
        is_clear = settled.is_clear
    return Chosen(span, by, of, feature, provider, choices, is_own=bool(found.mine), is_clear=is_clear)


def draw_costs_link(chosen: Chosen) -> None:
    """Draw the way to what the same calls cost, whether or not they are logged."""
    organization = st.session_state.get(picker.ORGANIZATION) if chosen.organization_id is not None else None
    st.markdown(link_to("costs", Names(chosen.provider, organization, None, chosen.feature)))


def draw_origin(chosen: Chosen, found: Course) -> None:
    """Say which calls the figures of an organisation or a feature have, as they are not those that are kept for good."""
    if chosen.organization_id is None and not chosen.feature:
        return
    since = ""
    if found.since is not None:
        since = f" There are more calls than are added up at once: these are the newest {ADDED_UP:,}, since {exact(found.since)}."
    st.caption(
        ":material/info: Added up from the calls that are still in the log: the figures that are kept for longer than the log "
        f"cannot be split by organisation or feature.{since}"
    )
