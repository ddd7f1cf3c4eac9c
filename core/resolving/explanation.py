"""Why an answer has its values: layers, sources, and what hides or limits what. Plain data; no I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from ..models.adapt import Adjustment
from ..parameters import SENDABLE
from . import extra
from .limited import NOBODY, HeldValue, LimitedBy

LayerName = Literal[
    "built_in",
    "all_providers",
    "provider_default",
    "provider",
    "template",
    "template+provider",
    "organization",
    "organization+provider",
    "feature",
    "feature+provider",
    "template+feature",
    "template+feature+provider",
    "organization+feature",
    "organization+feature+provider",
]
LAYERS: Final[Mapping[str, str]] = {
    "built_in": "built-in default",
    "all_providers": "all providers",
    "provider_default": "the provider's default model",
    "provider": "this provider",
    "template": "template",
    "template+provider": "template, this provider",
    "organization": "organisation",
    "organization+provider": "organisation, this provider",
    "feature": "feature",
    "feature+provider": "feature, this provider",
    "template+feature": "template, this feature",
    "template+feature+provider": "template, this feature and provider",
    "organization+feature": "organisation, this feature",
    "organization+feature+provider": "organisation, this feature and provider",
}
"""Layer -> what people read. The order is the order in which they count, the lowest first: :mod:`~.layers`."""


class Source(NamedTuple):
    """Where a value comes from. A built-in default has no row, no version and nobody who changed it."""

    layer: LayerName
    row_id: int | None = None
    version: int | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None
    scope: str | None = None
    """The organisation or template, and the feature, that the row is of: ``acme · summarise``; None: of nobody's."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it; the time as ISO 8601."""
        return self._asdict() | {"changed_at": self.changed_at.isoformat() if self.changed_at else None}


BUILT_IN: Final = Source("built_in")
Candidates = tuple[tuple[Source, Any], ...]
"""Who says what, the strongest first."""


class Why(NamedTuple):
    """Why the values are what they are."""

    candidates: Mapping[str, Candidates]
    omitted_by: Mapping[str, Source | None]
    """None: no layer says so, but a limit."""
    passed_over: Candidates = ()
    """The models that the organisation may not use."""
    held: Mapping[str, HeldValue] = NOBODY
    """What limits do, of the parameters that have any."""


class Explained(NamedTuple):
    """One parameter, and why it has its value."""

    name: str
    value: Any
    source: Source
    shadows: tuple[tuple[Source, Any], ...]
    """The values of lower layers that this one hides, nearest first."""
    omitted_by: Source | None
    """The layer that says *do not send*, or None."""
    adjusted: Adjustment | None = None
    """How it is sent otherwise than it stands here, or that it is not: what the vendor's API and the model take decides."""
    passed_over: tuple[tuple[Source, Any], ...] = ()
    """Models that somebody chose and the organisation may not use, the strongest first."""
    limited_by: LimitedBy | None = None
    """The rule of a limit that decides the value; None: no limit changes it."""
    wanted: Any = None
    """With :attr:`limited_by`: what would be in force without limits."""
    put_out: tuple[tuple[Source, Any], ...] = ()
    """Values that a lock or a list of a limit puts out of force, the strongest first."""
    omission_limited_by: LimitedBy | None = None
    """The rule of a limit that decides whether it is sent; None: no limit changes that."""
    omission_wanted: Source | None = None
    """The layer that says *do not send*, and by a limit is not heeded."""

    @property
    def must_not_be_sent(self) -> bool:
        """Whether it is a limit that keeps it from being sent, and no layer."""
        by = self.omission_limited_by
        return by is not None and by.rule == "send" and by.bound is False

    @property
    def sent(self) -> bool:
        """Whether it is sent to the model: see :meth:`EffectiveSettings.request_options`."""
        sendable = self.name == "model" or self.name in SENDABLE or self.name.startswith(extra.PREFIX)
        if self.adjusted is not None:
            return self.adjusted.what != "left_out"
        return sendable and self.omitted_by is None and not self.must_not_be_sent and self.value is not None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "name": self.name,
            "value": self.value,
            "sent": self.sent,
            "source": self.source.as_dict(),
            "shadows": [{"source": source.as_dict(), "value": value} for source, value in self.shadows],
            "omitted_by": self.omitted_by.as_dict() if self.omitted_by else None,
            "adjusted": self.adjusted.as_dict() if self.adjusted else None,
            "passed_over": [{"source": source.as_dict(), "value": value} for source, value in self.passed_over],
            "limited_by": self.limited_by.as_dict() if self.limited_by else None,
            "wanted": self.wanted,
            "put_out": [{"source": source.as_dict(), "value": value} for source, value in self.put_out],
            "omission_limited_by": self.omission_limited_by.as_dict() if self.omission_limited_by else None,
            "omission_wanted": self.omission_wanted.as_dict() if self.omission_wanted else None,
        }
