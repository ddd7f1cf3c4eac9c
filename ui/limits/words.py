"""What the Limits page says of a limit: its rules, and what they put out of force."""

from typing import Final

from core.manage.limit_effects import Effects
from core.manage.limit_listing import ListedLimit
from core.resolving.limit_words import field_label
from core.wording import counted
from ui.feedback import plain
from ui.widgets import ago, isolated

NAMED: Final = 5
"""So many rows that are put out of force are named."""
OWNERS: Final = {"installation": "The installation's", "organization": "The organisation's own"}
"""Owner -> what the page calls their limits."""


def line(found: ListedLimit) -> str:
    """Return limits as Markdown for a line of the list."""
    row = found.row
    own = " :blue-badge[:material/domain: Its own]" if row.owner == "organization" else ""
    template = " :violet-badge[:material/content_copy: Template]" if found.is_template else ""
    says = "  \n".join(f"{plain(isolated(_short(label, _LONGEST)))}: **{plain(rules)}**" for label, rules in found.says)
    facts = [f"{found.changed_by or 'somebody'}, {ago(row.updated_at)}"]
    if row.note:
        facts.append(f"\u201c{isolated(_short(row.note, _LONGEST_NOTE))}\u201d")
    out = f" · :orange[{plain(out_of_force(found.rows, found.organizations))}]" if found.rows else ""
    return (
        f"**{plain(isolated(found.scope))}**{own}{template}  \n{says}  \n:gray[:small[{plain(' · '.join(facts))}{out}]]"
    )


def out_of_force(rows: int, organizations: int) -> str:
    """Return how much is put out of force: ``2 rows of 1 organisation out of force``."""
    of = f" of {counted(organizations, 'organisation')}" if organizations else ""
    return f"{counted(rows, 'row')}{of} out of force"


def rows_of(effects: Effects) -> str:
    """Return the first rows that are put out of force, each with its fields, as a Markdown list."""
    lines = [
        f"- {plain(isolated(each.words))}: {plain(', '.join(field_label(field) for field in each.fields))}"
        for each in effects.listed[:NAMED]
    ]
    more = effects.rows - len(lines)
    return "\n".join([*lines, *[f"- and {more:,} more"] * (more > 0)])


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


_LONGEST, _LONGEST_NOTE = 80, 160
"""Characters of a field and of a note that a line of the list shows."""
