"""Langfuse's LLM connections, as its API lists them, become providers.

``GET /api/public/llm-connections`` (or that of an organisation), or the body of the PUT that makes one. Source:
``langfuse/langfuse``, ``fern/apis/server/definition/llm-connections.yml``. No variable of Langfuse has a connection: a ``.env``
file of it is read for what it says otherwise.
"""

import re
from collections.abc import Mapping
from typing import Final

from ...kinds import facts_of
from ...store import base_urls
from .drafting import DocumentDraft, DraftProvider
from .items import Item
from .losses import Book, Imported, LossReason
from .naming import host_of, kind_at, mended
from .reading import refused, tree
from .vendors import CLOUDS, NO_KIND, VENDORS, VendorThere, instead_of

PRODUCT: Final = "Langfuse"
_LIST: Final = "GET /api/public/llm-connections of Langfuse lists them"
_OTHER: Final = LossReason("is Langfuse's own, and has no place here")
_CONNECTION: Final[Mapping[str, LossReason | None]] = dict.fromkeys(("id", "createdAt", "updatedAt", "authMethod"))
_RESPONSES: Final = LossReason("chooses OpenAI's API", "core.ai chooses the API by the model")
_LINE: Final = re.compile(r"\s*(export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")


class _Reader:
    def __init__(self, top: Item) -> None:
        self.top = top
        self.draft = DocumentDraft()

    def read(self) -> Imported:
        connections = [self.top] if "adapter" in self.top.value else self.top.elements("data")
        for each in connections:
            self._connection(each)
        meta = self.top.mapping("meta")
        if isinstance(pages := meta.value.get("totalPages"), int) and pages > 1:
            meta.lose(
                "says that there are more pages than this one",
                "ask for all at once (limit=100), or import each",
                "to do",
            )
        meta.rest(dict.fromkeys(("page", "limit", "totalItems", "totalPages")), _OTHER)
        self.top.rest({}, _OTHER)
        return self.draft.imported(self.top)

    def _connection(self, item: Item) -> None:
        if not isinstance(item.value, dict):
            item.lose("is no LLM connection")
            return
        adapter = item.text("adapter")
        vendor = VENDORS.get(adapter)
        made = None
        if why := CLOUDS.get(adapter):
            item.lose(f"is {why}: there is no kind of provider for it", instead_of(adapter))
        elif vendor is None:
            item.lose("has an adapter that is not known here", NO_KIND)
        else:
            made = self._provider(item, vendor)
        if made is None:
            return
        for header, value in item.mapping("extraHeaders").entries():
            self.draft.header(made, value, header)
        for each in item.elements("extraHeaderKeys"):
            if hidden := each.as_text():
                self.draft.hidden_header(made, each, hidden)
        made.add_models(item.texts("customModels"))
        if item.on("withDefaultModels", default=True) or not made.models:
            made.add_catalogue(item)
        item.mapping("config").rest({"useResponsesApi": _RESPONSES}, _OTHER)
        item.rest(_CONNECTION, _OTHER)

    def _provider(self, item: Item, vendor: VendorThere) -> DraftProvider | None:
        name, url = item.text("provider"), item.text("baseURL")
        kind: str = kind_at(url) if vendor.kind == "openai" else vendor.kind
        if kind == base_urls.AZURE:
            kind = "openai_compatible" if base_urls.is_v1(url) else kind
            url = re.sub(r"/openai(/deployments)?/?$", "", url)
        if facts_of(kind).base_url is None and not url:
            item.lose("has no baseURL", "add the provider on the Providers page")
            return None
        masked, secret = item.take("displaySecretKey"), item.take("secretKey")
        own = f"{re.sub('[^A-Z0-9]+', '_', name.upper()).strip('_') or 'LLM'}_API_KEY"
        default = own if mended(kind, url) else vendor.variable
        if secret is None and masked is not None:
            why = "is the mask of the key: Langfuse shows no key again"
            masked.lose(why, f"put the key into the variable {default}", "to do")
        key = self.draft.key(secret, default=default, own_server=kind == "openai_compatible")
        label = name or host_of(url) or vendor.label
        return self.draft.provider(item, name=name or vendor.name, label=label, kind=kind, url=url, key=key)


def _variables(text: str) -> Imported | None:
    """Return what is said of a ``.env`` file of Langfuse; None: it is none."""
    lines = [(number, found) for number, line in enumerate(text.splitlines(), start=1) if (found := _LINE.match(line))]
    if not lines:
        return None
    book = Book({found[2]: number for number, found in lines})
    for _, found in lines:
        name = found[2]
        if name.startswith("LANGFUSE_LLM_CONNECTION_WHITELISTED"):
            book.add(
                name, LossReason("lets Langfuse call private addresses", "LLM_PRIVATE_HOSTS does, where it is needed")
            )
        elif re.search("LLM|BEDROCK|VERTEX|OPENAI|ANTHROPIC", name):
            book.add(name, LossReason("is a setting of Langfuse's own calls", _LIST))
    book.add("the file", LossReason("has variables, and no variable of Langfuse has an LLM connection", _LIST))
    return Imported({"version": 1}, book.all())


def read(text: str, variables: Mapping[str, str] | None = None) -> Imported:  # noqa: ARG001 - its files have no variables
    """Read Langfuse's LLM connections; errors as :func:`core.govern.importers.litellm.read`."""
    if text.lstrip("\ufeff \t\r\n")[:1] not in {"{", "["} and (found := _variables(text)) is not None:
        return found
    value, lines = tree(text)
    if isinstance(value, list) and all(isinstance(each, dict) and "adapter" in each for each in value):
        value = {"data": value}
    if not isinstance(value, dict) or not (isinstance(value.get("data"), list) or "adapter" in value):
        raise refused(f"is no list of {PRODUCT}'s LLM connections: it has no data at its top. {_LIST}")
    return _Reader(Item(value, "", Book(lines))).read()
