"""What the document is of: the whole installation, or one organisation. The address names it."""

from typing import Final, NamedTuple

import streamlit as st

from core.access import authority
from core.actors import Actor
from core.manage import organizations
from core.store import db
from ui import address
from ui.organization.choice import ORGANIZATION, pick
from ui.widgets import coming_and_going


class DocumentOf(NamedTuple):
    """What a document is of."""

    organization: str | None
    """The slug of the organisation; None: the whole installation."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"llm-settings{f'-{self.organization}' if self.organization else ''}.yaml"


_LONGEST: Final = 200


def choose(actor: Actor) -> DocumentOf | None:
    """Draw how one chooses; returns what is chosen. None: an organisation that the actor does not manage."""
    with db.transaction() as session:
        is_admin = authority.visible(session, actor, "organization.list").everything
    if is_admin:
        place = coming_and_going()
        name = st.text_input(
            "Organisation",
            key=ORGANIZATION,
            bind="query-params",
            placeholder="None: the whole installation",
            icon=":material/domain:",
            max_chars=_LONGEST,
            width=420,
        )
        return DocumentOf(_known(actor, name.strip(), place) if name else None)
    chosen = pick(actor)
    if chosen is None:
        return None
    if not chosen.manages:
        st.info(
            "You see what is in force in this organisation, and change nothing. Ask one of its admins.",
            icon=":material/visibility:",
        )
        return None
    return DocumentOf(chosen.slug)


def _known(actor: Actor, name: str, place: st.delta_generator.DeltaGenerator) -> str | None:
    with db.transaction() as session:
        found = organizations.find_by_name(session, actor, name)
    if found is not None:
        return found.slug
    with place:
        address.refuse(ORGANIZATION, "and there is no such organisation")
    return None
