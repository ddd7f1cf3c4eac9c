"""What other products call the vendors, and what each is here. Data only.

The names are LiteLLM's prefixes (``litellm/litellm_core_utils/get_llm_provider_logic.py``, where the addresses and the
variables stand as well) and the ids of any-llm, which Otari uses (``mozilla-ai/any-llm``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...kinds import KINDS, Kind
from ...presets import PRESETS


@dataclass(frozen=True, slots=True)
class VendorThere:
    """One vendor, or one program that serves models."""

    name: str
    """What its provider is called here."""
    label: str
    kind: Kind = "openai_compatible"
    url: str = ""
    """Where it is reached when the file says nothing; empty: at the kind's own address, or nowhere."""
    variable: str = ""
    """Where the other product looks for the key when the file says nothing."""
    needs_key: bool = True


_OWN: Final = {
    "openai": VendorThere("openai", "OpenAI", "openai", variable="OPENAI_API_KEY"),
    "anthropic": VendorThere("anthropic", "Anthropic", "anthropic", variable="ANTHROPIC_API_KEY"),
    "google": VendorThere("google", "Google", "google", variable="GEMINI_API_KEY"),
    "azure": VendorThere("azure", "Azure OpenAI", "azure_openai", variable="AZURE_API_KEY"),
}
_COMPATIBLE: Final = {
    name: VendorThere(
        preset.name,
        preset.label,
        url=preset.address,
        variable=f"{preset.prefixes[0]}_API_KEY",
        needs_key=preset.needs_key,
    )
    for name, preset in PRESETS.items()
    if preset.prefixes
}
_MORE: Final = {
    vendor.name: vendor
    for vendor in (
        VendorThere("cerebras", "Cerebras", url="https://api.cerebras.ai/v1", variable="CEREBRAS_API_KEY"),
        VendorThere(
            "nvidia_nim", "NVIDIA NIM", url="https://integrate.api.nvidia.com/v1", variable="NVIDIA_NIM_API_KEY"
        ),
        VendorThere("sambanova", "SambaNova", url="https://api.sambanova.ai/v1", variable="SAMBANOVA_API_KEY"),
        VendorThere(
            "fireworks_ai", "Fireworks AI", url="https://api.fireworks.ai/inference/v1", variable="FIREWORKS_API_KEY"
        ),
        VendorThere("perplexity", "Perplexity", url="https://api.perplexity.ai", variable="PERPLEXITYAI_API_KEY"),
        VendorThere("github", "GitHub Models", url="https://models.inference.ai.azure.com", variable="GITHUB_API_KEY"),
        VendorThere("meta_llama", "Meta Llama", url="https://api.llama.com/compat/v1", variable="LLAMA_API_KEY"),
        VendorThere("codestral", "Codestral", url="https://codestral.mistral.ai/v1", variable="CODESTRAL_API_KEY"),
        VendorThere("friendliai", "FriendliAI", url="https://api.friendli.ai/serverless/v1", variable="FRIENDLI_TOKEN"),
        VendorThere("hosted_vllm", "vLLM", needs_key=False),
        VendorThere("llamafile", "llamafile", url="http://127.0.0.1:8080/v1", needs_key=False),
        VendorThere("litellm_proxy", "LiteLLM"),
        VendorThere("custom_openai", "OpenAI-compatible"),
    )
}
VENDORS: Final[Mapping[str, VendorThere]] = {
    **_MORE,
    **_COMPATIBLE,
    **_OWN,
    "gemini": _OWN["google"],
    "azureopenai": _OWN["azure"],
    "azure_openai": _OWN["azure"],
    "together_ai": _COMPATIBLE["together"],
    "ollama_chat": _COMPATIBLE["ollama"],
    "lm_studio": _COMPATIBLE["lmstudio"],
    "openai_like": _MORE["custom_openai"],
    "openai_compatible": _MORE["custom_openai"],
    "nvidia": _MORE["nvidia_nim"],
    "fireworks": _MORE["fireworks_ai"],
    "google_ai_studio": _OWN["google"],
    "google-ai-studio": _OWN["google"],
}
"""Name there -> what it is here."""
CLOUDS: Final[Mapping[str, str]] = {
    "vertex_ai": "Vertex AI, which signs in with a service account",
    "vertex_ai_beta": "Vertex AI, which signs in with a service account",
    "vertexai": "Vertex AI, which signs in with a service account",
    "vertexaianthropic": "Vertex AI, which signs in with a service account",
    "google-vertex-ai": "Vertex AI, which signs in with a service account",
    "bedrock": "Bedrock, whose requests are signed with AWS credentials",
    "bedrock_converse": "Bedrock, whose requests are signed with AWS credentials",
    "sagemaker": "SageMaker, whose requests are signed with AWS credentials",
    "sagemaker_chat": "SageMaker, whose requests are signed with AWS credentials",
    "text-completion-openai": "OpenAI's old completions, which no API here speaks",
}
"""Name there -> why there is no kind for it."""
_INSTEAD: Final[Mapping[str, str]] = {
    "bedrock": f"add a provider of the kind {KINDS['openai_compatible'].label} with a Bedrock API key: preset {PRESETS['bedrock'].label}",
    "vertexai": "use Google's own API with an API key (kind Google)",
}
NO_KIND: Final = (
    f"if it has an address that speaks OpenAI's protocol, add a provider of the kind {KINDS['openai_compatible'].label}"
)


def instead_of(name: str) -> str:
    """Return what to do where there is no kind for the vendor *name*."""
    plain = name.replace("-", "").replace("_", "")
    return next((way for part, way in _INSTEAD.items() if part in plain), NO_KIND)
