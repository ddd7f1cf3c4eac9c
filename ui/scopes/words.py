"""What a change of one scope does to others, in words."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from core.manage.overriding import Hidden
from core.wording import counted, listed
from ui.navigation import SCREENS
from ui.scopes.editors import Names

_NAMED: Final = 3
"""So many fields are named."""


def overridden(found: Mapping[str, Hidden], labels: Mapping[str, str]) -> str:
    """Return in a sentence or two who overrides what was saved; empty if nobody does.

    Args:
        found: Field -> figures, of those that are overridden.
        labels: Field -> what people call it.
    """
    by_whom: dict[str, list[str]] = {}
    for name, hidden in list(found.items())[:_NAMED]:
        by_whom.setdefault(_by(hidden), []).append(labels.get(name, name))
    sentences = [
        f"{listed(names)} {'is' if len(names) == 1 else 'are'} overridden by {by}." for by, names in by_whom.items()
    ]
    more = len(found) - _NAMED
    return " ".join(sentences + [f"So are {more:,} more of these fields."] * (more > 0))


def _by(hidden: Hidden) -> str:
    parts = [counted(hidden.organizations, "organisation")] * bool(hidden.organizations)
    parts += [counted(hidden.features, "feature")] * bool(hidden.features)
    return " and ".join(parts) or counted(hidden.rows, "provider")


def link_to(page: str, names: Names) -> str:
    """Return a Markdown link to what *page* shows of a scope; it opens a tab.

    A plain link: of a parameter that a widget of this page is bound to, ``st.page_link`` lets nothing through.
    """
    screen = SCREENS[page]
    asked = {"organization": names.organization, "feature": names.feature, "provider": names.provider}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"[:material/{screen.icon}: {screen.title}]({page}{'?' if query else ''}{query})"
