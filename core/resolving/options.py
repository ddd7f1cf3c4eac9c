"""What a vendor's own SDK takes, by the kind's names: for its client, and for each request. Pure functions."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from ..kinds import facts_of
from .carried import Opened


def client_options(
    kind: str | None, *, api_key: str, base_url: str | None, timeout_ms: int, max_retries: int
) -> dict[str, Any]:
    """Return the arguments of the client of the kind's SDK (:attr:`~core.kinds.KindFacts.client`).

    The address is always named, so that no variable of the environment can send the key elsewhere.

    Args:
        kind: Of the provider.
        api_key: Opened.
        base_url: What is really called; None only for a kind that this version does not know.
        timeout_ms: Milliseconds for a request.
        max_retries: How often the SDK tries again.
    """
    facts = facts_of(kind)
    common = {"timeout": timeout_ms / 1000, "max_retries": max_retries}
    if facts.sdk == "google.genai":
        # attempts: "including the original request" (google-genai 3.4, types.HttpRetryOptions)
        http = {"base_url": base_url, "timeout": timeout_ms, "retry_options": {"attempts": max_retries + 1}}
        return {"api_key": api_key, "vertexai": False, "http_options": http}
    if facts.client == "AzureOpenAI":
        return {"api_key": api_key, "azure_endpoint": base_url, "api_version": facts.query["api-version"], **common}
    return {"api_key": api_key, "base_url": base_url, **common}


def add_carried(made: dict[str, Any], kind: str | None, carried: Opened) -> None:
    """Add headers and query parameters of the provider's own to what :func:`client_options` returned.

    Args:
        made: Is changed.
        kind: Of the provider.
        carried: Opened.
    """
    facts, query = facts_of(kind), dict(carried.query)
    if facts.sdk == "google.genai":
        if carried.headers:
            made["http_options"]["headers"] = dict(carried.headers)
        return
    if facts.client == "AzureOpenAI" and "api-version" in query:
        made["api_version"] = query.pop("api-version")
    if carried.headers:
        made["default_headers"] = dict(carried.headers)
    if query:
        made["default_query"] = query


def request_options(
    kind: str | None, model: str | None, sent: Mapping[str, Any], beside: Collection[str] = ()
) -> dict[str, Any]:
    """Return the arguments of a request besides what is asked: the model, and *sent* where the kind's SDK has a place for it.

    What the SDK's method has no argument for goes in as ``extra_body``; Google's takes all but the model as ``config``. Both
    are joined with what a program has there, which counts more.

    Args:
        kind: Of the provider.
        model: The model's name.
        sent: By the API's names, as :func:`core.resolving.decision.decide` returns it.
        beside: What of it the SDK may have no argument for, and takes as ``extra_body``: extra parameters, and what
            :func:`core.resolving.decision.called_otherwise` returns.
    """
    facts = facts_of(kind)
    if facts.sdk == "google.genai":
        others = {name: value for name, value in sent.items() if name != "config"}
        config, body = config_and_body({name: others[name] for name in beside if name in others}, facts.config)
        made = {**{n: v for n, v in others.items() if n not in beside}, **config, **sent.get("config", {})}
        if body:
            http = made.get("http_options", {})
            made["http_options"] = {**http, "extra_body": {**body, **http.get("extra_body", {})}}
        return {"model": model, "config": made}
    extra: dict[str, Any] = {}
    made = {"model": model}
    for name, value in sent.items():
        if name != "extra_body":
            (extra if name in beside or name in facts.beside else made)[name] = value
    extra |= sent.get("extra_body", {})
    return made | ({"extra_body": extra} if extra else {})


HELLO: Final = "Hello"
"""What is asked in a body that is shown."""


def body(kind: str | None, made: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the end of the address that a request goes to, and its JSON, as the SDK sends what :func:`request_options` made.

    The prompt is :data:`HELLO`; what the SDK adds on its own (``stream``) is not in it.
    """
    facts = facts_of(kind)
    if facts.sdk == "google.genai":
        config = {**made.get("config", {})}
        beside = config.pop("http_options", {}).get("extra_body", {})
        asked: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": HELLO}]}], "generationConfig": {}}
        for name, value in config.items():
            (asked if name in _AT_THE_ROOT else asked["generationConfig"])[_camel(name)] = _spelled(value)
        return f"/models/{made.get('model')}:generateContent", {**asked, **beside}
    asked = {"model": made.get("model"), "messages": [{"role": "user", "content": HELLO}]}
    sent = {**{name: value for name, value in made.items() if name != "extra_body"}, **made.get("extra_body", {})}
    return "/v1/messages" if facts.sdk == "anthropic" else "/chat/completions", asked | sent


_AT_THE_ROOT: Final = frozenset(
    {"system_instruction", "safety_settings", "tools", "tool_config", "labels", "cached_content", "service_tier"}
    | {"continuation_token", "store"}
)
"""Entries of Google's ``config`` that its SDK puts beside ``generationConfig`` (google-genai 3.4)."""


_LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh")
"""Those of google-genai 3.4, types.ThinkingLevel; another word goes as it is."""


def _spelled(value: Any) -> Any:
    """Return a value of Google's ``config`` as its SDK writes it: a level of thinking is one of its own."""
    if not isinstance(value, Mapping) or value.get("thinking_level") not in _LEVELS:
        return value
    return {**value, "thinking_level": value["thinking_level"].upper()}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return "".join([head, *map(str.title, tail)])


def config_and_body(sent: Mapping[str, Any], fields: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of *sent* has its place in Google's ``config``, by its *fields*, and what goes into the body as it is.

    An API's own spelling, ``topK``, is the field ``top_k``.
    """
    config: dict[str, Any] = {}
    body: dict[str, Any] = {}
    for name, value in sent.items():
        field = name if name in fields else re.sub(r"(?<=.)([A-Z])", r"_\1", name).lower()
        if field in fields:
            config[field] = value
        else:
            body[name] = value
    return config, body
