"""API keys among environment variables: which each is, and the address that it belongs to. Reads, and stores nothing.

One reader for the import into the store (:mod:`~.env_import`) and the one into a document (:mod:`core.govern.importers.env`).
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ..errors import Invalid
from ..kinds import KINDS, KindFacts, facts_of, kind_for, origin_of
from ..models import catalogue
from ..presets import PRESETS
from ..store import base_urls
from ..store.schemas import parse_models

KEY_VARIABLES: Final = {
    variable: vendor.name for vendor in catalogue.SEEDED for variable in KINDS[vendor.kind].key_variables
}
"""Environment variable -> the provider of the catalogue whose key it holds. What becomes of each is always told."""
ALSO_KNOWN: Final = {"GOOGLE_GENERATIVE_AI_API_KEY": "google", "CLAUDE_API_KEY": "anthropic", "OPENAI_KEY": "openai"}
"""Names that other programs use (Vercel's AI SDK and others); told of where they are set."""
ADDRESSES: Final = {
    **{prefix: preset.address if preset.needs_key else "" for preset in PRESETS.values() for prefix in preset.prefixes},
    "LITELLM": "",
    "OPENAI_COMPATIBLE": "",
}
"""Beginning of a variable's name -> where that vendor speaks OpenAI's protocol; empty: wherever the variables say.

Of vendors that have no kind of their own: a variable of a kind (``key_variables``) goes to the kind's address.
"""
_VERSIONS: Final = ("AZURE_OPENAI_API_VERSION", "AZURE_API_VERSION", "OPENAI_API_VERSION")
BEDROCK: Final = PRESETS["bedrock"].variable
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_BEDROCK_REGION")
KEYLESS: Final = ("OLLAMA", "LMSTUDIO", "VLLM")
"""Those of them that mostly ask for no key: imported without one where address and model are named."""
_BASES: Final = ("BASE_URL", "API_BASE", "API_BASE_URL", "API_BASE_URLS", "API_URL", "API_HOST", "PROXY_URL", "REVERSE_PROXY", "ENDPOINT")  # fmt: skip
_MODELS: Final = ("MODEL", "MODELS", "MODEL_NAME", "DEFAULT_MODEL", "API_MODEL", "CHAT_MODEL", "MODEL_LIST")
_DEPLOYMENTS: Final = (
    "DEPLOYMENT",
    "DEPLOYMENT_NAME",
    "API_DEPLOYMENT_NAME",
    "CHAT_DEPLOYMENT_NAME",
    "CHAT_DEPLOYMENT",
)
"""Of Azure, where a deployment may have another name than its model."""
_KEY: Final = re.compile(r"[A-Z][A-Z0-9_]*_API_KEYS?(_[A-Z0-9_]+)?")


class Left(NamedTuple):
    """A variable of which no provider is made, and why."""

    variable: str
    why: str


class KeyFound(NamedTuple):
    """A variable that has a key (or of a server that needs none, an address), and the provider that it is of."""

    variable: str
    kind: str
    url: str
    """Where the key is sent; empty: to the vendor, whose provider of the catalogue it is."""
    fields: Mapping[str, Any]
    """The provider, as :class:`~core.store.schemas.ProviderInput` has it, inactive. Without models where none is named."""
    query: Mapping[str, str] = {}
    needs_key: bool = True
    nameless: str = ""
    """What is to be said where such a provider is needed and no model is named."""


class _Address(NamedTuple):
    """Where the key of a vendor's variable is to be sent, as the variables beside it say."""

    variable: str
    url: str


def read(env: Mapping[str, str]) -> list[KeyFound | Left]:
    """Return what each variable is: of :data:`KEY_VARIABLES` all, of others those whose name is that of an API key.

    A key with a base URL beside it (``OPENAI_BASE_URL``, ``OPENAI_API_BASE``, …) belongs to that URL, and to no vendor.
    """
    found: list[KeyFound | Left] = []
    done: dict[str, str] = {}
    for variable, name in {**KEY_VARIABLES, **ALSO_KNOWN}.items():
        value = env.get(variable, "").strip()
        if not value:
            if variable in KEY_VARIABLES or variable in env:
                found.append(Left(variable, "is not set"))
        elif name in done:
            found.append(Left(variable, f"{done[name]} is used for provider {name}"))
        else:
            done[name] = variable
            found.append(_vendors(env, variable, name))
    named = {BEDROCK, *(variable for kind in KINDS.values() for variable in kind.key_variables)}
    others = sorted(
        name for name in env if (_KEY.fullmatch(name) or name in named) and name not in {*KEY_VARIABLES, *ALSO_KNOWN}
    )
    found += [_other(env, variable) for variable in others]
    return found + [each for prefix in KEYLESS if (each := _keyless(env, prefix)) is not None]


def _vendors(env: Mapping[str, str], variable: str, name: str) -> KeyFound | Left:
    """Return the key of a vendor of the catalogue."""
    vendor = next(each for each in catalogue.SEEDED if each.name == name)
    prefixes = {name.upper(), *(known.removesuffix("_API_KEY") for known, of in KEY_VARIABLES.items() if of == name)}
    if name == "google":
        prefixes |= {"GOOGLE_GEMINI", "GOOGLE_GENERATIVE_AI"}
    if env.get(f"{name.upper()}_API_TYPE", "").strip().lower().startswith("azure"):
        return Left(
            variable,
            f"{name.upper()}_API_TYPE says that it is Azure's key, not {vendor.display_name}'s. Name it AZURE_OPENAI_API_KEY, "
            f"with AZURE_OPENAI_ENDPOINT beside it, or add a provider of the kind {KINDS[base_urls.AZURE].label}",
        )
    found = _addresses(env, sorted(prefixes), origin_of(vendor.kind, None))
    if not found:
        return KeyFound(variable, vendor.kind, "", vendor.fields())
    kind = _kind_at(KINDS[vendor.kind], found[0].url)
    models = list(vendor.models) if kind == vendor.kind else []
    return _elsewhere(variable, env, kind=kind, addresses=found, prefixes=prefixes, models=models)


def _other(env: Mapping[str, str], variable: str) -> KeyFound | Left:
    """Return a key of no vendor of the catalogue; one of a kind, or for OpenAI's protocol, can be imported."""
    if not env[variable].strip():
        return Left(variable, "is not set")
    if "_API_KEYS" in variable:
        return Left(variable, "is a list of keys, and a provider has one: add a provider for each")
    if variable == BEDROCK:
        return _bedrock(env, variable)
    prefix = _prefix(variable)
    named = next((kind for kind in KINDS.values() if variable in kind.key_variables), None)
    if named is None and prefix not in ADDRESSES:
        return Left(variable, "is of no vendor that is known here")
    prefixes = {prefix, *(_prefix(known) for known in (named.key_variables if named else ()))}
    own = (named.base_url if named else ADDRESSES[prefix]) or ""
    found = _addresses(env, sorted(prefixes), origin_of("", own))
    if not found and own:
        found = [_Address("", own)]
    if not found:
        end = "ENDPOINT" if named and named.name == base_urls.AZURE else "BASE_URL"
        return Left(variable, f"{prefix}_{end}, which says where the key is sent, is not set beside it")
    kind = _kind_at(named, found[0].url)
    models, query = [], {}
    if kind == base_urls.AZURE:
        if version := _azure_version(env, found[0].url):
            query = {"api-version": version}
        models = [env[one].strip() for each in sorted(prefixes) for one in _named(env, each, _DEPLOYMENTS)]
        models = models or [name for one in found if (name := base_urls.deployment_name(one.url))]
        found = [one._replace(url=base_urls.look(kind, one.url).correction or one.url.rstrip("/")) for one in found]
        if models:  # what is called a model there is what the deployment is of
            env = {name: value for name, value in env.items() if not name.endswith(_MODELS)}
    done = _elsewhere(variable, env, kind=kind, addresses=found, prefixes=prefixes, models=models)
    return done._replace(query=query) if isinstance(done, KeyFound) else done


def _azure_version(env: Mapping[str, str], url: str) -> str:
    """Return the version of Azure's API that the variables or the address name; empty where none is, or it is none."""
    named = re.findall(r"[?&]api-version=([^&#]+)", url) + [env.get(name, "").strip() for name in _VERSIONS]
    return next((version for version in named if re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", version)), "")


def _bedrock(env: Mapping[str, str], variable: str) -> KeyFound | Left:
    """Return a key of Amazon Bedrock, whose address has a region in it."""
    region = next((name for name in _REGIONS if re.fullmatch("[a-z0-9-]{4,30}", env.get(name, "").strip())), "")
    if not region:
        return Left(variable, f"{_REGIONS[0]}, which is a part of the address, is not set beside it")
    url = PRESETS["bedrock"].address.replace("REGION", env[region].strip())
    kind, prefixes = "openai_compatible", {"AWS_BEDROCK", "BEDROCK"}
    return _elsewhere(variable, env, kind=kind, addresses=[_Address(region, url)], prefixes=prefixes, models=[])


def _keyless(env: Mapping[str, str], prefix: str) -> KeyFound | Left | None:
    """Return a server that needs no key, where its address and a model are named and no key; None: there is none."""
    found = _addresses(env, [prefix], "")
    models = _named(env, prefix, _MODELS)
    if not found or not models or env.get(f"{prefix}_API_KEY", "").strip():
        return None
    where = found[0].variable
    return _elsewhere(where, env, kind="openai_compatible", addresses=found, prefixes={prefix}, models=[])


def _prefix(variable: str) -> str:
    return re.split("_API_KEY|_KEY$|_TOKEN$", variable)[0]


def _kind_at(named: KindFacts | None, url: str) -> str:
    """Return the kind of a provider at *url* whose key stands in a variable of the kind *named*.

    A protocol of its own is spoken at a gateway as well. OpenAI's is spoken by many: the kind is that whose address it is,
    unless this one has its own protocol there beside OpenAI's, as Google has.
    """
    if named and named.name == base_urls.AZURE and base_urls.is_v1(url):
        return "openai_compatible"
    if named and (named.sdk != "openai" or named.name == base_urls.AZURE):
        return named.name
    there = facts_of(kind_for("", url))
    return there.name if there.sdk == "openai" else "openai_compatible"


def _addresses(env: Mapping[str, str], prefixes: list[str], own: str) -> list[_Address]:
    """Return the base URLs that stand beside the key and lead elsewhere than to *own*, the vendor's origin."""
    found = [_Address(name, env[name].strip()) for prefix in prefixes for name in _named(env, prefix, _BASES)]
    elsewhere = [one for one in found if not own or origin_of("openai_compatible", one.url) != own]
    return list({one.url: one for one in elsewhere}.values())


def _named(env: Mapping[str, str], prefix: str, ends: tuple[str, ...]) -> list[str]:
    names = [f"{prefix}_{end}" for end in ends]
    return [name for name in names if (value := env.get(name, "").strip()) and not value.startswith("#")]


def _elsewhere(
    variable: str,
    env: Mapping[str, str],
    *,
    kind: str,
    addresses: list[_Address],
    prefixes: set[str],
    models: list[str],
) -> KeyFound | Left:
    """Return a key that belongs to an address of its own."""
    if len(addresses) > 1:
        names = " and ".join(one.variable for one in addresses)
        return Left(variable, f"{names} lead to different places: the key would be sent to one of them by chance")
    where, url = addresses[0]
    beside = f"belongs to the address in {where}" if where else f"has a provider of the kind {KINDS[kind].label}"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host:
        return Left(variable, f"{beside}, which is no URL: it is not sent to the vendor, and to nobody else")
    try:
        named = [
            model
            for prefix in sorted(prefixes)
            for one in _named(env, prefix, _MODELS)
            for model in parse_models(env[one])
        ]
    except Invalid as error:
        return Left(variable, str(error))
    models = list(dict.fromkeys(named)) or models
    name = re.sub("[^a-z0-9]+", "-", f"{kind}-{host}".lower() if kind != "openai_compatible" else host.lower())[:50]
    prefix = min(prefixes, key=len)
    return KeyFound(
        variable,
        kind,
        url,
        {
            "name": name.strip("-"),
            "display_name": host[:100],
            "kind": kind,
            "api_base_url": None if url == KINDS[kind].base_url else url,
            "available_models": models,
            "default_model": models[0] if models else None,
            "is_active": False,
        },
        needs_key=variable != where,  # else there is no key beside it
        nameless=f"{beside}. No provider of the kind {KINDS[kind].label} has that base URL, and no model is named: set "
        f"{prefix}_MODEL beside it, or add the provider on the Providers page",
    )
