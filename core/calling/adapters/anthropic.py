"""Anthropic's messages."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import Invalid
from ...resolving.carried import NOTHING, Opened
from ..failures import TIMEOUT, Failure, NotUnderstood, answered
from ..vendors import Counts, Part, Sending, ToolPart, Vectors, arguments_of, look, sdk, split, string, text_of, total

if TYPE_CHECKING:
    from anthropic.types import Message, RawMessageStreamEvent


class Talk(NamedTuple):
    """A conversation as its API has it: what the system says stands apart."""

    system: str | list[dict[str, Any]]
    messages: list[dict[str, Any]]


class Anthropic:
    """The adapter; see :class:`core.calling.vendors.Vendor`."""

    embeds = False

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool, carried: Opened = NOTHING) -> Any:
        """Make a client that the environment has no part in."""
        package = sdk("anthropic")
        made = package.AsyncAnthropic if is_async else package.Anthropic
        client = made(
            api_key=key,
            base_url=base_url,
            http_client=http,
            max_retries=0,
            default_query=dict(carried.query) or None,
            open_telemetry=False,
        )
        client._custom_headers = dict(carried.headers)  # noqa: SLF001 - ANTHROPIC_CUSTOM_HEADERS would even replace the key
        arguments_of(client.messages.__class__)  # imported with its first use
        return client

    def translate(self, messages: Sequence[Mapping[str, Any]]) -> Talk:
        """Set the system's messages apart, and write tool calls and their results as blocks."""
        system: list[Any] = []
        talk: list[dict[str, Any]] = []
        for at, message in enumerate(messages):
            role, content = message["role"], message.get("content")
            odd = set(message) - {"role", "content", "tool_calls" if role == "assistant" else "content"}
            if role == "tool":
                odd -= {"tool_call_id"}
            if odd:
                raise Invalid({"prompt": f"message {at}: Anthropic's API knows no {', '.join(sorted(odd))} in it"})
            if role in {"system", "developer"}:
                system.append(content)
            elif role == "tool":
                result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content}
                if talk and talk[-1].get("is_results"):
                    talk[-1]["content"].append(result)
                else:  # the results of one turn stand in one message
                    talk.append({"role": "user", "content": [result], "is_results": True})
            elif role in {"user", "assistant"}:
                talk.append({"role": role, "content": _blocks(at, message)})
            else:
                raise Invalid({"prompt": f"message {at}: Anthropic's API has no role {role!r}"})
        return Talk(_system(system), [{"role": one["role"], "content": one["content"]} for one in talk])

    def send(self, client: Any, sending: Sending) -> Any:
        """Send a request for a message."""
        known, extra = split(sending.parameters, arguments_of(client.messages.__class__))
        talk: Talk = sending.content
        if talk.system:
            if "system" in known:
                raise Invalid({"options": "has system, and so has the prompt: one of them is enough"})
            known["system"] = talk.system
        return client.messages.create(
            model=sending.model,
            messages=talk.messages,
            stream=sending.stream,
            timeout=sending.timeout,
            extra_body=extra or None,
            **known,
        )

    def read(self, answer: "Message") -> Part:
        """Read the blocks; an answer without any may still say why."""
        content, stopped = look(answer, "content"), look(answer, "stop_reason")
        if not isinstance(content, list) and not stopped:
            raise NotUnderstood
        blocks = content if isinstance(content, list) else []
        text = "".join(string(look(block, "text")) for block in blocks if look(block, "type") == "text")
        return Part(
            text=text,
            is_answer=True,
            model=string(look(answer, "model")) or None,
            counts=_counts(look(answer, "usage")),
            finish=string(stopped),
            id=string(look(answer, "id")) or None,
            reasoning="".join(string(look(block, "thinking")) for block in blocks),
            refusal=_refusal(answer),
            tools=tuple(
                ToolPart(at, string(look(block, "id")), string(look(block, "name")), json.dumps(look(block, "input")))
                for at, block in enumerate(blocks)
                if look(block, "type") == "tool_use"
            ),
        )

    def part(self, event: "RawMessageStreamEvent") -> Part:
        """Read an event by its type."""
        if event.type == "content_block_delta":
            delta = event.delta
            tool = ToolPart(event.index, arguments=string(look(delta, "partial_json")))
            return Part(
                string(look(delta, "text")),
                is_answer=True,
                reasoning=string(look(delta, "thinking")),
                tools=(tool,) if tool.arguments else (),
            )
        if event.type == "content_block_start":
            block = event.content_block
            tool = ToolPart(event.index, string(look(block, "id")), string(look(block, "name")))
            return Part(
                string(look(block, "text")), is_answer=True, tools=(tool,) if look(block, "type") == "tool_use" else ()
            )
        if event.type == "message_start":
            message = event.message
            counts = _counts(look(message, "usage"))
            return Part(model=string(look(message, "model")) or None, counts=counts, id=string(look(message, "id")))
        if event.type == "message_delta":  # its counts are those from the beginning; often of the output alone
            counts = _counts(look(event, "usage"))
            stopped = string(look(event, "delta", "stop_reason")) or None
            return Part(is_answer=True, counts=counts, finish=stopped, refusal=_refusal(look(event, "delta")))
        return Part()

    def models(self, client: Any, timeout: float) -> Iterable[Any]:
        """Return the list of models."""
        found: Iterable[Any] = client.models.list(limit=1000, timeout=timeout)
        return found

    def embed(self, client: Any, sending: Sending) -> Any:  # noqa: ARG002 - the protocol's
        """Refuse: there are none."""
        raise Invalid({"provider": "Anthropic's API has no embeddings"})

    def vectors(self, answer: Any) -> Vectors:  # noqa: ARG002 - the protocol's
        """Refuse: there are none."""
        raise NotUnderstood

    def format(self, name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002 - it has no names
        """Return ``output_config``: https://platform.claude.com/docs/en/build-with-claude/structured-outputs."""
        return {"output_config": {"format": {"type": "json_schema", "schema": dict(schema)}}}

    def failure(self, error: BaseException) -> Failure | None:
        """Judge by the SDK's classes; within a stream the status is that of its beginning."""
        package = sdk("anthropic")
        if isinstance(error, package.APIStatusError):
            response = error.response
            return answered(error.status_code, error.body, response.headers, response.reason_phrase)
        if isinstance(error, package.APITimeoutError):
            return TIMEOUT
        if isinstance(error, package.APIConnectionError):
            return Failure("connection", None, "", retryable=True)
        return None


def _blocks(at: int, message: Mapping[str, Any]) -> Any:
    """Return a message's content, its tool calls among it."""
    content, calls = message.get("content"), message.get("tool_calls")
    if not calls:
        return content
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) and content else list(content or ())
    for call in calls:
        try:
            arguments = json.loads(look(call, "function", "arguments") or "{}")
        except (TypeError, ValueError):
            raise Invalid({"prompt": f"message {at}: the arguments of a tool call are no JSON"}) from None
        name = look(call, "function", "name")
        blocks.append({"type": "tool_use", "id": look(call, "id"), "name": name, "input": arguments})
    return blocks


def _system(contents: list[Any]) -> str | list[dict[str, Any]]:
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents)
    blocks: list[dict[str, Any]] = []
    for content in contents:  # blocks stay what they are: they may have cache_control
        blocks += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return blocks


def _refusal(answer: object) -> str:
    if look(answer, "stop_reason") != "refusal":
        return ""
    return string(look(answer, "stop_details", "explanation")) or text_of(look(answer, "content")) or "refused"


def _counts(usage: object) -> Counts | None:
    if usage is None:
        return None
    read, written = look(usage, "cache_read_input_tokens"), look(usage, "cache_creation_input_tokens")
    given = look(usage, "input_tokens")
    return Counts(None if given is None else total(given, read, written), look(usage, "output_tokens"), read, written)
