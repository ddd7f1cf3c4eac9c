"""One line of the Health page."""

from typing import Literal, NamedTuple

State = Literal["ok", "note", "soon", "wrong"]
"""``soon``: something is to be done."""


class Line(NamedTuple):
    """One line of the page."""

    name: str
    state: State
    word: str
    detail: str
    cure: str = ""
    hover: str = ""
    provider: str = ""
    """The name of the provider it is about; empty: about none."""
