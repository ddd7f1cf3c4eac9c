"""API keys that stand in environment variables today: each goes with the address beside it, and to no other."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from sqlmodel import Session, select

from ..access.authority import require
from ..actors import Actor
from ..audit.record import ask_reason, tried
from ..errors import AlreadyExists, Invalid
from ..kinds import KINDS, KindFacts, base_url_of, facts_of, kind_for, origin_of
from ..models import catalogue
from ..presets import PRESETS
from ..store import api_keys, base_urls
from ..store.schemas import parse_models
from ..store.table import id_of
from ..store.tables import LlmProvider
from . import provider_keys, provider_secrets, providers
from .seed import Outcome, create_vendor, find

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


class _Address(NamedTuple):
    """Where the key of a vendor's variable is to be sent, as the variables beside it say."""

    variable: str
    url: str


def import_env(session: Session, actor: Actor, env: Mapping[str, str]) -> list[Outcome]:
    """Move API keys from *env* into the store, and activate their providers.

    A key with a base URL beside it (``OPENAI_BASE_URL``, ``OPENAI_API_BASE``, …) goes to a provider of that URL, which is
    made where the variables name a model too; never to the vendor's own. Placeholders, comments and references are no
    keys. Idempotent: a provider that has a key already is left alone. For a dry run, roll the transaction back.

    Returns:
        What became of each of :data:`KEY_VARIABLES`, and of each other variable whose name is that of an API key.

    Raises:
        Forbidden, Sealed: The latter if this process has no encryption key.
    """
    require(session, actor, "provider.create")
    ask_reason(session, actor, "provider.create")
    outcomes: list[Outcome] = []
    done: dict[str, str] = {}
    for variable, name in {**KEY_VARIABLES, **ALSO_KNOWN}.items():
        value = env.get(variable, "").strip()
        if not value:
            if variable in KEY_VARIABLES or variable in env:
                outcomes.append(Outcome("left alone", variable, "is not set"))
        elif name in done:
            outcomes.append(Outcome("left alone", variable, f"{done[name]} is used for provider {name}"))
        else:
            done[name] = variable
            outcomes.append(_vendors(session, actor, env, variable, name))
    named = {BEDROCK, *(variable for kind in KINDS.values() for variable in kind.key_variables)}
    others = sorted(
        name for name in env if (_KEY.fullmatch(name) or name in named) and name not in {*KEY_VARIABLES, *ALSO_KNOWN}
    )
    outcomes += [_other(session, actor, env, variable) for variable in others]
    keyless = (_keyless(session, actor, env, prefix) for prefix in KEYLESS)
    return outcomes + [outcome for outcome in keyless if outcome is not None]


def preview(session: Session, actor: Actor, env: Mapping[str, str]) -> list[Outcome]:
    """Return what :func:`import_env` would make of *env* now, and change nothing. Raises as it does."""
    attempt = session.begin_nested()
    try:
        with tried(session):
            return import_env(session, actor, env)
    finally:
        attempt.rollback()
        session.expire_all()


def _vendors(session: Session, actor: Actor, env: Mapping[str, str], variable: str, name: str) -> Outcome:
    """Import the key of a vendor of the catalogue."""
    vendor = next(each for each in catalogue.SEEDED if each.name == name)
    prefixes = {name.upper(), *(known.removesuffix("_API_KEY") for known, of in KEY_VARIABLES.items() if of == name)}
    if name == "google":
        prefixes |= {"GOOGLE_GEMINI", "GOOGLE_GENERATIVE_AI"}
    if env.get(f"{name.upper()}_API_TYPE", "").strip().lower().startswith("azure"):
        return _left(
            variable,
            f"{name.upper()}_API_TYPE says that it is Azure's key, not {vendor.display_name}'s. Name it AZURE_OPENAI_API_KEY, "
            f"with AZURE_OPENAI_ENDPOINT beside it, or add a provider of the kind {KINDS[base_urls.AZURE].label}",
        )
    found = _addresses(env, sorted(prefixes), origin_of(vendor.kind, None))
    if not found:
        return _import(session, actor, variable, env[variable], vendor)
    kind = _kind_at(KINDS[vendor.kind], found[0].url)
    models = list(vendor.models) if kind == vendor.kind else []
    return _elsewhere(session, actor, variable, env, kind=kind, addresses=found, prefixes=prefixes, models=models)


def _other(session: Session, actor: Actor, env: Mapping[str, str], variable: str) -> Outcome:
    """Tell what becomes of a key of no vendor of the catalogue; one of a kind, or for OpenAI's protocol, is imported."""
    if not env[variable].strip():
        return _left(variable, "is not set")
    if "_API_KEYS" in variable:
        return _left(variable, "is a list of keys, and a provider has one: add a provider for each")
    if variable == BEDROCK:
        return _bedrock(session, actor, variable, env)
    prefix = _prefix(variable)
    named = next((kind for kind in KINDS.values() if variable in kind.key_variables), None)
    if named is None and prefix not in ADDRESSES:
        return _left(variable, "is of no vendor that is known here")
    prefixes = {prefix, *(_prefix(known) for known in (named.key_variables if named else ()))}
    own = (named.base_url if named else ADDRESSES[prefix]) or ""
    found = _addresses(env, sorted(prefixes), origin_of("", own))
    if not found and own:
        found = [_Address("", own)]
    if not found:
        end = "ENDPOINT" if named and named.name == base_urls.AZURE else "BASE_URL"
        return _left(variable, f"{prefix}_{end}, which says where the key is sent, is not set beside it")
    kind = _kind_at(named, found[0].url)
    models, version = [], ""
    if kind == base_urls.AZURE:
        version = _azure_version(env, found[0].url)
        models = [env[one].strip() for each in sorted(prefixes) for one in _named(env, each, _DEPLOYMENTS)]
        models = models or [name for one in found if (name := base_urls.deployment_name(one.url))]
        found = [one._replace(url=base_urls.look(kind, one.url).correction or one.url.rstrip("/")) for one in found]
        if models:  # what is called a model there is what the deployment is of
            env = {name: value for name, value in env.items() if not name.endswith(_MODELS)}
    done = _elsewhere(session, actor, variable, env, kind=kind, addresses=found, prefixes=prefixes, models=models)
    if version and done.action == "created" and (made := _at(session, kind, found[0].url)) is not None:
        provider_secrets.set_value(session, actor, id_of(made), "query", "api-version", value=version, sealed=False)
        done = done._replace(why=f"{done.why}. Its query parameter api-version is {version}")
    return done


def _azure_version(env: Mapping[str, str], url: str) -> str:
    """Return the version of Azure's API that the variables or the address name; empty where none is, or it is none."""
    named = re.findall(r"[?&]api-version=([^&#]+)", url) + [env.get(name, "").strip() for name in _VERSIONS]
    return next((version for version in named if re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", version)), "")


def _bedrock(session: Session, actor: Actor, variable: str, env: Mapping[str, str]) -> Outcome:
    """Import a key of Amazon Bedrock, whose address has a region in it."""
    region = next((name for name in _REGIONS if re.fullmatch("[a-z0-9-]{4,30}", env.get(name, "").strip())), "")
    if not region:
        return _left(variable, f"{_REGIONS[0]}, which is a part of the address, is not set beside it")
    url = PRESETS["bedrock"].address.replace("REGION", env[region].strip())
    kind, prefixes = "openai_compatible", {"AWS_BEDROCK", "BEDROCK"}
    where = [_Address(region, url)]
    return _elsewhere(session, actor, variable, env, kind=kind, addresses=where, prefixes=prefixes, models=[])


def _keyless(session: Session, actor: Actor, env: Mapping[str, str], prefix: str) -> Outcome | None:
    """Make a provider of a server that needs no key, where its address and a model are named and no key; None: nothing is."""
    found = _addresses(env, [prefix], "")
    models = _named(env, prefix, _MODELS)
    if not found or not models or env.get(f"{prefix}_API_KEY", "").strip():
        return None
    return _elsewhere(
        session, actor, found[0].variable, env, kind="openai_compatible", addresses=found, prefixes={prefix}, models=[]
    )


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
    session: Session,
    actor: Actor,
    variable: str,
    env: Mapping[str, str],
    *,
    kind: str,
    addresses: list[_Address],
    prefixes: set[str],
    models: list[str],
) -> Outcome:
    """Import a key that belongs to an address of its own, into a provider of that address."""
    if len(addresses) > 1:
        names = " and ".join(one.variable for one in addresses)
        return _left(variable, f"{names} lead to different places: the key would be sent to one of them by chance")
    where, url = addresses[0]
    beside = f"belongs to the address in {where}" if where else f"has a provider of the kind {KINDS[kind].label}"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host:
        return _left(variable, f"{beside}, which is no URL: it is not sent to the vendor, and to nobody else")
    try:
        named = [
            model
            for prefix in sorted(prefixes)
            for one in _named(env, prefix, _MODELS)
            for model in parse_models(env[one])
        ]
    except Invalid as error:
        return _left(variable, str(error))
    models = list(dict.fromkeys(named)) or models
    name = re.sub("[^a-z0-9]+", "-", f"{kind}-{host}".lower() if kind != "openai_compatible" else host.lower())[:50]
    stored = _at(session, kind, url)
    if stored is None and not models:
        prefix = min(prefixes, key=len)
        return _left(
            variable,
            f"{beside}. No provider of the kind {KINDS[kind].label} has that base URL, and no model is named: set "
            f"{prefix}_MODEL beside it, or add the provider on the Providers page",
        )
    fields = {
        "name": name.strip("-"),
        "display_name": host[:100],
        "kind": kind,
        "api_base_url": None if url == KINDS[kind].base_url else url,
        "available_models": models,
        "default_model": models[0] if models else None,
        "is_active": False,
    }
    if variable == where:  # there is no key beside it
        return _without_key(session, actor, variable, stored=stored, fields=fields)
    return _into(session, actor, variable, env[variable], stored=stored, kind=kind, fields=fields)


def _without_key(
    session: Session, actor: Actor, variable: str, *, stored: LlmProvider | None, fields: Mapping[str, Any]
) -> Outcome:
    if stored is not None:
        return _left(variable, f"provider {stored.name} has this base URL already")
    try:
        with session.begin_nested():
            made = providers.create(session, actor, {**fields, "needs_key": False, "is_active": True})
    except (Invalid, AlreadyExists) as error:
        return _left(variable, str(error))
    return Outcome("created", variable, f"provider {made.name}, which needs no key, is active")


def _at(session: Session, kind: str, url: str) -> LlmProvider | None:
    query = select(LlmProvider).where(LlmProvider.kind == kind).order_by(LlmProvider.name)
    return next(
        (
            row
            for row in session.exec(query)
            if (base_url_of(kind, row.api_base_url) or "").rstrip("/") == url.rstrip("/")
        ),
        None,
    )


def _import(session: Session, actor: Actor, variable: str, api_key: str, vendor: catalogue.SeededProvider) -> Outcome:
    stored = find(session, vendor.name)
    own = origin_of(vendor.kind, None)
    if stored is not None and origin_of(stored.kind, stored.api_base_url) != own:
        return _left(
            variable,
            f"provider {vendor.name} has a base URL of another host, and no variable beside the key says that it belongs there",
        )
    return _into(session, actor, variable, api_key, stored=stored, kind=vendor.kind, fields=None)


def _into(
    session: Session,
    actor: Actor,
    variable: str,
    api_key: str,
    *,
    stored: LlmProvider | None,
    kind: str,
    fields: Mapping[str, Any] | None,
) -> Outcome:
    """Store the key in *stored*, or in a provider made of *fields*; without those of the catalogue's."""
    api_key = api_key.strip()
    if stored is not None and stored.api_key_encrypted:
        return _left(variable, f"provider {stored.name} {_has(session, stored, api_key)}")
    if api_keys.placeholder(api_key) and not (fields is not None and api_keys.dummy(api_key)):
        return _left(variable, "is a placeholder, and no key")
    action: Literal["created", "updated"] = "created" if stored is None else "updated"
    try:
        with session.begin_nested():  # a key that is refused leaves nothing behind
            if stored is None and fields is not None:
                stored = providers.create(session, actor, fields)
            elif stored is None:
                stored = create_vendor(session, actor, next(v for v in catalogue.SEEDED if v.kind == kind))
            providers.update(session, actor, id_of(stored), {"api_key": api_key, "is_active": True})
    except Invalid as error:
        return _left(variable, str(error))
    except AlreadyExists as error:
        return _left(variable, f"{error} Its base URL or its kind is another one")
    warning = provider_keys.validate_api_key_format(stored.kind, api_key, stored.api_base_url)
    where = f", which calls {urlsplit(stored.api_base_url).hostname}," if stored.api_base_url else ""
    why = f"provider {stored.name}{where} has its key now and is active" + (f". Note: {warning}" if warning else "")
    return Outcome(action, variable, why)


def _has(session: Session, stored: LlmProvider, api_key: str) -> str:
    state = provider_keys.key_state(stored)
    if state.state != "ok":
        return f"has a key that cannot be opened ({state.state}); replace it on the Providers page"
    same = providers.open_api_key(session, id_of(stored)) == api_key
    return "has this key already" if same else "has another key; replace it on the Providers page"


def _left(variable: str, why: str) -> Outcome:
    return Outcome("left alone", variable, why)
