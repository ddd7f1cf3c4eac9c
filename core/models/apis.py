"""Which API a provider is called through: its kind, and the host of its base URL. Data and one pure function.

A model's limits, prices and retirement date differ between the hosts that serve it, and so do the parameters they take.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..kinds import base_url_of


class Api(NamedTuple):
    """One API: who answers there, and whose models it serves."""

    name: str
    label: str
    """What people read."""
    hosts: tuple[str, ...] = ()
    """Host names; one that begins with a dot stands for all below it."""
    vendor: bool = False
    """Whether it is a vendor's own: its rows in the catalogue are the models' rules everywhere."""


UNKNOWN: Final = "compatible"
"""The API of a host that nothing is known of."""

APIS: Final[Mapping[str, Api]] = {
    api.name: api
    for api in (
        Api("openai", "OpenAI", ("api.openai.com", ".api.openai.com"), vendor=True),
        Api("anthropic", "Anthropic", ("api.anthropic.com",), vendor=True),
        Api("google", "Google", ("generativelanguage.googleapis.com",), vendor=True),
        Api("xai", "xAI", ("api.x.ai", ".api.x.ai"), vendor=True),
        Api("mistral", "Mistral", ("api.mistral.ai", "codestral.mistral.ai"), vendor=True),
        Api("deepseek", "DeepSeek", ("api.deepseek.com",), vendor=True),
        Api("cohere", "Cohere", ("api.cohere.com", "api.cohere.ai"), vendor=True),
        Api("moonshot", "Moonshot AI", ("api.moonshot.ai", "api.moonshot.cn"), vendor=True),
        Api("groq", "Groq", ("api.groq.com",)),
        Api("openrouter", "OpenRouter", ("openrouter.ai",)),
        Api(
            "azure",
            "Azure OpenAI",
            (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com", ".openai.azure.us"),
        ),
        Api("bedrock", "Amazon Bedrock"),  # its hosts are named by region: below
        Api("vertex", "Vertex AI", ("aiplatform.googleapis.com",)),  # and by region
        Api(UNKNOWN, "OpenAI-compatible"),
    )
}

_OF_KIND: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google",
    "azure_openai": "azure",
}
"""What a kind is behind a host that tells nothing: a gateway, most often."""
_EXACT: Final = {host: api.name for api in APIS.values() for host in api.hosts if not host.startswith(".")}
_BELOW: Final = tuple((host, api.name) for api in APIS.values() for host in api.hosts if host.startswith("."))


@lru_cache(maxsize=1024)
def api_of(kind: str | None, base_url: str | None = None) -> str:
    """Return the name of the API that a provider of *kind* is called through: a key of :data:`APIS`.

    The host decides where it is known; else the kind does, as for a gateway in front of OpenAI. Never raises.
    """
    return _of_host(host_of(kind, base_url).partition(":")[0]) or _OF_KIND.get(kind or "", UNKNOWN)


@lru_cache(maxsize=1024)
def is_known_host(kind: str | None, base_url: str | None = None) -> bool:
    """Return whether a provider's host is one of its API's own, and no gateway: list prices hold there. Never raises."""
    return _of_host(host_of(kind, base_url).partition(":")[0]) is not None


@lru_cache(maxsize=1024)
def host_of(kind: str | None, base_url: str | None = None) -> str:
    """Return the host that a provider of *kind* calls, with its port where the URL names one; empty: none. Never raises."""
    try:
        parts = urlsplit(base_url_of(kind or "", base_url) or "")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:  # no URL; SQL may have written anything
        return ""
    return host if port is None else f"{host}:{port}"


def place_of(kind: str | None, base_url: str | None = None) -> str:
    """Return whose list of models a provider sees: its API's, or that of this host alone (``azure@name.openai.azure.com``)."""
    api, host = api_of(kind, base_url), host_of(kind, base_url)
    return api if host in _EXACT else f"{api}@{host}"


def _of_host(host: str) -> str | None:
    if host in _EXACT:
        return _EXACT[host]
    if host.startswith("bedrock") and host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
        return "bedrock"
    if host.endswith("-aiplatform.googleapis.com"):
        return "vertex"
    return next((name for end, name in _BELOW if host.endswith(end)), None)
