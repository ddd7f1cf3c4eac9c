"""Ways from a provider that is named on one page to the other pages about it."""

from collections.abc import Collection

import streamlit as st

from ui.navigation import SCREENS
from ui.widgets import for_row


def draw_provider_links(name: str, pages: Collection[str]) -> None:
    """Draw links to what *pages* show of the provider *name*.

    Args:
        name: The provider's name; the pages say so themselves if there is none.
        pages: Names of pages.
    """
    with st.container(horizontal=True, gap="small"):
        for page in pages:
            screen = SCREENS[page]
            st.page_link(
                f"pages/{page}.py",
                label=for_row(screen.title, name),
                icon=f":material/{screen.icon}:",
                query_params={"provider" if "provider" in screen.parameters else "search": name},
                help=f"What the page {screen.title} shows of this provider",
            )
