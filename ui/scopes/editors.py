"""Where the settings of a layer are edited: addresses of pages of ours."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from core.resolving.explanation import LayerName
from core.resolving.layers import Owner, names_provider
from ui.navigation import SCREENS


class Names(NamedTuple):
    """What a scope names; None: nothing."""

    provider: str | None = None
    organization: str | None = None
    template: str | None = None
    feature: str | None = None


def owner_of(layer: LayerName) -> Owner:
    """Return whose rows a layer has."""
    first = layer.partition("+")[0]
    return first if first in {"template", "organization"} else "nobody"  # type: ignore[return-value]  # an owner


def words_of(layer: LayerName, names: Names) -> str:
    """Return what a layer is called by the names of its scope: ``acme · summarise · openai``."""
    if layer == "built_in":
        return "built-in"
    if layer == "provider_default":
        return f"{names.provider or ''}: default model"
    owner = owner_of(layer)
    parts = [
        {"template": names.template, "organization": names.organization, "nobody": None}[owner],
        names.feature if "feature" in layer.split("+") else None,
        names.provider if names_provider(layer) else None,
    ]
    return " · ".join(part for part in parts if part) or "all providers"


def address_of(layer: LayerName, names: Names) -> str | None:
    """Return the address of the page that edits a layer; None: there is none."""
    if layer == "built_in":
        return None
    if layer == "provider_default":
        return _address("providers", {"provider": names.provider})
    owner, of_feature = owner_of(layer), "feature" in layer.split("+")
    wanted = {"provider": names.provider if names_provider(layer) else None}
    if owner != "nobody":
        section = "overrides" if of_feature else None
        slug = names.organization if owner == "organization" else names.template
        of = {"organization": slug, "section": section, "feature": names.feature if of_feature else None}
        return _address("organization", of | wanted)
    if of_feature:
        return _address("features", {"feature": names.feature} | wanted)
    return _address("defaults", wanted)


def _address(page: str, parameters: Mapping[str, str | None]) -> str | None:
    if page not in SCREENS:
        return None
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{page}?{query}" if query else page
