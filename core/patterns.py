"""Regular expressions that are compiled on first use: all of them at once would be a quarter of the resolver's import."""

import re
from typing import Any, cast


class _Later:
    """Stands for a compiled pattern; what was asked of it once is its own."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._source = pattern, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(*self._source), name)
        setattr(self, name, found)
        return found


def later(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return what can be used as ``re.compile(pattern, flags)``, and is compiled when something is asked of it."""
    return cast("re.Pattern[str]", _Later(pattern, flags))
