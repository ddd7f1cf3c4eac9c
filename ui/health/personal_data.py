"""Whether phone numbers and national numbers are looked for: in this app, and in the services that are connected."""

from collections.abc import Iterable
from typing import Final

from core.manage import services
from core.manage.services import Process
from core.privacy import looking
from core.wording import counted
from ui.health.line import Line

NAMED: Final = 5
"""So many services are named; the rest is a number."""
_NAME: Final = "Phones and ids"


def personal_data_lines(processes: Iterable[Process]) -> list[Line]:
    """Return the row of this app, and one of the services that do not look for them."""
    lines = []
    if not looking.has_extra():
        detail = "Phone numbers and national numbers are not looked for in this app; the other kinds are."
        cure = "Install llm-settings[pii] where it runs, and restart it."
        lines.append(Line(_NAME, "note", "Not looked for", detail, cure))
    if missing := services.without_pii(processes):
        cure = "Install llm-settings[pii] beside them, and restart them."
        lines.append(Line("In services", "note", "Not looked for", not_looked_for_in(missing), cure))
    if lines:
        return lines
    return [Line(_NAME, "ok", "Looked for", "Phone numbers and national numbers are found, as the other kinds are.")]


def not_looked_for_in(missing: list[Process]) -> str:
    """Return the sentence of services that do not look for them, the first of them by name."""
    names = [process.place for process in missing[:NAMED]]
    more = [f"{len(missing) - NAMED:,} more"] if len(missing) > NAMED else []
    return f"Phone numbers and national numbers are not looked for in {counted(len(missing), 'service')}: {', '.join(names + more)}."
