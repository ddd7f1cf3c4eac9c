"""One adapter for each kind of vendor, known by the kind's name."""

from collections.abc import Mapping
from typing import Final

from ...errors import UnknownKind
from ..vendors import Vendor
from . import anthropic, azure, google, openai

_OPENAI: Final = openai.OpenAI()
ADAPTERS: Final[Mapping[str, Vendor]] = {
    "openai": _OPENAI,
    "openai_compatible": _OPENAI,
    "anthropic": anthropic.Anthropic(),
    "google": google.Google(),
    "azure_openai": azure.AzureOpenAI(),
}
"""Kind -> adapter."""


def adapter_of(kind: str | None) -> Vendor:
    """Return the adapter of *kind*.

    Raises:
        UnknownKind: If this version has none: the database is of a newer one.
    """
    found = ADAPTERS.get(kind) if kind is not None else None
    if found is None:
        raise UnknownKind(str(kind))
    return found
