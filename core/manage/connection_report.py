"""What a connection test is given, and what it finds out: stages, the vendor's list, and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from ..resolving.carried import NOTHING, Opened
from ..resolving.effective import EffectiveSettings

StageState = Literal["verified", "refused", "not_checked"]

StageName = Literal["name", "address", "connected", "tls", "key", "model", "call"]
STAGES: Final[Mapping[StageName, str]] = {
    "name": "Host found",
    "address": "Address allowed",
    "connected": "Connected",
    "tls": "TLS",
    "key": "Key accepted",
    "model": "Model exists",
    "call": "Minimal call",
}


class Stage(NamedTuple):
    """What one stage found out."""

    name: StageName
    state: StageState
    latency_ms: int | None
    """None: nothing was tried."""
    words: str
    """For people: the vendor's own where it said something, scrubbed."""


class Report(NamedTuple):
    """What a test found out."""

    stages: tuple[Stage, ...]
    models: tuple[str, ...] | None
    """The vendor's list; None: it was not got."""
    new: tuple[str, ...]
    """In the vendor's list, and not among the provider's models."""
    gone: tuple[str, ...]
    """Among the provider's models, and not in the vendor's list."""
    facts: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    """Model -> what the vendor's list says of it; :func:`core.manage.observed.keep` keeps it."""

    @property
    def state(self) -> StageState:
        """``verified`` if the call was answered, ``refused`` if any stage was, else ``not_checked``."""
        if any(stage.state == "refused" for stage in self.stages):
            return "refused"
        return "verified" if self.stages[-1].state == "verified" else "not_checked"


@dataclass(frozen=True, slots=True)
class Tested:
    """What is to be tested."""

    name: str
    kind: str
    base_url: str
    model: str | None
    models: tuple[str, ...]
    settings: EffectiveSettings = field(repr=False)
    """Whose parameters the call is made with."""
    key: str | None = field(repr=False)
    key_problem: str = ""
    """Why there is no key."""
    needs_key: bool = True
    """False: *key* is the word that stands for none."""
    carried: Opened = field(default=NOTHING, repr=False)
    """Headers and query parameters."""
    list_only: bool = False
    """Whether no call is made: then what is found out is the vendor's list."""
