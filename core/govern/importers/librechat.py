"""LibreChat's ``librechat.yaml``: endpoints become providers, model specs features.

Source of names and meanings: LibreChat's ``librechat.example.yaml`` and its pages on the object structure of the file.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ...kinds import KINDS
from ...store import base_urls
from .drafting import DocumentDraft, DraftProvider
from .entering import omit, put, put_extra
from .items import VARIABLES, Item, has_reference, opened
from .losses import Imported, LossReason
from .naming import host_of, kind_at

PRODUCT: Final = "LibreChat"
_PARAMETERS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "topP": "top_p",
    "max_tokens": "max_tokens",
    "maxTokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "reasoning_effort": "reasoning_effort",
    "effort": "reasoning_effort",
    "stop": "stop",
}
"""LibreChat's name -> ours. It has the vendors' own names beside each other."""
_EXTRA: Final = ("topK", "top_k", "seed", "verbosity", "thinking", "thinkingBudget", "thinkingLevel")
_BUILT_IN: Final = {
    "openAI": ("openai", "OpenAI", "OPENAI_API_KEY"),
    "anthropic": ("anthropic", "Anthropic", "ANTHROPIC_API_KEY"),
    "google": ("google", "Google", "GOOGLE_KEY"),
}
"""Endpoint -> its kind, what people read, and the variable in which LibreChat has its key."""
_PROVIDERS: Final = {"anthropic": "anthropic", "google": "google", "openAI": "openai", "openai": "openai"}
_OTHER: Final = LossReason("is of LibreChat's chat, and has no place here")
_PROMPT: Final = LossReason("is a part of the prompt, which the program writes")
_SPEC: Final[Mapping[str, LossReason | None]] = {
    **dict.fromkeys(("promptPrefix", "instructions", "system", "examples", "greeting"), _PROMPT),
    **dict.fromkeys(("modelLabel", "label", "chatGptLabel", "iconURL"), None),
    "maxContextTokens": LossReason("is how much of a conversation is sent, which the program decides"),
    "useResponsesApi": LossReason("chooses OpenAI's API", "core.ai chooses the API by the model"),
}
_SECTIONS: Final[Mapping[str, LossReason | None]] = {
    **dict.fromkeys(("version", "cache"), None),
    **dict.fromkeys(("mcpServers", "mcpSettings", "actions"), LossReason("are tools, which the program has")),
    **dict.fromkeys(("registration", "interface", "fileConfig", "fileStrategy", "rateLimits", "balance"), _OTHER),
}
_ENDPOINTS: Final[Mapping[str, LossReason | None]] = {
    "bedrock": LossReason("signs in with AWS credentials, and there is no kind of provider for it"),
    "all": _OTHER,
}


class _Reader:
    def __init__(self, top: Item, variables: Mapping[str, str]) -> None:
        self.top = top
        self.draft = DocumentDraft()
        self.variables = variables
        self.endpoints: dict[str, list[DraftProvider]] = {}
        self.built_in: dict[str, Item] = {}

    def read(self) -> Imported:
        endpoints = self.top.mapping("endpoints")
        for each in endpoints.elements("custom"):
            self._custom(each)
        azure = endpoints.mapping("azureOpenAI")
        for each in azure.elements("groups"):
            self._group(each)
        azure.rest({}, _OTHER)
        for name in _BUILT_IN:
            if (item := endpoints.take(name)) is not None:
                self.built_in[name] = item
        specs = self.top.mapping("modelSpecs")
        for each in specs.elements("list"):
            self._spec(each)
        specs.rest({"enforce": None, "prioritize": None, "addedEndpoints": None}, _OTHER)
        for name, item in self.built_in.items():
            self._own(name, item)
        endpoints.rest(_ENDPOINTS, _OTHER)
        self.top.rest(_SECTIONS, _OTHER)
        return self.draft.imported(self.top)

    def _custom(self, item: Item) -> None:
        if not isinstance(item.value, dict):
            item.lose("is no endpoint: it has no name and baseURL")
            return
        name, models, speaks = item.text("name"), item.mapping("models"), item.text("provider")
        url = self._known(item, "baseURL")
        if not url:
            item.lose("has no address that is known here", VARIABLES, "to do")
            return
        kind = _PROVIDERS.get(speaks) if speaks else kind_at(url)
        if kind is None:
            item.lose("speaks a protocol that no kind of provider here has")
            return
        if kind == "openai":
            kind = kind_at(url)
        key = self.draft.key(item.take("apiKey"), own_server=kind == "openai_compatible")
        made = self.draft.provider(
            item, name=name or host_of(url), label=name or host_of(url), kind=kind, url=url, key=key
        )
        if made is None:
            return
        self.endpoints.setdefault(name, []).append(made)
        made.add_models(_names(models.elements("default")))
        if models.on("fetch", default=False):
            models.take("fetch")
            models.lose("asks the server for more models", "look models up on the Providers page", "to do")
        models.rest({}, _OTHER)
        if not made.models:
            made.add_catalogue(item)
        self._carried(made, item)
        item.rest({}, _OTHER)

    def _group(self, item: Item) -> None:
        """Read a group of Azure's deployments, which is one resource and key."""
        if not isinstance(item.value, dict):
            item.lose("is no group: it has no instanceName and models")
            return
        name, instance, version = item.text("group"), self._known(item, "instanceName"), self._known(item, "version")
        common = item.text("deploymentName")
        url = self._known(item, "baseURL")
        if not url and instance:
            url = f"https://{instance}" if "." in instance else f"https://{instance}.openai.azure.com"
        url = url.replace("${INSTANCE_NAME}", instance).partition("/${DEPLOYMENT_NAME}")[0]
        url = re.sub(r"/openai(/deployments)?/?$", "", url) if not base_urls.is_v1(url) else url
        if not url:
            item.lose("has no address that is known here", VARIABLES, "to do")
            return
        if item.on("serverless", default=False):
            item.lose("is a serverless model of Azure", "add a provider of the kind OpenAI-compatible at its address")
            return
        kind = "openai_compatible" if base_urls.is_v1(url) else base_urls.AZURE
        key = self.draft.key(item.take("apiKey"))
        label = "" if has_reference(name) else name
        made = self.draft.provider(
            item,
            name=f"azure-{label or instance}",
            label=label or f"Azure OpenAI, {instance}",
            kind=kind,
            url=url,
            key=key,
        )
        if made is None:
            return
        if re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", version) and kind == base_urls.AZURE:
            made.query.setdefault("api-version", version)
        for model, entry in item.mapping("models").entries():
            details = entry if isinstance(entry.value, dict) else Item({}, entry.path, entry.book)
            deployment = details.text("deploymentName") or common or model
            made.add_models([deployment])
            if details.text("version") not in {"", version}:
                details.lose("has another api-version than its group, and a provider has one")
            details.rest({}, _OTHER)
            if deployment != model and (row := self.draft.feature(entry, model, made)) is not None:
                row["preferred_model"] = deployment
                entry.lose(
                    "has a name of its own, which is a feature here",
                    "programs resolve the provider with this feature",
                    "said otherwise",
                )
        self.endpoints.setdefault("azureOpenAI", []).append(made)
        self._carried(made, item, headers="additionalHeaders")
        item.rest({}, _OTHER)

    def _own(self, name: str, item: Item | None) -> DraftProvider | None:
        """Return the provider of an endpoint that LibreChat has by itself, made where there is none yet."""
        if name not in _BUILT_IN:
            return None
        if name not in self.endpoints:
            kind, label, variable = _BUILT_IN[name]
            of = item if item is not None and isinstance(item.value, dict) else Item({}, name, self.top.book)
            key = self.draft.key(None, default=variable)
            made = self.draft.provider(of, name=kind, label=label, kind=kind, url="", key=key)
            if made is None:
                return None
            self.endpoints[name] = [made]
            made.add_models(_names(of.elements("models")) if isinstance(of.value.get("models"), list) else [])
            self._carried(made, of)
            of.rest({"fetch": None, "titleModel": None, "titleConvo": None, "models": None}, _OTHER)
        made = self.endpoints[name][0]
        if item is not None and not made.models:
            made.add_catalogue(item)
        return made

    def _spec(self, item: Item) -> None:
        if not isinstance(item.value, dict):
            item.lose("is no model spec: it has no name and preset")
            return
        name, preset = item.text("name"), item.mapping("preset")
        endpoint, model = preset.text("endpoint"), preset.text("model")
        choices = self.endpoints.get(endpoint, [])
        provider = next((each for each in choices if model in each.models), choices[0] if choices else None)
        provider = provider or self._own(endpoint, self.built_in.get(endpoint))
        if provider is None:
            item.lose("is of an endpoint that is no provider here")
            return
        if endpoint in _BUILT_IN and model:
            provider.add_models([model])
        elif model and model not in provider.models:
            model = self._deployment(provider, model)
            provider.add_models([model])
        row = self.draft.feature(item, name, provider)
        if row is None:
            return
        if model:
            row["preferred_model"] = model
        self._parameters(row, preset)
        preset.rest(_SPEC, _OTHER)
        item.take("label", "description", "group", "order", "iconURL", "showIconInMenu", "showIconInHeader")
        item.lose("is a feature here", "programs resolve the provider with this feature", "said otherwise")
        item.rest({}, _OTHER)

    def _deployment(self, provider: DraftProvider, model: str) -> str:
        if provider.kind == base_urls.AZURE and self.draft.has_feature(model, provider):
            return str(self.draft.row(model, provider).get("preferred_model", model))
        return model

    def _carried(self, provider: DraftProvider, item: Item, headers: str = "headers") -> None:
        """Enter headers and the parameters that an endpoint adds and leaves out."""
        for name, value in item.mapping(headers).entries():
            self.draft.header(provider, value, name)
        added = item.mapping("addParams")
        self._parameters(provider.settings, added)
        for name, value in added.entries():
            if name not in _PARAMETERS and name not in _EXTRA:
                put_extra(provider.settings, value, name)
        for each in item.elements("dropParams"):
            name = _PARAMETERS.get(each.as_text(), "")
            if name:
                omit(provider.settings, name)
            elif each.value != "user":
                each.lose("is a parameter that is not sent here anyway, unless somebody adds it", "", "said otherwise")

    def _parameters(self, settings: dict[str, Any], item: Item) -> None:
        for theirs, ours in _PARAMETERS.items():
            if (found := item.take(theirs)) is not None:
                put(settings, found, ours)
        for name in _EXTRA:
            if (found := item.take(name)) is not None:
                put_extra(settings, found, name)

    def _known(self, item: Item, name: str) -> str:
        found = item.take(name)
        return found.known(self.variables) if found is not None else ""


def _names(items: list[Item]) -> list[str]:
    """Return model names: texts, or mappings that have a name."""
    found = []
    for each in items:
        name = each.text("name") if isinstance(each.value, dict) else each.as_text()
        if name:
            found.append(name)
    return found


def read(text: str, variables: Mapping[str, str] | None = None) -> Imported:
    """Read LibreChat's configuration; arguments and errors as :func:`core.govern.importers.litellm.read`."""
    return _Reader(opened(text, PRODUCT, ("endpoints", "modelSpecs", "interface")), variables or {}).read()


assert set(_PROVIDERS.values()) <= set(KINDS)  # noqa: S101 - data that is written here
