"""The path of a base URL: what a vendor's SDK adds by itself is no part of it. One set of rules for every door."""

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..kinds import facts_of
from ..presets import open_part

_AZURE = re.compile(r".+\.(openai\.azure\.(com|us|cn)|cognitiveservices\.azure\.(com|us|cn)|services\.ai\.azure\.com)")
_DEPLOYMENT = re.compile(r"(?P<before>.*?)/openai/deployments/(?P<name>[^/?#]+)[^?#]*", re.IGNORECASE)
"""The path of Azure's classic API, at Azure itself or behind a gateway."""


class UrlVerdict(NamedTuple):
    """What is to be said of a base URL."""

    refused: str = ""
    """The rule it breaks."""
    correction: str = ""
    """Where it is refused: the base URL that was probably meant."""


def look(kind: str, url: str) -> UrlVerdict:
    """Judge the path of *url*, a base URL of a provider of *kind* that is well-formed otherwise.

    A known end that the SDK adds (:attr:`~core.kinds.KindFacts.tails`) and doubled slashes are refused: every call would be
    answered with 404. Azure's address of one deployment is split: see :func:`deployment`.
    """
    url = url.strip()
    if part := open_part(url):
        return UrlVerdict(f"still has {part} in it: write your own in its place")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if found := deployment(kind, url):
        return found
    if kind == AZURE and is_v1(url):
        meant = f"{scheme}://{host}"
        return UrlVerdict(
            f"is Azure's v1 API, which needs no api-version: choose the kind {facts_of('openai_compatible').label} for it. "
            f"For classic deployments write {meant}",
            meant,
        )
    clean, rule = re.sub("/{2,}", "/", f"{slash}{path}"), ""
    if clean != f"{slash}{path}":
        rule = "has a doubled slash in its path"
    if (once := re.sub(r"(/v\d+)(?:\1)+(?=/|$)", r"\1", clean)) != clean:
        clean, rule = once, "has its version twice in its path"
    if facts_of(kind).sdk == "openai" and (listed := re.fullmatch(r"(.*/v\d+)/models/?", clean)):
        clean, rule = listed[1], "ends in /models, which is added when the list is asked for"
    tails = sorted(facts_of(kind).tails, key=len, reverse=True)
    while tail := next((tail for tail in tails if clean.rstrip("/").lower().endswith(tail)), ""):
        clean = clean.rstrip("/")[: -len(tail)]
        rule = f"ends in {tail}, which is added when a call is made"
    if not rule:
        return UrlVerdict()
    meant = f"{scheme}://{host}{clean}"
    return UrlVerdict(f"{rule}: write {meant}", meant)


AZURE: Final = "azure_openai"
"""The kind of classic deployments."""


def is_v1(url: str) -> bool:
    """Return whether *url* is that of Azure's v1 API, which speaks OpenAI's protocol."""
    return re.search(r"://[^/]+/(.*/)?openai/v1(/|$)", url) is not None


def deployment(kind: str, url: str) -> UrlVerdict | None:
    """Return how *url*, the full address of one of Azure's deployments, is to be typed; None for any other URL."""
    address, _, query = url.partition("?")
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    found = _DEPLOYMENT.fullmatch(re.sub("/{2,}", "/", f"{slash}{path}"))
    if found is None:
        return None
    endpoint, name = f"{scheme}://{host}{found['before']}", found["name"]
    endpoint = look(kind, endpoint).correction or endpoint
    version = re.search(r"(?:^|&)api-version=([0-9a-z.-]{1,40})", query)
    split = f"{endpoint} as the base URL and {name} among the models" + (
        f"; api-version={version[1]} is a query parameter of the provider" if version else ""
    )
    if kind == AZURE:
        return UrlVerdict(f"is the address of one deployment: write {split}", endpoint)
    label = facts_of(AZURE).label
    if not _AZURE.fullmatch(host.lower()):
        return UrlVerdict(f"is the address of one deployment: choose the kind {label}, and write {split}", endpoint)
    v1 = f"{endpoint}/openai/v1/"
    words = f"is Azure's address of one deployment: choose the kind {label}, and write {split}. Or, as this kind, write {v1}"
    return UrlVerdict(words, v1)


def deployment_name(url: str) -> str:
    """Return the name of the deployment whose full address *url* is; empty for any other URL."""
    found = _DEPLOYMENT.fullmatch(urlsplit(url).path)
    return found["name"] if found else ""


def without_query(url: str) -> str:
    """Return the way out for a base URL with a query, as Azure's ``?api-version=``; empty where none is known."""
    if found := deployment(AZURE, url):
        return f". It {found.refused} (kind {facts_of(AZURE).label})"
    host = urlsplit(url).hostname or ""
    return f". {_WAY}" if _AZURE.fullmatch(host) or "api-version=" in url else ""


def hint(kind: str, url: str) -> str:
    """Return what *url* probably should be, where nothing is at it (404); empty if nothing is known."""
    found = look(kind, url)
    if found.correction:
        return found.correction
    if kind == AZURE:
        return ""
    versioned = re.search(r"/v\d|/openai(/|$)", url)
    return f"{url.rstrip('/')}/v1" if facts_of(kind).sdk == "openai" and not versioned else ""


_WAY: Final = (
    "An api-version is a query parameter of the provider. Azure answers as OpenAI does below /openai/v1/, without one: "
    "https://NAME.openai.azure.com/openai/v1/"
)
