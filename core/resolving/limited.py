"""Which limit holds a parameter, as people and programs are shown it. No I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

RuleName = Literal["lock", "in", "min", "max", "send"]
LimitOwner = Literal["installation", "organization"]


class LimitedBy(NamedTuple):
    """One rule of one limit: whose it is, for which scope, and who set it, when and why."""

    limit_id: int
    owner: LimitOwner
    layer: str
    """Of the scope that it is set on; one of :data:`~.explanation.LAYERS`."""
    rule: RuleName
    bound: Any
    """What the rule has: True of a lock, a number of ``min`` and ``max``, a list of ``in``, True or False of ``send``."""
    note: str | None = None
    version: int | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None
    scope: str | None = None
    """As of :class:`~.explanation.Source`."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it; the time as ISO 8601."""
        bound = list(self.bound) if isinstance(self.bound, tuple) else self.bound
        at = self.changed_at.isoformat() if self.changed_at else None
        return self._asdict() | {"bound": bound, "changed_at": at}


class HeldValue(NamedTuple):
    """What limits do to one parameter."""

    limited_by: LimitedBy | None = None
    """The rule that decides the value; None: it is as if there were no limit."""
    wanted: Any = None
    """What would be in force without limits."""
    put_out: tuple[tuple[Any, Any], ...] = ()
    """Source and value of what a lock or a list puts out of force, the strongest first."""
    omission_limited_by: LimitedBy | None = None
    """The rule that decides whether it is sent; None: it is as if there were no limit."""
    omission_wanted: Any = None
    """The source that says *do not send*, and is not heeded."""

    @property
    def is_kept_back(self) -> bool:
        """Whether it is not sent by the word of a limit alone."""
        by = self.omission_limited_by
        return by is not None and by.rule == "send" and by.bound is False


FREE: Final = HeldValue()
NOBODY: Final[Mapping[str, HeldValue]] = {}
