"""The kinds of provider, one row each: everything that differs between vendors but for the calls. Data only.

What calls a kind is its adapter in :mod:`core.calling.adapters`; ``tests/test_kinds.py`` holds both together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from .parameters import SENDABLE

Kind = Literal["openai", "anthropic", "google", "openai_compatible", "azure_openai"]
Sdk = Literal["openai", "anthropic", "google.genai"]


class KeyFormat(NamedTuple):
    """What a kind's API keys look like. Vendors change it: reason for a warning, never for refusing a key."""

    prefixes: tuple[str, ...]
    """With what a key begins; empty: with anything."""
    min_length: int
    """Characters."""
    source: str


@dataclass(frozen=True, slots=True)
class KindFacts:
    """One kind of provider."""

    name: str
    label: str
    """What people read."""
    names: Mapping[str, str | None]
    """Each parameter that can be sent -> what the vendor's API calls it; None: the API has none such. ``a.b`` is the entry
    ``b`` of its object ``a``."""
    sdk: Sdk | None = None
    """The package by which it is called, and which the Python snippet imports."""
    client: str = "OpenAI"
    """The class of the SDK that takes :meth:`~core.resolving.effective.EffectiveSettings.client_options`."""
    extra: str = "ai"
    """The extra of the wheel that brings the SDK."""
    base_url: str | None = None
    """Where a provider without a base URL is reached: the SDK uses the same address. None: it needs one of its own."""
    tails: tuple[str, ...] = ()
    """Ends of a path that the SDK adds to the base URL by itself."""
    key_header: str = ""
    """The header that its SDK sends the API key in."""
    takes_query: bool = True
    """Whether its SDK has a place for query parameters of one's own."""
    self_hosted: bool = False
    """Whether its base URL may point to a private address: a model on one's own network."""
    stream_usage: bool = True
    """Whether a stream may ask for its tokens (OpenAI's ``stream_options``): False saves a request that is refused each time."""
    lists_models: bool = True
    """Whether an API key gets the list of what can be called."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Query parameters without which its API answers 404 -> what is sent where the provider says nothing else."""
    beside: frozenset[str] = frozenset()
    """Parameters that its API knows and its SDK has no argument for: they go in as ``extra_body``."""
    config: frozenset[str] = frozenset()
    """What its SDK takes as entries of ``config``, where it takes parameters so; all else goes into the body as it is."""
    required: frozenset[str] = frozenset()
    """Parameters without which its API answers 400."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Parameter -> smallest and largest value that its API takes, where that is less than ours."""
    key_format: KeyFormat | None = None
    """None: nothing is known, or any key will do."""
    key_variables: tuple[str, ...] = ()
    """Environment variables that hold a key of it in other programs; the first one that is set counts."""

    @property
    def never_accepted(self) -> frozenset[str]:
        """The parameters that its API does not know, whatever the model."""
        return frozenset(name for name, theirs in self.names.items() if theirs is None)


_OPENAI_TAILS: Final = ("/chat/completions", "/completions", "/responses", "/embeddings")

KINDS: Final[Mapping[str, KindFacts]] = {
    kind.name: kind
    for kind in (
        KindFacts(
            name="openai",
            label="OpenAI",
            # max_tokens is deprecated there, and refused by models that reason:
            # https://developers.openai.com/api/docs/api-reference/chat/create
            names={
                "temperature": "temperature",
                "max_tokens": "max_completion_tokens",
                "top_p": "top_p",
                "frequency_penalty": "frequency_penalty",
                "presence_penalty": "presence_penalty",
                "reasoning_effort": "reasoning_effort",
                "stop": "stop",
            },
            sdk="openai",
            extra="ai-openai",
            base_url="https://api.openai.com/v1",
            tails=_OPENAI_TAILS,
            key_header="Authorization",
            key_format=KeyFormat(
                prefixes=("sk-",),  # sk-proj- and sk-svcacct- among them
                min_length=40,  # the first ones had 51, later ones 150 and more
                source="https://github.com/reworkd/AgentGPT/pull/219; https://github.com/microsoft/autogen/pull/2426",
            ),
            key_variables=("OPENAI_API_KEY",),
        ),
        KindFacts(
            name="anthropic",
            label="Anthropic",
            # https://platform.claude.com/docs/en/api/messages: no penalties; temperature "ranges from 0.0 to 1.0";
            # https://platform.claude.com/docs/en/build-with-claude/effort: output_config.effort
            names={
                "temperature": "temperature",
                "max_tokens": "max_tokens",
                "top_p": "top_p",
                "frequency_penalty": None,
                "presence_penalty": None,
                "reasoning_effort": "output_config.effort",
                "stop": "stop_sequences",
            },
            sdk="anthropic",
            client="Anthropic",
            extra="ai-anthropic",
            base_url="https://api.anthropic.com",
            tails=("/v1/messages", "/v1/models", "/v1"),
            key_header="X-Api-Key",
            # https://platform.claude.com/docs/en/api/csharp/beta/messages/create ("required Long maxTokens"); litellm
            # 1.109.1, llms/anthropic/chat/transformation.py, fills it in
            required=frozenset({"max_tokens"}),
            beside=frozenset({"temperature", "top_p"}),  # gone from messages.create() with anthropic 2.12
            ranges={"temperature": (0.0, 1.0)},
            key_format=KeyFormat(
                prefixes=("sk-ant-",),
                min_length=90,  # usually 108
                source="https://gitlab.com/gitlab-org/security-products/analyzers/secrets/-/merge_requests/319 "
                "(Anthropic's own rule); https://github.com/santhsecurity/keyhog/pull/7",
            ),
            key_variables=("ANTHROPIC_API_KEY",),
        ),
        KindFacts(
            name="google",
            label="Google",
            # https://ai.google.dev/gemini-api/docs/thinking: thinkingLevel; https://ai.google.dev/api/generate-content
            names={
                "temperature": "temperature",
                "max_tokens": "max_output_tokens",
                "top_p": "top_p",
                "frequency_penalty": "frequency_penalty",
                "presence_penalty": "presence_penalty",
                "reasoning_effort": "thinking_config.thinking_level",
                "stop": "stop_sequences",
            },
            sdk="google.genai",
            client="Client",
            extra="ai-google",
            base_url="https://generativelanguage.googleapis.com",
            tails=("/v1beta/models", "/v1beta", "/v1alpha", "/v1"),
            key_header="x-goog-api-key",
            takes_query=False,
            # google-genai 3.4, types.GenerateContentConfig: an entry that it does not know is an error there
            config=frozenset(
                (  # noqa: SIM905 - forty lines otherwise
                    "should_return_http_response system_instruction temperature top_p top_k candidate_count "
                    "max_output_tokens stop_sequences response_logprobs logprobs presence_penalty frequency_penalty seed "
                    "response_mime_type response_schema response_json_schema routing_config model_selection_config "
                    "safety_settings tools tool_config labels cached_content response_modalities media_resolution "
                    "speech_config audio_timestamp automatic_function_calling thinking_config image_config "
                    "enable_enhanced_civic_answers model_armor_config service_tier audio_transcription_config "
                    "continuation_token automatic_continuation generation_output_config store"
                ).split()
            ),
            key_format=KeyFormat(
                prefixes=("AQ.", "AIza"),  # AI Studio has issued AQ. keys only since 2026; Google is ending AIza keys
                min_length=39,  # the length of AIza keys; AQ. keys are longer
                source="https://discuss.ai.google.dev/t/-/175711 (Google staff); "
                "https://github.com/gethouston/houston/pull/1333; litellm 1.109.1, litellm_core_utils/secret_redaction.py",
            ),
            key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"),  # in the order of Google's SDK
        ),
        KindFacts(
            name="openai_compatible",
            label="OpenAI-compatible",
            names={
                "temperature": "temperature",
                "max_tokens": "max_tokens",
                "top_p": "top_p",
                "frequency_penalty": "frequency_penalty",
                "presence_penalty": "presence_penalty",
                "reasoning_effort": "reasoning_effort",
                "stop": "stop",
            },
            sdk="openai",
            extra="ai-openai",
            tails=_OPENAI_TAILS,
            key_header="Authorization",
            self_hosted=True,
        ),
        KindFacts(
            name="azure_openai",
            label="Azure OpenAI deployments",
            # https://learn.microsoft.com/azure/ai-foundry/openai/reference: max_completion_tokens since 2024-09-01-preview;
            # models that reason refuse the old name there too
            names={
                "temperature": "temperature",
                "max_tokens": "max_completion_tokens",
                "top_p": "top_p",
                "frequency_penalty": "frequency_penalty",
                "presence_penalty": "presence_penalty",
                "reasoning_effort": "reasoning_effort",
                "stop": "stop",
            },
            sdk="openai",
            client="AzureOpenAI",
            extra="ai-openai",
            tails=("/openai",),
            key_header="api-key",
            lists_models=False,  # a key gets the models of the region; deployments are a matter of Azure's management API
            # the last one that is generally available: .../azure/ai-foundry/openai/api-version-lifecycle
            query={"api-version": "2024-10-21"},
            key_format=KeyFormat(
                prefixes=(),
                min_length=32,  # 32 hex digits; of newer resources 84 characters
                source="https://github.com/microsoft/security-utilities, GeneratedSecretPatterns: SEC101/200 and 190",
            ),
            key_variables=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        ),
    )
}


def facts_of(kind: str | None) -> KindFacts:
    """Return the row of *kind*; of one that a newer version has stored, what can be said of any kind."""
    known = KINDS.get(kind or "")
    return known or KindFacts(name=kind or "", label=kind or "", names={name: name for name in SENDABLE})


def base_url_of(kind: str, api_base_url: str | None) -> str | None:
    """Return the address that is really called: *api_base_url*, or the vendor's own when it is empty."""
    return api_base_url or facts_of(kind).base_url


def origin_of(kind: str, api_base_url: str | None) -> str:
    """Return scheme, host and port of the address that is really called; ``""`` if there is none, or it is not a URL."""
    url = base_url_of(kind, api_base_url)
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc or "\\" in url:  # as SQL may write it: another program may read another host there
            return ""
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
        return f"{parts.scheme}://{(parts.hostname or '').rstrip('.')}:{port}"
    except (ValueError, KeyError):
        return ""


def vendor_at(kind: str, api_base_url: str | None) -> KindFacts | None:
    """Return the kind whose vendor is at the address that is really called; None: it is somebody else's."""
    origin = origin_of(kind, api_base_url)
    return next((f for f in KINDS.values() if f.base_url and origin_of("", f.base_url) == origin), None)


def kind_for(name: str, api_base_url: str | None) -> str | None:
    """Return the kind of a provider that names none, by its base URL, else by its name; None: neither tells.

    A base URL that is no vendor's own is that of an OpenAI-compatible server.
    """
    if api_base_url:
        origin = origin_of("", api_base_url)
        own = (facts.name for facts in KINDS.values() if facts.base_url and origin_of("", facts.base_url) == origin)
        return next(own, "openai_compatible")
    return name if name in KINDS and KINDS[name].base_url else None
