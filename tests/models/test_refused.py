"""A vendor's refusal that says what is wrong is read as facts; whatever else it says is no fact. By reports of real answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.models.refused import NAMES, read
from core.parameters import SENDABLE
from core.store.fact_schemas import facts_of

REFUSED = {"refuse": True}
PENALTIES = {"frequency_penalty": REFUSED, "presence_penalty": REFUSED}
REPORTS: dict[str, tuple[str, dict[str, Any]]] = {
    # https://github.com/appatalks/eva-agent/issues/83
    "o3-mini": ("Unsupported parameter: 'temperature' is not supported with this model.", {"temperature": REFUSED}),
    # https://github.com/johny-b/llmcomp/issues/69
    "gpt-5.4": (
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
        {"temperature": {"only": [1]}},
    ),
    # https://github.com/ITSpecialist111/ai_automation_suggester/issues/38
    "o1-preview": (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        {"max_tokens": {"rename": "max_completion_tokens"}},
    ),
    # https://github.com/Kilo-Org/cloud/pull/3807
    "kimi": (
        "Unsupported value: 'reasoning_effort' does not support 'none' with this model. Supported values are: 'minimal', 'low', 'medium', and 'high'.",
        {"efforts": ["minimal", "low", "medium", "high"]},
    ),
    # https://github.com/davidmigloz/langchain_dart/issues/712
    "gpt-4o-mini": ("Unrecognized request argument supplied: reasoning_effort", {"reasoning_effort": REFUSED}),
    # https://github.com/ChatGPTNextWeb/NextChat/issues/3195
    "gpt-3.5-turbo-1106": (
        "max_tokens is too large: 8192. This model supports at most 4096 completion tokens, whereas you provided 8192.",
        {"max_output": 4096},
    ),
    # https://github.com/anomalyco/opencode/issues/28930
    "claude-sonnet-4-6": (
        "Error from provider (Anthropic): `temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        {"top_p": {"exclusive": "temperature"}},
    ),
    # https://github.com/nimbalyst/nimbalyst/issues/199
    "claude-opus-4-7": ("`temperature` is deprecated for this model.", {"temperature": REFUSED}),
    # https://github.com/DayuanJiang/next-ai-draw-io/issues/861
    "bedrock": (
        "The model returned the following errors: temperature is deprecated for this model.",
        {"temperature": REFUSED},
    ),
    # https://github.com/anthropics/claude-code/issues/24451
    "claude-opus-4-5": (
        "max_tokens: 128001 > 64000, which is the maximum allowed number of output tokens for claude-opus-4-5-20251101",
        {"max_output": 64000},
    ),
    # https://github.com/google-gemini/cookbook/issues/1290
    "gemini": ("Penalty is not enabled for this model", PENALTIES),
    # https://github.com/vercel/ai/issues/4022
    "gemini-exp-1206": ("Penalty is not enabled for models/gemini-exp-1206", PENALTIES),
    # https://github.com/n4ze3m/page-assist/issues/418
    "gemini by OpenAI's protocol": (
        'Invalid JSON payload received. Unknown name "frequency_penalty": Cannot find field.',
        {"frequency_penalty": REFUSED},
    ),
    # https://github.com/yym68686/uni-api/issues/105
    "grok-3-mini": ("Argument not supported on this model: presencePenalty", {"presence_penalty": REFUSED}),
    # https://github.com/miaoxworld/NativeTavern/issues/83
    "grok-4.6": ("Model grok-4.6 does not support parameter presencePenalty.", {"presence_penalty": REFUSED}),
    # https://github.com/promptfoo/promptfoo/issues/2752
    "deepseek-reasoner": (
        "deepseek-reasoner does not support the parameter `presence_penalty`",
        {"presence_penalty": REFUSED},
    ),
    # https://github.com/mistralai/platform-docs-public/issues/7
    "mistral": (
        '{"detail":[{"type":"extra_forbidden","loc":["body","frequency_penalty"],"msg":"Extra inputs are not permitted","input":0.0}]}',
        {"frequency_penalty": REFUSED},
    ),
    # https://github.com/yiliqi78/TOKENICODE/issues/3
    "doubao": (
        "The parameter max_tokens specified in the request is not valid: integer above maximum value, expected a value <= 32768, but got 64000 instead. Request id: 0217",
        {"max_output": 32768},
    ),
    # https://github.com/DeepSeek-ai/DeepSeek-V3/issues/69
    "deepseek-chat": (
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        {"max_output": 8192},
    ),
    # https://github.com/open-webui/open-webui/issues/10507
    "qwen-max": (
        "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]",
        {"max_output": 8192},
    ),
    # https://github.com/skapadia3214/groq-moa/issues/8
    "llama-3.1-8b-instant": (
        "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000",
        {"max_output": 8000},
    ),
    # https://github.com/anomalyco/opencode/issues/1000
    "kimi-k2 at Groq": ("`max_tokens` must be less than or equal to `16384`", {"max_output": 16384}),
    # https://github.com/Alishahryar1/free-claude-code/issues/955
    "qwen3-32b at Groq": (
        "max_completion_tokens must be less than or equal to 40960, the maximum value for max_completion_tokens is less than the context_window for this model",
        {"max_output": 40960},
    ),
    # https://github.com/HKUDS/nanobot/pull/202
    "kimi-k2.5": ("invalid temperature: only 1 is allowed for this model", {"temperature": {"only": [1]}}),
    # https://github.com/RooCodeInc/Roo-Code/issues/10700
    "gemini-2.5-flash": ("Thinking level is not supported for this model.", {"reasoning_effort": REFUSED}),
    # https://github.com/BerriAI/litellm/issues/16704: the parameter stands beside the message
    "gpt-5.1 at Azure": (
        "Invalid value: 'none'. Supported values are: 'low', 'medium', and 'high'. (reasoning_effort)",
        {"efforts": ["low", "medium", "high"]},
    ),
    # https://github.com/JetBrains/junie/issues/39
    "grok-4-1-fast-reasoning": (
        "Model grok-4-1-fast-reasoning does not support parameter reasoningEffort.",
        {"reasoning_effort": REFUSED},
    ),
    # no name of the API's may become that of something else
    "nonsense": (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'messages' instead.",
        {"max_tokens": REFUSED},
    ),
}
OTHERS = (
    "",
    # https://github.com/lbjlaq/Antigravity-Manager/issues/1942
    "Request contains an invalid argument.",
    # https://github.com/lobehub/lobehub/issues/8116: another protocol, not another model
    "Unsupported parameter: 'reasoning_effort'. In the Responses API, this parameter has moved to 'reasoning.effort'.",
    # https://github.com/ChatGPTNextWeb/NextChat/issues/3195: of the prompt, not of the model's answer
    "This model's maximum context length is 8192 tokens. However, you requested 8256 tokens (64 in the messages, 8192 in the completion).",
    # https://platform.claude.com/docs/en/build-with-claude/extended-thinking: under a condition
    "`temperature` may only be set to 1 when thinking is enabled.",
    # https://github.com/heysaik/ChatGPTKit/issues/4: a mistyped name
    "Unrecognized request argument supplied: pAPresence_penalty",
    # https://github.com/liuw1535/antigravity2api-nodejs/issues/149: of two values of one request
    "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation",
    # https://github.com/omnigent-ai/omnigent/pull/17: no parameter of ours
    '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.',
    # https://github.com/ai-forever/gigachain/issues/237: without an end
    "Invalid params: temperature must be in range (0, +inf)",
    # https://github.com/songquanpeng/one-api/issues/1141: which values, it does not say
    "temperature\u53c2\u6570\u975e\u6cd5\u3002\u8bf7\u68c0\u67e5\u6587\u6863\u3002",
    # https://github.com/router-for-me/CLIProxyAPI/issues/1307: a value
    "Validation error for `reasoning_effort`: expected one of 'low' | 'medium' | 'high', received 'xhigh'.",
    "Unsupported parameter: 'logprobs' is not supported with this model.",
)


@pytest.mark.parametrize("report", REPORTS)
def test_what_a_refusal_says(report: str) -> None:
    """Read from the vendor's words, from the body around them, and in a form that may be stored."""
    words, expected = REPORTS[report]
    assert read(words) == expected
    assert (
        read(f"Error code: 400 - {{'error': {{'message': \"{words}\", 'type': 'invalid_request_error'}}}}") == expected
    )
    assert facts_of(expected) == expected


@pytest.mark.parametrize("words", OTHERS)
def test_what_says_nothing_of_a_model(words: str) -> None:
    """Another protocol, a condition, a mistyped name, a parameter that is not ours: no fact."""
    assert read(words) == {}


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from([*NAMES, "'", "`", ": ", " is not supported with this model. Use ", "1", " > "])).map(
        "".join
    )
)
def test_never_raises_and_is_storable(words: str) -> None:
    """Whatever a vendor answers; every name leads to a parameter that is sent."""
    found = read(words)
    assert not found or facts_of(found) == found
    assert set(NAMES.values()) <= set(SENDABLE)
