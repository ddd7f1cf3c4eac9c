"""The pages, and who may see each: the one table that the menu, the pages' guards, the tests and the docs follow."""

from collections.abc import Mapping
from functools import partial
from typing import Final, Literal, NamedTuple

import streamlit as st

from core.access import authority
from core.actors import Actor
from ui import address, undoing
from ui.feedback import show_toast
from ui.guard import guard
from ui.widgets import page_head


class Screen(NamedTuple):
    """One page. Its file in pages/ and its address have the name that it has in :data:`SCREENS`."""

    title: str
    icon: str
    """A name of Material Symbols."""
    role: Literal["admin", "manager", "analyst", "member"]
    """The lowest role that may see it: of an analyst's pages an admin sees each one too, and a member's are everybody's. A
    manager's are an admin's, and those of members for their own organisations."""
    parameters: tuple[str, ...] = ()
    """What its address may choose: the keys of its bound widgets, and where its list begins."""


SCREENS: Final[Mapping[str, Screen]] = {
    "providers": Screen("Providers", "hub", "admin", ("search", "state", "since", "page")),
    "defaults": Screen("Defaults", "tune", "admin", ("provider", "organization", "feature")),
    "effective_preview": Screen(
        "Effective Preview",
        "visibility",
        "analyst",
        (
            *("provider", "compare", "view", "search", "since", "page", "all_parameters"),
            *("organization", "feature", "against", "against_feature", "at"),
        ),
    ),
    "models": Screen("Models", "smart_toy", "analyst", ("show", "search", "tier", "page", "model", "api")),
    "organizations": Screen("Organisations", "apartment", "admin", ("search", "show", "after")),
    "organization": Screen(
        "Organisation", "domain", "manager", ("organization", "section", "search", "provider", "feature")
    ),
    "features": Screen("Features", "category", "admin", ("search", "after", "feature", "provider")),
    "hierarchy": Screen(
        "Hierarchy", "account_tree", "member", ("organization", "feature", "provider", "all_parameters", "at")
    ),
    "limits": Screen(
        "Limits", "lock", "member", ("organization", "feature", "provider", "field", "owner", "limit", "after")
    ),
    "history": Screen(
        "History",
        "manage_history",
        "member",
        ("part", "organization", "field", "kind", "provider", "who", "since", "after", "from", "to", "page"),
    ),
    "document": Screen("Document", "description", "manager", ("organization",)),
    "usage": Screen(
        "Usage",
        "monitoring",
        "manager",
        (
            "span",
            "by",
            "organization",
            "feature",
            "provider",
            "chart",
            "model",
            "status",
            "user",
            "cost_centre",
            "page",
        ),
    ),
    "costs": Screen(
        "Costs",
        "payments",
        "member",
        (
            *("span", "by", "zone", "organization", "feature", "provider", "chart"),
            *("budget", "search", "state", "after", "month"),
        ),
    ),
    "rate_limits": Screen(
        "Rate limits",
        "speed",
        "analyst",
        ("search", "state", "organization", "feature", "provider", "after"),
    ),
    "privacy": Screen(
        "Privacy", "shield_person", "member", ("span", "organization", "feature", "provider", "chart", "after")
    ),
    "alerts": Screen("Alerts", "notification_important", "member", ("show", "kind", "of_budget", "after")),
    "users": Screen("Users", "group", "admin", ("search", "since", "page")),
    "tokens": Screen("API tokens", "vpn_key", "admin", ("search", "since", "page")),
    "webhooks": Screen("Notifications", "notifications", "admin"),
    "audit": Screen(
        "Audit", "history", "admin", ("who", "action", "target", "provider", "since", "from", "to", "page")
    ),
    "health": Screen("Health", "monitor_heart", "admin"),
    "account": Screen("Account", "account_circle", "member"),
}
"""Name -> page, in the order of the menu."""
HOME: Final = "LLM Settings"
"""Title of the address without a page, which leads to the first page of the menu."""


def begin_page(name: str, purpose: str) -> Actor:
    """Return who is signed in and may see the page *name*, do what Undo was pressed for, and draw the head; end the run for others.

    The first line of every page.

    Args:
        name: The page's name in :data:`SCREENS`.
        purpose: One sentence of what the page is for.
    """
    screen = SCREENS[name]
    actor = guard(screen.role)
    address.arrive(name, {parameter for each in SCREENS.values() for parameter in each.parameters})
    page_head(screen.title, purpose)
    undoing.carry_out(actor)
    show_toast(head=True)
    return actor


def names_for(role: str) -> list[str]:
    """Return the names of the pages that *role* may see, in the order of the menu."""
    return [name for name, screen in SCREENS.items() if role in authority.ENOUGH[screen.role]]


def draw_menu(role: str) -> st.Page:
    """Draw the menu of *role*; returns the page that was asked for.

    No page is Streamlit's default, whose address would be `/`: so a page has the same address for every role, and a
    link that an admin copies works for an analyst. The default is a hidden page that leads on to the first of the menu.

    Hidden too is an address for each page that is not for *role*: not the page itself, but who may be asked for it. Streamlit
    would say that there is no such page, and draw another one below.
    """
    pages = {
        name: st.Page(
            f"pages/{name}.py" if name in names_for(role) else partial(_deny, screen),
            title=screen.title,
            icon=f":material/{screen.icon}:",
            url_path=name,
            visibility="visible" if name in names_for(role) else "hidden",
        )
        for name, screen in SCREENS.items()
    }

    def go_on() -> None:
        st.switch_page(pages[names_for(role)[0]], query_params=st.query_params.to_dict())

    home = st.Page(go_on, title=HOME, default=True, visibility="hidden")
    return st.navigation([home, *pages.values()], expanded=True)  # else the last ones are folded away


def _deny(screen: Screen) -> None:
    guard(screen.role)  # ends the run, and puts the denial on record
    st.rerun()  # the role was changed just now
