"""OpenAI, and whoever speaks its chat completions."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ...errors import Invalid
from ...resolving.carried import NOTHING, Opened
from ..failures import TIMEOUT, Failure, NotUnderstood, answered
from ..vendors import Counts, Part, Sending, ToolPart, Vectors, arguments_of, look, sdk, split, string, text_of

if TYPE_CHECKING:
    from openai.types import CreateEmbeddingResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class OpenAI:
    """The adapter; see :class:`core.calling.vendors.Vendor`."""

    embeds = True

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool, carried: Opened = NOTHING) -> Any:
        """Make a client that the environment has no part in."""
        package = sdk("openai")
        made = package.AsyncOpenAI if is_async else package.OpenAI
        query = dict(carried.query) or None
        client = made(api_key=key, base_url=base_url, http_client=http, max_retries=0, default_query=query)
        return alone(client, carried)

    def translate(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Take the messages as they are: they are in this form."""
        for at, message in enumerate(messages):
            if message["role"] not in ROLES:
                raise Invalid({"prompt": f"message {at}: OpenAI's API has no role {message['role']!r}"})
        return [dict(message) for message in messages]

    def send(self, client: Any, sending: Sending) -> Any:
        """Send a request for a chat completion."""
        known, extra = split(sending.parameters, arguments_of(client.chat.completions.__class__))
        if sending.stream:
            known["stream"] = True
            if not sending.bare:
                known.setdefault("stream_options", {"include_usage": True})
        return client.chat.completions.create(
            model=sending.model, messages=sending.content, timeout=sending.timeout, extra_body=extra or None, **known
        )

    def read(self, answer: "ChatCompletion") -> Part:
        """Read every choice; the first one is the answer."""
        choices = look(answer, "choices")
        if not isinstance(choices, list) or not choices or look(choices[0], "message") is None:
            raise NotUnderstood
        message = look(choices[0], "message")
        texts = tuple(text_of(look(choice, "message", "content")) for choice in choices)
        return Part(
            text=texts[0],
            is_answer=True,
            model=string(look(answer, "model")) or None,
            counts=_counts(look(answer, "usage")),
            finish=string(look(choices[0], "finish_reason")),
            id=string(look(answer, "id")) or None,
            reasoning=_reasoning(message),
            refusal=string(look(message, "refusal")),
            tools=_tools(message),
            texts=texts if len(texts) > 1 else (),
        )

    def part(self, event: "ChatCompletionChunk") -> Part:
        """Read the first choice's delta; servers differ in what they leave out."""
        choice = look(event, "choices", 0)
        delta = look(choice, "delta")
        return Part(
            text=text_of(look(delta, "content")),
            is_answer=choice is not None,
            model=string(look(event, "model")) or None,
            counts=_counts(look(event, "usage")),
            finish=string(look(choice, "finish_reason")) or None,
            id=string(look(event, "id")) or None,
            reasoning=_reasoning(delta),
            refusal=string(look(delta, "refusal")),
            tools=_tools(delta, is_part=True),
        )

    def models(self, client: Any, timeout: float) -> Iterable[Any]:
        """Return the list of models."""
        found: Iterable[Any] = client.models.list(timeout=timeout)
        return found

    def embed(self, client: Any, sending: Sending) -> Any:
        """Send a request for embeddings."""
        known, extra = split(
            {"encoding_format": "float"} | dict(sending.parameters), arguments_of(client.embeddings.__class__)
        )
        return client.embeddings.create(
            model=sending.model, input=sending.content, timeout=sending.timeout, extra_body=extra or None, **known
        )

    def vectors(self, answer: "CreateEmbeddingResponse") -> Vectors:
        """Read the embeddings, in the order of the texts."""
        rows = look(answer, "data")
        if not isinstance(rows, list):
            raise NotUnderstood
        vectors = [look(row, "embedding") for row in sorted(rows, key=lambda row: look(row, "index") or 0)]
        used = look(answer, "usage", "prompt_tokens")
        return Vectors(vectors, string(look(answer, "model")) or None, None if used is None else Counts(used, 0))

    def format(self, name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return ``response_format``."""
        described = {"name": name, "schema": dict(schema), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": described}}

    def failure(self, error: BaseException) -> Failure | None:
        """Judge by the SDK's classes; an error within a stream is the base of them all."""
        package = sdk("openai")
        if isinstance(error, package.APIStatusError):
            response = error.response
            return answered(error.status_code, error.body, response.headers, response.reason_phrase)
        if isinstance(error, package.APITimeoutError):
            return TIMEOUT
        if isinstance(error, package.APIConnectionError):
            return Failure("connection", None, "", retryable=True)
        if isinstance(error, package.APIError) and error.body:
            return answered(None, error.body)
        return None


def alone(client: Any, carried: Opened = NOTHING) -> Any:
    """Return *client* without what the environment has given it, with the headers carried, and ready for its first request."""
    client.organization = client.project = None  # the settings alone say whose key it is
    client._custom_headers = dict(carried.headers)  # noqa: SLF001 - OPENAI_CUSTOM_HEADERS would even replace the key
    client._make_sse_decoder = _decoder()  # noqa: SLF001 - the SDK has no other place for it
    arguments_of(client.chat.completions.__class__)  # imported with its first use
    return client


@cache
def _decoder() -> Any:
    """Return the SDK's decoder of a stream's lines, which takes no event without data for one.

    https://html.spec.whatwg.org/multipage/server-sent-events.html: "If the data buffer is an empty string, set the data
    buffer and the event type buffer to the empty string and return". The SDK reads a comment of a gateway that numbers its
    events as such an event, and breaks (openai/openai-python#2722).
    """
    base: Any = sdk("openai._streaming").SSEDecoder

    class Decoder(base):  # type: ignore[misc]  # a class of the SDK, imported just now
        def decode(self, line: str) -> Any:
            event = super().decode(line)
            return event if event is not None and event.data else None

    return Decoder


def _reasoning(message: object) -> str:
    """Return what compatible servers give beside the content: DeepSeek and vLLM, OpenRouter, Mistral (within the content)."""
    beside = string(look(message, "reasoning_content")) or string(look(message, "reasoning"))
    content = look(message, "content")
    within = [text_of(look(part, "thinking")) for part in content] if isinstance(content, list) else []
    return beside + "".join(within)


def _tools(message: object, *, is_part: bool = False) -> tuple[ToolPart, ...]:
    """Return the tool calls of a message; of a stream's parts one without a place goes on with the one before."""
    calls = look(message, "tool_calls")
    if not isinstance(calls, list):
        return ()
    found = []
    for at, call in enumerate(calls):
        function, index = look(call, "function") or look(call, "custom"), look(call, "index")
        arguments = string(look(function, "arguments")) or string(look(function, "input"))
        place = index if isinstance(index, int) else 0 if is_part else at
        found.append(ToolPart(place, string(look(call, "id")), string(look(function, "name")), arguments))
    return tuple(found)


def _counts(usage: object) -> Counts | None:
    if usage is None:
        return None
    cached = look(usage, "prompt_tokens_details", "cached_tokens")
    return Counts(look(usage, "prompt_tokens"), look(usage, "completion_tokens"), cached)
