"""The Health page's lines about API keys that are older than the operator wants."""

from collections.abc import Sequence
from typing import Final

from core.govern.key_ages import KeyAge
from core.wording import counted
from ui.health.line import Line
from ui.widgets import ago, exact

SHOWN: Final = 10
_CURE: Final = "Make a new one at the vendor; then Providers page, More, Exchange key."
_CURE_OWN: Final = "Make a new one at the vendor; then Organisations page, or its own admins on theirs."


def old_key_lines(old: Sequence[KeyAge]) -> list[Line]:
    """Return a line for each key that is too old, the oldest first."""
    lines = [
        Line(
            f"API key of {key.provider}" if key.organization is None else f"{key.organization} / {key.provider}",
            "soon",
            "Too old",
            f"Set {ago(key.set_at)}; too old since {ago(key.ends)}.",
            _CURE if key.organization is None else _CURE_OWN,
            exact(key.set_at),
            "" if key.organization else key.provider,
        )
        for key in old[:SHOWN]
    ]
    if len(old) > SHOWN:
        lines.append(
            Line("And more", "soon", "Too old", f"{counted(len(old) - SHOWN, 'more API key')} too old.", _CURE)
        )
    return lines
