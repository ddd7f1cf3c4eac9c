"""The products whose configuration can be imported: one row each."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from . import env, langfuse, librechat, litellm, open_webui, otari
from .losses import Imported

Read = Callable[[str, Mapping[str, str] | None], Imported]


class Product(NamedTuple):
    """One product."""

    name: str
    """What the command line calls it."""
    label: str
    read: Read
    file: str
    """Which file or answer of it is read, in words."""


PRODUCTS: Final[Mapping[str, Product]] = {
    product.name: product
    for product in (
        Product("litellm", litellm.PRODUCT, litellm.read, "the proxy's config.yaml"),
        Product("librechat", librechat.PRODUCT, librechat.read, "librechat.yaml"),
        Product("otari", otari.PRODUCT, otari.read, "config.yml"),
        Product(
            "open-webui", open_webui.PRODUCT, open_webui.read, "the exported settings (Admin panel, Settings, Database)"
        ),
        Product("langfuse", langfuse.PRODUCT, langfuse.read, "the answer of GET /api/public/llm-connections"),
        Product("env", env.PRODUCT, env.read, "a .env file of any program"),
    )
}
