"""An organisation, as the merge sees it: what it may use of a provider, and whose key that is. No I/O."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..crypto import Box, Place
from .explanation import Source
from .layers import Layer, names_provider, strongest_first
from .limited import LimitedBy
from .limits import DEFAULT_PROVIDER, Bindings, Limit, below

TABLE: Final = "organization_providers"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation, with what it may use of one provider."""

    id: int
    name: str
    """Its slug."""
    is_active: bool = True
    shares_keys: bool = True
    """Whether it may use the installation's keys."""
    is_allowed: bool = True
    """Whether it may use the provider."""
    requires_own_key: bool = False
    """Whether it uses the provider with a key of its own only."""
    allowed_models: frozenset[str] | None = None
    """None: all."""
    own_models: frozenset[str] = frozenset()
    """Models of its own account with the vendor: they count together with a key of its own."""
    open_own: Callable[[], Box] | None = field(default=None, repr=False)
    """Verifies the organisation's own key and returns its box, or raises; None without one."""

    @property
    def may_share(self) -> bool:
        """Whether the provider is called with the installation's key. One of its own is never replaced by that."""
        return self.open_own is None and self.shares_keys and not self.requires_own_key

    def may_use(self, model: str) -> bool:
        """Tell whether the organisation may use *model*; whether the provider has it is for others to say."""
        if model in self.own_models and self.open_own is not None:
            return True
        if self.allowed_models is not None:
            return model in self.allowed_models
        return model not in self.own_models


def place_of_own_key(row_id: int, organization_id: int, provider_id: int, origin: str) -> Place:
    """Return where an organisation's own key belongs: to its row, the organisation, the provider and the provider's host."""
    return Place(TABLE, row_id, f"api_key:{organization_id}:{provider_id}", origin)


class Default(NamedTuple):
    """The provider of a scope that names none."""

    provider_id: int | None = None
    """None: there is none."""
    source: Source | None = None
    """Who chose it; None: nobody did, or a limit alone."""
    limited_by: LimitedBy | None = None
    """The rule of a limit that decides it; None: no limit changes it."""


def default_provider(
    layers: Iterable[Layer], is_usable: Callable[[int], bool], limits: Iterable[Limit] = ()
) -> Default:
    """Return the provider of a scope that names none.

    The strongest layer that chooses one decides, of those that name no provider. One that cannot be used, or that a limit
    puts out of force, is passed over; where a limit has a list and nothing chosen is in it, the first of it that can be used.

    Args:
        layers: Of the scope.
        is_usable: Id of a provider -> whether it is there, active, and allowed.
        limits: That count.
    """
    found = [
        (layer, layer.values["default_provider_id"])
        for layer in strongest_first(layers)
        if not names_provider(layer.name) and isinstance(layer.values.get("default_provider_id"), int)
    ]
    bindings = Bindings(limits)
    if DEFAULT_PROVIDER not in bindings:
        return next((Default(one, _source(layer)) for layer, one in found if is_usable(one)), Default())
    usable = [(layer, one) for layer, one in found if is_usable(one)]
    free, by, lock = usable[:1], None, bindings.lock(DEFAULT_PROVIDER)
    if lock is not None:
        usable = [each for each in usable if below(lock, each[0].name)]
        by = lock if usable[:1] != free else None
    fits, lists = bindings.among(DEFAULT_PROVIDER)
    fitting = [each for each in usable if not lists or each[1] in fits]
    if fitting[:1] == usable[:1] and (fitting or not lists):
        return Default(fitting[0][1], _source(fitting[0][0]), by) if fitting else Default(limited_by=by)
    if fitting:
        by = next((each for each in lists if usable[0][1] not in each.bound), lists[-1])
        return Default(fitting[0][1], _source(fitting[0][0]), by)
    return Default(next(filter(is_usable, fits), None), None, lists[0])


def _source(layer: Layer) -> Source:
    return layer.source("default_provider_id")
