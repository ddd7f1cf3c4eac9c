"""What stands above an organisation's sections: what it is called, how it is, and which section is shown."""

from typing import Final

import streamlit as st

from core.manage import organization_names, organizations, overriding
from core.store import db
from core.wording import counted
from ui import address
from ui.feedback import plain
from ui.organization.choice import Chosen
from ui.widgets import coming_and_going, isolated

SETTINGS, KEYS, FEATURES, MEMBERS = "Settings", "Providers and keys", "Feature overrides", "Members"
SECTIONS: Final = (SETTINGS, KEYS, FEATURES, MEMBERS)
_SECTION: Final = "section"
_ALSO_CALLED: Final = {"overrides": FEATURES}
"""What links of other pages call a section."""


def draw(of: Chosen) -> None:
    """Draw the organisation's name, state and figures."""
    with db.transaction() as session:
        names = organization_names.list_of(session, [of.id])[of.id]
        has = overriding.of_organizations(session, [of.id])[of.id]
        template = organizations.slugs(session, [of.template_id] if of.template_id else []).get(of.template_id or 0)
    badges = [
        ":violet-badge[:material/content_copy: Template]" if of.is_template else "",
        "" if of.is_active else ":red-badge[:material/block: Disabled: its services get no key]",
        "" if of.shares_keys or of.is_template else ":orange-badge[:material/key: Own keys only]",
    ]
    st.header(f"{plain(isolated(of.name))} {' '.join(filter(None, badges))}", anchor=False)
    external = [isolated(each.name) for each in names if each.kind == "external"]
    facts = [
        f"Services ask for {of.slug}" if not of.is_template else f"The template {of.slug}",
        f"or {', '.join(external[:5])}{' and others' if len(external) > 5 else ''}" if external else "",  # noqa: PLR2004 - fits a line
        f"builds on {template}" if template else "",
        counted(has.own_keys, "own key") if has.own_keys else "",
        f"also below: {counted(has.overrides, 'feature override')}" if has.overrides else "",
    ]
    st.caption(plain(" · ".join(filter(None, facts))))
    if not of.is_template:
        st.page_link(
            "pages/hierarchy.py",
            label="What is in force, and why",
            icon=":material/account_tree:",
            query_params={"organization": of.slug},
            width="content",
        )
        st.page_link(
            "pages/costs.py",
            label="What it spends",
            icon=":material/payments:",
            query_params={"organization": of.slug},
            width="content",
        )


def pick_section(of: Chosen) -> str:
    """Draw the sections to choose from; returns the one that is shown."""
    there = [name for name in SECTIONS if name != MEMBERS or not of.is_template]
    if (called := _ALSO_CALLED.get(address.asked(_SECTION))) is not None:
        st.session_state[_SECTION] = st.query_params[_SECTION] = called
    with coming_and_going():
        address.one_of(_SECTION, there, "a section")
    chosen = st.segmented_control(
        "Section",
        there,
        default=SETTINGS,
        required=True,
        key=_SECTION,
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen or SETTINGS
