"""What the vendors' APIs do with each parameter: rules by hand, each with the page or the report that says so.

A rule turns what is known of a model (:class:`core.models.facts.ModelFacts`) into verdicts, so that a new model needs facts
only. :mod:`core.models.adapt` obeys them. Data and pure functions; standard library only. Every page was read on
``verdict.AS_OF``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from ..kinds import facts_of
from .efforts import effort
from .facts import ModelFacts
from .resold import of_the_vendor
from .verdict import FactSource, Verdict

SAMPLING: Final = ("temperature", "top_p")
PENALTIES: Final = ("frequency_penalty", "presence_penalty")

_EFFORT_OFF: Final = "reasoning_effort=none"
_THINKING_OFF: Final = "thinking.type=disabled"
_OPENAI_URL: Final = "https://developers.openai.com/api/docs/guides/latest-model"
_AZURE_URL: Final = "https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reasoning#api--feature-support"


class Rule(NamedTuple):
    """Which parameters a rule is about, and what it says of a model; None: nothing."""

    parameters: tuple[str, ...]
    of: Callable[[ModelFacts], Verdict | None]
    unknown: Verdict | None = None
    """What it says where nothing is known of the model: only what holds of all that the API serves."""


def _always(parameters: tuple[str, ...], verdict: Verdict) -> Rule:
    return Rule(parameters, lambda _: verdict, verdict)


def _while_it_reasons(facts: ModelFacts, verdict: Verdict, off: str) -> Verdict | None:
    """Return *verdict* as it holds of a model that reasons; *off* is how reasoning is turned off."""
    if facts.reasoning in {None, "none"}:
        return None
    never_off = off == _EFFORT_OFF and facts.efforts and "none" not in facts.efforts
    if facts.reasoning == "always" or (facts.reasoning == "default" and never_off):
        return replace(verdict, why="it always reasons")
    by_default = facts.reasoning == "default"
    why = f"it reasons unless {_condition_text(off)}" if by_default else "it takes it only while it does not reason"
    return replace(verdict, why=why, unless=off, by_default=by_default)


def _condition_text(condition: str) -> str:
    name, _, value = condition.partition("=")
    return f"{name} is {value}"


def _searches(facts: ModelFacts) -> bool:
    """Return whether it is one of OpenAI's that search the web: they take no parameter of sampling."""
    return "-search-" in facts.name


_SEARCH: Final = Verdict("refuse", "models that search the web take none", "https://github.com/vercel/ai/pull/5647")


def _openai_sampling(facts: ModelFacts) -> Verdict | None:
    if _searches(facts):
        return _SEARCH
    verdict = Verdict("refuse", "", _OPENAI_URL)
    if facts.reasoning in {None, "none"}:  # else whether it reasons decides, and no word about sampling alone
        return replace(verdict, why="it takes none") if facts.sampling == "no" else None
    return _while_it_reasons(facts, verdict, _EFFORT_OFF)


def _openai_penalties(facts: ModelFacts) -> Verdict | None:
    if _searches(facts):
        return _SEARCH
    if facts.reasoning in {None, "none"}:
        return None
    url = "https://github.com/vercel/ai/blob/main/packages/openai/src/chat/openai-chat-language-model.ts"
    return Verdict("refuse", "models that can reason take no penalties", url)


_NO_STOP: Final = Verdict(
    "refuse", "models that can reason take none", "https://github.com/huggingface/smolagents/issues/1893"
)
"""GPT-5.1 and 5.2, which do not reason by default, too: https://github.com/huggingface/smolagents/pull/1868; o3 and o4-mini:
https://developers.openai.com/api/docs/api-reference/chat/create. That newer ones take it is contested:
https://github.com/BerriAI/litellm/pull/28650, closed."""


def _openai_stop(facts: ModelFacts) -> Verdict | None:
    if _searches(facts):
        return _SEARCH
    if facts.reasoning in {None, "none"} or re.match(
        r"o1|o3-mini", facts.name
    ):  # the reference names o3 and o4-mini alone
        return None
    return _NO_STOP


def _grok_stop(facts: ModelFacts) -> Verdict | None:
    if "non-reasoning" in facts.name or re.match(r"grok-(?:2|beta|vision)", facts.name):
        return None
    why, url = (
        "Grok models take none, but those that do not reason",
        "https://github.com/langchain-ai/langchain/pull/38335",
    )
    return replace(_NO_STOP, why=why, url=url)  # Grok 3 and 4 too: https://github.com/huggingface/smolagents/pull/1766


def _at_most(number: int, url: str) -> Rule:
    return _always(("stop",), Verdict("range", "", url, low=1, high=number))


def _sampling(facts: ModelFacts) -> Verdict | None:
    """Return what the catalogue says of temperature and top_p, whoever serves the model."""
    if facts.sampling == "no":
        return Verdict("refuse", "it takes none", "https://github.com/Comfy-Org/ComfyUI/issues/13923")
    if facts.sampling == "ignored":
        return Verdict("ignore", "it has no effect there", "https://github.com/anomalyco/opencode/pull/38924")
    return None


def _temperature(facts: ModelFacts) -> Verdict | None:
    if facts.temperature_max is None:
        return None
    return Verdict("range", "", "the vendor's reference of the API", high=facts.temperature_max)


def _length(facts: ModelFacts) -> Verdict | None:
    """Return the longest answer. A limit of the family is no limit of this model."""
    if facts.max_output is None or facts.assumed_from is not None:
        return None
    return Verdict("range", "", "https://github.com/OpenHands/OpenHands/issues/11090", low=1, high=facts.max_output)


def _claude_one_of_two(facts: ModelFacts) -> Verdict | None:
    if facts.sampling == "no" or facts.name.startswith(
        ("claude-3", "claude-2", "claude-opus-4-0", "claude-sonnet-4-0")
    ):
        return None
    if facts.name.startswith(("claude-opus-4-2025", "claude-sonnet-4-2025")) or facts.name.endswith("-4"):
        return None
    url = "https://github.com/Vali-98/ChatterUI/issues/564"
    return Verdict("exclusive", "only one of temperature and top_p is taken", url, to="temperature")


_EXTENDED_THINKING: Final = "https://platform.claude.com/docs/en/build-with-claude/extended-thinking"


def _claude_thinks(facts: ModelFacts, verdict: Verdict) -> Verdict | None:
    return None if facts.sampling == "no" else _while_it_reasons(facts, verdict, _THINKING_OFF)


def _grok(facts: ModelFacts) -> Verdict | None:
    old = facts.name.startswith(("grok-2", "grok-3", "grok-beta")) and not facts.name.startswith("grok-3-mini")
    return None if old else _GROK


def _kimi(facts: ModelFacts) -> Verdict | None:
    found = re.match(r"kimi-k(\d+)(?:\.(\d+))?(?!\d)", facts.name)
    fixed = found is not None and (int(found[1]), int(found[2] or 0)) >= _KIMI_FIXED
    return _KIMI if fixed else None


_KIMI_FIXED: Final = (2, 5)
"""Since this version the vendor fixes them."""
_GROK: Final = Verdict(
    "refuse", "Grok models take no penalties, not even 0", "https://github.com/miaoxworld/NativeTavern/issues/83"
)
_GEMINI: Final = Verdict(
    "only",
    "Gemini models take no penalty but 0",
    "https://github.com/google-gemini/cookbook/issues/1290",
    values=(0,),
)
_DEEPSEEK: Final = Verdict("ignore", "", "https://api-docs.deepseek.com/guides/thinking_mode")
"""top_p counts while V4 thinks, from 0.95 on; deepseek-reasoner, which always does, ignored that too:
https://api-docs.deepseek.com/zh-cn/guides/reasoning_model."""
_KIMI: Final = Verdict("refuse", "its value is fixed", "https://github.com/CherryHQ/cherry-studio/pull/12731")
_GREEDY: Final = Verdict(
    "only",
    "with temperature 0 it is 1",
    "https://github.com/devoxx/DevoxxGenieIDEAPlugin/issues/338",
    values=(1,),
    unless="temperature>0",
    by_default=False,
)
_OPENAI_LENGTH: Final = Verdict(
    "rename",
    "the API calls it max_completion_tokens",
    "https://developers.openai.com/api/docs/api-reference/chat/create",
    to="max_completion_tokens",
)
_OPENAI_MODEL: Final = (
    Rule(SAMPLING, _openai_sampling),
    Rule(PENALTIES, _openai_penalties),
    Rule(("stop",), _openai_stop),
)
_COMMON: Final = (Rule(("temperature",), _temperature),)
_BY_FACTS: Final = (Rule(SAMPLING, _sampling), *_COMMON)
_LENGTH: Final = Rule(("max_tokens",), _length)
_CLAUDE_MODEL: Final = (
    *_BY_FACTS,
    _always(
        ("temperature",),
        Verdict("range", "", "https://platform.claude.com/docs/en/api/messages", low=0, high=1),
    ),
    Rule(("temperature",), lambda f: _claude_thinks(f, Verdict("only", "", _EXTENDED_THINKING, values=(1,)))),
    Rule(("top_p",), lambda f: _claude_thinks(f, Verdict("range", "", _EXTENDED_THINKING, low=0.95, high=1))),
    Rule(("top_p",), _claude_one_of_two),
    _always(
        ("max_tokens",),
        Verdict(
            "above",
            "thinking.budget_tokens is a part of it, and has to be less",
            "https://github.com/BerriAI/litellm/issues/9001",
            values=("thinking", "budget_tokens"),
        ),
    ),
    _always(
        ("stop",),
        Verdict("visible", "each needs a character that is no space", "https://github.com/BerriAI/litellm/issues/3286"),
    ),
    _LENGTH,  # after what may make it longer
)
_GOOGLE_MODEL: Final = (
    *_BY_FACTS,
    _LENGTH,
    _at_most(5, "https://ai.google.dev/api/generate-content#generationconfig"),
    Rule(PENALTIES, lambda f: None if f.name.startswith(("gemini-2.0", "gemini-1")) else _GEMINI),
)

_FOUR: Final = _at_most(4, "https://help.openai.com/en/articles/5072263-how-do-i-use-stop-sequences-in-the-openai-api")

_COHERE_ERRORS: Final = "https://docs.cohere.com/reference/errors"
"""Its 400: "temperature must be between 0 and 1.0 inclusive". The same in words:
https://github.com/cohere-ai/cohere-developer-experience/pull/523."""
_COHERE: Final = "https://docs.cohere.com/reference/chat"
"""The same in words: https://docs.camel-ai.org/reference/camel.configs.cohere_config."""

OF_MODELS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "openai": (*_OPENAI_MODEL, *_COMMON, _LENGTH),
    "anthropic": _CLAUDE_MODEL,
    "google": _GOOGLE_MODEL,
    "xai": (*_BY_FACTS, Rule(PENALTIES, _grok), Rule(("stop",), _grok_stop)),
    "mistral": (
        *_BY_FACTS,
        _always(
            ("temperature",), Verdict("range", "", "https://github.com/scottyeager/Pal/issues/28", low=0, high=1.5)
        ),
        _always(("top_p",), _GREEDY),
    ),
    "deepseek": (
        *_COMMON,
        Rule(("temperature", *PENALTIES), lambda f: _while_it_reasons(f, _DEEPSEEK, _THINKING_OFF)),
        Rule(("top_p",), lambda f: replace(_DEEPSEEK, why="it always reasons") if f.reasoning == "always" else None),
    ),
    "cohere": (
        *_BY_FACTS,
        _always(("temperature",), Verdict("range", "", _COHERE_ERRORS, low=0, high=1)),
        _always(PENALTIES, Verdict("range", "", _COHERE, low=0, high=1)),
        _always(("top_p",), Verdict("range", "", _COHERE, low=0.01, high=0.99)),
        _at_most(5, _COHERE),
    ),
    "moonshot": (
        *_COMMON,
        _always(
            ("temperature",),
            Verdict(
                "range", "", "https://platform.moonshot.ai/docs/guide/migrating-from-openai-to-kimi", low=0, high=1
            ),
        ),
        Rule((*SAMPLING, *PENALTIES), _kimi),
    ),
}
"""A vendor's API -> the rules of its models, which hold behind a gateway too."""


def _by_converse(verdict: Verdict) -> Callable[[ModelFacts], Verdict | None]:
    """Return *verdict* for all that Bedrock serves by its own protocol: OpenAI's models have theirs."""
    return lambda facts: None if facts.api == "openai" or facts.name.startswith("openai.") else verdict


_CONVERSE: Final = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html"
OF_APIS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "openai": (_always(("max_tokens",), _OPENAI_LENGTH), _FOUR),
    "azure": (_always(("max_tokens",), replace(_OPENAI_LENGTH, url=_AZURE_URL)), _FOUR),
    "xai": (Rule(PENALTIES, lambda _: None, _GROK),),
    "bedrock": (
        Rule(("temperature",), _by_converse(Verdict("range", "", _CONVERSE, low=0, high=1))),
        Rule(PENALTIES, _by_converse(Verdict("refuse", "Bedrock has none", _CONVERSE))),
    ),
    "groq": (
        _always(
            PENALTIES,
            Verdict("ignore", "none of its models supports it yet", "https://console.groq.com/docs/api-reference"),
        ),
    ),
}
"""API -> the rules of its own, whoever made the model."""
TOLERANT: Final = frozenset({"openrouter"})
"""APIs that pass no parameter on which a model refuses: https://openrouter.ai/docs/api/reference/parameters."""


def verdicts(api: str, kind: str | None, facts: ModelFacts | None) -> dict[str, tuple[Verdict, ...]]:
    """Return what *api* does with each parameter that there is something to say of.

    Args:
        api: A key of :data:`core.models.apis.APIS`.
        kind: Of the provider: its protocol has the names, what is required and ranges of its own.
        facts: Of the model; None: nothing is known of it.
    """
    found: dict[str, list[Verdict]] = {}
    for name, verdict in _of_kind(kind):
        found.setdefault(name, []).append(verdict)
    rules = OF_APIS.get(api, ())
    if facts is not None and api not in TOLERANT:
        # a gateway passes on to the vendor whose row it is; a host with rules of its own has its own models
        facts = of_the_vendor(facts)
        rules = (*rules, *OF_MODELS.get(facts.api, ()))
    for rule in rules:
        outcome = rule.unknown if facts is None else rule.of(facts)
        if outcome is None:
            continue
        if facts is not None and outcome is not rule.unknown:
            is_own = facts.assumed_from is None and (facts.rules_from is None or rule is _LENGTH)
            outcome = replace(outcome, basis="catalogue" if is_own else "family", as_of=facts.as_of)
        for name in rule.parameters:
            if not any(one.does == outcome.does == "rename" for one in found.get(name, ())):
                found.setdefault(name, []).append(outcome)
    if facts is not None and api not in TOLERANT and (outcome := effort(api, kind, facts)) is not None:
        basis: FactSource = "family" if facts.assumed_from else "catalogue"
        found.setdefault("reasoning_effort", []).append(replace(outcome, basis=basis, as_of=facts.as_of))
    return {name: tuple(verdicts) for name, verdicts in found.items()}


def _of_kind(kind: str | None) -> list[tuple[str, Verdict]]:
    """Return what the protocol says: see the sources beside each row of :data:`core.kinds.KINDS`."""
    row, where = facts_of(kind), "core/kinds.py"
    verdicts = []
    for name, theirs in row.names.items():
        if theirs is None:
            verdicts.append((name, Verdict("refuse", f"{row.label}'s API has none", where, is_absent=True)))
        elif theirs != name:
            verdicts.append((name, Verdict("rename", f"the API calls it {theirs}", where, to=theirs)))
    verdicts += [(n, Verdict("require", f"{row.label}'s API takes no request without it", where)) for n in row.required]
    verdicts += [(n, Verdict("range", "", where, low=low, high=high)) for n, (low, high) in row.ranges.items()]
    return verdicts
