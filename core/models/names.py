"""Which row of the catalogue a model's name means: vendors and hosts write one model in many ways."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .vendored import Rows

MOST: Final = 300
"""Characters; a longer name is no model's."""


class Found(NamedTuple):
    """Where the row is."""

    api: str
    name: str
    assumed: bool
    """Whether it is another model, of the same family: the newest that is known."""


class Index:
    """The rows of a catalogue, by every form of their names."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def find(self, api: str, model: str) -> tuple[Found, ...]:
        """Return the row of *model* at *api* itself, and its vendor's; either may be missing."""
        own = self._rows.get(api, _EMPTY)
        return (Found(api, model, assumed=False),) if model in own else ()


_EMPTY: Final[Mapping[str, Any]] = {}
