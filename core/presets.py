"""Vendors that speak OpenAI's protocol, one row each: what fills the form of a new provider. Data only.

Nothing of a row is stored: a provider keeps the address that it was made with, and what is known of a vendor's keys goes by
the host of that address. Where a row changes, stored providers do not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from .kinds import KeyFormat, Kind

_TRUFFLEHOG: Final = "https://github.com/trufflesecurity/trufflehog, pkg/detectors"


@dataclass(frozen=True, slots=True)
class Preset:
    """What one vendor, or one program that serves models, needs."""

    name: str
    label: str
    """What people read."""
    address: str
    """The base URL; a part in capitals is for the admin to fill in."""
    source: str
    """Where the address is documented."""
    note: str = ""
    """One sentence for the form."""
    needs_key: bool = True
    kind: Kind = "openai_compatible"
    key_format: KeyFormat | None = None
    prefixes: tuple[str, ...] = ()
    """With what the names of its environment variables begin in other programs, as ``MISTRAL`` of ``MISTRAL_API_KEY``."""
    variable: str = ""
    """A variable with its key whose name has another form."""

    @property
    def open_parts(self) -> tuple[str, ...]:
        """What of the address is to be filled in."""
        return tuple(re.findall(r"\b[A-Z]{4,}\b", self.address))

    def fits(self, host: str) -> bool:
        """Return whether *host* is of this vendor; one's own machine is nobody's."""
        return self.needs_key and _hosts(self).fullmatch(host) is not None


PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset
    for preset in (
        Preset(
            "openrouter",
            "OpenRouter",
            "https://openrouter.ai/api/v1",
            "https://openrouter.ai/docs/quickstart",
            "Models are called VENDOR/MODEL.",
            key_format=KeyFormat(("sk-or-",), 40, f"{_TRUFFLEHOG}/openrouter (sk-or-v1- and 64 hex digits)"),
            prefixes=("OPENROUTER",),
        ),
        Preset(
            "mistral",
            "Mistral",
            "https://api.mistral.ai/v1",
            "https://docs.mistral.ai/api",
            key_format=KeyFormat((), 32, "https://github.com/mongodb/kingfisher, rules/mistral.yml"),
            prefixes=("MISTRAL",),
        ),
        Preset(
            "xai",
            "xAI",
            "https://api.x.ai/v1",
            "https://docs.x.ai/docs/api-reference",
            "Models that reason refuse penalties and stop.",
            key_format=KeyFormat(("xai-",), 60, f"{_TRUFFLEHOG}/xai (84 characters)"),
            prefixes=("XAI",),
        ),
        Preset(
            "deepseek",
            "DeepSeek",
            "https://api.deepseek.com/v1",
            "https://api-docs.deepseek.com",
            "Models that reason ignore temperature, top_p and the penalties.",
            key_format=KeyFormat(("sk-",), 32, f"{_TRUFFLEHOG}/deepseek (35 characters)"),
            prefixes=("DEEPSEEK",),
        ),
        Preset(
            "groq",
            "Groq",
            "https://api.groq.com/openai/v1",
            "https://console.groq.com/docs/openai",
            key_format=KeyFormat(("gsk_",), 50, f"{_TRUFFLEHOG}/groq (56 characters)"),
            prefixes=("GROQ",),
        ),
        Preset(
            "together",
            "Together AI",
            "https://api.together.xyz/v1",
            "https://docs.together.ai/docs/openai-api-compatibility",
            prefixes=("TOGETHER",),
        ),
        Preset(
            "bedrock",
            "Amazon Bedrock (API key)",
            "https://bedrock-runtime.REGION.amazonaws.com/openai/v1",
            "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html",
            "Write the region in place of REGION. With a Bedrock API key; requests signed by AWS credentials are not supported.",
            key_format=KeyFormat(
                ("ABSK", "bedrock-api-key-"), 100, "https://github.com/awslabs/git-secrets/pull/264 (AWS's own rule)"
            ),
            variable="AWS_BEARER_TOKEN_BEDROCK",
        ),
        Preset(
            "azure_v1",
            "Azure OpenAI (v1)",
            "https://NAME.openai.azure.com/openai/v1/",
            "https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
            "Write the resource's name in place of NAME. A model is a deployment's name; no api-version is needed.",
            key_format=KeyFormat(
                (), 32, "https://github.com/microsoft/security-utilities, GeneratedSecretPatterns: SEC101/200 and 190"
            ),
        ),
        Preset(
            "ollama",
            "Ollama",
            "http://localhost:11434/v1",
            "https://docs.ollama.com/api/openai-compatibility",
            "On this machine, without a key.",
            needs_key=False,
            prefixes=("OLLAMA",),
        ),
        Preset(
            "lmstudio",
            "LM Studio",
            "http://localhost:1234/v1",
            "https://lmstudio.ai/docs/developer/openai-compat",
            "On this machine, without a key.",
            needs_key=False,
            prefixes=("LMSTUDIO",),
        ),
        Preset(
            "vllm",
            "vLLM",
            "http://localhost:8000/v1",
            "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
            "On this machine; a key is needed only where it was started with --api-key.",
            needs_key=False,
            prefixes=("VLLM",),
        ),
    )
}


def preset_at(base_url: str | None) -> Preset | None:
    """Return the vendor at *base_url*; None for an address that is nobody's here, or no URL."""
    try:
        host = (urlsplit(base_url or "").hostname or "").rstrip(".")
    except ValueError:
        return None
    return next((preset for preset in PRESETS.values() if preset.fits(host)), None)


def open_part(base_url: str) -> str:
    """Return what of a preset's address was not filled in, as ``REGION``; empty if nothing is left open."""
    for preset in PRESETS.values():
        for part in preset.open_parts:
            before, _, after = (urlsplit(preset.address).netloc).partition(part)
            if f"{before}{part}{after}" in base_url:
                return part
    return ""


def _hosts(preset: Preset) -> re.Pattern[str]:
    host = re.escape(urlsplit(preset.address).netloc)
    return re.compile(re.sub(r"[A-Z]{4,}", "[a-z0-9-]+", host))
