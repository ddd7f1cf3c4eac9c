"""Ways from a provider that is named on one page to the other pages about it."""

from collections.abc import Collection
from urllib.parse import quote

import streamlit as st

from ui.feedback import plain
from ui.navigation import SCREENS
from ui.widgets import isolated


def draw_provider_links(name: str, pages: Collection[str]) -> None:
    """Draw links to what *pages* show of the provider *name*; each opens a tab, so that the list stays as it is.

    They are plain links: of a parameter that a widget of this page is bound to, ``st.page_link`` lets nothing through.

    Args:
        name: The provider's name; the pages say so themselves if there is none.
        pages: Names of pages.
    """
    about = plain(isolated(name))  # in each: the menu has links by the pages' names alone
    links = []
    for page in pages:
        screen = SCREENS[page]
        parameter = "provider" if "provider" in screen.parameters else "search"
        links.append(f"[:material/{screen.icon}: {about} in {screen.title}]({page}?{parameter}={quote(name, safe='')})")
    st.markdown(" \u00a0 ".join(links))
