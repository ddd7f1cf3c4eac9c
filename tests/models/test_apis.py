"""An API is a kind of provider and the host that is really called."""

import pytest

from core.models.apis import APIS, api_of

CASES = [
    ("openai", None, "openai"),
    ("openai", "", "openai"),
    ("openai", "https://api.openai.com/v1", "openai"),
    ("openai", "https://eu.api.openai.com/v1", "openai"),
    ("openai", "https://gateway.example.com/v1", "openai"),
    ("openai", "https://API.X.AI./v1", "xai"),
    ("anthropic", None, "anthropic"),
    ("anthropic", "https://gateway.example.com", "anthropic"),
    ("google", None, "google"),
    ("google", "https://europe-west4-aiplatform.googleapis.com", "vertex"),
    ("google", "https://aiplatform.googleapis.com", "vertex"),
    ("azure_openai", "https://us.openai.azure.com", "azure"),
    ("azure_openai", None, "azure"),
    ("openai_compatible", "https://name.services.ai.azure.com/openai/v1", "azure"),
    ("openai_compatible", "https://bedrock-runtime.eu-central-1.amazonaws.com/openai/v1", "bedrock"),
    ("openai_compatible", "https://bedrock-mantle.us-east-1.api.aws/v1", "bedrock"),
    ("openai_compatible", "https://bedrock.example.com/v1", "compatible"),
    ("openai_compatible", "https://api.mistral.ai/v1", "mistral"),
    ("openai_compatible", "https://api.deepseek.com", "deepseek"),
    ("openai_compatible", "https://api.groq.com/openai/v1", "groq"),
    ("openai_compatible", "https://openrouter.ai/api/v1", "openrouter"),
    ("openai_compatible", "https://evilopenrouter.ai/api/v1", "compatible"),
    ("openai_compatible", "https://openrouter.ai.example.com/api/v1", "compatible"),
    ("openai_compatible", "http://localhost:11434/v1", "compatible"),
    ("openai_compatible", None, "compatible"),
    ("openai_compatible", "no URL", "compatible"),
    ("openai_compatible", "http://[", "compatible"),
    ("unheard-of", None, "compatible"),
    (None, None, "compatible"),
]


@pytest.mark.parametrize(("kind", "base_url", "api"), CASES)
def test_api_of(kind: str | None, base_url: str | None, api: str) -> None:
    assert api_of(kind, base_url) == api
    assert api in APIS
