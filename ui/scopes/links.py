"""Links between the pages that show a scope."""

from urllib.parse import urlencode

from ui.navigation import SCREENS
from ui.scopes.editors import Names


def link_to(page: str, names: Names, at: int | None = None) -> str:
    """Return a Markdown link to what *page* shows of a scope; it opens a tab.

    Args:
        page: Its name.
        names: The scope.
        at: As of which generation; None: now.

    A plain link: of a parameter that a widget of this page is bound to, ``st.page_link`` lets nothing through.
    """
    screen = SCREENS[page]
    when = f" as of generation {at}" if at else ""
    asked = {"organization": names.organization, "feature": names.feature, "provider": names.provider, "at": at}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"[:material/{screen.icon}: {screen.title}{when}]({page}{'?' if query else ''}{query})"
