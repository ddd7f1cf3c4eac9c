"""A verdict: what an API does with one parameter. Plain data; standard library only."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal

Does = Literal["ok", "refuse", "ignore", "only", "visible", "above", "range", "rename", "require", "exclusive"]
FactSource = Literal["operator", "vendor", "catalogue", "API rule", "family"]
"""Where a verdict comes from: somebody here, the vendor's own list, the catalogue, the rule alone, a model of the family."""

AS_OF: Final = date(2026, 11, 26)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an API does with one parameter. Of a refusal, a range and the like it says when it holds."""

    does: Does
    why: str
    """A clause for people, as ``it always reasons``."""
    url: str
    values: tuple[float | str, ...] = ()
    """Of ``only``: what it takes. Of ``above``: where in the request the number stands that it has to be larger than."""
    low: float = 0
    """Of ``range``: the smallest and the largest value that it takes; of a list, its length."""
    high: float = 0
    to: str = ""
    """Of ``rename``: the API's name. Of ``exclusive``: our name of the parameter that it does not go with."""
    unless: str = ""
    """When it does not hold, as ``reasoning_effort=none``, ``thinking.type=disabled`` or ``temperature>0``; empty: it always
    does."""
    by_default: bool = True
    """Whether it holds while the parameter in ``unless`` is not set."""
    is_absent: bool = False
    """Of ``refuse``: the API has no such parameter at all, and hence no name for it."""
    basis: FactSource = "API rule"
    as_of: date = AS_OF

    def from_source(self, basis: FactSource, as_of: date) -> "Verdict":
        """Return the same verdict from another source."""
        return replace(self, basis=basis, as_of=as_of)
