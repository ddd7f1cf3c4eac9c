"""An organisation, as the merge sees it: what it may use of a provider, and whose key that is. No I/O."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ..crypto import Box, Place
from .effective import Source
from .layers import Layer, names_provider, strongest_first

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


def default_provider(layers: Iterable[Layer], is_usable: Callable[[int], bool]) -> tuple[int | None, Source | None]:
    """Return the provider of a scope that names none, and who chose it; None and None: nobody did.

    The strongest layer that chooses one decides, of those that name no provider. One that cannot be used is passed over.

    Args:
        layers: Of the scope.
        is_usable: Id of a provider -> whether it is there, active, and allowed.
    """
    for layer in strongest_first(layers):
        chosen = layer.values.get("default_provider_id")
        if isinstance(chosen, int) and not names_provider(layer.name) and is_usable(chosen):
            return chosen, layer.source("default_provider_id")
    return None, None
