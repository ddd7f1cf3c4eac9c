"""Otari's ``config.yml`` (any-llm's gateway): instances become providers, aliases features.

Source of names and meanings: ``mozilla-ai/otari``, config.example.yml and the configurations of its demos and its pilot.
"""

from collections.abc import Mapping
from typing import Final

from ...kinds import facts_of
from ...store import base_urls
from .drafting import NO_KEY, DocumentDraft, DraftProvider
from .entering import put
from .items import Item, opened
from .losses import Imported, LossReason
from .naming import host_of, kind_at
from .vendors import CLOUDS, NO_KIND, VENDORS, VendorThere, instead_of

PRODUCT: Final = "Otari"
_OTHER: Final = LossReason("is Otari's own, and has no place here")
_CLIENT: Final = LossReason("is an argument of the vendor's SDK, and has no place here")
_SECTIONS: Final[Mapping[str, LossReason | None]] = {
    "pricing": LossReason(
        "are prices", "what calls cost is known by Model facts; prices of your own are entered there"
    ),
    "default_pricing": None,
    "master_key": LossReason("signs in at Otari", "programs need no key to resolve; REST takes tokens (tokens add)"),
    "database_url": LossReason("is Otari's own database", "settings are in DATABASE_URL of LLM Settings"),
    "search_tools": LossReason("are tools, which the program has"),
}


class _Reader:
    def __init__(self, top: Item, variables: Mapping[str, str]) -> None:
        self.top = top
        self.draft = DocumentDraft()
        self.variables = variables
        self.instances: dict[str, DraftProvider] = {}

    def read(self) -> Imported:
        named = self._named()
        for name, item in self.top.mapping("providers").entries():
            if isinstance(item.value, dict):
                self._instance(name, item, named.get(name, []))
            elif item.value is not None:
                item.lose("is no provider: it has no api_key")
        for name, item in self.top.mapping("aliases").entries():
            self._alias(name, item)
        self.top.rest(_SECTIONS, _OTHER)
        return self.draft.imported(self.top)

    def _named(self) -> dict[str, list[str]]:
        """Return the models that prices and aliases name (``instance:model``), by instance."""
        found: dict[str, list[str]] = {}
        pricing, aliases = self.top.value.get("pricing"), self.top.value.get("aliases")
        names = [*(pricing if isinstance(pricing, dict) else ())]
        names += [each for each in (aliases.values() if isinstance(aliases, dict) else ()) if isinstance(each, str)]
        for each in names:
            instance, _, model = each.partition(":")
            if model.strip():
                found.setdefault(instance, []).append(model.strip())
        return found

    def _instance(self, name: str, item: Item, named: list[str]) -> None:
        what = (item.text("provider_type") or name).lower()
        vendor = VENDORS.get(what)
        made = None
        if why := CLOUDS.get(what):
            item.lose(f"is {why}: there is no kind of provider for it", instead_of(what))
        elif vendor is None:
            item.lose("is of a vendor that is not known here", NO_KIND)
        else:
            made = self._provider(name, item, vendor)
        if made is None:
            return
        self.instances[name] = made
        made.add_models(item.texts("models") or named)
        if not made.models:
            made.add_catalogue(item)
        client = item.mapping("client_args")
        for part in ("custom_headers", "default_headers", "extra_headers"):
            for header, value in client.mapping(part).entries():
                self.draft.header(made, value, header)
        for theirs, ours, factor in (("timeout", "request_timeout_ms", 1000), ("max_retries", "max_retries", 1)):
            if (found := client.take(theirs)) is not None:
                put(made.settings, found, ours, factor=factor)
        client.rest({}, _CLIENT)
        item.rest({"pricing": _SECTIONS["pricing"]}, _OTHER)

    def _provider(self, name: str, item: Item, vendor: VendorThere) -> DraftProvider | None:
        base = item.take("api_base")
        url = base.known(self.variables) if base is not None else vendor.url
        kind: str = kind_at(url) if vendor.kind == "openai" else vendor.kind
        if kind == base_urls.AZURE and base_urls.is_v1(url):
            kind = "openai_compatible"
        if (base is not None or facts_of(kind).base_url is None) and not url:
            item.lose("has no address that is known here", "write api_base into the file")
            return None
        own = base is not None and kind == "openai_compatible"
        given = item.take("api_key")
        key = NO_KEY
        if given is not None or vendor.needs_key:
            key = self.draft.key(given, default="" if own else vendor.variable, own_server=own)
        label = vendor.label if name.lower() in VENDORS else name
        return self.draft.provider(item, name=name, label=label or host_of(url), kind=kind, url=url, key=key)

    def _alias(self, name: str, item: Item) -> None:
        instance, _, model = (item.value if isinstance(item.value, str) else "").partition(":")
        made = self.instances.get(instance)
        if made is None or not model.strip():
            item.lose("leads to no model of a provider here")
            return
        made.add_models([model.strip()])
        if (row := self.draft.feature(item, name, made)) is not None:
            row["preferred_model"] = model.strip()
            item.lose("is a feature here", "programs resolve the provider with this feature", "said otherwise")


def read(text: str, variables: Mapping[str, str] | None = None) -> Imported:
    """Read Otari's configuration; arguments and errors as :func:`core.govern.importers.litellm.read`."""
    return _Reader(opened(text, PRODUCT, ("providers",)), variables or {}).read()
