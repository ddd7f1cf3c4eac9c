"""Which programs do not tell what their calls cost, and the cure: on the Health page, and where costs are looked at."""

from collections.abc import Sequence
from typing import Final

from core.manage.services import Untelling
from ui.health.line import Line, State

_SHOWN: Final = 10
_UNTOLD: Final[tuple[tuple[str, State, str, str], ...]] = (
    (
        "refused",
        "soon",
        "Not told",
        "{number} may not tell what calls cost: role {roles}, on {places}. Sums wait there; under a hard budget calls are refused.",
    ),
    (
        "version",
        "soon",
        "Not counted",
        "{number} of a version that counts no spend and knows no budget: on {places}. What they call is not known.",
    ),
    (
        "role",
        "note",
        "May not tell",
        "{number} could not tell what calls cost: role {roles}, on {places}. Whether they call is not known.",
    ),
)
"""Why a process does not tell what its calls cost -> the state, the word and the detail of its row."""


def untelling_lines(found: Sequence[Untelling]) -> list[Line]:
    """Return a row for each reason why processes do not tell what their calls cost."""
    rows = []
    for why, state, word, says in _UNTOLD:
        those = [each for each in found if each.why == why]
        if not those:
            continue
        roles = ", ".join(sorted({each.role for each in those}))
        places = ", ".join(each.place for each in those[:_SHOWN])
        more = f" and {len(those) - _SHOWN:,} more" if len(those) > _SHOWN else ""
        number = "One process" if len(those) == 1 else f"{len(those):,} processes"
        cure = f"Run `python -m core grant-reader {those[0].role} --log` as the owner of the tables."
        if why == "version":
            cure = "Upgrade llm-settings in the service."
        detail = says.format(number=number, roles=roles, places=f"{places}{more}")
        rows.append(Line("Spend", state, word, detail, cure))
    return rows
