"""Which levels of reasoning effort a model takes. By hand, as :mod:`core.models.rules`; standard library only."""

import re
from collections.abc import Mapping
from typing import Final

from .facts import ModelFacts
from .resold import RESELLERS
from .verdict import Verdict

_WORDS: Final = ("none", "minimal", "low", "medium", "high")
_MAPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "deepseek": ("minimal", "low", "medium", "high", "xhigh", "max"),
}
"""API that maps each of these to a level which its model has: https://api-docs.deepseek.com/guides/thinking_mode."""
_NO_EFFORT: Final[Mapping[str, str]] = {
    "openai": "https://github.com/davidmigloz/langchain_dart/issues/712",
    "anthropic": "https://github.com/anthropics/claude-code/issues/30760",
    "google": "https://github.com/QwenLM/qwen-code/pull/9094",
    "xai": "https://github.com/vercel/ai/releases/tag/@ai-sdk%2Fxai@4.0.8",
    "mistral": "https://github.com/dust-tt/dust/pull/27613",
}
"""API whose models without levels of effort refuse one -> who got the error."""
_WITHOUT_EFFORT: Final[Mapping[str, str]] = {
    "anthropic": r"claude-(?:[123]|instant|haiku-4|sonnet-4(?!-6)|opus-4(?!-[5-9]))",
    "google": r"gemini-(?:[12]|exp)",
    "openai": r"o1-(?:mini|preview)",
    "xai": r"grok-(?:2|3(?!-mini)|4(?:$|-)|4\.20(?!-multi)|build|code|beta|vision)",
    "mistral": r"(?!magistral)",  # "All other Mistral models": https://github.com/NousResearch/hermes-agent/issues/11243
}
"""Models that reason, or may, and have no levels: older Claude models and Gemini 2.5 take a budget of tokens instead. Of OpenAI's:
https://github.com/chatboxai/chatbox/issues/1830; of xAI's before 4.3: https://docs.x.ai/docs/guides/reasoning,
https://github.com/BerriAI/litellm/pull/16265."""


def effort(api: str, kind: str | None, facts: ModelFacts) -> Verdict | None:
    """Return which efforts the model takes at *api*: those that the catalogue has, by the vendor's own protocol."""
    if facts.api in {"anthropic", "google"} and kind != facts.api:
        return _translated(api, facts)
    if facts.reasoning == "none" or (facts.api == "openai" and re.search(r"-search-|audio", facts.name)):
        return Verdict("refuse", "it does not reason", _NO_EFFORT.get(facts.api, _NO_EFFORT["openai"]))
    without = re.match(_WITHOUT_EFFORT.get(facts.api, "(?!)"), facts.name)
    if facts.efforts and not (without and facts.rules_from):  # of a relative the levels, but not whether there are any
        why = f"it takes {', '.join(facts.efforts)}"
        taken = _MAPPED.get(facts.api, facts.efforts)
        return Verdict("only", why, "https://github.com/BerriAI/litellm/pull/27074", values=taken)
    return Verdict("refuse", "it has no levels of effort", _NO_EFFORT[facts.api]) if without else None


def _translated(api: str, facts: ModelFacts) -> Verdict | None:
    """Return what OpenAI's protocol in front of Claude and Gemini takes: its first words, and those that the model has itself.

    What a gateway makes of the others is not known.
    """
    if api not in (facts.api, *RESELLERS) or not (facts.efforts or facts.api == "google"):
        return None
    values = tuple(dict.fromkeys((*_WORDS, *facts.efforts)))
    return Verdict(
        "only", f"it takes {', '.join(values)}", "https://ai.google.dev/gemini-api/docs/openai", values=values
    )
