"""What is known of the vendors' models before anybody has called one. Data and pure functions; standard library only.

Collected on 2026-11-23. A model is in it when litellm and genai-prices both list it, the vendor has announced no retirement
within 90 days (before 2027-02-21), and two independent sources agree on what it refuses. Advice only: nothing here
forbids a model or a parameter, and models that are not in it work as well.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ..kinds import Kind, facts_of
from ..parameters import SENDABLE
from ..wording import listed


@dataclass(frozen=True, slots=True)
class Model:
    """A model, and which request parameters not to send it."""

    name: str
    refuses: frozenset[str]
    """Parameters that make a request fail, or that the model ignores (the note says which): besides what its kind's API
    never accepts."""
    note: str
    """One short sentence on why it refuses them, or empty."""
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vendor:
    """A provider that ``python -m core seed`` stores."""

    name: str
    display_name: str
    description: str
    kind: Kind
    models: tuple[Model, ...]
    default_model: str


_LITELLM = "litellm 1.109.1, model_prices_and_context_window_backup.json"
_GENAI_PRICES = "genai-prices 0.2.3, genai_prices/data.py"
_PYDANTIC_AI = "pydantic-ai-slim 2.68.0, pydantic_ai"

_PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
_SAMPLING = frozenset({"temperature", "top_p"})

# OpenAI's chat completions. Since GPT-5 the limit is called max_completion_tokens and the penalties are gone; temperature and
# top_p pass only while reasoning is off. It is on by default, except in GPT-5.1 to 5.4.
_OPENAI_OLD_NAMES = _PENALTIES | {"max_tokens"}
_OPENAI_REASONING = _OPENAI_OLD_NAMES | _SAMPLING
_OPENAI_RULES = (
    "litellm 1.109.1, llms/openai/chat/gpt_reasoning_transformation.py: OpenAIGPT5Config",
    "vercel/ai, packages/openai/src/chat/openai-chat-language-model.ts: isReasoningModel",
    "https://developers.openai.com/api/docs/guides/latest-model",
    "https://developers.openai.com/api/docs/deprecations (six months' notice, and none given)",
    "https://dev.to/max_bob/openai-api-deprecations-2026-2027-every-shutdown-date-and-recommended-replacement-gpt-4o-2ffm",
)
_ALWAYS = "It always reasons, and calls its limit max_completion_tokens."
_BY_DEFAULT = "It reasons unless reasoning_effort is none, and calls its limit max_completion_tokens."
_ON_REQUEST = "It calls its limit max_completion_tokens, and takes temperature and top_p as long as it does not reason."

# Anthropic's Messages API has no penalties; Opus 4.7 and everything since also answer 400 to sampling parameters.
_ANTHROPIC_RULES = (
    f"{_PYDANTIC_AI}/profiles/anthropic.py: disallows_sampling_settings",
    f"{_PYDANTIC_AI}/models/anthropic/__init__.py: unsupported_settings (the penalties)",
    "https://github.com/Comfy-Org/ComfyUI/issues/13923 (the 400)",
    "https://platform.claude.com/docs/en/api/php/beta/messages/create.md (all parameters; no penalties)",
)
_ANTHROPIC_STATUS = "https://platform.claude.com/docs/en/about-claude/model-deprecations"

# Gemini answers "Penalty is not enabled for this model" to any penalty but 0. Since 3.5 Flash-Lite and 3.6 Flash it ignores
# temperature and top_p; a later generation is expected to refuse them.
_GOOGLE_RULES = (
    "litellm 1.109.1, llms/vertex_ai/gemini/vertex_and_google_ai_studio_gemini.py: _supports_penalty_parameters",
    "https://github.com/google-gemini/cookbook/issues/1290 (the penalties)",
    "https://ai.google.dev/gemini-api/docs/deprecations",
)
_GOOGLE_IGNORES = "It ignores temperature and top_p, and fails on the penalties."


def _openai(name: str, refuses: frozenset[str], note: str) -> Model:
    listed = (
        f"{_LITELLM}: {name}",
        f"{_GENAI_PRICES}: openai {name}",
        f"{_PYDANTIC_AI}/profiles/openai.py: {name} (by prefix)",
    )
    return Model(name, refuses, note, listed + _OPENAI_RULES)


def _anthropic(name: str, *retires: str) -> Model:
    listed = (f"{_LITELLM}: {name} (supports_sampling_params false)", f"{_GENAI_PRICES}: anthropic {name}")
    return Model(name, _SAMPLING, "", listed + retires + _ANTHROPIC_RULES)


def _google(name: str, refuses: frozenset[str], note: str, *more: str) -> Model:
    listed = (f"{_LITELLM}: gemini/{name}", f"{_GENAI_PRICES}: google {name}")
    return Model(name, refuses, note, listed + more + _GOOGLE_RULES)


VENDORS: Final[tuple[Vendor, ...]] = (
    Vendor(
        name="openai",
        display_name="OpenAI",
        description="GPT models, through OpenAI's own API.",
        kind="openai",
        models=(
            _openai("gpt-6.1-terra", _OPENAI_REASONING, _BY_DEFAULT),
            _openai("gpt-6.1-sol", _OPENAI_REASONING, _ALWAYS),
            _openai("gpt-6-luna", _OPENAI_REASONING, _BY_DEFAULT),
            _openai("gpt-6-astra", _OPENAI_REASONING, _ALWAYS),
            _openai("gpt-5.6-sol", _OPENAI_REASONING, _BY_DEFAULT),
            _openai("gpt-5.6-terra", _OPENAI_REASONING, _BY_DEFAULT),
            _openai("gpt-5.6-luna", _OPENAI_REASONING, _BY_DEFAULT),
            _openai("gpt-5.5", _OPENAI_REASONING, _BY_DEFAULT),
            _openai("gpt-5.4", _OPENAI_OLD_NAMES, _ON_REQUEST),
            _openai("gpt-5.4-mini", _OPENAI_OLD_NAMES, _ON_REQUEST),
        ),
        default_model="gpt-6.1-terra",
    ),
    Vendor(
        name="anthropic",
        display_name="Anthropic",
        description="Claude models, through Anthropic's own API.",
        kind="anthropic",
        models=(
            _anthropic("claude-sonnet-5-5", f"{_LITELLM}: azure_ai/claude-sonnet-5-5 (2027-09-29)"),
            _anthropic("claude-opus-5-5", f"{_LITELLM}: azure_ai/claude-opus-5-5 (2027-09-18)"),
            _anthropic("claude-haiku-5-5", f"{_LITELLM}: azure_ai/claude-haiku-5-5 (2027-09-29)"),
            _anthropic("claude-fable-5-1", f"{_ANTHROPIC_STATUS} (not sooner than 2027-09-01)"),
            _anthropic("claude-opus-5", f"{_ANTHROPIC_STATUS} (not sooner than 2027-07-24)"),
            _anthropic("claude-sonnet-5", f"{_ANTHROPIC_STATUS} (not sooner than 2027-06-30)"),
            _anthropic("claude-opus-4-8", f"{_ANTHROPIC_STATUS} (not sooner than 2027-05-28)"),
        ),
        default_model="claude-sonnet-5-5",
    ),
    Vendor(
        name="google",
        display_name="Google",
        description="Gemini models, through the Gemini API.",
        kind="google",
        models=(
            _google(
                "gemini-3.8-flash",
                _PENALTIES | _SAMPLING,
                _GOOGLE_IGNORES,
                f"{_LITELLM}: gemini/gemini-3.8-flash (supports_sampling_params false)",
                "https://github.com/anomalyco/opencode/pull/38924 (Gemini 3.6 and later)",
            ),
            _google(
                "gemini-4-argon",
                _PENALTIES | _SAMPLING,
                _GOOGLE_IGNORES,
                f"{_PYDANTIC_AI}/profiles/google.py: gemini-4-argon (called on 2026-10-13)",
                "https://ai.google.dev/gemini-api/docs/generate-content/latest-model",
                "https://dev.to/aihubmix/gemini-4-argon-thinkinglevel-and-long-decode-a-developers-guide-35ll",
                "https://github.com/anomalyco/opencode/pull/38924 (Gemini 3.6 and later)",
            ),
            _google(
                "gemini-3.5-flash-lite",
                _PENALTIES | _SAMPLING,
                _GOOGLE_IGNORES,
                f"{_LITELLM}: gemini/gemini-3.5-flash-lite (supports_sampling_params false)",
                f"{_LITELLM}: vertex_ai/gemini-3.5-flash-lite (2027-07-21)",
                "https://github.com/anomalyco/opencode/pull/38924 (names it)",
            ),
            _google(
                "gemini-3.1-flash-lite",
                _PENALTIES,
                "",
                f"{_LITELLM}: gemini/gemini-3.1-flash-lite (2027-05-07)",
                "https://github.com/anomalyco/opencode/pull/38924 (3.1 still takes temperature and top_p)",
            ),
        ),
        default_model="gemini-3.8-flash",
    ),
)

_MODELS: Final[Mapping[tuple[str, str], Model]] = {
    (vendor.kind, model.name): model for vendor in VENDORS for model in vendor.models
}


def find(kind: str, model: str) -> Model | None:
    """Return what is known of *model*, or None."""
    return _MODELS.get((kind, model))


def refused(kind: str, model: str | None) -> frozenset[str]:
    """Return the parameters not to send to *model*; if it is unknown, those that its kind's API never accepts."""
    known = find(kind, model or "")
    never = facts_of(kind).never_accepted
    return known.refuses | never if known else never


def model_change_warning(old: str | None, new: str | None, omitted: Collection[str]) -> str | None:
    """Say what is not sent when the model changes from *old* to *new*: it may have been set for the old one only."""
    names = _ordered(omitted)
    if not names or new is None or new == old:
        return None
    when = f"while the model was {old}" if old else "before a model was chosen"
    return f"{listed(names)} {_be(names)} not sent; that was set {when}. Check that it still fits {new}."


def _ordered(names: Collection[str]) -> list[str]:
    return [name for name in SENDABLE if name in names]


def _be(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
