"""LiteLLM's ``config.yaml``: deployments become providers and models; names of one's own, features.

(prefix, api_base, api_key) is one provider. Source of names and meanings: LiteLLM's ``proxy_server_config.yaml`` and its page
"Proxy Config.yaml".
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ...kinds import facts_of
from ...store import base_urls
from . import litellm_words as words
from .drafting import NO_KEY, DocumentDraft, DraftProvider, KeyThere
from .entering import put, put_extra
from .items import VARIABLES, Item, opened, reference
from .losses import Imported
from .naming import azure_name, host_of, kind_at, slugged
from .vendors import CLOUDS, NO_KIND, VENDORS, VendorThere, instead_of

PRODUCT: Final = "LiteLLM"
_PARAMETERS: Final = {
    "temperature": ("temperature", 1),
    "top_p": ("top_p", 1),
    "max_tokens": ("max_tokens", 1),
    "max_completion_tokens": ("max_tokens", 1),
    "frequency_penalty": ("frequency_penalty", 1),
    "presence_penalty": ("presence_penalty", 1),
    "reasoning_effort": ("reasoning_effort", 1),
    "stop": ("stop", 1),
    "timeout": ("request_timeout_ms", 1000),
    "request_timeout": ("request_timeout_ms", 1000),
    "num_retries": ("max_retries", 1),
    "max_retries": ("max_retries", 1),
}
"""LiteLLM's name -> ours, and by what its number is multiplied."""
_EXTRA: Final = (
    "seed",
    "top_k",
    "min_p",
    "logit_bias",
    "service_tier",
    "verbosity",
    "thinking",
    "safety_settings",
    "user",
    "store",
)
_CHAT: Final = frozenset({"", "chat", "completion", "responses"})
_NO_CHAT: Final = re.compile(
    r"(?i)(^|[/._-])(text-embedding|embed|embedding|embeddings|dall-e|whisper|tts|imagen|veo|rerank|reranker|moderation|stt|sora)"
    r"([/._-]|\d|$)|-image(-|$)|^gpt-image"
)
"""Models that answer no chat, by their names: the file says so only sometimes (``model_info.mode``)."""
_BARE: Final = (("openai", re.compile(r"gpt-|chatgpt-|o[1-9](-|$)")), ("anthropic", re.compile(r"claude-")))
"""Which vendor a model without a prefix is of."""


class _Deployment(NamedTuple):
    item: Item
    alias: str
    model: str
    provider: DraftProvider
    settings: dict[str, Any]


class _Reader:
    def __init__(self, top: Item, variables: Mapping[str, str]) -> None:
        self.top = top
        self.draft = DocumentDraft()
        self.variables = dict(variables)
        self.credentials: dict[str, Item] = {}
        self.found: list[_Deployment] = []

    def read(self) -> Imported:
        for name, item in self.top.mapping("environment_variables").entries():
            if isinstance(item.value, str) and not reference(item.value):
                self.variables.setdefault(name, item.value)
            item.lose(
                "is a variable of LiteLLM's process", "set it where the document is applied, if a key needs it", "to do"
            )
        for each in self.top.elements("credential_list"):
            self.credentials[each.text("credential_name")] = each.mapping("credential_values")
            each.take("credential_info")
            each.rest({}, words.OTHER)
        for each in self.top.elements("model_list"):
            self._deployment(each)
        self._enter()
        self._settings()
        self.top.rest(words.SECTIONS, words.OTHER)
        return self.draft.imported(self.top)

    def _deployment(self, item: Item) -> None:
        if not isinstance(item.value, dict):
            item.lose("is no deployment: it has no model_name and litellm_params")
            return
        alias, params, info = item.text("model_name"), item.mapping("litellm_params"), item.mapping("model_info")
        if credential := params.text("litellm_credential_name"):
            given = self.credentials.get(credential)
            if given is None:
                params.lose(
                    "names credentials that are not in credential_list of this file", "enter the key by hand", "to do"
                )
            else:
                params = Item({**given.value, **params.value}, params.path, params.book)
                params.take("litellm_credential_name")
        model = named_model.known(self.variables) if (named_model := params.take("model")) is not None else ""
        mode = info.text("mode")
        named = params.text("custom_llm_provider")
        if not model:
            item.lose("names no model that could be read")
        elif "*" in model or "*" in alias:
            item.lose("stands for all models of a vendor", "name the models you use in the provider's available_models")
        elif mode not in _CHAT or _NO_CHAT.search(model):
            item.lose("is no model for chat, and only those are called here")
        else:
            self._chat(item, alias, model, named, params)
            info.rest(words.INFO, words.INFO_OTHER)
            item.rest({}, words.OTHER)

    def _chat(self, item: Item, alias: str, model: str, named: str, params: Item) -> None:
        prefix, _, rest = model.partition("/")
        if named:
            prefix, rest = named, (rest if prefix == named else model)
        elif prefix not in VENDORS and prefix not in CLOUDS:
            bare = next((vendor for vendor, pattern in _BARE if pattern.match(model)), "")
            prefix, rest = (bare, model) if bare and "/" not in model else (prefix, rest)
        vendor = VENDORS.get(prefix)
        if vendor is None:
            why = CLOUDS.get(prefix)
            if why:
                item.lose(f"is {why}: there is no kind of provider for it", instead_of(prefix))
            else:
                item.lose("is of a vendor that is not known here, or has a protocol of its own", NO_KIND)
            return
        made = self._provider(item, prefix, vendor, params)
        if made is None:
            return
        made.add_models([rest])
        settings = self._parameters(params)
        self.found.append(_Deployment(item, alias, rest, made, settings))

    def _provider(self, item: Item, prefix: str, vendor: VendorThere, params: Item) -> DraftProvider | None:
        base = params.take("api_base", "base_url")
        url = base.known(self.variables) if base is not None else vendor.url
        if base is not None and not url:
            item.lose("cannot be reached: its address is in a variable whose value is not known here", VARIABLES)
            return None
        kind = vendor.kind
        if vendor.name == "ollama" and not re.search(r"/v1/?$", url):
            url = f"{url.rstrip('/')}/v1"
        if kind == "openai":
            kind = "openai" if not url else kind_at(url)  # type: ignore[assignment]  # a name of KINDS
        if kind == base_urls.AZURE and base_urls.is_v1(url):
            kind = "openai_compatible"
        if facts_of(kind).base_url is None and not url:
            why = (
                "has no api_base, and LiteLLM reads it from its environment"
                if kind == base_urls.AZURE
                else "has no api_base"
            )
            item.lose(why, words.ADDRESS)
            return None
        own = bool(base) and kind == "openai_compatible"
        key = self._key(params, vendor, kind, own=own)
        host = host_of(url)
        name, label = (vendor.name, vendor.label)
        if own and vendor.name in {"openai", "custom_openai", "hosted_vllm", "litellm_proxy"}:
            name, label = slugged(host, "_", 44), host
        elif kind == base_urls.AZURE:
            name, label = azure_name(host), f"Azure OpenAI, {host.partition('.')[0]}"
        made = self.draft.provider(item, name=name, label=label, kind=kind, url=url, key=key)
        if made is not None:
            self._carried(made, prefix, params)
        return made

    def _key(self, params: Item, vendor: VendorThere, kind: str, *, own: bool) -> KeyThere:
        item = params.take("api_key")
        if item is None and not vendor.needs_key:
            return NO_KEY
        default = vendor.variable if not own or vendor.name not in {"openai", "custom_openai"} else ""
        return self.draft.key(
            item, default=default, own_server=kind == "openai_compatible" and (own or not vendor.needs_key)
        )

    def _carried(self, provider: DraftProvider, prefix: str, params: Item) -> None:
        """Enter headers and query parameters."""
        for part in ("extra_headers", "headers"):
            for name, item in params.mapping(part).entries():
                self.draft.header(provider, item, name)
        if prefix == "openai" and (organization := params.take("organization")) is not None:
            self.draft.header(provider, organization, "OpenAI-Organization")
        version = params.take("api_version")
        if version is None:
            return
        text = version.known(self.variables)
        if provider.kind != base_urls.AZURE:
            version.lose("says a version of Azure's API, which this address does not take")
        elif not re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", text):
            version.lose("is no version of Azure's API, as 2024-10-21, that is known here", VARIABLES)
        elif provider.query.setdefault("api-version", text) != text:
            version.lose("differs from another deployment's at the same address, and a provider has one")

    def _parameters(self, params: Item) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for theirs, (ours, factor) in _PARAMETERS.items():
            item = params.take(theirs)
            if item is not None and ours not in settings:
                put(settings, item, ours, factor=factor)
        for name in _EXTRA:
            if (item := params.take(name)) is not None:
                put_extra(settings, item, name)
        for name, item in params.mapping("extra_body").entries():
            put_extra(settings, item, name)
        if params.on("drop_params", default=False):
            settings["unfit_parameters"] = "leave_out"
        params.rest(words.PARAMS, words.OTHER)
        return settings

    def _enter(self) -> None:
        """Enter what deployments say: what all of a provider say is the provider's, the rest is of a feature each."""
        for provider in self.draft.providers():
            rows = [each.settings for each in self.found if each.provider is provider]
            for name, value in rows[0].items() if rows else ():
                if all(row.get(name) == value for row in rows):
                    provider.settings[name] = value
        times = Counter(each.alias for each in self.found)
        for each in self.found:
            own = {name: value for name, value in each.settings.items() if name not in each.provider.settings}
            plain = not each.alias or each.alias == each.model or each.alias.endswith(f"/{each.model}")
            if plain and not own and times[each.alias] == 1:
                continue
            if self.draft.has_feature(each.alias, each.provider):
                each.item.lose(
                    "is another deployment of one name at one provider: a name leads to one model here", words.BALANCE
                )
                continue
            again = self.draft.has_feature(each.alias)
            row = self.draft.feature(each.item, each.alias, each.provider)
            if row is None:
                continue
            row.update({"preferred_model": each.model, **own})
            if again:
                each.item.lose(
                    "is another deployment of one name: nothing chooses between providers here", words.CHOOSE
                )
            else:
                each.item.lose("has a name of its own, which is a feature here", words.FEATURE, "said otherwise")

    def _settings(self) -> None:
        general, router = self.top.mapping("litellm_settings"), self.top.mapping("router_settings")
        for part in (general, router):  # the router's come later, and count
            for theirs in ("request_timeout", "timeout", "num_retries", "max_retries"):
                if (item := part.take(theirs)) is not None:
                    put(self.draft.defaults, item, *_PARAMETERS[theirs][:1], factor=_PARAMETERS[theirs][1])
        if general.on("drop_params", default=False):
            self.draft.defaults["unfit_parameters"] = "leave_out"
        for alias, item in router.mapping("model_group_alias").entries():
            of = item.value.get("model") if isinstance(item.value, dict) else item.value
            if not isinstance(of, str) or not self.draft.alias(item, alias, of):
                item.lose("is another name of a name that is no feature here", "ask for the provider and the model")
        for part in (general, router):
            part.rest(words.SETTINGS, words.OTHER)
        self.top.mapping("general_settings").rest(words.GENERAL, words.OTHER)


def read(text: str, variables: Mapping[str, str] | None = None) -> Imported:
    """Read LiteLLM's configuration.

    Args:
        text: YAML or JSON.
        variables: Values of variables for addresses, versions and models; never looked into for keys.

    Raises:
        Invalid: With the line and the rule, if it cannot be read or is none.
        MissingExtra: If PyYAML is not installed.
    """
    return _Reader(opened(text, PRODUCT, ("model_list",)), variables or {}).read()
