"""What limits do to a value, in words: which rule holds it, whose it is, and what would be in force without it."""

from typing import NamedTuple

from core.resolving.explanation import LAYERS, Explained
from core.resolving.limit_words import limit_text
from core.resolving.words import value_text
from ui.feedback import plain


class Held(NamedTuple):
    """One rule that decides a value, or whether it is sent."""

    text: str
    """``at most 4,000: limit of ada, 2 March 2026, “contract”``."""
    wanted: str
    """What would be in force without limits."""
    limit_id: int

    @property
    def address(self) -> str:
        """The limit on its page."""
        return f"limits?limit={self.limit_id}"


def held_by(item: Explained) -> list[Held]:
    """Return which rules decide a value and whether it is sent; none: it is as if there were no limit."""
    found = []
    if (by := item.limited_by) is not None:
        found.append(Held(limit_text(item.name, by), value_text(item.name, item.wanted), by.limit_id))
    if (by := item.omission_limited_by) is not None:
        wanted = "sent" if item.omission_wanted is None else f"not sent, {LAYERS[item.omission_wanted.layer]}"
        found.append(Held(limit_text(item.name, by), wanted, by.limit_id))
    return found


def as_markdown(held: Held) -> str:
    """Return it as Markdown: what is wanted, the rule, and a link to the limit; it opens a tab."""
    words = plain(f"limited by {held.text}; wanted {held.wanted}")
    return f":orange[:small[:material/lock: {words}]] [Limit {held.limit_id}]({held.address})"
