"""With nothing but the built-in defaults nothing is sent that the vendor is known to refuse: by reports of its 400s."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pytest

from core.models.adapt import adapt
from core.parameters import PARAMETERS, SENDABLE

DEFAULTS = {name: PARAMETERS[name].default for name in SENDABLE if PARAMETERS[name].default is not None}
Body = Mapping[str, Any]


class Refusal(NamedTuple):
    """What a vendor answers 400 to."""

    api: str
    models: tuple[str, ...]
    url: str
    """Where somebody met it, or the vendor says so."""
    refuses: Callable[[Body], bool]


def _has(*names: str) -> Callable[[Body], bool]:
    return lambda body: bool(set(names) & set(body))


def _but(name: str, value: float) -> Callable[[Body], bool]:
    return lambda body: body.get(name, value) != value


REFUSALS: Final = (
    Refusal(
        "openai",
        ("o1", "o3", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano"),
        "https://github.com/cline/cline/issues/341",
        _but("temperature", 1),
    ),
    Refusal(
        "openai",
        ("gpt-5.5", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-6-luna", "gpt-6-astra", "gpt-6.1-terra", "gpt-6.1-sol"),
        "https://developers.openai.com/api/docs/guides/latest-model",
        _has("temperature", "top_p"),
    ),
    Refusal(
        "openai",
        ("o3", "o4-mini", "gpt-5", "gpt-5.1", "gpt-5.2", "gpt-5.4", "gpt-5.4-mini", "gpt-5.5", "gpt-6.1-terra"),
        "https://github.com/vercel/ai/blob/main/packages/openai/src/chat/openai-chat-language-model.ts",
        _has("presence_penalty", "frequency_penalty", "max_tokens"),
    ),
    Refusal(
        "openai",
        ("gpt-4o-search-preview", "gpt-4o-mini-search-preview"),
        "https://github.com/vercel/ai/pull/5647",
        _has("temperature", "top_p", "presence_penalty", "frequency_penalty"),
    ),
    Refusal(
        "azure",
        ("o3", "gpt-5", "gpt-5-mini", "gpt-5.5"),
        "https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reasoning",
        _has("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens"),
    ),
    Refusal(
        "anthropic",
        (
            "claude-opus-4-1",
            "claude-sonnet-4-5",
            "claude-sonnet-4-5-20250929",
            "claude-haiku-4-5",
            "claude-opus-4-5",
            "claude-opus-4-6",
            "claude-sonnet-4-6",
        ),
        "https://github.com/Vali-98/ChatterUI/issues/564",
        lambda body: {"temperature", "top_p"} <= set(body),
    ),
    Refusal(
        "anthropic",
        (
            "claude-opus-4-7",
            "claude-opus-4-8",
            "claude-sonnet-5",
            "claude-opus-5",
            "claude-sonnet-5-5",
            "claude-fable-5-1",
        ),
        "https://github.com/Comfy-Org/ComfyUI/issues/13923",
        _has("temperature", "top_p"),
    ),
    Refusal(
        "anthropic",
        ("claude-sonnet-4-5", "claude-opus-5-5", "claude-unheard-of"),
        "https://platform.claude.com/docs/en/api/php/beta/messages/create.md",
        lambda body: "max_tokens" not in body or bool({"presence_penalty", "frequency_penalty"} & set(body)),
    ),
    Refusal(
        "bedrock",
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0",),
        "https://github.com/lobehub/lobehub/issues/9523",
        lambda body: {"temperature", "top_p"} <= set(body),
    ),
    Refusal(
        "google",
        ("gemini-2.5-pro", "gemini-2.5-flash", "gemini-3.1-flash-lite", "gemini-3.8-flash", "gemini-4-argon"),
        "https://github.com/google-gemini/cookbook/issues/1290",
        lambda body: bool(body.get("presence_penalty") or body.get("frequency_penalty")),
    ),
    Refusal(
        "xai",
        ("grok-4", "grok-4-0709", "grok-4.3", "grok-4.5", "grok-4.6", "grok-4.20-0309-non-reasoning", "grok-3-mini"),
        "https://github.com/miaoxworld/NativeTavern/issues/83",
        _has("presence_penalty", "frequency_penalty"),
    ),
    Refusal(
        "moonshot",
        ("kimi-k2.5", "kimi-k2.6"),
        "https://github.com/CherryHQ/cherry-studio/pull/12731",
        lambda body: body.get("temperature", 1) != 1 or body.get("top_p", 0.95) != 0.95,
    ),
    Refusal(
        "mistral",
        ("mistral-large-latest", "magistral-medium-latest"),
        "https://github.com/devoxx/DevoxxGenieIDEAPlugin/issues/338",
        lambda body: body.get("temperature", 1) == 0 and body.get("top_p", 1) != 1,
    ),
)
CASES = [(row, model) for row in REFUSALS for model in row.models]


@pytest.mark.parametrize(("row", "model"), CASES, ids=[f"{row.api}-{model}-{row.url[-12:]}" for row, model in CASES])
def test_nothing_is_sent_that_the_vendor_refuses(row: Refusal, model: str) -> None:
    """By the built-in defaults, and with every parameter set by somebody."""
    assert not row.refuses(adapt(row.api, model, DEFAULTS, ()).sent)

    for typed in ({"temperature": 0.0, "top_p": 0.4}, {"presence_penalty": 0.5, "frequency_penalty": -1.0}):
        found = adapt(row.api, model, {**DEFAULTS, **typed}, set(typed))
        assert not row.refuses(found.sent)
        assert {each.parameter for each in found.adjustments if each.asked_for} >= {
            name for name in typed if found.sent.get(name) != typed[name]
        }


def test_the_table_would_notice() -> None:
    """Sent as they are, the defaults are refused by most of these models."""
    refused = {(row.api, model) for row, model in CASES if row.refuses(DEFAULTS)}

    assert len(refused) > 0.6 * len({(row.api, model) for row, model in CASES})
