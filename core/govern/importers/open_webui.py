"""Open WebUI's settings, as it exports them: each connection becomes a provider.

Three forms of the same: the export of all settings (``GET /api/v1/configs/export``, sections and lists in parallel), the same
with dotted names (as newer versions store them), and the answer of ``GET /openai/config`` (names in capitals). Source:
``open-webui/open-webui``, ``backend/open_webui/config.py`` and ``routers/openai.py``.
"""

from collections.abc import Mapping
from typing import Final

from ...kinds import facts_of
from ...store import base_urls
from .drafting import NO_KEY, DocumentDraft, DraftProvider, KeyThere
from .items import Item, opened
from .losses import Imported, LossReason
from .naming import azure_name, host_of, kind_at, slugged
from .reading import refused

PRODUCT: Final = "Open WebUI"
_NAMES: Final = {
    "openai.enable": "ENABLE_OPENAI_API",
    "openai.api_base_urls": "OPENAI_API_BASE_URLS",
    "openai.api_keys": "OPENAI_API_KEYS",
    "openai.api_configs": "OPENAI_API_CONFIGS",
    "ollama.enable": "ENABLE_OLLAMA_API",
    "ollama.base_urls": "OLLAMA_BASE_URLS",
    "ollama.api_configs": "OLLAMA_API_CONFIGS",
    "ui.default_models": "DEFAULT_MODELS",
}
"""Where the export has it -> what it is called in Open WebUI's API and environment."""
_ADD: Final = "add the provider on the Providers page, which looks models up"
_OTHER: Final = LossReason("is of Open WebUI's chat, and has no place here")
_CONFIG: Final[Mapping[str, LossReason | None]] = {
    **dict.fromkeys(("connection_type", "provider"), None),
    "tags": LossReason("are marks of models in Open WebUI"),
    "prefix_id": LossReason("is put before model names in Open WebUI", "models have the vendor's own names here"),
}


class _Reader:
    def __init__(self, top: Item) -> None:
        self.top = top
        self.draft = DocumentDraft()
        self.sections = {name: top.mapping(name) for name in ("openai", "ollama", "ui")}
        self.nameless: list[tuple[Item, DraftProvider]] = []

    def read(self) -> Imported:
        keys = self._list("openai.api_keys")
        urls = self._list("openai.api_base_urls")
        self._connections("openai", urls, keys)
        for key in keys[len(urls) :]:
            if key.value:
                key.lose("is a key without an address: the lists are in parallel", "enter it at its provider", "to do")
        self._connections("ollama", self._list("ollama.base_urls"), [])
        self._name()
        for section in self.sections.values():
            section.rest({}, _OTHER)
        self.top.rest({"version": None}, _OTHER)
        return self.draft.imported(self.top)

    def _entry(self, name: str) -> Item | None:
        """Return what the export has under *name*, in whichever of the three forms it is."""
        section, _, short = name.partition(".")
        return self.sections[section].take(short) or self.top.take(name, _NAMES[name])

    def _list(self, name: str) -> list[Item]:
        found = self._entry(name)
        return found.as_list() if found is not None else []

    def _connections(self, section: str, urls: list[Item], keys: list[Item]) -> None:
        enabled, configured = self._entry(f"{section}.enable"), self._entry(f"{section}.api_configs")
        on = enabled is None or enabled.as_flag(default=True)
        configs = configured.as_mapping() if configured is not None else Item({}, section, self.top.book)
        for number, url in enumerate(urls):
            config = configs.take(str(number)) or configs.take(str(url.value))  # old exports: by the address
            config = config.as_mapping() if config is not None else Item({}, url.path, url.book)
            key = config.take("key") or (keys[number] if number < len(keys) else None)
            made = self._connection(url, key, config, ollama=section == "ollama")
            if made is not None:
                made.is_active = made.is_active and on and config.on("enable", default=True)
                config.rest(_CONFIG, _OTHER)
        configs.rest({}, LossReason("is of a connection that is not there"))

    def _connection(self, item: Item, key_item: Item | None, config: Item, *, ollama: bool) -> DraftProvider | None:
        url = item.as_text() if item.value != "" else ""
        if not url:
            item.lose("is no address")
            return None
        if ollama and not url.rstrip("/").endswith("/v1"):
            url = f"{url.rstrip('/')}/v1"
        azure = config.on("azure", default=False) and not base_urls.is_v1(url)
        kind = base_urls.AZURE if azure else kind_at(url)
        host = host_of(url)
        key = self._key(item, key_item, config.text("auth_type"), kind)
        name = azure_name(host) if azure else "openai" if kind == "openai" else slugged(host, "_", 44)
        label = facts_of(kind).label if kind == "openai" else host
        made = self.draft.provider(item, name=name, label=label, kind=kind, url=url, key=key)
        if made is None:
            return None
        version = config.text("api_version")
        if version and azure:
            made.query["api-version"] = version
        for header, value in config.mapping("headers").entries():
            self.draft.header(made, value, header)
        made.add_models(config.texts("model_ids"))
        if not made.models:
            self.nameless.append((item, made))
        return made

    def _key(self, item: Item, key_item: Item | None, auth: str, kind: str) -> KeyThere:
        if auth not in {"", "bearer", "none"}:
            why = "signs in as the user, or at Microsoft Entra, and a provider here has one key"
            item.lose(why, "enter a key", "to do")
        if auth == "none" or (kind == "openai_compatible" and (key_item is None or key_item.value == "")):
            return NO_KEY
        return self.draft.key(key_item, own_server=kind == "openai_compatible")

    def _name(self) -> None:
        """Give models to the connections that name none: Open WebUI asks their servers for them."""
        default = self._entry("ui.default_models")
        known = {model for each in self.draft.providers() for model in each.models}
        given = default.as_text() if default is not None and default.value != "" else ""
        names = [name for each in given.split(",") if (name := each.strip()) and name not in known]
        alone = len(self.nameless) == 1
        for item, provider in self.nameless:
            if alone and names:
                provider.add_models(names)
                why = "names no models (Open WebUI asks the server), so its default models were entered"
                item.lose(why, "look more up on the Providers page", "to do")
                continue
            provider.add_catalogue(item)
            if not provider.models:
                item.lose("names no models: Open WebUI asks the server for them", _ADD)
                self.draft.forget(provider)
        if default is not None and names and not alone:
            default.lose("names models without their connection", "add them to a provider's available_models")


def read(text: str, variables: Mapping[str, str] | None = None) -> Imported:  # noqa: ARG001 - its files have no variables
    """Read Open WebUI's settings; errors as :func:`core.govern.importers.litellm.read`."""
    signs = ("openai", "ollama", *_NAMES, *_NAMES.values())
    top = opened(text, PRODUCT, (*signs, "config", "data"))
    for wrapped in ("config", "data"):  # as it is imported again, and as it stands in the database
        if isinstance(inner := top.value.get(wrapped), dict) and not any(sign in top.value for sign in signs):
            top = Item(inner, wrapped, top.book)
    if not any(sign in top.value for sign in signs):
        raise refused(f"is no configuration of {PRODUCT}: it has no openai or ollama at its top")
    return _Reader(top).read()
