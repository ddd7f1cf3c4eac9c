"""Google's Gemini API."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...errors import Invalid
from ...resolving.carried import NOTHING, Opened
from ...resolving.options import config_and_body
from ..failures import Failure, NotUnderstood, answered, line
from ..vendors import Counts, Part, Sending, ToolPart, Vectors, count_of, look, sdk, split, string, total

if TYPE_CHECKING:
    from google.genai.types import EmbedContentResponse, GenerateContentResponse

VERSION: Final = "v1"
"""Of the API: the SDK's own choice, but for the environment."""
_ROLES: Final = {"user": "user", "assistant": "model", "model": "model", "tool": "user"}


class Talk(NamedTuple):
    """A conversation as its API has it: what the system says stands apart."""

    system: list[dict[str, Any]]
    contents: list[Any]


class Google:
    """The adapter; see :class:`core.calling.vendors.Vendor`."""

    embeds = True

    def client(self, key: str, base_url: str | None, http: Any, *, is_async: bool, carried: Opened = NOTHING) -> Any:
        """Make a client that the environment has no part in."""
        package = sdk("google.genai")
        options = {"base_url": base_url, "httpx_async_client" if is_async else "httpx_client": http}
        if carried.headers:
            options["headers"] = dict(carried.headers)
        client = package.Client(
            vertexai=False,
            api_key=key,
            http_options=package.types.HttpOptions(**options, api_version=VERSION),
            debug_config=package.client.DebugConfig(client_mode=None),  # the environment's would record calls to files
        )
        _ = client.models, client.aio.models  # imported with their first use
        return client.aio if is_async else client

    def translate(self, messages: Sequence[Mapping[str, Any]]) -> Talk:
        """Set the system's messages apart, and write the others as contents with parts."""
        system: list[dict[str, Any]] = []
        contents: list[dict[str, Any]] = []
        names: dict[str, str] = {}
        for at, message in enumerate(messages):
            role = message["role"]
            parts = _parts(at, message, names)
            if role in {"system", "developer"}:
                system += parts
            elif role not in _ROLES:
                raise Invalid({"prompt": f"message {at}: Google's API has no role {role!r}"})
            elif role == "tool" and contents and contents[-1].get("is_results"):
                contents[-1]["parts"] += parts  # the results of one turn stand in one message
            else:
                contents.append({"role": _ROLES[role], "parts": parts, "is_results": role == "tool"})
        content = sdk("google.genai.types").Content
        checked = []
        for one in contents:
            try:
                checked.append(content(role=one["role"], parts=one["parts"]))
            except ValueError as error:  # pydantic's
                raise Invalid({"prompt": f"is not what Google's API takes: {line(str(error))}"}) from None
        return Talk(system, checked)

    def send(self, client: Any, sending: Sending) -> Any:
        """Send a request for content."""
        talk: Talk = sending.content
        fields = sdk("google.genai.types").GenerateContentConfig.model_fields
        known, extra = config_and_body(sending.parameters, fields)
        config: dict[str, Any] = {**known, "http_options": _http(sending.timeout, extra)}
        if talk.system:
            if "system_instruction" in known:
                raise Invalid({"options": "has system_instruction, and so has the prompt: one of them is enough"})
            config["system_instruction"] = {"parts": talk.system}
        call = client.models.generate_content_stream if sending.stream else client.models.generate_content
        return call(model=sending.model, contents=talk.contents, config=config)

    def read(self, answer: "GenerateContentResponse") -> Part:
        """Read every candidate; the first one is the answer. A blocked prompt has none, but a reason."""
        found = self.part(answer)
        if not answer.candidates and not found.refusal:
            raise NotUnderstood
        texts = tuple(_read_parts(candidate)[0] for candidate in answer.candidates or ())
        return found._replace(finish=found.finish or "", is_answer=True, texts=texts if len(texts) > 1 else ())

    def part(self, event: "GenerateContentResponse") -> Part:
        """Read the first candidate."""
        candidate = event.candidates[0] if event.candidates else None
        text, reasoning, tools = _read_parts(candidate)
        blocked = look(event, "prompt_feedback", "block_reason")
        finish = look(candidate, "finish_reason") or blocked
        refusal = look(event, "prompt_feedback", "block_reason_message") or getattr(blocked, "value", blocked)
        return Part(
            text=text,
            is_answer=candidate is not None or blocked is not None,
            model=event.model_version,
            counts=_counts(event.usage_metadata),
            finish=getattr(finish, "value", finish),
            id=event.response_id,
            reasoning=reasoning,
            refusal=refusal or "",
            tools=tools,
        )

    def models(self, client: Any, timeout: float) -> Iterable[Any]:
        """Return the list of models."""
        found: Iterable[Any] = client.models.list(config={"page_size": 1000, "http_options": _http(timeout, {})})
        return found

    def embed(self, client: Any, sending: Sending) -> Any:
        """Send a request for embeddings."""
        known, extra = split(sending.parameters, frozenset(sdk("google.genai.types").EmbedContentConfig.model_fields))
        config = {**known, "http_options": _http(sending.timeout, extra)}
        return client.models.embed_content(model=sending.model, contents=sending.content, config=config)

    def vectors(self, answer: "EmbedContentResponse") -> Vectors:
        """Read the embeddings; the API counts no tokens."""
        if not answer.embeddings:
            raise NotUnderstood
        counts = [look(one, "statistics", "token_count") for one in answer.embeddings]
        used = None if None in counts else total(*counts)
        vectors = [list(one.values or ()) for one in answer.embeddings]
        return Vectors(vectors, None, None if used is None else Counts(used, 0))

    def format(self, name: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002 - it has no names
        """Return the two parameters: https://ai.google.dev/gemini-api/docs/structured-output."""
        return {"response_mime_type": "application/json", "response_json_schema": dict(schema)}

    def failure(self, error: BaseException) -> Failure | None:
        """Judge by the SDK's one class; it reads the status of an error within a stream from the error."""
        if isinstance(error, sdk("google.genai.errors").APIError):
            response: Any = error.response
            phrase = getattr(response, "reason_phrase", "")
            status = error.code if isinstance(error.code, int) else None
            return answered(status, error.details, getattr(response, "headers", None), phrase)
        return None


def _parts(at: int, message: Mapping[str, Any], names: dict[str, str]) -> list[dict[str, Any]]:
    """Return a message as parts; *names* collects which tool call has which function."""
    odd = set(message) - {"role", "content", "parts", "tool_calls", "tool_call_id", "name"}
    if "name" in message and message["role"] != "tool":
        odd.add("name")
    if odd:
        raise Invalid({"prompt": f"message {at}: Google's API knows no {', '.join(sorted(odd))} in it"})
    content = message.get("parts") or message.get("content")
    if message["role"] == "tool":
        name = message.get("name") or names.get(message.get("tool_call_id") or "")
        if not name:
            raise Invalid({"prompt": f"message {at}: names no tool call that stands before it, and no function"})
        return [{"function_response": {"name": name, "response": _result(content)}}]
    parts = [{"text": content}] if isinstance(content, str) and content else list(content or ())
    parts = [
        {"text": one["text"]}
        if isinstance(one, Mapping) and one.get("type") == "text" and set(one) == {"type", "text"}
        else one
        for one in parts
    ]
    for call in message.get("tool_calls") or ():
        name = look(call, "function", "name")
        names[look(call, "id") or ""] = name
        try:
            arguments = json.loads(look(call, "function", "arguments") or "{}")
        except (TypeError, ValueError):
            raise Invalid({"prompt": f"message {at}: the arguments of a tool call are no JSON"}) from None
        parts.append({"function_call": {"name": name, "args": arguments}})
    return parts


def _result(content: Any) -> dict[str, Any]:
    """Return a tool's result as an object, which is what the API takes."""
    if isinstance(content, str):
        try:
            read = json.loads(content)
        except ValueError:
            read = None
        return read if isinstance(read, dict) else {"result": content}
    return {"result": content}


def _read_parts(candidate: Any) -> tuple[str, str, tuple[ToolPart, ...]]:
    """Return the text, the reasoning and the tool calls of a candidate."""
    parts = look(candidate, "content", "parts") or ()
    text = "".join(string(part.text) for part in parts if not part.thought)
    reasoning = "".join(string(part.text) for part in parts if part.thought)
    tools = tuple(
        ToolPart(
            -1,
            string(part.function_call.id),
            string(part.function_call.name),
            json.dumps(part.function_call.args or {}),
        )
        for part in parts
        if part.function_call
    )
    return text, reasoning, tools


def _counts(usage: Any) -> Counts | None:
    """Return the counts. The API leaves zeros out (protocol buffers do): the total says what a missing one is."""
    if usage is None:
        return None
    given, everything = usage.prompt_token_count, usage.total_token_count
    output = total(usage.candidates_token_count, usage.thoughts_token_count)
    if output is None and count_of(given) is not None and count_of(everything) is not None:
        output = everything - given
    return Counts(given, output, usage.cached_content_token_count)


def _http(timeout: float | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"extra_body": dict(extra)} if extra else {}
    if timeout is not None:
        options["timeout"] = max(1, round(timeout * 1000))
    return options
