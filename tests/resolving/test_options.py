"""What each kind's own SDK is given fits it as it is: what arrives, and how often, is what the settings say."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from core.kinds import KINDS, facts_of
from core.models import overlay
from core.models.knowledge import Knowledge
from core.resolve import resolve
from core.resolving import options
from core.resolving.carried import Opened
from core.resolving.effective import EffectiveSettings
from core.resolving.merge import build
from core.testing import override
from tests.conftest import run_async
from tests.parameters import another, arrives
from tests.resolving.facts import CANARY, own_layer, provider
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


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """No database is needed here: replaces the fixture of that name for this module."""
    return


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


SAID: dict[str, Any] = {
    "temperature": {"rename": "heat"},
    "reasoning_effort": {"rename": "reasoning.effort"},
    "max_tokens": {"rename": "maxOutputTokens"},
    "top_p": {"ok": True},
    "frequency_penalty": {"ok": True},
}
"""What somebody here says of a model: names that no SDK has, one that Google's has, and what Anthropic's API has none of."""


@each_sdk
def test_a_name_that_somebody_here_gives_arrives(kind: str, is_async: bool) -> None:
    """The SDK has no argument for it: it goes past the SDK, also with what a program adds, and is shown so."""
    values = {"temperature": 0.25, "reasoning_effort": "low", "max_tokens": 11, "frequency_penalty": 0.5}
    named = {name: said for name, said in SAID.items() if name not in KINDS[kind].required}  # its SDK insists on those
    row = {"id": 1, "api": None, "pattern": "m1", "origin": "operator", "as_of": "2026-11-26", "facts": named}
    knowledge = Knowledge(overlay.read([row]))
    plain, asynchronous = CALLS[KINDS[kind].sdk]
    with Vendor(keys=(CANARY,)) as vendor:
        facts = provider(kind=kind, base_url=vendor.base_url(kind))
        settings = build(facts, [own_layer(**values)], knowledge=knowledge)
        assert settings.status == "ok"
        run_async(asynchronous(settings)) if is_async else plain(settings)
        more = settings.request_options(temperature=0.75)

    body = vendor.asked[-1].body
    place = body["generationConfig"] if kind == "google" else body
    assert (body["heat"], body["reasoning"]) == (0.25, {"effort": "low"})
    assert place["maxOutputTokens" if "max_tokens" in named else "max_tokens"] == 11
    assert place["frequencyPenalty" if kind == "google" else "frequency_penalty"] == 0.5
    assert "temperature" not in {**body, **place}
    beside = more["config"]["http_options"]["extra_body"] if kind == "google" else more["extra_body"]
    assert beside["heat"] == 0.75


EXTRA: dict[str, Any] = {
    "seed": 7,
    "odd_one": {"a": [1]},
    "service_tier": "flex",
    "topK": 3,
    "tools": [{"googleSearch": {}}],
}
"""Of each kind of place that an SDK has: an argument, none, one beside Google's parameters, in the API's spelling."""


@pytest.mark.parametrize("effort", ["low", "none", None])
@pytest.mark.parametrize("kind", KINDS)
def test_the_body_that_is_shown_is_the_one_that_is_sent(kind: str, effort: str | None) -> None:
    """Where it goes to and its JSON, to the letter, but for what the SDK adds on its own."""
    values = {name: another(name) for name in KINDS[kind].names} | {"reasoning_effort": effort}
    with Vendor() as vendor:
        call(vendor, kind, is_async=False, extra_parameters=EXTRA, **values)
        with override("acme", kind=kind, model="m1", extra_parameters=EXTRA, **values) as settings:
            where, shown = options.body(kind, settings.request_options())

    (asked,) = vendor.asked
    assert where in asked.path
    assert shown == asked.body


@pytest.mark.parametrize("version", [{}, {"api-version": "2030-01-01"}])
@pytest.mark.parametrize("query", [{}, {"v": "2"}])
@pytest.mark.parametrize("headers", [{}, {"X-Team": "blue"}])
@pytest.mark.parametrize("kind", [*KINDS, "newest"])
def test_what_is_carried_stands_where_the_sdk_takes_it(
    kind: str, headers: dict[str, str], query: dict[str, str], version: dict[str, str]
) -> None:
    """What there is none of is not named; Azure's version takes the place of ours, and is no query parameter any more."""
    made = options.client_options(kind, api_key=KEY, base_url="https://h.example", timeout_ms=1500, max_retries=2)
    expected = deepcopy(made)
    options.add_carried(made, kind, Opened(tuple(headers.items()), tuple({**query, **version}.items())))

    if kind == "google":  # its SDK has no place for a query
        expected["http_options"] |= {"headers": headers} if headers else {}
    else:
        if kind == "azure_openai":
            expected["api_version"] = version.get("api-version", expected["api_version"])
        others = query if kind == "azure_openai" else {**query, **version}
        expected |= {"default_headers": headers} if headers else {}
        expected |= {"default_query": others} if others else {}
    assert made == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_program_has_past_the_sdk_counts_more(kind: str) -> None:
    """It is joined with what stands in a settings row, and is not changed."""
    own: dict[str, Any] = {"extra_body": {"odd": 2, "temperature": 0.25}}
    if kind == "google":
        own = {"config": {"http_options": {"timeout": 5, "extra_body": {"odd": 2}}, "temperature": 0.25}}
    before = deepcopy(own)
    stored = {"odd": 1, "other": 1, "temperature": 0.75}
    with override("acme", kind=kind, base_url="https://h.example", extra_parameters=stored) as settings:
        made = settings.request_options(**own)

    if kind == "google":
        assert made["config"]["http_options"] == {"timeout": 5, "extra_body": {"odd": 2, "other": 1}}
        assert made["config"]["temperature"] == 0.25
    else:
        assert {n: made["extra_body"][n] for n in stored} == {"odd": 2, "other": 1, "temperature": 0.25}
    assert own == before


def test_a_kind_of_a_newer_version() -> None:
    """It gets what most SDKs take, under our names."""
    made = options.client_options("newest", api_key=KEY, base_url="https://h.example", timeout_ms=1500, max_retries=2)

    assert made == {"api_key": KEY, "base_url": "https://h.example", "timeout": 1.5, "max_retries": 2}
    assert options.request_options("newest", "m", {"max_tokens": 5}) == {"model": "m", "max_tokens": 5}
