"""The document that an importer writes: providers by address and key, their settings, features. Everything in it obeys our rules."""

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from ...errors import Invalid
from ...kinds import vendor_at
from ...models import catalogue
from ...redaction import Secret, remember
from ...store import api_keys, base_urls, carried_values
from ...store.organization_schemas import FeatureInput
from ...store.schemas import ProviderInput, validate
from .items import Item, has_reference, reference
from .losses import Imported
from .naming import mended, slugged

MASKED: Final = re.compile(r"\S{0,12}?(\.\.\.|\u2026)?[*\u2022\u25cf]{3,}\S{0,12}")
_ENTER: Final = "set the variable that the document names, or enter the key on the Providers page"


class KeyThere(NamedTuple):
    """What a file says of a provider's key. The key itself stands in no document."""

    variable: str = ""
    """The variable that has it."""
    literal: Secret | None = None
    """What stood there in plain text: it only tells providers apart."""
    needed: bool = True
    """Whether the server asks for one."""
    item: Item | None = None

    @property
    def identity(self) -> str:
        """What tells one key from another."""
        if not self.needed:
            return "-"
        return f"${self.variable}" if self.variable else self.literal.reveal() if self.literal else ""


NO_KEY: Final = KeyThere(needed=False)


class DraftProvider:
    """A provider of the document."""

    def __init__(self, item: Item, name: str, label: str, kind: str, url: str) -> None:
        self.item = item
        self.name = name
        self.label = label
        self.kind = kind
        self.url = url
        self.variable = ""
        self.key_item: Item | None = None
        self.needs_key = True
        self.is_active = True
        self.models: dict[str, None] = {}
        self.default_model: str | None = None
        self.settings: dict[str, Any] = {}
        self.headers: dict[str, Any] = {}
        self.query: dict[str, Any] = {}

    def add_models(self, names: Iterable[str]) -> None:
        """Add models; one that is there already counts once."""
        self.models.update(dict.fromkeys(names))

    def add_catalogue(self, item: Item) -> None:
        """Add the models that are known of its vendor, where the file names none; at somebody else's address: none."""
        vendor = next((each for each in catalogue.SEEDED if each.kind == self.kind), None)
        if vendor is None or vendor_at(self.kind, self.url or None) is None:
            return
        self.add_models(vendor.models)
        item.lose("names no models, so those that are known here were entered", "look over available_models", "to do")


class DocumentDraft:
    """The document while a file is read."""

    def __init__(self) -> None:
        self._providers: dict[tuple[str, str, str], DraftProvider] = {}
        self._literals: dict[str, str] = {}
        self._named: set[str] = set()
        self.defaults: dict[str, Any] = {}
        self._features: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, tuple[str, Item]] = {}

    def key(self, item: Item | None, *, default: str = "", own_server: bool = False) -> KeyThere:
        """Return what *item* says of a key.

        Args:
            item: The entry of the file; None: there is none.
            default: The variable that the other product reads in that case; empty: none.
            own_server: Whether the address is somebody's own, which may ask for none.
        """
        if item is None or not isinstance(item.value, str) or not item.value.strip():
            if item is not None and not isinstance(item.value, str):
                item.lose("is no text, and so no key", _ENTER, "to do")
            self._named.add(default)
            return KeyThere(variable=default, item=item)
        text = item.value.strip()
        if name := reference(text):
            self._named.add(name)
            return KeyThere(variable=name, item=item)
        if has_reference(text):
            item.lose("is made of several parts, and a key is one variable here", _ENTER, "to do")
            return KeyThere(item=item)
        if own_server and api_keys.dummy(text):
            return NO_KEY._replace(item=item)
        if api_keys.placeholder(text) or MASKED.fullmatch(text):
            why = (
                "is no key, but what stands in place of one: each user types one there, or the file was never filled in"
            )
            item.lose(why, _ENTER, "to do")
            self._named.add(default)
            return KeyThere(variable=default, item=item)
        if len(self._literals) < 100:  # noqa: PLR2004 - of the 512 that redaction keeps, those of the store are left their place
            remember(text)
        return KeyThere(literal=Secret(text), item=item)

    def provider(
        self, item: Item, *, name: str, label: str, kind: str, url: str, key: KeyThere
    ) -> DraftProvider | None:
        """Return the provider of that kind, address and key, made where there is none yet; None: the address is none (a loss).

        Args:
            item: What the losses of it name.
            name: What it is called if nobody is yet.
            label: What people read.
            kind: One of :data:`~core.kinds.KINDS`.
            url: Its base URL; empty, or the vendor's own: the vendor's.
            key: What the file says of its key.
        """
        url = mended(kind, url)
        identity = (kind, url, key.identity)
        if (known := self._providers.get(identity)) is not None:
            return known
        made = DraftProvider(item, self._free(name), label[:100] or name, kind, url)
        if rule := _refused_address(made):
            item.lose(f"has no address that can be used here: {rule}", "add the provider on the Providers page")
            return None
        self._give_key(made, key)
        self._providers[identity] = made
        return made

    def header(self, provider: DraftProvider, item: Item, name: str) -> None:
        """Add a header to a provider's calls: plain, or by the variable that has it."""
        if rule := carried_values.refused_name(provider.kind, "header", name):
            item.lose(f"cannot be a header of a provider here: {rule}")
            return
        text = item.as_text()
        if not text:
            return
        known = {each.lower(): each for each in provider.headers}
        if variable := reference(text):
            self._named.add(variable)
            value: Any = {"env": variable}
        elif has_reference(text):
            item.lose("is filled in at each call, or made of several parts; a header here is one text, or one variable")
            return
        elif carried_values.warning(name, text) or carried_values.refused_value(text):
            value = {"env": self._suggest(text, f"{provider.name}_{name}")}
            item.lose("stands there in plain text and looks like a secret", f"put it into {value['env']}", "to do")
        else:
            value = text
        if name.lower() in known and provider.headers[known[name.lower()]] != value:
            item.lose("differs from that header of the same provider elsewhere in the file, and a provider has one")
            return
        provider.headers.setdefault(known.get(name.lower(), name), value)

    def hidden_header(self, provider: DraftProvider, item: Item, name: str) -> None:
        """Add a header whose value the file does not have: by a variable, which a person fills."""
        if rule := carried_values.refused_name(provider.kind, "header", name):
            item.lose(f"cannot be a header of a provider here: {rule}")
            return
        variable = self._suggest(f"{provider.name} {name}", f"{provider.name}_{name}")
        provider.headers.setdefault(name, {"env": variable})
        item.lose("is a header whose value is not in the file", f"put it into the variable {variable}", "to do")

    def forget(self, provider: DraftProvider) -> None:
        """Leave a provider out that has no models, and of which a loss has told: nobody needs its key."""
        if provider.key_item is not None:
            provider.item.book.drop(provider.key_item.path)
        self._providers = {identity: each for identity, each in self._providers.items() if each is not provider}

    def feature(self, item: Item, name: str, provider: DraftProvider) -> dict[str, Any] | None:
        """Return the settings of a feature at a provider, to be filled; None: the name can be no feature's (a loss)."""
        slug = slugged(name, "._", 100)
        if not slug:
            item.lose("is a name that no feature can have here")
            return None
        self._labels.setdefault(slug, (name[:100], item))
        settings: dict[str, Any] = self._features.setdefault(slug, {}).setdefault(provider.name, {})
        return settings

    def has_feature(self, name: str, provider: DraftProvider | None = None) -> bool:
        """Return whether there are settings of that feature, at that provider or at any."""
        found = self._features.get(slugged(name, "._", 100))
        return found is not None and (provider is None or provider.name in found)

    def row(self, name: str, provider: DraftProvider) -> dict[str, Any]:
        """Return the settings of that feature at that provider; empty where there are none."""
        found: dict[str, Any] = self._features.get(slugged(name, "._", 100), {}).get(provider.name, {})
        return found

    def alias(self, item: Item, name: str, of: str) -> bool:
        """Have a feature be what another one is; return whether there is such a one."""
        known, slug = self._features.get(slugged(of, "._", 100)), slugged(name, "._", 100)
        if known is None or not slug:
            return False
        self._labels.setdefault(slug, (name[:100], item))
        self._features[slug] = {provider: dict(settings) for provider, settings in known.items()}
        return True

    def providers(self) -> list[DraftProvider]:
        """Return all providers, in the order of the file."""
        return list(self._providers.values())

    def imported(self, top: Item) -> Imported:
        """Return the document, and all losses of the file of *top*."""
        providers = {each.name: entry for each in self._providers.values() if (entry := _entry(each))}
        features = {}
        for slug, rows in self._features.items():
            label, item = self._labels[slug]
            kept = {name: {"settings": row} for name, row in rows.items() if name in providers and row}
            if not kept:
                continue
            if not label.strip():
                label = slug
            try:
                validate(FeatureInput, {"name": slug, "display_name": label})
            except Invalid as error:
                item.lose(f"can be no feature here: {error}")
                continue
            features[slug] = {"display_name": label, "providers": kept}
        sections = {"defaults": self.defaults, "providers": providers, "features": features}
        return Imported({"version": 1, **{name: rows for name, rows in sections.items() if rows}}, top.book.all())

    def _give_key(self, provider: DraftProvider, key: KeyThere) -> None:
        provider.needs_key = key.needed or vendor_at(provider.kind, provider.url or None) is not None
        provider.key_item = key.item
        if key.literal is not None:
            provider.variable = self._suggest(key.literal.reveal(), f"{provider.name}_API_KEY")
            if key.item is not None:
                key.item.lose(
                    "is a key in plain text, which no document has",
                    f"put it into the variable {provider.variable} where the document is applied",
                    "to do",
                )
            return
        provider.variable = key.variable
        if provider.needs_key and not provider.variable:
            provider.is_active = False
            provider.item.lose("has no key in this file", f"{_ENTER}; it is inactive until then", "to do")

    def _suggest(self, literal: str, name: str) -> str:
        """Return the variable for a secret in plain text: the same secret has one, and no other secret or reference has it."""
        if literal not in self._literals:
            wanted = re.sub("[^A-Z0-9]+", "_", name.upper()).strip("_") or "API_KEY"
            wanted = f"K_{wanted}" if wanted[0].isdigit() else wanted
            taken = {*self._literals.values(), *self._named}
            numbered = (wanted if number == 1 else f"{wanted}_{number}" for number in range(1, len(taken) + 3))
            self._literals[literal] = next(each for each in numbered if each not in taken)
        return self._literals[literal]

    def _free(self, name: str) -> str:
        wanted = slugged(name, "_", 50) or "provider"
        taken = {each.name for each in self._providers.values()}
        numbered = (wanted if number == 1 else f"{wanted[:44]}-{number}" for number in range(1, len(taken) + 2))
        return next(each for each in numbered if each not in taken)


def _fields(provider: DraftProvider) -> dict[str, Any]:
    """Return a provider by the names of :class:`~core.store.schemas.ProviderInput`."""
    fields: dict[str, Any] = {
        "display_name": provider.label,
        "kind": provider.kind,
        "available_models": list(provider.models),
        "default_model": provider.default_model or next(iter(provider.models), None),
        "needs_key": provider.needs_key,
        "is_active": provider.is_active,
    }
    return fields | ({"api_base_url": provider.url} if provider.url else {})


def _refused_address(provider: DraftProvider) -> str:
    """Return the rule that a provider's address breaks; empty if none."""
    try:
        validate(
            ProviderInput, {**_fields(provider), "name": provider.name, "available_models": ["m"], "default_model": "m"}
        )
    except Invalid as error:
        return error.fields.get("api_base_url", "")
    return base_urls.look(provider.kind, provider.url).refused if provider.url else ""


def _entry(provider: DraftProvider) -> dict[str, Any] | None:
    """Return a provider as it stands in a document; None where our rules refuse it (a loss)."""
    fields = _fields(provider)
    if not provider.models:
        provider.item.lose(
            "names no models, and a provider has one at least", "add it on the Providers page, which looks models up"
        )
        return None
    try:
        validate(ProviderInput, {**fields, "name": provider.name})
    except Invalid as error:
        provider.item.lose(f"cannot be a provider here: {error}", "add it on the Providers page")
        return None
    entry = {name: value for name, value in fields.items() if value is not True and value is not None}
    if provider.needs_key and provider.variable:
        entry["api_key"] = {"env": provider.variable}
    for part in ("headers", "query", "settings"):
        if found := getattr(provider, part):
            entry[part] = found
    return entry
