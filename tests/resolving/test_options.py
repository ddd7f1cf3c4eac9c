"""What each kind's own SDK is given fits it as it is: what arrives, and how often, is what the settings say."""

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from core.kinds import KINDS, facts_of
from core.resolve import resolve
from core.resolving import options
from core.resolving.effective import EffectiveSettings
from core.testing import override
from tests.conftest import run_async
from tests.parameters import another, arrives
from tests.vendors import KEY, TEXT, Vendor

TALK: Any = [{"role": "user", "content": "Hello"}]
ENVIRONMENT = {
    "OPENAI_BASE_URL": "http://127.0.0.1:1",
    "OPENAI_API_KEY": "of-the-environment",
    "OPENAI_API_VERSION": "2023-05-15",
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:1",
    "AZURE_OPENAI_AD_TOKEN": "of-the-environment",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
    "ANTHROPIC_API_KEY": "of-the-environment",
    "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1",
    "GOOGLE_API_KEY": "of-the-environment",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_CLOUD_PROJECT": "of-the-environment",
}
"""What the SDKs would read, did the options not name it."""


def _openai(settings: EffectiveSettings) -> str:
    with getattr(openai, facts_of(settings.kind).client)(**settings.client_options()) as client:
        answer = client.chat.completions.create(messages=TALK, **settings.request_options())
        return str(answer.choices[0].message.content)


async def _openai_async(settings: EffectiveSettings) -> str:
    made = getattr(openai, f"Async{facts_of(settings.kind).client}")
    async with made(**settings.client_options()) as client:
        answer = await client.chat.completions.create(messages=TALK, **settings.request_options())
        return str(answer.choices[0].message.content)


def _anthropic(settings: EffectiveSettings) -> str:
    with anthropic.Anthropic(**settings.client_options()) as client:
        answer: Any = client.messages.create(messages=TALK, **settings.request_options())
        return str(answer.content[0].text)


async def _anthropic_async(settings: EffectiveSettings) -> str:
    async with anthropic.AsyncAnthropic(**settings.client_options()) as client:
        answer: Any = await client.messages.create(messages=TALK, **settings.request_options())
        return str(answer.content[0].text)


def _google(settings: EffectiveSettings) -> str:
    with genai.Client(**settings.client_options()) as client:
        return str(client.models.generate_content(contents="Hello", **settings.request_options()).text)


async def _google_async(settings: EffectiveSettings) -> str:
    async with genai.Client(**settings.client_options()).aio as client:
        return str((await client.models.generate_content(contents="Hello", **settings.request_options())).text)


CALLS: dict[str | None, tuple[Callable[[EffectiveSettings], str], Any]] = {
    "openai": (_openai, _openai_async),
    "anthropic": (_anthropic, _anthropic_async),
    "google.genai": (_google, _google_async),
}
each_sdk = pytest.mark.parametrize(
    ("kind", "is_async"), [(kind, is_async) for kind in KINDS for is_async in (False, True)]
)


def call(vendor: Vendor, kind: str, *, is_async: bool, **values: Any) -> str:
    """Call the model as docs/services.md shows it."""
    plain, asynchronous = CALLS[KINDS[kind].sdk]
    with override("acme", kind=kind, base_url=vendor.base_url(kind), model="m1", api_key=KEY, **values):
        settings = resolve("acme")
        return run_async(asynchronous(settings)) if is_async else plain(settings)


@each_sdk
def test_what_arrives(monkeypatch: pytest.MonkeyPatch, kind: str, is_async: bool) -> None:
    """The address, the key, the model and each parameter by the vendor's name, whatever the environment says."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    facts = KINDS[kind]
    values = {name: another(name) for name in facts.names}
    with Vendor() as vendor:
        assert call(vendor, kind, is_async=is_async, **values) == TEXT

    (asked,) = vendor.asked
    assert KEY in asked.headers.values() or f"Bearer {KEY}" in asked.headers.values()
    assert "of-the-environment" not in repr(asked)
    body = dict(asked.body["generationConfig"] if facts.sdk == "google.genai" else asked.body)
    for name in ("messages", "model", "stream"):
        body.pop(name, None)
    assert body == arrives(facts.names, values, of_google=facts.sdk == "google.genai")


@each_sdk
@pytest.mark.parametrize("retries", [0, 1])
def test_retries(kind: str, is_async: bool, retries: int) -> None:
    """A vendor that is out of order is asked as often as the settings say, and not once more."""
    with Vendor() as vendor:
        vendor.fail(*[503] * 6)
        with pytest.raises(Exception, match="own words"):
            call(vendor, kind, is_async=is_async, max_retries=retries)

    assert len(vendor.asked) == retries + 1


def test_a_kind_of_a_newer_version() -> None:
    """It gets what most SDKs take, under our names."""
    made = options.client_options("newest", api_key=KEY, base_url="https://h.example", timeout_ms=1500, max_retries=2)

    assert made == {"api_key": KEY, "base_url": "https://h.example", "timeout": 1.5, "max_retries": 2}
    assert options.request_options("newest", "m", {"max_tokens": 5}) == {"model": "m", "max_tokens": 5}
