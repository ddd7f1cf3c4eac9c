"""Layers: which one a row is of, and which of two counts more. Pure functions; docs/decisions/order-of-layers.md says why so."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, cast

from .explanation import LAYERS, LayerName, Source

Owner = Literal["nobody", "template", "organization"]
"""Whose row it is; one of nobody's is the installation's own."""


def layer_name(owner: Owner, *, feature: bool, provider: bool) -> LayerName:
    """Return the layer of a row, by its owner and by whether it names a feature, and a provider."""
    parts = [owner] * (owner != "nobody") + ["feature"] * feature + ["provider"] * provider
    return cast("LayerName", "+".join(parts) or "all_providers")


def rank(name: LayerName) -> int:
    """Return the place of a layer in the order: of two the higher one counts more."""
    return _RANKS[name]


def names_provider(name: LayerName) -> bool:
    """Tell whether the rows of a layer are of one provider."""
    return name in _OF_A_PROVIDER


_RANKS: Final[Mapping[LayerName, int]] = {cast("LayerName", name): place for place, name in enumerate(LAYERS)}
_OF_A_PROVIDER: Final = frozenset(name for name in LAYERS if "provider" in name.split("+"))


class Layer(NamedTuple):
    """A settings row, as the merge sees it. A missing or None value inherits."""

    name: LayerName
    row_id: int
    version: int
    values: Mapping[str, Any]
    changes: Mapping[str, Any]
    """The column ``field_changes``: field -> {"by", "at", "version"}."""
    scope: str | None = None
    """Of whose organisation and which feature it is: see :attr:`Source.scope`."""

    def source(self, field_name: str) -> Source:
        """Return who set *field_name* in this row, and when."""
        return source_of(self.name, self.row_id, self.version, self.changes, field_name, scope=self.scope)


def source_of(
    layer: LayerName, row_id: int, version: int, changes: Mapping[str, Any], name: str, *, scope: str | None = None
) -> Source:
    """Return who set the field *name* of a row, and when, as its column ``field_changes`` has it."""
    change = changes.get(name) if isinstance(changes, dict) else None
    if not isinstance(change, dict):
        return Source(layer, row_id, version, scope=scope)
    try:
        changed_at = datetime.fromisoformat(change["at"])
    except (KeyError, TypeError, ValueError):
        changed_at = None
    return Source(layer, row_id, change.get("version", version), changed_at, change.get("by"), scope)


def strongest_first(layers: Iterable[Layer]) -> list[Layer]:
    """Return *layers* as they count; of two rows of one layer, which only raw SQL can make, the newer one counts more."""
    return sorted(layers, key=_place, reverse=True)


def _place(layer: Layer) -> tuple[int, int]:
    return _RANKS[layer.name], layer.row_id
