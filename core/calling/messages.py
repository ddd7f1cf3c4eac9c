"""A prompt as people give it: a text, or messages of a role and a content. What a vendor makes of it is its adapter's."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..errors import Invalid

Prompt = str | Sequence[Mapping[str, object]]
"""A text, or messages: OpenAI's own types for them are such, and so are Anthropic's."""

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function", "model")
"""What some vendor knows; an adapter refuses what its own does not."""
_INSTRUCTIONS: Final = frozenset({"system", "developer"})
_IN_PLACE_OF_CONTENT: Final = frozenset({"tool_calls", "function_call", "refusal", "audio", "parts"})


def read_prompt(prompt: object) -> list[dict[str, Any]]:
    """Return *prompt* as messages.

    Raises:
        Invalid: If it is neither a text nor messages, or if something in it cannot be sent.
    """
    if isinstance(prompt, str):
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}] if prompt else []
    elif isinstance(prompt, Sequence) and not isinstance(prompt, bytes):
        messages = [_message(at, one) for at, one in enumerate(prompt)]
    else:
        messages = []
    if not any(message["role"] not in _INSTRUCTIONS for message in messages):
        raise Invalid({"prompt": "must be a text, or messages with at least one that is not the system's"})
    try:
        json.dumps(messages, ensure_ascii=False, default=_odd).encode()
    except UnicodeEncodeError:
        raise Invalid(
            {"prompt": "has half a character in it (a lone surrogate), which nothing can be sent of"}
        ) from None
    except (TypeError, ValueError, RecursionError):
        raise Invalid({"prompt": "has something in it that JSON cannot hold"}) from None
    return messages


def _message(at: int, given: object) -> dict[str, Any]:
    dump = getattr(given, "model_dump", None)  # the SDKs' own objects: an answer's message that is sent again
    message = dump(exclude_none=True) if dump is not None else given
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        raise Invalid({"prompt": f"message {at}: must be a mapping with a role of {', '.join(ROLES)}"})
    content = message.get("content")
    if content is None and not (message["role"] == "assistant" or "parts" in message):
        raise Invalid({"prompt": f"message {at}: must have a content: a text, or the vendor's parts"})
    if content is None and not any(message.get(name) for name in _IN_PLACE_OF_CONTENT):
        raise Invalid({"prompt": f"message {at}: must have a content, or tool calls"})
    if not isinstance(content, str | list | tuple | None):
        raise Invalid({"prompt": f"message {at}: content must be a text or a list of the vendor's parts"})
    return dict(message)


def _odd(value: object) -> Any:
    """Let through what the SDKs send though JSON has no word for it: files as bytes, and their own objects."""
    if isinstance(value, bytes):
        return ""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError
    return dump(mode="json")
