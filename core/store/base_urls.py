"""The path of a base URL: what a vendor's SDK adds by itself is no part of it. One set of rules for every door."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from ..kinds import facts_of

_AZURE = re.compile(r".+\.(openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com)")


class Look(NamedTuple):
    """What is to be said of a base URL."""

    refused: str = ""
    """The rule it breaks."""
    correction: str = ""
    """Where it is refused: the base URL that was probably meant."""


def look(kind: str, url: str) -> Look:
    """Judge the path of *url*, a base URL of a provider of *kind* that is well-formed otherwise.

    A known end that the SDK adds (:attr:`~core.kinds.KindFacts.tails`) and doubled slashes are refused: every call would be
    answered with 404. Azure's address of one deployment has another protocol.
    """
    url = url.strip()
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if "/openai/deployments/" in f"/{path}" and _AZURE.fullmatch(host.lower()):
        meant = f"{scheme}://{host}/openai/v1/"
        return Look(f"is Azure's address of one deployment, which has a protocol of its own: write {meant}", meant)
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
        return Look()
    meant = f"{scheme}://{host}{clean}"
    return Look(f"{rule}: write {meant}", meant)


def without_query(url: str) -> str:
    """Return the way out for a base URL with a query, as Azure's ``?api-version=``; empty where none is known."""
    host = urlsplit(url).hostname or ""
    return f". {_WAY}" if _AZURE.fullmatch(host) or "api-version=" in url else ""


def hint(kind: str, url: str) -> str:
    """Return what *url* probably should be, where nothing is at it (404); empty if nothing is known."""
    found = look(kind, url)
    if found.correction:
        return found.correction
    versioned = re.search(r"/v\d|/openai(/|$)", url)
    return f"{url.rstrip('/')}/v1" if facts_of(kind).sdk == "openai" and not versioned else ""


_WAY = "Azure answers as OpenAI does below /openai/v1/, as https://NAME.openai.azure.com/openai/v1/"
